// SPDX-License-Identifier: GPL-2.0-only
/**
 * mlock and munlock of single pages: per-CPU batches, the unevictable list, and how often a page is locked
 * (mm/mlock.c, first half). An unevictable page is on no list; its `prev` is the mlock count, as in the kernel.
 */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import {
  PFN_SECTION_MASK,
  folio_nr_pages,
  page_test,
  page_zone,
  type mem_section,
} from "../../include/linux/mem_map.js";
import { VM_LOCKED } from "../../include/linux/mm.js";
import { _PAGE_PRESENT, _PAGE_PROTNONE, _PAGE_SPECIAL, type vm_area_struct } from "../../include/linux/mm_types.js";
import { PG_active, PG_head, PG_lru, PG_mlocked, PG_tail, PG_unevictable } from "../../include/linux/page-flags.js";
import { BATCH_MLOCK, batch_call, PAGEVEC_SIZE } from "../../include/linux/pagevec.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import {
  NR_MLOCK,
  UNEVICTABLE_PGCULLED,
  UNEVICTABLE_PGMLOCKED,
  UNEVICTABLE_PGMUNLOCKED,
  UNEVICTABLE_PGRESCUED,
  UNEVICTABLE_PGSTRANDED,
} from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { mlock_huge_pmd } from "../huge_memory/pmd.js";
import { pmd_huge, pte_index, pte_offset } from "../pgtable.js";
import { folio_evictable, lru_cache_disabled, lruvec_add_folio, lruvec_del_folio, release_pages } from "../swap.js";
import { __mod_zone_page_state, count_vm_events } from "../vmstat.js";

/** How an entry of a batch says what is to be done: the page frame × 4 and one of these, or 0 for munlock. */
const LRU_PAGE = 1;
const NEW_PAGE = 2;

/** The page frame that an entry of Machine.mlock_batch stands for; the batch holds a reference to it. */
export function mlock_batch_pfn(entry: number): number {
  return Math.floor(entry / 4);
}

/** Locks a page that is on the LRU. @kernel mm/mlock.c:__mlock_page @fidelity mirrored */
function __mlock_page(k: Machine, pfn: number, s: mem_section, i: number): void {
  if (!(s.flags[i]! & PG_lru)) return;
  const unevictable = (s.flags[i]! & PG_unevictable) !== 0;
  if (folio_evictable(k.mem, pfn)) {
    if (!unevictable) return;
    lruvec_del_folio(k, pfn);
    s.flags[i]! &= ~PG_unevictable;
    lruvec_add_folio(k, pfn);
    count_vm_events(k, UNEVICTABLE_PGRESCUED, folio_nr_pages(k.mem, pfn));
    return;
  }
  if (unevictable) {
    if (s.flags[i]! & PG_mlocked) s.setPrev(i, 0, s.prevOf(i, 0) + 1);
    return;
  }
  lruvec_del_folio(k, pfn);
  s.flags[i] = (s.flags[i]! & ~PG_active) | PG_unevictable;
  s.setPrev(i, 0, s.flags[i] & PG_mlocked ? 1 : 0);
  lruvec_add_folio(k, pfn);
  count_vm_events(k, UNEVICTABLE_PGCULLED, folio_nr_pages(k.mem, pfn));
}

/** Locks a page that is on its way to the LRU. @kernel mm/mlock.c:__mlock_new_page @fidelity mirrored */
function __mlock_new_page(k: Machine, pfn: number, s: mem_section, i: number): void {
  VM_BUG_ON((s.flags[i]! & PG_lru) !== 0, "mlock_new_page of a page on the LRU");
  if (!folio_evictable(k.mem, pfn)) {
    s.flags[i]! |= PG_unevictable;
    s.setPrev(i, 0, s.flags[i]! & PG_mlocked ? 1 : 0);
    count_vm_events(k, UNEVICTABLE_PGCULLED, folio_nr_pages(k.mem, pfn));
  }
  lruvec_add_folio(k, pfn);
  s.flags[i]! |= PG_lru;
}

/** Undoes one lock of a page. @kernel mm/mlock.c:__munlock_page @fidelity mirrored */
function __munlock_page(k: Machine, pfn: number, s: mem_section, i: number): void {
  const isolated = (s.flags[i]! & PG_lru) !== 0;
  const unevictable = (s.flags[i]! & PG_unevictable) !== 0;
  if (isolated && unevictable) {
    const mlocks = Math.max(s.prevOf(i, 0) - 1, 0);
    s.setPrev(i, 0, mlocks);
    if (mlocks > 0) return;
  }
  if (s.flags[i]! & PG_mlocked) {
    s.flags[i]! &= ~PG_mlocked;
    const nr_pages = folio_nr_pages(k.mem, pfn);
    __mod_zone_page_state(page_zone(k.mem, pfn), NR_MLOCK, -nr_pages);
    count_vm_events(k, isolated || !unevictable ? UNEVICTABLE_PGMUNLOCKED : UNEVICTABLE_PGSTRANDED, nr_pages);
  }
  if (isolated && unevictable && folio_evictable(k.mem, pfn)) {
    lruvec_del_folio(k, pfn);
    s.flags[i]! &= ~PG_unevictable;
    lruvec_add_folio(k, pfn);
    count_vm_events(k, UNEVICTABLE_PGRESCUED, folio_nr_pages(k.mem, pfn));
  }
}

