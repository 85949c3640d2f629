// SPDX-License-Identifier: GPL-2.0-only
/** Memory that files stand for (mm/shmem.c): memfd, shared anonymous memory. Size changes and file calls: mm/shmem/. */
import { not_modelled } from "../include/linux/bug.js";
import { handle_userfault } from "../fs/userfaultfd.js";
import { address_space, file, type file_operations, FMODE_READ, FMODE_WRITE, inode } from "../include/linux/fs.js";
import type { shmem_inode_info } from "../include/linux/fs.js";
import {
  __GFP_RECLAIM,
  GFP_HIGHUSER_MOVABLE,
  __GFP_FS,
  __GFP_HIGH,
  __GFP_IO,
  __GFP_NOWARN,
} from "../include/linux/gfp.js";
import { compound_head, page_clear, page_test, PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { VM_MAYWRITE, VM_NORESERVE, VM_SHARED, VM_WRITE } from "../include/linux/mm.js";
import {
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  type vm_area_struct,
  type vm_fault,
  type vm_fault_t,
  type vm_operations_struct,
} from "../include/linux/mm_types.js";
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
import { vm_flags_and, vm_flags_andnot, vm_flags_test } from "../include/linux/vm_flags.js";
import { THP_FILE_ALLOC } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { XA_MAX_INDEX, xa_is_value, xarray } from "../lib/xarray.js";
import { EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM } from "../uapi/errno.js";
import { F_SEAL_FUTURE_WRITE, F_SEAL_SEAL } from "../uapi/memfd.js";
import { fput } from "../fs/file_table.js";
import {
  add_to_page_cache,
  filemap_lock_entry,
  filemap_map_pages,
  filemap_remove_folio,
  folio_unlock,
} from "./filemap.js";
import { maybe_unlock_mmap_for_io } from "./memory/cow.js";
import { alloc_page, alloc_page_vma } from "./page_alloc.js";
import { vma_thp_gfp_mask } from "./huge_memory/policy.js";
import { set_compound_flag } from "./rmap/compound.js";
import { shmem_fallocate } from "./shmem/file.js";
import { limit_gfp_mask, shmem_alloc_hugefolio, shmem_is_huge } from "./shmem/huge.js";
import { shmem_get_policy, shmem_pseudo_place, shmem_set_policy } from "./shmem/policy.js";
import { shmem_swapin_folio } from "./shmem/swap.js";
import { shmem_evict_inode } from "./shmem/truncate.js";
import { folio_add_lru, mark_page_accessed, put_page } from "./swap.js";
import { __vm_enough_memory, vm_unacct_memory } from "./util.js";
import { count_vm_event } from "./vmstat.js";

export { shmem_fallocate, shmem_pread, shmem_pwrite, SHMEM_EOF } from "./shmem/file.js";
export { shmem_truncate, shmem_truncate_range, shmem_undo_range } from "./shmem/truncate.js";

/** What a caller of {@link shmem_get_folio} wants with the page. @kernel include/linux/shmem_fs.h:sgp_type */
export const SGP_READ = 0;
export const SGP_NOALLOC = 1;
export const SGP_CACHE = 2;
export const SGP_WRITE = 3;
export const SGP_FALLOC = 4;

/** Bytes. */
const MAX_LFS_FILESIZE = 2 ** 63;
export const GFP_RECLAIM_MASK = __GFP_RECLAIM | __GFP_HIGH | __GFP_IO | __GFP_FS | __GFP_NOWARN;

function SHMEM_I(i: inode): shmem_inode_info {
  return i.shmem!;
}

/** Charges a whole object, unless it is charged page by page. @kernel mm/shmem.c:shmem_acct_size @fidelity mirrored */
export function shmem_acct_size(k: Machine, noreserve: boolean, size: number): number {
  return noreserve ? 0 : __vm_enough_memory(k, k.current.mm, Math.ceil(size / PAGE_SIZE));
}

/** @kernel mm/shmem.c:shmem_unacct_size @fidelity mirrored */
export function shmem_unacct_size(k: Machine, noreserve: boolean, size: number): void {
  if (!noreserve) vm_unacct_memory(k, Math.ceil(size / PAGE_SIZE));
}

/** Charges the difference of two sizes. @kernel mm/shmem.c:shmem_reacct_size @fidelity mirrored */
export function shmem_reacct_size(k: Machine, noreserve: boolean, oldsize: number, newsize: number): number {
  if (noreserve) return 0;
  const diff = Math.ceil(newsize / PAGE_SIZE) - Math.ceil(oldsize / PAGE_SIZE);
  if (diff > 0) return __vm_enough_memory(k, k.current.mm, diff);
  if (diff < 0) vm_unacct_memory(k, -diff);
  return 0;
}

export function shmem_noreserve(info: shmem_inode_info): boolean {
  return vm_flags_test(info.flags, VM_NORESERVE);
}

export function shmem_inode_acct_block(k: Machine, info: shmem_inode_info, pages: number): boolean {
  return !shmem_noreserve(info) || __vm_enough_memory(k, k.current.mm, pages) === 0;
}

/** @kernel mm/shmem.c:shmem_inode_unacct_blocks @fidelity mirrored */
export function shmem_inode_unacct_blocks(k: Machine, info: shmem_inode_info, pages: number): void {
  if (shmem_noreserve(info)) vm_unacct_memory(k, pages);
}

/** Uncharges pages that have left the cache. @kernel mm/shmem.c:shmem_recalc_inode @fidelity mirrored */
export function shmem_recalc_inode(k: Machine, i: inode): void {
  const info = SHMEM_I(i);
  const freed = info.alloced - info.swapped - i.i_mapping.nrpages;
  if (freed <= 0) return;
  info.alloced -= freed;
  shmem_inode_unacct_blocks(k, info, freed);
}

/** @kernel mm/shmem.c:shmem_alloc_folio @fidelity mirrored */
function shmem_alloc_folio(k: Machine, host: inode, index: number): number {
  const at = shmem_pseudo_place(k, host, index);
  return at === null
    ? alloc_page(k, GFP_HIGHUSER_MOVABLE)
    : alloc_page_vma(k, GFP_HIGHUSER_MOVABLE, at.vma, at.address);
}

/** Allocates a page, or a huge one, and charges the file for it; or -errno. @kernel mm/shmem.c:shmem_alloc_and_acct_folio */
function shmem_alloc_and_acct_folio(k: Machine, host: inode, index: number, huge_gfp: number): number {
  const info = SHMEM_I(host);
  const nr = huge_gfp === 0 ? 1 : HPAGE_PMD_NR;
  if (!shmem_inode_acct_block(k, info, nr)) return -ENOSPC;
  const pfn = nr === 1 ? shmem_alloc_folio(k, host, index) : shmem_alloc_hugefolio(k, host, index, huge_gfp);
  if (pfn === 0) {
    shmem_inode_unacct_blocks(k, info, nr);
    return -ENOMEM;
  }
  const s = k.mem.section(pfn);
  s.flags[pfn & PFN_SECTION_MASK]! |= PG_locked;
  if (nr === 1) s.flags[pfn & PFN_SECTION_MASK]! |= PG_swapbacked;
  else set_compound_flag(k, pfn, PG_swapbacked);
  return pfn;
}

/** Puts a new page into the cache, locked and referenced. 0 or -errno: then it is gone. */
function shmem_add(k: Machine, host: inode, pfn: number, nr: number, index: number, sgp: number): number {
  const info = SHMEM_I(host);
  if (sgp === SGP_WRITE) k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_referenced;
  const error = add_to_page_cache(k, pfn, host.i_mapping, index, GFP_HIGHUSER_MOVABLE & GFP_RECLAIM_MASK);
  if (error !== 0) {
    shmem_inode_unacct_blocks(k, info, nr);
    folio_unlock(k, pfn);
    put_page(k, pfn);
    return error;
  }
  if (nr > 1) count_vm_event(k, THP_FILE_ALLOC);
  folio_add_lru(k, pfn);
  info.alloced += nr;
  shmem_recalc_inode(k, host);
  return 0;
}

/** Allocates a page for a hole, part of a huge page if policy and memory allow, and puts it into the cache; or -errno. */
function shmem_alloc_and_add(k: Machine, host: inode, index: number, sgp: number, vma: vm_area_struct | null): number {
  if ((k.config.shmem_enabled ?? "never") !== "never" && shmem_is_huge(k, vma, host, index, false)) {
    const gfp = limit_gfp_mask(vma_thp_gfp_mask(k, vma), GFP_HIGHUSER_MOVABLE);
    const head = shmem_alloc_and_acct_folio(k, host, index, gfp);
    const part = index % HPAGE_PMD_NR;
    if (head > 0 && shmem_add(k, host, head, HPAGE_PMD_NR, index - part, sgp) === 0) return head + part;
  }
  const pfn = shmem_alloc_and_acct_folio(k, host, index, 0);
  if (pfn < 0) return pfn;
  const error = shmem_add(k, host, pfn, 1, index, sgp);
  return error === 0 ? pfn : error;
}

function clear_page(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  let i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_tail) i = s.private_[i]! & PFN_SECTION_MASK;
  const flags = s.flags[i]!;
  if (flags & PG_uptodate) return;
  if (flags & PG_head) s.content.fill(0, i, i + HPAGE_PMD_NR);
  else s.content[i] = 0;
  s.flags[i] = flags | PG_uptodate;
}

