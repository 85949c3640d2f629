// SPDX-License-Identifier: GPL-2.0-only
/** Watermarks: how much of a zone a request may use up (mm/page_alloc.c). */
import {
  ALLOC_CMA,
  ALLOC_HIGHATOMIC,
  ALLOC_MIN_RESERVE,
  ALLOC_NON_BLOCK,
  ALLOC_OOM,
  ALLOC_RESERVES,
  ALLOC_WMARK_MASK,
  __GFP_ATOMIC,
} from "../../include/linux/gfp.js";
import {
  MAX_ORDER,
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_PCPTYPES,
  WMARK_MIN,
  type zone,
} from "../../include/linux/mmzone.js";
import { NR_FREE_CMA_PAGES, NR_FREE_PAGES } from "../../include/linux/vmstat.js";
import { free_area_empty } from "./freelist.js";

/** A watermark, raised by what fragmentation has boosted it, in pages. @kernel include/linux/mmzone.h:wmark_pages @fidelity mirrored */
export function wmark_pages(z: zone, i: number): number {
  return z._watermark[i]! + z.watermark_boost;
}

function __zone_watermark_unusable_free(z: zone, order: number, alloc_flags: number): number {
  let unusable = (1 << order) - 1;
  if ((alloc_flags & ALLOC_RESERVES) === 0) unusable += z.nr_reserved_highatomic;
  if ((alloc_flags & ALLOC_CMA) === 0) unusable += z.vm_stat[NR_FREE_CMA_PAGES]!;
  return unusable;
}

/**
 * Would a request leave the zone above the mark (pages), and is there a block large enough for it?
 * @kernel mm/page_alloc.c:__zone_watermark_ok
 * @fidelity mirrored
 */
export function __zone_watermark_ok(
  z: zone,
  order: number,
  mark: number,
  highest_zoneidx: number,
  alloc_flags: number,
  free_pages: number,
): boolean {
  let min = mark;
  free_pages -= __zone_watermark_unusable_free(z, order, alloc_flags);
  if (alloc_flags & ALLOC_RESERVES) {
    if (alloc_flags & ALLOC_MIN_RESERVE) {
      min -= Math.trunc(min / 2);
      if (alloc_flags & ALLOC_NON_BLOCK) min -= Math.trunc(min / 4);
    }
    if (alloc_flags & ALLOC_OOM) min -= Math.trunc(min / 2);
  }
  if (free_pages <= min + z.lowmem_reserve[highest_zoneidx]!) return false;
  if (order === 0) return true;
  for (let o = order; o < MAX_ORDER; o++) {
    if (z.free_area[o]!.nr_free === 0) continue;
    for (let mt = 0; mt < MIGRATE_PCPTYPES; mt++) if (!free_area_empty(z, o, mt)) return true;
    if (alloc_flags & ALLOC_CMA && !free_area_empty(z, o, MIGRATE_CMA)) return true;
    if (alloc_flags & (ALLOC_HIGHATOMIC | ALLOC_OOM) && !free_area_empty(z, o, MIGRATE_HIGHATOMIC)) return true;
  }
  return false;
}

/** @kernel mm/page_alloc.c:zone_watermark_ok @fidelity mirrored */
export function zone_watermark_ok(
  z: zone,
  order: number,
  mark: number,
  highest_zoneidx: number,
  alloc_flags: number,
): boolean {
  return __zone_watermark_ok(z, order, mark, highest_zoneidx, alloc_flags, z.vm_stat[NR_FREE_PAGES]!);
}

/** @kernel mm/page_alloc.c:zone_watermark_ok_safe @fidelity simplified: counters have no per-CPU drift */
export function zone_watermark_ok_safe(z: zone, order: number, mark: number, highest_zoneidx: number): boolean {
  return __zone_watermark_ok(z, order, mark, highest_zoneidx, 0, z.vm_stat[NR_FREE_PAGES]!);
}

/**
 * The watermark check of the allocation fast path.
 * @kernel mm/page_alloc.c:zone_watermark_fast
 * @fidelity mirrored
 */
export function zone_watermark_fast(
  z: zone,
  order: number,
  mark: number,
  highest_zoneidx: number,
  alloc_flags: number,
  gfp_mask: number,
): boolean {
  const free_pages = z.vm_stat[NR_FREE_PAGES]!;
  if (order === 0) {
    const reserved = __zone_watermark_unusable_free(z, 0, alloc_flags);
    const usable_free = free_pages - Math.min(free_pages, reserved);
    if (usable_free > mark + z.lowmem_reserve[highest_zoneidx]!) return true;
  }
  if (__zone_watermark_ok(z, order, mark, highest_zoneidx, alloc_flags, free_pages)) return true;
  const boosted = z.watermark_boost !== 0 && (alloc_flags & ALLOC_WMARK_MASK) === WMARK_MIN;
  if (order === 0 && gfp_mask & __GFP_ATOMIC && boosted) {
    return __zone_watermark_ok(z, order, z._watermark[WMARK_MIN]!, highest_zoneidx, alloc_flags, free_pages);
  }
  return false;
}
