// SPDX-License-Identifier: GPL-2.0-only
/** The migrate scanner: pages in use at the bottom of a zone, to be moved up (mm/compaction.c). */
import { __GFP_FS } from "../../include/linux/gfp.js";
import {
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
  folio_mapcount,
  folio_nr_pages,
  get_pageblock_migratetype,
  page_owner_of,
} from "../../include/linux/mem_map.js";
import { MIGRATE_ASYNC, MIGRATE_SYNC } from "../../include/linux/migrate_mode.js";
import {
  MIGRATE_CMA,
  MIGRATE_MOVABLE,
  NULL_PFN,
  PAGE_ALLOC_COSTLY_ORDER,
  pageblock_nr_pages,
} from "../../include/linux/mmzone.js";
import {
  PG_buddy,
  PG_head,
  PG_lru,
  PG_swapbacked,
  PG_swapcache,
  PG_tail,
  PG_writeback,
} from "../../include/linux/page-flags.js";
import { COMPACTISOLATED, NR_ISOLATED_ANON, NR_ISOLATED_FILE } from "../../include/linux/vmstat.js";
import { list_add, list_add_tail, list_del, list_next } from "../../lib/pagelist.js";
import { putback_movable_pages } from "../migrate.js";
import { folio_isolate_lru } from "../swap.js";
import { __mod_node_page_state, count_vm_events } from "../vmstat.js";
import { COMPACT_CLUSTER_MAX, type compact_control } from "./control.js";
import { freelist_scan_limit } from "./free_scanner.js";
import { buddy_order } from "../page_alloc/freelist.js";

export const ISOLATE_ABORT = 0;
export const ISOLATE_NONE = 1;
export const ISOLATE_SUCCESS = 2;

const pageblock_start = (pfn: number): number => pfn - (pfn % pageblock_nr_pages);
const pageblock_end = (pfn: number): number => pageblock_start(pfn) + pageblock_nr_pages;
/** End of the aligned block of this order around a page frame. @kernel mm/compaction.c:block_end_pfn */
export const block_end_pfn = (pfn: number, order: number): number => (Math.floor(pfn / 2 ** order) + 1) * 2 ** order;

function update_cached_migrate(cc: compact_control, pfn: number): void {
  if (cc.alloc_contig) return;
  const cached = cc.zc.compact_cached_migrate_pfn;
  pfn = pageblock_end(pfn);
  if (pfn > cached[0]!) cached[0] = pfn;
  if (cc.mode !== MIGRATE_ASYNC && pfn > cached[1]!) cached[1] = pfn;
}

/** May this page be moved, as far as can be seen from outside? It is on the LRU. */
function isolatable(cc: compact_control, pfn: number): boolean {
  const m = cc.k.mem;
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.refcount[i] === 0) return false;
  const owner = page_owner_of(m, pfn);
  const mapping = (owner !== undefined && !owner.is_anon) || (s.flags[i]! & PG_swapcache) !== 0;
  if (!mapping && s.refcount[i]! > folio_mapcount(m, pfn)) return false;
  if (mapping && (cc.gfp_mask & __GFP_FS) === 0) return false;
  return cc.mode === MIGRATE_SYNC || (s.flags[i]! & PG_writeback) === 0;
}

/** What one pageblock's scan keeps track of. */
interface block_scan {
  pfn: number;
  isolated: number;
  /** First page of the pageblock, once it is known not to be skipped. */
  valid_page: number;
  skip_updated: boolean;
  next_skip_pfn: number;
  readonly skip_on_failure: boolean;
}

/** Takes one page for migration if it can be; false ends the scan of the pageblock, which is to be skipped. */
function isolate_one(cc: compact_control, b: block_scan): "isolated" | "fail" | "abort" {
  const { k } = cc;
  const s = k.mem.section(b.pfn);
  const flags = s.flags[b.pfn & PFN_SECTION_MASK]!;
  if (flags & PG_tail) return "fail";
  if (flags & PG_head && !cc.alloc_contig) {
    b.pfn += (1 << s.private_[b.pfn & PFN_SECTION_MASK]!) - 1;
    return "fail";
  }
  if ((flags & PG_lru) === 0 || !isolatable(cc, b.pfn)) return "fail";
  if (!b.skip_updated) {
    b.skip_updated = true;
    if (!cc.ignore_skip_hint && b.pfn % pageblock_nr_pages === 0) {
      const skip = cc.zc.get_pageblock_skip(b.pfn);
      cc.zc.set_pageblock_skip(b.pfn, true);
      if (skip) return "abort";
    }
  }
  if (!folio_isolate_lru(k, b.pfn)) return "fail";
  const item = flags & PG_swapbacked ? NR_ISOLATED_ANON : NR_ISOLATED_FILE;
  const nr = folio_nr_pages(k.mem, b.pfn);
  __mod_node_page_state(k.nodes[cc.zone.node]!, item, nr);
  list_add(k.mem, cc.migratepages, b.pfn);
  cc.nr_migratepages += nr;
  b.isolated += nr;
  b.pfn += nr - 1;
  return "isolated";
}

