// SPDX-License-Identifier: GPL-2.0-only
/** Page locks, page caches and the faults of ordinary files (mm/filemap.c). */
import { VM_BUG_ON, would_wait } from "../include/linux/bug.js";
import { GFP_HIGHUSER_MOVABLE, GFP_KERNEL, __GFP_DIRECT_RECLAIM } from "../include/linux/gfp.js";
import type { address_space } from "../include/linux/fs.js";
import {
  compound_head,
  folio_mapped,
  folio_nr_pages,
  page_owner_of,
  page_test,
  page_zone,
  PFN_SECTION_MASK,
} from "../include/linux/mem_map.js";
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  type mm_struct,
  VM_FAULT_LOCKED,
  VM_FAULT_MAJOR,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_fault,
  type vm_fault_t,
} from "../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../include/linux/mmap_lock.js";
import {
  PG_dirty,
  PG_head,
  PG_locked,
  PG_referenced,
  PG_swapbacked,
  PG_tail,
  PG_uptodate,
} from "../include/linux/page-flags.js";
import { HPAGE_PMD_NR, PAGE_SIZE } from "../include/linux/types.js";
import { NR_FILE_PAGES, NR_SHMEM, NR_SHMEM_THPS, PGMAJFAULT } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { XA_MAX_INDEX, xa_is_value } from "../lib/xarray.js";
import { EEXIST, ENOMEM } from "../uapi/errno.js";
import { maybe_unlock_mmap_for_io } from "./memory/cow.js";
import { do_set_pmd, do_set_pte, install_prealloc } from "./memory/fault.js";
import { alloc_page } from "./page_alloc.js";
import { pte_index, pte_none } from "./pgtable.js";
import { radix_tree_node_alloc, radix_tree_node_free } from "./slub.js";
import { set_compound_mapping } from "./rmap/compound.js";
import { folio_add_lru, get_page, put_page } from "./swap.js";
import { count_vm_event } from "./vmstat.js";
import { workingset_refault, workingset_update_node } from "./workingset.js";

/**
 * Takes the lock of a page, or of the huge page that it is part of, if it is free.
 * @kernel include/linux/pagemap.h:folio_trylock, trylock_page
 * @fidelity mirrored
 */
export function folio_trylock(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  let i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_tail) i = s.private_[i]! & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_locked) return false;
  s.flags[i]! |= PG_locked;
  return true;
}

/**
 * Takes the page lock, sleeping for it at the yield point "folio_lock"; who has it must let go there.
 * @kernel include/linux/pagemap.h:folio_lock
 * @fidelity simplified: one chance to be woken
 */
export function folio_lock(k: Machine, pfn: number): void {
  if (folio_trylock(k, pfn)) return;
  k.hooks.yieldPoint("folio_lock", { pfn });
  if (!folio_trylock(k, pfn)) would_wait("folio_lock");
}

/** @kernel mm/filemap.c:folio_unlock, unlock_page @fidelity mirrored */
export function folio_unlock(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  let i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_tail) i = s.private_[i]! & PFN_SECTION_MASK;
  VM_BUG_ON(!(s.flags[i]! & PG_locked), "folio_unlock of an unlocked page");
  s.flags[i]! &= ~PG_locked;
}

/** Sleeps until a page is unlocked. @kernel include/linux/pagemap.h:folio_wait_locked */
export function folio_wait_locked(k: Machine, pfn: number): void {
  if (page_test(k.mem, compound_head(k.mem, pfn), PG_locked)) k.hooks.yieldPoint("folio_wait_locked", { pfn });
}

/**
 * Takes the page lock in a fault, or gives up and lets the fault be retried: then mmap_lock has been dropped (but with
 * FAULT_FLAG_RETRY_NOWAIT). In a first attempt, where mmap_lock may be dropped, the yield point is reached without it;
 * a hook that ran another task's step there answers "retry", as does one that plays a contended lock.
 * @kernel mm/filemap.c:__folio_lock_or_retry
 * @fidelity mirrored
 */
