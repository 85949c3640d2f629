// SPDX-License-Identifier: GPL-2.0-only
/** mlock and munlock of ranges (mm/mlock.c). What happens to single pages is in mlock/batch.ts. */
import { VM_BUG_ON } from "../include/linux/bug.js";
import {
  VM_IO,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_LOCKONFAULT,
  VM_SPECIAL,
  is_vm_hugetlb_page,
} from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_IPC_LOCK, RLIMIT_MEMLOCK } from "../include/linux/sched.js";
import { PAGE_ALIGN, PAGE_ALIGN_DOWN, PAGE_SIZE, offset_in_page, type ulong } from "../include/linux/types.js";
import {
  vm_flags,
  vm_flags_andnot,
  vm_flags_or,
  vm_flags_test,
  vm_flags_value,
  type vm_flags_t,
} from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from "../uapi/errno.js";
import { MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT } from "../uapi/mman-common.js";
import { __mm_populate, mm_populate } from "./gup.js";
import { mlock_pages_of_vma } from "./mlock/batch.js";
import { find_vma, find_vma_prev, split_vma, vma_lookup, vma_merge } from "./mmap.js";
import { lru_add_drain } from "./swap.js";

export {
  mlock_batch_pfn,
  mlock_folio,
  mlock_new_page,
  mlock_page_drain_local,
  mlock_page_drain_remote,
  munlock_page,
  need_mlock_page_drain,
} from "./mlock/batch.js";

const NO_FLAGS = vm_flags(0);
/** 2^64: what an unsigned long wraps at. */
const TWO64 = 2 ** 64;

/** Pages in a byte count that is an unsigned long. */
function ulong_pages(x: ulong): number {
  return Math.floor((x < 0 ? x + TWO64 : x) / PAGE_SIZE);
}

function capable(k: Machine, cap: number): boolean {
  return k.current.capabilities.has(cap);
}

/** Pages that RLIMIT_MEMLOCK allows. */
function memlock_limit(k: Machine): number {
  return Math.floor(k.current.rlim[RLIMIT_MEMLOCK]! / PAGE_SIZE);
}

/**
 * May the running task lock memory at all?
 * @kernel mm/mlock.c:can_do_mlock
 * @fidelity mirrored
 */
export function can_do_mlock(k: Machine): boolean {
  return k.current.rlim[RLIMIT_MEMLOCK] !== 0 || capable(k, CAP_IPC_LOCK);
}

/**
 * Gives a VMA its new flags and mlocks or munlocks the pages of it that are present. While that goes on a VMA being
 * locked has VM_IO too, so that nobody else counts its pages.
 * @kernel mm/mlock.c:mlock_vma_pages_range
 * @fidelity mirrored
 * @param start bytes; `end` likewise
 */
function mlock_vma_pages_range(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  newflags: vm_flags_t,
): void {
  const locking = vm_flags_test(newflags, VM_LOCKED);
  vma.vm_flags = locking ? vm_flags_or(newflags, VM_IO) : newflags;
  lru_add_drain(k);
  mlock_pages_of_vma(k, vma, start, end);
  lru_add_drain(k);
  if (locking) vma.vm_flags = vm_flags_andnot(newflags, VM_IO);
}

/** The VMA before the one being worked on, as C's `struct vm_area_struct **prev`. */
interface prev_vma {
  prev: vm_area_struct | undefined;
}

/** Merges or splits so that one VMA covers just [start, end); it becomes `p.prev`. 0 or -ENOMEM. */
function mlock_fixup_vma(
  k: Machine,
  vma: vm_area_struct,
  p: prev_vma,
  start: number,
  end: number,
  newflags: vm_flags_t,
): number {
  const mm = vma.vm_mm;
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  const merged = vma_merge(
    k,
    mm,
    p.prev,
    start,
    end,
    newflags,
    vma.anon_vma,
    vma.vm_file,
    pgoff,
    vma.vm_policy,
    vma.vm_userfaultfd_ctx,
    vma.anon_name,
  );
  if (merged !== undefined) {
    p.prev = merged;
    return 0;
  }
  let ret = 0;
  if (start !== vma.vm_start) ret = split_vma(k, mm, vma, start, 1);
  if (ret === 0 && end !== vma.vm_end) ret = split_vma(k, mm, vma, end, 0);
  p.prev = vma;
  return ret;
}

/**
 * Gives [start, end) of a VMA its new flags; leaves special VMAs alone.
 * @kernel mm/mlock.c:mlock_fixup
 * @fidelity simplified: no DAX, no secretmem, no gate area
 * @param start bytes; `end` likewise
 * @returns 0, or -ENOMEM if the VMA cannot be split
 */
