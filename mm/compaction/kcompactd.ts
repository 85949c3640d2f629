// SPDX-License-Identifier: GPL-2.0-only
/** The task of each node that makes blocks of what is free, asked to or by the clock (mm/compaction.c: kcompactd). */
import { GFP_KERNEL } from "../../include/linux/gfp.js";
import { MIGRATE_SYNC, MIGRATE_SYNC_LIGHT } from "../../include/linux/migrate_mode.js";
import { MAX_NR_ZONES, pageblock_order, type pglist_data } from "../../include/linux/mmzone.js";
import { KCOMPACTD_WAKE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL } from "../../uapi/errno.js";
import {
  compact_zone,
  COMPACT_COMPLETE,
  COMPACT_CONTINUE,
  COMPACT_PARTIAL_SKIPPED,
  COMPACT_SUCCESS,
  compaction_defer_reset,
  compaction_deferred,
  compaction_suitable,
  defer_compaction,
  extfrag_for_order,
} from "../compaction.js";
import { drain_all_pages } from "../page_alloc/free.js";
import { lru_add_drain_all } from "../swap.js";
import { count_vm_event } from "../vmstat.js";
import { type compact_wish, kcompactd_request_of, NO_ORDER } from "./control.js";

/** Checks that are left out once proactive compaction did not help. @kernel timeout << COMPACT_MAX_DEFER_SHIFT */
const SKIPPED_CHECKS = (1 << 6) - 1;

const PASS = {
  gfp_mask: GFP_KERNEL,
  mode: MIGRATE_SYNC_LIGHT,
  alloc_flags: 0,
  direct_compaction: false,
  thorough: false,
};

/**
 * Compacts each zone of a node that needs it for the order that was asked for, lowest first.
 * @kernel mm/compaction.c:kcompactd_do_work
 * @fidelity mirrored: once one zone has been gone through from its start, so are those after it
 */
function kcompactd_do_work(k: Machine, node: pglist_data): void {
  const request = kcompactd_request_of(k, node.node_id);
  const { max_order: order, highest_zoneidx } = request;
  const carried = { whole_zone: false, search_order: order, fast_search_fail: 0 };
  count_vm_event(k, KCOMPACTD_WAKE);
  for (let idx = 0; idx <= Math.min(highest_zoneidx, MAX_NR_ZONES - 1); idx++) {
    const z = node.node_zones[idx];
    if (z === undefined || z.managed_pages === 0 || compaction_deferred(z, order)) continue;
    if (compaction_suitable(z, order, 0, idx) !== COMPACT_CONTINUE) continue;
    const status = compact_zone(k, z, { ...PASS, order, highest_zoneidx, carried });
    if (status === COMPACT_SUCCESS) compaction_defer_reset(z, order, false);
    else if (status === COMPACT_PARTIAL_SKIPPED || status === COMPACT_COMPLETE) {
      drain_all_pages(k, z);
      defer_compaction(z, order);
    }
  }
  request.max_order = 0;
  request.highest_zoneidx = MAX_NR_ZONES;
}

/** @kernel mm/compaction.c:kcompactd_node_suitable @fidelity mirrored */
function kcompactd_node_suitable(k: Machine, node: pglist_data): boolean {
  const { max_order, highest_zoneidx } = kcompactd_request_of(k, node.node_id);
  return node.node_zones.some(
    (z, i) =>
      z !== undefined &&
      i <= highest_zoneidx &&
      z.managed_pages > 0 &&
      compaction_suitable(z, max_order, 0, highest_zoneidx) === COMPACT_CONTINUE,
  );
}

/**
 * Has kcompactd look after a node that lacks blocks of an order. It does so at once, before the caller goes on, or with
 * `kcompactd_stepped` when it gets its next turn.
 * @kernel mm/compaction.c:wakeup_kcompactd
 * @fidelity simplified: as a task of higher priority would, or none at all
 */
export function wakeup_kcompactd(k: Machine, node: pglist_data, order: number, highest_zoneidx: number): void {
  if (order === 0) return;
  const request = kcompactd_request_of(k, node.node_id);
  request.max_order = Math.max(request.max_order, order);
  request.highest_zoneidx = Math.min(request.highest_zoneidx, highest_zoneidx);
  if (k.config.kcompactd_stepped !== true && kcompactd_node_suitable(k, node)) kcompactd_do_work(k, node);
}

