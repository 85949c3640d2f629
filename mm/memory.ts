// SPDX-License-Identifier: GPL-2.0-only
/**
 * Page faults (mm/memory.c): from handle_mm_fault down to anonymous pages. File faults are in memory/fault.ts, copy on
 * write in memory/cow.ts, swap-in in memory/swapin.ts, unmapping in memory/zap.ts, fork's copy in memory/copy.ts, tables in memory/pgtables.ts.
 */
import { handle_userfault } from "../fs/userfaultfd.js";
import { not_modelled } from "../include/linux/bug.js";
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from "../include/linux/gfp.js";
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import {
  is_vm_hugetlb_page,
  linear_page_index,
  VM_SHARED,
  VM_WRITE,
  vma_is_accessible,
  vma_is_anonymous,
  vma_no_movable,
} from "../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_RW,
  _PAGE_SPECIAL,
  FAULT_FLAG_INSTRUCTION,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  MM_ANONPAGES,
  type pte_table,
  type vm_area_struct,
  vm_fault,
  VM_FAULT_FALLBACK,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  type vm_fault_t,
} from "../include/linux/mm_types.js";
import { arch_vma_access_permitted } from "../include/linux/mmu_context.js";
import { PG_uptodate } from "../include/linux/page-flags.js";
import { memalloc_pin_restore, memalloc_pin_save } from "../include/linux/sched/mm.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { vm_flags_test } from "../include/linux/vm_flags.js";
import { PGFAULT } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { handle_pmd_fault } from "./huge_memory/fault.js";
import { alloc_page_vma } from "./page_alloc.js";
import { pmd_huge, pte_alloc, pte_none, pte_offset, pte_present, pte_protnone } from "./pgtable.js";
import { pte_write, set_pte, set_pte_at, touched, vm_page_prot } from "./pgtable.js";
import { anon_vma_prepare, page_add_new_anon_rmap } from "./rmap.js";
import { lru_cache_add_inactive_or_unevictable, put_page } from "./swap.js";
import { anonAhead } from "./memory/ahead.js";
import { do_wp_page } from "./memory/cow.js";
import { do_fault } from "./memory/fault.js";
import { do_numa_page } from "./memory/numa.js";
import { do_swap_page } from "./memory/swapin.js";
import { count_vm_event } from "./vmstat.js";

export { copy_page_range, is_cow_mapping } from "./memory/copy.js";
export { vm_normal_page } from "./memory/cow.js";
export { free_mm_pgd, free_pgtables } from "./memory/pgtables.js";
export {
  mm_counter,
  mm_counter_file,
  unmap_mapping_pages,
  unmap_mapping_range,
  unmap_vmas,
  type zap_details,
  zap_page_range,
  zap_page_range_single,
  zap_vma_ptes,
} from "./memory/zap.js";

/**
 * Gives an anonymous VMA its page: the zero page to a reader, a new one to a writer.
 * @kernel mm/memory.c:do_anonymous_page
 * @fidelity mirrored
 */
function do_anonymous_page(k: Machine, vmf: vm_fault): vm_fault_t {
  const vma = vmf.vma;
  if (vm_flags_test(vma.vm_flags, VM_SHARED)) return VM_FAULT_SIGBUS;
  const table = vmf.table ?? pte_alloc(k, vma.vm_mm, vmf.address);
  if (table === null) return pmd_huge(vma.vm_mm, vmf.address) === undefined ? VM_FAULT_OOM : 0;
  vmf.table = table;
  if (vma.vm_userfaultfd_ctx !== null) handle_userfault();
  if (!(vmf.flags & FAULT_FLAG_WRITE) && k.config.mm_forbids_zeropage !== true) {
    if (pte_none(table, vmf.ptei)) set_pte(table, vmf.ptei, k.zero_pfn, vm_page_prot(vma) | _PAGE_SPECIAL);
    return 0;
  }
  if (anon_vma_prepare(k, vma) !== 0) return VM_FAULT_OOM;
  const page = alloc_page_vma(k, GFP_HIGHUSER_MOVABLE | __GFP_ZERO, vma, vmf.address);
  if (page === 0) return VM_FAULT_OOM;
  if (!pte_none(table, vmf.ptei)) {
    put_page(k, page);
    return 0;
  }
  k.mem.section(page).flags[page & PFN_SECTION_MASK]! |= PG_uptodate;
  let entry = vm_page_prot(vma);
  if (vm_flags_test(vma.vm_flags, VM_WRITE)) entry |= _PAGE_RW | _PAGE_DIRTY;
  vma.vm_mm.rss_stat[MM_ANONPAGES]!++;
  page_add_new_anon_rmap(k, page, vma, vmf.address);
  lru_cache_add_inactive_or_unevictable(k, page, vma);
  set_pte_at(k, table, vmf.ptei, page, entry);
  anonAhead(k, vmf);
  return 0;
}

