// SPDX-License-Identifier: GPL-2.0-only
/** Swap areas and what is kept of them (include/linux/swap.h, swap_slots.h). */
import type { xarray } from "../../lib/xarray.js";
import { subsys_state } from "./subsys.js";
import { HPAGE_PMD_NR } from "./types.js";
import type { Machine } from "../machine.js";
import type { file } from "./fs.js";

export const SWAP_FLAG_PREFER = 0x8000;
export const SWAP_FLAG_PRIO_MASK = 0x7fff;
export const SWAP_FLAG_DISCARD = 0x10000;
export const SWAP_FLAG_DISCARD_ONCE = 0x20000;
export const SWAP_FLAG_DISCARD_PAGES = 0x40000;
export const SWAP_FLAGS_VALID =
  SWAP_FLAG_PRIO_MASK | SWAP_FLAG_PREFER | SWAP_FLAG_DISCARD | SWAP_FLAG_DISCARD_ONCE | SWAP_FLAG_DISCARD_PAGES;

export const SWP_USED = 1 << 0;
export const SWP_WRITEOK = 1 << 1;
export const SWP_SOLIDSTATE = 1 << 4;
/** The device is done when the call that asks it returns: a ramdisk, zram. */
export const SWP_SYNCHRONOUS_IO = 1 << 11;
/** The device wants pages left alone while it writes them. */
export const SWP_STABLE_WRITES = 1 << 12;

/** In swap_map: the swap cache, or a cache of free slots, has the slot. The bits below count page table entries. */
export const SWAP_HAS_CACHE = 0x4000;
/** Nobody may have the slot. */
export const SWAP_MAP_BAD = 0x3fff;
/** A shmem file has it: once, whatever the count. */
export const SWAP_MAP_SHMEM = 0x3ffe;
export const SWAP_MAP_MAX = 0x3ffd;
/** Slots that are given out one after the other: those of a huge page where such go to swap whole. */
export function SWAPFILE_CLUSTER(k: Machine): number {
  return k.arch.THP_SWAP === true ? HPAGE_PMD_NR : 256;
}
export const SWAP_CLUSTER_MAX = 32;
/** Each so many slots have a swap cache of their own. */
export const SWAP_ADDRESS_SPACE_SHIFT = 14;
export const SWAP_SLOTS_CACHE_SIZE = 64;

/** Pages that the swap cache holds of one part of a swap area. */
export interface swap_address_space {
  readonly i_pages: xarray;
  nrpages: number;
}

/** Solid-state areas: the clusters of the area, and the one each CPU allocates from (-1: none). */
export interface swap_clusters {
  /** Slots that a cluster has. */
  readonly size: number;
  /** Slots in use in each cluster. */
  readonly count: Uint16Array;
  /** Clusters that one huge page has whole. @kernel CLUSTER_FLAG_HUGE */
  readonly huge: Uint8Array;
  /** Clusters without any, first to be taken first. */
  free: number[];
  /** By CPU: its cluster, the next slot in it, and where its next scan begins. */
  readonly index: Int32Array;
  readonly next: Uint32Array;
  readonly cluster_next: Uint32Array;
}

/** A device that can be swapped to. @kernel include/linux/blkdev.h:block_device */
export interface swap_device {
  /** Pages of the device, its header included. */
  readonly pages: number;
  /** Does it take time to seek? */
  readonly rotational: boolean;
  /** Is it done when asked? Otherwise it is when the caller waits for it, or has asked for all that it wants. */
  readonly synchronous: boolean;
  readonly stable_writes: boolean;
  /** First byte of each page, once something is written. */
  data: Uint8Array | null;
  /** Injected errors: pages, by offset, that can be neither read nor (`failWrites`) written. */
  readonly bad: Set<number>;
  failWrites: boolean;
  /** Is there a swap header on it (mkswap)? */
  readonly formatted: boolean;
}

/** A swap area. Slots are numbered from 1 to max - 1; 0 is the header. */
export class swap_info_struct {
  readonly type: number;
  flags = SWP_USED;
  prio = 0;
  swap_file: file | null = null;
  bdev: swap_device | null = null;
  /** Who has each slot: SWAP_HAS_CACHE and a count. */
  swap_map = new Uint16Array(0);
  max = 0;
  /** Usable slots, and those in use. */
  pages = 0;
  inuse_pages = 0;
  lowest_bit = 0;
  highest_bit = 0;
  /** Where the next scan begins, and how many slots the present cluster still has. */
  cluster_next = 0;
  cluster_nr = 0;
  cluster_info: swap_clusters | null = null;
  spaces: swap_address_space[] = [];
  constructor(type: number) {
    this.type = type;
  }
}

/** One CPU's slots: taken ahead, and given back but not yet free. @kernel include/linux/swap_slots.h:swap_slots_cache */
export interface swap_slots_cache {
  slots: number[];
  slots_ret: number[];
}

/** All that the machine keeps of swap. */
export class swap_state {
  readonly swap_info: swap_info_struct[] = [];
  /** Areas in use, highest priority first. */
  swap_active_head: swap_info_struct[] = [];
  /** Those that have free slots; areas of one priority take turns. */
  swap_avail_head: swap_info_struct[] = [];
  nr_swap_pages = 0;
  total_swap_pages = 0;
  nr_rotate_swap = 0;
  least_priority = 0;
  swapin_readahead_hits = 4;
  prev_offset = 0;
  last_readahead_pages = 0;
  swap_slot_cache_enabled = false;
  swap_slot_cache_active = false;
  readonly swp_slots: swap_slots_cache[];
  /** Pages that devices are reading and writing. */
  reads: number[] = [];
  writes: number[] = [];
  /** Pages that files lost for good: what was promised for them is never taken back (mm/shmem.ts). */
  lost_promises = 0;
  constructor(nr_cpus: number) {
    this.swp_slots = Array.from({ length: nr_cpus }, () => ({ slots: [], slots_ret: [] }));
  }
}

const SUBSYS = "mm/swapfile.c";

/** The machine's swap. */
export function swap_state_of(k: Machine): swap_state {
  return subsys_state(k, SUBSYS, () => new swap_state(k.nr_cpus));
}

/** Free slots of all areas. @kernel include/linux/swap.h:get_nr_swap_pages */
export function get_nr_swap_pages(k: Machine): number {
  return swap_state_of(k).nr_swap_pages;
}

/** Slots of all areas. @kernel mm/swapfile.c:total_swap_pages */
export function total_swap_pages(k: Machine): number {
  return swap_state_of(k).total_swap_pages;
}

/** Are more than half of the slots in use? @kernel include/linux/swap.h:vm_swap_full */
export function vm_swap_full(k: Machine): boolean {
  const st = swap_state_of(k);
  return st.nr_swap_pages * 2 < st.total_swap_pages;
}
