// SPDX-License-Identifier: GPL-2.0-only
/** Mappings that the kernel itself puts into an address space: the vdso and its data (mm/mmap.c). */
import { not_modelled } from "../../include/linux/bug.js";
import { VM_DONTEXPAND } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct, vm_operations_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { type vm_flags_t, vm_flags_or } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL } from "../../uapi/errno.js";
import { vm_area_alloc } from "../vma_init.js";
import { vm_stat_account } from "../mmap.js";
import { insert_vm_struct } from "./munmap.js";

export interface vm_special_mapping {
  /** What smaps shows, as "[vdso]". */
  readonly name: string;
}

/** @kernel mm/mmap.c:special_mapping_vmops @fidelity simplified: what stands in these pages is not modelled */
const special_mapping_vmops: vm_operations_struct = {
  name: "special_mapping",
  vmaName: (vma) => (vma.vm_private_data as vm_special_mapping).name,
  close: () => undefined,
  may_split: () => -EINVAL,
  fault: () => not_modelled("mm/mmap.c: special_mapping_fault"),
};

/**
 * Puts a mapping of the kernel's own at a place that is free. `addr` and `len` are bytes.
 * @kernel mm/mmap.c:_install_special_mapping
 * @fidelity mirrored
 * @returns 0, or -ENOMEM where something is mapped
 */
export function _install_special_mapping(
  k: Machine,
  mm: mm_struct,
  addr: number,
  len: number,
  flags: vm_flags_t,
  spec: vm_special_mapping,
): number {
  const vma: vm_area_struct = vm_area_alloc(
    k,
    mm,
    addr,
    addr + len,
    vm_flags_or(flags, mm.def_flags, VM_DONTEXPAND),
    0,
  );
  vma.vm_ops = special_mapping_vmops;
  vma.vm_private_data = spec;
  const ret = insert_vm_struct(k, mm, vma);
  if (ret === 0) vm_stat_account(mm, vma.vm_flags, len / PAGE_SIZE);
  return ret;
}
