// SPDX-License-Identifier: GPL-2.0-only
/** The free scanner: free pages at the top of a zone, as targets (mm/compaction.c). */
import { __GFP_MOVABLE } from "../../include/linux/gfp.js";
import { PFN_SECTION_MASK, PFN_SECTION_SHIFT, get_pageblock_migratetype } from "../../include/linux/mem_map.js";
import { MIGRATE_ASYNC } from "../../include/linux/migrate_mode.js";
import {
  MIGRATE_CMA,
  MIGRATE_MOVABLE,
  NULL_PFN,
  page_list,
  pageblock_nr_pages,
  pageblock_order,
} from "../../include/linux/mmzone.js";
import { PG_buddy, PG_head, PG_tail } from "../../include/linux/page-flags.js";
import { COMPACTISOLATED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_add, list_add_tail, list_del, list_prev } from "../../lib/pagelist.js";
import { __free_pages, prep_new_page, split_page } from "../page_alloc.js";
import { buddy_order, free_block_at } from "../page_alloc/freelist.js";
import { __isolate_free_page } from "../page_alloc/isolate.js";
import { count_vm_events } from "../vmstat.js";
import { COMPACT_CLUSTER_MAX, zone_end_pfn, type compact_control } from "./control.js";

const pageblock_start = (pfn: number): number => pfn - (pfn % pageblock_nr_pages);

/** Frees the targets that were not used; the highest of them. @kernel mm/compaction.c:release_freepages @fidelity mirrored */
export function release_freepages(cc: compact_control): number {
  let high_pfn = 0;
  for (let pfn = cc.freepages.head; pfn !== NULL_PFN; pfn = cc.freepages.head) {
    list_del(cc.k.mem, cc.freepages, pfn);
    __free_pages(cc.k, pfn, 0);
    high_pfn = Math.max(high_pfn, pfn);
  }
  cc.nr_freepages = 0;
  return high_pfn;
}

/** Makes pages of the isolated blocks, last block's last page first. @kernel mm/compaction.c:split_map_pages @fidelity mirrored */
export function split_map_pages(cc: compact_control): void {
  const m = cc.k.mem;
  const blocks = cc.freepages;
  const single = new page_list();
  for (let pfn = blocks.head; pfn !== NULL_PFN; pfn = blocks.head) {
    list_del(m, blocks, pfn);
    const s = m.section(pfn);
    const order = s.private_[pfn & PFN_SECTION_MASK]!;
    s.setPrivate(pfn & PFN_SECTION_MASK, 0);
    prep_new_page(cc.k, pfn, order, __GFP_MOVABLE);
    if (order > 0) split_page(cc.k, pfn, order);
    for (let p = pfn; p < pfn + (1 << order); p++) list_add(m, single, p);
  }
  blocks.head = single.head;
  blocks.tail = single.tail;
  blocks.nr = single.nr;
}

/** Takes one free block for the run; 0 if the zone cannot spare it. */
export function take_block(cc: compact_control, pfn: number, order: number): number {
  const nr = __isolate_free_page(cc.k, pfn, order);
  if (nr === 0) return 0;
  cc.k.mem.section(pfn).setPrivate(pfn & PFN_SECTION_MASK, order);
  cc.nr_freepages += nr;
  list_add_tail(cc.k.mem, cc.freepages, pfn);
  return nr;
}

/**
 * Takes free blocks of [from, end), until there are enough. Returns where it stopped, and the pages it took.
 * @kernel mm/compaction.c:isolate_freepages_block
 * @fidelity mirrored: without contention for the zone lock
 */
function isolate_freepages_block(
  cc: compact_control,
  first: number,
  end: number,
  stride: number,
): { stopped: number; isolated: number } {
  const s = cc.k.mem.sections[first >>> PFN_SECTION_SHIFT];
  if (s === undefined) return { stopped: end, isolated: 0 };
  let pfn = first;
  let isolated = 0;
  for (; pfn < end; pfn += stride) {
    const i = pfn & PFN_SECTION_MASK;
    const flags = s.flags[i]!;
    cc.total_free_scanned++;
    if (flags & (PG_head | PG_tail)) {
      if (flags & PG_head) pfn += (1 << s.private_[i]!) - 1;
      continue;
    }
    if ((flags & PG_buddy) === 0) continue;
    const nr = take_block(cc, pfn, buddy_order(s, i));
    if (nr === 0) break;
    isolated += nr;
    cc.total_free_scanned += nr - 1;
    if (cc.nr_migratepages <= cc.nr_freepages) {
      pfn += nr;
      break;
    }
    pfn += nr - 1;
  }
  if (isolated > 0) count_vm_events(cc.k, COMPACTISOLATED, isolated);
  return { stopped: Math.min(pfn, end), isolated };
}

