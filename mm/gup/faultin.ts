// SPDX-License-Identifier: GPL-2.0-only
/** The walk over user addresses that faults pages in (mm/gup.c: __get_user_pages, __get_user_pages_locked). */
import { VM_BUG_ON, not_modelled } from "../../include/linux/bug.js";
import {
  FOLL_ANON,
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_NOFAULT,
  FOLL_NOWAIT,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TRIED,
  FOLL_WRITE,
  VM_IO,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  is_vm_hugetlb_page,
  vma_is_anonymous,
} from "../../include/linux/mm.js";
import {
  FAULT_AHEAD_SHIFT,
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_HWPOISON_LARGE,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  type mm_struct,
  type vm_area_struct,
  type vm_fault_t,
} from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { arch_vma_access_permitted } from "../../include/linux/mmu_context.js";
import { MMF_HAS_PINNED } from "../../include/linux/sched/coredump.js";
import { PAGE_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";
import { vm_flags_and, vm_flags_or, vm_flags_test, vm_flags_value } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EAGAIN, EBUSY, EEXIST, EFAULT, EHWPOISON, EINTR, EMLINK, ENOMEM } from "../../uapi/errno.js";
import { handle_mm_fault } from "../memory.js";
import { find_extend_vma, vma_lookup } from "../mmap.js";
import { pmd_huge, pte_index, pte_offset } from "../pgtable.js";
import { follow_page_mask, follow_pte_run, type page_array } from "./follow.js";
import { hold_pins, release_held } from "./held.js";

/** C's `int *locked`: does the caller still hold mmap_lock? */
export interface gup_locked {
  locked: boolean;
}

const VM_NOT_MEMORY = vm_flags_or(VM_IO, VM_PFNMAP);
const VM_COW_BITS = vm_flags_or(VM_SHARED, VM_MAYWRITE);

/** Private and possibly writable? @kernel include/linux/mm.h:is_cow_mapping */
function is_cow_mapping(vma: vm_area_struct): boolean {
  return vm_flags_value(vm_flags_and(vma.vm_flags, VM_COW_BITS)) === vm_flags_value(VM_MAYWRITE);
}

/**
 * The errno for a fault that failed; 0 if it did not.
 * @kernel include/linux/mm.h:vm_fault_to_errno
 * @fidelity mirrored
 */
export function vm_fault_to_errno(vm_fault: vm_fault_t, foll_flags: number): number {
  if (vm_fault & VM_FAULT_OOM) return -ENOMEM;
  if (vm_fault & (VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE))
    return foll_flags & FOLL_HWPOISON ? -EHWPOISON : -EFAULT;
  if (vm_fault & (VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV)) return -EFAULT;
  return 0;
}

/** FAULT_FLAG_… for a fault on behalf of get_user_pages. */
function fault_flags_of(flags: number, unshare: boolean, locked: gup_locked | null): number {
  let fault_flags = 0;
  if (flags & FOLL_WRITE) fault_flags |= FAULT_FLAG_WRITE;
  if (flags & FOLL_REMOTE) fault_flags |= FAULT_FLAG_REMOTE;
  if (locked !== null) fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  if (flags & FOLL_NOWAIT) fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
  if (flags & FOLL_TRIED) fault_flags |= FAULT_FLAG_TRIED;
  if (unshare) {
    fault_flags |= FAULT_FLAG_UNSHARE;
    VM_BUG_ON((fault_flags & FAULT_FLAG_WRITE) !== 0, "a write fault that unshares");
  }
  return fault_flags;
}

/**
 * Faults one page in, and by a short way perhaps some of the `ahead` pages behind it. If the fault dropped mmap_lock, `locked`
 * says so and the VMA must not be looked at again.
 * @kernel mm/gup.c:faultin_page
 * @fidelity mirrored
 * @returns 0; -EAGAIN if it is done and the lock is gone; -EBUSY to try again; -EFAULT, -ENOMEM, -EHWPOISON
 */
function faultin_page(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  flags: number,
  unshare: boolean,
  locked: gup_locked | null,
  ahead: number,
): number {
  if (flags & FOLL_NOFAULT) return -EFAULT;
  const fault_flags = fault_flags_of(flags, unshare, locked);
  const ret = handle_mm_fault(k, vma, address, fault_flags | (ahead << FAULT_AHEAD_SHIFT));
  if (ret & VM_FAULT_COMPLETED) {
    VM_BUG_ON((fault_flags & FAULT_FLAG_RETRY_NOWAIT) !== 0, "mmap_lock dropped by a fault that must not wait");
    if (locked !== null) locked.locked = false;
    return -EAGAIN;
  }
  if (ret & VM_FAULT_ERROR) {
    const err = vm_fault_to_errno(ret, flags);
    VM_BUG_ON(err === 0, "a fault that failed for no known reason");
    return err;
  }
  if (ret & VM_FAULT_RETRY) {
    if (locked !== null && !(fault_flags & FAULT_FLAG_RETRY_NOWAIT)) locked.locked = false;
    return -EBUSY;
  }
  return 0;
}

