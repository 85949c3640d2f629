// SPDX-License-Identifier: GPL-2.0-only
/** Batches of pages on their way between LRU lists (include/linux/pagevec.h, mm/swap.c). */

/** Pages in one batch. @kernel include/linux/pagevec.h:PAGEVEC_SIZE */
export const PAGEVEC_SIZE = 15;

/** One CPU's batches; each holds a reference to each of its pages. @kernel mm/swap.c:cpu_fbatches */
export class cpu_fbatches {
  readonly lru_add: number[] = [];
  readonly lru_rotate: number[] = [];
  readonly lru_deactivate_file: number[] = [];
  readonly lru_deactivate: number[] = [];
  readonly lru_lazyfree: number[] = [];
  readonly activate: number[] = [];
}