/** How fragmented a node is for huge pages, 0 … 100: its zones by their size. @kernel mm/compaction.c:fragmentation_score_node @fidelity mirrored */
function fragmentation_score_node(node: pglist_data): number {
  const present = node.node_zones.reduce((n, z) => n + (z?.present_pages ?? 0), 0);
  let score = 0;
  for (const z of node.node_zones) {
    if (z === undefined) continue;
    score += Math.floor((z.present_pages * extfrag_for_order(z, pageblock_order)) / (present + 1));
  }
  return score;
}

/** Compacts each zone of a node, whatever blocks it has. */
function compact_whole(k: Machine, node: pglist_data, how: Pick<compact_wish, "mode" | "proactive_score_low">): void {
  for (const z of node.node_zones) {
    if (z === undefined || z.managed_pages === 0) continue;
    compact_zone(k, z, { ...PASS, ...how, order: NO_ORDER, highest_zoneidx: 0 });
  }
}

/**
 * Compacts a node that nobody asked for, if it is more fragmented than the system is to be; whether it did.
 * @kernel mm/compaction.c:should_proactive_compact_node, proactive_compact_node
 * @fidelity mirrored
 */
function proactive_compact_node(k: Machine, node: pglist_data): boolean {
  const proactiveness = k.config.compaction_proactiveness ?? 20;
  const low = Math.max(100 - proactiveness, 5);
  const before = fragmentation_score_node(node);
  if (proactiveness === 0 || before <= Math.min(low + 10, 100)) return false;
  compact_whole(k, node, { mode: MIGRATE_SYNC_LIGHT, proactive_score_low: low });
  if (fragmentation_score_node(node) >= before) kcompactd_request_of(k, node.node_id).skip = SKIPPED_CHECKS;
  return true;
}

/** One turn of a node's kcompactd; whether it has compacted. */
function kcompactd_turn(k: Machine, node: pglist_data): boolean {
  const request = kcompactd_request_of(k, node.node_id);
  if (request.max_order > 0 && !request.proactive_compact_trigger) {
    kcompactd_do_work(k, node);
    request.skip = 0;
    return true;
  }
  if (request.skip > 0 && !request.proactive_compact_trigger) {
    request.skip--;
    return false;
  }
  request.proactive_compact_trigger = false;
  request.skip = 0;
  const compacted = proactive_compact_node(k, node);
  return request.max_order > 0 ? kcompactd_turn(k, node) : compacted;
}

/**
 * A turn of each node's kcompactd: what it was woken for, or else (half a second has gone by) a look whether the node is
 * too fragmented.
 * @kernel mm/compaction.c:kcompactd
 * @fidelity simplified: time is the turns that a test gives it
 * @returns how many nodes it has compacted
 */
export function kcompactd(k: Machine): number {
  return k.nodes.filter((node) => kcompactd_turn(k, node)).length;
}

/**
 * Writes vm.compaction_proactiveness: every kcompactd looks at once, or with `kcompactd_stepped` when it gets its turn.
 * @kernel mm/compaction.c:compaction_proactiveness_sysctl_handler
 * @fidelity mirrored
 * @returns 0 or -EINVAL
 */
export function compaction_proactiveness_sysctl_handler(k: Machine, proactiveness: number): number {
  if (proactiveness < 0 || proactiveness > 100) return -EINVAL;
  k.config.compaction_proactiveness = proactiveness;
  if (proactiveness === 0) return 0;
  for (const node of k.nodes) kcompactd_request_of(k, node.node_id).proactive_compact_trigger = true;
  if (k.config.kcompactd_stepped !== true) kcompactd(k);
  return 0;
}

/**
 * Writes vm.compact_memory, whatever: all zones are compacted from end to end.
 * @kernel mm/compaction.c:sysctl_compaction_handler, compact_nodes
 * @fidelity mirrored
 */
export function sysctl_compaction_handler(k: Machine): void {
  lru_add_drain_all(k);
  for (const node of k.nodes) compact_whole(k, node, { mode: MIGRATE_SYNC });
}
