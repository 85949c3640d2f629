// SPDX-License-Identifier: GPL-2.0-only
/** Finding free slots in one swap area (mm/swapfile.c: scan_swap_map_slots and the clusters of solid-state areas). */
import {
  SWAP_ADDRESS_SPACE_SHIFT,
  SWAP_HAS_CACHE,
  SWAPFILE_CLUSTER,
  SWP_WRITEOK,
  swap_state_of,
  vm_swap_full,
  type swap_clusters,
  type swap_info_struct,
} from "../../include/linux/swap.js";
import { swp_entry, type swp_entry_t } from "../../include/linux/swapops.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import type { Machine } from "../../include/machine.js";
import { __try_to_reclaim_swap, TTRS_ANYWAY } from "../swapfile.js";

/** Slots looked at before a scan that has found some contents itself with them. */
const LATENCY_LIMIT = 256;

function cluster_is_free(c: swap_clusters, cluster: number): boolean {
  return c.count[cluster] === 0;
}

/** Takes the first free cluster off the list. @kernel mm/swapfile.c:alloc_cluster */
function alloc_cluster(c: swap_clusters, cluster: number): void {
  VM_BUG_ON(c.free[0] !== cluster, "a cluster is taken that is not the first free one");
  c.free.shift();
}

/** Counts a slot of a cluster as used; one that was free leaves the list. @kernel mm/swapfile.c:inc_cluster_info_page */
function inc_cluster_info_page(c: swap_clusters, offset: number): void {
  const cluster = Math.floor(offset / c.size);
  if (cluster_is_free(c, cluster)) alloc_cluster(c, cluster);
  c.count[cluster]!++;
}

/**
 * A whole cluster for a huge page, which the swap cache has from now on.
 * @kernel mm/swapfile.c:swap_alloc_cluster
 * @fidelity mirrored
 * @returns the entry of its first slot, none where no cluster is free
 */
export function swap_alloc_cluster(k: Machine, si: swap_info_struct): swp_entry_t[] {
  const c = si.cluster_info;
  const cluster = c?.free[0];
  if (c === null || cluster === undefined) return [];
  const offset = cluster * c.size;
  alloc_cluster(c, cluster);
  c.count[cluster] = c.size;
  c.huge[cluster] = 1;
  si.swap_map.fill(SWAP_HAS_CACHE, offset, offset + c.size);
  swap_range_alloc(k, si, offset, c.size);
  return [swp_entry(si.type, offset)];
}

/** A cluster that a huge page had becomes free, if nobody has any of its slots. @kernel mm/swapfile.c:swap_free_cluster */
export function swap_free_cluster(si: swap_info_struct, c: swap_clusters, cluster: number): void {
  const offset = cluster * c.size;
  si.swap_map.fill(0, offset, offset + c.size);
  c.count[cluster] = 0;
  c.free.push(cluster);
}

/** Counts a slot of a cluster as free; a cluster without any in use goes to the end of the list. @kernel mm/swapfile.c:dec_cluster_info_page */
export function dec_cluster_info_page(c: swap_clusters, offset: number): void {
  const cluster = Math.floor(offset / c.size);
  if (--c.count[cluster]! === 0) c.free.push(cluster);
}

/** Would taking this slot break into a free cluster that is not the next to be taken? */
function scan_swap_map_ssd_cluster_conflict(k: Machine, c: swap_clusters, offset: number): boolean {
  const cluster = Math.floor(offset / c.size);
  const conflict = c.free.length > 0 && c.free[0] !== cluster && cluster_is_free(c, cluster);
  if (conflict) c.index[k.cpu] = -1;
  return conflict;
}

/** The next slot of the running CPU's cluster, or of a free one that becomes it; -1 where there is none. */
function scan_swap_map_try_ssd_cluster(k: Machine, si: swap_info_struct, c: swap_clusters): number {
  for (;;) {
    if (c.index[k.cpu]! < 0) {
      if (c.free.length === 0) return -1;
      c.index[k.cpu] = c.free[0]!;
      c.next[k.cpu] = c.free[0]! * c.size;
    }
    let offset = c.next[k.cpu]!;
    const max = Math.min(si.max, (c.index[k.cpu]! + 1) * c.size);
    while (offset < max && si.swap_map[offset] !== 0) offset++;
    if (offset < max) {
      c.next[k.cpu] = offset + 1;
      return offset;
    }
    c.index[k.cpu] = -1;
  }
}

function swap_range_alloc(k: Machine, si: swap_info_struct, offset: number, nr: number): void {
  if (offset === si.lowest_bit) si.lowest_bit += nr;
  if (offset + nr - 1 === si.highest_bit) si.highest_bit -= nr;
  si.inuse_pages += nr;
  if (si.inuse_pages < si.pages) return;
  si.lowest_bit = si.max;
  si.highest_bit = 0;
  const st = swap_state_of(k);
  st.swap_avail_head = st.swap_avail_head.filter((other) => other !== si);
}

/** Where the next scan begins; on solid-state areas each part of the swap cache gets its turn. @kernel mm/swapfile.c:set_cluster_next */
function set_cluster_next(k: Machine, si: swap_info_struct, next: number): void {
  if (si.cluster_info === null) {
    si.cluster_next = next;
    return;
  }
  const trunk = 1 << SWAP_ADDRESS_SPACE_SHIFT;
  if (si.cluster_info.cluster_next[k.cpu]! >>> SWAP_ADDRESS_SPACE_SHIFT !== next >>> SWAP_ADDRESS_SPACE_SHIFT) {
    if (si.highest_bit <= si.lowest_bit) return;
    const any = si.lowest_bit + k.prng.below(si.highest_bit - si.lowest_bit + 1);
    next = Math.max(Math.floor(any / trunk) * trunk, si.lowest_bit);
  }
  si.cluster_info.cluster_next[k.cpu] = next;
}

