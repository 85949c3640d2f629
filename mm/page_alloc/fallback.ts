// SPDX-License-Identifier: GPL-2.0-only
/** What a request does when the lists of its own type are empty: fallbacks, stealing, high-order atomic reserves (mm/page_alloc.c). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { ALLOC_KSWAPD, ALLOC_NOFRAGMENT } from "../../include/linux/gfp.js";
import { PFN_SECTION_MASK, get_pageblock_migratetype, set_pageblock_migratetype } from "../../include/linux/mem_map.js";
import {
  MAX_ORDER,
  MIGRATE_HIGHATOMIC,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE,
  NULL_PFN,
  WMARK_HIGH,
  ZONE_BOOSTED_WATERMARK,
  pageblock_nr_pages,
  pageblock_order,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_buddy, PG_lru } from "../../include/linux/page-flags.js";
import type { Machine } from "../../include/machine.js";
import {
  buddy_order,
  free_area_empty,
  get_page_from_free_area,
  materialise_block,
  migratetype_is_mergeable,
  move_to_free_list,
} from "./freelist.js";
import type { alloc_context } from "./context.js";

/** Types to fall back to, best first, by the type wanted. */
const fallbacks: readonly (readonly number[])[] = [
  [MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE],
  [MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE],
  [MIGRATE_UNMOVABLE, MIGRATE_MOVABLE],
];

/** sysctl vm.watermark_boost_factor: parts in 10000 of the high watermark. */
const watermark_boost_factor = 15000;

/** What {@link move_freepages_block} found, in pages. */
export interface moved {
  free: number;
  movable: number;
}

/**
 * Moves the free blocks of the pageblock around a page to the lists of another type; says how many pages they were and
 * how many pages in use looked movable. Moves nothing where the pageblock sticks out of its zone.
 * @kernel mm/page_alloc.c:move_freepages_block
 * @fidelity mirrored
 */
export function move_freepages_block(k: Machine, z: zone, pfn: number, migratetype: number): moved {
  const found = { free: 0, movable: 0 };
  let start = pfn - (pfn % pageblock_nr_pages);
  const end = start + pageblock_nr_pages - 1;
  if (start < z.zone_start_pfn) start = pfn;
  if (end >= z.zone_start_pfn + z.spanned_pages) return found;
  materialise_block(k.mem, z, pfn);
  const s = k.mem.section(pfn);
  for (let p = start; p <= end;) {
    const flags = s.flags[p & PFN_SECTION_MASK]!;
    if ((flags & PG_buddy) === 0) {
      if (flags & PG_lru) found.movable++;
      p++;
      continue;
    }
    const order = buddy_order(s, p & PFN_SECTION_MASK);
    move_to_free_list(k.mem, z, p, order, migratetype);
    p += 1 << order;
    found.free += 1 << order;
  }
  return found;
}

function change_pageblock_range(k: Machine, pfn: number, start_order: number, migratetype: number): void {
  for (let n = 1 << (start_order - pageblock_order); n > 0; n--) {
    set_pageblock_migratetype(k.mem, pfn, migratetype);
    pfn += pageblock_nr_pages;
  }
}

/**
 * May the other free pages of the pageblock be stolen along with a block of this order?
 * @kernel mm/page_alloc.c:can_steal_fallback
 * @fidelity mirrored
 */
function can_steal_fallback(k: Machine, order: number, start_mt: number): boolean {
  if (order >= pageblock_order) return true;
  return (
    order >= pageblock_order >>> 1 ||
    start_mt === MIGRATE_RECLAIMABLE ||
    start_mt === MIGRATE_UNMOVABLE ||
    k.page_group_by_mobility_disabled
  );
}

/**
 * Raises a zone's watermarks for a while, since its types have begun to mix. Did it?
 * @kernel mm/page_alloc.c:boost_watermark
 * @fidelity mirrored
 */
function boost_watermark(z: zone): boolean {
  if (pageblock_nr_pages * 4 > z.managed_pages) return false;
  let max_boost = Math.floor((z._watermark[WMARK_HIGH]! * watermark_boost_factor) / 10000);
  if (max_boost === 0) return false;
  max_boost = Math.max(pageblock_nr_pages, max_boost);
  z.watermark_boost = Math.min(z.watermark_boost + pageblock_nr_pages, max_boost);
  return true;
}

/**
 * Takes over a free block of another type, if possible with the rest of its pageblock.
 * @kernel mm/page_alloc.c:steal_suitable_fallback
 * @fidelity mirrored
 */
function steal_suitable_fallback(
  k: Machine,
  z: zone,
  pfn: number,
  alloc_flags: number,
  start_type: number,
  whole_block: boolean,
): void {
  const s = k.mem.section(pfn);
  const current_order = buddy_order(s, pfn & PFN_SECTION_MASK);
  const old_block_type = get_pageblock_migratetype(k.mem, pfn);
  let single_page = old_block_type === MIGRATE_HIGHATOMIC;
  if (!single_page && current_order >= pageblock_order) {
    change_pageblock_range(k, pfn, current_order, start_type);
    single_page = true;
  }
  if (!single_page) {
    if (boost_watermark(z) && alloc_flags & ALLOC_KSWAPD) z.flags |= ZONE_BOOSTED_WATERMARK;
    single_page = !whole_block;
  }
  if (!single_page) {
    const found = move_freepages_block(k, z, pfn, start_type);
    let alike_pages = 0;
    if (start_type === MIGRATE_MOVABLE) alike_pages = found.movable;
    else if (old_block_type === MIGRATE_MOVABLE) alike_pages = pageblock_nr_pages - (found.free + found.movable);
    if (found.free !== 0) {
      if (found.free + alike_pages >= pageblock_nr_pages / 2 || k.page_group_by_mobility_disabled) {
        set_pageblock_migratetype(k.mem, pfn, start_type);
      }
      return;
    }
  }
  move_to_free_list(k.mem, z, pfn, current_order, start_type);
}

