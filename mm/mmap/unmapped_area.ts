// SPDX-License-Identifier: GPL-2.0-only
/** Where a new mapping goes (the search of mm/mmap.c; arch/x86/kernel/sys_x86_64.c, arch/x86/mm/mmap.c). */
import type { file } from "../../include/linux/fs.js";
import { VM_GROWSDOWN } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { CAP_SYS_RAWIO } from "../../include/linux/sched.js";
import {
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  PAGE_SIZE,
  offset_in_page,
  ulongLess,
  type ulong,
} from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import { MAP_32BIT, MAP_FIXED } from "../../uapi/mman-common.js";
import { hugetlb_page_size } from "./hugetlb.js";

/**
 * Chooses the layout of an address space: mappings from below the stack down, and where the bottom-up layout starts.
 * @kernel arch/x86/mm/mmap.c:arch_pick_mmap_layout
 * @fidelity simplified: no randomisation, one layout for all architectures
 * @param stack_limit bytes
 */
export function arch_pick_mmap_layout(k: Machine, mm: mm_struct, stack_limit: number): void {
  const size = k.arch.TASK_SIZE;
  const gap = stack_limit + k.config.stack_guard_gap * PAGE_SIZE;
  mm.mmap_base = PAGE_ALIGN(size - Math.min(Math.max(gap, 128 << 20), Math.floor(size / 6) * 5));
  mm.mmap_legacy_base = PAGE_ALIGN(Math.floor(size / 3));
  mm.mmap_legacy = k.config.legacy_va_layout === true;
}

/** Lowest address that nothing else may come near: below a growing stack that is the guard gap. */
export function vm_start_gap(k: Machine, vma: vm_area_struct): number {
  if (!vm_flags_test(vma.vm_flags, VM_GROWSDOWN)) return vma.vm_start;
  return Math.max(0, vma.vm_start - k.config.stack_guard_gap * PAGE_SIZE);
}

function unmapped_area(k: Machine, mm: mm_struct, length: number, low: number, high: number): number {
  for (;;) {
    const gap = mm.mm_mt.empty_area(low, high, length);
    if (gap < 0) return -ENOMEM;
    const next = mm.mm_mt.find(gap);
    if (next === undefined || !vm_flags_test(next.vm_flags, VM_GROWSDOWN)) return gap;
    if (vm_start_gap(k, next) >= gap + length - 1) return gap;
    low = next.vm_end;
  }
}

function unmapped_area_topdown(k: Machine, mm: mm_struct, length: number, low: number, high: number): number {
  for (;;) {
    const end = mm.mm_mt.empty_area_rev(low, high, length);
    if (end < 0) return -ENOMEM;
    const next = mm.mm_mt.find(end - 1);
    if (next === undefined || !vm_flags_test(next.vm_flags, VM_GROWSDOWN)) return end - length;
    if (vm_start_gap(k, next) > end - 1) return end - length;
    high = vm_start_gap(k, next);
  }
}

/**
 * Bottom-up placement.
 * @kernel arch/x86/kernel/sys_x86_64.c:arch_get_unmapped_area
 * @fidelity simplified: no alignment for AMD family 15h, MAP_32BIT not randomised
 */
function arch_get_unmapped_area(k: Machine, mm: mm_struct, addr: ulong, len: number, flags: number): number {
  const low31 = (flags & MAP_32BIT) !== 0;
  const begin = low31 ? 0x40000000 : mm.mmap_legacy_base;
  const end = low31 ? 0x80000000 : mm.task_size;
  if (len > end) return -ENOMEM;
  if (addr !== 0) {
    addr = PAGE_ALIGN(addr);
    if (addr >= 0 && addr <= end - len) {
      const vma = mm.mm_mt.find(addr);
      if (vma === undefined || addr + len <= vm_start_gap(k, vma)) return addr;
    }
  }
  return unmapped_area(k, mm, len, begin, end);
}

/**
 * Top-down placement, bottom-up where that finds nothing.
 * @kernel arch/x86/kernel/sys_x86_64.c:arch_get_unmapped_area_topdown
 * @fidelity simplified: used for every architecture; addresses above 2^47 are not modelled
 */
function arch_get_unmapped_area_topdown(k: Machine, mm: mm_struct, hint: ulong, len: number, flags: number): number {
  if (!(flags & MAP_32BIT)) {
    if (hint !== 0) {
      const addr = PAGE_ALIGN_DOWN(hint);
      if (addr >= 0 && addr <= mm.task_size - len) {
        const vma = mm.mm_mt.find(addr);
        if (vma === undefined || addr + len <= vm_start_gap(k, vma)) return addr;
      }
    }
    const addr = unmapped_area_topdown(k, mm, len, PAGE_SIZE, mm.mmap_base);
    if (addr >= 0) return addr;
  }
  return arch_get_unmapped_area(k, mm, hint, len, flags);
}

/**
 * Finds room for a mapping, or checks the address that MAP_FIXED gives.
 * @kernel mm/mmap.c:get_unmapped_area
 * @fidelity simplified: no file that places its own mappings (shmem without huge pages leaves it to the architecture)
 * @param addr wanted address, bytes; `len` bytes, page-aligned
 * @returns the address, or -ENOMEM, -EINVAL (unaligned), -EPERM (below vm.mmap_min_addr)
 */
export function get_unmapped_area(k: Machine, f: file | null, addr: ulong, len: ulong, flags: number): number {
  const mm = k.current.mm!;
  if (ulongLess(mm.task_size, len)) return -ENOMEM;
  if (f?.f_op.name === "hugetlbfs" && flags & MAP_FIXED && addr % hugetlb_page_size(f) !== 0) return -EINVAL;
  if (!(flags & MAP_FIXED)) {
    const get_area = mm.mmap_legacy ? arch_get_unmapped_area : arch_get_unmapped_area_topdown;
    addr = get_area(k, mm, addr, len, flags);
  }
  if (addr < 0 && addr >= -4095) return addr;
  if (ulongLess(mm.task_size - len, addr)) return -ENOMEM;
  if (offset_in_page(addr)) return -EINVAL;
  if (addr < k.config.mmap_min_addr && !k.current.capabilities.has(CAP_SYS_RAWIO)) return -EPERM;
  return addr;
}