/**
 * May pages of this VMA be had with these flags?
 * @kernel mm/gup.c:check_vma_flags
 * @fidelity simplified: no DAX, no secretmem
 * @returns 0 or -EFAULT
 */
export function check_vma_flags(k: Machine, vma: vm_area_struct, gup_flags: number): number {
  const write = (gup_flags & FOLL_WRITE) !== 0;
  const foreign = (gup_flags & FOLL_REMOTE) !== 0;
  const vm_flags = vma.vm_flags;
  if (vm_flags_test(vm_flags, VM_NOT_MEMORY)) return -EFAULT;
  if (gup_flags & FOLL_ANON && !vma_is_anonymous(vma)) return -EFAULT;
  if (write) {
    if (!vm_flags_test(vm_flags, VM_WRITE)) {
      if (!(gup_flags & FOLL_FORCE)) return -EFAULT;
      if (!is_cow_mapping(vma)) return -EFAULT;
    }
  } else if (!vm_flags_test(vm_flags, VM_READ)) {
    if (!(gup_flags & FOLL_FORCE)) return -EFAULT;
    if (!vm_flags_test(vm_flags, VM_MAYREAD)) return -EFAULT;
  }
  if (!arch_vma_access_permitted(k, vma, write, false, foreign)) return -EFAULT;
  return 0;
}

/** What a failed fault makes of __get_user_pages: 0 if the lock was dropped or the fault must be tried again. */
function faultin_result(ret: number): number {
  if (ret === -EBUSY || ret === -EAGAIN) return 0;
  VM_BUG_ON(ret !== -EFAULT && ret !== -ENOMEM && ret !== -EHWPOISON, "faultin_page");
  return ret;
}

/** Pages from an address to the end of its 2 MiB, up to `most`. */
function rest_of_pmd(start: number, most: number): number {
  return Math.min(most, PTRS_PER_PTE - pte_index(start));
}

/**
 * Walks [start, start + nr_pages) of an address space, faults in what is missing, and takes a reference or pin on
 * each page if `gup_flags` ask for it. Called with mmap_lock held; with `locked` it may be dropped on the way.
 * @kernel mm/gup.c:__get_user_pages
 * @fidelity simplified: no vmas array, no gate area, no hugetlb
 * @param start bytes
 * @param nr_pages pages
 * @param pages receives page frames from index `off` on; null to populate only
 * @returns pages; 0 if the fault must be tried again; -errno if the first one failed
 */
export function __get_user_pages(
  k: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: page_array | null,
  off: number,
  locked: gup_locked | null,
): number {
  let ret = 0;
  let i = 0;
  let vma: vm_area_struct | undefined;
  const runs = k.shortWays.follow;
  if (nr_pages <= 0) return 0;
  VM_BUG_ON((pages !== null) !== ((gup_flags & (FOLL_GET | FOLL_PIN)) !== 0), "pages without FOLL_GET or FOLL_PIN");
  while (i < nr_pages) {
    if (vma === undefined || start >= vma.vm_end) {
      vma = find_extend_vma(k, mm, start);
      if (vma === undefined) {
        ret = -EFAULT;
        break;
      }
      ret = check_vma_flags(k, vma, gup_flags);
      if (ret !== 0) break;
      if (is_vm_hugetlb_page(vma)) not_modelled("mm/hugetlb.c: follow_hugetlb_page");
    }
    if (k.current.fatal_signal !== 0) {
      ret = -EINTR;
      break;
    }
    let ahead = 0;
    const table = pte_offset(mm, start);
    if (table !== undefined) {
      const first = pte_index(start);
      const n = Math.min(nr_pages - i, PTRS_PER_PTE - first, (vma.vm_end - start) / PAGE_SIZE);
      const got = runs ? follow_pte_run(k, table, first, n, gup_flags, pages, off + i) : 0;
      i += got;
      start += got * PAGE_SIZE;
      if (got === n) continue;
      if (pages === null) ahead = n - got - 1;
    }
    const page = follow_page_mask(k, vma, start, gup_flags);
    if (page === 0 || page === -EMLINK) {
      const pinned = pages !== null && gup_flags & FOLL_PIN ? i : 0;
      if (pinned > 0) hold_pins(k, pages!, off, off + pinned);
      ret = faultin_page(k, vma, start, gup_flags, page === -EMLINK, locked, ahead);
      if (pinned > 0) release_held(k);
      if (ret === 0) continue;
      ret = faultin_result(ret);
      break;
    }
    if (page < 0 && (page !== -EEXIST || pages !== null)) {
      ret = page;
      break;
    }
    if (pages !== null) pages[off + i] = page;
    const step = pages === null && pmd_huge(mm, start) !== undefined ? rest_of_pmd(start, nr_pages - i) : 1;
    i += step;
    start += step * PAGE_SIZE;
  }
  return i > 0 ? i : ret;
}

