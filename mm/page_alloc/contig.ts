// SPDX-License-Identifier: GPL-2.0-only
/** Allocating a given range of page frames, by moving away what is in it (mm/page_alloc.c). */
import { GFP_USER, __GFP_MOVABLE, __GFP_NOWARN, __GFP_RETRY_MAYFAIL } from "../../include/linux/gfp.js";
import { page_ref_count, page_zone, page_test } from "../../include/linux/mem_map.js";
import { MIGRATE_SYNC, MR_CONTIG_RANGE } from "../../include/linux/migrate_mode.js";
import { MAX_ORDER } from "../../include/linux/mmzone.js";
import { PG_buddy } from "../../include/linux/page-flags.js";
import { current_gfp_context } from "../../include/linux/sched/mm.js";
import type { Machine } from "../../include/machine.js";
import { list_empty, list_pages } from "../../lib/pagelist.js";
import { EBUSY, EINTR, ENOMEM } from "../../uapi/errno.js";
import { isolate_freepages_range, isolate_migratepages_range } from "../compaction/contig.js";
import { compact_control } from "../compaction/control.js";
import { alloc_migration_target, migrate_pages, putback_movable_pages } from "../migrate.js";
import { __free_pages } from "../page_alloc.js";
import { start_isolate_page_range, test_pages_isolated, undo_isolate_page_range } from "../page_isolation.js";
import { lru_cache_disable, lru_cache_enable } from "../swap.js";
import { reclaim_clean_pages_from_list } from "../vmscan/shrink_folio.js";
import { drain_all_pages } from "./free.js";
import { free_block_at } from "./freelist.js";

/** Rounds over one batch of isolated pages. */
const MAX_TRIES = 5;

/** Tells which pages could not be moved. @kernel mm/page_alloc.c:alloc_contig_dump_pages */
function alloc_contig_dump_pages(cc: compact_control): void {
  const { k } = cc;
  for (const pfn of list_pages(k.mem, cc.migratepages)) {
    k.hooks.trace("dump_page", { pfn, refcount: page_ref_count(k.mem, pfn), reason: "migration failure" });
  }
}

/** Isolates and moves until the range has been gone through; 0 or -errno, and what was not moved is left on the list. */
function migrate_range(cc: compact_control, start: number, end: number): number {
  const { k } = cc;
  const mtc = { nid: cc.zone.node, gfp_mask: GFP_USER | __GFP_MOVABLE | __GFP_RETRY_MAYFAIL };
  let pfn = start;
  let tries = 0;
  while (pfn < end || !list_empty(cc.migratepages)) {
    if (k.current.fatal_signal !== 0) return -EINTR;
    if (list_empty(cc.migratepages)) {
      cc.nr_migratepages = 0;
      const ret = isolate_migratepages_range(cc, pfn, end);
      if (ret !== 0) return ret;
      pfn = cc.migrate_pfn;
      tries = 0;
    } else if (++tries === MAX_TRIES) {
      return -EBUSY;
    }
    cc.nr_migratepages -= reclaim_clean_pages_from_list(k, cc.zone, cc.migratepages);
    const ret = migrate_pages(k, cc.migratepages, alloc_migration_target, null, mtc, cc.mode, MR_CONTIG_RANGE);
    if (ret === -ENOMEM) return ret;
  }
  return 0;
}

/**
 * Moves away what is in [start, end), whose pageblocks are isolated. Pages that cannot be taken off the LRU are left
 * where they are without a word.
 * @kernel mm/page_alloc.c:__alloc_contig_migrate_range
 * @fidelity mirrored
 * @returns 0, -EBUSY (the same pages could not be moved four times over), -ENOMEM (no target), -EINTR
 */
export function __alloc_contig_migrate_range(cc: compact_control, start: number, end: number): number {
  const { k } = cc;
  lru_cache_disable(k);
  const ret = migrate_range(cc, start, end);
  lru_cache_enable(k);
  if (ret === 0) return 0;
  if (!(cc.gfp_mask & __GFP_NOWARN) && ret === -EBUSY) alloc_contig_dump_pages(cc);
  putback_movable_pages(k, cc.migratepages);
  return ret;
}

/** Start of the free block that holds the first page of a range; the page itself if there is none. */
function outer_start_of(k: Machine, start: number): number {
  for (let order = 0; order < MAX_ORDER; order++) {
    const outer = start - (start % 2 ** order);
    if (!page_test(k.mem, outer, PG_buddy)) continue;
    const free = free_block_at(k.mem, page_zone(k.mem, outer), outer)!;
    return outer + 2 ** free.order > start ? outer : start;
  }
  return start;
}

/** Takes what is free now of the isolated range [start, end) out of the buddy lists: all of it, or -EBUSY. */
function grab_range(cc: compact_control, start: number, end: number): number {
  const { k } = cc;
  const outer_start = outer_start_of(k, start);
  if (test_pages_isolated(k, outer_start, end) !== 0) return -EBUSY;
  const outer_end = isolate_freepages_range(cc, outer_start, end);
  if (outer_end === 0) return -EBUSY;
  free_contig_range(k, outer_start, start - outer_start);
  free_contig_range(k, end, outer_end - end);
  return 0;
}

/**
 * Allocates all pages of [start, end), each with one reference.
 * @kernel mm/page_alloc.c:alloc_contig_range
 * @fidelity mirrored
 * @param migratetype MIGRATE_CMA or MIGRATE_MOVABLE: of all pageblocks of the range
 * @returns 0; -EBUSY where a page stays in use, -ENOMEM, -EINTR
 */
export function alloc_contig_range(
  k: Machine,
  start: number,
  end: number,
  migratetype: number,
  gfp_mask: number,
): number {
  const zone = page_zone(k.mem, start);
  const cc = new compact_control(k, zone, {
    order: -1,
    gfp_mask: current_gfp_context(k, gfp_mask),
    mode: MIGRATE_SYNC,
    alloc_flags: 0,
    highest_zoneidx: zone.idx,
    direct_compaction: false,
    thorough: true,
    alloc_contig: true,
  });
  let ret = start_isolate_page_range(k, start, end, migratetype, 0);
  if (ret === 0) {
    drain_all_pages(k, zone);
    ret = __alloc_contig_migrate_range(cc, start, end);
    if (ret === 0 || ret === -EBUSY) ret = grab_range(cc, start, end);
  }
  undo_isolate_page_range(k, start, end, migratetype);
  return ret;
}

/**
 * Frees pages that {@link alloc_contig_range} gave.
 * @kernel mm/page_alloc.c:free_contig_range
 * @fidelity mirrored
 */
export function free_contig_range(k: Machine, pfn: number, nr_pages: number): void {
  let still_used = 0;
  for (let p = pfn; p < pfn + nr_pages; p++) {
    if (page_ref_count(k.mem, p) !== 1) still_used++;
    __free_pages(k, p, 0);
  }
  if (still_used > 0) k.hooks.trace("warning", { what: "pages are still in use", count: still_used });
}
