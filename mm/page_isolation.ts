// SPDX-License-Identifier: GPL-2.0-only
/** Keeping a range of pageblocks from being allocated while it is emptied (mm/page_isolation.c). */
import {
  PFN_SECTION_MASK,
  compound_head,
  folio_nr_pages,
  get_pageblock_migratetype,
  page_test,
  page_zone,
  set_pageblock_migratetype,
} from "../include/linux/mem_map.js";
import { pfn_to_online_page } from "../include/linux/memory_hotplug.js";
import {
  MAX_ORDER,
  MAX_ORDER_NR_PAGES,
  MIGRATE_CMA,
  MIGRATE_ISOLATE,
  NULL_PFN,
  ZONE_MOVABLE,
  pageblock_nr_pages,
  pageblock_order,
} from "../include/linux/mmzone.js";
import { PG_buddy, PG_head, PG_lru, PG_reserved, PG_tail } from "../include/linux/page-flags.js";
import type { Machine } from "../include/machine.js";
import { EBUSY } from "../uapi/errno.js";
import { move_freepages_block } from "./page_alloc/fallback.js";
import { buddy_order, __mod_zone_freepage_state, free_block_at, materialise_block } from "./page_alloc/freelist.js";
import { __isolate_free_page, __putback_isolated_page, split_free_page } from "./page_alloc/isolate.js";

/** The range is isolated to be taken offline. */
export const MEMORY_OFFLINE = 0x1;
/** Say which page cannot be moved. */
export const REPORT_FAILURE = 0x2;

const pageblock_start_pfn = (pfn: number): number => pfn - (pfn % pageblock_nr_pages);
const pageblock_align = (pfn: number): number => pageblock_start_pfn(pfn + pageblock_nr_pages - 1);

/**
 * The first page of [start_pfn, end_pfn), which lies in one pageblock, that can certainly not be moved; or none.
 * A CMA pageblock can be isolated by cma_alloc() alone.
 * @kernel mm/page_isolation.c:has_unmovable_pages
 * @fidelity simplified: no hugetlb, hardware poison, PageOffline or movable pages off the LRU
 */
function has_unmovable_pages(k: Machine, start_pfn: number, end_pfn: number, migratetype: number): number {
  const m = k.mem;
  if (get_pageblock_migratetype(m, start_pfn) === MIGRATE_CMA)
    return migratetype === MIGRATE_CMA ? NULL_PFN : start_pfn;
  const movable = page_zone(m, start_pfn).idx === ZONE_MOVABLE;
  const s = m.section(start_pfn);
  for (let pfn = start_pfn; pfn < end_pfn; pfn++) {
    const i = pfn & PFN_SECTION_MASK;
    const flags = s.flags[i]!;
    if (flags & PG_reserved) return pfn;
    if (movable) continue;
    if (flags & (PG_head | PG_tail)) {
      const head = compound_head(m, pfn);
      if (!page_test(m, head, PG_lru)) return pfn;
      pfn = head + folio_nr_pages(m, head) - 1;
    } else if (s.refcount[i] === 0) {
      if (flags & PG_buddy) pfn += (1 << buddy_order(s, i)) - 1;
    } else if (!(flags & PG_lru)) {
      return pfn;
    }
  }
  return NULL_PFN;
}

/**
 * Takes the pageblock around a page out of circulation, if nothing of it that lies in [start_pfn, end_pfn) is unmovable;
 * its free pages no longer count as free.
 * @kernel mm/page_isolation.c:set_migratetype_isolate
 * @fidelity mirrored
 * @param migratetype of the range: MIGRATE_CMA or MIGRATE_MOVABLE
 * @returns 0, -EBUSY if it is isolated already or has an unmovable page
 */
