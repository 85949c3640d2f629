// SPDX-License-Identifier: GPL-2.0-only
/** x86: protection keys in VMA flags 32…35, whether the CPU has them or not; 32-bit x86 has flags 0…31 alone. */
import { VM_HIGH_ARCH_0, VM_HIGH_ARCH_1, VM_HIGH_ARCH_2, VM_HIGH_ARCH_3 } from "../../include/linux/mm.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags, vm_flags_or } from "../../include/linux/vm_flags.js";
import type { Arch } from "../../include/machine.js";

/** CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS=y on a CPU without PKU: the bits are kept for keys all the same. */
export const x86_64: Arch = {
  name: "x86_64",
  BITS_PER_LONG: 64,
  vm_flags_mask: vm_flags(2 ** 48 - 1),
  pkeys: null,
  ARCH_HAS_PKEYS: true,
  VM_ARCH_CLEAR: vm_flags_or(VM_HIGH_ARCH_0, VM_HIGH_ARCH_1, VM_HIGH_ARCH_2, VM_HIGH_ARCH_3),
  smapsNames: { 24: "ar", 32: "", 33: "", 34: "", 35: "", 37: "ui" },
  TASK_SIZE: 2 ** 47 - PAGE_SIZE,
  THP_SWAP: true,
  young_by_hardware: true,
  genericMman: true,
};

export const x86_64_pku: Arch = { ...x86_64, name: "x86_64-pku", pkeys: { shift: 32, bits: 4 } };

export const i386: Arch = {
  name: "i386",
  BITS_PER_LONG: 32,
  vm_flags_mask: vm_flags(2 ** 32 - 1),
  pkeys: null,
  VM_ARCH_CLEAR: vm_flags(0),
  smapsNames: { 24: "ar" },
  TASK_SIZE: 0xc0000000,
  no_thp_migration: true,
  young_by_hardware: true,
  genericMman: true,
};
