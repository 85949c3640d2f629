// SPDX-License-Identifier: GPL-2.0-only
/** Memory for the kernel itself: contiguous, or made up of single pages (mm/vmalloc.c, mm/util.c). */
import { __GFP_COMP, __GFP_HIGHMEM, __GFP_NORETRY, __GFP_NOWARN } from "../include/linux/gfp.js";
import { MAX_ORDER } from "../include/linux/mmzone.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { __free_pages, alloc_page, alloc_pages } from "./page_alloc.js";
import { __alloc_pages_bulk } from "./page_alloc/bulk.js";

/** Pages that the bulk allocator is asked for at a time. */
const BULK_MAX = 100;

/** Memory from {@link kvmalloc}: one block of 2^order pages, or single ones (order 0). */
export interface kv_memory {
  readonly pages: readonly number[];
  readonly order: number;
}

/**
 * Gets single pages in bulk, and once that fails, one by one; fewer than `nr_pages` when there are no more.
 * @kernel mm/vmalloc.c:vm_area_alloc_pages
 * @fidelity simplified: order 0
 */
function vm_area_alloc_pages(k: Machine, gfp: number, nr_pages: number): number[] {
  const pages: number[] = [];
  while (pages.length < nr_pages) {
    const want = Math.min(BULK_MAX, nr_pages - pages.length);
    if (__alloc_pages_bulk(k, gfp, want, pages) !== want) break;
  }
  while (pages.length < nr_pages && k.current.fatal_signal === 0) {
    const pfn = alloc_page(k, gfp);
    if (pfn === 0) break;
    pages.push(pfn);
  }
  return pages;
}

/**
 * Memory whose pages need not lie together; null if there is not enough.
 * @kernel mm/vmalloc.c:__vmalloc_node_range
 * @fidelity simplified: 4 KiB pages; the area's descriptor, page array and page tables cost no memory
 */
function vmalloc_pages(k: Machine, nr_pages: number, gfp: number): kv_memory | null {
  const memory = { pages: vm_area_alloc_pages(k, gfp | __GFP_NOWARN | __GFP_HIGHMEM, nr_pages), order: 0 };
  if (memory.pages.length === nr_pages) return memory;
  kvfree(k, memory);
  return null;
}

/**
 * Memory for an array of `size` bytes: one block, without trying hard, or else single pages. Null if neither is to be had.
 * @kernel mm/util.c:kvmalloc_node
 * @fidelity simplified: what a slab cache would hold takes a page
 */
export function kvmalloc(k: Machine, size: number, gfp: number): kv_memory | null {
  const nr_pages = Math.max(1, Math.ceil(size / PAGE_SIZE));
  const order = Math.ceil(Math.log2(nr_pages));
  if (order < MAX_ORDER) {
    const pfn = alloc_pages(k, order > 0 ? gfp | __GFP_NOWARN | __GFP_NORETRY | __GFP_COMP : gfp, order);
    if (pfn !== 0) return { pages: [pfn], order };
    if (order === 0) return null;
  }
  return vmalloc_pages(k, nr_pages, gfp);
}

/** Gives memory from {@link kvmalloc} back. @kernel mm/util.c:kvfree @fidelity mirrored */
export function kvfree(k: Machine, memory: kv_memory): void {
  for (const pfn of memory.pages) __free_pages(k, pfn, memory.order);
}
