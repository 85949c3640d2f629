// SPDX-License-Identifier: GPL-2.0-only
/** Write faults on entries that are present and read-only (mm/memory.c: do_wp_page and what it calls). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { compound_head, page_owner_of, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { __GFP_ZERO, GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { VM_MIXEDMAP, VM_PFNMAP, VM_SHARED, VM_WRITE } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_RW,
  _PAGE_SPECIAL,
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  MM_ANONPAGES,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  type vm_fault_t,
  VM_FAULT_WRITE,
} from "../../include/linux/mm_types.js";
import { mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import type { Machine } from "../../include/machine.js";
import {
  PG_anon_exclusive,
  PG_dirty,
  PG_ksm,
  PG_lru,
  PG_swapcache,
  PG_tail,
  PG_uptodate,
} from "../../include/linux/page-flags.js";
import { vm_flags_all, vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import { COW_KSM, PGREUSE } from "../../include/linux/vmstat.js";
import { folio_lock, folio_trylock, folio_unlock } from "../filemap.js";
import { alloc_page_vma } from "../page_alloc.js";
import { set_pte_at, vm_page_prot } from "../pgtable.js";
import { anon_vma_prepare, page_add_new_anon_rmap, page_move_anon_rmap, page_remove_rmap } from "../rmap.js";
import { folio_free_swap } from "../swapfile.js";
import { get_page, lru_add_drain, lru_cache_add_inactive_or_unevictable, put_page } from "../swap.js";
import { count_vm_event } from "../vmstat.js";
import { mm_counter_file } from "./zap.js";

const VM_SHARED_WRITE = vm_flags_or(VM_WRITE, VM_SHARED);
const VM_RAW = vm_flags_or(VM_PFNMAP, VM_MIXEDMAP);

/**
 * The page that an entry of a VMA maps and counts; 0 for the zero page and for raw page frames.
 * @kernel mm/memory.c:vm_normal_page
 * @fidelity mirrored (architectures with a special bit)
 */
export function vm_normal_page(k: Machine, vma: vm_area_struct, pfn: number, flags: number): number {
  if (!(flags & _PAGE_SPECIAL)) return pfn;
  VM_BUG_ON(pfn !== k.zero_pfn && !vm_flags_test(vma.vm_flags, VM_RAW), "bad page map: special entry");
  return 0;
}

/** Is the entry still what it was when the fault began? @kernel pte_same */
export function pte_same(vmf: vm_fault): boolean {
  const t = vmf.table!;
  return t.pfn[vmf.ptei] === vmf.orig_pfn && t.flags[vmf.ptei] === vmf.orig_flags;
}

/**
 * Drops mmap_lock for a wait, in a fault's first attempt and where its caller can take that; says whether it did.
 * @kernel mm/internal.h:maybe_unlock_mmap_for_io
 * @fidelity simplified: the file is not held meanwhile
 */
export function maybe_unlock_mmap_for_io(vmf: vm_fault): boolean {
  const first = (vmf.flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED)) === FAULT_FLAG_ALLOW_RETRY;
  if (!first || vmf.flags & FAULT_FLAG_RETRY_NOWAIT) return false;
  mmap_read_unlock(vmf.vma.vm_mm);
  return true;
}

function wp_page_reuse(k: Machine, vmf: vm_fault): void {
  const t = vmf.table!;
  const write = vm_flags_test(vmf.vma.vm_flags, VM_WRITE) ? _PAGE_RW : 0;
  t.flags[vmf.ptei] = vmf.orig_flags | _PAGE_ACCESSED | _PAGE_DIRTY | write;
  count_vm_event(k, PGREUSE);
}

