// SPDX-License-Identifier: GPL-2.0-only
/** powerpc64: five bits of protection key in VMA flags 32…36. */
import { vm_flags } from "../../include/linux/vm_flags.js";
import type { Arch } from "../../include/machine.js";

export const powerpc64: Arch = {
  name: "powerpc64",
  BITS_PER_LONG: 64,
  vm_flags_mask: vm_flags(2 ** 48 - 1),
  pkeys: { shift: 32, bits: 5 },
  ARCH_HAS_PKEYS: true,
  VM_ARCH_CLEAR: vm_flags(0x1f * 2 ** 32),
  smapsNames: { 24: "ar", 32: "", 33: "", 34: "", 35: "", 36: "" },
  TASK_SIZE: 2 ** 47,
  genericMman: true,
};