export function folio_lock_or_retry(k: Machine, pfn: number, mm: mm_struct, flags: number): boolean {
  const first = (flags & (FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_TRIED)) === FAULT_FLAG_ALLOW_RETRY;
  if (!first) {
    folio_lock(k, pfn);
    return true;
  }
  if (flags & FAULT_FLAG_RETRY_NOWAIT) return folio_trylock(k, pfn);
  mmap_read_unlock(mm);
  if (k.hooks.yieldPoint("folio_lock_or_retry", { pfn }) === "retry") return false;
  if (!folio_trylock(k, pfn)) return false;
  mmap_read_lock(mm);
  return true;
}

function mod_file_pages(k: Machine, pfn: number, n: number): void {
  const stat = k.nodes[page_zone(k.mem, pfn).node]!.vm_stat;
  const flags = k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]!;
  stat[NR_FILE_PAGES]! += n;
  if (flags & PG_swapbacked) stat[NR_SHMEM]! += n;
  if (flags & PG_head) stat[NR_SHMEM_THPS]! += n;
}

/**
 * Puts a locked page, or a huge one by its head, into a page cache, which takes a reference to each of its pages. 0, or
 * -ENOMEM where the index needs a node, -EEXIST where there is anything but `expected` (0 for a hole, or a value entry). `gfp`: how to allocate that node.
 * @kernel mm/filemap.c:__filemap_add_folio, mm/shmem.c:shmem_add_to_page_cache
 * @fidelity mirrored (no memory control groups)
 */
export function add_to_page_cache(
  k: Machine,
  pfn: number,
  mapping: address_space,
  index: number,
  gfp: number,
  expected = 0,
): number {
  const xa = mapping.i_pages;
  const before = xa.nodes;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const huge = (s.flags[i]! & PG_head) !== 0;
  const nr = huge ? HPAGE_PMD_NR : 1;
  if (huge ? xa.find(index, index + nr - 1) >= 0 : xa.load(index) !== expected) return -EEXIST;
  if (huge) xa.store_huge(index, pfn, k.calls.now);
  else xa.store(index, pfn, k.calls.now);
  const nodes = xa.nodes - before;
  s.addRefs(i, nr);
  s.setMapping(i, mapping.owner_id);
  s.index[i] = index;
  if (huge) set_compound_mapping(k, pfn, mapping.owner_id, index);
  mapping.nrpages += nr;
  mod_file_pages(k, pfn, nr);
  if (nodes === 0 || radix_tree_node_alloc(k, nodes, gfp)) return 0;
  remove_from_page_cache(k, pfn, mapping);
  return -ENOMEM;
}

/** Undoes {@link add_to_page_cache} for a page that the caller has a reference to; leaves `shadow`, if any, of a small one. */
function remove_from_page_cache(k: Machine, pfn: number, mapping: address_space, shadow = 0): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const nr = folio_nr_pages(k.mem, pfn);
  if (shadow !== 0) mapping.i_pages.store(s.index[i]!, shadow);
  else if (nr === 1) mapping.i_pages.erase(s.index[i]!);
  else mapping.i_pages.erase_huge(s.index[i]!);
  mapping.nrpages -= nr;
  mod_file_pages(k, pfn, -nr);
  if (nr > 1) set_compound_mapping(k, pfn, 0, 0);
  s.setMapping(i, 0);
  s.addRefs(i, -nr);
}

/**
 * Takes a locked, unmapped page, or a huge one by its head, out of its page cache and drops the cache's references.
 * @kernel mm/filemap.c:filemap_remove_folio
 * @fidelity mirrored
 * @param shadow what is left in its place, of a page of an ordinary file
 */
export function filemap_remove_folio(k: Machine, pfn: number, shadow = 0): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const mapping = page_owner_of(k.mem, pfn) as address_space;
  VM_BUG_ON(!(s.flags[i]! & PG_locked), "filemap_remove_folio of an unlocked page");
  VM_BUG_ON(folio_mapped(k.mem, pfn), "filemap_remove_folio of a mapped page");
  const xa = mapping.i_pages;
  const before = xa.nodes;
  VM_BUG_ON(xa.load(s.index[i]!) !== pfn, "page is not at its place in the page cache");
  remove_from_page_cache(k, pfn, mapping, shadow);
  if (xa.nodes !== before) radix_tree_node_free(k, before - xa.nodes);
  if (mapping.host.shmem === null) workingset_update_node(k, mapping, s.index[i]!);
  s.addRefs(i, 1);
  put_page(k, pfn);
}

