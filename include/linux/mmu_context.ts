// SPDX-License-Identifier: GPL-2.0-only
/** What the architecture's protection keys allow (arch/x86/include/asm/mmu_context.h, asm/pkeys.h, asm/pkru.h). */
import { PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE } from "../../uapi/mman-common.js";
import type { Machine } from "../machine.js";
import type { vm_area_struct } from "./mm_types.js";
import { vm_flags_value } from "./vm_flags.js";

/**
 * The protection key that a VMA's flags name; 0 where the machine has none.
 * @kernel arch/x86/include/asm/pkeys.h:vma_pkey
 * @fidelity mirrored
 */
export function vma_pkey(k: Machine, vma: vm_area_struct): number {
  const p = k.arch.pkeys;
  if (p === null) return 0;
  return Math.floor(vm_flags_value(vma.vm_flags) / 2 ** p.shift) % 2 ** p.bits;
}

/**
 * Do the running task's key rights allow a data access to this VMA? An access on behalf of somebody else always may.
 * @kernel arch/x86/include/asm/mmu_context.h:arch_vma_access_permitted
 * @fidelity mirrored
 */
export function arch_vma_access_permitted(
  k: Machine,
  vma: vm_area_struct,
  write: boolean,
  execute: boolean,
  foreign: boolean,
): boolean {
  if (k.arch.pkeys === null || execute) return true;
  if (foreign || k.current.mm !== vma.vm_mm) return true;
  const rights = (k.current.pkru >>> (2 * vma_pkey(k, vma))) & 3;
  if (rights & PKEY_DISABLE_ACCESS) return false;
  return !(write && rights & PKEY_DISABLE_WRITE);
}
