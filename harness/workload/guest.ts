// SPDX-License-Identifier: GPL-2.0-only
/** Finds the guest's memory in a recording of QEMU: the largest shared mapping of a memfd. */
import { UserError } from "../errors.js";
import { isCall, type Strace, type StraceCall } from "./strace.js";
import { fdOf, numberOf } from "./symbols.js";

export interface GuestPlan {
  readonly memory: { readonly addr: number; readonly len: number; readonly fd: number };
  readonly mappedBy: StraceCall;
  /** The last call that populates most of it; null where none does. */
  readonly populatedBy: StraceCall | null;
}

function memfdMapping(call: StraceCall): boolean {
  if (call.name !== "mmap" || call.ret.errno !== null || call.ret.value === null) return false;
  return /\bMAP_SHARED\b/.test(call.args[3] ?? "") && (fdOf(call.args[4] ?? "-1").path ?? "").startsWith("/memfd:");
}

/** Does this call populate at least half of [addr, addr + len)? */
function populates(call: StraceCall, addr: number, len: number): boolean {
  if (call.name !== "madvise" || !/^MADV_POPULATE_/.test(call.args[2] ?? "") || call.ret.errno !== null) return false;
  const from = Math.max(addr, numberOf(call.args[0]!));
  const to = Math.min(addr + len, numberOf(call.args[0]!) + numberOf(call.args[1]!));
  return to - from >= len / 2;
}

export function findGuest(strace: Strace): GuestPlan | null {
  const calls = strace.events.filter(isCall);
  let best: StraceCall | null = null;
  for (const call of calls) {
    if (memfdMapping(call) && (best === null || numberOf(call.args[1]!) > numberOf(best.args[1]!))) best = call;
  }
  if (best === null) return null;
  const addr = best.ret.value!;
  const len = numberOf(best.args[1]!);
  const populatedBy = /\bMAP_POPULATE\b/.test(best.args[3]!)
    ? best
    : (calls.findLast((call) => call.line > best.line && populates(call, addr, len)) ?? null);
  return { memory: { addr, len, fd: fdOf(best.args[4]!).fd }, mappedBy: best, populatedBy };
}

/** The guest of a recording that must have one; a UserError where it has none. */
export function needGuest(strace: Strace): GuestPlan {
  const guest = findGuest(strace);
  if (guest !== null) return guest;
  const todo = "choose a recording of QEMU with memory-backend-memfd";
  throw new UserError(strace.path, "no guest: nothing maps a memfd shared", todo);
}
