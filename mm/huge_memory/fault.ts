// SPDX-License-Identifier: GPL-2.0-only
/** Faults where a huge page could be, or is (mm/huge_memory.c; create_huge_pmd and wp_huge_pmd of mm/memory.c). */
import { handle_userfault } from "../../fs/userfaultfd.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { page_test, PFN_SECTION_MASK, set_compound_pincount } from "../../include/linux/mem_map.js";
import { VM_WRITE, vma_is_accessible, vma_is_anonymous } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  _PAGE_SPECIAL,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  huge_pmd,
  MM_ANONPAGES,
  type mm_struct,
  type vm_area_struct,
  VM_FAULT_FALLBACK,
  VM_FAULT_OOM,
  type vm_fault_t,
  VM_FAULT_WRITE,
} from "../../include/linux/mm_types.js";
import { PG_anon_exclusive, PG_swapcache, PG_uptodate } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { THP_FAULT_ALLOC, THP_FAULT_FALLBACK } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { folio_lock, folio_trylock, folio_unlock } from "../filemap.js";
import { khugepaged_enter_vma } from "../khugepaged.js";
import {
  free_table_page,
  pmd_alloc,
  pmd_huge,
  pte_alloc_page,
  pte_offset,
  pte_protnone,
  pte_write,
  set_pmd_at,
  touched,
  vm_page_prot,
} from "../pgtable.js";
import { anon_vma_prepare, page_add_new_anon_rmap, page_move_anon_rmap } from "../rmap.js";
import { get_page, lru_cache_add_inactive_or_unevictable, put_page } from "../swap.js";
import { folio_free_swap } from "../swapfile.js";
import { count_vm_event } from "../vmstat.js";
import { do_huge_pmd_numa_page } from "../memory/numa.js";
import { pmd_migration_entry_wait } from "./migrate.js";
import { hugepage_vma_check, transhuge_vma_suitable, vma_alloc_hugepage, vma_thp_gfp_mask } from "./policy.js";
import { __split_huge_pmd } from "./split_pmd.js";
import { mm_get_huge_zero_page } from "./zero.js";

/** Flags of a writable anonymous entry, if the VMA may be written to. */
export function anon_huge_prot(vma: vm_area_struct): number {
  const write = vm_flags_test(vma.vm_flags, VM_WRITE) ? _PAGE_RW : 0;
  return vm_page_prot(vma) | _PAGE_DIRTY | write;
}

/** Puts an entry with its deposited table into an address space. */
export function map_huge_pmd(
  k: Machine,
  vma: vm_area_struct,
  haddr: number,
  pfn: number,
  flags: number,
  deposit: number,
): void {
  set_pmd_at(vma.vm_mm, haddr, new huge_pmd(pfn, flags, deposit, k.calls.now));
  if (deposit !== 0) vma.vm_mm.pgtables_bytes += PAGE_SIZE;
}

function pmd_none(mm: mm_struct, haddr: number): boolean {
  return pte_offset(mm, haddr) === undefined && pmd_huge(mm, haddr) === undefined;
}

/** @kernel mm/huge_memory.c:__do_huge_pmd_anonymous_page @fidelity mirrored (no userfaultfd) */
function __do_huge_pmd_anonymous_page(k: Machine, vma: vm_area_struct, haddr: number, page: number): vm_fault_t {
  const pgtable = pte_alloc_page(k);
  if (pgtable === 0) {
    put_page(k, page);
    return VM_FAULT_OOM;
  }
  if (!pmd_none(vma.vm_mm, haddr)) {
    free_table_page(k, pgtable, true);
    put_page(k, page);
    return 0;
  }
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  s.content.fill(0, i, i + HPAGE_PMD_NR);
  s.flags[i]! |= PG_uptodate;
  set_compound_pincount(k.mem, page, 0);
  page_add_new_anon_rmap(k, page, vma, haddr);
  lru_cache_add_inactive_or_unevictable(k, page, vma);
  map_huge_pmd(k, vma, haddr, page, anon_huge_prot(vma), pgtable);
  vma.vm_mm.rss_stat[MM_ANONPAGES]! += HPAGE_PMD_NR;
  count_vm_event(k, THP_FAULT_ALLOC);
  return 0;
}

function map_huge_zero_page(k: Machine, vma: vm_area_struct, haddr: number): vm_fault_t {
  const pgtable = pte_alloc_page(k);
  if (pgtable === 0) return VM_FAULT_OOM;
  const zero = mm_get_huge_zero_page(k, vma.vm_mm);
  if (zero === 0) {
    free_table_page(k, pgtable, true);
    count_vm_event(k, THP_FAULT_FALLBACK);
    return VM_FAULT_FALLBACK;
  }
  if (!pmd_none(vma.vm_mm, haddr)) {
    free_table_page(k, pgtable, true);
    return 0;
  }
  map_huge_pmd(k, vma, haddr, zero, vm_page_prot(vma) | _PAGE_SPECIAL, pgtable);
  return 0;
}

/**
 * Gives anonymous memory a huge page, or a reader the huge zero page.
 * @kernel mm/huge_memory.c:do_huge_pmd_anonymous_page
 * @fidelity mirrored (no userfaultfd, no memory cgroups)
 * @returns 0, VM_FAULT_FALLBACK where small pages have to do, VM_FAULT_OOM
 */
