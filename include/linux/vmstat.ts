// SPDX-License-Identifier: GPL-2.0-only
/**
 * Counters that the model keeps, in the kernel's order (include/linux/vmstat.h, vm_event_item.h; names as
 * mm/vmstat.c:vmstat_text prints them). Counters of code that is not modelled are absent rather than 0.
 */

export const NR_FREE_PAGES = 0;
export const NR_ZONE_INACTIVE_ANON = 1;
export const NR_ZONE_ACTIVE_ANON = 2;
export const NR_ZONE_INACTIVE_FILE = 3;
export const NR_ZONE_ACTIVE_FILE = 4;
export const NR_ZONE_UNEVICTABLE = 5;
export const NR_ZONE_WRITE_PENDING = 6;
export const NR_MLOCK = 7;
export const NR_BOUNCE = 8;
export const NR_FREE_CMA_PAGES = 9;
export const NR_VM_ZONE_STAT_ITEMS = 10;
export const zone_stat_names = [
  "nr_free_pages",
  "nr_zone_inactive_anon",
  "nr_zone_active_anon",
  "nr_zone_inactive_file",
  "nr_zone_active_file",
  "nr_zone_unevictable",
  "nr_zone_write_pending",
  "nr_mlock",
  "nr_bounce",
  "nr_free_cma",
] as const;

/** First of the counters of LRU lists, in the order of the lists. */
export const NR_LRU_BASE = 0;
export const NR_INACTIVE_ANON = 0;
export const NR_ACTIVE_ANON = 1;
export const NR_INACTIVE_FILE = 2;
export const NR_ACTIVE_FILE = 3;
export const NR_UNEVICTABLE = 4;
export const NR_ISOLATED_ANON = 5;
export const NR_ISOLATED_FILE = 6;
export const NR_ANON_MAPPED = 7;
export const NR_FILE_MAPPED = 8;
export const NR_FILE_PAGES = 9;
export const NR_FILE_DIRTY = 10;
export const NR_WRITEBACK = 11;
export const NR_SHMEM = 12;
export const NR_SHMEM_THPS = 13;
export const NR_SHMEM_PMDMAPPED = 14;
export const NR_ANON_THPS = 15;
export const NR_FOLL_PIN_ACQUIRED = 16;
export const NR_FOLL_PIN_RELEASED = 17;
export const NR_PAGETABLE = 18;
export const NR_SWAPCACHE = 19;
export const NR_VM_NODE_STAT_ITEMS = 20;
export const node_stat_names = [
  "nr_inactive_anon",
  "nr_active_anon",
  "nr_inactive_file",
  "nr_active_file",
  "nr_unevictable",
  "nr_isolated_anon",
  "nr_isolated_file",
  "nr_anon_pages",
  "nr_mapped",
  "nr_file_pages",
  "nr_dirty",
  "nr_writeback",
  "nr_shmem",
  "nr_shmem_hugepages",
  "nr_shmem_pmdmapped",
  "nr_anon_transparent_hugepages",
  "nr_foll_pin_acquired",
  "nr_foll_pin_released",
  "nr_page_table_pages",
  "nr_swapcached",
] as const;

