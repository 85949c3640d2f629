// SPDX-License-Identifier: GPL-2.0-only
/** An area of the contiguous memory allocator (mm/cma.h). */

export interface cma {
  readonly name: string;
  readonly base_pfn: number;
  /** Pages. */
  readonly count: number;
  /** A byte a page: 1 while somebody has it, or is about to. */
  readonly bitmap: Uint8Array;
  /** Pages that were allocated, and that could not be, since boot. */
  nr_pages_succeeded: number;
  nr_pages_failed: number;
}
