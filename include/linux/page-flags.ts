// SPDX-License-Identifier: GPL-2.0-only
/** Bits of page flags (include/linux/page-flags.h): names are the kernel's, positions are ours. */
export const PG_locked = 1 << 0;
export const PG_referenced = 1 << 1;
export const PG_uptodate = 1 << 2;
export const PG_dirty = 1 << 3;
export const PG_lru = 1 << 4;
export const PG_active = 1 << 5;
export const PG_workingset = 1 << 6;
export const PG_error = 1 << 7;
export const PG_slab = 1 << 8;
export const PG_reserved = 1 << 9;
export const PG_private = 1 << 10;
export const PG_writeback = 1 << 11;
export const PG_head = 1 << 12;
export const PG_tail = 1 << 13;
export const PG_mappedtodisk = 1 << 14;
export const PG_reclaim = 1 << 15;
/** The same bit, on a page that was read ahead. */
export const PG_readahead = PG_reclaim;
export const PG_swapbacked = 1 << 16;
export const PG_unevictable = 1 << 17;
export const PG_mlocked = 1 << 18;
export const PG_swapcache = 1 << 19;
export const PG_anon_exclusive = 1 << 20;
/** Head of a free block in the buddy allocator; its order is in `private_`. */
export const PG_buddy = 1 << 21;
/** A page of page tables. */
export const PG_table = 1 << 22;
export const PG_isolated = 1 << 23;
export const PG_ksm = 1 << 24;
/** Head of a huge page of anonymous memory that entries of both sizes map. */
export const PG_double_map = 1 << 25;
/** On a per-CPU list of the allocator: free for its zone's counters, but not in the buddy lists. */
export const PG_pcp = 1 << 26;

/** A page freed with one of these set is a bug. @kernel PAGE_FLAGS_CHECK_AT_FREE */
export const PAGE_FLAGS_CHECK_AT_FREE =
  PG_lru | PG_locked | PG_private | PG_writeback | PG_reserved | PG_slab | PG_active | PG_unevictable | PG_mlocked;
