// SPDX-License-Identifier: GPL-2.0-only
/** Making a table of entries of a huge entry, which leaves the huge page whole (mm/huge_memory.c: __split_huge_pmd). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { page_set, page_test, PageAnon, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_LOCKED, VM_WRITE, vma_is_anonymous } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  _PAGE_SPECIAL,
  type huge_pmd,
  pte_table,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { PG_anon_exclusive, PG_dirty, PG_referenced } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { THP_SPLIT_PMD } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { find_vma } from "../mmap.js";
import { mm_counter_file } from "../memory/zap.js";
import { munlock_page } from "../mlock.js";
import { set_page_dirty } from "../page-writeback.js";
import { pmd_huge, vm_page_prot } from "../pgtable.js";
import { page_remove_rmap, page_try_share_anon_rmap } from "../rmap.js";
import { split_compound_mapping } from "../rmap/compound.js";
import { put_page } from "../swap.js";
import { count_vm_event } from "../vmstat.js";

/** Takes the huge entry out; its table goes in. */
function populate_deposit(k: Machine, vma: vm_area_struct, haddr: number, pmd: huge_pmd): pte_table {
  const key = haddr / PMD_SIZE;
  const { pgd } = vma.vm_mm;
  VM_BUG_ON(pmd.deposit === 0, "a huge entry of anonymous memory without a table");
  pgd.huge.delete(key);
  const table = new pte_table(pmd.deposit, k.pte_memory);
  table.note_all(pmd.call);
  pgd.pte.set(key, table);
  return table;
}

/** A file's huge entry just goes: faults bring small ones. */
function drop_file_pmd(k: Machine, vma: vm_area_struct, haddr: number, pmd: huge_pmd): void {
  const mm = vma.vm_mm;
  const page = pmd.pfn;
  mm.pgd.huge.delete(haddr / PMD_SIZE);
  mm.rss_stat[mm_counter_file(k, page)]! -= HPAGE_PMD_NR;
  if (pmd.flags & _PAGE_MIGRATION) return;
  if (pmd.flags & _PAGE_DIRTY && !page_test(k.mem, page, PG_dirty)) set_page_dirty(k, page);
  if (pmd.flags & _PAGE_ACCESSED) page_set(k.mem, page, PG_referenced);
  page_remove_rmap(k, page, vma, true);
  put_page(k, page);
}

/** Flags of the migration entries that a huge entry's pages get. */
function migration_flags(write: boolean, exclusive: boolean, flags: number, dirty: boolean): number {
  let entry = _PAGE_MIGRATION | (flags & _PAGE_ACCESSED);
  if (dirty) entry |= _PAGE_DIRTY;
  if (write) entry |= SWP_WRITE;
  else if (exclusive) entry |= SWP_EXCLUSIVE;
  return entry;
}

/** Flags of the present entries that a huge entry's pages get: not dirty, even where it was. */
function present_flags(vma: vm_area_struct, old: number): number {
  let entry = vm_page_prot(vma);
  if (vm_flags_test(vma.vm_flags, VM_WRITE)) entry |= _PAGE_RW;
  if (!(old & _PAGE_RW)) entry &= ~_PAGE_RW;
  if (!(old & _PAGE_ACCESSED)) entry &= ~_PAGE_ACCESSED;
  return entry;
}

function fill_table(t: pte_table, first: number, flags: number): void {
  for (let i = 0; i < HPAGE_PMD_NR; i++) t.pfn[i] = first + i;
  t.flags.fill(flags);
}

