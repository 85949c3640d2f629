// SPDX-License-Identifier: GPL-2.0-only
/**
 * Counters in the kernel's order (include/linux/vmstat.h, vm_event_item.h), with the names that mm/vmstat.c:vmstat_text
 * gives them: all that an x86-64 kernel with NUMA, compaction, CMA, huge pages, swap and KSM has, and without memory
 * cgroups, NUMA balancing, zswap and balloons. What the model does not count stays 0 (docs/FIDELITY.md).
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

/** Of each zone. */
export const NUMA_HIT = 0;
export const NUMA_MISS = 1;
export const NUMA_FOREIGN = 2;
export const NUMA_INTERLEAVE_HIT = 3;
export const NUMA_LOCAL = 4;
export const NUMA_OTHER = 5;
export const numa_stat_names = [
  "numa_hit",
  "numa_miss",
  "numa_foreign",
  "numa_interleave",
  "numa_local",
  "numa_other",
] as const;

/** First of the counters of LRU lists, in the order of the lists. */
export const NR_LRU_BASE = 0;
export const NR_INACTIVE_ANON = 0;
export const NR_ACTIVE_ANON = 1;
export const NR_INACTIVE_FILE = 2;
export const NR_ACTIVE_FILE = 3;
export const NR_UNEVICTABLE = 4;
/** Pages, where the kernel has bytes (NR_SLAB_RECLAIMABLE_B). */
export const NR_SLAB_RECLAIMABLE = 5;
export const NR_ISOLATED_ANON = 7;
export const NR_ISOLATED_FILE = 8;
export const WORKINGSET_NODES = 9;
/** First of two: of anonymous memory and shmem, and of files. */
export const WORKINGSET_REFAULT_BASE = 10;
export const WORKINGSET_ACTIVATE_BASE = 12;
export const WORKINGSET_RESTORE_BASE = 14;
export const WORKINGSET_NODERECLAIM = 16;
export const NR_ANON_MAPPED = 17;
export const NR_FILE_MAPPED = 18;
export const NR_FILE_PAGES = 19;
export const NR_FILE_DIRTY = 20;
export const NR_WRITEBACK = 21;
export const NR_SHMEM = 23;
export const NR_SHMEM_THPS = 24;
export const NR_SHMEM_PMDMAPPED = 25;
export const NR_ANON_THPS = 28;
export const NR_FOLL_PIN_ACQUIRED = 35;
export const NR_FOLL_PIN_RELEASED = 36;
export const NR_PAGETABLE = 38;
export const NR_SWAPCACHE = 40;
export const NR_VM_NODE_STAT_ITEMS = 41;
export const node_stat_names = [
  "nr_inactive_anon",
  "nr_active_anon",
  "nr_inactive_file",
  "nr_active_file",
  "nr_unevictable",
  "nr_slab_reclaimable",
  "nr_slab_unreclaimable",
  "nr_isolated_anon",
  "nr_isolated_file",
  "workingset_nodes",
  "workingset_refault_anon",
  "workingset_refault_file",
  "workingset_activate_anon",
  "workingset_activate_file",
  "workingset_restore_anon",
  "workingset_restore_file",
  "workingset_nodereclaim",
  "nr_anon_pages",
  "nr_mapped",
  "nr_file_pages",
  "nr_dirty",
  "nr_writeback",
  "nr_writeback_temp",
  "nr_shmem",
  "nr_shmem_hugepages",
  "nr_shmem_pmdmapped",
  "nr_file_hugepages",
  "nr_file_pmdmapped",
  "nr_anon_transparent_hugepages",
  "nr_vmscan_write",
  "nr_vmscan_immediate_reclaim",
  "nr_dirtied",
  "nr_written",
  "nr_throttled_written",
  "nr_kernel_misc_reclaimable",
  "nr_foll_pin_acquired",
  "nr_foll_pin_released",
  "nr_kernel_stack",
  "nr_page_table_pages",
  "nr_sec_page_table_pages",
  "nr_swapcached",
] as const;

