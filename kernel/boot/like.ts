// SPDX-License-Identifier: GPL-2.0-only
/**
 * Boots the machine of a placement recording: its zones, watermarks, free blocks and pageblock types. Where the blocks
 * lay, the recording does not say; they are put so that none can merge with another, and what is between them is in use.
 */
import { PFN_SECTION_MASK, get_pageblock_migratetype, set_pageblock_migratetype } from "../../include/linux/mem_map.js";
import {
  MAX_ORDER,
  MAX_ORDER_NR_PAGES,
  MIGRATE_CMA,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_TYPES,
  MIGRATE_UNMOVABLE,
  WMARK_HIGH,
  WMARK_LOW,
  WMARK_MIN,
  migratetype_names,
  pageblock_nr_pages,
  pageblock_order,
  zone_names,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_pcp, PG_reserved } from "../../include/linux/page-flags.js";
import type { Machine } from "../../include/machine.js";
import { list_add_tail } from "../../lib/pagelist.js";
import { cma_init_reserved_mem } from "../../mm/cma.js";
import { FPI_TO_TAIL, __free_one_page, pristine_of } from "../../mm/page_alloc/freelist.js";
import { zone_set_pageset_high_and_batch } from "../../mm/page_alloc/setup.js";
import { addZone, freeRange, markUsed } from "./layout.js";
import { BootError, type PlacementBoot, type PlacementFrames, type PlacementZone } from "./options.js";

/** Unmovable pages that boot leaves on the first CPU's lists. */
const UNMOVABLE_STOCK = 66;

/** Page frames of the recorded machine. */
export function likeMaxPfn(like: PlacementBoot): number {
  const max = Math.max(...Object.values(like.zones).map((z) => z.start_pfn + z.spanned));
  if (!Number.isInteger(max) || max < 8) throw new BootError("the recording of the machine has no usable zones");
  return max;
}

/** What is still to be placed of one zone: free blocks by type and order, pageblocks by type. */
class Plan {
  readonly z: zone;
  readonly free: number[][];
  readonly blocks: number[];
  /** Pageblocks that may still be given a type, ascending. */
  readonly open: number[] = [];
  /** Pageblocks with a type that have room, by type. */
  readonly partial: number[][] = Array.from({ length: MIGRATE_TYPES }, () => []);

  constructor(z: zone, like: PlacementBoot, name: string) {
    this.z = z;
    const lists = like.free_lists[name] ?? {};
    const blocks = like.pageblocks[name] ?? {};
    this.free = migratetype_names.map((t) => [...(lists[t] ?? [])]);
    this.blocks = migratetype_names.map((t) => blocks[t] ?? 0);
    for (const f of this.free) while (f.length < MAX_ORDER) f.push(0);
  }
}

/** Gives the pageblock at `pfn` its type. */
function settle(k: Machine, plan: Plan, pfn: number, mt: number): void {
  set_pageblock_migratetype(k.mem, pfn, mt);
  plan.open.splice(plan.open.indexOf(pfn), 1);
  plan.blocks[mt]!--;
}

/** Does the pageblock at `pfn` lie in its zone with all its pages? */
function isWhole(z: zone, pfn: number): boolean {
  return pfn >= z.zone_start_pfn && pfn + pageblock_nr_pages <= z.zone_start_pfn + z.spanned_pages;
}

/** Pairs of open pageblocks that make a block of the highest order, lowest first. */
function openPairs(plan: Plan): number[] {
  const open = new Set(plan.open);
  const fits = (p: number): boolean => isWhole(plan.z, p) && isWhole(plan.z, p + pageblock_nr_pages);
  return plan.open.filter((p) => p % MAX_ORDER_NR_PAGES === 0 && open.has(p + pageblock_nr_pages) && fits(p));
}

/** Free blocks of whole pageblocks: unmovable ones lowest, as the kernel takes them first; the others keep that order. */
function placeLarge(k: Machine, plan: Plan, mt: number): void {
  const { z, free } = plan;
  const pairs = openPairs(plan);
  for (let n = free[mt]![MAX_ORDER - 1]!; n > 0 && pairs.length > 0; n--) {
    const pfn = pairs.shift()!;
    settle(k, plan, pfn, mt);
    settle(k, plan, pfn + pageblock_nr_pages, mt);
    freeRange(k, z, pfn, pfn + MAX_ORDER_NR_PAGES, mt);
    free[mt]![MAX_ORDER - 1]!--;
  }
  const single = (p: number): boolean => isWhole(z, p) && !plan.open.includes(p ^ pageblock_nr_pages);
  for (let n = free[mt]![pageblock_order]!; n > 0; n--) {
    const pfn = plan.open.find(single) ?? plan.open.findLast((p) => isWhole(z, p));
    if (pfn === undefined) break;
    settle(k, plan, pfn, mt);
    __free_one_page(k.mem, pfn, z, pageblock_order, mt, FPI_TO_TAIL);
    free[mt]![pageblock_order]!--;
    // Its buddy must not become free as a whole: keep it for small blocks.
    const buddy = pfn ^ pageblock_nr_pages;
    if (plan.open.includes(buddy)) {
      const other = plan.blocks[mt]! > 0 ? mt : plan.blocks.findIndex((left) => left > 0);
      settle(k, plan, buddy, Math.max(other, 0));
      plan.partial[Math.max(other, 0)]!.push(buddy);
    }
  }
}

