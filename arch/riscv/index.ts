// SPDX-License-Identifier: GPL-2.0-only
/** riscv64 (Sv48): no use of its own for VMA flags above 31. */
import { vm_flags } from "../../include/linux/vm_flags.js";
import type { Arch } from "../../include/machine.js";

export const riscv64: Arch = {
  name: "riscv64",
  BITS_PER_LONG: 64,
  vm_flags_mask: vm_flags(2 ** 48 - 1),
  pkeys: null,
  VM_ARCH_CLEAR: vm_flags(0),
  smapsNames: { 24: "ar" },
  TASK_SIZE: 2 ** 47,
  THP_SWAP: true,
  genericMman: true,
};