/** Does what the batch says, and drops its references. @kernel mm/mlock.c:mlock_pagevec @fidelity mirrored */
function mlock_pagevec(k: Machine, batch: number[]): void {
  const entries = batch.splice(0);
  for (let n = 0; n < entries.length; n++) {
    const what = entries[n]! & (LRU_PAGE | NEW_PAGE);
    const pfn = mlock_batch_pfn(entries[n]!);
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    entries[n] = pfn;
    if (what === LRU_PAGE) __mlock_page(k, pfn, s, i);
    else if (what === NEW_PAGE) __mlock_new_page(k, pfn, s, i);
    else __munlock_page(k, pfn, s, i);
  }
  release_pages(k, entries);
}

/** Empties the running CPU's batch. @kernel mm/mlock.c:mlock_page_drain_local @fidelity mirrored */
export function mlock_page_drain_local(k: Machine): void {
  const batch = k.mlock_batch[k.cpu]!;
  if (batch.length > 0) mlock_pagevec(k, batch);
}

/** Empties another CPU's batch. @kernel mm/mlock.c:mlock_page_drain_remote @fidelity mirrored */
export function mlock_page_drain_remote(k: Machine, cpu: number): void {
  const batch = k.mlock_batch[cpu]!;
  if (batch.length > 0) mlock_pagevec(k, batch);
}

/** Is there anything in a CPU's batch? @kernel mm/mlock.c:need_mlock_page_drain @fidelity mirrored */
export function need_mlock_page_drain(k: Machine, cpu: number): boolean {
  return k.mlock_batch[cpu]!.length > 0;
}

/** Puts a page in the running CPU's batch with a reference, and empties the batch when it is full. */
function mlock_pagevec_add(k: Machine, pfn: number, s: mem_section, i: number, what: number): void {
  const batch = k.mlock_batch[k.cpu]!;
  s.addRefs(i, 1);
  k.batch_calls[k.cpu]![batch_call(BATCH_MLOCK, batch.length)] = k.calls.now;
  batch.push(pfn * 4 + what);
  if (batch.length >= PAGEVEC_SIZE || s.flags[i]! & PG_head || lru_cache_disabled(k)) mlock_pagevec(k, batch);
}

/**
 * Locks a page that is on the LRU, or temporarily off it.
 * @kernel mm/mlock.c:mlock_folio
 * @fidelity mirrored
 */
export function mlock_folio(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (!(s.flags[i]! & PG_mlocked)) {
    s.flags[i]! |= PG_mlocked;
    __mod_zone_page_state(page_zone(k.mem, pfn), NR_MLOCK, folio_nr_pages(k.mem, pfn));
    count_vm_events(k, UNEVICTABLE_PGMLOCKED, folio_nr_pages(k.mem, pfn));
  }
  mlock_pagevec_add(k, pfn, s, i, LRU_PAGE);
}

/**
 * Locks a page that was just allocated and is not on the LRU yet.
 * @kernel mm/mlock.c:mlock_new_page
 * @fidelity mirrored
 */
export function mlock_new_page(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  s.flags[i]! |= PG_mlocked;
  __mod_zone_page_state(page_zone(k.mem, pfn), NR_MLOCK, folio_nr_pages(k.mem, pfn));
  count_vm_events(k, UNEVICTABLE_PGMLOCKED, folio_nr_pages(k.mem, pfn));
  mlock_pagevec_add(k, pfn, s, i, NEW_PAGE);
}

/**
 * Undoes one lock of a page.
 * @kernel mm/mlock.c:munlock_page
 * @fidelity mirrored
 */
export function munlock_page(k: Machine, pfn: number): void {
  mlock_pagevec_add(k, pfn, k.mem.section(pfn), pfn & PFN_SECTION_MASK, 0);
}

/**
 * Locks or unlocks, as the VMA's flags say, all pages that are mapped in a range of it.
 * @kernel mm/mlock.c:mlock_pte_range
 * @fidelity mirrored
 * @param start bytes; `end` likewise
 */
export function mlock_pages_of_vma(k: Machine, vma: vm_area_struct, start: number, end: number): void {
  const lock = vm_flags_test(vma.vm_flags, VM_LOCKED);
  let next: number;
  for (let addr = start; addr < end; addr = next) {
    next = Math.min(end, (Math.floor(addr / PMD_SIZE) + 1) * PMD_SIZE);
    const huge = pmd_huge(vma.vm_mm, addr);
    if (huge !== undefined) mlock_huge_pmd(k, vma, huge);
    const table = pte_offset(vma.vm_mm, addr);
    if (table === undefined) continue;
    const first = pte_index(addr);
    const stop = first + (next - addr) / PAGE_SIZE;
    for (let i = first; i < stop; i++) {
      const pte = table.flags[i]!;
      if (!(pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) || pte & _PAGE_SPECIAL) continue;
      if (page_test(k.mem, table.pfn[i]!, PG_head | PG_tail)) continue;
      if (lock) mlock_folio(k, table.pfn[i]!);
      else munlock_page(k, table.pfn[i]!);
    }
  }
}