/**
 * Fills a region with free blocks of lower orders, none beside a free buddy of its own order; the rest is in use. Of two
 * halves the lower one is free, or with `upper` the upper one, as where boot took what it needed from the bottom.
 */
function pack(k: Machine, plan: Plan, pfn: number, order: number, mt: number, upper = false): void {
  const want = plan.free[mt]!;
  const left = want.some((n, o) => n > 0 && o < order);
  if (order === 0 || !left) {
    markUsed(k, pfn, pfn + 2 ** order);
    return;
  }
  const half = 2 ** (order - 1);
  const fits = want[order - 1]! > 0;
  const end = plan.z.zone_start_pfn + plan.z.spanned_pages;
  if (pfn >= end) return;
  const lower = pfn >= plan.z.zone_start_pfn && (!upper || pfn + 2 * half > end);
  const whole = !fits ? 0 : lower ? pfn : pfn + half;
  for (const part of [pfn, pfn + half]) {
    if (part !== whole || !fits || part + half > end) {
      pack(k, plan, part, order - 1, mt, upper);
      continue;
    }
    want[order - 1]!--;
    __free_one_page(k.mem, part, plan.z, order - 1, mt, FPI_TO_TAIL);
  }
}

/** The free blocks below a pageblock, in pageblocks of their own type as far as there are any with room. */
function placeSmall(k: Machine, plan: Plan): void {
  for (let mt = 0; mt < MIGRATE_TYPES; mt++) {
    const wanted = (): boolean => plan.free[mt]!.some((n, o) => n > 0 && o < pageblock_order);
    const own = plan.partial[mt]!;
    if (mt === MIGRATE_MOVABLE && own.length > 1 && !isWhole(plan.z, own.at(-1)!)) {
      const last = own.pop()!;
      pack(k, plan, last, pageblock_order - 1, mt);
      pack(k, plan, last + pageblock_nr_pages / 2, pageblock_order - 1, mt);
    }
    const homes = [...own, ...plan.partial.flatMap((p, t) => (t === mt ? [] : p))];
    for (const pfn of homes) {
      if (!wanted()) break;
      if (pfn + pageblock_nr_pages > plan.z.zone_start_pfn + plan.z.spanned_pages) continue;
      pack(k, plan, pfn, pageblock_order, mt);
      for (const p of plan.partial) if (p.includes(pfn)) p.splice(p.indexOf(pfn), 1);
    }
  }
  for (const pfn of plan.partial.flat()) markUsed(k, Math.max(pfn, plan.z.zone_start_pfn), pfn + pageblock_nr_pages);
}

/**
 * The CMA area: whole blocks from its bottom up; at its top, what movable pages of boot (the initial root file system,
 * say) have left of the others, which the kernel takes from the top first.
 */
function placeCma(k: Machine, plan: Plan, from: number, to: number): void {
  const want = plan.free[MIGRATE_CMA]!;
  const rest: [number, number][] = [];
  for (let pfn = from; pfn < to;) {
    const order = pfn % MAX_ORDER_NR_PAGES === 0 && pfn + MAX_ORDER_NR_PAGES <= to ? MAX_ORDER - 1 : pageblock_order;
    if (want[order]! > 0) {
      want[order]!--;
      freeRange(k, plan.z, pfn, pfn + 2 ** order, MIGRATE_CMA);
    } else rest.push([pfn, order]);
    pfn += 2 ** order;
  }
  for (const [pfn, order] of rest) pack(k, plan, pfn, order, MIGRATE_CMA, true);
}

/** Moves up to `count` pages in use, from the zone's end down, from pageblocks of a type to the first CPU's list of it. */
function stockList(k: Machine, z: zone, mt: number, count: number): void {
  const pcp = z.pageset[0]!;
  const list = pcp.lists[mt]!;
  for (let pfn = z.zone_start_pfn + z.spanned_pages - 1; pfn >= z.zone_start_pfn && list.nr < count; pfn--) {
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (s.flags[i] !== PG_reserved || k.mem.pageblock_flags[pfn >>> pageblock_order] !== mt) continue;
    s.flags[i] = PG_pcp;
    s.setRefs(i, 0);
    s.index[i] = mt;
    list_add_tail(k.mem, list, pfn);
    pcp.count++;
  }
}

/**
 * Puts as many pages on the first CPU's lists as were recorded. Of which type they were was not: by what the first
 * steps of guests on fresh machines of 256 to 512 MiB took from the buddy lists, some 66 were unmovable whatever the
 * size, and about a twelfth reclaimable.
 */
