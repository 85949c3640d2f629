// SPDX-License-Identifier: GPL-2.0-only
/** One pass over the LRU lists of a node (mm/vmscan.c: shrink_node and what it calls). */
import { PFN_SECTION_MASK, page_test } from "../../include/linux/mem_map.js";
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  NULL_PFN,
  WMARK_HIGH,
  type pglist_data,
} from "../../include/linux/mmzone.js";
import { PG_active, PG_head, PG_workingset } from "../../include/linux/page-flags.js";
import { get_nr_swap_pages, SWAP_CLUSTER_MAX, total_swap_pages } from "../../include/linux/swap.js";
import { PAGE_SHIFT } from "../../include/linux/types.js";
import {
  NR_FREE_PAGES,
  PGDEACTIVATE,
  PGREFILL,
  PGSCAN_DIRECT,
  PGSCAN_KSWAPD,
  PGSTEAL_DIRECT,
  PGSTEAL_KSWAPD,
  WORKINGSET_ACTIVATE_BASE,
} from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { wmark_pages } from "../page_alloc/watermark.js";
import { end_swap_writes } from "../page_io.js";
import { folio_referenced } from "../rmap/unmap.js";
import { folio_evictable, folio_isolate_lru, folio_putback_lru, lru_add_drain } from "../swap.js";
import { lru_note_cost } from "../swap/lruvec.js";
import { count_vm_event, count_vm_events } from "../vmstat.js";
import { workingset_age_nonresident } from "../workingset.js";
import { shrink_folio_list, type scan_control } from "./shrink_folio.js";
import { shrink_slab } from "./shrinker.js";

export const DEF_PRIORITY = 12;
/** vm.swappiness, out of 200: how much reclaim leans towards anonymous memory. */
const SWAPPINESS = 60;

/** Takes up to `nr` pages off the tail of an LRU list, in that order. @kernel mm/vmscan.c:isolate_lru_folios */
function isolate_lru_folios(k: Machine, node: pglist_data, lru: number, nr: number): number[] {
  const taken: number[] = [];
  const list = node.__lruvec.lists[lru]!;
  while (taken.length < nr && list.tail !== NULL_PFN) {
    const pfn = list.tail;
    if (!folio_isolate_lru(k, pfn)) break;
    taken.push(pfn);
  }
  return taken;
}

/** @kernel mm/vmscan.c:shrink_active_list @fidelity simplified: the oldest pages become inactive, used or not */
function shrink_active_list(k: Machine, node: pglist_data, lru: number, nr: number): void {
  const pfns = isolate_lru_folios(k, node, lru, nr);
  count_vm_events(k, PGREFILL, pfns.length);
  for (const pfn of pfns) {
    const { flags } = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (!folio_evictable(k.mem, pfn)) {
      folio_putback_lru(k, pfn);
      continue;
    }
    if (lru === LRU_ACTIVE_ANON && !page_test(k.mem, pfn, PG_head)) folio_referenced(k, pfn);
    flags[i] = (flags[i]! & ~PG_active) | PG_workingset;
    count_vm_event(k, PGDEACTIVATE);
    folio_putback_lru(k, pfn);
  }
}

/** Reclaims some of the oldest pages of an inactive list. @kernel mm/vmscan.c:shrink_inactive_list */
function shrink_inactive_list(k: Machine, node: pglist_data, lru: number, nr: number, sc: scan_control): number {
  const pfns = isolate_lru_folios(k, node, lru, Math.min(nr, SWAP_CLUSTER_MAX));
  if (pfns.length === 0) return 0;
  const { nr_pageout, nr_activated } = sc;
  const freed = shrink_folio_list(k, pfns.reverse(), sc);
  workingset_age_nonresident(node, sc.nr_activated - nr_activated);
  lru_note_cost(node, lru === LRU_INACTIVE_FILE ? 1 : 0, sc.nr_pageout - nr_pageout);
  count_vm_events(k, sc.kswapd ? PGSCAN_KSWAPD : PGSCAN_DIRECT, pfns.length);
  count_vm_events(k, sc.kswapd ? PGSTEAL_KSWAPD : PGSTEAL_DIRECT, freed);
  return pfns.length;
}

/** Are there too few inactive pages of a kind? @kernel mm/vmscan.c:inactive_is_low @fidelity mirrored */
function inactive_is_low(node: pglist_data, inactive_lru: number): boolean {
  const { lists } = node.__lruvec;
  const [inactive, active] = [lists[inactive_lru]!.nr, lists[inactive_lru + 1]!.nr];
  const gb = (inactive + active) >>> (30 - PAGE_SHIFT);
  const ratio = gb === 0 ? 1 : Math.floor(Math.sqrt(10 * gb));
  return inactive * ratio < active;
}

/**
 * Is the active list of a kind (1: files) to give pages to the inactive one: is that short, or did pages come back since
 * the last reclaim that were missed?
 * @kernel mm/vmscan.c:prepare_scan_count (may_deactivate)
 * @fidelity mirrored
 */
