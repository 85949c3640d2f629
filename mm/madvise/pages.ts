// SPDX-License-Identifier: GPL-2.0-only
/** Advice about pages rather than VMAs (mm/madvise.c: the page table walks of MADV_COLD, MADV_PAGEOUT, MADV_FREE). */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_HUGETLB, VM_LOCKED, VM_PFNMAP, vma_is_anonymous } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_SPECIAL,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import {
  PG_dirty,
  PG_locked,
  PG_lru,
  PG_referenced,
  PG_swapcache,
  PG_unevictable,
} from "../../include/linux/page-flags.js";
import { PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINTR, EINVAL } from "../../uapi/errno.js";
import { next_table } from "../pagewalk.js";
import { pte_index, pte_present } from "../pgtable.js";
import { deactivate_page, folio_isolate_lru, folio_putback_lru, lru_add_drain, mark_page_lazyfree } from "../swap.js";
import { reclaim_pages } from "../vmscan.js";

const NOT_ON_LRU = vm_flags_or(VM_LOCKED, VM_PFNMAP, VM_HUGETLB);

/** Calls `fn` for each table of [start, end), with the entries that are meant; ends at the first error. */
function walk_tables(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  fn: (k: Machine, t: pte_table, from: number, to: number) => number,
): number {
  const mm = vma.vm_mm;
  const first = Math.floor(start / PMD_SIZE);
  const last = Math.floor((end - 1) / PMD_SIZE);
  for (let key = next_table(mm, first, last); key >= 0; key = next_table(mm, key + 1, last)) {
    const from = key === first ? pte_index(start) : 0;
    const to = key === last ? pte_index(end - 1) + 1 : 512;
    const error = fn(k, mm.pgd.pte.get(key)!, from, to);
    if (error) return error;
  }
  return 0;
}

/** @kernel mm/madvise.c:madvise_cold_or_pageout_pte_range */
function cold_or_pageout(k: Machine, t: pte_table, from: number, to: number, pageout: boolean): number {
  if (k.current.fatal_signal) return -EINTR;
  const isolated: number[] = [];
  for (let i = from; i < to; i++) {
    const flags = t.flags[i]!;
    if (!pte_present(flags) || flags & _PAGE_SPECIAL) continue;
    const pfn = t.pfn[i]!;
    const s = k.mem.section(pfn);
    const p = pfn & PFN_SECTION_MASK;
    if (!(s.flags[p]! & PG_lru) || s.mapcount[p] !== 1) continue;
    t.flags[i] = flags & ~_PAGE_ACCESSED;
    s.flags[p]! &= ~PG_referenced;
    if (!pageout) {
      deactivate_page(k, pfn);
    } else if (folio_isolate_lru(k, pfn)) {
      if (s.flags[p]! & PG_unevictable) folio_putback_lru(k, pfn);
      else isolated.push(pfn);
    }
  }
  if (pageout && isolated.length > 0) reclaim_pages(k, isolated.reverse());
  return 0;
}

function cold_range(k: Machine, t: pte_table, from: number, to: number): number {
  return cold_or_pageout(k, t, from, to, false);
}

function pageout_range(k: Machine, t: pte_table, from: number, to: number): number {
  return cold_or_pageout(k, t, from, to, true);
}

/**
 * MADV_COLD and MADV_PAGEOUT on part of one VMA.
 * @kernel mm/madvise.c:madvise_cold, madvise_pageout
 * @fidelity simplified: no huge pages; the running task may page out any file
 * @returns 0, or -EINVAL where the VMA is locked, hugetlb or of raw page frames
 */
export function madvise_cold(k: Machine, vma: vm_area_struct, start: number, end: number, pageout: boolean): number {
  if (vm_flags_test(vma.vm_flags, NOT_ON_LRU)) return -EINVAL;
  if (pageout && !vma_is_anonymous(vma) && vma.vm_file === null) return 0;
  lru_add_drain(k);
  walk_tables(k, vma, start, end, pageout ? pageout_range : cold_range);
  return 0;
}

/** Makes a page that only this entry maps clean; false where somebody else has to do with it. */
function clean_for_free(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const p = pfn & PFN_SECTION_MASK;
  const flags = s.flags[p]!;
  if (!(flags & (PG_swapcache | PG_dirty))) return true;
  if (flags & PG_locked || s.mapcount[p] !== 1 || flags & PG_swapcache) return false;
  s.flags[p]! &= ~PG_dirty;
  return true;
}

/** @kernel mm/madvise.c:madvise_free_pte_range */
function free_range(k: Machine, t: pte_table, from: number, to: number): number {
  for (let i = from; i < to; i++) {
    const flags = t.flags[i]!;
    if (!pte_present(flags) || flags & _PAGE_SPECIAL) continue;
    if (!clean_for_free(k, t.pfn[i]!)) continue;
    t.flags[i] = flags & ~(_PAGE_ACCESSED | _PAGE_DIRTY);
    mark_page_lazyfree(k, t.pfn[i]!);
  }
  return 0;
}

/**
 * MADV_FREE on part of one VMA.
 * @kernel mm/madvise.c:madvise_free_single_vma
 * @fidelity simplified: no huge pages, no swap entries
 * @returns 0, or -EINVAL where the VMA is not anonymous
 */
export function madvise_free_single_vma(k: Machine, vma: vm_area_struct, start: number, end: number): number {
  if (!vma_is_anonymous(vma)) return -EINVAL;
  lru_add_drain(k);
  return walk_tables(k, vma, start, end, free_range);
}
