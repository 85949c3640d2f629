// SPDX-License-Identifier: GPL-2.0-only
/**
 * Page tables (arch/x86/include/asm/pgtable.h, mm/pgtable-generic.c, the allocating half of mm/memory.c). The upper
 * levels are maps from address ranges to the page that each table stands in; tables of entries are typed arrays.
 */
import { VM_BUG_ON } from "../include/linux/bug.js";
import { GFP_PGTABLE_USER } from "../include/linux/gfp.js";
import type { Machine } from "../include/machine.js";
import { page_clear, page_set, page_zone } from "../include/linux/mem_map.js";
import { VM_ACCESS_FLAGS, VM_SHARED, VM_WRITE } from "../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SPECIAL,
  type huge_pmd,
  type mm_struct,
  pte_table,
  type vm_area_struct,
} from "../include/linux/mm_types.js";
import { vma_pkey } from "../include/linux/mmu_context.js";
import { PG_table } from "../include/linux/page-flags.js";
import { PAGE_SIZE, PMD_SIZE } from "../include/linux/types.js";
import { vm_flags_all, vm_flags_or, vm_flags_test } from "../include/linux/vm_flags.js";
import { NR_PAGETABLE } from "../include/linux/vmstat.js";
import { type mmu_gather, tlb_remove_page } from "./mmu_gather.js";
import { __free_pages, alloc_page } from "./page_alloc.js";
import { __mod_node_page_state } from "./vmstat.js";

export const PUD_SIZE = 2 ** 30;
export const PGDIR_SIZE = 2 ** 39;
const VM_SHARED_WRITE = vm_flags_or(VM_SHARED, VM_WRITE);

/** Place of an address's entry in its table. */
export function pte_index(addr: number): number {
  return Math.floor(addr / PAGE_SIZE) & 511;
}

/** Which 2 MiB of the address space: the key of pgd_t.pte. */
export function pmd_index(addr: number): number {
  return Math.floor(addr / PMD_SIZE);
}

/** The table that holds an address's entry, if there is one. */
export function pte_offset(mm: mm_struct, addr: number): pte_table | undefined {
  const pgd = mm.pgd;
  const key = Math.floor(addr / PMD_SIZE);
  if (key === pgd.last_key) return pgd.last_table;
  const table = pgd.pte.get(key);
  if (table !== undefined) {
    pgd.last_key = key;
    pgd.last_table = table;
  }
  return table;
}

/** Takes a table of entries out of an address space; the caller has it, or frees it. @kernel pmd_clear */
export function pmd_clear(mm: mm_struct, key: number): void {
  mm.pgd.pte.delete(key);
  if (mm.pgd.last_key === key) {
    mm.pgd.last_key = -1;
    mm.pgd.last_table = undefined;
  }
}

/** The huge entry at an address, if there is one. */
export function pmd_huge(mm: mm_struct, addr: number): huge_pmd | undefined {
  const { huge } = mm.pgd;
  return huge.size === 0 ? undefined : huge.get(Math.floor(addr / PMD_SIZE));
}

/** Puts a huge entry in place; what it deposits is a table of the address space. */
export function set_pmd_at(mm: mm_struct, addr: number, pmd: huge_pmd): void {
  const key = Math.floor(addr / PMD_SIZE);
  VM_BUG_ON(mm.pgd.pte.has(key) || mm.pgd.huge.has(key), "a huge entry is put where there is something");
  mm.pgd.huge.set(key, pmd);
}

export function pte_present(flags: number): boolean {
  return (flags & (_PAGE_PRESENT | _PAGE_PROTNONE)) !== 0;
}

export function pte_protnone(flags: number): boolean {
  return (flags & _PAGE_PROTNONE) !== 0;
}

export function pte_write(flags: number): boolean {
  return (flags & _PAGE_RW) !== 0;
}

export function pte_none(t: pte_table, i: number): boolean {
  return t.flags[i] === 0 && t.pfn[i] === 0;
}

export function set_pte(t: pte_table, i: number, pfn: number, flags: number): void {
  t.pfn[i] = pfn;
  t.flags[i] = flags;
}

/** Puts an entry in place that takes a reference of the page, and notes by which entry into the kernel. */
export function set_pte_at(k: Machine, t: pte_table, i: number, pfn: number, flags: number): void {
  set_pte(t, i, pfn, flags);
  const { now } = k.calls;
  if (t.by !== now) t.note(i, now);
}

export function pte_clear(t: pte_table, i: number): void {
  t.pfn[i] = 0;
  t.flags[i] = 0;
}

/**
 * Flags of an entry that maps a page of this VMA before anything was written: young, and writable only in a shared
 * writable mapping whose file does not want to hear of the first write.
 * @kernel include/linux/mm_types.h:vm_area_struct.vm_page_prot, mm/mmap.c:vma_set_page_prot
 * @fidelity simplified: computed from the VMA's flags when needed, not kept; protection keys are the VMA's (vm_pkey), not each entry's
 */
export function vm_page_prot(vma: vm_area_struct): number {
  const f = vma.vm_flags;
  if (!vm_flags_test(f, VM_ACCESS_FLAGS)) return _PAGE_PRESENT | _PAGE_PROTNONE | _PAGE_ACCESSED;
  if (vm_flags_all(f, VM_SHARED_WRITE) && vma.vm_ops?.page_mkwrite === undefined) {
    return _PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED;
  }
  return _PAGE_PRESENT | _PAGE_ACCESSED;
}

/**
 * Takes over the protection key that the VMA's flags name now: mmap and mprotect do that, madvise does not.
 * @kernel mm/mmap.c:vma_set_page_prot
 * @fidelity simplified: the rest of vm_page_prot is computed when needed
 */
