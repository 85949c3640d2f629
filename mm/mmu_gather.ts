// SPDX-License-Identifier: GPL-2.0-only
/** Pages whose entries are gone, gathered so that they are freed together (mm/mmu_gather.c). */
import { __GFP_NOWARN, GFP_NOWAIT } from "../include/linux/gfp.js";
import type { mm_struct } from "../include/linux/mm_types.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { NR_SWAPCACHE } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { __free_pages, alloc_page } from "./page_alloc.js";
import { lru_add_drain, release_pages } from "./swap.js";
import { free_swap_cache } from "./swap_state.js";

/** Pages that a gather has room for by itself. */
const MMU_GATHER_BUNDLE = 8;
/** Pages that a batch of one page more has room for: pointers of 8 bytes, behind a head of 16. */
const MAX_GATHER_BATCH = (PAGE_SIZE - 16) / 8;
const MAX_GATHER_BATCH_COUNT = Math.floor(10000 / MAX_GATHER_BATCH);

/** @kernel include/asm-generic/tlb.h:mmu_gather @fidelity simplified: batches have the size that 64-bit machines give them */
export class mmu_gather {
  readonly mm: mm_struct;
  /** Page frames in the order in which they came. */
  pages: number[] = [];
  /** How many there are when the batch under way is full. */
  full = MMU_GATHER_BUNDLE;
  /** Page frames that batches stand in. */
  readonly batches: number[] = [];
  constructor(mm: mm_struct) {
    this.mm = mm;
  }
}

/** Goes on to the next batch, which may have to be allocated; false if there is none to be had. @kernel mm/mmu_gather.c:tlb_next_batch @fidelity mirrored */
function tlb_next_batch(k: Machine, tlb: mmu_gather): boolean {
  const { batches } = tlb;
  if ((tlb.full - MMU_GATHER_BUNDLE) / MAX_GATHER_BATCH === batches.length) {
    if (batches.length === MAX_GATHER_BATCH_COUNT) return false;
    const page = alloc_page(k, GFP_NOWAIT | __GFP_NOWARN);
    if (page === 0) return false;
    batches.push(page);
  }
  tlb.full += MAX_GATHER_BATCH;
  return true;
}

/**
 * Gathers a page; true if there is room for no other and the caller has to flush.
 * @kernel mm/mmu_gather.c:__tlb_remove_page_size
 * @fidelity mirrored
 */
export function __tlb_remove_page(k: Machine, tlb: mmu_gather, pfn: number): boolean {
  tlb.pages.push(pfn);
  return tlb.pages.length === tlb.full && !tlb_next_batch(k, tlb);
}

/** Gathers a page, and flushes if there is room for no other. @kernel include/asm-generic/tlb.h:tlb_remove_page @fidelity mirrored */
export function tlb_remove_page(k: Machine, tlb: mmu_gather, pfn: number): void {
  if (__tlb_remove_page(k, tlb, pfn)) tlb_flush_mmu(k, tlb);
}

/** Drops references, and with the last of a page its slot. @kernel mm/swap_state.c:free_pages_and_swap_cache @fidelity mirrored */
function free_pages_and_swap_cache(k: Machine, pages: readonly number[]): void {
  lru_add_drain(k);
  if (k.nodes.some((node) => node.vm_stat[NR_SWAPCACHE]! > 0)) for (const pfn of pages) free_swap_cache(k, pfn);
  release_pages(k, pages);
}

/** Drops the gathered references, batch by batch. @kernel mm/mmu_gather.c:tlb_flush_mmu @fidelity mirrored */
export function tlb_flush_mmu(k: Machine, tlb: mmu_gather): void {
  const { pages } = tlb;
  tlb.pages = [];
  tlb.full = MMU_GATHER_BUNDLE;
  let end = MMU_GATHER_BUNDLE;
  for (let from = 0; from < pages.length; from = end, end += MAX_GATHER_BATCH)
    free_pages_and_swap_cache(k, pages.slice(from, end));
}

/** Drops what is left, and gives the batches back. @kernel mm/mmu_gather.c:tlb_finish_mmu @fidelity mirrored */
export function tlb_finish_mmu(k: Machine, tlb: mmu_gather): void {
  tlb_flush_mmu(k, tlb);
  for (const page of tlb.batches) __free_pages(k, page, 0);
}