export function set_migratetype_isolate(
  k: Machine,
  pfn: number,
  migratetype: number,
  isol_flags: number,
  start_pfn: number,
  end_pfn: number,
): number {
  const z = page_zone(k.mem, pfn);
  const mt = get_pageblock_migratetype(k.mem, pfn);
  if (mt === MIGRATE_ISOLATE) return -EBUSY;
  materialise_block(k.mem, z, pfn);
  const last = Math.min(pageblock_start_pfn(pfn) + pageblock_nr_pages, end_pfn, k.mem.max_pfn);
  const unmovable = has_unmovable_pages(k, Math.max(pfn, start_pfn), last, migratetype);
  if (unmovable !== NULL_PFN) {
    if (isol_flags & REPORT_FAILURE) k.hooks.trace("dump_page", { pfn: unmovable, reason: "unmovable page" });
    return -EBUSY;
  }
  set_pageblock_migratetype(k.mem, pfn, MIGRATE_ISOLATE);
  z.nr_isolate_pageblock++;
  const moved = move_freepages_block(k, z, pfn, MIGRATE_ISOLATE);
  __mod_zone_freepage_state(z, -moved.free, mt);
  return 0;
}

/** A free block of one pageblock, whose buddy is free and not isolated: its order, so that the two can be merged; or -1. */
function mergeable_order(k: Machine, pfn: number): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const order = buddy_order(s, i);
  if (!(s.flags[i]! & PG_buddy) || order < pageblock_order || order >= MAX_ORDER - 1) return -1;
  const z = page_zone(k.mem, pfn);
  const buddy = pfn ^ (1 << order);
  if (buddy >= k.mem.max_pfn || page_zone(k.mem, buddy) !== z) return -1;
  if (get_pageblock_migratetype(k.mem, buddy) === MIGRATE_ISOLATE) return -1;
  return free_block_at(k.mem, z, buddy)?.order === order ? order : -1;
}

/**
 * Puts a pageblock back into circulation, as one of this type; a free block that fills it is merged with its buddy.
 * @kernel mm/page_isolation.c:unset_migratetype_isolate
 * @fidelity mirrored
 * @param pfn first page frame of the pageblock
 */
export function unset_migratetype_isolate(k: Machine, pfn: number, migratetype: number): void {
  const z = page_zone(k.mem, pfn);
  if (get_pageblock_migratetype(k.mem, pfn) !== MIGRATE_ISOLATE) return;
  const order = mergeable_order(k, pfn);
  const start = pfn - (pfn % MAX_ORDER_NR_PAGES);
  const in_larger = start !== pfn && free_block_at(k.mem, z, start)?.order === MAX_ORDER - 1;
  if (order >= 0) {
    __isolate_free_page(k, pfn, order);
  } else if (!in_larger) {
    const moved = move_freepages_block(k, z, pfn, migratetype);
    __mod_zone_freepage_state(z, moved.free, migratetype);
  }
  set_pageblock_migratetype(k.mem, pfn, migratetype);
  if (order >= 0) __putback_isolated_page(k, pfn, order, migratetype);
  z.nr_isolate_pageblock--;
}

/** Splits the free block of [from, boundary) that reaches over the boundary; false if a page in use does. */
function part_at(k: Machine, from: number, boundary_pfn: number): boolean {
  const z = page_zone(k.mem, from);
  for (let pfn = from; pfn < boundary_pfn;) {
    const free = free_block_at(k.mem, z, pfn);
    if (free !== undefined) {
      if (pfn + 2 ** free.order > boundary_pfn) {
        materialise_block(k.mem, z, pfn);
        split_free_page(k, pfn, free.order, boundary_pfn - pfn);
      }
      pfn += 2 ** free.order;
    } else if (page_test(k.mem, pfn, PG_head)) {
      pfn += folio_nr_pages(k.mem, pfn);
      if (pfn > boundary_pfn) return false;
    } else {
      pfn++;
    }
  }
  return true;
}

/**
 * Isolates one pageblock at an end of a range, and sees to it that no free block reaches over that end.
 * @kernel mm/page_isolation.c:isolate_single_pageblock
 * @fidelity simplified: pages in use that are larger than a pageblock are never on the LRU, and so not migrated
 * @param isolate_before the pageblock before the boundary, rather than behind it
 * @param skip_isolation it is isolated already
 * @returns 0, -EBUSY
 */