/**
 * Puts a huge page in the place of all pages of its 512 offsets, which the cache no longer holds, and of so many holes,
 * which it counts already. The caller's reference becomes one of the cache's.
 * @kernel mm/khugepaged.c:collapse_file (middle)
 * @fidelity simplified: index nodes are given back at once
 */
export function replace_by_huge_page(
  k: Machine,
  mapping: address_space,
  start: number,
  hpage: number,
  holes: number,
): void {
  const xa = mapping.i_pages;
  const before = xa.nodes;
  for (let n = 0; n < HPAGE_PMD_NR; n++) xa.erase(start + n);
  xa.store_huge(start, hpage);
  if (xa.nodes < before) radix_tree_node_free(k, before - xa.nodes);
  else if (xa.nodes > before) radix_tree_node_alloc(k, xa.nodes - before, GFP_KERNEL);
  set_compound_mapping(k, hpage, mapping.owner_id, start);
  k.mem.section(hpage).addRefs(hpage & PFN_SECTION_MASK, HPAGE_PMD_NR - 1);
  const stat = k.nodes[page_zone(k.mem, hpage).node]!.vm_stat;
  stat[NR_SHMEM_THPS]! += HPAGE_PMD_NR;
  stat[NR_FILE_PAGES]! += holes;
  stat[NR_SHMEM]! += holes;
}

/**
 * The cached page at an index, locked and referenced (if it is part of a huge page, that is); 0 when there is none, a value entry as it is.
 * @kernel mm/filemap.c:__filemap_get_folio (FGP_ENTRY | FGP_LOCK)
 * @fidelity mirrored
 */
export function filemap_lock_entry(k: Machine, mapping: address_space, index: number): number {
  for (;;) {
    const pfn = mapping.i_pages.load(index);
    if (pfn === 0 || xa_is_value(pfn)) return pfn;
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    get_page(k, pfn);
    folio_lock(k, pfn);
    if (s.mapping[i] === mapping.owner_id && s.index[i] === index) return pfn;
    folio_unlock(k, pfn);
    put_page(k, pfn);
  }
}

/**
 * Puts a locked page into the cache of an ordinary file, and onto its way to the LRU lists. 0, -ENOMEM, -EEXIST.
 * @kernel mm/filemap.c:filemap_add_folio
 * @fidelity mirrored
 */
function filemap_add_folio(k: Machine, pfn: number, mapping: address_space, index: number): number {
  const old = mapping.i_pages.load(index);
  const shadow = xa_is_value(old) ? old : 0;
  const error = add_to_page_cache(k, pfn, mapping, index, __GFP_DIRECT_RECLAIM, shadow);
  if (error !== 0) return error;
  workingset_update_node(k, mapping, index);
  if (shadow !== 0) workingset_refault(k, pfn, shadow);
  folio_add_lru(k, pfn);
  return 0;
}

/** Pages of a file's size, the last part rounded up. */
export function file_pages(mapping: address_space): number {
  return Math.ceil(mapping.host.i_size / PAGE_SIZE);
}

function lock_folio_maybe_drop_mmap(k: Machine, vmf: vm_fault, pfn: number): boolean {
  return folio_lock_or_retry(k, pfn, vmf.vma.vm_mm, vmf.flags);
}

/**
 * Brings a page of an ordinary file into its cache for a fault. Reading it drops mmap_lock where it may, so the first
 * fault on a page is retried.
 * @kernel mm/filemap.c:filemap_fault
 * @fidelity simplified: files read as zeroes; one page at a time, without readahead
 */
