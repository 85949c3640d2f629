// SPDX-License-Identifier: GPL-2.0-only
/** What the allocator works out once from the sizes of the zones (mm/page_alloc.c). */
import {
  MAX_NR_ZONES,
  NR_PCP_LISTS,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
  ZONE_DMA,
  ZONE_DMA32,
  ZONE_NORMAL,
  per_cpu_pages,
  type pglist_data,
  type zone,
} from "../../include/linux/mmzone.js";
import { NR_ACTIVE_FILE, NR_FREE_PAGES, NR_INACTIVE_FILE, NR_SLAB_RECLAIMABLE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { drain_all_pages } from "./free.js";
import { global_node_page_state, global_zone_page_state } from "../vmstat.js";

/** sysctl vm.watermark_scale_factor: parts in 10000 of a zone. */
const watermark_scale_factor = 10;

/** Machines below 1 MiB, which no kernel runs on, hold nothing back. */
const NO_RESERVE_BELOW = 256;

function lowmem_reserve_ratio(idx: number): number {
  if (idx === ZONE_DMA || idx === ZONE_DMA32) return 256;
  return idx === ZONE_NORMAL ? 32 : 0;
}

/**
 * Pages that kernel and user requests other than for movable memory can have, above the high watermarks.
 * @kernel mm/page_alloc.c:nr_free_buffer_pages
 * @fidelity mirrored
 */
export function nr_free_buffer_pages(k: Machine): number {
  let sum = 0;
  for (const z of k.zones) {
    const high = z._watermark[WMARK_HIGH]! + z.watermark_boost;
    if (z.idx <= ZONE_NORMAL) sum += Math.max(z.managed_pages - high, 0);
  }
  return sum;
}

/**
 * Sets vm.min_free_kbytes by the size of memory, unless the administrator has set it higher.
 * @kernel mm/page_alloc.c:calculate_min_free_kbytes
 * @fidelity simplified: 0 for a machine below 1 MiB
 */
export function calculate_min_free_kbytes(k: Machine): void {
  const pages = nr_free_buffer_pages(k);
  const kbytes = Math.floor(Math.sqrt(pages * 4 * 16));
  if (pages < NO_RESERVE_BELOW) k.min_free_kbytes = 0;
  else if (kbytes > k.user_min_free_kbytes) k.min_free_kbytes = Math.min(Math.max(kbytes, 128), 262144);
}

/**
 * Sets the min, low and high watermarks of all zones, and by them the sizes of the per-CPU lists.
 * @kernel mm/page_alloc.c:setup_per_zone_wmarks
 * @fidelity mirrored
 */
export function setup_per_zone_wmarks(k: Machine): void {
  let lowmem_pages = 0;
  for (const z of k.zones) lowmem_pages += z.managed_pages;
  const pages_min = k.min_free_kbytes >> 2;
  for (const z of k.zones) {
    const min = Math.floor((pages_min * z.managed_pages) / Math.max(lowmem_pages, 1));
    const gap = Math.max(min >> 2, Math.floor((z.managed_pages * watermark_scale_factor) / 10000));
    z.watermark_boost = 0;
    z._watermark[WMARK_MIN] = min;
    z._watermark[WMARK_LOW] = min + gap;
    z._watermark[WMARK_HIGH] = min + 2 * gap;
    zone_set_pageset_high_and_batch(k, z);
  }
}

/**
 * Writes vm.min_free_kbytes.
 * @kernel mm/page_alloc.c:min_free_kbytes_sysctl_handler
 * @fidelity mirrored
 */
export function min_free_kbytes_sysctl_handler(k: Machine, kbytes: number): void {
  k.user_min_free_kbytes = k.min_free_kbytes = kbytes;
  setup_per_zone_wmarks(k);
}

/**
 * Pages that dirty and available memory are counted without: high watermarks, and what zones hold back.
 * @kernel mm/page_alloc.c:calculate_totalreserve_pages
 * @fidelity mirrored; worked out when asked for
 */
export function totalreserve_pages(k: Machine): number {
  let sum = 0;
  for (const z of k.zones) {
    const held = Math.max(...z.lowmem_reserve.slice(z.idx));
    sum += Math.min(held + z._watermark[WMARK_HIGH]! + z.watermark_boost, z.managed_pages);
  }
  return sum;
}

/**
 * Sets what each zone holds back from requests that would rather have had a higher zone, in pages.
 * @kernel mm/page_alloc.c:setup_per_zone_lowmem_reserve
 * @fidelity mirrored
 */
export function setup_per_zone_lowmem_reserve(node: pglist_data): void {
  for (let i = 0; i < MAX_NR_ZONES - 1; i++) {
    const z = node.node_zones[i];
    if (z === undefined) continue;
    const ratio = lowmem_reserve_ratio(i);
    let managed_pages = 0;
    for (let j = i + 1; j < MAX_NR_ZONES; j++) {
      managed_pages += node.node_zones[j]?.managed_pages ?? 0;
      z.lowmem_reserve[j] = ratio === 0 || z.managed_pages === 0 ? 0 : Math.floor(managed_pages / ratio);
    }
  }
}

/**
 * How many pages a per-CPU list is filled with at a time.
 * @kernel mm/page_alloc.c:zone_batchsize
 * @fidelity mirrored
 */
export function zone_batchsize(z: zone): number {
  const batch = Math.max(1, Math.floor(Math.min(z.managed_pages >>> 10, 256) / 4));
  return 2 ** Math.floor(Math.log2(batch + (batch >>> 1))) - 1;
}

/**
 * How many pages a CPU may keep before it gives some back.
 * @kernel mm/page_alloc.c:zone_highsize
 * @fidelity mirrored
 */
function zone_highsize(k: Machine, z: zone, batch: number): number {
  return Math.max(Math.floor(z._watermark[WMARK_LOW]! / k.nr_cpus), batch << 2);
}

/**
 * Makes a zone's per-CPU lists, or sets their sizes anew. `batch` in pages, for want of which it is worked out.
 * @kernel mm/page_alloc.c:zone_set_pageset_high_and_batch
 * @fidelity mirrored
 */
export function zone_set_pageset_high_and_batch(k: Machine, z: zone, batch?: number): void {
  const new_batch = batch ?? Math.max(1, zone_batchsize(z));
  for (let cpu = 0; cpu < k.nr_cpus; cpu++) {
    const pcp = (z.pageset[cpu] ??= new per_cpu_pages(NR_PCP_LISTS));
    pcp.batch = new_batch;
    pcp.high = zone_highsize(k, z, new_batch);
  }
}

/** Sizes of per-CPU lists, in pages. */
export interface pcp_sizes {
  readonly high: number;
  readonly batch: number;
}

/**
 * Empties a zone's per-CPU lists and keeps them empty until {@link zone_pcp_enable}; says how large they were.
 * @kernel mm/page_alloc.c:zone_pcp_disable
 * @fidelity mirrored
 */
export function zone_pcp_disable(k: Machine, z: zone): pcp_sizes {
  const { high, batch } = z.pageset[0]!;
  zone_pcp_enable(z, { high: 0, batch: 1 });
  drain_all_pages(k, z);
  return { high, batch };
}

/** Gives a zone's per-CPU lists their sizes back. @kernel mm/page_alloc.c:zone_pcp_enable @fidelity mirrored */
export function zone_pcp_enable(z: zone, sizes: pcp_sizes): void {
  for (const pcp of z.pageset) Object.assign(pcp, sizes);
}

/**
 * For each highest zone that a request may use: the zones from there down, those of the request's own node first.
 * @kernel mm/page_alloc.c:build_zonelists
 * @fidelity mirrored for up to two nodes
 */
export function build_zonelists(k: Machine): void {
  for (const node of k.nodes) {
    const order = [node, ...k.nodes.filter((n) => n !== node)];
    for (let highest = 0; highest < MAX_NR_ZONES; highest++) {
      const list: zone[] = [];
      for (const n of order) {
        for (let i = highest; i >= 0; i--) {
          const z = n.node_zones[i];
          if (z !== undefined && z.managed_pages > 0) list.push(z);
        }
      }
      node.node_zonelists[highest] = list;
      node.nofallback_zonelists[highest] = list.filter((z) => z.node === node.node_id);
    }
  }
}

/**
 * Pages that a program could have without making the machine swap, by the kernel's guess.
 * @kernel mm/page_alloc.c:si_mem_available
 * @fidelity mirrored
 */
export function si_mem_available(k: Machine): number {
  const node = (item: number): number => global_node_page_state(k, item);
  const wmark_low = k.zones.reduce((sum, z) => sum + z._watermark[WMARK_LOW]! + z.watermark_boost, 0);
  const pagecache = node(NR_ACTIVE_FILE) + node(NR_INACTIVE_FILE);
  const reclaimable = node(NR_SLAB_RECLAIMABLE);
  const available =
    global_zone_page_state(k, NR_FREE_PAGES) -
    totalreserve_pages(k) +
    pagecache -
    Math.min(pagecache >>> 1, wmark_low) +
    reclaimable -
    Math.min(reclaimable >>> 1, wmark_low);
  return Math.max(available, 0);
}