function isolate_single_pageblock(
  k: Machine,
  boundary_pfn: number,
  flags: number,
  isolate_before: boolean,
  skip_isolation: boolean,
  migratetype: number,
): number {
  const block = isolate_before ? boundary_pfn - pageblock_nr_pages : boundary_pfn;
  if (!skip_isolation) {
    const ret = set_migratetype_isolate(k, block, migratetype, flags, block, block + pageblock_nr_pages);
    if (ret !== 0) return ret;
  }
  if (!pfn_to_online_page(k, isolate_before ? boundary_pfn : boundary_pfn - 1)) return 0;
  const from = Math.max(block - (block % MAX_ORDER_NR_PAGES), page_zone(k.mem, block).zone_start_pfn);
  if (part_at(k, from, boundary_pfn)) return 0;
  if (!skip_isolation) unset_migratetype_isolate(k, block, migratetype);
  return -EBUSY;
}

/**
 * Isolates all pageblocks that [start_pfn, end_pfn) touches, or none of them.
 * @kernel mm/page_isolation.c:start_isolate_page_range
 * @fidelity mirrored
 * @param migratetype what to make of them again if one cannot be isolated
 * @param flags MEMORY_OFFLINE, REPORT_FAILURE
 * @returns 0, -EBUSY
 */
export function start_isolate_page_range(
  k: Machine,
  start_pfn: number,
  end_pfn: number,
  migratetype: number,
  flags: number,
): number {
  const start = pageblock_start_pfn(start_pfn);
  const last = pageblock_align(end_pfn) - pageblock_nr_pages;
  let ret = isolate_single_pageblock(k, start, flags, false, false, migratetype);
  if (ret !== 0) return ret;
  ret = isolate_single_pageblock(k, last + pageblock_nr_pages, flags, true, start === last, migratetype);
  if (ret !== 0) {
    unset_migratetype_isolate(k, start, migratetype);
    return ret;
  }
  for (let pfn = start + pageblock_nr_pages; pfn < last; pfn += pageblock_nr_pages) {
    if (set_migratetype_isolate(k, pfn, migratetype, flags, start_pfn, end_pfn) === 0) continue;
    undo_isolate_page_range(k, start, pfn, migratetype);
    unset_migratetype_isolate(k, last, migratetype);
    return -EBUSY;
  }
  return 0;
}

/**
 * Puts the isolated pageblocks of a range back into circulation.
 * @kernel mm/page_isolation.c:undo_isolate_page_range
 * @fidelity mirrored
 */
export function undo_isolate_page_range(k: Machine, start_pfn: number, end_pfn: number, migratetype: number): void {
  const end = pageblock_align(end_pfn);
  for (let pfn = pageblock_start_pfn(start_pfn); pfn < end; pfn += pageblock_nr_pages) {
    unset_migratetype_isolate(k, pfn, migratetype);
  }
}

/**
 * Are all pages of [start_pfn, end_pfn) free, and in isolated pageblocks?
 * @kernel mm/page_isolation.c:test_pages_isolated
 * @fidelity simplified: no hardware poison, no PageOffline
 * @returns 0, -EBUSY; the tracepoint of its name has the first page that is not
 */
export function test_pages_isolated(k: Machine, start_pfn: number, end_pfn: number): number {
  let fin_pfn = start_pfn;
  for (; fin_pfn < end_pfn; fin_pfn += pageblock_nr_pages) {
    if (get_pageblock_migratetype(k.mem, fin_pfn) !== MIGRATE_ISOLATE) break;
  }
  if (fin_pfn >= end_pfn) {
    fin_pfn = start_pfn;
    while (fin_pfn < end_pfn) {
      const s = k.mem.section(fin_pfn);
      const i = fin_pfn & PFN_SECTION_MASK;
      if ((s.flags[i]! & PG_buddy) === 0) break;
      fin_pfn += 1 << buddy_order(s, i);
    }
  }
  k.hooks.trace("test_pages_isolated", { start_pfn, end_pfn, fin_pfn });
  return fin_pfn < end_pfn ? -EBUSY : 0;
}