/**
 * Do a VMA's permissions allow this fault?
 * @kernel mm/gup.c:vma_permits_fault
 * @fidelity mirrored
 */
function vma_permits_fault(k: Machine, vma: vm_area_struct, fault_flags: number): boolean {
  const write = (fault_flags & FAULT_FLAG_WRITE) !== 0;
  const foreign = (fault_flags & FAULT_FLAG_REMOTE) !== 0;
  if (!vm_flags_test(vma.vm_flags, write ? VM_WRITE : VM_READ)) return false;
  return arch_vma_access_permitted(k, vma, write, false, foreign);
}

/**
 * Resolves one user fault by hand. Returns with mmap_lock held; `unlocked.locked` becomes false if it was not all the time.
 * @kernel mm/gup.c:fixup_user_fault
 * @fidelity mirrored
 * @returns 0, -EFAULT, -EINTR, -ENOMEM, -EHWPOISON
 */
export function fixup_user_fault(
  k: Machine,
  mm: mm_struct,
  address: number,
  fault_flags: number,
  unlocked: gup_locked | null,
): number {
  if (unlocked !== null) fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  for (;;) {
    const vma = vma_lookup(mm, address);
    if (vma === undefined || !vma_permits_fault(k, vma, fault_flags)) return -EFAULT;
    if (fault_flags & FAULT_FLAG_KILLABLE && k.current.fatal_signal !== 0) return -EINTR;
    const ret = handle_mm_fault(k, vma, address, fault_flags);
    if (ret & VM_FAULT_ERROR) return vm_fault_to_errno(ret, 0);
    if (!(ret & (VM_FAULT_COMPLETED | VM_FAULT_RETRY))) return 0;
    mmap_read_lock(mm);
    if (unlocked !== null) unlocked.locked = false;
    if (ret & VM_FAULT_COMPLETED) return 0;
    fault_flags |= FAULT_FLAG_TRIED;
  }
}

/**
 * Goes on where a fault dropped mmap_lock: takes it again and tries that one page until it is there.
 * @returns 1 with the lock held, or -errno: the lock is held if `locked` says so
 */
function retry_one_page(
  k: Machine,
  mm: mm_struct,
  start: number,
  flags: number,
  pages: page_array | null,
  off: number,
  locked: gup_locked,
): number {
  for (;;) {
    k.hooks.yieldPoint("__get_user_pages_locked", { address: start });
    if (k.current.fatal_signal !== 0) return -EINTR;
    mmap_read_lock(mm);
    locked.locked = true;
    const ret = __get_user_pages(k, mm, start, 1, flags | FOLL_TRIED, pages, off, locked);
    if (locked.locked) return ret;
    VM_BUG_ON(ret !== 0, "mmap_lock dropped by a fault that failed");
  }
}

/**
 * {@link __get_user_pages} that goes on after faults that dropped mmap_lock. If it was dropped, it is not held at the end.
 * @kernel mm/gup.c:__get_user_pages_locked
 * @fidelity mirrored
 * @returns pages, or -errno if there are none
 */
export function __get_user_pages_locked(
  k: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  pages: page_array | null,
  off: number,
  locked: gup_locked | null,
  flags: number,
): number {
  if (flags & FOLL_PIN) mm.flags |= MMF_HAS_PINNED;
  if (pages !== null && !(flags & FOLL_PIN)) flags |= FOLL_GET;
  if (locked === null) return __get_user_pages(k, mm, start, nr_pages, flags, pages, off, null);
  VM_BUG_ON(!locked.locked, "get_user_pages without mmap_lock");
  let pages_done = 0;
  let lock_dropped = false;
  for (;;) {
    let ret = __get_user_pages(k, mm, start, nr_pages - pages_done, flags, pages, off + pages_done, locked);
    VM_BUG_ON(!locked.locked && (ret < 0 || ret >= nr_pages - pages_done), "mmap_lock dropped by a fault that failed");
    if (ret > 0) pages_done += ret;
    if (pages_done === nr_pages) break;
    if (locked.locked) {
      if (pages_done === 0) pages_done = ret;
      break;
    }
    start += ret * PAGE_SIZE;
    lock_dropped = true;
    ret = retry_one_page(k, mm, start, flags, pages, off + pages_done, locked);
    if (ret !== 1) {
      if (pages_done === 0) pages_done = ret;
      break;
    }
    pages_done++;
    if (pages_done === nr_pages) break;
    start += PAGE_SIZE;
  }
  if (lock_dropped && locked.locked) {
    mmap_read_unlock(mm);
    locked.locked = false;
  }
  return pages_done;
}
