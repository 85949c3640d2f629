// SPDX-License-Identifier: GPL-2.0-only
/** Schedules: what is in the way of each page of a small guest, and for how long. */
import type { MigrateFaultKind } from "../../lib/fault-inject.js";

/** What is in the way of one page; `attempts` is Infinity for what never goes away. */
export interface Fault {
  readonly kind: MigrateFaultKind;
  readonly attempts: number;
}

/** One entry a page; null: nothing is in its way. */
export type Schedule = readonly (Fault | null)[];

/** What can be in the way of a page of a memfd, in words. */
export const CAUSES: readonly { readonly kind: MigrateFaultKind; readonly title: string }[] = [
  { kind: "reference", title: "reference of a GUP-fast" },
  { kind: "page_cache_drop", title: "reference of a cache drop" },
  { kind: "lru_batch", title: "in another CPU's LRU batch" },
  { kind: "mlock_batch", title: "in another CPU's mlock batch" },
  { kind: "lock", title: "page lock held" },
  { kind: "isolate", title: "isolated by reclaim" },
  { kind: "cma_alloc", title: "CMA area being allocated from" },
  { kind: "alloc", title: "no page to move it to" },
];

/** Passes that migrate_pages() makes at most: a fault that lasts as long lasts for the whole call. */
const PASSES = 10;
/** How long faults last, in attempts at the page. */
export const DURATIONS: readonly number[] = [...Array.from({ length: PASSES }, (_, n) => n + 1), Infinity];

/** All that can be the matter with one page. A failed allocation ends the call, so that it has no duration. */
export const OPTIONS: Schedule = [
  null,
  ...CAUSES.flatMap(({ kind }): Fault[] =>
    (kind === "alloc" ? [1] : DURATIONS).map((attempts) => ({ kind, attempts })),
  ),
];

/** How many schedules of `pages` pages there are: pages are alike, so their order does not count. */
export function countSchedules(pages: number): number {
  let n = 1;
  for (let i = 0; i < pages; i++) n = (n * (OPTIONS.length + i)) / (i + 1);
  return n;
}

/** Calls `visit` with the schedules of `pages` pages whose place in the order of all is in [from, to). */
export function eachSchedule(pages: number, from: number, to: number, visit: (schedule: Schedule) => void): void {
  const chosen = new Array<number>(pages).fill(0);
  for (let at = 0; at < to; at++) {
    if (at >= from) visit(chosen.map((option) => OPTIONS[option] ?? null));
    let last = pages - 1;
    while (last >= 0 && chosen[last] === OPTIONS.length - 1) last--;
    if (last < 0) return;
    chosen.fill(chosen[last]! + 1, last);
  }
}

/** "for 3 attempts", "for ever" */
export function lasting(attempts: number): string {
  if (attempts === Infinity) return "for ever";
  return attempts === 1 ? "for 1 attempt" : `for ${String(attempts)} attempts`;
}

/** A schedule in words, page by page. */
export function describeSchedule(schedule: Schedule): string {
  return schedule
    .map((fault, page) => {
      if (fault === null) return `page ${String(page)} free`;
      const title = CAUSES.find((cause) => cause.kind === fault.kind)?.title ?? fault.kind;
      return `page ${String(page)}: ${title}${fault.kind === "alloc" ? "" : ` ${lasting(fault.attempts)}`}`;
    })
    .join("; ");
}
