// SPDX-License-Identifier: GPL-2.0-only
/**
 * Swap entries (include/linux/swapops.h): 31 bits, the number of a swap area above the offset of a page in it. In page
 * tables they stand where the page frame stands, marked by _PAGE_SWP; in page caches as values (lib/xarray.ts).
 */
/** 0 is no entry: the first page of each area holds its header. */
export type swp_entry_t = number;

const SWP_TYPE_SHIFT = 26;
const SWP_OFFSET_MASK = (1 << SWP_TYPE_SHIFT) - 1;
/** Areas that there can be; larger types are no swap at all. */
export const MAX_SWAPFILES = 23;
/** Stands for a page that could not be read back when its area went. @kernel SWP_SWAPIN_ERROR */
const SWP_SWAPIN_ERROR = 31;
/** Pages of the largest area that an entry can name. @kernel swapfile_maximum_size */
export const swapfile_maximum_size = SWP_OFFSET_MASK + 1;

export function swp_entry(type: number, offset: number): swp_entry_t {
  return ((type << SWP_TYPE_SHIFT) | offset) >>> 0;
}

export function swp_type(entry: swp_entry_t): number {
  return entry >>> SWP_TYPE_SHIFT;
}

export function swp_offset(entry: swp_entry_t): number {
  return entry & SWP_OFFSET_MASK;
}

/** Is it something other than a page in a swap area? */
export function non_swap_entry(entry: swp_entry_t): boolean {
  return swp_type(entry) >= MAX_SWAPFILES;
}

export function make_swapin_error_entry(pfn: number): swp_entry_t {
  return swp_entry(SWP_SWAPIN_ERROR, pfn & SWP_OFFSET_MASK);
}