/** Is a page offset behind the end of the file? */
function beyond(host: inode, index: number): boolean {
  return index * PAGE_SIZE >= host.i_size;
}

/** Where an index has no room: no page is there, and none can be made. */
function no_page_so_far(sgp: number): number {
  if (sgp === SGP_READ) return 0;
  return sgp === SGP_NOALLOC ? -ENOENT : not_modelled("mm/shmem.c: a page behind the first 16 TiB of a file");
}

/**
 * The page at an offset of a shmem file, locked and referenced (if it is part of a huge page, that is): from the cache, or
 * new.
 * @kernel mm/shmem.c:shmem_get_folio_gfp
 * @fidelity mirrored (no userfaultfd; huge pages behind the end are not split when memory cannot be promised)
 * @param index page offset in the file
 * @param sgp SGP_…
 * @param vma that faults, null for a system call on the file
 * @returns page frame; 0 for a hole with SGP_READ; -EINVAL behind the end (up to SGP_CACHE), -ENOENT for a hole with
 *   SGP_NOALLOC, -ENOMEM, -ENOSPC when the memory cannot be promised, -EIO when swap cannot be read
 */
export function shmem_get_folio(
  k: Machine,
  host: inode,
  index: number,
  sgp: number,
  vma: vm_area_struct | null = null,
): number {
  if (sgp <= SGP_CACHE && beyond(host, index)) return -EINVAL;
  if (index > XA_MAX_INDEX) return no_page_so_far(sgp);
  let pfn = filemap_lock_entry(k, host.i_mapping, index);
  if (xa_is_value(pfn)) {
    pfn = shmem_swapin_folio(k, host, index, pfn, sgp, vma !== null);
    return pfn === -EEXIST ? shmem_get_folio(k, host, index, sgp, vma) : pfn;
  }
  const found = pfn !== 0;
  if (found) {
    const head = compound_head(k.mem, pfn);
    if (sgp === SGP_WRITE) mark_page_accessed(k, head);
    if (page_test(k.mem, head, PG_uptodate)) return pfn;
    if (sgp === SGP_READ) {
      folio_unlock(k, pfn);
      put_page(k, pfn);
      return 0;
    }
  } else {
    if (sgp === SGP_READ) return 0;
    if (sgp === SGP_NOALLOC) return -ENOENT;
    pfn = shmem_alloc_and_add(k, host, index, sgp, vma);
    if (pfn === -EEXIST) return shmem_get_folio(k, host, index, sgp, vma);
    if (pfn < 0) return pfn;
  }
  if (sgp !== SGP_WRITE && (found || sgp !== SGP_FALLOC)) clear_page(k, pfn);
  if (sgp > SGP_CACHE || !beyond(host, index)) return pfn;
  if (!found) {
    const head = compound_head(k.mem, pfn);
    page_clear(k.mem, head, PG_dirty);
    filemap_remove_folio(k, head);
    shmem_recalc_inode(k, host);
  }
  folio_unlock(k, pfn);
  put_page(k, pfn);
  return -EINVAL;
}

