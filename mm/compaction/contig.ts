// SPDX-License-Identifier: GPL-2.0-only
/** Isolating what lies in a given range, for alloc_contig_range() (mm/compaction.c). */
import { pageblock_nr_pages } from "../../include/linux/mmzone.js";
import { COMPACTISOLATED } from "../../include/linux/vmstat.js";
import { EINTR } from "../../uapi/errno.js";
import { free_block_at } from "../page_alloc/freelist.js";
import { count_vm_events } from "../vmstat.js";
import { COMPACT_CLUSTER_MAX, type compact_control } from "./control.js";
import { release_freepages, split_map_pages, take_block } from "./free_scanner.js";
import { isolate_migratepages_block } from "./migrate_scanner.js";

/**
 * Takes pages of [start_pfn, end_pfn) off the LRU lists, to be migrated, until there are enough for a turn;
 * `cc.migrate_pfn` says where it stopped.
 * @kernel mm/compaction.c:isolate_migratepages_range
 * @fidelity mirrored
 * @returns 0, -EINTR on a fatal signal
 */
export function isolate_migratepages_range(cc: compact_control, start_pfn: number, end_pfn: number): number {
  for (let pfn = start_pfn; pfn < end_pfn;) {
    const block_end = Math.min(pfn - (pfn % pageblock_nr_pages) + pageblock_nr_pages, end_pfn);
    if (!isolate_migratepages_block(cc, pfn, block_end)) return -EINTR;
    if (cc.nr_migratepages >= COMPACT_CLUSTER_MAX) break;
    pfn = block_end;
  }
  return 0;
}

/**
 * Takes all free blocks of [start_pfn, end_pfn) off the free lists and makes single pages of them, each with one reference.
 * @kernel mm/compaction.c:isolate_freepages_range
 * @fidelity mirrored
 * @returns the end of the last block, which may lie behind end_pfn; 0, and nothing taken, if a page is not free
 */
export function isolate_freepages_range(cc: compact_control, start_pfn: number, end_pfn: number): number {
  let pfn = start_pfn;
  while (pfn < end_pfn) {
    const free = free_block_at(cc.k.mem, cc.zone, pfn);
    const taken = free === undefined ? 0 : take_block(cc, pfn, free.order);
    if (taken === 0) break;
    pfn += taken;
  }
  count_vm_events(cc.k, COMPACTISOLATED, pfn - start_pfn);
  split_map_pages(cc);
  if (pfn >= end_pfn) return pfn;
  release_freepages(cc);
  return 0;
}
