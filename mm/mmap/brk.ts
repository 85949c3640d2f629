// SPDX-License-Identifier: GPL-2.0-only
/** The heap that brk(2) moves (mm/mmap.c). */
import { VM_ACCOUNT, VM_DATA_DEFAULT_FLAGS, VM_EXEC, VM_LOCKED } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from "../../include/linux/mmap_lock.js";
import { RLIMIT_DATA } from "../../include/linux/sched.js";
import { PAGE_ALIGN, PAGE_SIZE, ulongLess, type ulong } from "../../include/linux/types.js";
import { vm_flags_or, vm_flags_test, vm_flags_value, type vm_flags_t } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import { MAP_FIXED } from "../../uapi/mman-common.js";
import { mm_populate } from "../gup.js";
import { khugepaged_enter_vma } from "../khugepaged.js";
import { may_expand_vm, mlock_future_check } from "../mmap.js";
import { __vm_enough_memory } from "../util.js";
import { vm_area_alloc } from "../vma_init.js";
import { can_vma_merge_after, vma_link } from "./merge.js";
import { do_mas_align_munmap, do_munmap } from "./munmap.js";
import { get_unmapped_area, vm_start_gap } from "./unmapped_area.js";

const BRK_FLAGS = vm_flags_or(VM_DATA_DEFAULT_FLAGS, VM_ACCOUNT);

/**
 * Adds [addr, addr + len) to the heap VMA that ends there, or as a new VMA.
 * @kernel mm/mmap.c:do_brk_flags
 * @fidelity mirrored
 * @param prev the VMA before `addr`; `flags` beside those that data has
 * @returns 0 or -ENOMEM
 */
export function do_brk_flags(
  k: Machine,
  prev: vm_area_struct | undefined,
  addr: number,
  len: number,
  flags: vm_flags_t,
): number {
  const mm = k.current.mm!;
  const pages = len / PAGE_SIZE;
  flags = vm_flags_or(flags, BRK_FLAGS, mm.def_flags);
  if (!may_expand_vm(k, mm, flags, pages)) return -ENOMEM;
  if (mm.map_count > k.config.max_map_count) return -ENOMEM;
  if (__vm_enough_memory(k, mm, pages)) return -ENOMEM;
  const off = addr / PAGE_SIZE;
  if (
    prev !== undefined &&
    prev.vm_end === addr &&
    prev.vm_policy === null &&
    can_vma_merge_after(prev, flags, null, null, off, null, null)
  ) {
    prev.vm_end = addr + len;
    mm.mm_mt.update(prev.vm_start, prev);
    khugepaged_enter_vma(k, prev, flags);
  } else {
    vma_link(mm, vm_area_alloc(k, mm, addr, addr + len, flags, off));
  }
  mm.total_vm += pages;
  mm.data_vm += pages;
  if (vm_flags_test(flags, VM_LOCKED)) mm.locked_vm += pages;
  return 0;
}

/** May the heap have `len` bytes more at `addr`? 0 or -errno. @kernel mm/mmap.c:check_brk_limits */
function check_brk_limits(k: Machine, addr: number, len: number): number {
  const mapped = get_unmapped_area(k, null, addr, len, MAP_FIXED);
  if (mapped < 0) return mapped;
  const mm = k.current.mm!;
  return mlock_future_check(k, mm, mm.def_flags, len);
}

/** Lowers the end of the heap: 0, or 1 when mmap_lock is now held for reading; -1 when it stays where it is. */
function shrink_brk(k: Machine, mm: mm_struct, brk: number, newbrk: number, oldbrk: number): number {
  const vma = mm.mm_mt.find(newbrk);
  if (vma === undefined || vma.vm_start >= oldbrk) return -1;
  const origbrk = mm.brk;
  mm.brk = brk;
  const ret = do_mas_align_munmap(k, vma, mm, newbrk, oldbrk, true);
  if (ret >= 0) return ret;
  mm.brk = origbrk;
  return -1;
}

/** Raises the end of the heap, true if it can be. */
function grow_brk(k: Machine, mm: mm_struct, newbrk: number, oldbrk: number): boolean {
  if (check_brk_limits(k, oldbrk, newbrk - oldbrk)) return false;
  const next = mm.mm_mt.find(oldbrk);
  if (next !== undefined && newbrk + PAGE_SIZE > vm_start_gap(k, next)) return false;
  // What ends where the heap starts, as bss can, is not part of it.
  const before = mm.mm_mt.find_before(oldbrk);
  const prev = before !== undefined && before.vm_end > mm.start_brk ? before : undefined;
  return do_brk_flags(k, prev, oldbrk, newbrk - oldbrk, NO_FLAGS) >= 0;
}

const NO_FLAGS = 0 as unknown as vm_flags_t;

/** Is the data segment, heap included, within RLIMIT_DATA? @kernel include/linux/mm.h:check_data_rlimit */
function data_fits(k: Machine, mm: mm_struct, brk: number): boolean {
  const limit = k.current.rlim[RLIMIT_DATA]!;
  return limit === Infinity || brk - mm.start_brk + mm.end_data - mm.start_data <= limit;
}

/**
 * brk(2): moves the end of the heap.
 * @kernel mm/mmap.c:SYSCALL_DEFINE1(brk)
 * @fidelity mirrored
 * @returns the new end; the old one where it cannot be moved
 */
export function sys_brk(k: Machine, brk: ulong): number {
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  const origbrk = mm.brk;
  const keep = (): number => {
    mmap_write_unlock(mm);
    return origbrk;
  };
  if (ulongLess(brk, mm.start_brk) || brk < 0 || !data_fits(k, mm, brk)) return keep();
  const newbrk = PAGE_ALIGN(brk);
  const oldbrk = PAGE_ALIGN(mm.brk);
  if (newbrk !== oldbrk && brk <= mm.brk) {
    const ret = shrink_brk(k, mm, brk, newbrk, oldbrk);
    if (ret < 0) return keep();
    if (ret === 1) mmap_read_unlock(mm);
    else mmap_write_unlock(mm);
    return brk;
  }
  if (newbrk !== oldbrk && !grow_brk(k, mm, newbrk, oldbrk)) return keep();
  mm.brk = brk;
  mmap_write_unlock(mm);
  if (newbrk > oldbrk && vm_flags_test(mm.def_flags, VM_LOCKED)) mm_populate(k, oldbrk, newbrk - oldbrk);
  return brk;
}

/**
 * Maps anonymous data at a given place, as execve does for a program's bss.
 * @kernel mm/mmap.c:vm_brk_flags
 * @fidelity mirrored
 * @param request bytes; `flags` VM_EXEC or nothing
 * @returns 0, -EINVAL, -ENOMEM, -EAGAIN
 */
export function vm_brk_flags(k: Machine, addr: number, request: number, flags: vm_flags_t): number {
  const mm = k.current.mm!;
  const len = PAGE_ALIGN(request);
  if (len === 0) return 0;
  if (vm_flags_value(flags) !== 0 && vm_flags_value(flags) !== vm_flags_value(VM_EXEC)) return -EINVAL;
  mmap_write_lock(mm);
  let ret = check_brk_limits(k, addr, len);
  if (ret === 0) ret = do_munmap(k, mm, addr, len);
  if (ret === 0) ret = do_brk_flags(k, mm.mm_mt.find_before(addr), addr, len, flags);
  mmap_write_unlock(mm);
  if (ret === 0 && vm_flags_test(mm.def_flags, VM_LOCKED)) mm_populate(k, addr, len);
  return ret;
}
