// SPDX-License-Identifier: GPL-2.0-only
/** Memory compaction (mm/compaction.c). */
import { ALLOC_CMA, ALLOC_WMARK_MASK, __GFP_IO } from "../include/linux/gfp.js";
import { MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT, MR_COMPACTION } from "../include/linux/migrate_mode.js";
import {
  MAX_ORDER,
  MIGRATE_CMA,
  MIGRATE_MOVABLE,
  PAGE_ALLOC_COSTLY_ORDER,
  WMARK_LOW,
  WMARK_MIN,
  pageblock_nr_pages,
  pageblock_order,
  type pglist_data,
  type zone,
} from "../include/linux/mmzone.js";
import {
  COMPACTFREE_SCANNED,
  COMPACTMIGRATE_SCANNED,
  KCOMPACTD_FREE_SCANNED,
  KCOMPACTD_MIGRATE_SCANNED,
  NR_FREE_PAGES,
  NR_ZONE_ACTIVE_FILE,
  NR_ZONE_INACTIVE_FILE,
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { ENOMEM } from "../uapi/errno.js";
import { compact_control, NO_ORDER, zone_compact_of, zone_end_pfn, type compact_wish } from "./compaction/control.js";
import { compaction_alloc, compaction_free, release_freepages } from "./compaction/free_scanner.js";
import { ISOLATE_ABORT, ISOLATE_SUCCESS, block_end_pfn, isolate_migratepages } from "./compaction/migrate_scanner.js";
import { migrate_pages, putback_movable_pages } from "./migrate.js";
import type { alloc_context } from "./page_alloc/context.js";
import { find_suitable_fallback } from "./page_alloc/fallback.js";
import { drain_local_pages } from "./page_alloc/free.js";
import { free_area_empty } from "./page_alloc/freelist.js";
import { __zone_watermark_ok, wmark_pages, zone_watermark_ok } from "./page_alloc/watermark.js";
import { lru_add_drain, lru_add_drain_cpu } from "./swap.js";
import { count_vm_events } from "./vmstat.js";

const COMPACT_MAX_DEFER_SHIFT = 6;
/** sysctl vm.extfrag_threshold */
const sysctl_extfrag_threshold = 500;

export const COMPACT_NOT_SUITABLE_ZONE = 0;
export const COMPACT_SKIPPED = 1;
export const COMPACT_DEFERRED = 2;
export const COMPACT_NO_SUITABLE_PAGE = 3;
export const COMPACT_CONTINUE = 4;
export const COMPACT_COMPLETE = 5;
export const COMPACT_PARTIAL_SKIPPED = 6;
export const COMPACT_CONTENDED = 7;
export const COMPACT_SUCCESS = 8;

export const COMPACT_PRIO_SYNC_FULL = 0;
export const COMPACT_PRIO_SYNC_LIGHT = 1;
export const COMPACT_PRIO_ASYNC = 2;
export const MIN_COMPACT_PRIORITY = COMPACT_PRIO_SYNC_FULL;
export const MIN_COMPACT_COSTLY_PRIORITY = COMPACT_PRIO_SYNC_LIGHT;
export const DEF_COMPACT_PRIORITY = COMPACT_PRIO_SYNC_LIGHT;
export const INIT_COMPACT_PRIORITY = COMPACT_PRIO_ASYNC;

/** Pages that must be free to make a block of an order: as many again to move to. @kernel include/linux/compaction.h:compact_gap @fidelity mirrored */
export function compact_gap(order: number): number {
  return 2 * 2 ** order;
}

/** @kernel include/linux/compaction.h:compaction_made_progress @fidelity mirrored */
export function compaction_made_progress(result: number): boolean {
  return result === COMPACT_SUCCESS;
}

/** @kernel include/linux/compaction.h:compaction_failed @fidelity mirrored */
export function compaction_failed(result: number): boolean {
  return result === COMPACT_COMPLETE;
}

/** @kernel include/linux/compaction.h:compaction_needs_reclaim @fidelity mirrored */
export function compaction_needs_reclaim(result: number): boolean {
  return result === COMPACT_SKIPPED;
}

/** @kernel include/linux/compaction.h:compaction_withdrawn @fidelity mirrored */
export function compaction_withdrawn(result: number): boolean {
  return result === COMPACT_DEFERRED || result === COMPACT_CONTENDED || result === COMPACT_PARTIAL_SKIPPED;
}

/** @kernel mm/compaction.c:compaction_defer_reset @fidelity mirrored */
export function compaction_defer_reset(z: zone, order: number, alloc_success: boolean): void {
  if (alloc_success) {
    z.compact_considered = 0;
    z.compact_defer_shift = 0;
  }
  if (order >= z.compact_order_failed) z.compact_order_failed = order + 1;
}

/** @kernel mm/compaction.c:defer_compaction @fidelity mirrored */
export function defer_compaction(z: zone, order: number): void {
  z.compact_considered = 0;
  z.compact_defer_shift = Math.min(z.compact_defer_shift + 1, COMPACT_MAX_DEFER_SHIFT);
  if (order < z.compact_order_failed) z.compact_order_failed = order;
}

/** Has compaction failed so lately that it is not worth trying? @kernel mm/compaction.c:compaction_deferred @fidelity mirrored */
export function compaction_deferred(z: zone, order: number): boolean {
  const defer_limit = 1 << z.compact_defer_shift;
  if (order < z.compact_order_failed) return false;
  if (++z.compact_considered < defer_limit) return true;
  z.compact_considered = defer_limit;
  return false;
}

function compaction_restarting(z: zone, order: number): boolean {
  if (order < z.compact_order_failed) return false;
  return z.compact_defer_shift === COMPACT_MAX_DEFER_SHIFT && z.compact_considered >= 1 << z.compact_defer_shift;
}

/**
 * How much a failure to allocate is due to fragmentation: 0 (too little memory) … 1000; -1000 if it would not fail.
 * @kernel mm/vmstat.c:fragmentation_index
 * @fidelity mirrored
 */
export function fragmentation_index(z: zone, order: number): number {
  let free_pages = 0;
  let blocks = 0;
  for (let o = 0; o < MAX_ORDER; o++) {
    const nr = z.free_area[o]!.nr_free;
    blocks += nr;
    free_pages += nr * 2 ** o;
    if (o >= order && nr > 0) return -1000;
  }
  if (blocks === 0) return 0;
  return 1000 - Math.floor((1000 + Math.floor((free_pages * 1000) / 2 ** order)) / blocks);
}

/**
 * How much of a zone's free memory is of no use for blocks of an order, in percent.
 * @kernel mm/vmstat.c:extfrag_for_order
 * @fidelity mirrored
 */
export function extfrag_for_order(z: zone, order: number): number {
  let free_pages = 0;
  let suitable = 0;
  for (let o = 0; o < MAX_ORDER; o++) {
    const pages = z.free_area[o]!.nr_free * 2 ** o;
    free_pages += pages;
    if (o >= order) suitable += pages;
  }
  return free_pages === 0 ? 0 : Math.floor(((free_pages - suitable) * 100) / free_pages);
}

/** @kernel mm/compaction.c:__compaction_suitable @fidelity mirrored: `wmark_target` is free pages */
function __compaction_suitable(z: zone, order: number, alloc_flags: number, idx: number, wmark_target: number): number {
  if (zone_watermark_ok(z, order, wmark_pages(z, alloc_flags & ALLOC_WMARK_MASK), idx, alloc_flags))
    return COMPACT_SUCCESS;
  const watermark = wmark_pages(z, order > PAGE_ALLOC_COSTLY_ORDER ? WMARK_LOW : WMARK_MIN) + compact_gap(order);
  return __zone_watermark_ok(z, 0, watermark, idx, ALLOC_CMA, wmark_target) ? COMPACT_CONTINUE : COMPACT_SKIPPED;
}

/**
 * Is it worth compacting a zone for a block of this order? COMPACT_CONTINUE, or _SUCCESS (there is one), _SKIPPED.
 * @kernel mm/compaction.c:compaction_suitable
 * @fidelity mirrored
 */
export function compaction_suitable(z: zone, order: number, alloc_flags: number, highest_zoneidx: number): number {
  const ret = __compaction_suitable(z, order, alloc_flags, highest_zoneidx, z.vm_stat[NR_FREE_PAGES]!);
  if (ret !== COMPACT_CONTINUE || order <= PAGE_ALLOC_COSTLY_ORDER) return ret;
  const fragindex = fragmentation_index(z, order);
  return fragindex >= 0 && fragindex <= sysctl_extfrag_threshold ? COMPACT_SKIPPED : ret;
}

/** @kernel mm/compaction.c:compaction_zonelist_suitable @fidelity mirrored */
export function compaction_zonelist_suitable(
  _k: Machine,
  ac: alloc_context,
  order: number,
  alloc_flags: number,
): boolean {
  return ac.zonelist.some((z) => {
    const reclaimable = z.vm_stat[NR_ZONE_INACTIVE_FILE]! + z.vm_stat[NR_ZONE_ACTIVE_FILE]!;
    const available = Math.floor(reclaimable / order) + z.vm_stat[NR_FREE_PAGES]!;
    return __compaction_suitable(z, order, alloc_flags, ac.highest_zoneidx, available) === COMPACT_CONTINUE;
  });
}

const scanners_met = (cc: compact_control): boolean =>
  cc.free_pfn >>> pageblock_order <= cc.migrate_pfn >>> pageblock_order;

/** Is there a block now, or nothing left to scan? @kernel mm/compaction.c:compact_finished @fidelity mirrored */
function compact_finished(cc: compact_control): number {
  const { zone, zc } = cc;
  if (scanners_met(cc)) {
    zc.compact_cached_migrate_pfn.fill(zone.zone_start_pfn);
    zc.compact_cached_free_pfn = last_pageblock(zone);
    if (cc.direct_compaction) zc.compact_blockskip_flush = true;
    return cc.whole_zone ? COMPACT_COMPLETE : COMPACT_PARTIAL_SKIPPED;
  }
  if (cc.proactive_score_low >= 0) {
    return extfrag_for_order(zone, pageblock_order) > cc.proactive_score_low ? COMPACT_CONTINUE : COMPACT_SUCCESS;
  }
  if (cc.order === NO_ORDER || cc.migrate_pfn % pageblock_nr_pages !== 0) return COMPACT_CONTINUE;
  for (let order = cc.order; order < MAX_ORDER; order++) {
    if (!free_area_empty(zone, order, cc.migratetype)) return COMPACT_SUCCESS;
    if (cc.migratetype === MIGRATE_MOVABLE && !free_area_empty(zone, order, MIGRATE_CMA)) return COMPACT_SUCCESS;
    if (find_suitable_fallback(cc.k, zone, order, cc.migratetype, true) !== -1) return COMPACT_SUCCESS;
  }
  const killed = cc.direct_compaction && cc.k.current.fatal_signal !== 0;
  return cc.contended || killed ? COMPACT_CONTENDED : COMPACT_CONTINUE;
}

function last_pageblock(z: zone): number {
  const last = zone_end_pfn(z) - 1;
  return last - (last % pageblock_nr_pages);
}

/** Where the scanners begin: at the ends, or where the last run left them. */
function place_scanners(cc: compact_control): void {
  const { zone, zc } = cc;
  const start = zone.zone_start_pfn;
  const end = zone_end_pfn(zone);
  const sync = cc.mode === MIGRATE_ASYNC ? 0 : 1;
  cc.migrate_pfn = cc.whole_zone ? start : zc.compact_cached_migrate_pfn[sync]!;
  cc.free_pfn = cc.whole_zone ? last_pageblock(zone) : zc.compact_cached_free_pfn;
  if (cc.whole_zone) return;
  if (cc.free_pfn < start || cc.free_pfn >= end) zc.compact_cached_free_pfn = cc.free_pfn = last_pageblock(zone);
  if (cc.migrate_pfn < start || cc.migrate_pfn >= end) {
    cc.migrate_pfn = start;
    zc.compact_cached_migrate_pfn.fill(start);
  }
  if (cc.migrate_pfn <= zc.compact_init_migrate_pfn) cc.whole_zone = true;
}

/** Moves the pages that the scanner has isolated, and puts the rest back; what migrate_pages() said. */
function migrate_isolated(cc: compact_control): number {
  const err = migrate_pages(cc.k, cc.migratepages, compaction_alloc, compaction_free, cc, cc.mode, MR_COMPACTION);
  cc.nr_migratepages = 0;
  if (err !== 0) putback_movable_pages(cc.k, cc.migratepages);
  return err;
}

/** Isolates and moves until compact_finished() says so; how that came. */
function compact_loop(cc: compact_control): number {
  const { k, zc } = cc;
  const cached = zc.compact_cached_migrate_pfn;
  let last_migrated_pfn = 0;
  let update_cached = cc.mode === MIGRATE_ASYNC && cached[0] === cached[1];
  for (;;) {
    const ret = compact_finished(cc);
    if (ret !== COMPACT_CONTINUE) return ret;
    const iteration_start_pfn = cc.migrate_pfn;
    cc.rescan = last_migrated_pfn >>> pageblock_order === iteration_start_pfn >>> pageblock_order;
    const isolated = isolate_migratepages(cc);
    if (isolated === ISOLATE_ABORT) {
      putback_movable_pages(k, cc.migratepages);
      cc.nr_migratepages = 0;
      return COMPACT_CONTENDED;
    }
    if (isolated === ISOLATE_SUCCESS) {
      update_cached = false;
      last_migrated_pfn = iteration_start_pfn;
      const err = migrate_isolated(cc);
      if (err === -ENOMEM && !scanners_met(cc)) return COMPACT_CONTENDED;
      if (err !== 0 && cc.direct_compaction && cc.mode === MIGRATE_ASYNC) {
        cc.migrate_pfn = block_end_pfn(cc.migrate_pfn - 1, cc.order);
        last_migrated_pfn = 0;
      }
    } else if (update_cached) cached[1] = cached[0]!;
    if (
      cc.order > 0 &&
      last_migrated_pfn !== 0 &&
      last_migrated_pfn < block_end_pfn(cc.migrate_pfn, cc.order) - 2 ** cc.order
    ) {
      lru_add_drain_cpu(k, k.cpu);
      drain_local_pages(k, cc.zone);
      last_migrated_pfn = 0;
    }
  }
}

/**
 * Compacts a zone for one block of the order wished, by moving pages from its bottom to free pages at its top.
 * @kernel mm/compaction.c:compact_zone
 * @fidelity simplified: a block that comes free meanwhile is not captured for the caller
 * @param wish of NO_ORDER: all of the zone
 */
export function compact_zone(k: Machine, z: zone, wish: compact_wish): number {
  if (wish.order !== NO_ORDER) {
    const suitable = compaction_suitable(z, wish.order, wish.alloc_flags, wish.highest_zoneidx);
    if (suitable !== COMPACT_CONTINUE) return suitable;
  }
  const cc = new compact_control(k, z, wish);
  if (compaction_restarting(z, wish.order)) __reset_isolation_suitable(k, z);
  place_scanners(cc);
  lru_add_drain(k);
  const ret = compact_loop(cc);
  if (cc.nr_freepages > 0) {
    const high = release_freepages(cc);
    const block = high - (high % pageblock_nr_pages);
    if (block > cc.zc.compact_cached_free_pfn) cc.zc.compact_cached_free_pfn = block;
  }
  count_vm_events(k, COMPACTMIGRATE_SCANNED, cc.total_migrate_scanned);
  count_vm_events(k, COMPACTFREE_SCANNED, cc.total_free_scanned);
  if (wish.carried !== undefined) {
    wish.carried.whole_zone = cc.whole_zone;
    wish.carried.search_order = cc.search_order;
    wish.carried.fast_search_fail = cc.fast_search_fail;
    count_vm_events(k, KCOMPACTD_MIGRATE_SCANNED, cc.total_migrate_scanned);
    count_vm_events(k, KCOMPACTD_FREE_SCANNED, cc.total_free_scanned);
  }
  if (k.tracing) k.hooks.trace("mm_compaction_end", { zone: z.name, order: wish.order, status: ret });
  return ret;
}

/** @kernel mm/compaction.c:__reset_isolation_suitable @fidelity simplified: all pageblocks are worth a look again */
function __reset_isolation_suitable(k: Machine, z: zone): void {
  const zc = zone_compact_of(k, z);
  if (!zc.compact_blockskip_flush) return;
  zc.compact_blockskip_flush = false;
  zc.skip.fill(0);
  zc.compact_init_migrate_pfn = z.zone_start_pfn;
  zc.compact_cached_migrate_pfn.fill(z.zone_start_pfn);
  zc.compact_init_free_pfn = last_pageblock(z);
  zc.compact_cached_free_pfn = zc.compact_init_free_pfn;
}

/**
 * Compacts the zones of a request until one has a block for it. COMPACT_….
 * @kernel mm/compaction.c:try_to_compact_pages
 * @fidelity mirrored
 */
export function try_to_compact_pages(
  k: Machine,
  gfp_mask: number,
  order: number,
  alloc_flags: number,
  ac: alloc_context,
  prio: number,
): number {
  let rc = COMPACT_SKIPPED;
  if ((gfp_mask & __GFP_IO) === 0) return COMPACT_SKIPPED;
  const thorough = prio === MIN_COMPACT_PRIORITY;
  const mode = prio === COMPACT_PRIO_ASYNC ? MIGRATE_ASYNC : MIGRATE_SYNC_LIGHT;
  const { highest_zoneidx } = ac;
  for (const z of ac.zonelist) {
    if (!thorough && compaction_deferred(z, order)) {
      rc = Math.max(COMPACT_DEFERRED, rc);
      continue;
    }
    const wish = { order, gfp_mask, mode, alloc_flags, highest_zoneidx, direct_compaction: true, thorough };
    const status = compact_zone(k, z, wish);
    rc = Math.max(status, rc);
    if (status === COMPACT_SUCCESS) {
      compaction_defer_reset(z, order, false);
      break;
    }
    if (prio !== COMPACT_PRIO_ASYNC && (status === COMPACT_COMPLETE || status === COMPACT_PARTIAL_SKIPPED)) {
      defer_compaction(z, order);
    }
    if (k.current.fatal_signal !== 0) break;
  }
  return rc;
}

/** Lifts the skip hints of a node's zones that asked for it. @kernel mm/compaction.c:reset_isolation_suitable @fidelity mirrored */
export function reset_isolation_suitable(k: Machine, node: pglist_data): void {
  for (const z of node.node_zones) if (z !== undefined) __reset_isolation_suitable(k, z);
}
