// SPDX-License-Identifier: GPL-2.0-only
/** Dirty pages (mm/page-writeback.c). Nothing is ever written back, and dirty pages of files are not counted. */
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { PG_dirty, PG_reclaim } from "../include/linux/page-flags.js";
import type { Machine } from "../include/machine.js";

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
