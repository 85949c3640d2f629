// SPDX-License-Identifier: GPL-2.0-only
/** Zones, free lists, per-CPU lists and watermarks (include/linux/mmzone.h). */

export const MAX_ORDER = 11;
export const MAX_ORDER_NR_PAGES = 1 << (MAX_ORDER - 1);
export const PAGE_ALLOC_COSTLY_ORDER = 3;
export const pageblock_order = 9;
export const pageblock_nr_pages = 1 << pageblock_order;

export const MIGRATE_UNMOVABLE = 0;
export const MIGRATE_MOVABLE = 1;
export const MIGRATE_RECLAIMABLE = 2;
export const MIGRATE_PCPTYPES = 3;
export const MIGRATE_HIGHATOMIC = 3;
export const MIGRATE_CMA = 4;
export const MIGRATE_ISOLATE = 5;
export const MIGRATE_TYPES = 6;

/** As /proc/pagetypeinfo names them, by number. */
export const migratetype_names = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"] as const;

export const ZONE_DMA = 0;
export const ZONE_DMA32 = 1;
export const ZONE_NORMAL = 2;
export const ZONE_MOVABLE = 3;
export const MAX_NR_ZONES = 4;
export const zone_names = ["DMA", "DMA32", "Normal", "Movable"] as const;

export const WMARK_MIN = 0;
export const WMARK_LOW = 1;
export const WMARK_HIGH = 2;

export const LRU_INACTIVE_ANON = 0;
export const LRU_ACTIVE_ANON = 1;
export const LRU_INACTIVE_FILE = 2;
export const LRU_ACTIVE_FILE = 3;
export const LRU_UNEVICTABLE = 4;
export const NR_LRU_LISTS = 5;

export const NR_VM_NUMA_EVENT_ITEMS = 6;

/** No page: ends a list, and stands where C has NULL for a page. Page frame 0 is never handed out. */
export const NULL_PFN = 0;

/**
 * A doubly linked list of pages through mem_section.next/prev: head and tail are page frame numbers, {@link NULL_PFN}
 * when empty. lib/pagelist.ts holds the operations.
 */
export class page_list {
  head = NULL_PFN;
  tail = NULL_PFN;
  nr = 0;
}

/** Free blocks of one order, a list for each migratetype. */
export class free_area {
  readonly free_list: page_list[] = Array.from({ length: MIGRATE_TYPES }, () => new page_list());
  nr_free = 0;
}

/** One CPU's stock of free pages in one zone, in lists by order (0…3) × 3 + migratetype. */
export class per_cpu_pages {
  count = 0;
  high = 0;
  batch = 1;
  free_factor = 0;
  readonly lists: page_list[];
  constructor(nr_lists: number) {
    this.lists = Array.from({ length: nr_lists }, () => new page_list());
  }
}

export const NR_LOWORDER_PCP_LISTS = MIGRATE_PCPTYPES * (PAGE_ALLOC_COSTLY_ORDER + 1);
/** Lists by order 0…PAGE_ALLOC_COSTLY_ORDER and migratetype, and two for THPs: of other types, and movable. */
export const NR_PCP_LISTS = NR_LOWORDER_PCP_LISTS + 2;

/** zone.flags: watermarks were raised, kswapd is to be woken. */
export const ZONE_BOOSTED_WATERMARK = 1 << 0;
/** zone.flags: kswapd may be scanning the zone. */
export const ZONE_RECLAIM_ACTIVE = 1 << 1;

/** One zone of a node. All sizes are pages. */
export class zone {
  readonly idx: number;
  readonly name: string;
  readonly node: number;
  /** First page frame of the zone. */
  zone_start_pfn: number;
  spanned_pages: number;
  present_pages: number;
  managed_pages: number;
  cma_pages = 0;
  readonly _watermark = [0, 0, 0];
  watermark_boost = 0;
  /** ZONE_… bits. */
  flags = 0;
  /** Pages held back from requests whose preferred zone is higher, by that zone's index. */
  readonly lowmem_reserve = [0, 0, 0, 0];
  readonly free_area: free_area[] = Array.from({ length: MAX_ORDER }, () => new free_area());
  readonly pageset: per_cpu_pages[] = [];
  /** Zone counters, by zone_stat_item of include/linux/vmstat.ts. */
  readonly vm_stat: Int32Array;
  /** NUMA events, by numa_stat_item of include/linux/vmstat.ts; counted where there are two nodes. */
  readonly vm_numa_event = new Float64Array(NR_VM_NUMA_EVENT_ITEMS);
  nr_reserved_highatomic = 0;
  nr_isolate_pageblock = 0;
  compact_considered = 0;
  compact_defer_shift = 0;
  compact_order_failed = 0;
  /**
   * Free blocks of order MAX_ORDER - 1 that nothing has touched since boot, as ranges of page frames in the order in
   * which they will be handed out; counted as free, and in free_area[10] as far as anybody can see. They stand
   * behind the MOVABLE free list and keep the page metadata of an idle machine unallocated.
   */
  readonly pristine: { from: number; to: number }[] = [];
  /** The same for the MIGRATE_CMA free list. */
  readonly pristine_cma: { from: number; to: number }[] = [];

  constructor(idx: number, node: number, start: number, spanned: number, nrStats: number) {
    this.idx = idx;
    this.name = zone_names[idx]!;
    this.node = node;
    this.zone_start_pfn = start;
    this.spanned_pages = spanned;
    this.present_pages = spanned;
    this.managed_pages = spanned;
    this.vm_stat = new Int32Array(nrStats);
  }
}

/** The LRU lists of one node. */
export class lruvec {
  readonly lists: page_list[] = Array.from({ length: NR_LRU_LISTS }, () => new page_list());
  /** What reclaiming each kind has cost of late, in pages that were written or came back. */
  anon_cost = 0;
  file_cost = 0;
  /** Pages evicted and activated so far. */
  nonresident_age = 0;
  /** Refaults that were activated, of each kind, by the end of the last reclaim. */
  readonly refaults = [0, 0];
}

/** One NUMA node. */
export class pglist_data {
  readonly node_id: number;
  /** By zone index; undefined where the node has no such zone. */
  readonly node_zones: (zone | undefined)[] = [undefined, undefined, undefined, undefined];
  /** For each highest zone index: the zones to try, best first. */
  readonly node_zonelists: zone[][] = [[], [], [], []];
  /** The same with the zones of this node alone: for __GFP_THISNODE. @kernel ZONELIST_NOFALLBACK */
  readonly nofallback_zonelists: zone[][] = [[], [], [], []];
  readonly __lruvec = new lruvec();
  /** Node counters, by node_stat_item of include/linux/vmstat.ts. */
  readonly vm_stat: Int32Array;
  kswapd_failures = 0;
  constructor(node_id: number, nrStats: number) {
    this.node_id = node_id;
    this.vm_stat = new Int32Array(nrStats);
  }
}
