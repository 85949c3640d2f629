// SPDX-License-Identifier: GPL-2.0-only
/** Taking mappings away: munmap and the end of an address space (mm/mmap.c). */
import { fput } from "../../fs/file_table.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { VM_ACCOUNT, VM_GROWSDOWN, VM_LOCKED, vma_is_anonymous, vma_pages } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import {
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_downgrade,
  mmap_write_lock,
  mmap_write_unlock,
} from "../../include/linux/mmap_lock.js";
import { MMF_OOM_SKIP } from "../../include/linux/sched/coredump.js";
import { PAGE_ALIGN, PAGE_SIZE, offset_in_page, type ulong } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import { free_mm_pgd, free_pgtables, unmap_vmas } from "../memory.js";
import { mmu_gather, tlb_finish_mmu } from "../mmu_gather.js";
import { find_vma_intersection, vm_stat_account } from "../mmap.js";
import { lru_add_drain } from "../swap.js";
import { __vm_enough_memory, vm_unacct_memory } from "../util.js";
import { vm_area_free } from "../vma_init.js";
import { __split_vma, vma_link } from "./merge.js";

/** Closes a VMA that is off every list, and frees it. @kernel mm/mmap.c:remove_vma */
function remove_vma(k: Machine, vma: vm_area_struct): void {
  vma.vm_ops?.close?.(k, vma);
  if (vma.vm_file !== null) fput(k, vma.vm_file);
  vm_area_free(k, vma);
}

/** Counts VMAs as gone, closes and frees them. @kernel mm/mmap.c:remove_mt */
function remove_mt(k: Machine, mm: mm_struct, detached: readonly vm_area_struct[]): void {
  let nr_accounted = 0;
  for (const vma of detached) {
    const nr = vma_pages(vma);
    if (vm_flags_test(vma.vm_flags, VM_ACCOUNT)) nr_accounted += nr;
    vm_stat_account(mm, vma.vm_flags, -nr);
    remove_vma(k, vma);
  }
  vm_unacct_memory(k, nr_accounted);
}

/**
 * Frees the pages and page tables of VMAs that are out of the tree.
 * @kernel mm/mmap.c:unmap_region
 * @fidelity mirrored
 * @param prev the VMA before them and `next` the one behind: no table that these use is freed
 */
export function unmap_region(
  k: Machine,
  mm: mm_struct,
  detached: readonly vm_area_struct[],
  prev: vm_area_struct | undefined,
  next: vm_area_struct | undefined,
  start: number,
  end: number,
): void {
  lru_add_drain(k);
  const tlb = new mmu_gather(mm);
  unmap_vmas(k, tlb, detached, start, end);
  free_pgtables(k, tlb, detached, prev === undefined ? 0 : prev.vm_end, next === undefined ? Infinity : next.vm_start);
  tlb_finish_mmu(k, tlb);
}

/**
 * Splits what sticks out of [start, end) on either side and takes the VMAs inside out of the tree.
 * @returns those VMAs, or -ENOMEM or what splitting said
 */
function detach(k: Machine, mm: mm_struct, vma: vm_area_struct, start: number, end: number): vm_area_struct[] | number {
  if (start > vma.vm_start) {
    if (end < vma.vm_end && mm.map_count >= k.config.max_map_count) return -ENOMEM;
    const error = __split_vma(k, mm, vma, start, 0);
    if (error) return error;
  }
  const detached: vm_area_struct[] = [];
  let next = mm.mm_mt.find(start);
  while (next !== undefined && next.vm_start < end) {
    if (next.vm_end > end) {
      const error = __split_vma(k, mm, next, end, 1);
      if (error) return error;
      next = mm.mm_mt.find_before(end)!;
    }
    detached.push(next);
    next = mm.mm_mt.find(next.vm_end);
  }
  return detached;
}

/**
 * Unmaps the whole pages [start, end), `vma` being the first VMA there. With `downgrade` mmap_lock may be held for
 * reading afterwards: then 1 is returned.
 * @kernel mm/mmap.c:do_mas_align_munmap
 * @fidelity mirrored (no userfaultfd)
 * @returns 0, 1, or -ENOMEM
 */