export function vma_set_page_prot(k: Machine, vma: vm_area_struct): void {
  vma.vm_pkey = vma_pkey(k, vma);
}

const CHG_MASK = _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SPECIAL;

/**
 * A present entry's flags with the permissions of `prot`, the rest kept: an old entry stays old.
 * @kernel arch/x86/include/asm/pgtable.h:pte_modify
 * @fidelity mirrored
 */
export function pte_modify(flags: number, prot: number): number {
  return (flags & CHG_MASK) | (prot & ~CHG_MASK);
}

/**
 * Flags of a present entry that has just been looked at: young, and dirty as well for a write.
 * @kernel include/linux/pgtable.h:ptep_set_access_flags, pmdp_set_access_flags
 * @fidelity mirrored
 */
export function touched(k: Machine, flags: number, write: boolean): number {
  if (write) return flags | _PAGE_ACCESSED | _PAGE_DIRTY;
  return k.arch.young_by_hardware === true ? flags : flags | _PAGE_ACCESSED;
}

function table_page(k: Machine): number {
  const pfn = alloc_page(k, GFP_PGTABLE_USER);
  if (pfn !== 0) page_set(k.mem, pfn, PG_table);
  return pfn;
}

function count_table(k: Machine, pfn: number, n: number): void {
  __mod_node_page_state(k.nodes[page_zone(k.mem, pfn).node]!, NR_PAGETABLE, n);
}

/** A page holds a table no more. `counted`: is it in nr_page_table_pages (levels PMD and PTE)? @kernel include/linux/mm.h:pgtable_pte_page_dtor */
function pgtable_pte_page_dtor(k: Machine, pfn: number, counted: boolean): void {
  if (counted) count_table(k, pfn, -1);
  page_clear(k.mem, pfn, PG_table);
}

/** Gives back a page that held a table, counted or not. */
export function free_table_page(k: Machine, pfn: number, counted: boolean): void {
  pgtable_pte_page_dtor(k, pfn, counted);
  __free_pages(k, pfn, 0);
}

/** Leaves such a page to a gather. @kernel arch/x86/mm/pgtable.c:___pte_free_tlb @fidelity mirrored */
export function table_free_tlb(k: Machine, tlb: mmu_gather, pfn: number, counted: boolean): void {
  pgtable_pte_page_dtor(k, pfn, counted);
  tlb_remove_page(k, tlb, pfn);
}

/**
 * Gives an address space its top-level table; false when there is no memory.
 * @kernel arch/x86/mm/pgtable.c:pgd_alloc
 * @fidelity simplified: one page (no page-table isolation), nothing preallocated
 */
export function pgd_alloc(k: Machine, mm: mm_struct): boolean {
  mm.pgd.page = table_page(k);
  return mm.pgd.page !== 0;
}

/**
 * Makes sure that the tables above an address's table of entries exist.
 * @kernel mm/memory.c:__pud_alloc, __pmd_alloc
 * @fidelity mirrored (four levels)
 */
export function pmd_alloc(k: Machine, mm: mm_struct, addr: number): boolean {
  const pgd = mm.pgd;
  const top = Math.floor(addr / PGDIR_SIZE);
  if (!pgd.pud.has(top)) {
    const page = table_page(k);
    if (page === 0) return false;
    if (pgd.pud.has(top)) {
      free_table_page(k, page, false);
    } else {
      pgd.pud.set(top, page);
      mm.pgtables_bytes += PAGE_SIZE;
    }
  }
  const mid = Math.floor(addr / PUD_SIZE);
  if (!pgd.pmd.has(mid)) {
    const page = table_page(k);
    if (page === 0) return false;
    if (pgd.pmd.has(mid)) {
      free_table_page(k, page, false);
    } else {
      count_table(k, page, 1);
      pgd.pmd.set(mid, page);
      mm.pgtables_bytes += PAGE_SIZE;
    }
  }
  return true;
}

/** The page for a table of entries, 0 when there is no memory. */
export function pte_alloc_page(k: Machine): number {
  const page = table_page(k);
  if (page !== 0) count_table(k, page, 1);
  return page;
}

/** A table of entries that is in no address space yet, or null. @kernel asm-generic/pgalloc.h:pte_alloc_one */
export function pte_alloc_one(k: Machine): pte_table | null {
  const page = pte_alloc_page(k);
  return page === 0 ? null : new pte_table(page, k.pte_memory);
}

/** Gives back a table that is in no address space. @kernel asm-generic/pgalloc.h:pte_free */
export function pte_free(k: Machine, table: pte_table): void {
  free_table_page(k, table.page, true);
}

/** Puts a table in place. @kernel mm/memory.c:pmd_install @fidelity mirrored */
export function pmd_install(mm: mm_struct, addr: number, table: pte_table): void {
  VM_BUG_ON(mm.pgd.huge.size > 0 && mm.pgd.huge.has(pmd_index(addr)), "a table is put where a huge entry is");
  mm.pgd.pte.set(Math.floor(addr / PMD_SIZE), table);
  mm.pgtables_bytes += PAGE_SIZE;
}

/**
 * The table that holds an address's entry; made, with those above it, when missing. Null when there is no memory, or
 * when another task has put a huge entry there meanwhile.
 * @kernel include/linux/mm.h:pte_alloc
 * @fidelity mirrored
 */
export function pte_alloc(k: Machine, mm: mm_struct, addr: number): pte_table | null {
  const there = pte_offset(mm, addr);
  if (there !== undefined) return there;
  if (!pmd_alloc(k, mm, addr)) return null;
  const table = pte_alloc_one(k);
  if (table === null) return null;
  const other = pte_offset(mm, addr);
  if (other === undefined && pmd_huge(mm, addr) === undefined) {
    pmd_install(mm, addr, table);
    return table;
  }
  pte_free(k, table);
  return other ?? null;
}
