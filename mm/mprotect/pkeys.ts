// SPDX-License-Identifier: GPL-2.0-only
/** Memory protection keys (arch/x86/mm/pkeys.c, asm/pkeys.h, kernel/fpu/xstate.c). */
import { VM_ACCESS_FLAGS, VM_EXEC, VM_READ, VM_WRITE } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { vma_pkey } from "../../include/linux/mmu_context.js";
import { vm_flags, vm_flags_and, vm_flags_or, vm_flags_value, type vm_flags_t } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL } from "../../uapi/errno.js";
import { PKEY_DISABLE_ACCESS, PROT_EXEC, PROT_READ, PROT_WRITE } from "../../uapi/mman-common.js";

const PROT_FLAGS = [0, 1, 2, 3, 4, 5, 6, 7].map((prot) => {
  const read = prot & PROT_READ ? vm_flags_value(VM_READ) : 0;
  const write = prot & PROT_WRITE ? vm_flags_value(VM_WRITE) : 0;
  return vm_flags(read + write + (prot & PROT_EXEC ? vm_flags_value(VM_EXEC) : 0));
});

/**
 * VMA flags of a protection and a protection key.
 * @kernel include/linux/mman.h:calc_vm_prot_bits
 * @fidelity mirrored
 */
export function calc_vm_prot_bits(k: Machine, prot: number, pkey: number): vm_flags_t {
  const bits = PROT_FLAGS[prot & 7]!;
  if (k.arch.pkeys === null || pkey === 0) return bits;
  return vm_flags_or(bits, vm_flags(pkey * 2 ** k.arch.pkeys.shift));
}

/** How many keys there are: 1 without the hardware. @kernel arch_max_pkey @fidelity mirrored */
export function arch_max_pkey(k: Machine): number {
  return k.arch.pkeys === null ? 1 : 1 << Math.min(k.arch.pkeys.bits, 30);
}

/**
 * Is a key the program's to use?
 * @kernel arch/x86/include/asm/pkeys.h:mm_pkey_is_allocated
 * @fidelity mirrored
 */
export function mm_pkey_is_allocated(k: Machine, mm: mm_struct, pkey: number): boolean {
  if (k.arch.pkeys === null || pkey < 0 || pkey >= arch_max_pkey(k) || pkey === mm.execute_only_pkey) return false;
  return (mm.pkey_allocation_map & (1 << pkey)) !== 0;
}

/**
 * Takes the lowest free key; -1 when there is none, as without the hardware.
 * @kernel arch/x86/include/asm/pkeys.h:mm_pkey_alloc
 * @fidelity mirrored
 */
export function mm_pkey_alloc(k: Machine, mm: mm_struct): number {
  if (k.arch.pkeys === null) return -1;
  for (let pkey = 0; pkey < arch_max_pkey(k); pkey++) {
    if (mm.pkey_allocation_map & (1 << pkey)) continue;
    mm.pkey_allocation_map |= 1 << pkey;
    return pkey;
  }
  return -1;
}

/** Gives a key back. @kernel arch/x86/include/asm/pkeys.h:mm_pkey_free @fidelity mirrored @returns 0 or -EINVAL */
export function mm_pkey_free(k: Machine, mm: mm_struct, pkey: number): number {
  if (!mm_pkey_is_allocated(k, mm, pkey)) return -EINVAL;
  mm.pkey_allocation_map &= ~(1 << pkey);
  return 0;
}

/**
 * Sets the running task's rights for a key.
 * @kernel arch/x86/kernel/fpu/xstate.c:arch_set_user_pkey_access
 * @fidelity mirrored
 * @returns 0, or -EINVAL without protection keys
 */
export function arch_set_user_pkey_access(k: Machine, pkey: number, rights: number): number {
  if (k.arch.pkeys === null) return -EINVAL;
  const shift = pkey * 2;
  k.current.pkru = ((k.current.pkru & ~(3 << shift)) | (rights << shift)) >>> 0;
  return 0;
}

/**
 * The key that forbids data accesses, for mappings that may only be executed; -1 when none can be had.
 * @kernel arch/x86/mm/pkeys.c:__execute_only_pkey
 * @fidelity mirrored
 */
export function execute_only_pkey(k: Machine, mm: mm_struct): number {
  if (k.arch.pkeys === null) return 0;
  const fresh = mm.execute_only_pkey === -1;
  const pkey = fresh ? mm_pkey_alloc(k, mm) : mm.execute_only_pkey;
  if (pkey < 0) return -1;
  if (!fresh && (k.current.pkru >>> (pkey * 2)) & PKEY_DISABLE_ACCESS) return pkey;
  arch_set_user_pkey_access(k, pkey, PKEY_DISABLE_ACCESS);
  mm.execute_only_pkey = pkey;
  return pkey;
}

/**
 * The key that a VMA gets by mprotect (`pkey` -1) or pkey_mprotect.
 * @kernel arch/x86/mm/pkeys.c:__arch_override_mprotect_pkey
 * @fidelity mirrored
 */
export function arch_override_mprotect_pkey(k: Machine, vma: vm_area_struct, prot: number, pkey: number): number {
  if (k.arch.pkeys === null) return 0;
  if (pkey !== -1) return pkey;
  if (prot === PROT_EXEC) {
    const only = execute_only_pkey(k, vma.vm_mm);
    if (only > 0) return only;
  } else {
    const access = vm_flags_value(vm_flags_and(vma.vm_flags, VM_ACCESS_FLAGS));
    if (access === vm_flags_value(VM_EXEC) && vma_pkey(k, vma) === vma.vm_mm.execute_only_pkey) return 0;
  }
  return vma_pkey(k, vma);
}
