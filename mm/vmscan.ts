// SPDX-License-Identifier: GPL-2.0-only
/**
 * Page reclaim (mm/vmscan.c): kswapd and direct reclaim. A pass over the LRU lists is in vmscan/lruvec.ts, what becomes
 * of one isolated page in vmscan/shrink_folio.ts.
 */
import { __GFP_DIRECT_RECLAIM, __GFP_FS, __GFP_IO } from "../include/linux/gfp.js";
import {
  MAX_NR_ZONES,
  WMARK_HIGH,
  ZONE_RECLAIM_ACTIVE,
  pageblock_order,
  type pglist_data,
  type zone,
} from "../include/linux/mmzone.js";
import { PF_MEMALLOC } from "../include/linux/sched.js";
import { memalloc_noreclaim_restore, memalloc_noreclaim_save } from "../include/linux/sched/mm.js";
import { get_nr_swap_pages, SWAP_CLUSTER_MAX } from "../include/linux/swap.js";
import {
  ALLOCSTALL_DMA,
  NR_ZONE_ACTIVE_ANON,
  NR_ZONE_ACTIVE_FILE,
  NR_ZONE_INACTIVE_ANON,
  NR_ZONE_INACTIVE_FILE,
  PAGEOUTRUN,
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { compact_gap, reset_isolation_suitable } from "./compaction.js";
import { wakeup_kcompactd } from "./compaction/kcompactd.js";
import type { alloc_context } from "./page_alloc/context.js";
import { wmark_pages, zone_watermark_ok_safe } from "./page_alloc/watermark.js";
import { count_vm_event } from "./vmstat.js";
import { DEF_PRIORITY, shrink_node, snapshot_refaults } from "./vmscan/lruvec.js";
import { begin_scan } from "./vmscan/shrink_folio.js";

export { reclaim_pages } from "./vmscan/shrink_folio.js";

const MAX_RECLAIM_RETRIES = 16;

/**
 * Pages of a zone that reclaim could get back: those of files, and anonymous ones while there is swap.
 * @kernel mm/vmscan.c:zone_reclaimable_pages
 * @fidelity mirrored
 */
export function zone_reclaimable_pages(k: Machine, z: zone): number {
  const file = z.vm_stat[NR_ZONE_INACTIVE_FILE]! + z.vm_stat[NR_ZONE_ACTIVE_FILE]!;
  if (get_nr_swap_pages(k) <= 0) return file;
  return file + z.vm_stat[NR_ZONE_INACTIVE_ANON]! + z.vm_stat[NR_ZONE_ACTIVE_ANON]!;
}

/**
 * Reclaims for an allocation that found no page; says how many pages it got back.
 * @kernel mm/vmscan.c:try_to_free_pages
 * @fidelity simplified: no throttling; as shrink_node
 */
export function try_to_free_pages(k: Machine, ac: alloc_context, _order: number, gfp_mask: number): number {
  const sc = begin_scan(gfp_mask, false);
  count_vm_event(k, ALLOCSTALL_DMA + (ac.zonelist[0]?.idx ?? 0));
  for (let priority = DEF_PRIORITY; priority >= 0; priority--) {
    let last = -1;
    for (const z of ac.zonelist) {
      if (z.node === last) continue;
      last = z.node;
      shrink_node(k, k.nodes[z.node]!, priority, sc);
    }
    if (sc.nr_reclaimed >= SWAP_CLUSTER_MAX) break;
  }
  for (const nid of new Set(ac.zonelist.map((z) => z.node))) snapshot_refaults(k.nodes[nid]!);
  return sc.nr_reclaimed;
}

function pgdat_watermark_boosted(node: pglist_data, highest_zoneidx: number): boolean {
  for (let i = highest_zoneidx; i >= 0; i--) {
    const z = node.node_zones[i];
    if (z !== undefined && z.watermark_boost > 0) return true;
  }
  return false;
}

/** @kernel mm/vmscan.c:pgdat_balanced @fidelity mirrored */
function pgdat_balanced(node: pglist_data, order: number, highest_zoneidx: number): boolean {
  let any = false;
  for (let i = 0; i <= highest_zoneidx; i++) {
    const z = node.node_zones[i];
    if (z === undefined || z.managed_pages === 0) continue;
    any = true;
    if (zone_watermark_ok_safe(z, order, wmark_pages(z, WMARK_HIGH), highest_zoneidx)) return true;
  }
  return !any;
}

function set_reclaim_active(node: pglist_data, highest_zoneidx: number, active: boolean): void {
  for (let i = 0; i <= highest_zoneidx; i++) {
    const z = node.node_zones[i];
    if (z !== undefined) z.flags = active ? z.flags | ZONE_RECLAIM_ACTIVE : z.flags & ~ZONE_RECLAIM_ACTIVE;
  }
}

/**
 * kswapd's passes, harder each time. A node that they get nothing back from has failed once more.
 * @returns the order that it looked at last: 0 once twice as much came back as the block has that was asked for
 */
function balance_passes(k: Machine, node: pglist_data, order: number, highest_zoneidx: number, boost: boolean): number {
  const sc = begin_scan(__GFP_IO | __GFP_FS, true);
  let total = 0;
  for (let priority = DEF_PRIORITY; priority >= 1; priority--) {
    const balanced = pgdat_balanced(node, order, highest_zoneidx);
    if (!balanced && boost) {
      boost = false;
      priority = DEF_PRIORITY;
    }
    if (balanced && !boost) return order;
    sc.nr_reclaimed = 0;
    shrink_node(k, node, priority, sc);
    total += sc.nr_reclaimed;
    if (total >= compact_gap(order)) order = 0;
    if (boost && (sc.nr_reclaimed === 0 || priority === DEF_PRIORITY - 2)) break;
  }
  if (total === 0) node.kswapd_failures++;
  return order;
}

/**
 * Brings a node back above its high watermarks, as far as there is anything to reclaim, and takes back the boost that
 * its watermarks had. The order that it did so for at last.
 * @kernel mm/vmscan.c:balance_pgdat
 * @fidelity simplified: as shrink_node; no ageing of anonymous pages
 */
function balance_pgdat(k: Machine, node: pglist_data, order: number, highest_zoneidx: number): number {
  const zones = node.node_zones.slice(0, Math.min(highest_zoneidx + 1, MAX_NR_ZONES)).filter((z) => z !== undefined);
  const boosted = pgdat_watermark_boosted(node, highest_zoneidx);
  const boosts = zones.map((z) => z.watermark_boost);
  count_vm_event(k, PAGEOUTRUN);
  const noreclaim_flag = memalloc_noreclaim_save(k);
  set_reclaim_active(node, highest_zoneidx, true);
  const reclaim_order = balance_passes(k, node, order, highest_zoneidx, boosted);
  set_reclaim_active(node, highest_zoneidx, false);
  memalloc_noreclaim_restore(k, noreclaim_flag);
  zones.forEach((z, n) => (z.watermark_boost -= Math.min(z.watermark_boost, boosts[n]!)));
  if (boosted) wakeup_kcompactd(k, node, pageblock_order, highest_zoneidx);
  snapshot_refaults(node);
  return reclaim_order;
}

/**
 * Balances a node for an order and then for single pages, until it is balanced or hopeless. kcompactd is asked for the
 * block only where twice as much was reclaimed as it has: by then kswapd has forgotten an order that it got for itself.
 * @kernel mm/vmscan.c:kswapd, kswapd_try_to_sleep
 * @fidelity simplified: nobody raises the order meanwhile
 */
function kswapd(k: Machine, node: pglist_data, order: number, highest_zoneidx: number): void {
  for (let alloc_order = order; ; alloc_order = 0) {
    const reclaim_order = balance_pgdat(k, node, alloc_order, highest_zoneidx);
    if (reclaim_order === alloc_order) alloc_order = 0;
    const hopeless = node.kswapd_failures >= MAX_RECLAIM_RETRIES;
    if (!hopeless && !pgdat_balanced(node, Math.min(reclaim_order, alloc_order), highest_zoneidx)) continue;
    reset_isolation_suitable(k, node);
    wakeup_kcompactd(k, node, alloc_order, highest_zoneidx);
    return;
  }
}

/**
 * Has kswapd look after a node whose zone runs low or was fragmented. It runs at once, before the caller goes on.
 * @kernel mm/vmscan.c:wakeup_kswapd
 * @fidelity simplified: kswapd does not sleep, it runs when it is woken, on behalf of the caller
 */
export function wakeup_kswapd(k: Machine, z: zone, gfp_flags: number, order: number, highest_zoneidx: number): void {
  if (z.managed_pages === 0 || k.current.flags & PF_MEMALLOC) return;
  const node = k.nodes[z.node]!;
  const idle = pgdat_balanced(node, order, highest_zoneidx) && !pgdat_watermark_boosted(node, highest_zoneidx);
  if (node.kswapd_failures < MAX_RECLAIM_RETRIES && !idle) kswapd(k, node, order, highest_zoneidx);
  else if (!(gfp_flags & __GFP_DIRECT_RECLAIM)) wakeup_kcompactd(k, node, order, highest_zoneidx);
}
