// SPDX-License-Identifier: GPL-2.0-only
/** Which calls are never made on the running kernel. The agent looks at each of them again (agent.c). */
import { PAGE_SIZE } from "../../include/linux/types.js";
import { MADV_HWPOISON, MADV_SOFT_OFFLINE } from "../../uapi/mman-common.js";
import { type TraceStep, WINDOW_BASE, WINDOW_PAGES } from "../replay/trace-format.js";

const WINDOW_BYTES = BigInt(WINDOW_PAGES * PAGE_SIZE);

/** An int of C, from whatever number was given for one. */
function int(value: number | string | bigint | undefined): number {
  return Number(BigInt.asIntN(32, BigInt(value ?? 0)));
}

/** Does a range of bytes, counted from the window's start, stay in it, or wrap, which every call refuses? */
function isHarmless(start: bigint, length: bigint): boolean {
  if (start < 0n || start > WINDOW_BYTES) return false;
  if (length < 0n) return -length <= BigInt(WINDOW_BASE);
  return start + length <= WINDOW_BYTES;
}

function pagesHarmless(page: TraceStep["args"][number], pages: TraceStep["args"][number]): boolean {
  const bytes = (n: typeof page): bigint => BigInt(n) * BigInt(PAGE_SIZE);
  return isHarmless(bytes(page), bytes(pages));
}

const FILE_CALLS = new Set(["memfd", "ftruncate", "pwrite", "pread", "falloc", "fork"]);
/** More pages of a file than any case needs. */
const MAX_FILE_PAGES = 4 * WINDOW_PAGES;

function reach(step: TraceStep): boolean {
  const a = step.args;
  if (FILE_CALLS.has(step.call)) return a.slice(1).every((n) => Number(n) <= MAX_FILE_PAGES);
  if (step.call === "madvise_bytes") return isHarmless(BigInt(a[0]!), BigInt(a[1]!));
  if (step.call === "r" || step.call === "w") return pagesHarmless(a[0]!, 1);
  if (step.call === "mremap") return pagesHarmless(a[0]!, a[1]!) && pagesHarmless(a[4]!, a[2]!);
  return pagesHarmless(a[0]!, a[1]!);
}

/** Why a call is not made on the running kernel; null where it may be. */
export function forbidden(step: TraceStep): string | null {
  if (step.call === "madvise" || step.call === "madvise_bytes") {
    const behavior = int(step.args[2]);
    if (behavior === MADV_HWPOISON) return "MADV_HWPOISON is never issued";
    if (behavior === MADV_SOFT_OFFLINE) return "MADV_SOFT_OFFLINE is never issued";
  }
  if (!reach(step)) return `${step.call}(${step.args.map(String).join(", ")}) reaches beyond the window`;
  for (const child of step.child ?? []) {
    const why = forbidden(child);
    if (why !== null) return why;
  }
  return null;
}
