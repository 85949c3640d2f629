// SPDX-License-Identifier: GPL-2.0-only
/** /proc/zoneinfo (mm/vmstat.c). */
import {
  MAX_NR_ZONES,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
  zone_names,
  type pglist_data,
  type zone,
} from "../../include/linux/mmzone.js";
import {
  NR_FREE_PAGES,
  node_stat_names,
  numa_balancing_stat_names,
  numa_stat_names,
  zone_stat_names,
} from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { MAX_RECLAIM_RETRIES } from "../../mm/page_alloc/slowpath.js";
import { wmark_pages } from "../../mm/page_alloc/watermark.js";
import { printed_node_stat } from "./vmstat.js";

const fls = (n: number): number => 32 - Math.clz32(n);

/** @kernel mm/vmstat.c:calculate_normal_threshold @fidelity mirrored */
function calculate_normal_threshold(k: Machine, z: zone): number {
  return Math.min(125, 2 * fls(k.nr_cpus) * (1 + fls(z.managed_pages >>> 15)));
}

function sizes(z: zone | undefined): string {
  const rows: [string, number][] = [
    ["boost ", z?.watermark_boost ?? 0],
    ["min   ", z ? wmark_pages(z, WMARK_MIN) : 0],
    ["low   ", z ? wmark_pages(z, WMARK_LOW) : 0],
    ["high  ", z ? wmark_pages(z, WMARK_HIGH) : 0],
    ["spanned", z?.spanned_pages ?? 0],
    ["present", z?.present_pages ?? 0],
    ["managed", z?.managed_pages ?? 0],
    ["cma   ", z?.cma_pages ?? 0],
  ];
  let out = `\n  pages free     ${z?.vm_stat[NR_FREE_PAGES] ?? 0}`;
  for (const [name, n] of rows) out += `\n        ${name.padEnd(8)} ${n}`;
  return `${out}\n        protection: (${(z?.lowmem_reserve ?? [0, 0, 0, 0]).join(", ")})`;
}

function show_zone(k: Machine, node: pglist_data, idx: number): string {
  const z = node.node_zones[idx];
  let out = `Node ${node.node_id}, zone ${zone_names[idx]!.padStart(8)}`;
  if (z !== undefined && z === node.node_zones.find((other) => other !== undefined)) {
    out += "\n  per-node stats";
    node_stat_names.forEach((name, item) => {
      out += `\n      ${name.padEnd(12)} ${printed_node_stat(item, node.vm_stat[item]!)}`;
    });
    if (k.config.NUMA_BALANCING === true) for (const name of numa_balancing_stat_names) out += `\n      ${name} 0`;
  }
  out += sizes(z);
  if (z === undefined) return out + "\n";
  zone_stat_names.forEach((name, item) => (out += `\n      ${name.padEnd(12)} ${z.vm_stat[item]!}`));
  numa_stat_names.forEach((name, item) => (out += `\n      ${name.padEnd(12)} ${z.vm_numa_event[item]!}`));
  out += "\n  pagesets";
  z.pageset.forEach((pcp, cpu) => {
    out += `\n    cpu: ${cpu}\n              count: ${pcp.count}\n              high:  ${pcp.high}`;
    out += `\n              batch: ${pcp.batch}\n  vm stats threshold: ${calculate_normal_threshold(k, z)}`;
  });
  const hopeless = node.kswapd_failures >= MAX_RECLAIM_RETRIES ? 1 : 0;
  return `${out}\n  node_unreclaimable:  ${hopeless}\n  start_pfn:           ${z.zone_start_pfn}\n`;
}

/**
 * Zones with their sizes, watermarks, counters and per-CPU lists; zones that a node lacks are empty.
 * @kernel mm/vmstat.c:zoneinfo_show
 * @fidelity simplified: what the model does not count is 0 (docs/FIDELITY.md)
 */
export function zoneinfo_show(k: Machine): string {
  let out = "";
  for (const node of k.nodes) for (let idx = 0; idx < MAX_NR_ZONES; idx++) out += show_zone(k, node, idx);
  return out;
}