function do_huge_pmd_anonymous_page(k: Machine, vma: vm_area_struct, address: number, flags: number): vm_fault_t {
  const haddr = Math.floor(address / PMD_SIZE) * PMD_SIZE;
  if (!transhuge_vma_suitable(vma, haddr)) return VM_FAULT_FALLBACK;
  if (anon_vma_prepare(k, vma) !== 0) return VM_FAULT_OOM;
  khugepaged_enter_vma(k, vma, vma.vm_flags);
  if (vma.vm_userfaultfd_ctx !== null) handle_userfault();
  const zero = k.config.mm_forbids_zeropage !== true && (k.config.thp_use_zero_page ?? true);
  if (!(flags & FAULT_FLAG_WRITE) && zero) return map_huge_zero_page(k, vma, haddr);
  const page = vma_alloc_hugepage(k, vma_thp_gfp_mask(k, vma), vma, haddr);
  if (page === 0) {
    count_vm_event(k, THP_FAULT_FALLBACK);
    return VM_FAULT_FALLBACK;
  }
  return __do_huge_pmd_anonymous_page(k, vma, haddr, page);
}

/** Takes the lock of the page that an entry maps; false where the entry is another once that has slept. */
function lock_mapped(k: Machine, mm: mm_struct, address: number, pmd: huge_pmd): boolean {
  const { pfn, flags } = pmd;
  if (folio_trylock(k, pfn)) return true;
  get_page(k, pfn);
  folio_lock(k, pfn);
  const same = pmd_huge(mm, address) === pmd && pmd.pfn === pfn && pmd.flags === flags;
  if (!same) folio_unlock(k, pfn);
  put_page(k, pfn);
  return same;
}

/** Can a locked huge page be proved to be exclusive? It is marked so, then. */
function can_reuse(k: Machine, page: number, vma: vm_area_struct): boolean {
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_anon_exclusive) return true;
  const cached = (s.flags[i]! & PG_swapcache) !== 0;
  if (s.refcount[i]! > 1 + (cached ? HPAGE_PMD_NR : 0)) return false;
  if (cached) folio_free_swap(k, page);
  if (s.refcount[i] !== 1) return false;
  page_move_anon_rmap(k, page, vma);
  return true;
}

/**
 * A write (or an unsharing) where the entry is read-only: the huge page is reused, or its entry split for small copies.
 * @kernel mm/huge_memory.c:do_huge_pmd_wp_page
 * @fidelity mirrored
 */
function do_huge_pmd_wp_page(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  pmd: huge_pmd,
  flags: number,
): vm_fault_t {
  VM_BUG_ON(vma.anon_vma === null, "a huge page in a VMA without anon_vma");
  if (!(pmd.flags & _PAGE_SPECIAL)) {
    const page = pmd.pfn;
    let reuse = page_test(k.mem, page, PG_anon_exclusive);
    if (!reuse) {
      if (!lock_mapped(k, vma.vm_mm, address, pmd)) return 0;
      reuse = can_reuse(k, page, vma);
      folio_unlock(k, page);
    }
    if (reuse) {
      if (flags & FAULT_FLAG_UNSHARE) return 0;
      pmd.flags |= _PAGE_ACCESSED | _PAGE_DIRTY;
      if (vm_flags_test(vma.vm_flags, VM_WRITE)) pmd.flags |= _PAGE_RW;
      return VM_FAULT_WRITE;
    }
  }
  __split_huge_pmd(k, vma, address, false, 0);
  return VM_FAULT_FALLBACK;
}

/** @kernel mm/memory.c:wp_huge_pmd @fidelity mirrored (no DAX, no userfaultfd) */
function wp_huge_pmd(k: Machine, vma: vm_area_struct, address: number, pmd: huge_pmd, flags: number): vm_fault_t {
  if (vma_is_anonymous(vma)) return do_huge_pmd_wp_page(k, vma, address, pmd, flags);
  __split_huge_pmd(k, vma, address, false, 0);
  return VM_FAULT_FALLBACK;
}

/**
 * The part of a fault above tables of entries, where there is none yet: makes the upper tables, and a huge page or a
 * fault on one.
 * @kernel mm/memory.c:__handle_mm_fault
 * @fidelity mirrored (no huge entries of 1 GiB)
 * @returns VM_FAULT_FALLBACK: the fault is for a table of entries; otherwise the fault's outcome
 */
export function handle_pmd_fault(k: Machine, vma: vm_area_struct, address: number, flags: number): vm_fault_t {
  const mm = vma.vm_mm;
  const pmd = pmd_huge(mm, address);
  if (pmd === undefined) {
    if (!pmd_alloc(k, mm, address)) return VM_FAULT_OOM;
    const huge = hugepage_vma_check(k, vma, vma.vm_flags, { in_pf: true, enforce_sysfs: true });
    return huge ? do_huge_pmd_anonymous_page(k, vma, address, flags) : VM_FAULT_FALLBACK;
  }
  if (pmd.flags & _PAGE_MIGRATION) {
    pmd_migration_entry_wait(k, mm, address);
    return 0;
  }
  if (pte_protnone(pmd.flags) && vma_is_accessible(vma)) {
    return do_huge_pmd_numa_page(k, vma, address, pmd);
  }
  if (flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE) && !pte_write(pmd.flags)) {
    return wp_huge_pmd(k, vma, address, pmd, flags);
  }
  pmd.flags = touched(k, pmd.flags, (flags & FAULT_FLAG_WRITE) !== 0);
  return 0;
}
