// SPDX-License-Identifier: GPL-2.0-only
/** The contiguous memory allocator: areas that movable pages may use meanwhile (mm/cma.c). */
import { VM_BUG_ON, would_wait } from "../include/linux/bug.js";
import type { cma } from "../include/linux/cma.js";
import { GFP_KERNEL, __GFP_NOWARN } from "../include/linux/gfp.js";
import { set_pageblock_migratetype } from "../include/linux/mem_map.js";
import { MIGRATE_CMA, NULL_PFN, pageblock_nr_pages, type zone } from "../include/linux/mmzone.js";
import { subsys_state } from "../include/linux/subsys.js";
import { CMA_ALLOC_FAIL, CMA_ALLOC_SUCCESS } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { EBUSY, EINVAL, ENOMEM } from "../uapi/errno.js";
import { alloc_contig_range, free_contig_range } from "./page_alloc/contig.js";
import { count_vm_events } from "./vmstat.js";

/**
 * Makes a CMA area of a range that boot has kept back: its pageblocks become MIGRATE_CMA. The caller frees the pages.
 * Pages; both ends lie on pageblocks and in one zone, else -EINVAL.
 * @kernel mm/cma.c:cma_init_reserved_mem, cma_activate_area
 * @fidelity simplified: one bit of the bitmap is one page
 */
export function cma_init_reserved_mem(k: Machine, z: zone, base_pfn: number, count: number, name: string): number {
  if (count <= 0 || base_pfn % pageblock_nr_pages !== 0 || count % pageblock_nr_pages !== 0) return -EINVAL;
  if (base_pfn < z.zone_start_pfn || base_pfn + count > z.zone_start_pfn + z.spanned_pages) return -EINVAL;
  for (let pfn = base_pfn; pfn < base_pfn + count; pfn += pageblock_nr_pages) {
    set_pageblock_migratetype(k.mem, pfn, MIGRATE_CMA);
  }
  z.cma_pages += count;
  k.cmaAreas.push({ name, base_pfn, count, bitmap: new Uint8Array(count), nr_pages_succeeded: 0, nr_pages_failed: 0 });
  return 0;
}

/** First of `nr` free bits from `start` on, whose page frame is aligned; reaches behind the end if there are none. @kernel lib/bitmap.c:bitmap_find_next_zero_area_off */
function find_next_zero_area(bitmap: Uint8Array, start: number, nr: number, mask: number, offset: number): number {
  for (;;) {
    const zero = bitmap.indexOf(0, start);
    if (zero < 0) return bitmap.length;
    const index = ((zero + offset + mask) & ~mask) - offset;
    if (index + nr > bitmap.length) return bitmap.length;
    const taken = bitmap.indexOf(1, index);
    if (taken < 0 || taken >= index + nr) return index;
    start = taken + 1;
  }
}

/** One cma_alloc() at a time isolates and moves. @kernel mm/cma.c:cma_mutex */
class cma_mutex {
  held = false;
}

/** Takes a range of an area that nobody has. */
function alloc_range(k: Machine, pfn: number, count: number, no_warn: boolean): number {
  const mutex = subsys_state(k, "mm/cma.c", () => new cma_mutex());
  if (mutex.held) would_wait("cma_mutex");
  mutex.held = true;
  try {
    return alloc_contig_range(k, pfn, pfn + count, MIGRATE_CMA, no_warn ? GFP_KERNEL | __GFP_NOWARN : GFP_KERNEL);
  } finally {
    mutex.held = false;
  }
}

/** Tries one range after the other; the first page frame, or -errno. */
function alloc_from(k: Machine, area: cma, count: number, align: number, no_warn: boolean): number {
  const mask = (1 << align) - 1;
  const offset = area.base_pfn & mask;
  let ret = -ENOMEM;
  for (let start = 0; ;) {
    const bit = find_next_zero_area(area.bitmap, start, count, mask, offset);
    if (bit >= area.count) return ret;
    area.bitmap.fill(1, bit, bit + count);
    const pfn = area.base_pfn + bit;
    ret = alloc_range(k, pfn, count, no_warn);
    if (ret === 0) return pfn;
    area.bitmap.fill(0, bit, bit + count);
    if (ret !== -EBUSY) return ret;
    k.hooks.trace("cma_alloc_busy_retry", { name: area.name, pfn, count, align });
    start = bit + mask + 1;
  }
}

/**
 * Takes `count` pages that lie together out of an area, migrating away what is in them. Where a page cannot be moved, the
 * range one further on is tried.
 * @kernel mm/cma.c:cma_alloc
 * @fidelity mirrored
 * @param align the first page frame is a multiple of 2^align
 * @param no_warn keep quiet about failures
 * @returns the first page frame, or 0: nothing free, or every range has a page that stays
 */
export function cma_alloc(k: Machine, area: cma, count: number, align: number, no_warn: boolean): number {
  let ret = -ENOMEM;
  if (count !== 0) {
    k.hooks.trace("cma_alloc_start", { name: area.name, count, align });
    if (count > area.count) ret = -ENOMEM;
    else {
      ret = alloc_from(k, area, count, align, no_warn);
      k.hooks.trace("cma_alloc_finish", {
        name: area.name,
        ret: Math.min(ret, 0),
        pfn: Math.max(ret, 0),
        count,
        align,
      });
    }
  }
  if (ret > 0) {
    count_vm_events(k, CMA_ALLOC_SUCCESS, 1);
    area.nr_pages_succeeded += count;
    return ret;
  }
  count_vm_events(k, CMA_ALLOC_FAIL, 1);
  area.nr_pages_failed += count;
  return NULL_PFN;
}

/**
 * Gives pages from {@link cma_alloc} back; false if they are not the area's.
 * @kernel mm/cma.c:cma_release
 * @fidelity mirrored
 */
export function cma_release(k: Machine, area: cma, pfn: number, count: number): boolean {
  if (pfn < area.base_pfn || pfn >= area.base_pfn + area.count) return false;
  VM_BUG_ON(pfn + count > area.base_pfn + area.count, "cma_release: behind the end of the area");
  free_contig_range(k, pfn, count);
  area.bitmap.fill(0, pfn - area.base_pfn, pfn - area.base_pfn + count);
  k.hooks.trace("cma_release", { name: area.name, pfn, count });
  return true;
}