function may_deactivate(node: pglist_data, file: 0 | 1): boolean {
  const refaults = node.vm_stat[WORKINGSET_ACTIVATE_BASE + file]!;
  return (
    refaults !== node.__lruvec.refaults[file] || inactive_is_low(node, file ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON)
  );
}

/** Reclaim is over: refaults so far are old ones. @kernel mm/vmscan.c:snapshot_refaults @fidelity mirrored */
export function snapshot_refaults(node: pglist_data): void {
  const { refaults } = node.__lruvec;
  for (const file of [0, 1] as const) refaults[file] = node.vm_stat[WORKINGSET_ACTIVATE_BASE + file]!;
}

/** Are there hardly any pages of files, and enough anonymous ones? @kernel mm/vmscan.c:prepare_scan_count (end) */
function file_is_tiny(node: pglist_data, priority: number): boolean {
  const { lists } = node.__lruvec;
  let free = 0;
  let total_high_wmark = 0;
  for (const z of node.node_zones) {
    if (z === undefined || z.managed_pages === 0) continue;
    free += z.vm_stat[NR_FREE_PAGES]!;
    total_high_wmark += wmark_pages(z, WMARK_HIGH);
  }
  const file = lists[LRU_ACTIVE_FILE]!.nr + lists[LRU_INACTIVE_FILE]!.nr;
  return file + free <= total_high_wmark && !may_deactivate(node, 0) && lists[LRU_INACTIVE_ANON]!.nr >>> priority > 0;
}

/**
 * Which share of its lists a pass looks at: of anonymous pages and of files. What has cost less of late gets more.
 * @kernel mm/vmscan.c:get_scan_count
 * @fidelity simplified: swappiness 60; of inactive lists a page more, of active ones the share once those were scanned
 */
function get_scan_count(k: Machine, node: pglist_data, priority: number): readonly [anon: number, file: number] {
  if (get_nr_swap_pages(k) <= 0) return [0, 1];
  if (priority === 0) return [1, 1];
  if (file_is_tiny(node, priority)) return [1, 0];
  const { lists, anon_cost, file_cost } = node.__lruvec;
  if (lists[LRU_INACTIVE_FILE]!.nr >>> priority > 0 && !may_deactivate(node, 1)) return [0, 1];
  const total_cost = anon_cost + file_cost;
  const ap = Math.floor((SWAPPINESS * (3 * total_cost + 1)) / (total_cost + anon_cost + 1));
  const fp = Math.floor(((200 - SWAPPINESS) * (3 * total_cost + 1)) / (total_cost + file_cost + 1));
  return [ap / (ap + fp), fp / (ap + fp)];
}

/** Pages of a list that a pass looks at. */
function to_scan(nr: number, priority: number, share: number): number {
  if (share === 0) return 0;
  const scan = Math.ceil((nr >>> priority) * share);
  return scan === 0 && priority < DEF_PRIORITY - 2 ? Math.min(nr, SWAP_CLUSTER_MAX) : scan;
}

/**
 * One pass over a node's lists: the 2^priority-th part of them.
 * @kernel mm/vmscan.c:shrink_node, shrink_lruvec
 * @fidelity simplified: one list after the other until enough is reclaimed; no memory cgroups
 */
export function shrink_node(k: Machine, node: pglist_data, priority: number, sc: scan_control): void {
  lru_add_drain(k);
  const { lists } = node.__lruvec;
  const before = sc.nr_reclaimed;
  const [anon, file] = get_scan_count(k, node, priority);
  const active = [may_deactivate(node, 0), may_deactivate(node, 1)] as const;
  let nr_anon = to_scan(lists[LRU_INACTIVE_ANON]!.nr, priority, anon);
  let nr_file = to_scan(lists[LRU_INACTIVE_FILE]!.nr, priority, file);
  while (nr_anon + nr_file > 0 && sc.nr_reclaimed < SWAP_CLUSTER_MAX) {
    const anon_scanned = nr_anon > 0 ? shrink_inactive_list(k, node, LRU_INACTIVE_ANON, nr_anon, sc) : 0;
    const file_scanned = nr_file > 0 ? shrink_inactive_list(k, node, LRU_INACTIVE_FILE, nr_file, sc) : 0;
    nr_anon -= anon_scanned;
    nr_file -= file_scanned;
    if (anon_scanned + file_scanned === 0) break;
  }
  end_swap_writes(k);
  if (sc.nr_reclaimed > before) node.kswapd_failures = 0;
  const active_share = (lru: number, share: number): number => Math.floor((lists[lru]!.nr >>> priority) * share);
  if (active[0]) shrink_active_list(k, node, LRU_ACTIVE_ANON, active_share(LRU_ACTIVE_ANON, anon));
  if (active[1]) shrink_active_list(k, node, LRU_ACTIVE_FILE, active_share(LRU_ACTIVE_FILE, file));
  if (total_swap_pages(k) > 0 && inactive_is_low(node, LRU_INACTIVE_ANON)) {
    shrink_active_list(k, node, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX);
  }
  shrink_slab(k, priority);
}