/** The anonymous page of a present entry becomes mapped by 512 entries; with `freeze`, by none but migration entries. */
function split_present(k: Machine, vma: vm_area_struct, haddr: number, pmd: huge_pmd, freeze: boolean): void {
  const m = k.mem;
  const page = pmd.pfn;
  const old = pmd.flags;
  const s = m.section(page);
  const i = page & PFN_SECTION_MASK;
  if (old & _PAGE_DIRTY) s.flags[i]! |= PG_dirty;
  s.addRefs(i, HPAGE_PMD_NR - 1);
  const exclusive = (s.flags[i]! & PG_anon_exclusive) !== 0;
  if (freeze && exclusive && !page_try_share_anon_rmap(k, page)) freeze = false;
  const table = populate_deposit(k, vma, haddr, pmd);
  if (freeze) {
    fill_table(table, page, migration_flags((old & _PAGE_RW) !== 0, exclusive, old, (old & _PAGE_DIRTY) !== 0));
  } else {
    fill_table(table, page, present_flags(vma, old));
    if (exclusive) for (let n = i; n < i + HPAGE_PMD_NR; n++) s.flags[n]! |= PG_anon_exclusive;
  }
  split_compound_mapping(k, page);
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) munlock_page(k, page);
  if (!freeze) return;
  for (let n = 0; n < HPAGE_PMD_NR; n++) {
    page_remove_rmap(k, page + n, vma);
    put_page(k, page + n);
  }
}

/** @kernel mm/huge_memory.c:__split_huge_pmd_locked @fidelity mirrored (no userfaultfd, no soft-dirty) */
function __split_huge_pmd_locked(k: Machine, vma: vm_area_struct, haddr: number, pmd: huge_pmd, freeze: boolean): void {
  VM_BUG_ON(vma.vm_start > haddr || vma.vm_end < haddr + PMD_SIZE, "a huge entry reaches out of its VMA");
  count_vm_event(k, THP_SPLIT_PMD);
  const { flags, pfn } = pmd;
  if (!vma_is_anonymous(vma)) {
    drop_file_pmd(k, vma, haddr, pmd);
  } else if (flags & _PAGE_MIGRATION) {
    VM_BUG_ON(!PageAnon(k.mem, pfn), "a huge migration entry of a file's page in anonymous memory");
    fill_table(populate_deposit(k, vma, haddr, pmd), pfn, flags);
  } else if (flags & _PAGE_SPECIAL) {
    const table = populate_deposit(k, vma, haddr, pmd);
    table.pfn.fill(k.zero_pfn);
    table.flags.fill(vm_page_prot(vma) | _PAGE_SPECIAL);
  } else {
    split_present(k, vma, haddr, pmd, freeze);
  }
}

/**
 * Splits the huge entry at an address, if there is one.
 * @kernel mm/huge_memory.c:__split_huge_pmd, split_huge_pmd_address
 * @fidelity mirrored
 * @param freeze leave migration entries, unless a pin forbids that
 * @param folio only an entry of this page (its head); 0 for any
 */
export function __split_huge_pmd(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  freeze: boolean,
  folio: number,
): void {
  const pmd = pmd_huge(vma.vm_mm, address);
  VM_BUG_ON(freeze && folio === 0, "freezing a huge entry of any page");
  if (pmd === undefined) return;
  if (folio !== 0 && (pmd.flags & _PAGE_MIGRATION || pmd.pfn !== folio)) return;
  __split_huge_pmd_locked(k, vma, Math.floor(address / PMD_SIZE) * PMD_SIZE, pmd, freeze);
}

function split_huge_pmd_if_needed(k: Machine, vma: vm_area_struct, address: number): void {
  if (address % PMD_SIZE === 0) return;
  const haddr = Math.floor(address / PMD_SIZE) * PMD_SIZE;
  if (vma.vm_start <= haddr && vma.vm_end >= haddr + PMD_SIZE) __split_huge_pmd(k, vma, address, false, 0);
}

/**
 * Splits huge entries that a VMA's new bounds would cut. `adjust_next`: bytes by which the next VMA's start moves up.
 * @kernel mm/huge_memory.c:vma_adjust_trans_huge
 * @fidelity mirrored
 */
export function vma_adjust_trans_huge(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  adjust_next: number,
): void {
  if (vma.vm_mm.pgd.huge.size === 0) return;
  split_huge_pmd_if_needed(k, vma, start);
  split_huge_pmd_if_needed(k, vma, end);
  if (adjust_next <= 0) return;
  const next = find_vma(vma.vm_mm, vma.vm_end)!;
  split_huge_pmd_if_needed(k, next, next.vm_start + adjust_next);
}