/** In asynchronous compaction a block with one page that cannot move is given up. */
function skip_failed_block(cc: compact_control, b: block_scan): void {
  if (b.isolated > 0) {
    putback_movable_pages(cc.k, cc.migratepages);
    cc.nr_migratepages = 0;
    b.isolated = 0;
  }
  if (b.pfn < b.next_skip_pfn) {
    b.pfn = b.next_skip_pfn - 1;
    b.next_skip_pfn += 1 << cc.order;
  }
}

/**
 * Takes the pages of [low_pfn, end_pfn), which lie in one pageblock, off the LRU lists; false when a fatal signal ends it.
 * @kernel mm/compaction.c:isolate_migratepages_block
 * @fidelity simplified: pages on the LRU; huge ones for alloc_contig_range() alone; nobody else isolates meanwhile
 */
export function isolate_migratepages_block(cc: compact_control, low_pfn: number, end_pfn: number): boolean {
  const s = cc.k.mem.sections[low_pfn >>> PFN_SECTION_SHIFT];
  const skip_on_failure = cc.direct_compaction && cc.mode === MIGRATE_ASYNC;
  const next_skip_pfn = skip_on_failure ? block_end_pfn(low_pfn, cc.order) : 0;
  const b: block_scan = {
    pfn: low_pfn,
    isolated: 0,
    valid_page: 0,
    skip_updated: false,
    next_skip_pfn,
    skip_on_failure,
  };
  cc.migrate_pfn = low_pfn;
  for (; b.pfn < end_pfn; b.pfn++) {
    if (skip_on_failure && b.pfn >= b.next_skip_pfn) {
      if (b.isolated > 0) break;
      b.next_skip_pfn = block_end_pfn(b.pfn, cc.order);
    }
    if (
      (cc.direct_compaction || cc.alloc_contig) &&
      b.pfn % COMPACT_CLUSTER_MAX === 0 &&
      cc.k.current.fatal_signal !== 0
    ) {
      cc.contended = true;
      return false;
    }
    cc.total_migrate_scanned++;
    if (b.valid_page === 0 && b.pfn % pageblock_nr_pages === 0) {
      if (!cc.ignore_skip_hint && cc.zc.get_pageblock_skip(b.pfn)) {
        b.pfn = end_pfn;
        break;
      }
      b.valid_page = b.pfn;
    }
    if (s === undefined) {
      b.pfn = end_pfn - 1;
      continue;
    }
    const i = b.pfn & PFN_SECTION_MASK;
    if (s.flags[i]! & PG_buddy) {
      b.pfn += (1 << buddy_order(s, i)) - 1;
      continue;
    }
    const what = isolate_one(cc, b);
    if (what === "abort") break;
    if (what === "isolated" && cc.nr_migratepages >= COMPACT_CLUSTER_MAX && !cc.rescan && !cc.contended) {
      ++b.pfn;
      break;
    }
    if (what === "fail" && skip_on_failure) skip_failed_block(cc, b);
  }
  if (b.pfn > end_pfn) b.pfn = end_pfn;
  if (b.pfn === end_pfn && (b.isolated === 0 || cc.rescan)) {
    if (b.valid_page !== 0 && !b.skip_updated) cc.zc.set_pageblock_skip(b.valid_page, true);
    update_cached_migrate(cc, b.pfn);
  }
  if (b.isolated > 0) count_vm_events(cc.k, COMPACTISOLATED, b.isolated);
  cc.migrate_pfn = b.pfn;
  return true;
}

/** @kernel mm/compaction.c:suitable_migration_source @fidelity mirrored */
function suitable_migration_source(cc: compact_control, pfn: number): boolean {
  if (cc.mode !== MIGRATE_ASYNC || !cc.direct_compaction) return true;
  const mt = get_pageblock_migratetype(cc.k.mem, pfn);
  if (cc.migratetype === MIGRATE_MOVABLE) return mt === MIGRATE_MOVABLE || mt === MIGRATE_CMA;
  return mt === cc.migratetype;
}