/**
 * Gives a fault its page of the file. A fault in a range that is being punched waits, without mmap_lock if it can.
 * @kernel mm/shmem.c:shmem_fault
 * @fidelity mirrored: the wait is the yield point "shmem_fault"
 */
function shmem_fault(k: Machine, vmf: vm_fault): vm_fault_t {
  const host = vmf.vma.vm_file!.f_inode;
  const falloc = SHMEM_I(host).falloc;
  if (falloc !== null && vmf.pgoff >= falloc.start && vmf.pgoff < falloc.end) {
    const dropped = maybe_unlock_mmap_for_io(vmf);
    k.hooks.yieldPoint("shmem_fault", { address: vmf.address, index: vmf.pgoff, dropped });
    return dropped ? VM_FAULT_RETRY : VM_FAULT_NOPAGE;
  }
  if (vmf.vma.vm_userfaultfd_ctx !== null && host.i_mapping.i_pages.load(vmf.pgoff) === 0) handle_userfault();
  const page = shmem_get_folio(k, host, vmf.pgoff, SGP_CACHE, vmf.vma);
  if (page < 0) return page === -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  vmf.page = page;
  return VM_FAULT_LOCKED;
}

export const shmem_vm_ops: vm_operations_struct = {
  name: "shmem_vm_ops",
  fault: shmem_fault,
  map_pages: filemap_map_pages,
  set_policy: shmem_set_policy,
  get_policy: shmem_get_policy,
};