export const PSWPIN = 2;
export const PSWPOUT = 3;
export const PGALLOC_DMA = 4;
export const PGALLOC_DMA32 = 5;
export const PGALLOC_NORMAL = 6;
export const PGALLOC_MOVABLE = 7;
export const ALLOCSTALL_DMA = 8;
export const ALLOCSTALL_DMA32 = 9;
export const ALLOCSTALL_NORMAL = 10;
export const ALLOCSTALL_MOVABLE = 11;
export const PGFREE = 16;
export const PGACTIVATE = 17;
export const PGDEACTIVATE = 18;
export const PGLAZYFREE = 19;
export const PGFAULT = 20;
export const PGMAJFAULT = 21;
export const PGLAZYFREED = 22;
export const PGREFILL = 23;
export const PGREUSE = 24;
export const PGSTEAL_KSWAPD = 25;
export const PGSTEAL_DIRECT = 26;
export const PGSCAN_KSWAPD = 29;
export const PGSCAN_DIRECT = 30;
export const PAGEOUTRUN = 42;
export const PGROTATED = 43;
export const DROP_PAGECACHE = 44;
export const OOM_KILL = 46;
export const PGMIGRATE_SUCCESS = 47;
export const PGMIGRATE_FAIL = 48;
export const THP_MIGRATION_SUCCESS = 49;
export const THP_MIGRATION_FAIL = 50;
export const THP_MIGRATION_SPLIT = 51;
export const COMPACTMIGRATE_SCANNED = 52;
export const COMPACTFREE_SCANNED = 53;
export const COMPACTISOLATED = 54;
export const COMPACTSTALL = 55;
export const COMPACTFAIL = 56;
export const COMPACTSUCCESS = 57;
export const KCOMPACTD_WAKE = 58;
export const KCOMPACTD_MIGRATE_SCANNED = 59;
export const KCOMPACTD_FREE_SCANNED = 60;
export const CMA_ALLOC_SUCCESS = 63;
export const CMA_ALLOC_FAIL = 64;
export const UNEVICTABLE_PGCULLED = 65;
export const UNEVICTABLE_PGSCANNED = 66;
export const UNEVICTABLE_PGRESCUED = 67;
export const UNEVICTABLE_PGMLOCKED = 68;
export const UNEVICTABLE_PGMUNLOCKED = 69;
export const UNEVICTABLE_PGCLEARED = 70;
export const UNEVICTABLE_PGSTRANDED = 71;
export const THP_FAULT_ALLOC = 72;
export const THP_FAULT_FALLBACK = 73;
export const THP_COLLAPSE_ALLOC = 75;
export const THP_COLLAPSE_ALLOC_FAILED = 76;
export const THP_FILE_ALLOC = 77;
export const THP_FILE_FALLBACK = 78;
export const THP_FILE_MAPPED = 80;
export const THP_SPLIT_PAGE = 81;
export const THP_SPLIT_PAGE_FAILED = 82;
export const THP_DEFERRED_SPLIT_PAGE = 83;
export const THP_SPLIT_PMD = 84;
export const THP_SCAN_EXCEED_NONE_PTE = 85;
export const THP_SCAN_EXCEED_SWAP_PTE = 86;
export const THP_SCAN_EXCEED_SHARED_PTE = 87;
export const THP_ZERO_PAGE_ALLOC = 89;
export const THP_ZERO_PAGE_ALLOC_FAILED = 90;
export const THP_SWPOUT = 91;
export const THP_SWPOUT_FALLBACK = 92;
export const SWAP_RA = 93;
export const SWAP_RA_HIT = 94;
export const KSM_SWPIN_COPY = 95;
export const COW_KSM = 96;
/** Behind those that every kernel has: with CONFIG_NUMA_BALANCING they are printed in their place, before pgmigrate_success. */
export const NUMA_PTE_UPDATES = 99;
export const NUMA_HUGE_PTE_UPDATES = 100;
export const NUMA_HINT_FAULTS = 101;
export const NUMA_HINT_FAULTS_LOCAL = 102;
export const NUMA_PAGE_MIGRATE = 103;
export const NR_VM_EVENT_ITEMS = 104;
export const numa_balancing_event_names = [
  "numa_pte_updates",
  "numa_huge_pte_updates",
  "numa_hint_faults",
  "numa_hint_faults_local",
  "numa_pages_migrated",
] as const;
/** Node counters of CONFIG_NUMA_BALANCING, of memory tiers; not counted. */
export const numa_balancing_stat_names = ["pgpromote_success", "pgpromote_candidate"] as const;
export const vm_event_names = [
  "pgpgin",
  "pgpgout",
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
  "pgskip_dma",
  "pgskip_dma32",
  "pgskip_normal",
  "pgskip_movable",
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
  "pgdemote_kswapd",
  "pgdemote_direct",
  "pgscan_kswapd",
  "pgscan_direct",
  "pgscan_direct_throttle",
  "pgscan_anon",
  "pgscan_file",
  "pgsteal_anon",
  "pgsteal_file",
  "zone_reclaim_failed",
  "pginodesteal",
  "slabs_scanned",
  "kswapd_inodesteal",
  "kswapd_low_wmark_hit_quickly",
  "kswapd_high_wmark_hit_quickly",
  "pageoutrun",
  "pgrotated",
  "drop_pagecache",
  "drop_slab",
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
  "compact_daemon_migrate_scanned",
  "compact_daemon_free_scanned",
  "htlb_buddy_alloc_success",
  "htlb_buddy_alloc_fail",
  "cma_alloc_success",
  "cma_alloc_fail",
  "unevictable_pgs_culled",
  "unevictable_pgs_scanned",
  "unevictable_pgs_rescued",
  "unevictable_pgs_mlocked",
  "unevictable_pgs_munlocked",
  "unevictable_pgs_cleared",
  "unevictable_pgs_stranded",
  "thp_fault_alloc",
  "thp_fault_fallback",
  "thp_fault_fallback_charge",
  "thp_collapse_alloc",
  "thp_collapse_alloc_failed",
  "thp_file_alloc",
  "thp_file_fallback",
  "thp_file_fallback_charge",
  "thp_file_mapped",
  "thp_split_page",
  "thp_split_page_failed",
  "thp_deferred_split_page",
  "thp_split_pmd",
  "thp_scan_exceed_none_pte",
  "thp_scan_exceed_swap_pte",
  "thp_scan_exceed_share_pte",
  "thp_split_pud",
  "thp_zero_page_alloc",
  "thp_zero_page_alloc_failed",
  "thp_swpout",
  "thp_swpout_fallback",
  "swap_ra",
  "swap_ra_hit",
  "ksm_swpin_copy",
  "cow_ksm",
  "direct_map_level2_splits",
  "direct_map_level3_splits",
] as const;