/** @kernel mm/compaction.c:suitable_migration_target @fidelity mirrored */
function suitable_migration_target(cc: compact_control, pfn: number): boolean {
  const block = free_block_at(cc.k.mem, cc.zone, pfn);
  if (block !== undefined && block.order >= pageblock_order) return false;
  if (cc.ignore_block_suitable) return true;
  const mt = get_pageblock_migratetype(cc.k.mem, pfn);
  return mt === MIGRATE_MOVABLE || mt === MIGRATE_CMA;
}

function fast_isolate_around(cc: compact_control, pfn: number): void {
  if (cc.nr_freepages >= cc.nr_migratepages) return;
  if (cc.direct_compaction && cc.mode === MIGRATE_ASYNC) return;
  const start = Math.max(pageblock_start(pfn), cc.zone.zone_start_pfn);
  const end = Math.min(pageblock_start(pfn) + pageblock_nr_pages, zone_end_pfn(cc.zone));
  isolate_freepages_block(cc, start, end, 1);
  if (cc.nr_freepages < cc.nr_migratepages) cc.zc.set_pageblock_skip(pfn, true);
}

function next_search_order(cc: compact_control, order: number): number {
  order--;
  if (order < 0) order = cc.order - 1;
  if (order === cc.search_order) {
    cc.search_order--;
    if (cc.search_order < 0) cc.search_order = cc.order - 1;
    return -1;
  }
  return order;
}

/** Puts what stands before a block of a free list behind the list's end. @kernel mm/compaction.c:move_freelist_head @fidelity mirrored */
function move_freelist_head(k: Machine, list: page_list, pfn: number): void {
  if (list.tail === pfn) return;
  while (list.head !== pfn) {
    const head = list.head;
    list_del(k.mem, list, head);
    list_add_tail(k.mem, list, head);
  }
}

/** What the search through the free lists has found so far. */
interface fast_search {
  limit: number;
  highest: number;
  scanned: number;
  readonly low_pfn: number;
  readonly min_pfn: number;
}

/** Looks through the movable free list of one order, from its tail, for a block high enough; 0 if there is none. */
function search_free_list(cc: compact_control, order: number, f: fast_search): number {
  const list = cc.zone.free_area[order]!.free_list[MIGRATE_MOVABLE]!;
  let order_scanned = 0;
  let high_pfn = NULL_PFN;
  let found = NULL_PFN;
  let at = list.tail;
  for (; at !== NULL_PFN; at = list_prev(cc.k.mem, at)) {
    order_scanned++;
    f.scanned++;
    if (at >= f.highest) f.highest = Math.max(pageblock_start(at), cc.zone.zone_start_pfn);
    if (at >= f.low_pfn) {
      cc.fast_search_fail = 0;
      cc.search_order = order;
      found = at;
      break;
    }
    if (at >= f.min_pfn && at > high_pfn) {
      high_pfn = at;
      f.limit >>>= 1;
    }
    if (order_scanned >= f.limit) break;
  }
  if (found === NULL_PFN && high_pfn !== NULL_PFN) at = found = high_pfn;
  if (at !== NULL_PFN) move_freelist_head(cc.k, list, at);
  if (order_scanned >= f.limit) f.limit = Math.max(1, f.limit >>> 1);
  return found;
}

/**
 * Looks for a target in the free lists, before the pageblocks are gone through. Returns its page frame or 0.
 * @kernel mm/compaction.c:fast_isolate_freepages
 * @fidelity mirrored
 */
