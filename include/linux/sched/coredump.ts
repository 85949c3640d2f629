// SPDX-License-Identifier: GPL-2.0-only
/** Bits of mm_struct.flags (include/linux/sched/coredump.h): names are the kernel's, values too. */
export const MMF_VM_MERGEABLE = 1 << 16;
export const MMF_VM_HUGEPAGE = 1 << 17;
export const MMF_OOM_SKIP = 1 << 21;
export const MMF_UNSTABLE = 1 << 22;
export const MMF_HUGE_ZERO_PAGE = 1 << 23;
export const MMF_DISABLE_THP = 1 << 24;
/** FOLL_PIN was used on this address space; never cleared. */
export const MMF_HAS_PINNED = 1 << 27;
