// SPDX-License-Identifier: GPL-2.0-only
/** Stacks that grow down on a fault (mm/mmap.c: expand_stack and what it calls). */
import {
  mmap_read_unlock,
  mmap_write_downgrade,
  mmap_write_lock,
  mmap_write_unlock,
} from "../../include/linux/mmap_lock.js";
import { VM_GROWSDOWN, VM_LOCKED, vma_is_accessible } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { RLIMIT_STACK } from "../../include/linux/sched.js";
import { PAGE_ALIGN_DOWN, PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EFAULT, EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import { populate_vma_page_range } from "../gup.js";
import { khugepaged_enter_vma } from "../khugepaged.js";
import { anon_vma_prepare } from "../rmap.js";
import { __vm_enough_memory } from "../util.js";
import { find_vma, may_expand_vm, mlock_future_check, vm_stat_account } from "../mmap.js";

/** May a stack become `size` bytes, which is `grow` pages more? Then they are promised. 0 or -ENOMEM. */
function acct_stack_growth(k: Machine, vma: vm_area_struct, size: number, grow: number): number {
  const mm = vma.vm_mm;
  if (!may_expand_vm(k, mm, vma.vm_flags, grow)) return -ENOMEM;
  if (size > k.current.rlim[RLIMIT_STACK]!) return -ENOMEM;
  if (mlock_future_check(k, mm, vma.vm_flags, grow * PAGE_SIZE)) return -ENOMEM;
  return __vm_enough_memory(k, mm, grow);
}

/**
 * Grows a stack down to the page of `address`, if limits and the guard gap let it.
 * @kernel mm/mmap.c:expand_downwards
 * @fidelity mirrored
 * @returns 0, -EFAULT (no stack), -EPERM (below vm.mmap_min_addr), -ENOMEM
 */
export function expand_downwards(k: Machine, vma: vm_area_struct, address: number): number {
  if (!vm_flags_test(vma.vm_flags, VM_GROWSDOWN)) return -EFAULT;
  const mm = vma.vm_mm;
  const start = PAGE_ALIGN_DOWN(address);
  if (start < k.config.mmap_min_addr) return -EPERM;
  const prev = mm.mm_mt.find_before(vma.vm_start);
  if (prev !== undefined && !vm_flags_test(prev.vm_flags, VM_GROWSDOWN) && vma_is_accessible(prev)) {
    // An address inside `prev` wraps to a huge gap in C, and is let through.
    const gap = start - prev.vm_end;
    if (gap >= 0 && gap < k.config.stack_guard_gap * PAGE_SIZE) return -ENOMEM;
  }
  if (anon_vma_prepare(k, vma)) return -ENOMEM;
  let error = 0;
  if (start < vma.vm_start) error = grow_down(k, vma, start);
  khugepaged_enter_vma(k, vma, vma.vm_flags);
  return error;
}

function grow_down(k: Machine, vma: vm_area_struct, start: number): number {
  const mm = vma.vm_mm;
  const grow = (vma.vm_start - start) / PAGE_SIZE;
  if (grow > vma.vm_pgoff) return -ENOMEM;
  const error = acct_stack_growth(k, vma, vma.vm_end - start, grow);
  if (error) return error;
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mm.locked_vm += grow;
  vm_stat_account(mm, vma.vm_flags, grow);
  const old = vma.vm_start;
  vma.vm_start = start;
  vma.vm_pgoff -= grow;
  mm.mm_mt.update(old, vma);
  return 0;
}

function expand_stack_locked(k: Machine, vma: vm_area_struct, address: number): number {
  return vm_flags_test(vma.vm_flags, VM_GROWSDOWN) ? expand_downwards(k, vma, address) : -EINVAL;
}

/**
 * The VMA at `addr`; a stack above it is grown, and filled if it is locked. mmap_lock is held for writing.
 * @kernel mm/mmap.c:find_extend_vma_locked
 * @fidelity mirrored
 */
export function find_extend_vma_locked(k: Machine, mm: mm_struct, addr: number): vm_area_struct | undefined {
  const at = PAGE_ALIGN_DOWN(addr);
  const vma = find_vma(mm, at);
  if (vma === undefined || vma.vm_start <= at) return vma;
  const start = vma.vm_start;
  if (expand_stack_locked(k, vma, at)) return undefined;
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) populate_vma_page_range(k, vma, at, start);
  return vma;
}

/**
 * The VMA at an address that had none when mmap_lock was held for reading: takes the lock for writing, looks again,
 * grows a stack, and leaves the lock held for reading; dropped where there is no VMA.
 * @kernel mm/mmap.c:expand_stack
 * @fidelity mirrored
 */
export function expand_stack(k: Machine, mm: mm_struct, addr: number): vm_area_struct | undefined {
  mmap_read_unlock(mm);
  k.hooks.yieldPoint("expand_stack", { mm, addr });
  mmap_write_lock(mm);
  const vma = find_vma(mm, addr);
  if (vma !== undefined && (vma.vm_start <= addr || expand_downwards(k, vma, addr) === 0)) {
    mmap_write_downgrade(mm);
    return vma;
  }
  mmap_write_unlock(mm);
  return undefined;
}
