// SPDX-License-Identifier: GPL-2.0-only
/** Faults on entries that are neither empty nor present (mm/memory.c: do_swap_page). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import {
  compound_head,
  page_set,
  page_test,
  PageAnon,
  PFN_SECTION_MASK,
  swap_entry_of,
} from "../../include/linux/mem_map.js";
import { VM_LOCKED, VM_WRITE } from "../../include/linux/mm.js";
import {
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_WRITE,
  MM_ANONPAGES,
  MM_SWAPENTS,
  SWP_EXCLUSIVE,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_ERROR,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault_t,
  VM_FAULT_WRITE,
} from "../../include/linux/mm_types.js";
import {
  PG_anon_exclusive,
  PG_locked,
  PG_ksm,
  PG_lru,
  PG_mlocked,
  PG_swapbacked,
  PG_swapcache,
  PG_uptodate,
  PG_writeback,
} from "../../include/linux/page-flags.js";
import { RMAP_EXCLUSIVE, RMAP_NONE } from "../../include/linux/rmap.js";
import {
  SWP_STABLE_WRITES,
  SWP_SYNCHRONOUS_IO,
  type swap_info_struct,
  vm_swap_full,
} from "../../include/linux/swap.js";
import { non_swap_entry } from "../../include/linux/swapops.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { PGMAJFAULT } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { folio_lock_or_retry, folio_unlock } from "../filemap.js";
import { ksm_might_need_to_copy } from "../ksm.js";
import { migration_entry_wait } from "../migrate.js";
import { alloc_page_vma } from "../page_alloc.js";
import { end_swap_reads, swap_readpage } from "../page_io.js";
import { set_pte_at, vm_page_prot } from "../pgtable.js";
import { page_add_anon_rmap, page_add_new_anon_rmap } from "../rmap.js";
import { folio_add_lru, lru_add_drain, lru_cache_add_inactive_or_unevictable, put_page } from "../swap.js";
import { get_shadow_from_swap_cache, swap_cache_get_folio, swapin_readahead } from "../swap_state.js";
import { __swap_count, folio_free_swap, get_swap_device, swap_free } from "../swapfile.js";
import { count_vm_event } from "../vmstat.js";
import { workingset_refault } from "../workingset.js";
import { do_wp_page, pte_same } from "./cow.js";

/** Is a page of the swap cache to leave it when it is mapped? @kernel mm/memory.c:should_try_to_free_swap @fidelity mirrored */
function should_try_to_free_swap(k: Machine, pfn: number, vma: vm_area_struct, fault_flags: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (!(s.flags[i]! & PG_swapcache)) return false;
  if (vm_swap_full(k) || vm_flags_test(vma.vm_flags, VM_LOCKED) || s.flags[i]! & PG_mlocked) return true;
  return (fault_flags & FAULT_FLAG_WRITE) !== 0 && s.refcount[i] === 2;
}

/** A page of its own for an entry that nobody else has, read at once. 0 when there is no memory. */
function swapin_direct(k: Machine, entry: number, vmf: vm_fault): number {
  const pfn = alloc_page_vma(k, GFP_HIGHUSER_MOVABLE, vmf.vma, vmf.address);
  if (pfn === 0) return 0;
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_locked | PG_swapbacked;
  const shadow = get_shadow_from_swap_cache(k, entry);
  if (shadow !== 0) workingset_refault(k, pfn, shadow);
  folio_add_lru(k, pfn);
  swap_readpage(k, pfn, true, entry);
  return pfn;
}

/**
 * Locks the page. A device that is still reading it holds the lock: it is waited for with mmap_lock if that cannot be
 * dropped; if it can, the fault is retried once the page is there.
 */
function lock_swapped(k: Machine, vmf: vm_fault, pfn: number): boolean {
  const flags = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED | FAULT_FLAG_RETRY_NOWAIT;
  const may_retry = (vmf.flags & flags & ~FAULT_FLAG_RETRY_NOWAIT) === FAULT_FLAG_ALLOW_RETRY;
  if (!may_retry) end_swap_reads(k);
  const locked = folio_lock_or_retry(k, pfn, vmf.vma.vm_mm, vmf.flags);
  if (!locked) end_swap_reads(k);
  return locked;
}

/** Is the page this mapping's alone, whatever references there are? @kernel mm/memory.c:do_swap_page (middle) @fidelity mirrored */
function swapped_exclusive(k: Machine, vmf: vm_fault, pfn: number, si: swap_info_struct, cached: boolean): boolean {
  if (!cached) return true;
  if (!(vmf.orig_flags & SWP_EXCLUSIVE)) return false;
  return !(page_test(k.mem, pfn, PG_writeback) && si.flags & SWP_STABLE_WRITES);
}

