// SPDX-License-Identifier: GPL-2.0-only
/**
 * Short ways: what the kernel does page by page is done to many pages at once, where it comes to the same. No part of the
 * kernel, and never a way around what somebody patched, which has to run for every page.
 */
import { changedFiles } from "./changed_files.js";

/** What hardly anything is done without, and what says what a page can be. */
const BASICS = [
  ...["include/linux/bug", "include/linux/mem_map", "include/linux/mm_types", "include/linux/mmzone"],
  ...["include/linux/page-flags", "include/linux/pagevec", "include/linux/types", "lib/pagelist"],
];

/** What faults and the reverse map need besides. */
const MEMORY = [
  ...["include/linux/gfp", "include/linux/mm", "include/linux/sched/mm", "include/linux/vm_flags", "lib/fault-inject"],
  ...["mm/mlock", "mm/page_alloc", "mm/pgtable", "mm/rmap", "mm/swap", "mm/vmstat"],
];

/** What each short way passes by: files of the kernel, where "mm/memory" is memory.ts and all of mm/memory/. */
export const PASSED_BY = {
  /** mm/memory/ahead.ts: the faults of a populated range. */
  populate: [
    ...BASICS,
    ...MEMORY,
    ...["include/linux/mmap_lock", "include/linux/mmu_context", "include/machine", "lib/maple_tree", "lib/xarray"],
    ...["mm/filemap", "mm/gup", "mm/memory", "mm/mmap", "mm/shmem", "mm/util"],
  ],
  /** follow_pte_run of mm/gup/follow.ts: entries of one table that are looked up. */
  follow: [...BASICS, "mm/gup", "mm/page-writeback", "mm/pgtable", "mm/swap", "mm/vmstat"],
  /** activate_run of mm/swap/lruvec.ts: neighbours on an LRU list that become active. */
  activate: [...BASICS, "mm/swap", "mm/vmstat"],
  /** rmqueueRun of mm/page_alloc/rmqueue.ts: blocks of a larger one that fill a per-CPU list. */
  refill: [...BASICS, "mm/page_alloc"],
  /** freeRun of mm/page_alloc/free.ts: neighbours on a per-CPU list that go back to the buddy lists. */
  free: [...BASICS, "mm/page_alloc"],
  /** isolateRun of mm/swap/lruvec.ts: neighbours on an LRU list that a long-term pin takes off it. */
  isolate: [...BASICS, "mm/gup", "mm/swap", "mm/vmstat"],
  /** mm/migrate/ahead.ts: pages that a long-term pin moves. */
  migrate: [...BASICS, ...MEMORY, "mm/migrate", "mm/page_vma_mapped"],
} satisfies Readonly<Record<string, readonly string[]>>;

export type ShortWay = keyof typeof PASSED_BY;

/** May this variant take a short way? Not where it changes what that passes by, or where nobody said what it changes. */
function mayTake(way: ShortWay): boolean {
  const changed: readonly string[] | null = changedFiles;
  const passed = PASSED_BY[way];
  return (
    changed?.every((path) => !passed.some((file) => path === `${file}.ts` || path.startsWith(`${file}/`))) ?? false
  );
}

const WAYS = Object.keys(PASSED_BY) as ShortWay[];
const OPEN: ReadonlySet<ShortWay> = new Set(WAYS.filter(mayTake));

/** Which short ways a machine takes that is to take all, none, or some: of these, those that the variant may. */
export function shortWaysOf(wanted: boolean | readonly ShortWay[]): Readonly<Record<ShortWay, boolean>> {
  const taken = (way: ShortWay): boolean =>
    OPEN.has(way) && (typeof wanted === "boolean" ? wanted : wanted.includes(way));
  return Object.fromEntries(WAYS.map((way) => [way, taken(way)])) as Record<ShortWay, boolean>;
}
