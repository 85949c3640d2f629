// SPDX-License-Identifier: GPL-2.0-only
/** One run of compaction, and what a zone remembers between runs (mm/internal.h, include/linux/mmzone.h). */
import { MAX_NR_ZONES, page_list, pageblock_order, type zone } from "../../include/linux/mmzone.js";
import { subsys_state } from "../../include/linux/subsys.js";
import type { Machine } from "../../include/machine.js";

/** Pages that are isolated before they are migrated together. @kernel COMPACT_CLUSTER_MAX */
export const COMPACT_CLUSTER_MAX = 32;
/** Compaction of a whole zone, whatever blocks it has. @kernel mm/compaction.c:is_via_compact_memory */
export const NO_ORDER = -1;

/** What a zone remembers: where the scanners were, and which pageblocks are not worth a look. */
export class zone_compact {
  /** Where the migrate scanner starts again: for asynchronous compaction, and for synchronous. */
  readonly compact_cached_migrate_pfn = [0, 0];
  compact_cached_free_pfn = 0;
  compact_init_migrate_pfn = 0;
  compact_init_free_pfn = 0;
  compact_blockskip_flush = false;
  /** By pageblock of the zone. */
  readonly skip: Uint8Array;
  private readonly first: number;

  constructor(z: zone) {
    this.first = z.zone_start_pfn >>> pageblock_order;
    this.skip = new Uint8Array(((z.zone_start_pfn + z.spanned_pages - 1) >>> pageblock_order) - this.first + 1);
  }

  get_pageblock_skip(pfn: number): boolean {
    return this.skip[(pfn >>> pageblock_order) - this.first] === 1;
  }

  set_pageblock_skip(pfn: number, skip: boolean): void {
    this.skip[(pfn >>> pageblock_order) - this.first] = skip ? 1 : 0;
  }
}

/** What a node's kcompactd is wanted for. */
export interface kcompactd_request {
  max_order: number;
  /** The tightest bound that a request had; MAX_NR_ZONES: none. */
  highest_zoneidx: number;
  /** Checks for proactive compaction that it leaves out, since the last one did not help. */
  skip: number;
  /** compaction_proactiveness was written: it checks at once. */
  proactive_compact_trigger: boolean;
}

class compaction_state {
  readonly zones: (zone_compact | undefined)[] = [];
  readonly kcompactd: (kcompactd_request | undefined)[] = [];
}

function state_of(k: Machine): compaction_state {
  return subsys_state(k, "mm/compaction.c", () => new compaction_state());
}

/** What a node's kcompactd is wanted for. */
export function kcompactd_request_of(k: Machine, node: number): kcompactd_request {
  return (state_of(k).kcompactd[node] ??= {
    max_order: 0,
    highest_zoneidx: MAX_NR_ZONES,
    skip: 0,
    proactive_compact_trigger: false,
  });
}

/** What is remembered of a zone. */
export function zone_compact_of(k: Machine, z: zone): zone_compact {
  return (state_of(k).zones[k.zones.indexOf(z)] ??= new zone_compact(z));
}

/** What is remembered of a zone holds no longer: it has grown. */
export function forget_zone(k: Machine, z: zone): void {
  state_of(k).zones[k.zones.indexOf(z)] = undefined;
}

/** @kernel mm/internal.h:compact_control */
export class compact_control {
  readonly k: Machine;
  readonly zone: zone;
  readonly zc: zone_compact;
  readonly order: number;
  readonly gfp_mask: number;
  readonly mode: number;
  readonly alloc_flags: number;
  readonly highest_zoneidx: number;
  readonly direct_compaction: boolean;
  whole_zone: boolean;
  readonly ignore_skip_hint: boolean;
  readonly ignore_block_suitable: boolean;
  readonly migratetype: number;
  /** It empties a range for somebody who wants that very range: huge pages are moved as well. */
  readonly alloc_contig: boolean;
  /** Proactive compaction ends at this score; -1: it is not that. */
  readonly proactive_score_low: number;
  /** Isolated free pages to move to, and pages to be moved. */
  readonly freepages = new page_list();
  readonly migratepages = new page_list();
  nr_freepages = 0;
  nr_migratepages = 0;
  free_pfn = 0;
  migrate_pfn = 0;
  fast_start_pfn = 0;
  search_order: number;
  fast_search_fail: number;
  total_migrate_scanned = 0;
  total_free_scanned = 0;
  rescan = false;
  contended = false;

  constructor(k: Machine, z: zone, o: compact_wish) {
    this.k = k;
    this.zone = z;
    this.zc = zone_compact_of(k, z);
    this.order = o.order;
    this.search_order = o.carried?.search_order ?? o.order;
    this.fast_search_fail = o.carried?.fast_search_fail ?? 0;
    this.gfp_mask = o.gfp_mask;
    this.mode = o.mode;
    this.alloc_flags = o.alloc_flags;
    this.highest_zoneidx = o.highest_zoneidx;
    this.direct_compaction = o.direct_compaction;
    this.proactive_score_low = o.proactive_score_low ?? -1;
    this.ignore_skip_hint = o.thorough || o.order === NO_ORDER;
    this.whole_zone = this.ignore_skip_hint || o.carried?.whole_zone === true;
    this.ignore_block_suitable = o.thorough;
    this.migratetype = (o.gfp_mask >>> 3) & 3;
    this.alloc_contig = o.alloc_contig === true;
  }
}

/** What a run leaves to that of the next zone, where one struct compact_control serves them all. */
export interface compact_carried {
  whole_zone: boolean;
  search_order: number;
  fast_search_fail: number;
}

/** What a run is asked for. */
export interface compact_wish {
  readonly order: number;
  readonly gfp_mask: number;
  /** MIGRATE_… */
  readonly mode: number;
  readonly alloc_flags: number;
  readonly highest_zoneidx: number;
  readonly direct_compaction: boolean;
  /** The whole zone, whatever was found before. */
  readonly thorough: boolean;
  readonly alloc_contig?: boolean;
  /** kcompactd asks, so that its counters move as well; it goes from zone to zone with this. */
  readonly carried?: compact_carried;
  /** All of the zone is looked at again, until its fragmentation (percent) is no more than this. */
  readonly proactive_score_low?: number;
}

export function zone_end_pfn(z: zone): number {
  return z.zone_start_pfn + z.spanned_pages;
}