/**
 * Handles a fault at the level of table entries.
 * @kernel mm/memory.c:handle_pte_fault
 * @fidelity mirrored (no userfaultfd markers)
 */
function handle_pte_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  const t = vmf.table;
  if (t === null || (vmf.orig_flags === 0 && vmf.orig_pfn === 0)) {
    return vma_is_anonymous(vmf.vma) ? do_anonymous_page(k, vmf) : do_fault(k, vmf);
  }
  if (!pte_present(vmf.orig_flags)) return do_swap_page(k, vmf);
  if (pte_protnone(vmf.orig_flags) && vma_is_accessible(vmf.vma)) return do_numa_page(k, vmf);
  const entry = vmf.orig_flags;
  if (vmf.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE) && !pte_write(entry)) return do_wp_page(k, vmf);
  t.flags[vmf.ptei] = touched(k, entry, (vmf.flags & FAULT_FLAG_WRITE) !== 0);
  return 0;
}

/** One fault on an address, as it begins; in an object of an earlier one, if there is such. */
export function make_vmf(
  vma: vm_area_struct,
  address: number,
  flags: number,
  table: pte_table | undefined,
  vmf: vm_fault = new vm_fault(vma),
): vm_fault {
  const page = Math.floor(address / PAGE_SIZE);
  const ptei = page & 511;
  vmf.vma = vma;
  vmf.address = page * PAGE_SIZE;
  vmf.flags = flags;
  vmf.pgoff = linear_page_index(vma, address);
  vmf.table = table ?? null;
  vmf.ptei = ptei;
  vmf.page = 0;
  vmf.cow_page = 0;
  vmf.orig_pfn = table === undefined ? 0 : table.pfn[ptei]!;
  vmf.orig_flags = table === undefined ? 0 : table.flags[ptei]!;
  vmf.prealloc_pte = null;
  return vmf;
}

/**
 * Walks to the entry, making the upper tables, and handles the fault there.
 * @kernel mm/memory.c:__handle_mm_fault
 * @fidelity mirrored (no huge entries of 1 GiB)
 */
function __handle_mm_fault(k: Machine, vma: vm_area_struct, address: number, flags: number): vm_fault_t {
  const mm = vma.vm_mm;
  let table: pte_table | undefined = pte_offset(mm, address);
  if (table === undefined) {
    const ret = handle_pmd_fault(k, vma, address, flags);
    if (!(ret & VM_FAULT_FALLBACK)) return ret;
    table = pte_offset(mm, address);
  }
  const vmf = make_vmf(vma, address, flags, table, k.idle_vmf ?? undefined);
  k.idle_vmf = null;
  const ret = handle_pte_fault(k, vmf);
  k.idle_vmf = vmf;
  return ret;
}

/**
 * Handles one fault of the running task at `address`. mmap_lock is held for reading on entry; it has been dropped, and
 * the VMA may be gone, when VM_FAULT_RETRY or VM_FAULT_COMPLETED is returned.
 * @kernel mm/memory.c:handle_mm_fault
 * @fidelity mirrored: with the patch under review
 * @param flags FAULT_FLAG_…
 * @returns VM_FAULT_… bits
 */
export function handle_mm_fault(k: Machine, vma: vm_area_struct, address: number, flags: number): vm_fault_t {
  let ret: vm_fault_t;
  let pf_flags!: number;

  count_vm_event(k, PGFAULT);
  const write = (flags & FAULT_FLAG_WRITE) !== 0;
  const execute = (flags & FAULT_FLAG_INSTRUCTION) !== 0;
  if (!arch_vma_access_permitted(k, vma, write, execute, (flags & FAULT_FLAG_REMOTE) !== 0)) return VM_FAULT_SIGSEGV;

  if (vma_no_movable(vma)) {
    pf_flags = memalloc_pin_save(k);
  }

  if (is_vm_hugetlb_page(vma)) ret = not_modelled("mm/hugetlb.c: hugetlb_fault");
  else ret = __handle_mm_fault(k, vma, address, flags);

  if (vma_no_movable(vma)) {
    memalloc_pin_restore(k, pf_flags);
  }

  return ret;
}
