// SPDX-License-Identifier: GPL-2.0-only
/** /proc/vmstat (mm/vmstat.c). */
import {
  node_stat_names,
  NR_ANON_THPS,
  NR_SHMEM_PMDMAPPED,
  NR_SHMEM_THPS,
  NUMA_PTE_UPDATES,
  numa_balancing_event_names,
  numa_balancing_stat_names,
  numa_stat_names,
  PGMIGRATE_SUCCESS,
  vm_event_names,
  zone_stat_names,
} from "../../include/linux/vmstat.js";
import { HPAGE_PMD_NR } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { global_dirty_limits } from "../../mm/page-writeback.js";
import { global_node_page_state, global_zone_page_state } from "../../mm/vmstat.js";

/** Node counters that are kept in pages and printed in huge pages. @kernel include/linux/vmstat.h:vmstat_item_print_in_thp */
const IN_THP = [NR_ANON_THPS, NR_SHMEM_THPS, NR_SHMEM_PMDMAPPED];

/** A node counter as user space sees it. */
export function printed_node_stat(item: number, pages: number): number {
  return IN_THP.includes(item) ? Math.floor(pages / HPAGE_PMD_NR) : pages;
}

/**
 * The counters of zones, nodes and events, one on a line, in the kernel's order.
 * @kernel mm/vmstat.c:vmstat_start, vmstat_show
 * @fidelity simplified: what the model does not count is 0 (docs/FIDELITY.md)
 */
export function vmstat_show(k: Machine): string {
  const lines: string[] = [];
  const { thresh, bg_thresh } = global_dirty_limits(k);
  zone_stat_names.forEach((name, item) => lines.push(`${name} ${global_zone_page_state(k, item)}`));
  numa_stat_names.forEach((name, item) => {
    lines.push(`${name} ${k.zones.reduce((sum, z) => sum + z.vm_numa_event[item]!, 0)}`);
  });
  node_stat_names.forEach((name, item) => {
    lines.push(`${name} ${printed_node_stat(item, global_node_page_state(k, item))}`);
  });
  const balancing = k.config.NUMA_BALANCING === true;
  if (balancing) for (const name of numa_balancing_stat_names) lines.push(`${name} 0`);
  lines.push(`nr_dirty_threshold ${thresh}`, `nr_dirty_background_threshold ${bg_thresh}`);
  vm_event_names.forEach((name, item) => {
    if (balancing && item === PGMIGRATE_SUCCESS) {
      numa_balancing_event_names.forEach((hint, n) => lines.push(`${hint} ${k.vm_events[NUMA_PTE_UPDATES + n]!}`));
    }
    lines.push(`${name} ${k.vm_events[item]!}`);
  });
  lines.push("nr_unstable 0");
  return lines.join("\n") + "\n";
}
