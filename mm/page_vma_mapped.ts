// SPDX-License-Identifier: GPL-2.0-only
/** The entries of one VMA that map a page, or any part of a huge page (mm/page_vma_mapped.c). */
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { _PAGE_MIGRATION, type huge_pmd, type pte_table, type vm_area_struct } from "../include/linux/mm_types.js";
import { HPAGE_PMD_NR, PAGE_SIZE } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { pmd_huge, pte_index, pte_offset, pte_present } from "./pgtable.js";
import { nr_pages } from "./swap/lruvec.js";

/** What is done to each entry found; false ends the walk, and is its result. */
export interface mapped_entry_visitor<A> {
  pte(k: Machine, page: number, vma: vm_area_struct, table: pte_table, i: number, address: number, arg: A): boolean;
  huge(k: Machine, pfn: number, vma: vm_area_struct, pmd: huge_pmd, address: number, arg: A): boolean;
}

/** What the walk does for an ordinary page, whose entry can be at one place only. */
function one_entry<A>(
  k: Machine,
  pfn: number,
  vma: vm_area_struct,
  address: number,
  migration: boolean,
  visit: mapped_entry_visitor<A>,
  arg: A,
): boolean {
  const t = pte_offset(vma.vm_mm, address);
  const i = pte_index(address);
  if (t?.pfn[i] !== pfn) return true;
  const flags = t.flags[i]!;
  const fits = migration ? (flags & _PAGE_MIGRATION) !== 0 : pte_present(flags);
  return fits ? visit.pte(k, pfn, vma, t, i, address, arg) : true;
}

/**
 * Visits the entries of a VMA that map a page, or parts of a huge page (by its head): present ones, or with `migration`
 * the migration entries that hold its place.
 * @kernel mm/page_vma_mapped.c:page_vma_mapped_walk
 * @fidelity mirrored
 * @param address of the page, or of the first part of the huge page that the VMA can map
 * @param arg what the visits are told
 * @returns whether all visits said true
 */
export function page_vma_mapped_walk<A>(
  k: Machine,
  pfn: number,
  vma: vm_area_struct,
  address: number,
  migration: boolean,
  visit: mapped_entry_visitor<A>,
  arg: A,
): boolean {
  const s = k.mem.section(pfn);
  const nr = nr_pages(s, pfn & PFN_SECTION_MASK);
  if (nr === 1) return one_entry(k, pfn, vma, address, migration, visit, arg);
  const mm = vma.vm_mm;
  const index = s.index[pfn & PFN_SECTION_MASK]!;
  const first = ((address - vma.vm_start) / PAGE_SIZE + vma.vm_pgoff - index) >>> 0;
  const end = Math.min(vma.vm_end, address + (nr - first) * PAGE_SIZE);
  while (address < end) {
    const pmd = nr === HPAGE_PMD_NR ? pmd_huge(mm, address) : undefined;
    if (pmd !== undefined) {
      const fits = pmd.pfn === pfn && migration === ((pmd.flags & _PAGE_MIGRATION) !== 0);
      return fits ? visit.huge(k, pfn, vma, pmd, address, arg) : true;
    }
    const t = pte_offset(mm, address);
    const from = pte_index(address);
    const to = Math.min(512, from + (end - address) / PAGE_SIZE);
    for (let i = from; t !== undefined && i < to; i++) {
      const page = t.pfn[i]!;
      if (page < pfn || page >= pfn + nr) continue;
      const flags = t.flags[i]!;
      const fits = migration ? (flags & _PAGE_MIGRATION) !== 0 : pte_present(flags);
      if (fits && !visit.pte(k, page, vma, t, i, address + (i - from) * PAGE_SIZE, arg)) return false;
    }
    address += (to - from) * PAGE_SIZE;
  }
  return true;
}
