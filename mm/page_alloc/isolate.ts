// SPDX-License-Identifier: GPL-2.0-only
/** Taking single free blocks out of the free lists for somebody who found them by their place (mm/page_alloc.c). */
import { ALLOC_CMA } from "../../include/linux/gfp.js";
import { get_pageblock_migratetype, page_zone, set_pageblock_migratetype } from "../../include/linux/mem_map.js";
import {
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  WMARK_MIN,
  pageblock_nr_pages,
  pageblock_order,
} from "../../include/linux/mmzone.js";
import type { Machine } from "../../include/machine.js";
import {
  FPI_NONE,
  FPI_TO_TAIL,
  __free_one_page,
  __mod_zone_freepage_state,
  del_page_from_free_list,
  migratetype_is_mergeable,
} from "./freelist.js";
import { zone_watermark_ok } from "./watermark.js";

/**
 * Takes a free block off its list if the zone can spare it. Pageblocks of which it is at least half become movable.
 * Returns the pages taken, 0 if the watermark forbids it.
 * @kernel mm/page_alloc.c:__isolate_free_page
 * @fidelity mirrored
 */
export function __isolate_free_page(k: Machine, pfn: number, order: number): number {
  const m = k.mem;
  const z = page_zone(m, pfn);
  const nr = 1 << order;
  const mt = get_pageblock_migratetype(m, pfn);
  if (mt !== MIGRATE_ISOLATE) {
    if (!zone_watermark_ok(z, 0, z._watermark[WMARK_MIN]! + nr, 0, ALLOC_CMA)) return 0;
    __mod_zone_freepage_state(z, -nr, mt);
  }
  del_page_from_free_list(m, z, pfn, order);
  if (order >= pageblock_order - 1) {
    for (let p = pfn; p < pfn + nr - 1; p += pageblock_nr_pages) {
      if (migratetype_is_mergeable(get_pageblock_migratetype(m, p))) set_pageblock_migratetype(m, p, MIGRATE_MOVABLE);
    }
  }
  return nr;
}

/**
 * Gives a block that {@link __isolate_free_page} took back to the tail of a free list.
 * @kernel mm/page_alloc.c:__putback_isolated_page
 * @fidelity mirrored
 */
export function __putback_isolated_page(k: Machine, pfn: number, order: number, mt: number): void {
  __free_one_page(k.mem, pfn, page_zone(k.mem, pfn), order, mt, FPI_TO_TAIL);
}

/**
 * Splits a free block at an offset, each part going to the lists of its own pageblock's type.
 * @kernel mm/page_alloc.c:split_free_page
 * @fidelity mirrored: the block is still the one that the caller saw
 * @param split_pfn_offset pages, below the size of the block
 */
export function split_free_page(k: Machine, free_pfn: number, order: number, split_pfn_offset: number): void {
  if (split_pfn_offset === 0) return;
  const m = k.mem;
  const z = page_zone(m, free_pfn);
  const end = free_pfn + (1 << order);
  const mt = get_pageblock_migratetype(m, free_pfn);
  if (mt !== MIGRATE_ISOLATE) __mod_zone_freepage_state(z, -(1 << order), mt);
  del_page_from_free_list(m, z, free_pfn, order);
  for (let pfn = free_pfn; pfn < end;) {
    const free_order = Math.min(31 - Math.clz32(pfn & -pfn), 31 - Math.clz32(split_pfn_offset));
    __free_one_page(m, pfn, z, free_order, get_pageblock_migratetype(m, pfn), FPI_NONE);
    pfn += 1 << free_order;
    split_pfn_offset -= 1 << free_order;
    if (split_pfn_offset === 0) split_pfn_offset = end - pfn;
  }
}
