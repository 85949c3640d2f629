// SPDX-License-Identifier: GPL-2.0-only
/** Taking entries out of page tables and freeing what they mapped (mm/memory.c: zap_*, unmap_*). */
import type { address_space } from "../../include/linux/fs.js";
import { compound_head, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_PFNMAP, VM_SEQ_READ, vma_pages } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_SPECIAL,
  _PAGE_SWP,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { PG_dirty, PG_swapbacked } from "../../include/linux/page-flags.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { non_swap_entry } from "../../include/linux/swapops.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { zap_huge_pmd } from "../huge_memory/pmd.js";
import { __split_huge_pmd } from "../huge_memory/split_pmd.js";
import { find_vma } from "../mmap.js";
import { __tlb_remove_page, mmu_gather, tlb_finish_mmu, tlb_flush_mmu } from "../mmu_gather.js";
import { next_pmd } from "../pagewalk.js";
import { pte_index, pte_present } from "../pgtable.js";
import { page_remove_rmap } from "../rmap.js";
import { lru_add_drain, mark_page_accessed } from "../swap.js";
import { free_swap_and_cache } from "../swapfile.js";

/** What a zap spares: without `even_cows`, private pages of a file mapping stay. @kernel include/linux/mm.h:zap_details */
export interface zap_details {
  readonly even_cows: boolean;
}

/** Which counter of mm.rss_stat a page is in. @kernel include/linux/mm.h:mm_counter @fidelity mirrored */
export function mm_counter(k: Machine, pfn: number): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (k.mem.owners[s.mapping[i]!]?.is_anon === true) return MM_ANONPAGES;
  return mm_counter_file(k, pfn);
}

/** The same for a page known to be a file's. @kernel include/linux/mm.h:mm_counter_file @fidelity mirrored */
export function mm_counter_file(k: Machine, pfn: number): number {
  return k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! & PG_swapbacked ? MM_SHMEMPAGES : MM_FILEPAGES;
}

const KEPT = -1;
const UNCOUNTED = -2;

/** Gives up what an entry has that maps no page; which counter it was in, or one of the above. */
function zap_nonpresent(k: Machine, t: pte_table, i: number, cows: boolean): number {
  const flags = t.flags[i]!;
  if (flags & _PAGE_MIGRATION) {
    const counter = mm_counter(k, t.pfn[i]!);
    return !cows && counter === MM_ANONPAGES ? KEPT : counter;
  }
  VM_BUG_ON(!(flags & _PAGE_SWP), "zapping an unknown kind of entry");
  if (!cows) return KEPT;
  if (non_swap_entry(t.pfn[i]!)) return UNCOUNTED;
  free_swap_and_cache(k, t.pfn[i]!);
  return MM_SWAPENTS;
}

/** Zaps entries [from, to) of one table, which lies at the VMA's addresses. @kernel mm/memory.c:zap_pte_range */
function zap_pte_range(
  k: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  t: pte_table,
  from: number,
  to: number,
  cows: boolean,
): void {
  const m = k.mem;
  const rss = tlb.mm.rss_stat;
  const { pfn: pfns, flags: ptes } = t;
  const seq_read = vm_flags_test(vma.vm_flags, VM_SEQ_READ);
  let force_flush = false;
  for (let i = from; i < to; i++) {
    const pte = ptes[i]!;
    if (pte === 0) continue;
    const pfn = pfns[i]!;
    if (!pte_present(pte)) {
      const counter = zap_nonpresent(k, t, i, cows);
      if (counter === KEPT) continue;
      if (counter >= 0) rss[counter]!--;
      pfns[i] = 0;
      ptes[i] = 0;
      continue;
    }
    if (pte & _PAGE_SPECIAL) {
      pfns[i] = 0;
      ptes[i] = 0;
      continue;
    }
    const s = m.section(pfn);
    const p = pfn & PFN_SECTION_MASK;
    if (m.owners[s.mapping[p]!]?.is_anon === true) {
      if (!cows) continue;
      rss[MM_ANONPAGES]!--;
    } else {
      const head = compound_head(m, pfn);
      if (pte & _PAGE_DIRTY) {
        force_flush = true;
        s.flags[head & PFN_SECTION_MASK]! |= PG_dirty;
      }
      if (pte & _PAGE_ACCESSED && !seq_read) mark_page_accessed(k, head);
      rss[s.flags[p]! & PG_swapbacked ? MM_SHMEMPAGES : MM_FILEPAGES]!--;
    }
    pfns[i] = 0;
    ptes[i] = 0;
    page_remove_rmap(k, pfn, vma);
    if (__tlb_remove_page(k, tlb, pfn)) {
      tlb_flush_mmu(k, tlb);
      force_flush = false;
    }
  }
  if (force_flush) tlb_flush_mmu(k, tlb);
}

/** Zaps a huge entry of which [addr, end) is meant; false where that left a table of entries. @kernel mm/memory.c:zap_pmd_range */
function zap_pmd(k: Machine, tlb: mmu_gather, vma: vm_area_struct, key: number, addr: number, end: number): boolean {
  const pmd = tlb.mm.pgd.huge.get(key);
  if (pmd === undefined) return false;
  const start = Math.max(addr, key * PMD_SIZE);
  if (Math.min(end, (key + 1) * PMD_SIZE) - start === PMD_SIZE) {
    zap_huge_pmd(k, tlb, vma, key, pmd);
    return true;
  }
  __split_huge_pmd(k, vma, start, false, 0);
  return !tlb.mm.pgd.pte.has(key);
}