export function do_mas_align_munmap(
  k: Machine,
  vma: vm_area_struct,
  mm: mm_struct,
  start: number,
  end: number,
  downgrade: boolean,
): number {
  const detached = detach(k, mm, vma, start, end);
  if (typeof detached === "number") return detached;
  for (const gone of detached) {
    mm.mm_mt.remove(gone.vm_start);
    if (vm_flags_test(gone.vm_flags, VM_LOCKED)) mm.locked_vm -= vma_pages(gone);
  }
  mm.map_count -= detached.length;
  const prev = mm.mm_mt.find_before(start);
  const next = mm.mm_mt.find(end);
  if (downgrade) {
    if (next !== undefined && vm_flags_test(next.vm_flags, VM_GROWSDOWN)) downgrade = false;
    else {
      mmap_write_downgrade(mm);
      k.hooks.yieldPoint("do_mas_align_munmap", { start, end });
    }
  }
  unmap_region(k, mm, detached, prev, next, start, end);
  remove_mt(k, mm, detached);
  return downgrade ? 1 : 0;
}

/**
 * Unmaps `len` bytes from `start` on; see {@link do_mas_align_munmap} for `downgrade`.
 * @kernel mm/mmap.c:do_mas_munmap
 * @fidelity mirrored
 * @returns 0, 1, -EINVAL (unaligned, empty, beyond the address space), -ENOMEM
 */
export function do_mas_munmap(k: Machine, mm: mm_struct, start: ulong, len: ulong, downgrade: boolean): number {
  const size = mm.task_size;
  if (offset_in_page(start) || start < 0 || start > size || len < 0 || len > size - start) return -EINVAL;
  const end = start + PAGE_ALIGN(len);
  if (end === start) return -EINVAL;
  const vma = find_vma_intersection(mm, start, end);
  if (vma === undefined) return 0;
  return do_mas_align_munmap(k, vma, mm, start, end, downgrade);
}

/**
 * Unmaps `len` bytes from `start` on; mmap_lock is held for writing.
 * @kernel mm/mmap.c:do_munmap
 * @fidelity mirrored
 * @returns 0, -EINVAL, -ENOMEM
 */
export function do_munmap(k: Machine, mm: mm_struct, start: ulong, len: ulong): number {
  return do_mas_munmap(k, mm, start, len, false);
}

/**
 * munmap(2).
 * @kernel mm/mmap.c:__vm_munmap
 * @fidelity mirrored
 * @returns 0, -EINVAL, -ENOMEM
 */
export function vm_munmap(k: Machine, start: ulong, len: ulong): number {
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  const ret = do_mas_munmap(k, mm, start, len, true);
  if (ret !== 1) {
    mmap_write_unlock(mm);
    return ret;
  }
  mmap_read_unlock(mm);
  return 0;
}

/**
 * Adds a ready VMA (a stack, a special mapping) to an address space.
 * @kernel mm/mmap.c:insert_vm_struct
 * @fidelity mirrored
 * @returns 0, or -ENOMEM where something is mapped or memory cannot be promised
 */
export function insert_vm_struct(k: Machine, mm: mm_struct, vma: vm_area_struct): number {
  if (find_vma_intersection(mm, vma.vm_start, vma.vm_end) !== undefined) return -ENOMEM;
  if (vm_flags_test(vma.vm_flags, VM_ACCOUNT) && __vm_enough_memory(k, mm, vma_pages(vma))) return -ENOMEM;
  if (vma_is_anonymous(vma)) vma.vm_pgoff = vma.vm_start / PAGE_SIZE;
  vma_link(mm, vma);
  return 0;
}

/**
 * Takes down an address space that nobody uses any more.
 * @kernel mm/mmap.c:exit_mmap, kernel/fork.c:__mmdrop
 * @fidelity simplified: the top-level page table goes here too
 */
export function exit_mmap(k: Machine, mm: mm_struct): void {
  mmap_read_lock(mm);
  const all = [...mm.mm_mt];
  const tlb = new mmu_gather(mm);
  if (all.length > 0) {
    lru_add_drain(k);
    unmap_vmas(k, tlb, all, 0, Infinity);
  }
  mmap_read_unlock(mm);
  mm.flags |= MMF_OOM_SKIP;
  mmap_write_lock(mm);
  let nr_accounted = 0;
  if (all.length > 0) free_pgtables(k, tlb, all, 0, Infinity);
  tlb_finish_mmu(k, tlb);
  for (const vma of all) {
    mm.mm_mt.remove(vma.vm_start);
    if (vm_flags_test(vma.vm_flags, VM_ACCOUNT)) nr_accounted += vma_pages(vma);
    remove_vma(k, vma);
  }
  VM_BUG_ON(all.length !== mm.map_count, "exit_mmap: map_count is not the number of VMAs");
  mm.map_count = 0;
  mmap_write_unlock(mm);
  vm_unacct_memory(k, nr_accounted);
  free_mm_pgd(k, mm);
}
