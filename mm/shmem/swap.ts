// SPDX-License-Identifier: GPL-2.0-only
/** Pages of shmem files that go to swap and come back (mm/shmem.c). Where one is out, the page cache has its slot. */
import type { address_space, inode } from "../../include/linux/fs.js";
import { __GFP_HIGH, __GFP_NOMEMALLOC, __GFP_NOWARN, GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { vma_pages } from "../../include/linux/mm.js";
import { page_test, page_zone, PFN_SECTION_MASK, swap_entry_of } from "../../include/linux/mem_map.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { PG_dirty, PG_swapcache, PG_uptodate } from "../../include/linux/page-flags.js";
import { swap_state_of, total_swap_pages } from "../../include/linux/swap.js";
import { make_swapin_error_entry, non_swap_entry, swp_type, type swp_entry_t } from "../../include/linux/swapops.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { NR_FILE_PAGES, NR_SHMEM, PGMAJFAULT } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value, xa_mk_value, xa_to_value } from "../../lib/xarray.js";
import { EEXIST, EIO, ENOMEM } from "../../uapi/errno.js";
import { add_to_page_cache, folio_lock, folio_unlock } from "../filemap.js";
import { end_swap_reads, swap_writepage } from "../page_io.js";
import { GFP_RECLAIM_MASK, SGP_CACHE, SGP_WRITE, shmem_noreserve, shmem_recalc_inode } from "../shmem.js";
import { shmem_pseudo_place } from "./policy.js";
import { radix_tree_node_free } from "../slub.js";
import { mark_page_accessed, put_page } from "../swap.js";
import { folio_alloc_swap } from "../swap_slots.js";
import {
  add_to_swap_cache,
  delete_from_swap_cache,
  swap_cache_get_folio,
  swap_cluster_readahead,
} from "../swap_state.js";
import { free_swap_and_cache, put_swap_folio, swap_free, swap_shmem_alloc } from "../swapfile.js";
import { count_vm_event } from "../vmstat.js";

/** Takes a page out of the page cache, which keeps its slot instead. @kernel mm/shmem.c:shmem_delete_from_page_cache */
function shmem_delete_from_page_cache(k: Machine, mapping: address_space, pfn: number, entry: swp_entry_t): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  mapping.i_pages.store(s.index[i]!, xa_mk_value(entry));
  mapping.nrpages--;
  s.setMapping(i, 0);
  const stat = k.nodes[page_zone(k.mem, pfn).node]!.vm_stat;
  stat[NR_FILE_PAGES]!--;
  stat[NR_SHMEM]!--;
  put_page(k, pfn);
}

/**
 * Moves a locked, unmapped page from the page cache to the swap cache and writes it. False where it has to stay, locked
 * and dirty: there is no swap, or no memory for its index.
 * @kernel mm/shmem.c:shmem_writepage
 * @fidelity simplified: a page that fallocate() is about to give is written like any other; huge ones come split
 */
export function shmem_writepage(k: Machine, mapping: address_space, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const info = mapping.host.shmem!;
  const entry = total_swap_pages(k) === 0 ? 0 : folio_alloc_swap(k, 1);
  if (entry === 0) {
    s.flags[i]! |= PG_dirty;
    return false;
  }
  if (!(s.flags[i]! & PG_uptodate)) {
    s.content[i] = 0;
    s.flags[i]! |= PG_uptodate;
  }
  if (add_to_swap_cache(k, pfn, entry, __GFP_HIGH | __GFP_NOMEMALLOC | __GFP_NOWARN) !== 0) {
    put_swap_folio(k, entry, 1);
    s.flags[i]! |= PG_dirty;
    return false;
  }
  shmem_recalc_inode(k, mapping.host);
  info.swapped++;
  swap_shmem_alloc(k, entry);
  shmem_delete_from_page_cache(k, mapping, pfn, entry);
  swap_writepage(k, pfn);
  return true;
}

/**
 * The page could not be read: it is lost, and its place says so. As in the kernel, what a file that is charged page by
 * page was charged for it stays charged.
 * @kernel mm/shmem.c:shmem_set_folio_swapin_error
 * @fidelity mirrored
 */
function shmem_set_folio_swapin_error(k: Machine, host: inode, index: number, pfn: number, entry: swp_entry_t): void {
  host.i_mapping.i_pages.store(index, xa_mk_value(make_swapin_error_entry(pfn)));
  delete_from_swap_cache(k, pfn);
  host.shmem!.alloced--;
  host.shmem!.swapped--;
  shmem_recalc_inode(k, host);
  swap_free(k, entry);
  if (shmem_noreserve(host.shmem!)) swap_state_of(k).lost_promises++;
}

/** Puts a page of the swap cache that has been read back into the page cache. 0, -EEXIST, -EIO, -ENOMEM. */
function shmem_swapin_locked(k: Machine, host: inode, index: number, pfn: number, entry: swp_entry_t): number {
  const m = k.mem;
  if (!page_test(m, pfn, PG_swapcache) || swap_entry_of(m, pfn) !== entry) return -EEXIST;
  const value = xa_mk_value(entry);
  if (host.i_mapping.i_pages.load(index) !== value) return -EEXIST;
  if (!page_test(m, pfn, PG_uptodate)) {
    shmem_set_folio_swapin_error(k, host, index, pfn, entry);
    return -EIO;
  }
  const gfp = GFP_HIGHUSER_MOVABLE & GFP_RECLAIM_MASK;
  const error = add_to_page_cache(k, pfn, host.i_mapping, index, gfp, value);
  if (error !== 0) return error;
  host.shmem!.swapped--;
  shmem_recalc_inode(k, host);
  return 0;
}

