// SPDX-License-Identifier: GPL-2.0-only
/** Advice about pages rather than VMAs (mm/madvise.c: the page table walks of MADV_COLD, MADV_PAGEOUT, MADV_FREE). */
import { compound_head, page_mapcount, page_test, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_HUGETLB, VM_LOCKED, VM_PFNMAP, vma_is_anonymous } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_SPECIAL,
  _PAGE_SWP,
  MM_SWAPENTS,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import {
  PG_dirty,
  PG_head,
  PG_lru,
  PG_referenced,
  PG_swapcache,
  PG_tail,
  PG_unevictable,
} from "../../include/linux/page-flags.js";
import { non_swap_entry } from "../../include/linux/swapops.js";
import { PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINTR, EINVAL } from "../../uapi/errno.js";
import { folio_lock, folio_trylock, folio_unlock } from "../filemap.js";
import { madvise_free_huge_pmd } from "../huge_memory/pmd.js";
import { split_huge_page } from "../huge_memory/split.js";
import { next_pmd } from "../pagewalk.js";
import { pte_clear, pte_index, pte_present } from "../pgtable.js";
import {
  deactivate_page,
  folio_isolate_lru,
  folio_putback_lru,
  get_page,
  lru_add_drain,
  mark_page_lazyfree,
  put_page,
} from "../swap.js";
import { folio_free_swap, free_swap_and_cache } from "../swapfile.js";
import { reclaim_pages } from "../vmscan.js";

const NOT_ON_LRU = vm_flags_or(VM_LOCKED, VM_PFNMAP, VM_HUGETLB);

/** Part of a VMA that lies under one huge entry or in one table. */
interface pmd_range {
  readonly vma: vm_area_struct;
  readonly key: number;
  readonly addr: number;
  readonly end: number;
}

/** Calls `fn` for each table or huge entry of [start, end), with the part that is meant; ends at the first error. */
function walk_pmds(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  fn: (k: Machine, r: pmd_range) => number,
): number {
  const mm = vma.vm_mm;
  const first = Math.floor(start / PMD_SIZE);
  const last = Math.floor((end - 1) / PMD_SIZE);
  for (let key = next_pmd(mm, first, last); key >= 0; key = next_pmd(mm, key + 1, last)) {
    const addr = Math.max(start, key * PMD_SIZE);
    const error = fn(k, { vma, key, addr, end: Math.min(end, (key + 1) * PMD_SIZE) });
    if (error) return error;
  }
  return 0;
}

/** Splits the huge page that a small entry maps part of; false where that cannot be done now. */
function split_part(k: Machine, pfn: number): boolean {
  const head = compound_head(k.mem, pfn);
  if (!folio_trylock(k, head)) return false;
  get_page(k, pfn);
  const split = split_huge_page(k, pfn) === 0;
  folio_unlock(k, compound_head(k.mem, pfn));
  put_page(k, pfn);
  return split;
}

/** Takes a page off the LRU for MADV_PAGEOUT, or queues it for the inactive list for MADV_COLD. */
function cool(k: Machine, pfn: number, pageout: boolean, isolated: number[]): void {
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! &= ~PG_referenced;
  if (!pageout) {
    deactivate_page(k, pfn);
  } else if (folio_isolate_lru(k, pfn)) {
    if (page_test(k.mem, pfn, PG_unevictable)) folio_putback_lru(k, pfn);
    else isolated.push(pfn);
  }
}

/** The huge entry's part of MADV_COLD and MADV_PAGEOUT; false: there is a table now, which is to be looked at. */
function cold_huge(k: Machine, r: pmd_range, pageout: boolean): boolean {
  const pmd = r.vma.vm_mm.pgd.huge.get(r.key);
  if (pmd === undefined) return false;
  const page = pmd.pfn;
  if (pmd.flags & (_PAGE_SPECIAL | _PAGE_MIGRATION) || page_mapcount(k.mem, page) !== 1) return true;
  if (r.end - r.addr !== PMD_SIZE) {
    get_page(k, page);
    folio_lock(k, page);
    const err = split_huge_page(k, page);
    folio_unlock(k, page);
    put_page(k, page);
    return err !== 0;
  }
  pmd.flags &= ~_PAGE_ACCESSED;
  const isolated: number[] = [];
  cool(k, page, pageout, isolated);
  if (isolated.length > 0) reclaim_pages(k, isolated);
  return true;
}