/** @kernel mm/shmem.c:vma_is_shmem */
export function vma_is_shmem(vma: vm_area_struct): boolean {
  return vma.vm_ops === shmem_vm_ops;
}

/**
 * Prepares a VMA that will map a shmem file; F_SEAL_FUTURE_WRITE bars shared ones from writing. 0 or -EPERM.
 * @kernel mm/shmem.c:shmem_mmap, include/linux/mm.h:seal_check_future_write
 * @fidelity mirrored
 */
function shmem_mmap(_k: Machine, f: file, vma: vm_area_struct): number {
  if (SHMEM_I(f.f_inode).seals & F_SEAL_FUTURE_WRITE && vm_flags_test(vma.vm_flags, VM_SHARED)) {
    if (vm_flags_test(vma.vm_flags, VM_WRITE)) return -EPERM;
    vma.vm_flags = vm_flags_andnot(vma.vm_flags, VM_MAYWRITE);
  }
  vma.vm_ops = shmem_vm_ops;
  return 0;
}

export const shmem_file_operations: file_operations = {
  name: "shmem_file_operations",
  mmap: shmem_mmap,
  fallocate: shmem_fallocate,
  release(k: Machine, f: file): void {
    if (--f.f_inode.i_count === 0) shmem_evict_inode(k, f.f_inode);
  },
};

/** Is this a shmem file? @kernel include/linux/shmem_fs.h:shmem_file */
export function shmem_file(f: file): boolean {
  return f.f_inode.shmem !== null;
}

/** The inode of a new shmem file; its size is accounted for already. @kernel mm/shmem.c:shmem_get_inode */
function shmem_get_inode(k: Machine, size: number, flags: vm_area_struct["vm_flags"]): inode {
  const host = new inode(k.next_ino++, size);
  host.i_mapping = new address_space(host, new xarray());
  k.mem.register(host.i_mapping);
  host.shmem = {
    flags: vm_flags_and(flags, VM_NORESERVE),
    alloced: 0,
    swapped: 0,
    seals: F_SEAL_SEAL,
    falloc: null,
    fallocend: 0,
    policies: [],
  };
  return host;
}

/**
 * Makes an unlinked shmem file of `size` bytes.
 * @kernel mm/shmem.c:__shmem_file_setup
 * @fidelity mirrored
 * @param path as /proc/PID/maps shows it
 * @param flags VM_NORESERVE: charge pages as they come, not the whole size now
 * @returns the file, or -EINVAL, -ENOMEM
 */
export function shmem_file_setup(
  k: Machine,
  path: string,
  size: number,
  flags: vm_area_struct["vm_flags"],
): file | number {
  if (size < 0 || size > MAX_LFS_FILESIZE) return -EINVAL;
  const noreserve = vm_flags_test(flags, VM_NORESERVE);
  if (shmem_acct_size(k, noreserve, size) !== 0) return -ENOMEM;
  const host = shmem_get_inode(k, size, flags);
  host.unlinked = true;
  return new file(path, host, shmem_file_operations, FMODE_READ | FMODE_WRITE);
}

/**
 * Makes an empty file of a tmpfs, which its name keeps while nobody has it open.
 * @kernel mm/shmem.c:shmem_mknod
 * @fidelity simplified: no directories
 * @returns what opens it by that name
 */
export function shmem_mknod(k: Machine): (k: Machine, path: string, mode: number) => file {
  const host = shmem_get_inode(k, 0, VM_NORESERVE);
  return (_k, path, mode) => {
    host.i_count++;
    return new file(path, host, shmem_file_operations, mode);
  };
}

/** Takes the name of a file of a tmpfs away from it. @kernel mm/shmem.c:shmem_unlink @fidelity mirrored */
export function shmem_unlink(k: Machine, host: inode): void {
  host.unlinked = true;
  if (--host.i_count === 0) shmem_evict_inode(k, host);
}

/**
 * Gives a shared anonymous VMA the file that stands behind it. 0 or -errno.
 * @kernel mm/shmem.c:shmem_zero_setup
 * @fidelity mirrored
 */
export function shmem_zero_setup(k: Machine, vma: vm_area_struct): number {
  const f = shmem_file_setup(k, "/dev/zero", vma.vm_end - vma.vm_start, vma.vm_flags);
  if (typeof f === "number") return f;
  if (vma.vm_file !== null) fput(k, vma.vm_file);
  vma.vm_file = f;
  vma.vm_ops = shmem_vm_ops;
  return 0;
}