function reinit_migrate_pfn(cc: compact_control): number {
  if (cc.fast_start_pfn === 0 || cc.fast_start_pfn === Infinity) return cc.migrate_pfn;
  cc.migrate_pfn = cc.fast_start_pfn;
  cc.fast_start_pfn = Infinity;
  return cc.migrate_pfn;
}

/** Puts a free list's blocks up to this one behind its end. @kernel mm/compaction.c:move_freelist_tail @fidelity mirrored */
function move_freelist_tail(cc: compact_control, order: number, pfn: number): void {
  const list = cc.zone.free_area[order]!.free_list[MIGRATE_MOVABLE]!;
  if (list.head === pfn) return;
  for (;;) {
    const head = list.head;
    list_del(cc.k.mem, list, head);
    list_add_tail(cc.k.mem, list, head);
    if (head === pfn) return;
  }
}

/** Looks through one movable free list for a pageblock that is partly free, below `high_pfn`; 0 if there is none. */
function search_migrateblock(
  cc: compact_control,
  order: number,
  high_pfn: number,
  limit: number,
  n: { scanned: number },
): number {
  const list = cc.zone.free_area[order]!.free_list[MIGRATE_MOVABLE]!;
  for (let at = list.head; at !== NULL_PFN; at = list_next(cc.k.mem, at)) {
    if (n.scanned++ >= limit) {
      move_freelist_tail(cc, order, at);
      return NULL_PFN;
    }
    if (at >= high_pfn || cc.zc.get_pageblock_skip(at)) continue;
    move_freelist_tail(cc, order, at);
    if (cc.fast_start_pfn !== Infinity) {
      cc.fast_start_pfn = cc.fast_start_pfn === 0 ? at : Math.min(cc.fast_start_pfn, at);
    }
    cc.fast_search_fail = 0;
    cc.zc.set_pageblock_skip(at, true);
    return Math.max(pageblock_start(at), cc.zone.zone_start_pfn);
  }
  return NULL_PFN;
}

/**
 * Where to scan next: a pageblock that the free lists say is partly free already, or just the next one.
 * @kernel mm/compaction.c:fast_find_migrateblock
 * @fidelity mirrored
 */
function fast_find_migrateblock(cc: compact_control): number {
  const pfn = cc.migrate_pfn;
  const start = cc.zone.zone_start_pfn;
  if (cc.ignore_skip_hint) return pfn;
  if (pfn !== start && pfn % pageblock_nr_pages !== 0) return pfn;
  if (cc.order <= PAGE_ALLOC_COSTLY_ORDER) return pfn;
  if (cc.direct_compaction && cc.migratetype !== MIGRATE_MOVABLE) return pfn;
  const limit = freelist_scan_limit(cc);
  let distance = (cc.free_pfn - pfn) >>> 1;
  if (pfn !== start) distance >>>= 2;
  const high_pfn = pageblock_start(pfn + distance);
  const n = { scanned: 0 };
  let found = NULL_PFN;
  for (let order = cc.order - 1; order >= PAGE_ALLOC_COSTLY_ORDER && found === NULL_PFN && n.scanned < limit; order--) {
    if (cc.zone.free_area[order]!.nr_free > 0) found = search_migrateblock(cc, order, high_pfn, limit, n);
  }
  cc.total_migrate_scanned += n.scanned;
  if (found !== NULL_PFN) return found;
  cc.fast_search_fail++;
  return reinit_migrate_pfn(cc);
}

/**
 * Gathers pages to be moved from the next pageblock that has any. ISOLATE_….
 * @kernel mm/compaction.c:isolate_migratepages
 * @fidelity mirrored
 */
export function isolate_migratepages(cc: compact_control): number {
  let low_pfn = fast_find_migrateblock(cc);
  let fast_find_block = low_pfn !== cc.migrate_pfn && cc.fast_search_fail === 0;
  let block_end = pageblock_end(low_pfn);
  while (block_end <= cc.free_pfn) {
    const skip =
      !fast_find_block &&
      low_pfn % pageblock_nr_pages === 0 &&
      !cc.ignore_skip_hint &&
      cc.zc.get_pageblock_skip(low_pfn);
    if (!skip && !suitable_migration_source(cc, low_pfn)) update_cached_migrate(cc, block_end);
    else if (!skip) {
      if (!isolate_migratepages_block(cc, low_pfn, block_end)) return ISOLATE_ABORT;
      break;
    }
    fast_find_block = false;
    cc.migrate_pfn = low_pfn = block_end;
    block_end += pageblock_nr_pages;
  }
  return cc.nr_migratepages > 0 ? ISOLATE_SUCCESS : ISOLATE_NONE;
}
