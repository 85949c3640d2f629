// SPDX-License-Identifier: GPL-2.0-only
/** madvise(2) (mm/madvise.c). Addresses and lengths are bytes. What is done to pages is in madvise/pages.ts. */
import { fput, get_file } from "../fs/file_table.js";
import { vfs_fallocate } from "../fs/open.js";
import { not_modelled } from "../include/linux/bug.js";
import {
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_HUGEPAGE,
  VM_IO,
  VM_LOCKED,
  VM_NOHUGEPAGE,
  VM_NOMOVABLE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SPECIAL,
  VM_WIPEONFORK,
  is_vm_hugetlb_page,
} from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_SYS_ADMIN } from "../include/linux/sched.js";
import { PAGE_ALIGN, PAGE_SIZE, offset_in_page, ulongLess, type ulong } from "../include/linux/types.js";
import {
  vm_flags_and,
  vm_flags_andnot,
  vm_flags_or,
  vm_flags_test,
  vm_flags_value,
  type vm_flags_t,
} from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EACCES, EAGAIN, EBADF, EFAULT, EHWPOISON, EINTR, EINVAL, ENOMEM, EPERM } from "../uapi/errno.js";
import {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DODUMP,
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_HWPOISON,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NOMOVABLE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_SOFT_OFFLINE,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
} from "../uapi/mman-common.js";
import { faultin_vma_page_range, get_user_pages_unlocked } from "./gup.js";
import { khugepaged_enter_vma, madvise_collapse } from "./khugepaged.js";
import { ksm_madvise } from "./ksm.js";
import { madvise_cold, madvise_free_single_vma } from "./madvise/pages.js";
import { read_swap_ahead } from "./madvise/willneed.js";
import { zap_page_range_single } from "./memory.js";
import { __split_vma, find_vma, vma_is_shared_maywrite, vma_lookup, vma_merge } from "./mmap.js";

/** Where a walk over VMAs is. */
interface madvise_walk {
  /** The last VMA done with, or the one before the first; null once mmap_lock has been dropped. */
  prev: vm_area_struct | undefined | null;
}

/** Does the behavior change VMAs, so that it wants mmap_lock for writing? @kernel madvise_need_mmap_write */
function madvise_need_mmap_write(behavior: number): boolean {
  switch (behavior) {
    case MADV_REMOVE:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_FREE:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_COLLAPSE:
      return false;
    default:
      return true;
  }
}

/** Gives [start, end) of a VMA new flags and a name, merging or splitting it. 0 or -ENOMEM. */
function madvise_update_vma(
  k: Machine,
  vma: vm_area_struct,
  w: madvise_walk,
  start: number,
  end: number,
  new_flags: vm_flags_t,
  anon_name: string | null,
): number {
  const same = vm_flags_value(new_flags) === vm_flags_value(vma.vm_flags) && vma.anon_name === anon_name;
  if (same) {
    w.prev = vma;
    return 0;
  }
  const mm = vma.vm_mm;
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  const { anon_vma, vm_file, vm_policy, vm_userfaultfd_ctx: ctx } = vma;
  const prev = w.prev ?? undefined;
  const merged = vma_merge(k, mm, prev, start, end, new_flags, anon_vma, vm_file, pgoff, vm_policy, ctx, anon_name);
  if (merged === undefined) {
    w.prev = vma;
    let error = start !== vma.vm_start ? split_for_advice(k, vma, start, 1) : 0;
    if (error === 0 && end !== vma.vm_end) error = split_for_advice(k, vma, end, 0);
    if (error) return error;
  } else {
    w.prev = vma = merged;
  }
  vma.vm_flags = new_flags;
  if (vma.vm_file === null) vma.anon_name = anon_name;
  return 0;
}

function split_for_advice(k: Machine, vma: vm_area_struct, addr: number, new_below: number): number {
  if (vma.vm_mm.map_count >= k.config.max_map_count) return -ENOMEM;
  return __split_vma(k, vma.vm_mm, vma, addr, new_below);
}

/**
 * MADV_WILLNEED on part of one VMA.
 * @kernel mm/madvise.c:madvise_willneed
 * @fidelity simplified: files are not read ahead
 */
function madvise_willneed(k: Machine, vma: vm_area_struct, w: madvise_walk, start: number, end: number): number {
  w.prev = vma;
  const f = vma.vm_file;
  if (f === null || f.f_inode.shmem !== null) {
    read_swap_ahead(k, vma, start, end);
    return 0;
  }
  const mm = vma.vm_mm;
  w.prev = null;
  get_file(f);
  mmap_read_unlock(mm);
  k.hooks.yieldPoint("madvise_willneed", { mm });
  fput(k, f);
  mmap_read_lock(mm);
  return 0;
}

