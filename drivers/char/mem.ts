// SPDX-License-Identifier: GPL-2.0-only
/** /dev/zero, whose mappings are memory (drivers/char/mem.c). */
import { open_mappable } from "../../fs/regular.js";
import type { file } from "../../include/linux/fs.js";
import { VM_SHARED } from "../../include/linux/mm.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { shmem_zero_setup } from "../../mm/shmem.js";

/** Shared: memory of its own behind it, as MAP_ANONYMOUS has. Private: anonymous, under the device's name. */
function mmap_zero(k: Machine, _f: file, vma: vm_area_struct): number {
  return vm_flags_test(vma.vm_flags, VM_SHARED) ? shmem_zero_setup(k, vma) : 0;
}

/**
 * Opens /dev/zero.
 * @kernel drivers/char/mem.c:memory_open
 * @fidelity simplified: it can be mapped, not read or written
 */
export function zero_open(k: Machine, path: string, mode: number): file {
  return open_mappable(k, path, mode, mmap_zero);
}