function mlock_fixup(
  k: Machine,
  vma: vm_area_struct,
  p: prev_vma,
  start: number,
  end: number,
  newflags: vm_flags_t,
): number {
  const mm = vma.vm_mm;
  const oldflags = vma.vm_flags;
  if (
    vm_flags_value(newflags) === vm_flags_value(oldflags) ||
    vm_flags_test(oldflags, VM_SPECIAL) ||
    is_vm_hugetlb_page(vma)
  ) {
    p.prev = vma;
    return 0;
  }
  const ret = mlock_fixup_vma(k, vma, p, start, end, newflags);
  if (ret !== 0) return ret;
  const now = p.prev!;
  const lock = vm_flags_test(newflags, VM_LOCKED);
  const was = vm_flags_test(oldflags, VM_LOCKED);
  const nr_pages = (end - start) / PAGE_SIZE;
  if (!lock) mm.locked_vm -= nr_pages;
  else if (!was) mm.locked_vm += nr_pages;
  if (lock && was) now.vm_flags = newflags;
  else mlock_vma_pages_range(k, now, start, end, newflags);
  return 0;
}

/**
 * Gives all VMAs of a range the lock flags `flags`, up to the first hole.
 * @kernel mm/mlock.c:apply_vma_lock_flags
 * @fidelity mirrored
 * @param start bytes, page-aligned; `len` likewise
 * @returns 0; -EINVAL if the range wraps; -ENOMEM for a hole
 */
function apply_vma_lock_flags(k: Machine, start: ulong, len: ulong, flags: vm_flags_t): number {
  const mm = k.current.mm!;
  VM_BUG_ON(offset_in_page(start) !== 0 || offset_in_page(len) !== 0, "mlock of parts of pages");
  if (len === 0) return 0;
  const sum = (start < 0 ? start + TWO64 : start) + (len < 0 ? len + TWO64 : len);
  if (sum >= TWO64) return -EINVAL;
  if (start < 0) return -ENOMEM;
  const end = sum;
  let vma = vma_lookup(mm, start);
  if (vma === undefined) return -ENOMEM;
  const p: prev_vma = { prev: start > vma.vm_start ? vma : find_vma_prev(mm, start).prev };
  for (let nstart = start; ;) {
    const newflags = vm_flags_or(vm_flags_andnot(vma.vm_flags, VM_LOCKED_MASK), flags);
    const tmp = Math.min(vma.vm_end, end);
    const error = mlock_fixup(k, vma, p, nstart, tmp, newflags);
    if (error !== 0) return error;
    const prev = p.prev!;
    nstart = Math.max(tmp, prev.vm_end);
    if (nstart >= end) return 0;
    vma = find_vma(mm, prev.vm_end);
    if (vma === undefined || vma.vm_start !== nstart) return -ENOMEM;
  }
}

/**
 * Pages of a range that are locked already.
 * @kernel mm/mlock.c:count_mm_mlocked_page_nr
 * @fidelity mirrored
 */
function count_mm_mlocked_page_nr(mm: mm_struct, start: ulong, len: ulong): number {
  if (start < 0) return 0;
  const end = start + (len < 0 ? len + TWO64 : len);
  let count = 0;
  for (let vma = find_vma(mm, start); vma !== undefined && vma.vm_start < end; vma = find_vma(mm, vma.vm_end)) {
    if (!vm_flags_test(vma.vm_flags, VM_LOCKED)) continue;
    count += Math.min(vma.vm_end, end) - Math.max(vma.vm_start, start);
  }
  return Math.floor(count / PAGE_SIZE);
}

/** What populating says, in mlock's words. @kernel mm/mlock.c:__mlock_posix_error_return */
function __mlock_posix_error_return(retval: number): number {
  if (retval === -EFAULT) return -ENOMEM;
  if (retval === -ENOMEM) return -EAGAIN;
  return retval;
}

/**
 * Locks a range and brings its pages in.
 * @kernel mm/mlock.c:do_mlock
 * @fidelity mirrored
 * @param start bytes
 * @param len bytes
 * @returns 0; -EPERM without the right to lock; -ENOMEM over the limit, for a hole, or for pages that cannot be had;
 * -EINVAL if the range wraps; -EAGAIN without memory
 */