/** Allocates the page and fills it from the old one. */
function wp_alloc_copy(k: Machine, vmf: vm_fault, old_page: number): number {
  const zero = vmf.orig_pfn === k.zero_pfn;
  const gfp = zero ? GFP_HIGHUSER_MOVABLE | __GFP_ZERO : GFP_HIGHUSER_MOVABLE;
  const page = alloc_page_vma(k, gfp, vmf.vma, vmf.address);
  if (page === 0) return 0;
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  if (!zero) s.content[i] = k.mem.section(old_page).content[old_page & PFN_SECTION_MASK]!;
  s.flags[i]! |= PG_uptodate;
  return page;
}

/**
 * Gives the faulting VMA a page of its own. vmf.page is the old one, referenced, or 0 for the zero page.
 * @kernel mm/memory.c:wp_page_copy
 * @fidelity mirrored
 */
function wp_page_copy(k: Machine, vmf: vm_fault): vm_fault_t {
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const vma = vmf.vma;
  const old_page = vmf.page;
  const new_page = anon_vma_prepare(k, vma) === 0 ? wp_alloc_copy(k, vmf, old_page) : 0;
  if (new_page === 0) {
    if (old_page !== 0) put_page(k, old_page);
    return VM_FAULT_OOM;
  }
  if (!pte_same(vmf)) {
    put_page(k, new_page);
    if (old_page !== 0) put_page(k, old_page);
    return 0;
  }
  const rss = vma.vm_mm.rss_stat;
  if (old_page === 0) {
    rss[MM_ANONPAGES]!++;
  } else if (page_owner_of(k.mem, old_page)?.is_anon !== true) {
    rss[mm_counter_file(k, old_page)]!--;
    rss[MM_ANONPAGES]!++;
  }
  let entry = vm_page_prot(vma);
  if (!unshare) {
    entry |= _PAGE_DIRTY;
    if (vm_flags_test(vma.vm_flags, VM_WRITE)) entry |= _PAGE_RW;
  }
  page_add_new_anon_rmap(k, new_page, vma, vmf.address);
  lru_cache_add_inactive_or_unevictable(k, new_page, vma);
  set_pte_at(k, vmf.table!, vmf.ptei, new_page, entry);
  if (old_page !== 0) {
    page_remove_rmap(k, old_page, vma);
    put_page(k, old_page);
    put_page(k, old_page);
  }
  return unshare ? 0 : VM_FAULT_WRITE;
}

/** Tells the file of the first write to a page; the page comes back locked. @kernel mm/memory.c:do_page_mkwrite */
export function do_page_mkwrite(k: Machine, vmf: vm_fault): vm_fault_t {
  const page = vmf.page;
  const old_flags = vmf.flags;
  vmf.flags = FAULT_FLAG_WRITE;
  let ret = vmf.vma.vm_ops!.page_mkwrite!(k, vmf);
  vmf.flags = old_flags;
  if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) return ret;
  if (!(ret & VM_FAULT_LOCKED)) {
    folio_lock(k, page);
    if (k.mem.section(page).mapping[page & PFN_SECTION_MASK] === 0) {
      folio_unlock(k, page);
      return 0;
    }
    ret |= VM_FAULT_LOCKED;
  }
  return ret;
}

/**
 * Dirties the page of a shared file mapping and unlocks it. The first write to a page may have to wait for writeback,
 * and so drops mmap_lock where it can: the VMA may be gone when this returns VM_FAULT_COMPLETED.
 * @kernel mm/memory.c:fault_dirty_shared_page
 * @fidelity mirrored: the wait is the yield point "balance_dirty_pages"
 */
export function fault_dirty_shared_page(k: Machine, vmf: vm_fault): vm_fault_t {
  const vma = vmf.vma;
  const s = k.mem.section(vmf.page);
  let i = vmf.page & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_tail) i = s.private_[i]! & PFN_SECTION_MASK;
  const page_mkwrite = vma.vm_ops?.page_mkwrite !== undefined;
  const dirtied = !(s.flags[i]! & PG_dirty);
  s.flags[i]! |= PG_dirty;
  const mapping = s.mapping[i]!;
  folio_unlock(k, vmf.page);
  if ((!dirtied && !page_mkwrite) || mapping === 0) return 0;
  const dropped = maybe_unlock_mmap_for_io(vmf);
  k.hooks.yieldPoint("balance_dirty_pages", dropped ? DROPPED : HELD);
  return dropped ? VM_FAULT_COMPLETED : 0;
}