/**
 * Brings a page back, locked and referenced: from the swap cache, or from its slot with those near it.
 * @kernel mm/shmem.c:shmem_swapin_folio
 * @fidelity mirrored: reading it is waited for under mmap_lock
 * @param value what the page cache has at `index`
 * @param fault does a page fault want it?
 * @returns page frame; -EIO where it cannot be read, then and later; -ENOMEM; -EEXIST: look again
 */
export function shmem_swapin_folio(
  k: Machine,
  host: inode,
  index: number,
  value: number,
  sgp: number,
  fault: boolean,
): number {
  const entry = xa_to_value(value);
  if (non_swap_entry(entry)) return -EIO;
  let pfn = swap_cache_get_folio(k, entry, null, 0);
  if (pfn === 0) {
    if (fault) count_vm_event(k, PGMAJFAULT);
    pfn = swap_cluster_readahead(k, entry, GFP_HIGHUSER_MOVABLE, shmem_pseudo_place(k, host, index));
  }
  end_swap_reads(k);
  if (pfn === 0) return -ENOMEM;
  folio_lock(k, pfn);
  const error = shmem_swapin_locked(k, host, index, pfn, entry);
  if (error !== 0) {
    folio_unlock(k, pfn);
    put_page(k, pfn);
    return error;
  }
  if (sgp === SGP_WRITE) mark_page_accessed(k, pfn);
  delete_from_swap_cache(k, pfn);
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_dirty;
  swap_free(k, entry);
  return pfn;
}

/**
 * Forgets the pages of [start, end) (page offsets) that are in swap.
 * @kernel mm/shmem.c:shmem_free_swap
 * @fidelity mirrored
 */
export function shmem_free_swaps(k: Machine, host: inode, start: number, end: number): void {
  const xa = host.i_mapping.i_pages;
  if (xa.size === host.i_mapping.nrpages) return;
  const before = xa.nodes;
  xa.forEach(start, end - 1, (index, value) => {
    if (!xa_is_value(value)) return;
    const entry = xa_to_value(value);
    xa.erase(index);
    if (non_swap_entry(entry)) return;
    host.shmem!.swapped--;
    free_swap_and_cache(k, entry);
  });
  if (xa.nodes < before) radix_tree_node_free(k, before - xa.nodes);
}

/** Brings back what a file has in one swap area. 0 or -ENOMEM. @kernel mm/shmem.c:shmem_unuse_inode */
function shmem_unuse_inode(k: Machine, host: inode, type: number): number {
  let error = 0;
  host.i_mapping.i_pages.forEach(0, 2 ** 32 - 1, (index, value) => {
    if (error === -ENOMEM || !xa_is_value(value) || swp_type(xa_to_value(value)) !== type) return;
    const pfn = shmem_swapin_folio(k, host, index, value, SGP_CACHE, false);
    if (pfn < 0) {
      error = pfn;
      return;
    }
    folio_unlock(k, pfn);
    put_page(k, pfn);
  });
  return error === -ENOMEM ? error : 0;
}

/**
 * Brings back what all files have in one swap area. 0 or -ENOMEM.
 * @kernel mm/shmem.c:shmem_unuse
 * @fidelity simplified: files in the order in which they were made
 */
export function shmem_unuse(k: Machine, type: number): number {
  for (const owner of [...k.mem.owners]) {
    if (owner === undefined || owner.is_anon) continue;
    const { host } = owner as address_space;
    if (host.shmem === null || host.shmem.swapped === 0) continue;
    const error = shmem_unuse_inode(k, host, type);
    if (error !== 0) return error;
  }
  return 0;
}

/**
 * Calls `fn` with the index of each page in [start, end) of a file that is in swap.
 * @kernel mm/shmem.c:shmem_partial_swap_usage, which counts them
 * @param start pages
 */
export function shmem_swapped_pages(
  mapping: address_space,
  start: number,
  end: number,
  fn: (index: number) => void,
): void {
  if (mapping.host.shmem!.swapped === 0) return;
  mapping.i_pages.forEach(start, end - 1, (index, value) => {
    if (xa_is_value(value)) fn(index);
  });
}

/**
 * Bytes of what a VMA maps of a file that are in swap; of all of the file where it maps all of it.
 * @kernel mm/shmem.c:shmem_swap_usage
 * @fidelity mirrored
 */
export function shmem_swap_usage(vma: vm_area_struct): number {
  const { f_inode: host, f_mapping } = vma.vm_file!;
  if (vma.vm_pgoff === 0 && vma.vm_end - vma.vm_start >= host.i_size) return host.shmem!.swapped * PAGE_SIZE;
  let swapped = 0;
  shmem_swapped_pages(f_mapping, vma.vm_pgoff, vma.vm_pgoff + vma_pages(vma), () => swapped++);
  return swapped * PAGE_SIZE;
}
