// SPDX-License-Identifier: GPL-2.0-only
/** Dirty pages (mm/page-writeback.c). Nothing is ever written back, and dirty pages of files are not counted. */
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { PG_dirty, PG_reclaim } from "../include/linux/page-flags.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { NR_ACTIVE_FILE, NR_FREE_PAGES, NR_INACTIVE_FILE } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { totalreserve_pages } from "./page_alloc/setup.js";
import { global_node_page_state, global_zone_page_state } from "./vmstat.js";

/** sysctl vm.dirty_ratio and vm.dirty_background_ratio: percents of what may be dirty. */
const vm_dirty_ratio = 20;
const dirty_background_ratio = 10;

/**
 * Marks a page dirty; true if it was not.
 * @kernel mm/folio-compat.c:set_page_dirty, mm/page-writeback.c:folio_mark_dirty
 * @fidelity simplified: no count of dirty pages, no tags in the page cache
 */
export function set_page_dirty(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const was = s.flags[i]!;
  s.flags[i] = (was & ~PG_reclaim) | PG_dirty;
  return (was & PG_dirty) === 0;
}

/** Pages that may be dirty at all. @kernel mm/page-writeback.c:global_dirtyable_memory @fidelity mirrored */
function global_dirtyable_memory(k: Machine): number {
  const free = global_zone_page_state(k, NR_FREE_PAGES);
  const file = global_node_page_state(k, NR_INACTIVE_FILE) + global_node_page_state(k, NR_ACTIVE_FILE);
  return Math.max(free - totalreserve_pages(k), 0) + file + 1;
}

/**
 * From how many dirty pages on writers must wait, and the flusher threads write, as /proc/vmstat shows them.
 * @kernel mm/page-writeback.c:global_dirty_limits
 * @fidelity mirrored (default ratios, no real-time task)
 */
export function global_dirty_limits(k: Machine): { thresh: number; bg_thresh: number } {
  const available = global_dirtyable_memory(k);
  const share = (percent: number): number =>
    Math.floor((Math.floor((percent * PAGE_SIZE) / 100) * available) / PAGE_SIZE);
  return { thresh: share(vm_dirty_ratio), bg_thresh: share(dirty_background_ratio) };
}
