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
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { reset_isolation_suitable } from "./compaction.js";
import { wakeup_kcompactd } from "./compaction/kcompactd.js";
import type { alloc_context } from "./page_alloc/context.js";
import { wmark_pages, zone_watermark_ok_safe } from "./page_alloc/watermark.js";
import { count_vm_event } from "./vmstat.js";
import { DEF_PRIORITY, shrink_node } from "./vmscan/lruvec.js";
import type { scan_control } from "./vmscan/shrink_folio.js";

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
  const sc: scan_control = { gfp_mask, kswapd: false, nr_scanned: 0, nr_reclaimed: 0 };
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

/** kswapd's passes, harder each time. Pages reclaimed, or -1 when there was nothing to do. */
function balance_passes(k: Machine, node: pglist_data, order: number, highest_zoneidx: number, boost: boolean): number {
  const sc: scan_control = { gfp_mask: __GFP_IO | __GFP_FS, kswapd: true, nr_scanned: 0, nr_reclaimed: 0 };
  let total = 0;
  for (let priority = DEF_PRIORITY; priority >= 1; priority--) {
    const balanced = pgdat_balanced(node, order, highest_zoneidx);
    if (!balanced && boost) {
      boost = false;
      priority = DEF_PRIORITY;
    }
    if (balanced && !boost) return priority === DEF_PRIORITY ? -1 : total;
    sc.nr_reclaimed = 0;
    shrink_node(k, node, priority, sc);
    total += sc.nr_reclaimed;
    if (boost && (sc.nr_reclaimed === 0 || priority === DEF_PRIORITY - 2)) break;
  }
  return total;
}

/**
 * Brings a node back above its high watermarks, as far as there is anything to reclaim, and takes back the boost that
 * its watermarks had.
 * @kernel mm/vmscan.c:balance_pgdat
 * @fidelity simplified: as shrink_node; no ageing of anonymous pages
 */
function balance_pgdat(k: Machine, node: pglist_data, order: number, highest_zoneidx: number): void {
  const zones = node.node_zones.slice(0, Math.min(highest_zoneidx + 1, MAX_NR_ZONES)).filter((z) => z !== undefined);
  const boosted = pgdat_watermark_boosted(node, highest_zoneidx);
  const boosts = zones.map((z) => z.watermark_boost);
  const noreclaim_flag = memalloc_noreclaim_save(k);
  set_reclaim_active(node, highest_zoneidx, true);
  const reclaimed = balance_passes(k, node, order, highest_zoneidx, boosted);
  if (reclaimed > 0) node.kswapd_failures = 0;
  else if (reclaimed === 0) node.kswapd_failures++;
  set_reclaim_active(node, highest_zoneidx, false);
  memalloc_noreclaim_restore(k, noreclaim_flag);
  zones.forEach((z, n) => (z.watermark_boost -= Math.min(z.watermark_boost, boosts[n]!)));
  if (boosted) wakeup_kcompactd(k, node, pageblock_order, highest_zoneidx);
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
  if (node.kswapd_failures >= MAX_RECLAIM_RETRIES || idle) {
    if (!(gfp_flags & __GFP_DIRECT_RECLAIM)) wakeup_kcompactd(k, node, order, highest_zoneidx);
    return;
  }
  balance_pgdat(k, node, order, highest_zoneidx);
  if (!pgdat_balanced(node, order, highest_zoneidx)) return;
  reset_isolation_suitable(k, node);
  wakeup_kcompactd(k, node, order, highest_zoneidx);
}
