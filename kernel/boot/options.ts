// SPDX-License-Identifier: GPL-2.0-only
/** What a machine can be booted with. */
import type { Config, Hooks } from "../../include/machine.js";
import type { ShortWay } from "../../include/short_ways.js";
import type { BufferPool } from "../../lib/buffer_pool.js";

/** A wish that no machine can be booted with; the message is one line for the user. */
export class BootError extends RangeError {
  override name = "BootError";
}

/** One zone of {@link PlacementBoot}: pages, from /proc/zoneinfo. */
export interface PlacementZone {
  readonly start_pfn: number;
  readonly spanned: number;
  readonly present: number;
  readonly managed: number;
  readonly free: number;
  readonly min: number;
  readonly low: number;
  readonly high: number;
  readonly cma: number;
  readonly pcp_count: number;
  readonly pcp_batch: number;
}

/** Where the memory of a recorded machine lies: from /proc/kpageflags and /sys/kernel/debug/page_owner. */
export interface PlacementFrames {
  /** Page frames that are free: the first of each run, and how many. */
  readonly free: readonly (readonly number[])[];
  /** A letter for each pageblock: the first of its type's name in /proc/pagetypeinfo. */
  readonly blocks: string;
}

/** A machine as it booted, from a recording of format mm-placement/1; zones and types by their names. */
export interface PlacementBoot {
  readonly cpus?: number;
  /** First page frame of the CMA area, and the one behind its last. */
  readonly cma_pfn?: readonly number[] | undefined;
  readonly zones: Readonly<Record<string, PlacementZone>>;
  /** Free blocks by zone, type and order. */
  readonly free_lists: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  /** Pageblocks by zone and type. */
  readonly pageblocks: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Where the free blocks are, where the recording says so. */
  readonly frames?: PlacementFrames | undefined;
}

export interface BootOptions {
  /** Bytes; default 512 MiB. */
  readonly memory?: number;
  /** Bytes of the CMA area (cma=); rounded up to pageblocks. */
  readonly cma?: number;
  /** Bytes of ZONE_MOVABLE (movablecore=); rounded up to 4 MiB. */
  readonly movablecore?: number;
  readonly cpus?: number;
  /** How many nodes (1 or 2) share the memory, or the bytes that each has: multiples of 4 MiB. CPUs are spread evenly. */
  readonly nodes?: number | readonly number[];
  /** A name that arch/index.ts knows; default x86_64. */
  readonly arch?: string;
  readonly config?: Partial<Config>;
  readonly seed?: number;
  /** Boot the machine of a placement recording; memory, cma and movablecore then come from it. */
  readonly like?: PlacementBoot;
  readonly hooks?: Partial<Hooks>;
  /** Which short ways are taken, of those that the variant may; false: each page goes all the way alone, also where many at once come to the same; default true. */
  readonly shortWays?: boolean | readonly ShortWay[];
  /** Where its per-page data lies, for machines that come and go: `k.mem.retire()` and `k.pte_memory.retire()` give it back. */
  readonly buffers?: BufferPool;
}

export const defaultConfig: Config = {
  KSM: true,
  TRANSPARENT_HUGEPAGE: true,
  MEMORY_FAILURE: true,
  ANON_VMA_NAME: true,
  NUMA: true,
  MEM_SOFT_DIRTY: false,
  overcommit_memory: 0,
  overcommit_ratio: 50,
  max_map_count: 65530,
  stack_guard_gap: 256,
  mmap_min_addr: 65536,
  DEBUG_VM: true,
};
