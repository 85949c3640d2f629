// SPDX-License-Identifier: GPL-2.0-only
/** Advice to kernel samepage merging (mm/ksm.c). ksmd does not run: no page is ever merged. */
import {
  VM_DONTEXPAND,
  VM_HUGETLB,
  VM_IO,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
} from "../include/linux/mm.js";
import type { vm_area_struct } from "../include/linux/mm_types.js";
import { MMF_VM_MERGEABLE } from "../include/linux/sched/coredump.js";
import { vm_flags_andnot, vm_flags_or, vm_flags_test, type vm_flags_t } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { MADV_MERGEABLE } from "../uapi/mman-common.js";

const NOT_MERGEABLE = vm_flags_or(
  ...([VM_MERGEABLE, VM_SHARED, VM_MAYSHARE, VM_PFNMAP, VM_IO, VM_DONTEXPAND, VM_HUGETLB, VM_MIXEDMAP] as const),
);

/**
 * The flags that a VMA gets by MADV_MERGEABLE or MADV_UNMERGEABLE.
 * @kernel mm/ksm.c:ksm_madvise
 * @fidelity simplified: nothing to unmerge, since ksmd does not run
 */
export function ksm_madvise(_k: Machine, vma: vm_area_struct, advice: number, flags: vm_flags_t): vm_flags_t {
  if (advice !== MADV_MERGEABLE) return vm_flags_andnot(flags, VM_MERGEABLE);
  if (vm_flags_test(flags, NOT_MERGEABLE)) return flags;
  vma.vm_mm.flags |= MMF_VM_MERGEABLE;
  return vm_flags_or(flags, VM_MERGEABLE);
}
