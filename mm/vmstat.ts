// SPDX-License-Identifier: GPL-2.0-only
/** Counters of zones, nodes and events (mm/vmstat.c). One CPU's worth: there is no per-CPU drift to fold. */
import { folio_nr_pages, page_test, page_zone } from "../include/linux/mem_map.js";
import type { pglist_data, zone } from "../include/linux/mmzone.js";
import { PG_swapbacked } from "../include/linux/page-flags.js";
import { NR_ISOLATED_ANON, NR_ISOLATED_FILE } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";

/**
 * Adds `n` pages to a zone counter.
 * @kernel mm/vmstat.c:__mod_zone_page_state
 * @fidelity simplified: counters are exact at once, not folded from per-CPU differences
 */
export function __mod_zone_page_state(zone: zone, item: number, n: number): void {
  zone.vm_stat[item]! += n;
}

/**
 * Adds `n` pages (or bytes, as the item counts) to a node counter.
 * @kernel mm/vmstat.c:__mod_node_page_state
 * @fidelity simplified: counters are exact at once, not folded from per-CPU differences
 */
export function __mod_node_page_state(node: pglist_data, item: number, n: number): void {
  node.vm_stat[item]! += n;
}

/** Counts a page, or huge page by its head, as isolated from the LRU of its node, or with -1 as no longer so. */
export function mod_isolated(k: Machine, pfn: number, sign: 1 | -1): void {
  const item = page_test(k.mem, pfn, PG_swapbacked) ? NR_ISOLATED_ANON : NR_ISOLATED_FILE;
  __mod_node_page_state(k.nodes[page_zone(k.mem, pfn).node]!, item, sign * folio_nr_pages(k.mem, pfn));
}

/** A zone counter, in pages. @kernel include/linux/vmstat.h:zone_page_state @fidelity mirrored */
export function zone_page_state(zone: zone, item: number): number {
  return zone.vm_stat[item]!;
}

/** A node counter. @kernel mm/vmstat.c:node_page_state @fidelity mirrored */
export function node_page_state(node: pglist_data, item: number): number {
  return node.vm_stat[item]!;
}

/** Counts one event. @kernel include/linux/vmstat.h:count_vm_event @fidelity mirrored */
export function count_vm_event(k: Machine, item: number): void {
  k.vm_events[item]!++;
}

/** Counts `n` events. @kernel include/linux/vmstat.h:count_vm_events @fidelity mirrored */
export function count_vm_events(k: Machine, item: number, n: number): void {
  k.vm_events[item]! += n;
}

/** A zone counter summed over all zones, in pages. @kernel include/linux/vmstat.h:global_zone_page_state @fidelity mirrored */
export function global_zone_page_state(k: Machine, item: number): number {
  let sum = 0;
  for (const z of k.zones) sum += z.vm_stat[item]!;
  return sum;
}

/** A node counter summed over all nodes. @kernel include/linux/vmstat.h:global_node_page_state @fidelity mirrored */
export function global_node_page_state(k: Machine, item: number): number {
  let sum = 0;
  for (const n of k.nodes) sum += n.vm_stat[item]!;
  return sum;
}
