// SPDX-License-Identifier: GPL-2.0-only
/** Accounting of promised and of locked memory (mm/util.c). All amounts are pages. */
import type { mm_struct } from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_IPC_LOCK, CAP_SYS_ADMIN, RLIMIT_MEMLOCK, type task_struct } from "../include/linux/sched.js";
import { total_swap_pages } from "../include/linux/swap.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { ENOMEM } from "../uapi/errno.js";
import { OVERCOMMIT_ALWAYS, OVERCOMMIT_GUESS } from "../uapi/mman-common.js";

/** Pages of a reserve that the administrator set, or of a 32nd of memory up to `mib` MiB. */
function reserve(k: Machine, kbytes: number | undefined, mib: number): number {
  return kbytes === undefined ? Math.min(k.totalram_pages >> 5, (mib << 20) / PAGE_SIZE) : kbytes >> 2;
}

/** Promises memory. @kernel include/linux/mman.h:vm_acct_memory @fidelity mirrored */
export function vm_acct_memory(k: Machine, pages: number): void {
  k.vm_committed_as += pages;
}

/** Takes a promise of memory back. @kernel include/linux/mman.h:vm_unacct_memory @fidelity mirrored */
export function vm_unacct_memory(k: Machine, pages: number): void {
  k.vm_committed_as -= pages;
}

/**
 * How much may be promised when vm.overcommit_memory is 2.
 * @kernel mm/util.c:vm_commit_limit
 * @fidelity simplified: no hugetlb pool
 */
export function vm_commit_limit(k: Machine): number {
  const { overcommit_kbytes } = k.config;
  const swap = total_swap_pages(k);
  if (overcommit_kbytes) return Math.floor(overcommit_kbytes / 4) + swap;
  return Math.floor((k.totalram_pages * k.config.overcommit_ratio) / 100) + swap;
}

/**
 * Promises `pages` of memory to a mapping of `mm`, if vm.overcommit_memory lets it.
 * @kernel mm/util.c:__vm_enough_memory, security/commoncap.c:cap_vm_enough_memory
 * @fidelity simplified: reserves for root and user from the size of memory; the counter is exact
 * @returns 0 or -ENOMEM, and then nothing is promised
 */
export function __vm_enough_memory(k: Machine, mm: mm_struct | null, pages: number): number {
  vm_acct_memory(k, pages);
  if (k.config.overcommit_memory === OVERCOMMIT_ALWAYS) return 0;
  if (k.config.overcommit_memory === OVERCOMMIT_GUESS) {
    if (pages <= k.totalram_pages || pages <= k.totalram_pages + total_swap_pages(k)) return 0;
  } else {
    let allowed = vm_commit_limit(k);
    if (!k.current.capabilities.has(CAP_SYS_ADMIN)) allowed -= reserve(k, k.config.admin_reserve_kbytes, 8);
    if (mm !== null) {
      allowed -= Math.min(Math.floor(mm.total_vm / 32), reserve(k, k.config.user_reserve_kbytes, 128));
    }
    if (Math.max(k.vm_committed_as, 0) < allowed) return 0;
  }
  vm_unacct_memory(k, pages);
  return -ENOMEM;
}

/**
 * Counts pages as locked, or no longer so, without taking mmap_lock.
 * @kernel mm/util.c:__account_locked_vm
 * @fidelity mirrored
 * @returns 0, or -ENOMEM beyond RLIMIT_MEMLOCK
 */
export function __account_locked_vm(
  mm: mm_struct,
  pages: number,
  inc: boolean,
  task: task_struct,
  bypass_rlim: boolean,
): number {
  if (!inc) {
    mm.locked_vm -= pages;
    return 0;
  }
  if (!bypass_rlim && mm.locked_vm + pages > Math.floor(task.rlim[RLIMIT_MEMLOCK]! / PAGE_SIZE)) return -ENOMEM;
  mm.locked_vm += pages;
  return 0;
}

/**
 * Counts pages of an address space as locked, or no longer so.
 * @kernel mm/util.c:account_locked_vm
 * @fidelity mirrored
 * @returns 0, or -ENOMEM beyond RLIMIT_MEMLOCK
 */
export function account_locked_vm(k: Machine, mm: mm_struct | null, pages: number, inc: boolean): number {
  if (pages === 0 || mm === null) return 0;
  mmap_write_lock(mm);
  const ret = __account_locked_vm(mm, pages, inc, k.current, k.current.capabilities.has(CAP_IPC_LOCK));
  mmap_write_unlock(mm);
  return ret;
}