function stockPcp(k: Machine, z: zone, count: number): void {
  stockList(k, z, MIGRATE_UNMOVABLE, Math.min(UNMOVABLE_STOCK, Math.floor(count / 3)));
  stockList(k, z, MIGRATE_RECLAIMABLE, Math.floor(count / 12));
  stockList(k, z, MIGRATE_MOVABLE, count - z.pageset[0]!.count);
}

/** Gives the pageblocks of a zone their recorded types. */
function typeBlocks(k: Machine, z: zone, blocks: string): void {
  for (let pfn = z.zone_start_pfn; pfn < z.zone_start_pfn + z.spanned_pages; pfn += pageblock_nr_pages) {
    const at = pfn >>> pageblock_order;
    const mt = migratetype_names.findIndex((name) => name[0] === blocks[at]);
    if (mt < 0) throw new BootError(`the recording of the machine has no type for pageblock ${at}`);
    set_pageblock_migratetype(k.mem, pfn, mt);
  }
}

/** Puts the free blocks of a zone where they were recorded; what is between them is in use. */
function placeFrames(k: Machine, z: zone, { free, blocks }: PlacementFrames): void {
  typeBlocks(k, z, blocks);
  const end = z.zone_start_pfn + z.spanned_pages;
  let used = z.zone_start_pfn;
  for (const [first = 0, count = 0] of free) {
    const to = Math.min(first + count, end);
    for (let pfn = Math.max(first, used), next: number; pfn < to; pfn = used = next) {
      markUsed(k, used, pfn);
      const mt = get_pageblock_migratetype(k.mem, pfn);
      next = pfn - (pfn % pageblock_nr_pages) + pageblock_nr_pages;
      while (next < to && get_pageblock_migratetype(k.mem, next) === mt) next += pageblock_nr_pages;
      next = Math.min(next, to);
      freeRange(k, z, pfn, next, mt);
    }
  }
  markUsed(k, used, end);
}

function likeZone(k: Machine, like: PlacementBoot, name: string, r: PlacementZone): void {
  const end = r.start_pfn + r.spanned;
  const z = addZone(k, zone_names.indexOf(name as (typeof zone_names)[number]), r.start_pfn, end);
  z.present_pages = r.present;
  z.managed_pages = r.managed;
  z._watermark[WMARK_MIN] = r.min;
  z._watermark[WMARK_LOW] = r.low;
  z._watermark[WMARK_HIGH] = r.high;
  zone_set_pageset_high_and_batch(k, z, r.pcp_batch);
  if (like.frames !== undefined) {
    placeFrames(k, z, like.frames);
    stockPcp(k, z, r.pcp_count);
    return;
  }
  const plan = new Plan(z, like, name);
  const [from, to] = like.cma_pfn ?? [0, 0];
  const hasCma = r.cma > 0 && from !== undefined && to !== undefined && to > from;
  const first = r.start_pfn - (r.start_pfn % pageblock_nr_pages);
  for (let pfn = first; pfn < end; pfn += pageblock_nr_pages) {
    if (!hasCma || pfn < from || pfn >= to) plan.open.push(pfn);
  }
  if (hasCma) {
    if (cma_init_reserved_mem(k, z, from, to - from, "reserved") !== 0) {
      throw new BootError(`the recording's CMA area ${from}-${to} does not fit its zone ${name}`);
    }
    placeCma(k, plan, from, to);
  }
  for (let mt = 0; mt < MIGRATE_TYPES; mt++) if (mt !== MIGRATE_CMA && mt !== MIGRATE_MOVABLE) placeLarge(k, plan, mt);
  placeLarge(k, plan, MIGRATE_MOVABLE);
  for (const pfn of [...plan.open]) {
    const other = plan.blocks.findIndex((n, t) => n > 0 && t !== MIGRATE_CMA && t !== MIGRATE_MOVABLE);
    const left = other < 0 && plan.blocks[MIGRATE_MOVABLE]! > 0 ? MIGRATE_MOVABLE : other;
    const mt = left < 0 ? MIGRATE_UNMOVABLE : left;
    settle(k, plan, pfn, mt);
    plan.partial[mt]!.push(pfn);
  }
  placeSmall(k, plan);
  stockPcp(k, z, r.pcp_count);
}

/** Lays out a machine as a recording has it. */
export function layOutLike(k: Machine, like: PlacementBoot): void {
  for (const name of zone_names) {
    const r = like.zones[name];
    if (r !== undefined && r.spanned > 0) likeZone(k, like, name, r);
  }
  for (const z of k.zones) {
    const wanted = [MIGRATE_MOVABLE, MIGRATE_CMA].map((mt) => pristine_of(z, mt));
    for (const ranges of wanted) ranges.sort((a, b) => a.from - b.from);
  }
}
