// SPDX-License-Identifier: GPL-2.0-only
/** Making and freeing VMAs: in v6.1 these are in kernel/fork.c, here with the mm files that need them. */
import { type mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import type { vm_flags_t } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";

/**
 * Makes a VMA of [start, end) bytes.
 * @kernel kernel/fork.c:vm_area_alloc
 * @fidelity simplified: takes the fields that its callers set next; slab pages are not counted
 */
export function vm_area_alloc(
  _k: Machine,
  mm: mm_struct,
  start: number,
  end: number,
  flags: vm_flags_t,
  pgoff: number,
): vm_area_struct {
  return new vm_area_struct(mm, start, end, flags, pgoff);
}

/**
 * A copy of a VMA that is on no tree and no anon_vma's list yet (its anon_vma field is copied).
 * @kernel kernel/fork.c:vm_area_dup
 * @fidelity mirrored
 */
export function vm_area_dup(_k: Machine, orig: vm_area_struct): vm_area_struct {
  const vma = new vm_area_struct(orig.vm_mm, orig.vm_start, orig.vm_end, orig.vm_flags, orig.vm_pgoff);
  vma.vm_file = orig.vm_file;
  vma.vm_ops = orig.vm_ops;
  vma.anon_vma = orig.anon_vma;
  vma.anon_name = orig.anon_name;
  vma.vm_policy = orig.vm_policy;
  vma.vm_userfaultfd_ctx = orig.vm_userfaultfd_ctx;
  vma.vm_private_data = orig.vm_private_data;
  vma.vm_pkey = orig.vm_pkey;
  vma.swap_readahead_info = orig.swap_readahead_info;
  return vma;
}

/**
 * Frees a VMA. With DEBUG_VM every later look at one of its fields throws a KernelBug.
 * @kernel kernel/fork.c:vm_area_free
 * @fidelity mirrored
 */
export function vm_area_free(k: Machine, vma: vm_area_struct): void {
  if (k.config.DEBUG_VM) vma.freed = true;
}