/**
 * Finds a type that a request can fall back to among the free blocks of one order: -1 if none, otherwise the type,
 * plus 8 if the whole pageblock may be stolen.
 * @kernel mm/page_alloc.c:find_suitable_fallback
 * @fidelity simplified: both answers in one number
 */
export function find_suitable_fallback(
  k: Machine,
  z: zone,
  order: number,
  migratetype: number,
  only_stealable: boolean,
): number {
  if (z.free_area[order]!.nr_free === 0) return -1;
  for (const fallback_mt of fallbacks[migratetype] ?? []) {
    if (free_area_empty(z, order, fallback_mt)) continue;
    if (can_steal_fallback(k, order, migratetype)) return fallback_mt | 8;
    if (!only_stealable) return fallback_mt;
  }
  return -1;
}

/**
 * Brings a free block of another type onto the lists of the type wanted, the largest there is (or, for movable
 * requests that may not steal a pageblock, the smallest). Did it find one?
 * @kernel mm/page_alloc.c:__rmqueue_fallback
 * @fidelity mirrored
 */
export function __rmqueue_fallback(
  k: Machine,
  z: zone,
  order: number,
  start_migratetype: number,
  alloc_flags: number,
): boolean {
  const min_order = order < pageblock_order && alloc_flags & ALLOC_NOFRAGMENT ? pageblock_order : order;
  let found = -1;
  let current_order = MAX_ORDER - 1;
  for (; current_order >= min_order; --current_order) {
    found = find_suitable_fallback(k, z, current_order, start_migratetype, false);
    if (found !== -1) break;
  }
  if (found === -1) return false;
  if ((found & 8) === 0 && start_migratetype === MIGRATE_MOVABLE && current_order > order) {
    found = -1;
    for (current_order = order; current_order < MAX_ORDER; current_order++) {
      found = find_suitable_fallback(k, z, current_order, start_migratetype, false);
      if (found !== -1) break;
    }
    VM_BUG_ON(found === -1, "__rmqueue_fallback: the block that was there has gone");
  }
  const fallback_mt = found & 7;
  const pfn = get_page_from_free_area(k.mem, z, current_order, fallback_mt);
  steal_suitable_fallback(k, z, pfn, alloc_flags, start_migratetype, (found & 8) !== 0);
  if (k.tracing) {
    k.hooks.trace("mm_page_alloc_extfrag", {
      pfn,
      alloc_order: order,
      fallback_order: current_order,
      alloc_migratetype: start_migratetype,
      fallback_migratetype: fallback_mt,
      change_ownership: get_pageblock_migratetype(k.mem, pfn) === start_migratetype ? 1 : 0,
    });
  }
  return true;
}

/**
 * Keeps the pageblock of a high-order atomic allocation for more of the kind, up to a limit.
 * @kernel mm/page_alloc.c:reserve_highatomic_pageblock
 * @fidelity mirrored
 */
export function reserve_highatomic_pageblock(k: Machine, pfn: number, z: zone): void {
  const max_managed = Math.floor(z.managed_pages / 100) + pageblock_nr_pages;
  if (z.nr_reserved_highatomic >= max_managed) return;
  const mt = get_pageblock_migratetype(k.mem, pfn);
  if (!migratetype_is_mergeable(mt)) return;
  z.nr_reserved_highatomic += pageblock_nr_pages;
  set_pageblock_migratetype(k.mem, pfn, MIGRATE_HIGHATOMIC);
  move_freepages_block(k, z, pfn, MIGRATE_HIGHATOMIC);
}

/**
 * Gives a pageblock kept for high-order atomic allocations to the type that is about to fail. Did that free anything?
 * @kernel mm/page_alloc.c:unreserve_highatomic_pageblock
 * @fidelity mirrored
 */
export function unreserve_highatomic_pageblock(k: Machine, ac: alloc_context, force: boolean): boolean {
  for (const z of ac.zonelist) {
    if (!force && z.nr_reserved_highatomic <= pageblock_nr_pages) continue;
    for (let order = 0; order < MAX_ORDER; order++) {
      const pfn = get_page_from_free_area(k.mem, z, order, MIGRATE_HIGHATOMIC);
      if (pfn === NULL_PFN) continue;
      if (get_pageblock_migratetype(k.mem, pfn) === MIGRATE_HIGHATOMIC) {
        z.nr_reserved_highatomic -= Math.min(pageblock_nr_pages, z.nr_reserved_highatomic);
      }
      set_pageblock_migratetype(k.mem, pfn, ac.migratetype);
      if (move_freepages_block(k, z, pfn, ac.migratetype).free !== 0) return true;
    }
  }
  return false;
}
