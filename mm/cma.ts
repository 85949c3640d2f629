// SPDX-License-Identifier: GPL-2.0-only
/** The contiguous memory allocator: areas that movable pages may use meanwhile (mm/cma.c). */
import { not_modelled } from "../include/linux/bug.js";
import { set_pageblock_migratetype } from "../include/linux/mem_map.js";
import { MIGRATE_CMA, pageblock_nr_pages, type zone } from "../include/linux/mmzone.js";
import type { Machine } from "../include/machine.js";
import { EINVAL } from "../uapi/errno.js";

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
  k.cmaAreas.push({ name, base_pfn, count, bitmap: new Uint8Array(count) });
  return 0;
}

/**
 * Takes `count` pages that lie together out of an area, migrating away what is in them; the first page frame, or 0.
 * @kernel mm/cma.c:cma_alloc
 * @fidelity stub
 */
export function cma_alloc(_k: Machine, _area: number, _count: number, _align: number): number {
  return not_modelled("mm/cma.c: cma_alloc");
}

/**
 * Gives pages from {@link cma_alloc} back.
 * @kernel mm/cma.c:cma_release
 * @fidelity stub
 */
export function cma_release(_k: Machine, _area: number, _pfn: number, _count: number): boolean {
  return not_modelled("mm/cma.c: cma_release");
}