/** @kernel mm/madvise.c:madvise_cold_or_pageout_pte_range @fidelity mirrored */
function cold_or_pageout(k: Machine, r: pmd_range, pageout: boolean): number {
  if (k.current.fatal_signal) return -EINTR;
  if (cold_huge(k, r, pageout)) return 0;
  const t = r.vma.vm_mm.pgd.pte.get(r.key);
  if (t === undefined) return 0;
  const isolated: number[] = [];
  const to = pte_index(r.end - 1) + 1;
  for (let i = pte_index(r.addr); i < to; i++) {
    const flags = t.flags[i]!;
    if (!pte_present(flags) || flags & _PAGE_SPECIAL) continue;
    const pfn: number = t.pfn[i]!;
    const s = k.mem.section(pfn);
    const p = pfn & PFN_SECTION_MASK;
    if (s.flags[p]! & (PG_head | PG_tail) && (page_mapcount(k.mem, pfn) !== 1 || !split_part(k, pfn))) break;
    if (!(s.flags[p]! & PG_lru) || s.mapcount[p] !== 1) continue;
    t.flags[i]! &= ~_PAGE_ACCESSED;
    cool(k, pfn, pageout, isolated);
  }
  if (pageout && isolated.length > 0) reclaim_pages(k, isolated.reverse());
  return 0;
}

function cold_range(k: Machine, r: pmd_range): number {
  return cold_or_pageout(k, r, false);
}

function pageout_range(k: Machine, r: pmd_range): number {
  return cold_or_pageout(k, r, true);
}

/**
 * MADV_COLD and MADV_PAGEOUT on part of one VMA.
 * @kernel mm/madvise.c:madvise_cold, madvise_pageout
 * @fidelity simplified: the running task may page out any file
 * @returns 0, or -EINVAL where the VMA is locked, hugetlb or of raw page frames
 */
export function madvise_cold(k: Machine, vma: vm_area_struct, start: number, end: number, pageout: boolean): number {
  if (vm_flags_test(vma.vm_flags, NOT_ON_LRU)) return -EINVAL;
  if (pageout && !vma_is_anonymous(vma) && vma.vm_file === null) return 0;
  lru_add_drain(k);
  walk_pmds(k, vma, start, end, pageout ? pageout_range : cold_range);
  return 0;
}

/** Makes a page that only this entry maps clean; false where somebody else has to do with it. */
function clean_for_free(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const p = pfn & PFN_SECTION_MASK;
  if (!(s.flags[p]! & (PG_swapcache | PG_dirty))) return true;
  if (!folio_trylock(k, pfn)) return false;
  const alone = s.mapcount[p] === 1 && (!(s.flags[p]! & PG_swapcache) || folio_free_swap(k, pfn));
  if (alone) s.flags[p]! &= ~PG_dirty;
  folio_unlock(k, pfn);
  return alone;
}

/** A page that is in swap is given up at once. */
function free_swap_pte(k: Machine, vma: vm_area_struct, t: pte_table, i: number): void {
  const entry = t.pfn[i]!;
  pte_clear(t, i);
  if (non_swap_entry(entry)) return;
  free_swap_and_cache(k, entry);
  vma.vm_mm.rss_stat[MM_SWAPENTS]!--;
}

/** @kernel mm/madvise.c:madvise_free_pte_range @fidelity mirrored */
function free_range(k: Machine, r: pmd_range): number {
  const pmd = r.vma.vm_mm.pgd.huge.get(r.key);
  if (pmd !== undefined && madvise_free_huge_pmd(k, pmd, r.addr, r.end)) return 0;
  const t = r.vma.vm_mm.pgd.pte.get(r.key);
  if (t === undefined) return 0;
  const to = pte_index(r.end - 1) + 1;
  for (let i = pte_index(r.addr); i < to; i++) {
    const flags = t.flags[i]!;
    if (flags & _PAGE_SWP) free_swap_pte(k, r.vma, t, i);
    if (!pte_present(flags) || flags & _PAGE_SPECIAL) continue;
    const pfn = t.pfn[i]!;
    if (page_test(k.mem, pfn, PG_head | PG_tail)) {
      // The stable branch asks its first page how many share it, whichever this one is.
      if (page_mapcount(k.mem, compound_head(k.mem, pfn)) !== 1 || !split_part(k, pfn)) break;
    }
    if (!clean_for_free(k, pfn)) continue;
    t.flags[i]! &= ~(_PAGE_ACCESSED | _PAGE_DIRTY);
    mark_page_lazyfree(k, pfn);
  }
  return 0;
}

/**
 * MADV_FREE on part of one VMA.
 * @kernel mm/madvise.c:madvise_free_single_vma
 * @fidelity mirrored
 * @returns 0, or -EINVAL where the VMA is not anonymous
 */
export function madvise_free_single_vma(k: Machine, vma: vm_area_struct, start: number, end: number): number {
  if (!vma_is_anonymous(vma)) return -EINVAL;
  lru_add_drain(k);
  return walk_pmds(k, vma, start, end, free_range);
}
