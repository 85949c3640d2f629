// SPDX-License-Identifier: GPL-2.0-only
/** Bringing a memory block online, and in which zone (mm/memory_hotplug.c). */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { MMOP_ONLINE_KERNEL, MMOP_ONLINE_MOVABLE, memory_blocks_of } from "../../include/linux/memory_hotplug.js";
import {
  MAX_ORDER,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  ZONE_MOVABLE,
  ZONE_NORMAL,
  pageblock_nr_pages,
  pageblock_order,
  zone,
} from "../../include/linux/mmzone.js";
import { NR_VM_ZONE_STAT_ITEMS } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { forget_zone } from "../compaction/control.js";
import { hugepage_flags_enabled } from "../huge_memory/policy.js";
import { set_recommended_min_free_kbytes } from "../khugepaged.js";
import { __free_pages_ok } from "../page_alloc/free.js";
import { FPI_TO_TAIL } from "../page_alloc/freelist.js";
import {
  build_zonelists,
  calculate_min_free_kbytes,
  setup_per_zone_lowmem_reserve,
  setup_per_zone_wmarks,
} from "../page_alloc/setup.js";
import { undo_isolate_page_range } from "../page_isolation.js";

/**
 * Sets watermarks, reserves and per-CPU lists by what memory there is now.
 * @kernel mm/page_alloc.c:init_per_zone_wmark_min
 * @fidelity mirrored
 */
export function init_per_zone_wmark_min(k: Machine): void {
  calculate_min_free_kbytes(k);
  setup_per_zone_wmarks(k);
  for (const node of k.nodes) setup_per_zone_lowmem_reserve(node);
  if (hugepage_flags_enabled(k)) set_recommended_min_free_kbytes(k);
}

/** A zone of the node, which may have no pages yet. */
function zone_of(k: Machine, nid: number, idx: number): zone {
  const { node_zones } = k.nodes[nid]!;
  let z = node_zones[idx];
  if (z === undefined) {
    node_zones[idx] = z = new zone(idx, nid, 0, 0, NR_VM_ZONE_STAT_ITEMS);
    k.zones.push(z);
  }
  return z;
}

/** Do the page frames [start_pfn, start_pfn + nr_pages) reach into a zone? @kernel include/linux/mmzone.h:zone_intersects */
function zone_intersects(z: zone | undefined, start_pfn: number, nr_pages: number): boolean {
  if (z === undefined || z.spanned_pages === 0) return false;
  return start_pfn < z.zone_start_pfn + z.spanned_pages && start_pfn + nr_pages > z.zone_start_pfn;
}

/** Index of the kernel's zone for page frames: ZONE_NORMAL if no other reaches there. @kernel mm/memory_hotplug.c:default_kernel_zone_for_pfn */
function default_kernel_zone_for_pfn(k: Machine, nid: number, start_pfn: number, nr_pages: number): number {
  const at = k.nodes[nid]!.node_zones.findIndex((z) => zone_intersects(z, start_pfn, nr_pages));
  return at >= 0 && at < ZONE_NORMAL ? at : ZONE_NORMAL;
}

/** @kernel mm/memory_hotplug.c:default_zone_for_pfn @fidelity mirrored: without movable_node */
function default_zone_for_pfn(k: Machine, nid: number, start_pfn: number, nr_pages: number): number {
  const { node_zones } = k.nodes[nid]!;
  const kernel = default_kernel_zone_for_pfn(k, nid, start_pfn, nr_pages);
  const in_kernel = zone_intersects(node_zones[kernel], start_pfn, nr_pages);
  const in_movable = zone_intersects(node_zones[ZONE_MOVABLE], start_pfn, nr_pages);
  return in_movable && !in_kernel ? ZONE_MOVABLE : kernel;
}

/**
 * Index of the zone that a block would be brought online in.
 * @kernel mm/memory_hotplug.c:zone_for_pfn_range
 * @fidelity mirrored: online_policy contig-zones
 * @param online_type MMOP_ONLINE…
 */
export function zone_for_pfn_range(
  k: Machine,
  online_type: number,
  nid: number,
  start_pfn: number,
  nr_pages: number,
): number {
  if (online_type === MMOP_ONLINE_KERNEL) return default_kernel_zone_for_pfn(k, nid, start_pfn, nr_pages);
  if (online_type === MMOP_ONLINE_MOVABLE) return ZONE_MOVABLE;
  return default_zone_for_pfn(k, nid, start_pfn, nr_pages);
}

/** Makes page frames part of a zone. @kernel mm/memory_hotplug.c:move_pfn_range_to_zone @fidelity mirrored */
function move_pfn_range_to_zone(k: Machine, z: zone, start_pfn: number, nr_pages: number): void {
  const end = Math.max(start_pfn + nr_pages, z.zone_start_pfn + z.spanned_pages);
  if (z.spanned_pages === 0 || start_pfn < z.zone_start_pfn) z.zone_start_pfn = start_pfn;
  z.spanned_pages = end - z.zone_start_pfn;
  const first = start_pfn >>> pageblock_order;
  const last = (start_pfn + nr_pages) >>> pageblock_order;
  k.mem.pageblock_zone.fill(k.zones.indexOf(z), first, last);
  k.mem.pageblock_flags.fill(MIGRATE_ISOLATE, first, last);
  forget_zone(k, z);
}

/** Gives the pages to the allocator, in blocks as large as they come. @kernel mm/memory_hotplug.c:online_pages_range, mm/page_alloc.c:__free_pages_core */
function online_pages_range(k: Machine, z: zone, start_pfn: number, nr_pages: number): void {
  for (let pfn = start_pfn; pfn < start_pfn + nr_pages;) {
    const order = Math.min(MAX_ORDER - 1, 31 - Math.clz32(pfn & -pfn));
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    s.flags.fill(0, i, i + (1 << order));
    for (let j = i; j < i + (1 << order); j++) s.setRefs(j, 0);
    z.managed_pages += 1 << order;
    k.totalram_pages += 1 << order;
    __free_pages_ok(k, pfn, order, FPI_TO_TAIL);
    pfn += 1 << order;
  }
}

/**
 * Brings a memory block online as part of a zone.
 * @kernel mm/memory_hotplug.c:online_pages
 * @fidelity simplified: nobody is notified, so nobody objects
 * @param idx index of the zone
 */
export function online_pages(k: Machine, start_pfn: number, nr_pages: number, nid: number, idx: number): zone {
  const z = zone_of(k, nid, idx);
  move_pfn_range_to_zone(k, z, start_pfn, nr_pages);
  z.nr_isolate_pageblock += nr_pages / pageblock_nr_pages;
  const populated = z.present_pages > 0;
  if (!populated) setup_per_zone_wmarks(k);
  online_pages_range(k, z, start_pfn, nr_pages);
  z.present_pages += nr_pages;
  memory_blocks_of(k).nr_offline--;
  if (!populated) build_zonelists(k);
  undo_isolate_page_range(k, start_pfn, start_pfn + nr_pages, MIGRATE_MOVABLE);
  init_per_zone_wmark_min(k);
  return z;
}
