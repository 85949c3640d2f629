// SPDX-License-Identifier: GPL-2.0-only
/** VMA flags, get_user_pages flags and inline predicates (include/linux/mm.h). */
import type { vm_area_struct } from "./mm_types.js";
import { PAGE_SIZE } from "./types.js";
import { vm_flags, vm_flags_bit, vm_flags_or, vm_flags_test } from "./vm_flags.js";

export const VM_NONE = vm_flags(0x00000000);
export const VM_READ = vm_flags(0x00000001);
export const VM_WRITE = vm_flags(0x00000002);
export const VM_EXEC = vm_flags(0x00000004);
export const VM_SHARED = vm_flags(0x00000008);
export const VM_MAYREAD = vm_flags(0x00000010);
export const VM_MAYWRITE = vm_flags(0x00000020);
export const VM_MAYEXEC = vm_flags(0x00000040);
export const VM_MAYSHARE = vm_flags(0x00000080);
export const VM_GROWSDOWN = vm_flags(0x00000100);
export const VM_UFFD_MISSING = vm_flags(0x00000200);
export const VM_PFNMAP = vm_flags(0x00000400);
export const VM_UFFD_WP = vm_flags(0x00001000);
export const VM_LOCKED = vm_flags(0x00002000);
export const VM_IO = vm_flags(0x00004000);
export const VM_SEQ_READ = vm_flags(0x00008000);
export const VM_RAND_READ = vm_flags(0x00010000);
export const VM_DONTCOPY = vm_flags(0x00020000);
export const VM_DONTEXPAND = vm_flags(0x00040000);
export const VM_LOCKONFAULT = vm_flags(0x00080000);
export const VM_ACCOUNT = vm_flags(0x00100000);
export const VM_NORESERVE = vm_flags(0x00200000);
export const VM_HUGETLB = vm_flags(0x00400000);
export const VM_SYNC = vm_flags(0x00800000);
export const VM_ARCH_1 = vm_flags(0x01000000);
export const VM_WIPEONFORK = vm_flags(0x02000000);
export const VM_DONTDUMP = vm_flags(0x04000000);
export const VM_SOFTDIRTY = vm_flags(0x00000000);
export const VM_MIXEDMAP = vm_flags(0x10000000);
export const VM_HUGEPAGE = vm_flags(0x20000000);
export const VM_NOHUGEPAGE = vm_flags(0x40000000);
export const VM_MERGEABLE = vm_flags(0x80000000);
export const VM_NOMOVABLE = vm_flags(0x100000000);

export const VM_HIGH_ARCH_0 = vm_flags_bit(32);
export const VM_HIGH_ARCH_1 = vm_flags_bit(33);
export const VM_HIGH_ARCH_2 = vm_flags_bit(34);
export const VM_HIGH_ARCH_3 = vm_flags_bit(35);
export const VM_HIGH_ARCH_4 = vm_flags_bit(36);
export const VM_UFFD_MINOR = vm_flags_bit(37);

export const VM_ACCESS_FLAGS = vm_flags_or(VM_READ, VM_WRITE, VM_EXEC);
export const VM_SPECIAL = vm_flags_or(VM_IO, VM_DONTEXPAND, VM_PFNMAP, VM_MIXEDMAP);
export const VM_NO_KHUGEPAGED = vm_flags_or(VM_SPECIAL, VM_HUGETLB);
export const VM_LOCKED_MASK = vm_flags_or(VM_LOCKED, VM_LOCKONFAULT);
export const VM_STACK = VM_GROWSDOWN;
export const VM_STACK_INCOMPLETE_SETUP = vm_flags_or(VM_RAND_READ, VM_SEQ_READ);
export const VM_DATA_DEFAULT_FLAGS = vm_flags_or(VM_READ, VM_WRITE, VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC);
export const VM_STACK_FLAGS = vm_flags_or(VM_STACK, VM_DATA_DEFAULT_FLAGS, VM_ACCOUNT);

export const FOLL_WRITE = 0x01;
export const FOLL_TOUCH = 0x02;
export const FOLL_GET = 0x04;
export const FOLL_FORCE = 0x10;
export const FOLL_NOWAIT = 0x20;
export const FOLL_NOFAULT = 0x80;
export const FOLL_HWPOISON = 0x100;
export const FOLL_MIGRATION = 0x400;
export const FOLL_TRIED = 0x800;
export const FOLL_REMOTE = 0x2000;
export const FOLL_ANON = 0x8000;
export const FOLL_LONGTERM = 0x10000;
export const FOLL_SPLIT_PMD = 0x20000;
export const FOLL_PIN = 0x40000;
export const FOLL_FAST_ONLY = 0x80000;

/** What a pin adds to a page's reference count. */
export const GUP_PIN_COUNTING_BIAS = 1024;

export function vma_is_anonymous(vma: vm_area_struct): boolean {
  return vma.vm_ops === null;
}

export function vma_is_accessible(vma: vm_area_struct): boolean {
  return vm_flags_test(vma.vm_flags, VM_ACCESS_FLAGS);
}

export function vma_no_movable(vma: vm_area_struct): boolean {
  return vm_flags_test(vma.vm_flags, VM_NOMOVABLE);
}

export function vma_pages(vma: vm_area_struct): number {
  return (vma.vm_end - vma.vm_start) / PAGE_SIZE;
}

/** Page offset of an address in what its VMA maps. @kernel include/linux/pagemap.h:linear_page_index */
export function linear_page_index(vma: vm_area_struct, address: number): number {
  return Math.floor((address - vma.vm_start) / PAGE_SIZE) + vma.vm_pgoff;
}

export function is_vm_hugetlb_page(vma: vm_area_struct): boolean {
  return vm_flags_test(vma.vm_flags, VM_HUGETLB);
}