export function filemap_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  const mapping = vmf.vma.vm_file!.f_mapping;
  const index = vmf.pgoff;
  if (index >= file_pages(mapping)) return VM_FAULT_SIGBUS;
  let pfn = mapping.i_pages.load(index);
  let ret = 0;
  if (pfn === 0 || xa_is_value(pfn)) {
    count_vm_event(k, PGMAJFAULT);
    ret = VM_FAULT_MAJOR;
    pfn = alloc_page(k, GFP_HIGHUSER_MOVABLE);
    if (pfn === 0) return VM_FAULT_OOM;
    const s = k.mem.section(pfn);
    s.flags[pfn & PFN_SECTION_MASK]! |= PG_locked;
    const error = filemap_add_folio(k, pfn, mapping, index);
    if (error !== 0) {
      folio_unlock(k, pfn);
      put_page(k, pfn);
      return error === -EEXIST ? ret | filemap_fault(k, vmf) : VM_FAULT_OOM;
    }
    s.content[pfn & PFN_SECTION_MASK] = 0;
    s.flags[pfn & PFN_SECTION_MASK]! |= PG_uptodate;
    const dropped = maybe_unlock_mmap_for_io(vmf);
    k.hooks.yieldPoint("filemap_fault", { address: vmf.address, index, dropped });
    if (dropped) {
      folio_unlock(k, pfn);
      put_page(k, pfn);
      return ret | VM_FAULT_RETRY;
    }
  } else {
    const s = k.mem.section(pfn);
    s.addRefs(pfn & PFN_SECTION_MASK, 1);
    if (!lock_folio_maybe_drop_mmap(k, vmf, pfn)) {
      put_page(k, pfn);
      return VM_FAULT_RETRY;
    }
  }
  if (index >= file_pages(mapping)) {
    folio_unlock(k, pfn);
    put_page(k, pfn);
    return VM_FAULT_SIGBUS;
  }
  vmf.page = pfn;
  return ret | VM_FAULT_LOCKED;
}

/** Can this cached page be mapped without waiting? @kernel mm/filemap.c:next_uptodate_page */
function mappable(k: Machine, pfn: number): boolean {
  const head = compound_head(k.mem, pfn);
  return (k.mem.section(head).flags[head & PFN_SECTION_MASK]! & (PG_locked | PG_uptodate)) === PG_uptodate;
}

/** Maps the huge page that a page is part of, if it is and fits. @kernel mm/filemap.c:filemap_map_pmd @fidelity mirrored */
function filemap_map_pmd(k: Machine, vmf: vm_fault, pfn: number): boolean {
  if (vmf.table !== null || !page_test(k.mem, pfn, PG_head | PG_tail)) return false;
  get_page(k, pfn);
  if (do_set_pmd(k, vmf, pfn) === 0) return true;
  put_page(k, pfn);
  return false;
}

/**
 * Maps those pages of [start_pgoff, end_pgoff] that are cached and ready. VM_FAULT_NOPAGE where that includes the
 * faulting one.
 * @kernel mm/filemap.c:filemap_map_pages
 * @fidelity mirrored
 */
export function filemap_map_pages(k: Machine, vmf: vm_fault, start_pgoff: number, end_pgoff: number): vm_fault_t {
  const vma = vmf.vma;
  const mapping = vma.vm_file!.f_mapping;
  const xa = mapping.i_pages;
  const end = Math.min(end_pgoff, file_pages(mapping) - 1, XA_MAX_INDEX);
  let ret = 0;
  for (let index = start_pgoff; index <= end; index++) {
    const pfn = xa.load(index);
    if (pfn === 0 || xa_is_value(pfn) || !mappable(k, pfn)) continue;
    if (filemap_map_pmd(k, vmf, pfn)) return VM_FAULT_NOPAGE;
    if (vmf.table === null && !install_prealloc(k, vmf)) return VM_FAULT_OOM;
    const addr = vma.vm_start + (index - vma.vm_pgoff) * PAGE_SIZE;
    const ptei = pte_index(addr);
    if (!pte_none(vmf.table!, ptei)) continue;
    if (addr === vmf.address) ret = VM_FAULT_NOPAGE;
    get_page(k, pfn);
    do_set_pte(k, vmf, pfn, addr, ptei);
  }
  return ret;
}

/** Notes that a shared mapping writes to a page. @kernel mm/filemap.c:filemap_page_mkwrite @fidelity mirrored */
export function filemap_page_mkwrite(k: Machine, vmf: vm_fault): vm_fault_t {
  const s = k.mem.section(vmf.page);
  const i = vmf.page & PFN_SECTION_MASK;
  folio_lock(k, vmf.page);
  if (s.mapping[i] !== vmf.vma.vm_file!.f_mapping.owner_id) {
    folio_unlock(k, vmf.page);
    return VM_FAULT_NOPAGE;
  }
  s.flags[i]! |= PG_dirty;
  return VM_FAULT_LOCKED;
}

/** Marks a page referenced without queueing it. @kernel include/linux/page-flags.h:__SetPageReferenced */
export function set_referenced(k: Machine, pfn: number): void {
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_referenced;
}
