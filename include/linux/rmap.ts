// SPDX-License-Identifier: GPL-2.0-only
/** What callers tell the reverse map (include/linux/rmap.h). */
import type { Machine } from "../machine.js";
import type { vm_area_struct } from "./mm_types.js";

/** What a walk does in each VMA that can map the page, and where there; false ends the walk. */
export type rmap_one_t<A> = (k: Machine, pfn: number, vma: vm_area_struct, address: number, arg: A) => boolean;

export const RMAP_NONE = 0;
/** The page is exclusive to the mapping that is added. */
export const RMAP_EXCLUSIVE = 1 << 0;
export const RMAP_COMPOUND = 1 << 1;

export const TTU_SPLIT_HUGE_PMD = 0x4;
export const TTU_IGNORE_MLOCK = 0x8;
export const TTU_SYNC = 0x10;
export const TTU_HWPOISON = 0x20;
export const TTU_BATCH_FLUSH = 0x40;
export const TTU_RMAP_LOCKED = 0x80;