/** One scan: where it is, where it began, and what it has found. */
class slot_scan {
  offset: number;
  scan_base: number;
  latency_ration = LATENCY_LIMIT;
  scanned_many = false;
  readonly slots: swp_entry_t[] = [];
  private readonly k: Machine;
  private readonly si: swap_info_struct;

  constructor(k: Machine, si: swap_info_struct) {
    this.k = k;
    this.si = si;
    this.offset = this.scan_base = si.cluster_info?.cluster_next[k.cpu] ?? si.cluster_next;
  }

  /** Goes to the next slot of a cluster; false where there is none to go to. */
  try_cluster(c: swap_clusters): boolean {
    const offset = scan_swap_map_try_ssd_cluster(this.k, this.si, c);
    if (offset < 0) return false;
    this.offset = this.scan_base = offset;
    return true;
  }

  /** The first empty run of slots, from the start of the area. */
  find_empty_run(): void {
    const { si } = this;
    const size = SWAPFILE_CLUSTER(this.k);
    const room = si.pages - si.inuse_pages >= size;
    si.cluster_nr = size - 1;
    if (!room) return;
    this.offset = this.scan_base = si.lowest_bit;
    let last_in_cluster = si.lowest_bit + size - 1;
    for (let offset = si.lowest_bit; last_in_cluster <= si.highest_bit; offset++) {
      if (si.swap_map[offset] !== 0) {
        last_in_cluster = offset + size;
      } else if (offset === last_in_cluster) {
        this.offset = si.cluster_next = offset - (size - 1);
        return;
      }
    }
  }

  private available(offset: number): boolean {
    const usage = this.si.swap_map[offset]!;
    return usage === 0 || (usage === SWAP_HAS_CACHE && vm_swap_full(this.k));
  }

  /** Goes on to any slot that is free, or may become so. */
  scan_on(): boolean {
    const { si } = this;
    for (let offset = this.offset + 1; offset <= si.highest_bit; offset++) {
      if (this.skipped(offset)) continue;
      this.offset = offset;
      return true;
    }
    for (let offset = si.lowest_bit; offset < this.scan_base; offset++) {
      if (this.skipped(offset)) continue;
      this.offset = offset;
      return true;
    }
    return false;
  }

  private skipped(offset: number): boolean {
    if (--this.latency_ration < 0) {
      this.latency_ration = LATENCY_LIMIT;
      this.scanned_many = true;
    }
    return !this.available(offset);
  }

  /** May the slot at hand be taken? "scan": look further. */
  check(): "take" | "scan" | "again" | "done" | "none" {
    const { k, si } = this;
    const c = si.cluster_info;
    while (c !== null && scan_swap_map_ssd_cluster_conflict(k, c, this.offset)) {
      if (this.slots.length > 0) return "done";
      if (!this.try_cluster(c)) return "scan";
    }
    if (!(si.flags & SWP_WRITEOK) || si.highest_bit === 0) return "none";
    if (this.offset > si.highest_bit) this.offset = this.scan_base = si.lowest_bit;
    const usage = si.swap_map[this.offset]!;
    if (usage === 0) return "take";
    if (usage === SWAP_HAS_CACHE && vm_swap_full(k)) {
      return __try_to_reclaim_swap(k, si, this.offset, TTRS_ANYWAY) ? "again" : "scan";
    }
    return this.slots.length === 0 ? "scan" : "done";
  }

  take(usage: number): void {
    const { k, si } = this;
    si.swap_map[this.offset] = usage;
    if (si.cluster_info !== null) inc_cluster_info_page(si.cluster_info, this.offset);
    swap_range_alloc(k, si, this.offset, 1);
    this.slots.push(swp_entry(si.type, this.offset));
  }

  /** After a slot was taken: goes to another, near it; false where that costs too much. */
  more(): boolean {
    const { si } = this;
    if (--this.latency_ration < 0) return false;
    if (si.cluster_info !== null) {
      if (this.try_cluster(si.cluster_info)) return true;
    } else if (si.cluster_nr > 0 && si.swap_map[++this.offset] === 0) {
      si.cluster_nr--;
      return true;
    }
    if (this.scanned_many) return false;
    const limit = this.offset < this.scan_base ? this.scan_base : si.highest_bit;
    for (; this.offset <= limit && --this.latency_ration > 0; this.offset++) {
      if (si.swap_map[this.offset] === 0) return true;
    }
    return false;
  }
}

/**
 * Takes up to `nr` free slots of an area, near each other if it can.
 * @kernel mm/swapfile.c:scan_swap_map_slots
 * @fidelity mirrored (no discard)
 * @param usage what swap_map says of them then
 * @returns entries; fewer than `nr`, or none, where that is all
 */
export function scan_swap_map_slots(k: Machine, si: swap_info_struct, usage: number, nr: number): swp_entry_t[] {
  const scan = new slot_scan(k, si);
  let on = true;
  if (si.cluster_info !== null) on = scan.try_cluster(si.cluster_info) || scan.scan_on();
  else if (si.cluster_nr === 0) scan.find_empty_run();
  else si.cluster_nr--;
  while (on) {
    const verdict = scan.check();
    if (verdict === "again") continue;
    if (verdict === "scan") {
      on = scan.scan_on();
      continue;
    }
    if (verdict === "none") return scan.slots;
    if (verdict === "take") {
      scan.take(usage);
      if (scan.slots.length < nr && scan.offset < si.highest_bit && scan.more()) continue;
    }
    set_cluster_next(k, si, scan.offset + 1);
    return scan.slots;
  }
  return scan.slots;
}
