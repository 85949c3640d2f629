// SPDX-License-Identifier: GPL-2.0-only
/** Faults on what a file backs and nothing maps yet (mm/memory.c: do_fault and what it calls). */
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { compound_head, compound_order, page_test, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_SHARED, VM_WRITE, vma_pages } from "../../include/linux/mm.js";
import {
  _PAGE_DIRTY,
  _PAGE_RW,
  FAULT_FLAG_WRITE,
  huge_pmd,
  MM_ANONPAGES,
  VM_FAULT_DONE_COW,
  VM_FAULT_ERROR,
  VM_FAULT_FALLBACK,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault,
  type vm_fault_t,
} from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { PG_head, PG_tail, PG_uptodate } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PAGE_SIZE, PMD_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { THP_FILE_MAPPED } from "../../include/linux/vmstat.js";
import { folio_lock, folio_unlock } from "../filemap.js";
import { transhuge_vma_suitable } from "../huge_memory/policy.js";
import { alloc_page_vma } from "../page_alloc.js";
import {
  pmd_huge,
  pmd_install,
  pte_alloc,
  pte_alloc_one,
  pte_free,
  pte_none,
  pte_offset,
  set_pmd_at,
  set_pte_at,
  vm_page_prot,
} from "../pgtable.js";
import { anon_vma_prepare, page_add_file_rmap, page_add_new_anon_rmap } from "../rmap.js";
import { lru_cache_add_inactive_or_unevictable, put_page } from "../swap.js";
import { count_vm_event } from "../vmstat.js";
import { shmemAhead } from "./ahead.js";
import { do_page_mkwrite, fault_dirty_shared_page } from "./cow.js";
import { mm_counter_file } from "./zap.js";

/** Pages that a read fault maps at most, if they are there: 64 KiB. @kernel mm/memory.c:fault_around_bytes */
const FAULT_AROUND_PAGES = 16;
const FAILED = VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY;

function __do_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  const mm = vmf.vma.vm_mm;
  if (vmf.table === null && vmf.prealloc_pte === null && pte_offset(mm, vmf.address) === undefined) {
    vmf.prealloc_pte = pte_alloc_one(k);
    if (vmf.prealloc_pte === null) return VM_FAULT_OOM;
  }
  const ret = vmf.vma.vm_ops!.fault!(k, vmf);
  if (ret & (FAILED | VM_FAULT_DONE_COW)) return ret;
  if (!(ret & VM_FAULT_LOCKED)) folio_lock(k, vmf.page);
  return ret;
}

/**
 * Maps the huge page that a page of a file is part of by one entry; the page's reference goes to that.
 * @kernel mm/memory.c:do_set_pmd
 * @fidelity mirrored
 * @returns 0, or VM_FAULT_FALLBACK where it does not fit or something is there
 */
export function do_set_pmd(k: Machine, vmf: Pick<vm_fault, "vma" | "address" | "flags">, page: number): vm_fault_t {
  const { vma } = vmf;
  const haddr = Math.floor(vmf.address / PMD_SIZE) * PMD_SIZE;
  const head = compound_head(k.mem, page);
  if (!transhuge_vma_suitable(vma, haddr) || compound_order(k.mem, head) !== HPAGE_PMD_ORDER) return VM_FAULT_FALLBACK;
  if (pmd_huge(vma.vm_mm, haddr) !== undefined || pte_offset(vma.vm_mm, haddr) !== undefined) return VM_FAULT_FALLBACK;
  let entry = vm_page_prot(vma);
  if (vmf.flags & FAULT_FLAG_WRITE) {
    entry |= _PAGE_DIRTY;
    if (vm_flags_test(vma.vm_flags, VM_WRITE)) entry |= _PAGE_RW;
  }
  vma.vm_mm.rss_stat[mm_counter_file(k, head)]! += HPAGE_PMD_NR;
  page_add_file_rmap(k, head, vma, true);
  set_pmd_at(vma.vm_mm, haddr, new huge_pmd(head, entry, 0, k.calls.now));
  count_vm_event(k, THP_FILE_MAPPED);
  return 0;
}

/**
 * Maps a page at `addr`, the faulting address or one near it.
 * @kernel mm/memory.c:do_set_pte
 * @fidelity mirrored
 */
export function do_set_pte(k: Machine, vmf: vm_fault, page: number, addr: number, ptei: number): void {
  const vma = vmf.vma;
  const write = (vmf.flags & FAULT_FLAG_WRITE) !== 0;
  let entry = vm_page_prot(vma);
  if (write) {
    entry |= _PAGE_DIRTY;
    if (vm_flags_test(vma.vm_flags, VM_WRITE)) entry |= _PAGE_RW;
  }
  const rss = vma.vm_mm.rss_stat;
  if (write && !vm_flags_test(vma.vm_flags, VM_SHARED)) {
    rss[MM_ANONPAGES]!++;
    page_add_new_anon_rmap(k, page, vma, addr);
    lru_cache_add_inactive_or_unevictable(k, page, vma);
  } else {
    rss[mm_counter_file(k, page)]!++;
    page_add_file_rmap(k, page, vma);
  }
  set_pte_at(k, vmf.table!, ptei, page, entry);
}