/** May the pages of a VMA be thrown away? @kernel mm/madvise.c:madvise_dontneed_free_valid_vma */
function madvise_dontneed_free_valid_vma(vma: vm_area_struct, behavior: number): boolean {
  if (is_vm_hugetlb_page(vma)) return not_modelled("mm/hugetlb.c: MADV_DONTNEED");
  if (vm_flags_test(vma.vm_flags, VM_PFNMAP)) return false;
  return behavior === MADV_DONTNEED_LOCKED || !vm_flags_test(vma.vm_flags, VM_LOCKED);
}

function madvise_dontneed_free(
  k: Machine,
  vma: vm_area_struct,
  w: madvise_walk,
  start: number,
  end: number,
  behavior: number,
): number {
  w.prev = vma;
  if (!madvise_dontneed_free_valid_vma(vma, behavior)) return -EINVAL;
  if (behavior === MADV_FREE) return madvise_free_single_vma(k, vma, start, end);
  zap_page_range_single(k, vma, start, end - start, null);
  return 0;
}

/** What MADV_POPULATE_ makes of an error of the fault. */
function populate_error(error: number): number {
  const kept = error === -EINTR || error === -EINVAL || error === -EHWPOISON || error === -EFAULT;
  return kept ? error : -ENOMEM;
}

function madvise_populate(
  k: Machine,
  first: vm_area_struct,
  w: madvise_walk,
  start: number,
  end: number,
  behavior: number,
): number {
  const mm = first.vm_mm;
  const lock = { locked: true };
  let vma: vm_area_struct | undefined = first;
  w.prev = first;
  while (start < end) {
    if (vma === undefined || start >= vma.vm_end) {
      vma = vma_lookup(mm, start);
      if (vma === undefined) return -ENOMEM;
    }
    const tmp_end = Math.min(end, vma.vm_end);
    const pages = faultin_vma_page_range(k, vma, start, tmp_end, behavior === MADV_POPULATE_WRITE, lock);
    if (!lock.locked) {
      mmap_read_lock(mm);
      lock.locked = true;
      w.prev = null;
      vma = undefined;
    }
    if (pages < 0) return populate_error(pages);
    start += pages * PAGE_SIZE;
  }
  return 0;
}

const PUNCH_HOLE_KEEP_SIZE = 3;

function madvise_remove(k: Machine, vma: vm_area_struct, w: madvise_walk, start: number, end: number): number {
  w.prev = null;
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) return -EINVAL;
  const f = vma.vm_file;
  if (f === null) return -EINVAL;
  if (!vma_is_shared_maywrite(vma)) return -EACCES;
  const mm = vma.vm_mm;
  const offset = start - vma.vm_start + vma.vm_pgoff * PAGE_SIZE;
  get_file(f);
  mmap_read_unlock(mm);
  k.hooks.yieldPoint("madvise_remove", { mm });
  const error = vfs_fallocate(k, f, PUNCH_HOLE_KEEP_SIZE, offset, end - start);
  fput(k, f);
  mmap_read_lock(mm);
  return error;
}

/** Advice on the pages of one VMA; undefined where the behavior is about its flags. */
function madvise_pages(
  k: Machine,
  vma: vm_area_struct,
  w: madvise_walk,
  start: number,
  end: number,
  behavior: number,
): number | undefined {
  switch (behavior) {
    case MADV_REMOVE:
      return madvise_remove(k, vma, w, start, end);
    case MADV_WILLNEED:
      return madvise_willneed(k, vma, w, start, end);
    case MADV_COLD:
    case MADV_PAGEOUT:
      w.prev = vma;
      return madvise_cold(k, vma, start, end, behavior === MADV_PAGEOUT);
    case MADV_FREE:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
      return madvise_dontneed_free(k, vma, w, start, end, behavior);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
      return madvise_populate(k, vma, w, start, end, behavior);
    case MADV_COLLAPSE:
      return madvise_collapse(k, vma, w, start, end);
    default:
      return undefined;
  }
}

/**
 * Applies an advice to part of one VMA.
 * @kernel mm/madvise.c:madvise_vma_behavior
 * @fidelity mirrored
 */