/** Maps the locked page in the place of its entry; the fault's reference goes to that. */
function map_swapped(
  k: Machine,
  vmf: vm_fault,
  pfn: number,
  si: swap_info_struct,
  cached: boolean,
  copied: boolean,
): vm_fault_t {
  const { vma } = vmf;
  const entry = vmf.orig_pfn;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(PageAnon(k.mem, pfn) && (s.flags[i]! & PG_anon_exclusive) !== 0, "a swap-cache page is exclusive");
  const exclusive = swapped_exclusive(k, vmf, pfn, si, cached && !copied);
  swap_free(k, entry);
  if (should_try_to_free_swap(k, pfn, vma, vmf.flags)) folio_free_swap(k, pfn);
  vma.vm_mm.rss_stat[MM_ANONPAGES]!++;
  vma.vm_mm.rss_stat[MM_SWAPENTS]!--;
  let ret = 0;
  let pte = vm_page_prot(vma);
  let rmap_flags = RMAP_NONE;
  if (!(s.flags[i]! & PG_ksm) && (exclusive || s.refcount[i] === 1)) {
    if (vmf.flags & FAULT_FLAG_WRITE) {
      pte |= _PAGE_DIRTY;
      if (vm_flags_test(vma.vm_flags, VM_WRITE)) pte |= _PAGE_RW;
      vmf.flags &= ~FAULT_FLAG_WRITE;
      ret = VM_FAULT_WRITE;
    }
    rmap_flags = RMAP_EXCLUSIVE;
  }
  vmf.orig_pfn = pfn;
  vmf.orig_flags = pte;
  if (copied) {
    page_add_new_anon_rmap(k, pfn, vma, vmf.address);
    lru_cache_add_inactive_or_unevictable(k, pfn, vma);
  } else {
    page_add_anon_rmap(k, pfn, vma, vmf.address, rmap_flags);
  }
  set_pte_at(k, vmf.table!, vmf.ptei, pfn, pte);
  folio_unlock(k, pfn);
  return ret;
}

/** Gives up the page. */
function put_swapped(k: Machine, pfn: number, locked: boolean): void {
  if (locked) folio_unlock(k, pfn);
  put_page(k, pfn);
}

/** The page of an entry, referenced, from the swap cache or on its way from its slot; 0 when there is no memory. */
function read_swapped(k: Machine, vmf: vm_fault, si: swap_info_struct): { pfn: number; cached: boolean } {
  const entry = vmf.orig_pfn;
  if (si.flags & SWP_SYNCHRONOUS_IO && __swap_count(k, entry) === 1) {
    return { pfn: swapin_direct(k, entry, vmf), cached: false };
  }
  return { pfn: swapin_readahead(k, entry, GFP_HIGHUSER_MOVABLE, vmf), cached: true };
}

/** Maps the locked page, or a copy, unless the entry has changed meanwhile or the page could not be read. */
function finish_swap_in(
  k: Machine,
  vmf: vm_fault,
  swapcache: number,
  si: swap_info_struct,
  cached: boolean,
  ret: vm_fault_t,
): vm_fault_t {
  const pfn = cached ? ksm_might_need_to_copy(k, swapcache, vmf.vma, vmf.address) : swapcache;
  if (pfn === 0) {
    put_swapped(k, swapcache, true);
    return VM_FAULT_OOM;
  }
  const copied = pfn !== swapcache;
  const write = (vmf.flags & FAULT_FLAG_WRITE) !== 0;
  const uptodate = page_test(k.mem, compound_head(k.mem, pfn), PG_uptodate);
  if (cached && !copied && write && !page_test(k.mem, pfn, PG_lru | PG_ksm)) lru_add_drain(k);
  if (!pte_same(vmf) || !uptodate) {
    if (pte_same(vmf)) ret = VM_FAULT_SIGBUS;
    put_swapped(k, pfn, true);
    if (copied) put_swapped(k, swapcache, true);
    return ret;
  }
  ret |= map_swapped(k, vmf, pfn, si, cached, copied);
  if (copied) put_swapped(k, swapcache, true);
  if (!(vmf.flags & FAULT_FLAG_WRITE)) return ret;
  ret |= do_wp_page(k, vmf);
  return ret & VM_FAULT_ERROR ? ret & VM_FAULT_ERROR : ret;
}

function do_swap_in(k: Machine, vmf: vm_fault, si: swap_info_struct): vm_fault_t {
  const { vma } = vmf;
  const entry = vmf.orig_pfn;
  let ret = 0;
  let cached = true;
  let pfn = swap_cache_get_folio(k, entry, vma, vmf.address);
  if (pfn === 0) {
    ({ pfn, cached } = read_swapped(k, vmf, si));
    if (pfn === 0) {
      end_swap_reads(k);
      return pte_same(vmf) ? VM_FAULT_OOM : 0;
    }
    ret = VM_FAULT_MAJOR;
    count_vm_event(k, PGMAJFAULT);
  }
  if (cached) {
    if (!lock_swapped(k, vmf, pfn)) {
      put_swapped(k, pfn, false);
      return ret | VM_FAULT_RETRY;
    }
    if (!page_test(k.mem, compound_head(k.mem, pfn), PG_swapcache) || swap_entry_of(k.mem, pfn) !== entry) {
      put_swapped(k, pfn, true);
      return ret;
    }
  } else {
    page_set(k.mem, pfn, PG_locked);
  }
  return finish_swap_in(k, vmf, pfn, si, cached, ret);
}

/**
 * Handles a fault on an entry that is neither empty nor present: waits for a migration, or brings a page back from swap.
 * mmap_lock has been dropped when VM_FAULT_RETRY is returned: the page was still being read.
 * @kernel mm/memory.c:do_swap_page
 * @fidelity mirrored (no hardware poison, userfaultfd or device memory)
 */
export function do_swap_page(k: Machine, vmf: vm_fault): vm_fault_t {
  if (vmf.orig_flags & _PAGE_MIGRATION) {
    migration_entry_wait(k, vmf.vma.vm_mm, vmf.address);
    return 0;
  }
  if (non_swap_entry(vmf.orig_pfn)) return VM_FAULT_SIGBUS;
  const si = get_swap_device(k, vmf.orig_pfn);
  return si === undefined ? 0 : do_swap_in(k, vmf, si);
}
