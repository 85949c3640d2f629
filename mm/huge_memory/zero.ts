// SPDX-License-Identifier: GPL-2.0-only
/** The huge zero page, which readers of untouched memory share (mm/huge_memory.c). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { __GFP_MOVABLE, __GFP_ZERO, GFP_TRANSHUGE } from "../../include/linux/gfp.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import { MMF_HUGE_ZERO_PAGE } from "../../include/linux/sched/coredump.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER } from "../../include/linux/types.js";
import { THP_ZERO_PAGE_ALLOC, THP_ZERO_PAGE_ALLOC_FAILED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { __free_pages, alloc_pages } from "../page_alloc.js";
import { count_vm_event } from "../vmstat.js";
import { thp_state_of } from "./deferred.js";

/** Is a page part of the huge zero page? @kernel include/linux/huge_mm.h:is_huge_zero_page @fidelity mirrored */
export function is_huge_zero_page(k: Machine, pfn: number): boolean {
  const zero = thp_state_of(k).huge_zero_pfn;
  return zero !== 0 && pfn >= zero && pfn < zero + HPAGE_PMD_NR;
}

function get_huge_zero_page(k: Machine): boolean {
  const state = thp_state_of(k);
  if (state.huge_zero_refcount > 0) {
    state.huge_zero_refcount++;
    return true;
  }
  const page = alloc_pages(k, (GFP_TRANSHUGE | __GFP_ZERO) & ~__GFP_MOVABLE, HPAGE_PMD_ORDER);
  if (page === 0) {
    count_vm_event(k, THP_ZERO_PAGE_ALLOC_FAILED);
    return false;
  }
  state.huge_zero_pfn = page;
  state.huge_zero_refcount = 2;
  count_vm_event(k, THP_ZERO_PAGE_ALLOC);
  return true;
}

function put_huge_zero_page(k: Machine): void {
  VM_BUG_ON(--thp_state_of(k).huge_zero_refcount === 0, "the huge zero page's last reference is the shrinker's");
}

/**
 * The huge zero page, on which an address space then has a reference until it goes; 0 when there is no memory for one.
 * @kernel mm/huge_memory.c:mm_get_huge_zero_page
 * @fidelity mirrored
 */
export function mm_get_huge_zero_page(k: Machine, mm: mm_struct): number {
  if (!(mm.flags & MMF_HUGE_ZERO_PAGE)) {
    if (!get_huge_zero_page(k)) return 0;
    mm.flags |= MMF_HUGE_ZERO_PAGE;
  }
  return thp_state_of(k).huge_zero_pfn;
}

/** @kernel mm/huge_memory.c:mm_put_huge_zero_page @fidelity mirrored */
export function mm_put_huge_zero_page(k: Machine, mm: mm_struct): void {
  if (!(mm.flags & MMF_HUGE_ZERO_PAGE)) return;
  mm.flags &= ~MMF_HUGE_ZERO_PAGE;
  put_huge_zero_page(k);
}

/**
 * Frees the huge zero page once no address space uses it; pages freed.
 * @kernel mm/huge_memory.c:shrink_huge_zero_page_scan
 * @fidelity mirrored
 */
export function shrink_huge_zero_page_scan(k: Machine): number {
  const state = thp_state_of(k);
  if (state.huge_zero_refcount !== 1) return 0;
  state.huge_zero_refcount = 0;
  const page = state.huge_zero_pfn;
  state.huge_zero_pfn = 0;
  __free_pages(k, page, HPAGE_PMD_ORDER);
  return HPAGE_PMD_NR;
}
