// SPDX-License-Identifier: GPL-2.0-only
/** The calls of a recording, made on a machine. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import { errnoNames } from "../../uapi/errno.js";
import { MAP_FIXED, MAP_FIXED_NOREPLACE } from "../../uapi/mman-common.js";
import { PR_SET_VMA, PR_SET_VMA_ANON_NAME } from "../../uapi/prctl.js";
import type { Syscalls } from "./kernel.js";
import { type TraceStep, WINDOW_BASE, WINDOW_PAGES } from "./trace-format.js";

/** What a call gave back, in the words of the recordings. */
export interface Answer {
  ret: string;
  code?: number;
  val?: number;
  vec?: string;
  to?: number;
}

/** File descriptors by slot. */
export type Slots = (number | undefined)[];

type Run = (sys: Syscalls, a: readonly number[], slots: Slots, step: TraceStep) => Answer;

const OK: Answer = { ret: "0" };

/** The name of what a call returned: "0" for success. */
export function retName(ret: number): string {
  return ret < 0 ? (errnoNames[-ret] ?? `E${String(-ret)}`) : "0";
}

function answer(ret: number): Answer {
  return ret < 0 ? { ret: retName(ret) } : OK;
}

function addr(page: number): number {
  return WINDOW_BASE + page * PAGE_SIZE;
}

function len(pages: number): number {
  return pages * PAGE_SIZE;
}

function fd(slots: Slots, slot: number): number {
  return slots[slot] ?? -1;
}

function access(
  got: { readonly val: number } | { readonly sig: string; readonly code: number },
  read: boolean,
): Answer {
  if ("sig" in got) return { ret: got.sig, code: got.code };
  return read ? { ret: "0", val: got.val } : OK;
}

function memfd(sys: Syscalls, slots: Slots, slot: number, pages: number): Answer {
  const made = sys.memfd_create("m", 0);
  if (made < 0) return answer(made);
  slots[slot] = made;
  return answer(sys.ftruncate(made, len(pages)));
}

function placed(ret: number): Answer {
  return ret < 0 ? answer(ret) : { ret: "0", to: (ret - WINDOW_BASE) / PAGE_SIZE };
}

/** Where a mapping went is part of the answer where the call left it open. */
function mmap(sys: Syscalls, a: readonly number[], slots: Slots): Answer {
  const ret = sys.mmap(addr(a[0]!), len(a[1]!), a[2]!, a[3]!, fd(slots, a[4]!), len(a[5]!));
  return a[3]! & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? answer(ret) : placed(ret);
}

function mremap(sys: Syscalls, a: readonly number[]): Answer {
  return placed(sys.mremap(addr(a[0]!), len(a[1]!), len(a[2]!), a[3]!, addr(a[4]!)));
}

function mincore(sys: Syscalls, a: readonly number[]): Answer {
  const vec = new Uint8Array(Math.min(a[1]!, WINDOW_PAGES));
  const ret = sys.mincore(addr(a[0]!), len(a[1]!), vec);
  return ret < 0 ? answer(ret) : { ret: "0", vec: vec.map((v) => v & 1).join("") };
}

function madviseBytes(sys: Syscalls, [start, length, behavior]: TraceStep["args"]): Answer {
  const from = BigInt(start!) + BigInt(WINDOW_BASE);
  return answer(sys.madvise(from, BigInt(length!), Number(behavior)));
}

const runs: Readonly<Record<string, Run>> = {
  mmap,
  munmap: (sys, a) => answer(sys.munmap(addr(a[0]!), len(a[1]!))),
  mprotect: (sys, a) => answer(sys.mprotect(addr(a[0]!), len(a[1]!), a[2]!)),
  madvise: (sys, a) => answer(sys.madvise(addr(a[0]!), len(a[1]!), a[2]!)),
  madvise_bytes: (sys, _a, _slots, step) => madviseBytes(sys, step.args),
  mremap: (sys, a) => mremap(sys, a),
  mlock: (sys, a) => answer(sys.mlock(addr(a[0]!), len(a[1]!))),
  mlock2: (sys, a) => answer(sys.mlock2(addr(a[0]!), len(a[1]!), a[2]!)),
  munlock: (sys, a) => answer(sys.munlock(addr(a[0]!), len(a[1]!))),
  msync: (sys, a) => answer(sys.msync(addr(a[0]!), len(a[1]!), a[2]!)),
  name: (sys, a, _slots, step) =>
    answer(sys.prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr(a[0]!), len(a[1]!), nameOf(step))),
  r: (sys, a) => access(sys.load(addr(a[0]!)), true),
  w: (sys, a) => access(sys.store(addr(a[0]!), a[1]!), false),
  memfd: (sys, a, slots) => memfd(sys, slots, a[0]!, a[1]!),
  ftruncate: (sys, a, slots) => answer(sys.ftruncate(fd(slots, a[0]!), len(a[1]!))),
  pwrite: (sys, a, slots) => answer(sys.pwrite(fd(slots, a[0]!), a[2]!, len(a[1]!))),
  pread: (sys, a, slots) => pread(sys, fd(slots, a[0]!), len(a[1]!)),
  falloc: (sys, a, slots) => answer(sys.fallocate(fd(slots, a[0]!), a[1]!, len(a[2]!), len(a[3]!))),
  mincore: (sys, a) => mincore(sys, a),
};

function nameOf(step: TraceStep): string | null {
  const name = step.args[2];
  return typeof name === "string" && name !== "" ? name : null;
}

/** Behind the end of a file there is no byte to read. */
function pread(sys: Syscalls, from: number, pos: number): Answer {
  const ret = sys.pread(from, pos);
  return ret < 0 || ret > 255 ? answer(ret) : { ret: "0", val: ret };
}

/** Makes one call (not fork) of a recording as the machine's current task. */
export function makeCall(sys: Syscalls, step: TraceStep, slots: Slots): Answer {
  return runs[step.call]!(sys, step.args as readonly number[], slots, step);
}