export function do_mlock(k: Machine, start: ulong, len: ulong, flags: vm_flags_t): number {
  const mm = k.current.mm!;
  let error = -ENOMEM;
  if (!can_do_mlock(k)) return -EPERM;
  len = PAGE_ALIGN(len + offset_in_page(start));
  start = PAGE_ALIGN_DOWN(start);
  const lock_limit = memlock_limit(k);
  let locked = ulong_pages(len);
  k.hooks.yieldPoint("do_mlock", { start, len });
  mmap_write_lock(mm);
  locked += mm.locked_vm;
  if (locked > lock_limit && !capable(k, CAP_IPC_LOCK)) locked -= count_mm_mlocked_page_nr(mm, start, len);
  if (locked <= lock_limit || capable(k, CAP_IPC_LOCK)) error = apply_vma_lock_flags(k, start, len, flags);
  mmap_write_unlock(mm);
  if (error !== 0) return error;
  return __mlock_posix_error_return(__mm_populate(k, start, len, false));
}

/** @kernel mm/mlock.c:mlock @fidelity mirrored @returns as {@link do_mlock} */
export function sys_mlock(k: Machine, start: ulong, len: ulong): number {
  return do_mlock(k, start, len, VM_LOCKED);
}

/** @kernel mm/mlock.c:mlock2 @fidelity mirrored @returns as {@link do_mlock}; -EINVAL for unknown flags */
export function sys_mlock2(k: Machine, start: ulong, len: ulong, flags: number): number {
  if (flags & ~MLOCK_ONFAULT) return -EINVAL;
  return do_mlock(k, start, len, flags & MLOCK_ONFAULT ? VM_LOCKED_MASK : VM_LOCKED);
}

/** @kernel mm/mlock.c:munlock @fidelity mirrored @returns 0; -EINVAL if the range wraps; -ENOMEM for a hole */
export function sys_munlock(k: Machine, start: ulong, len: ulong): number {
  const mm = k.current.mm!;
  len = PAGE_ALIGN(len + offset_in_page(start));
  start = PAGE_ALIGN_DOWN(start);
  mmap_write_lock(mm);
  const ret = apply_vma_lock_flags(k, start, len, NO_FLAGS);
  mmap_write_unlock(mm);
  return ret;
}

/**
 * Gives all VMAs, now and in future, the lock flags that MCL_… bits stand for; 0 unlocks.
 * @kernel mm/mlock.c:apply_mlockall_flags
 * @fidelity mirrored
 */
function apply_mlockall_flags(k: Machine, flags: number): void {
  const mm = k.current.mm!;
  const wanted = flags & MCL_ONFAULT ? vm_flags_or(VM_LOCKED, VM_LOCKONFAULT) : VM_LOCKED;
  mm.def_flags = vm_flags_andnot(mm.def_flags, VM_LOCKED_MASK);
  if (flags & MCL_FUTURE) {
    mm.def_flags = vm_flags_or(mm.def_flags, wanted);
    if (!(flags & MCL_CURRENT)) return;
  }
  const to_add = flags & MCL_CURRENT ? wanted : NO_FLAGS;
  const p: prev_vma = { prev: undefined };
  let next: number;
  for (let vma = find_vma(mm, 0); vma !== undefined; vma = find_vma(mm, next)) {
    const newflags = vm_flags_or(vm_flags_andnot(vma.vm_flags, VM_LOCKED_MASK), to_add);
    next = vma.vm_end;
    mlock_fixup(k, vma, p, vma.vm_start, vma.vm_end, newflags);
  }
}

/**
 * Locks all of the address space, now, in future, or both.
 * @kernel mm/mlock.c:mlockall
 * @fidelity mirrored
 * @returns 0; -EINVAL for bad flags; -EPERM; -ENOMEM over the limit
 */
export function sys_mlockall(k: Machine, flags: number): number {
  const mm = k.current.mm!;
  if (flags === 0 || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags === MCL_ONFAULT) return -EINVAL;
  if (!can_do_mlock(k)) return -EPERM;
  let ret = -ENOMEM;
  mmap_write_lock(mm);
  if (!(flags & MCL_CURRENT) || mm.total_vm <= memlock_limit(k) || capable(k, CAP_IPC_LOCK)) {
    apply_mlockall_flags(k, flags);
    ret = 0;
  }
  mmap_write_unlock(mm);
  if (ret === 0 && flags & MCL_CURRENT) mm_populate(k, 0, k.arch.TASK_SIZE);
  return ret;
}

/** @kernel mm/mlock.c:munlockall @fidelity mirrored @returns 0 */
export function sys_munlockall(k: Machine): number {
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  apply_mlockall_flags(k, 0);
  mmap_write_unlock(mm);
  return 0;
}