function madvise_vma_behavior(
  k: Machine,
  vma: vm_area_struct,
  w: madvise_walk,
  start: number,
  end: number,
  behavior: number,
): number {
  let new_flags = vma.vm_flags;
  if (!madvise_need_mmap_write(behavior)) return madvise_pages(k, vma, w, start, end, behavior)!;
  switch (behavior) {
    case MADV_NORMAL:
      new_flags = vm_flags_andnot(new_flags, vm_flags_or(VM_RAND_READ, VM_SEQ_READ));
      break;
    case MADV_SEQUENTIAL:
      new_flags = vm_flags_or(vm_flags_andnot(new_flags, VM_RAND_READ), VM_SEQ_READ);
      break;
    case MADV_RANDOM:
      new_flags = vm_flags_or(vm_flags_andnot(new_flags, VM_SEQ_READ), VM_RAND_READ);
      break;
    case MADV_DONTFORK:
      new_flags = vm_flags_or(new_flags, VM_DONTCOPY);
      break;
    case MADV_DOFORK:
      if (vm_flags_test(vma.vm_flags, VM_IO)) return -EINVAL;
      new_flags = vm_flags_andnot(new_flags, VM_DONTCOPY);
      break;
    case MADV_WIPEONFORK:
      if (vma.vm_file !== null || vm_flags_test(vma.vm_flags, VM_SHARED)) return -EINVAL;
      new_flags = vm_flags_or(new_flags, VM_WIPEONFORK);
      break;
    case MADV_KEEPONFORK:
      new_flags = vm_flags_andnot(new_flags, VM_WIPEONFORK);
      break;
    case MADV_DONTDUMP:
      new_flags = vm_flags_or(new_flags, VM_DONTDUMP);
      break;
    case MADV_NOMOVABLE:
      new_flags = vm_flags_or(new_flags, VM_NOMOVABLE);
      break;
    case MADV_DODUMP:
      if (!is_vm_hugetlb_page(vma) && vm_flags_test(new_flags, VM_SPECIAL)) return -EINVAL;
      new_flags = vm_flags_andnot(new_flags, VM_DONTDUMP);
      break;
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE: {
      const ksm = { vm_flags: new_flags };
      const error = ksm_madvise(k, vma, start, end, behavior, ksm);
      if (error) return error === -ENOMEM ? -EAGAIN : error;
      new_flags = ksm.vm_flags;
      break;
    }
    case MADV_HUGEPAGE:
      new_flags = vm_flags_or(vm_flags_andnot(new_flags, VM_NOHUGEPAGE), VM_HUGEPAGE);
      khugepaged_enter_vma(k, vma, new_flags);
      break;
    case MADV_NOHUGEPAGE:
      new_flags = vm_flags_or(vm_flags_andnot(new_flags, VM_HUGEPAGE), VM_NOHUGEPAGE);
      break;
  }
  new_flags = vm_flags_and(new_flags, k.arch.vm_flags_mask);
  const error = madvise_update_vma(k, vma, w, start, end, new_flags, vma.anon_name);
  return error === -ENOMEM ? -EAGAIN : error;
}

/** Memory error injection: refused as the kernel refuses it, otherwise not modelled. */
function madvise_inject_error(k: Machine, start: ulong): number {
  if (!k.current.capabilities.has(CAP_SYS_ADMIN)) return -EPERM;
  if (start < 0) return -EFAULT;
  const ret = get_user_pages_unlocked(k, start, 1, [], 0);
  if (ret !== 1) return ret;
  return not_modelled("mm/memory-failure.c: memory_failure, soft_offline_page");
}

/** Is it a behavior at all, with what is compiled in? @kernel mm/madvise.c:madvise_behavior_valid */
function madvise_behavior_valid(k: Machine, behavior: number): boolean {
  switch (behavior) {
    case MADV_DOFORK:
    case MADV_DONTFORK:
    case MADV_NORMAL:
    case MADV_SEQUENTIAL:
    case MADV_RANDOM:
    case MADV_REMOVE:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_NOMOVABLE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
      return true;
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
      return k.config.KSM;
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_COLLAPSE:
      return k.config.TRANSPARENT_HUGEPAGE;
    case MADV_SOFT_OFFLINE:
    case MADV_HWPOISON:
      return k.config.MEMORY_FAILURE;
    default:
      return false;
  }
}

/** May the behavior be asked for on behalf of another process? @kernel mm/madvise.c:process_madvise_behavior_valid */
export function process_madvise_behavior_valid(behavior: number): boolean {
  return [MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED, MADV_COLLAPSE].includes(behavior);
}

/**
 * Calls `visit` for the part of [start, end) that each VMA covers. Holes are skipped, and make it -ENOMEM in the end.
 * @kernel mm/madvise.c:madvise_walk_vmas
 * @fidelity mirrored
 */