/** Installs the table taken ahead where there is none yet. */
export function install_prealloc(k: Machine, vmf: vm_fault): boolean {
  if (vmf.table !== null) return true;
  const mm = vmf.vma.vm_mm;
  const there = pte_offset(mm, vmf.address);
  if (there !== undefined) {
    vmf.table = there;
  } else if (vmf.prealloc_pte !== null) {
    vmf.table = vmf.prealloc_pte;
    pmd_install(mm, vmf.address, vmf.prealloc_pte);
    vmf.prealloc_pte = null;
  } else {
    vmf.table = pte_alloc(k, mm, vmf.address);
  }
  return vmf.table !== null;
}

/**
 * Maps the page that the file gave, or the private copy of it; its reference goes to the entry.
 * @kernel mm/memory.c:finish_fault
 * @fidelity mirrored
 */
export function finish_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  const cow = vmf.flags & FAULT_FLAG_WRITE && !vm_flags_test(vmf.vma.vm_flags, VM_SHARED);
  const page = cow ? vmf.cow_page : vmf.page;
  if (vmf.table === null && page_test(k.mem, page, PG_head | PG_tail) && do_set_pmd(k, vmf, page) === 0) return 0;
  if (!install_prealloc(k, vmf)) return VM_FAULT_OOM;
  if (!pte_none(vmf.table!, vmf.ptei)) return VM_FAULT_NOPAGE;
  do_set_pte(k, vmf, page, vmf.address, vmf.ptei);
  return 0;
}

/**
 * Maps cached pages in the aligned 64 KiB around a read fault, inside the VMA and the table.
 * @kernel mm/memory.c:do_fault_around
 * @fidelity mirrored
 */
function do_fault_around(k: Machine, vmf: vm_fault): vm_fault_t {
  const vma = vmf.vma;
  const nr = FAULT_AROUND_PAGES;
  const address = Math.max(Math.floor(vmf.address / (nr * PAGE_SIZE)) * nr * PAGE_SIZE, vma.vm_start);
  const start_pgoff = vmf.pgoff - (vmf.address - address) / PAGE_SIZE;
  const in_table = (address / PAGE_SIZE) % PTRS_PER_PTE;
  const end_pgoff = Math.min(
    start_pgoff - in_table + PTRS_PER_PTE - 1,
    vma_pages(vma) + vma.vm_pgoff - 1,
    start_pgoff + nr - 1,
  );
  if (vmf.table === null) {
    vmf.prealloc_pte = pte_alloc_one(k);
    if (vmf.prealloc_pte === null) return VM_FAULT_OOM;
  }
  return vma.vm_ops!.map_pages!(k, vmf, start_pgoff, end_pgoff);
}

function do_read_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  if (vmf.vma.vm_ops!.map_pages !== undefined) {
    const around = do_fault_around(k, vmf);
    if (around !== 0) return around;
  }
  let ret = __do_fault(k, vmf);
  if (ret & FAILED) return ret;
  ret |= finish_fault(k, vmf);
  folio_unlock(k, vmf.page);
  if (ret & FAILED) put_page(k, vmf.page);
  return ret;
}

function do_cow_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  if (anon_vma_prepare(k, vmf.vma) !== 0) return VM_FAULT_OOM;
  const cow = alloc_page_vma(k, GFP_HIGHUSER_MOVABLE, vmf.vma, vmf.address);
  if (cow === 0) return VM_FAULT_OOM;
  vmf.cow_page = cow;
  let ret = __do_fault(k, vmf);
  if (!(ret & FAILED)) {
    if (ret & VM_FAULT_DONE_COW) return ret;
    const s = k.mem.section(cow);
    s.content[cow & PFN_SECTION_MASK] = k.mem.section(vmf.page).content[vmf.page & PFN_SECTION_MASK]!;
    s.flags[cow & PFN_SECTION_MASK]! |= PG_uptodate;
    ret |= finish_fault(k, vmf);
    folio_unlock(k, vmf.page);
    put_page(k, vmf.page);
  }
  if (ret & FAILED) put_page(k, cow);
  return ret;
}

function do_shared_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  let ret = __do_fault(k, vmf);
  if (ret & FAILED) return ret;
  const page = vmf.page;
  if (vmf.vma.vm_ops!.page_mkwrite !== undefined) {
    folio_unlock(k, page);
    const tmp = do_page_mkwrite(k, vmf);
    if (tmp === 0 || tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) {
      put_page(k, page);
      return tmp;
    }
  }
  ret |= finish_fault(k, vmf);
  if (ret & FAILED) {
    folio_unlock(k, page);
    put_page(k, page);
    return ret;
  }
  ret |= fault_dirty_shared_page(k, vmf);
  shmemAhead(k, vmf, ret);
  return ret;
}

/**
 * Handles a fault in a VMA with vm_ops where no entry is. mmap_lock may have been dropped when it returns
 * VM_FAULT_RETRY or VM_FAULT_COMPLETED.
 * @kernel mm/memory.c:do_fault
 * @fidelity mirrored
 */
export function do_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  const vma = vmf.vma;
  let ret: vm_fault_t;
  if (vma.vm_ops!.fault === undefined) {
    const t = pte_offset(vma.vm_mm, vmf.address);
    ret = t === undefined || pte_none(t, vmf.ptei) ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
  } else if (!(vmf.flags & FAULT_FLAG_WRITE)) {
    ret = do_read_fault(k, vmf);
  } else if (!vm_flags_test(vma.vm_flags, VM_SHARED)) {
    ret = do_cow_fault(k, vmf);
  } else {
    ret = do_shared_fault(k, vmf);
  }
  if (vmf.prealloc_pte !== null) {
    pte_free(k, vmf.prealloc_pte);
    vmf.prealloc_pte = null;
  }
  return ret;
}