/**
 * Zaps [addr, end) of a VMA.
 * @kernel mm/memory.c:unmap_page_range
 * @fidelity mirrored: VM_FAULT races and TLB flushes aside
 */
export function unmap_page_range(
  k: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  addr: number,
  end: number,
  details: zap_details | null,
): void {
  const cows = details === null || details.even_cows;
  const last = Math.floor((end - 1) / PMD_SIZE);
  const first = Math.floor(addr / PMD_SIZE);
  for (let key = next_pmd(tlb.mm, first, last); key >= 0; key = next_pmd(tlb.mm, key + 1, last)) {
    if (tlb.mm.pgd.huge.size > 0 && zap_pmd(k, tlb, vma, key, addr, end)) continue;
    const from = key === first ? pte_index(addr) : 0;
    const to = key === last ? pte_index(end - 1) + 1 : 512;
    zap_pte_range(k, tlb, vma, tlb.mm.pgd.pte.get(key)!, from, to, cows);
  }
}

function unmap_single_vma(
  k: Machine,
  tlb: mmu_gather,
  vma: vm_area_struct,
  start_addr: number,
  end_addr: number,
  details: zap_details | null,
): void {
  const start = Math.max(vma.vm_start, start_addr);
  const end = Math.min(vma.vm_end, end_addr);
  if (start < end) unmap_page_range(k, tlb, vma, start, end, details);
}

/**
 * Unmaps the part of [start, end) that each VMA of an ascending list covers.
 * @kernel mm/memory.c:unmap_vmas
 * @fidelity mirrored
 */
export function unmap_vmas(
  k: Machine,
  tlb: mmu_gather,
  vmas: Iterable<vm_area_struct>,
  start: number,
  end: number,
): void {
  for (const vma of vmas) unmap_single_vma(k, tlb, vma, start, end, null);
}

/**
 * Unmaps `size` bytes from `start` on, in this VMA and those behind it.
 * @kernel mm/memory.c:zap_page_range
 * @fidelity mirrored
 */
export function zap_page_range(k: Machine, first: vm_area_struct, start: number, size: number): void {
  const end = start + size;
  const mm = first.vm_mm;
  lru_add_drain(k);
  const tlb = new mmu_gather(mm);
  let vma: vm_area_struct | undefined = first;
  while (vma !== undefined && vma.vm_start < end) {
    unmap_single_vma(k, tlb, vma, start, end, null);
    vma = find_vma(mm, vma.vm_end);
  }
  tlb_finish_mmu(k, tlb);
}

/**
 * Unmaps `size` bytes of one VMA.
 * @kernel mm/memory.c:zap_page_range_single
 * @fidelity mirrored
 */
export function zap_page_range_single(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  size: number,
  details: zap_details | null,
): void {
  lru_add_drain(k);
  const tlb = new mmu_gather(vma.vm_mm);
  unmap_single_vma(k, tlb, vma, address, address + size, details);
  tlb_finish_mmu(k, tlb);
}

/** Unmaps part of a VM_PFNMAP VMA. @kernel mm/memory.c:zap_vma_ptes @fidelity mirrored */
export function zap_vma_ptes(k: Machine, vma: vm_area_struct, address: number, size: number): void {
  if (address < vma.vm_start || address + size > vma.vm_end || !vm_flags_test(vma.vm_flags, VM_PFNMAP)) return;
  zap_page_range_single(k, vma, address, size, null);
}

/**
 * Unmaps `nr` pages of a file from `start` on (0: to its end) from all address spaces.
 * @kernel mm/memory.c:unmap_mapping_pages
 * @fidelity mirrored
 */
export function unmap_mapping_pages(
  k: Machine,
  mapping: address_space,
  start: number,
  nr: number,
  even_cows: boolean,
): void {
  const last = nr === 0 ? Infinity : start + nr - 1;
  for (const vma of mapping.i_mmap) {
    const vba = vma.vm_pgoff;
    const vea = vba + vma_pages(vma) - 1;
    if (vea < start || vba > last) continue;
    const from = (Math.max(start, vba) - vba) * PAGE_SIZE + vma.vm_start;
    const to = (Math.min(last, vea) - vba + 1) * PAGE_SIZE + vma.vm_start;
    zap_page_range_single(k, vma, from, to - from, { even_cows });
  }
}

/**
 * Unmaps a range of a file, in bytes, rounded out to pages; a length of 0 reaches to the end.
 * @kernel mm/memory.c:unmap_mapping_range
 * @fidelity mirrored
 */
export function unmap_mapping_range(
  k: Machine,
  mapping: address_space,
  holebegin: number,
  holelen: number,
  even_cows: boolean,
): void {
  const hba = Math.floor(holebegin / PAGE_SIZE);
  unmap_mapping_pages(k, mapping, hba, Math.ceil(holelen / PAGE_SIZE), even_cows);
}