function madvise_walk_vmas<A>(
  k: Machine,
  mm: mm_struct,
  start: ulong,
  end: ulong,
  arg: A,
  visit: (k: Machine, vma: vm_area_struct, w: madvise_walk, start: number, end: number, arg: A) => number,
): number {
  if (start < 0) return -ENOMEM;
  if (end < 0) end = Infinity;
  let unmapped_error = 0;
  let vma = find_vma(mm, start);
  const w: madvise_walk = { prev: vma };
  if (vma === undefined || start <= vma.vm_start) w.prev = mm.mm_mt.find_before(start);
  for (;;) {
    if (vma === undefined) return -ENOMEM;
    if (start < vma.vm_start) {
      unmapped_error = -ENOMEM;
      start = vma.vm_start;
      if (start >= end) break;
    }
    const tmp = Math.min(vma.vm_end, end);
    const error = visit(k, vma, w, start, tmp, arg);
    if (error) return error;
    start = tmp;
    if (w.prev && start < w.prev.vm_end) start = w.prev.vm_end;
    if (start >= end) break;
    vma = find_vma(mm, w.prev ? w.prev.vm_end : start);
  }
  return unmapped_error;
}

function madvise_vma_anon_name(
  k: Machine,
  vma: vm_area_struct,
  w: madvise_walk,
  start: number,
  end: number,
  anon_name: string | null,
): number {
  if (vma.vm_file !== null) return -EBADF;
  const error = madvise_update_vma(k, vma, w, start, end, vma.vm_flags, anon_name);
  return error === -ENOMEM ? -EAGAIN : error;
}

/** The end of a range of `len_in` bytes, rounded up to pages; undefined where that wraps. */
function range_end(start: ulong, len_in: ulong): ulong | undefined {
  const len = PAGE_ALIGN(len_in);
  const end = start + len;
  return (len_in !== 0 && len === 0) || ulongLess(end, start) ? undefined : end;
}

/**
 * Names the anonymous memory of a range, or takes its name away; mmap_lock is held for writing.
 * @kernel mm/madvise.c:madvise_set_anon_name
 * @fidelity mirrored
 * @returns 0, -EINVAL (unaligned, wrapping), -ENOMEM (holes), -EBADF (a file's mapping), -EAGAIN
 */
export function madvise_set_anon_name(
  k: Machine,
  mm: mm_struct,
  start: ulong,
  len_in: ulong,
  anon_name: string | null,
): number {
  if (offset_in_page(start)) return -EINVAL;
  const end = range_end(start, len_in);
  if (end === undefined) return -EINVAL;
  return end === start ? 0 : madvise_walk_vmas(k, mm, start, end, anon_name, madvise_vma_anon_name);
}

/**
 * madvise(2) on an address space: tells what a range of it is for.
 *  MADV_NORMAL, RANDOM, SEQUENTIAL, WILLNEED - how it will be read
 *  MADV_DONTNEED, DONTNEED_LOCKED, FREE, REMOVE - throw pages away
 *  MADV_COLD, PAGEOUT - reclaim pages soon, or now
 *  MADV_POPULATE_READ, POPULATE_WRITE - fault pages in
 *  MADV_NOMOVABLE - faults take no movable page, since the memory
 *		is going to be pinned for long.
 *  MADV_DONTFORK, WIPEONFORK, DONTDUMP, MERGEABLE, HUGEPAGE and their opposites - flags of the VMA
 *  MADV_COLLAPSE - make huge pages of it now
 *  MADV_HWPOISON, SOFT_OFFLINE - act as if the memory were broken
 * @kernel mm/madvise.c:do_madvise
 * @fidelity mirrored
 * @returns 0, -EINVAL (behavior, alignment, wrapping, not for this VMA), -ENOMEM (holes), -EAGAIN, -EACCES, -EFAULT …
 */
export function do_madvise(k: Machine, mm: mm_struct, start: ulong, len_in: ulong, behavior: number): number {
  if (!madvise_behavior_valid(k, behavior)) return -EINVAL;
  if (offset_in_page(start)) return -EINVAL;
  const end = range_end(start, len_in);
  if (end === undefined) return -EINVAL;
  if (end === start) return 0;
  if (behavior === MADV_HWPOISON || behavior === MADV_SOFT_OFFLINE) return madvise_inject_error(k, start);
  if (!madvise_need_mmap_write(behavior)) {
    mmap_read_lock(mm);
    const error = madvise_walk_vmas(k, mm, start, end, behavior, madvise_vma_behavior);
    mmap_read_unlock(mm);
    return error;
  }
  mmap_write_lock(mm);
  const error = madvise_walk_vmas(k, mm, start, end, behavior, madvise_vma_behavior);
  mmap_write_unlock(mm);
  return error;
}