export const PSWPIN = 0;
export const PSWPOUT = 1;
export const PGALLOC_DMA = 2;
export const PGALLOC_DMA32 = 3;
export const PGALLOC_NORMAL = 4;
export const PGALLOC_MOVABLE = 5;
export const ALLOCSTALL_DMA = 6;
export const ALLOCSTALL_DMA32 = 7;
export const ALLOCSTALL_NORMAL = 8;
export const ALLOCSTALL_MOVABLE = 9;
export const PGFREE = 10;
export const PGACTIVATE = 11;
export const PGDEACTIVATE = 12;
export const PGLAZYFREE = 13;
export const PGFAULT = 14;
export const PGMAJFAULT = 15;
export const PGLAZYFREED = 16;
export const PGREFILL = 17;
export const PGREUSE = 18;
export const PGSTEAL_KSWAPD = 19;
export const PGSTEAL_DIRECT = 20;
export const PGSCAN_KSWAPD = 21;
export const PGSCAN_DIRECT = 22;
export const PGROTATED = 23;
export const DROP_PAGECACHE = 24;
export const OOM_KILL = 25;
export const PGMIGRATE_SUCCESS = 26;
export const PGMIGRATE_FAIL = 27;
export const THP_MIGRATION_SUCCESS = 28;
export const THP_MIGRATION_FAIL = 29;
export const THP_MIGRATION_SPLIT = 30;
export const COMPACTMIGRATE_SCANNED = 31;
export const COMPACTFREE_SCANNED = 32;
export const COMPACTISOLATED = 33;
export const COMPACTSTALL = 34;
export const COMPACTFAIL = 35;
export const COMPACTSUCCESS = 36;
export const KCOMPACTD_WAKE = 37;
export const CMA_ALLOC_SUCCESS = 38;
export const CMA_ALLOC_FAIL = 39;
export const UNEVICTABLE_PGCULLED = 40;
export const UNEVICTABLE_PGSCANNED = 41;
export const UNEVICTABLE_PGRESCUED = 42;
export const UNEVICTABLE_PGMLOCKED = 43;
export const UNEVICTABLE_PGMUNLOCKED = 44;
export const UNEVICTABLE_PGCLEARED = 45;
export const UNEVICTABLE_PGSTRANDED = 46;
export const THP_FAULT_ALLOC = 47;
export const THP_FAULT_FALLBACK = 48;
export const THP_COLLAPSE_ALLOC = 49;
export const THP_COLLAPSE_ALLOC_FAILED = 50;
export const THP_FILE_ALLOC = 51;
export const THP_FILE_FALLBACK = 52;
export const THP_FILE_MAPPED = 53;
export const THP_SPLIT_PAGE = 54;
export const THP_SPLIT_PAGE_FAILED = 55;
export const THP_DEFERRED_SPLIT_PAGE = 56;
export const THP_SPLIT_PMD = 57;
export const THP_SCAN_EXCEED_NONE_PTE = 58;
export const THP_SCAN_EXCEED_SWAP_PTE = 59;
export const THP_SCAN_EXCEED_SHARED_PTE = 60;
export const THP_ZERO_PAGE_ALLOC = 61;
export const THP_ZERO_PAGE_ALLOC_FAILED = 62;
export const THP_SWPOUT_FALLBACK = 63;
export const SWAP_RA = 64;
export const SWAP_RA_HIT = 65;
export const COW_KSM = 66;
export const KSM_SWPIN_COPY = 67;
export const NR_VM_EVENT_ITEMS = 68;
export const vm_event_names = [
  "pswpin",
  "pswpout",
  "pgalloc_dma",
  "pgalloc_dma32",
  "pgalloc_normal",
  "pgalloc_movable",
  "allocstall_dma",
  "allocstall_dma32",
  "allocstall_normal",
  "allocstall_movable",
  "pgfree",
  "pgactivate",
  "pgdeactivate",
  "pglazyfree",
  "pgfault",
  "pgmajfault",
  "pglazyfreed",
  "pgrefill",
  "pgreuse",
  "pgsteal_kswapd",
  "pgsteal_direct",
  "pgscan_kswapd",
  "pgscan_direct",
  "pgrotated",
  "drop_pagecache",
  "oom_kill",
  "pgmigrate_success",
  "pgmigrate_fail",
  "thp_migration_success",
  "thp_migration_fail",
  "thp_migration_split",
  "compact_migrate_scanned",
  "compact_free_scanned",
  "compact_isolated",
  "compact_stall",
  "compact_fail",
  "compact_success",
  "compact_daemon_wake",
  "cma_alloc_success",
  "cma_alloc_fail",
  "unevictable_pgculled",
  "unevictable_pgscanned",
  "unevictable_pgrescued",
  "unevictable_pgmlocked",
  "unevictable_pgmunlocked",
  "unevictable_pgcleared",
  "unevictable_pgstranded",
  "thp_fault_alloc",
  "thp_fault_fallback",
  "thp_collapse_alloc",
  "thp_collapse_alloc_failed",
  "thp_file_alloc",
  "thp_file_fallback",
  "thp_file_mapped",
  "thp_split_page",
  "thp_split_page_failed",
  "thp_deferred_split_page",
  "thp_split_pmd",
  "thp_scan_exceed_none_pte",
  "thp_scan_exceed_swap_pte",
  "thp_scan_exceed_share_pte",
  "thp_zero_page_alloc",
  "thp_zero_page_alloc_failed",
  "thp_swpout_fallback",
  "swap_ra",
  "swap_ra_hit",
  "cow_ksm",
  "ksm_swpin_copy",
] as const;