const DROPPED = { dropped: true } as const;
const HELD = { dropped: false } as const;

function finish_mkwrite_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  if (!pte_same(vmf)) return VM_FAULT_NOPAGE;
  wp_page_reuse(k, vmf);
  return 0;
}

function wp_page_shared(k: Machine, vmf: vm_fault): vm_fault_t {
  const page = vmf.page;
  let ret = VM_FAULT_WRITE;
  get_page(k, page);
  if (vmf.vma.vm_ops?.page_mkwrite !== undefined) {
    let tmp = do_page_mkwrite(k, vmf);
    if (tmp === 0 || tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) {
      put_page(k, page);
      return tmp;
    }
    tmp = finish_mkwrite_fault(k, vmf);
    if (tmp & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) {
      folio_unlock(k, page);
      put_page(k, page);
      return tmp;
    }
  } else {
    wp_page_reuse(k, vmf);
    folio_lock(k, compound_head(k.mem, page));
  }
  ret |= fault_dirty_shared_page(k, vmf);
  put_page(k, page);
  return ret;
}

/** Can the page, not marked exclusive, be proved to be? @kernel mm/memory.c:do_wp_page (middle) @fidelity mirrored */
function wp_can_reuse_anon(k: Machine, page: number, vma: vm_area_struct): boolean {
  const pfn = compound_head(k.mem, page);
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_ksm || s.refcount[i]! > 3) return false;
  if (!(s.flags[i]! & PG_lru)) lru_add_drain(k);
  if (s.refcount[i]! > 1 + (s.flags[i]! & PG_swapcache ? 1 : 0)) return false;
  if (!folio_trylock(k, pfn)) return false;
  if (s.flags[i]! & PG_swapcache) folio_free_swap(k, pfn);
  if (s.refcount[i] !== 1) {
    folio_unlock(k, pfn);
    return false;
  }
  page_move_anon_rmap(k, page, vma);
  folio_unlock(k, pfn);
  return true;
}

/**
 * Handles a write (or an unsharing, for a pin) on a present entry that is not writable: reuse the page, or copy it.
 * @kernel mm/memory.c:do_wp_page
 * @fidelity mirrored (no userfaultfd)
 */
export function do_wp_page(k: Machine, vmf: vm_fault): vm_fault_t {
  const unshare = (vmf.flags & FAULT_FLAG_UNSHARE) !== 0;
  const vma = vmf.vma;
  VM_BUG_ON(unshare === ((vmf.flags & FAULT_FLAG_WRITE) !== 0), "do_wp_page wants to write or to unshare");
  vmf.page = vm_normal_page(k, vma, vmf.orig_pfn, vmf.orig_flags);
  if (vmf.page === 0) {
    if (unshare) return 0;
    if (vm_flags_all(vma.vm_flags, VM_SHARED_WRITE)) {
      wp_page_reuse(k, vmf);
      return VM_FAULT_WRITE;
    }
    return wp_page_copy(k, vmf);
  }
  const s = k.mem.section(vmf.page);
  const i = vmf.page & PFN_SECTION_MASK;
  if (k.mem.owners[s.mapping[i]!]?.is_anon === true) {
    if (s.flags[i]! & PG_anon_exclusive || wp_can_reuse_anon(k, vmf.page, vma)) {
      if (unshare) return 0;
      wp_page_reuse(k, vmf);
      return VM_FAULT_WRITE;
    }
  } else if (unshare) {
    return 0;
  } else if (vm_flags_all(vma.vm_flags, VM_SHARED_WRITE)) {
    return wp_page_shared(k, vmf);
  }
  get_page(k, vmf.page);
  if (s.flags[i]! & PG_ksm) count_vm_event(k, COW_KSM);
  return wp_page_copy(k, vmf);
}
