// SPDX-License-Identifier: GPL-2.0-only
/** arm64: BTI in VMA flag 24, and with MTE flag 32 (tagged) and 33 (may be tagged). */
import { VM_ARCH_1, VM_HIGH_ARCH_0, VM_HIGH_ARCH_1 } from "../../include/linux/mm.js";
import { vm_flags, vm_flags_test, type vm_flags_t } from "../../include/linux/vm_flags.js";
import type { Arch } from "../../include/machine.js";
import { MAP_ANONYMOUS } from "../../uapi/mman-common.js";

const VM_MTE = VM_HIGH_ARCH_0;
const VM_MTE_ALLOWED = VM_HIGH_ARCH_1;

export const arm64: Arch = {
  name: "arm64",
  BITS_PER_LONG: 64,
  vm_flags_mask: vm_flags(2 ** 48 - 1),
  pkeys: null,
  VM_ARCH_CLEAR: VM_ARCH_1,
  smapsNames: { 24: "bt", 37: "ui" },
  TASK_SIZE: 2 ** 48,
  THP_SWAP: true,
  genericMman: true,
};

/** Memory may be tagged where it is anonymous or shmem; elsewhere a VMA with VM_MTE is refused. */
export const arm64_mte: Arch = {
  ...arm64,
  name: "arm64-mte",
  no_thp_swp: true,
  smapsNames: { 24: "bt", 32: "mt", 33: "", 37: "ui" },
  arch_validate_flags: (flags: vm_flags_t) => !vm_flags_test(flags, VM_MTE) || vm_flags_test(flags, VM_MTE_ALLOWED),
  arch_calc_vm_flag_bits: (map_flags: number, shmem: boolean) =>
    map_flags & MAP_ANONYMOUS || shmem ? VM_MTE_ALLOWED : vm_flags(0),
};