function fast_isolate_freepages(cc: compact_control): void {
  if (cc.order <= 0) return;
  const { zc, zone } = cc;
  const f: fast_search = {
    limit: Math.max(1, freelist_scan_limit(cc) >>> 1),
    highest: 0,
    scanned: 0,
    low_pfn: pageblock_start(cc.free_pfn - ((cc.free_pfn - cc.migrate_pfn) >>> 2)),
    min_pfn: pageblock_start(cc.free_pfn - ((cc.free_pfn - cc.migrate_pfn) >>> 1)),
  };
  const scan_start = cc.free_pfn >= zc.compact_init_free_pfn;
  if (scan_start) f.limit = pageblock_nr_pages >>> 1;
  cc.search_order = Math.min(cc.order - 1, cc.search_order);
  let page = NULL_PFN;
  for (let order = cc.search_order; page === NULL_PFN && order >= 0; order = next_search_order(cc, order)) {
    if (zone.free_area[order]!.nr_free === 0) continue;
    page = search_free_list(cc, order, f);
    if (page === NULL_PFN) continue;
    const nr = take_block(cc, page, order);
    if (nr > 0) {
      f.scanned += nr - 1;
      count_vm_events(cc.k, COMPACTISOLATED, nr);
    } else {
      order = cc.search_order + 1;
      page = NULL_PFN;
    }
  }
  if (page === NULL_PFN) {
    cc.fast_search_fail++;
    if (scan_start && f.highest >= f.min_pfn) cc.free_pfn = page = f.highest;
    else if (scan_start && cc.direct_compaction) cc.free_pfn = page = f.min_pfn;
  }
  if (f.highest !== 0 && f.highest >= zc.compact_cached_free_pfn) {
    zc.compact_cached_free_pfn = f.highest - pageblock_nr_pages;
  }
  cc.total_free_scanned += f.scanned;
  if (page !== NULL_PFN) fast_isolate_around(cc, page);
}

/** @kernel mm/compaction.c:freelist_scan_limit @fidelity mirrored */
export function freelist_scan_limit(cc: compact_control): number {
  return (COMPACT_CLUSTER_MAX >>> Math.min(31, cc.fast_search_fail)) + 1;
}

/**
 * Gathers targets, from where the scanner stands downwards.
 * @kernel mm/compaction.c:isolate_freepages
 * @fidelity mirrored
 */
function isolate_freepages(cc: compact_control): void {
  fast_isolate_freepages(cc);
  if (cc.nr_freepages > 0) {
    split_map_pages(cc);
    return;
  }
  const { zc } = cc;
  let from = cc.free_pfn;
  let block = pageblock_start(from);
  let end = Math.min(block + pageblock_nr_pages, zone_end_pfn(cc.zone));
  const low_pfn = pageblock_start(cc.migrate_pfn) + pageblock_nr_pages;
  let stride = cc.mode === MIGRATE_ASYNC ? COMPACT_CLUSTER_MAX : 1;
  for (; block >= low_pfn; end = block, block -= pageblock_nr_pages, from = block) {
    if (!suitable_migration_target(cc, block)) continue;
    if (!cc.ignore_skip_hint && zc.get_pageblock_skip(block)) continue;
    const r = isolate_freepages_block(cc, from, end, stride);
    from = r.stopped;
    if (from === end) {
      zc.set_pageblock_skip(block, true);
      if (block < zc.compact_cached_free_pfn) zc.compact_cached_free_pfn = block;
    }
    if (cc.nr_freepages >= cc.nr_migratepages) {
      if (from >= end) from = block - pageblock_nr_pages;
      break;
    }
    if (from < end) break;
    stride = r.isolated > 0 ? 1 : Math.min(COMPACT_CLUSTER_MAX, stride << 1);
  }
  cc.free_pfn = from;
  split_map_pages(cc);
}

/** Gives migrate_pages() a target. @kernel mm/compaction.c:compaction_alloc @fidelity mirrored */
export function compaction_alloc(k: Machine, _page: number, cc: compact_control): number {
  if (cc.freepages.head === NULL_PFN) isolate_freepages(cc);
  const pfn = cc.freepages.head;
  if (pfn === NULL_PFN) return 0;
  list_del(k.mem, cc.freepages, pfn);
  cc.nr_freepages--;
  return pfn;
}

/** Takes a target back. @kernel mm/compaction.c:compaction_free @fidelity mirrored */
export function compaction_free(k: Machine, page: number, cc: compact_control): void {
  list_add(k.mem, cc.freepages, page);
  cc.nr_freepages++;
}
