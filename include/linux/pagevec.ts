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

/** Places of a CPU's batches in Machine.batch_calls; that of mlock comes after those of the LRU. No part of the kernel. */
export const BATCH_LRU_ADD = 0;
export const BATCH_LRU_ROTATE = 1;
export const BATCH_LRU_DEACTIVATE_FILE = 2;
export const BATCH_LRU_DEACTIVATE = 3;
export const BATCH_LRU_LAZYFREE = 4;
export const BATCH_ACTIVATE = 5;
export const BATCH_MLOCK = 6;
export const NR_BATCHES = 7;

/** The batches of the LRU in the order of their places. */
export const lru_batch_names = [
  "lru_add",
  "lru_rotate",
  "lru_deactivate_file",
  "lru_deactivate",
  "lru_lazyfree",
  "activate",
] as const satisfies readonly (keyof cpu_fbatches)[];

/** Where Machine.batch_calls has the entry into the kernel that filled a place of a batch. */
export function batch_call(batch: number, place: number): number {
  return batch * PAGEVEC_SIZE + place;
}
