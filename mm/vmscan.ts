// SPDX-License-Identifier: GPL-2.0-only
/** Page reclaim (mm/vmscan.c): kswapd, direct reclaim and MADV_PAGEOUT on a machine without swap. */
import { __GFP_FS, __GFP_IO } from "../include/linux/gfp.js";
import { PFN_SECTION_MASK, folio_mapped, folio_nr_pages, page_owner_of } from "../include/linux/mem_map.js";
import {
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_FILE,
  MAX_NR_ZONES,
  NULL_PFN,
  WMARK_HIGH,
  ZONE_RECLAIM_ACTIVE,
  page_list,
  pageblock_order,
  type pglist_data,
  type zone,
} from "../include/linux/mmzone.js";
import {
  PG_active,
  PG_dirty,
  PG_head,
  PG_locked,
  PG_mlocked,
  PG_referenced,
  PG_swapbacked,
  PG_writeback,
} from "../include/linux/page-flags.js";
import { TTU_BATCH_FLUSH, TTU_SPLIT_HUGE_PMD } from "../include/linux/rmap.js";
import { PF_MEMALLOC } from "../include/linux/sched.js";
import {
  ALLOCSTALL_DMA,
  NR_ZONE_ACTIVE_FILE,
  NR_ZONE_INACTIVE_FILE,
  PGACTIVATE,
  PGDEACTIVATE,
  PGLAZYFREED,
  PGREFILL,
  PGSCAN_DIRECT,
  PGSCAN_KSWAPD,
  PGSTEAL_DIRECT,
  PGSTEAL_KSWAPD,
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { list_pages } from "../lib/pagelist.js";
import { reset_isolation_suitable, wakeup_kcompactd } from "./compaction.js";
import { filemap_remove_folio, folio_trylock, folio_unlock } from "./filemap.js";
import { can_split_folio, split_huge_page_to_list } from "./huge_memory/split.js";
import type { alloc_context } from "./page_alloc/context.js";
import { wmark_pages, zone_watermark_ok_safe } from "./page_alloc/watermark.js";
import { page_maybe_dma_pinned } from "./rmap.js";
import { folio_referenced, try_to_unmap } from "./rmap/unmap.js";
import { folio_evictable, folio_isolate_lru, folio_putback_lru, lru_add_drain, put_page } from "./swap.js";
import { count_vm_event, count_vm_events } from "./vmstat.js";
import { shrink_slab } from "./vmscan/shrinker.js";

const MAX_RECLAIM_RETRIES = 16;
const DEF_PRIORITY = 12;
const SWAP_CLUSTER_MAX = 32;

/** What became of one page: it is gone; it stays where it was; it is to be made active. */
const FREED = 0;
const KEEP = 1;
const ACTIVATE = 2;

/** How hard a pass tries: may it enter file systems? Does it act for kswapd? */
interface scan_control {
  readonly gfp_mask: number;
  readonly kswapd: boolean;
  nr_scanned: number;
  nr_reclaimed: number;
}

/** @kernel mm/vmscan.c:folio_check_references @fidelity mirrored: ACTIVATE, KEEP, FREED to reclaim it, -1 only if clean */
function folio_check_references(k: Machine, pfn: number): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const referenced_ptes = folio_referenced(k, pfn);
  const referenced_folio = (s.flags[i]! & PG_referenced) !== 0;
  s.flags[i]! &= ~PG_referenced;
  if (referenced_ptes < 0) return ACTIVATE;
  if (referenced_ptes > 0) {
    s.flags[i]! |= PG_referenced;
    return referenced_folio || referenced_ptes > 1 ? ACTIVATE : KEEP;
  }
  return referenced_folio && (s.flags[i]! & PG_swapbacked) === 0 ? -1 : FREED;
}

/** What writing a dirty page would come to: without swap shmem cannot be written, and a file's pages are for the flusher. */
function pageout(k: Machine, pfn: number, sc: scan_control, clean_only: boolean): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if ((s.flags[i]! & PG_swapbacked) === 0) return ACTIVATE;
  if (clean_only || (sc.gfp_mask & __GFP_FS) === 0) return KEEP;
  return s.refcount[i] === 2 ? ACTIVATE : KEEP;
}

/**
 * Without swap a huge page is split in the hope of swapping its pages: those that it leaves go to `more`.
 * @kernel mm/vmscan.c:shrink_folio_list
 * @fidelity mirrored (no swap, to which nothing can be added)
 */
function split_for_swap(k: Machine, pfn: number, more: number[]): void {
  if (can_split_folio(k, pfn)) split_to_list(k, pfn, more);
}

/** Splits an isolated huge page; its other pages go to `more`. */
function split_to_list(k: Machine, pfn: number, more: number[]): boolean {
  const tails = new page_list();
  if (split_huge_page_to_list(k, pfn, tails) !== 0) return false;
  more.push(...list_pages(k.mem, tails));
  return true;
}

/** Reclaims one isolated, locked page if nothing speaks against it; FREED, KEEP or ACTIVATE. */
function shrink_locked_folio(k: Machine, pfn: number, sc: scan_control, more: number[]): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (!folio_evictable(k.mem, pfn)) return ACTIVATE;
  if (s.flags[i]! & PG_writeback) return ACTIVATE;
  const references = folio_check_references(k, pfn);
  if (references === ACTIVATE || references === KEEP) return references;
  const owner = page_owner_of(k.mem, pfn);
  const anon = owner?.is_anon === true;
  if (anon && s.flags[i]! & PG_swapbacked) {
    if ((sc.gfp_mask & __GFP_IO) === 0 || page_maybe_dma_pinned(k, pfn)) return KEEP;
    if (s.flags[i]! & PG_head) split_for_swap(k, pfn, more);
    return ACTIVATE;
  }
  if (!anon && s.flags[i]! & PG_swapbacked && s.flags[i]! & PG_head && !split_to_list(k, pfn, more)) return KEEP;
  const ttu = s.flags[i]! & PG_head ? TTU_BATCH_FLUSH | TTU_SPLIT_HUGE_PMD : TTU_BATCH_FLUSH;
  if (folio_mapped(k.mem, pfn) && !try_to_unmap(k, pfn, ttu)) return ACTIVATE;
  if (page_maybe_dma_pinned(k, pfn)) return ACTIVATE;
  if (s.flags[i]! & PG_dirty && !(anon && (s.flags[i]! & PG_swapbacked) === 0))
    return pageout(k, pfn, sc, references === -1);
  if (anon) {
    if (s.refcount[i] !== 1) return KEEP;
    count_vm_events(k, PGLAZYFREED, folio_nr_pages(k.mem, pfn));
    return FREED;
  }
  if (owner === undefined || s.refcount[i] !== 1 + folio_nr_pages(k.mem, pfn)) return KEEP;
  filemap_remove_folio(k, pfn);
  return FREED;
}

/**
 * Reclaims what can be reclaimed of isolated pages, last first; the rest goes back to the LRU lists.
 * Returns the number of pages freed.
 * @kernel mm/vmscan.c:shrink_folio_list
 * @fidelity simplified: no swap, so anonymous and dirty shmem pages stay; dirty pages of files wait for a flusher
 */
function shrink_folio_list(k: Machine, pfns: readonly number[], sc: scan_control): number {
  let nr_reclaimed = 0;
  const list = [...pfns];
  for (let pfn = list.pop(); pfn !== undefined; pfn = list.pop()) {
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    const nr_pages = folio_nr_pages(k.mem, pfn);
    sc.nr_scanned += nr_pages;
    let verdict = KEEP;
    if (folio_trylock(k, pfn)) {
      verdict = shrink_locked_folio(k, pfn, sc, list);
      if (s.flags[i]! & PG_locked) folio_unlock(k, pfn);
    }
    if (verdict === FREED) {
      nr_reclaimed += nr_pages;
      put_page(k, pfn);
      continue;
    }
    if (verdict === ACTIVATE && (s.flags[i]! & PG_mlocked) === 0) {
      s.flags[i]! |= PG_active;
      count_vm_events(k, PGACTIVATE, folio_nr_pages(k.mem, pfn));
    }
    folio_putback_lru(k, pfn);
  }
  sc.nr_reclaimed += nr_reclaimed;
  return nr_reclaimed;
}

/**
 * Reclaims isolated pages at once, for MADV_PAGEOUT; returns how many it freed.
 * @kernel mm/vmscan.c:reclaim_pages
 * @fidelity simplified: as shrink_folio_list
 */
export function reclaim_pages(k: Machine, pfns: readonly number[]): number {
  const noreclaim_flag = k.current.flags & PF_MEMALLOC;
  k.current.flags |= PF_MEMALLOC;
  for (const pfn of pfns) k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! &= ~PG_active;
  const gfp_mask = __GFP_IO | __GFP_FS;
  const nr = shrink_folio_list(k, pfns, { gfp_mask, kswapd: false, nr_scanned: 0, nr_reclaimed: 0 });
  k.current.flags = (k.current.flags & ~PF_MEMALLOC) | noreclaim_flag;
  return nr;
}

/** Takes up to `nr` pages off the tail of an LRU list, in that order. @kernel mm/vmscan.c:isolate_lru_folios */
function isolate_lru_folios(k: Machine, node: pglist_data, lru: number, nr: number): number[] {
  const taken: number[] = [];
  const list = node.__lruvec.lists[lru]!;
  while (taken.length < nr && list.tail !== NULL_PFN) {
    const pfn = list.tail;
    if (!folio_isolate_lru(k, pfn)) break;
    taken.push(pfn);
  }
  return taken;
}

/** @kernel mm/vmscan.c:shrink_active_list @fidelity simplified: the oldest pages become inactive, used or not */
function shrink_active_list(k: Machine, node: pglist_data, nr: number): void {
  const pfns = isolate_lru_folios(k, node, LRU_ACTIVE_FILE, nr);
  count_vm_events(k, PGREFILL, pfns.length);
  for (const pfn of pfns) {
    k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! &= ~PG_active;
    count_vm_event(k, PGDEACTIVATE);
    folio_putback_lru(k, pfn);
  }
}

/**
 * One pass over a node's lists of file pages: the 2^priority-th part of them.
 * @kernel mm/vmscan.c:shrink_node
 * @fidelity simplified: without swap the anonymous lists are not scanned; no memory cgroups
 */
function shrink_node(k: Machine, node: pglist_data, priority: number, sc: scan_control): void {
  lru_add_drain(k);
  const lists = node.__lruvec.lists;
  const inactive = lists[LRU_INACTIVE_FILE]!;
  const active = lists[LRU_ACTIVE_FILE]!;
  let nr = inactive.nr >>> priority;
  if (nr === 0 && priority < DEF_PRIORITY - 2) nr = Math.min(inactive.nr, SWAP_CLUSTER_MAX);
  while (nr > 0 && sc.nr_reclaimed < SWAP_CLUSTER_MAX) {
    const pfns = isolate_lru_folios(k, node, LRU_INACTIVE_FILE, Math.min(nr, SWAP_CLUSTER_MAX));
    if (pfns.length === 0) break;
    nr -= pfns.length;
    const freed = shrink_folio_list(k, pfns.reverse(), sc);
    count_vm_events(k, sc.kswapd ? PGSCAN_KSWAPD : PGSCAN_DIRECT, pfns.length);
    count_vm_events(k, sc.kswapd ? PGSTEAL_KSWAPD : PGSTEAL_DIRECT, freed);
  }
  if (active.nr > inactive.nr) shrink_active_list(k, node, Math.max(active.nr >>> priority, SWAP_CLUSTER_MAX));
  shrink_slab(k, priority);
}

/**
 * Pages of a zone that reclaim could get back: without swap, those of files.
 * @kernel mm/vmscan.c:zone_reclaimable_pages
 * @fidelity simplified: no swap, so no anonymous pages
 */
export function zone_reclaimable_pages(z: zone): number {
  return z.vm_stat[NR_ZONE_INACTIVE_FILE]! + z.vm_stat[NR_ZONE_ACTIVE_FILE]!;
}

/**
 * Reclaims for an allocation that found no page; says how many pages it got back.
 * @kernel mm/vmscan.c:try_to_free_pages
 * @fidelity simplified: no throttling; as shrink_node
 */
export function try_to_free_pages(k: Machine, ac: alloc_context, _order: number, gfp_mask: number): number {
  const sc: scan_control = { gfp_mask, kswapd: false, nr_scanned: 0, nr_reclaimed: 0 };
  count_vm_event(k, ALLOCSTALL_DMA + (ac.zonelist[0]?.idx ?? 0));
  for (let priority = DEF_PRIORITY; priority >= 0; priority--) {
    let last = -1;
    for (const z of ac.zonelist) {
      if (z.node === last) continue;
      last = z.node;
      shrink_node(k, k.nodes[z.node]!, priority, sc);
    }
    if (sc.nr_reclaimed >= SWAP_CLUSTER_MAX) break;
  }
  return sc.nr_reclaimed;
}

function pgdat_watermark_boosted(node: pglist_data, highest_zoneidx: number): boolean {
  for (let i = highest_zoneidx; i >= 0; i--) {
    const z = node.node_zones[i];
    if (z !== undefined && z.watermark_boost > 0) return true;
  }
  return false;
}

/** @kernel mm/vmscan.c:pgdat_balanced @fidelity mirrored */
function pgdat_balanced(node: pglist_data, order: number, highest_zoneidx: number): boolean {
  let any = false;
  for (let i = 0; i <= highest_zoneidx; i++) {
    const z = node.node_zones[i];
    if (z === undefined || z.managed_pages === 0) continue;
    any = true;
    if (zone_watermark_ok_safe(z, order, wmark_pages(z, WMARK_HIGH), highest_zoneidx)) return true;
  }
  return !any;
}

function set_reclaim_active(node: pglist_data, highest_zoneidx: number, active: boolean): void {
  for (let i = 0; i <= highest_zoneidx; i++) {
    const z = node.node_zones[i];
    if (z !== undefined) z.flags = active ? z.flags | ZONE_RECLAIM_ACTIVE : z.flags & ~ZONE_RECLAIM_ACTIVE;
  }
}

/** kswapd's passes, harder each time. Pages reclaimed, or -1 when there was nothing to do. */
function balance_passes(k: Machine, node: pglist_data, order: number, highest_zoneidx: number, boost: boolean): number {
  const sc: scan_control = { gfp_mask: __GFP_IO | __GFP_FS, kswapd: true, nr_scanned: 0, nr_reclaimed: 0 };
  let total = 0;
  for (let priority = DEF_PRIORITY; priority >= 1; priority--) {
    const balanced = pgdat_balanced(node, order, highest_zoneidx);
    if (!balanced && boost) {
      boost = false;
      priority = DEF_PRIORITY;
    }
    if (balanced && !boost) return priority === DEF_PRIORITY ? -1 : total;
    sc.nr_reclaimed = 0;
    shrink_node(k, node, priority, sc);
    total += sc.nr_reclaimed;
    if (boost && (sc.nr_reclaimed === 0 || priority === DEF_PRIORITY - 2)) break;
  }
  return total;
}

/**
 * Brings a node back above its high watermarks, as far as there is anything to reclaim, and takes back the boost that
 * its watermarks had.
 * @kernel mm/vmscan.c:balance_pgdat
 * @fidelity simplified: as shrink_node; no ageing of anonymous pages
 */
function balance_pgdat(k: Machine, node: pglist_data, order: number, highest_zoneidx: number): void {
  const zones = node.node_zones.slice(0, Math.min(highest_zoneidx + 1, MAX_NR_ZONES)).filter((z) => z !== undefined);
  const boosted = pgdat_watermark_boosted(node, highest_zoneidx);
  const boosts = zones.map((z) => z.watermark_boost);
  const noreclaim_flag = k.current.flags & PF_MEMALLOC;
  k.current.flags |= PF_MEMALLOC;
  set_reclaim_active(node, highest_zoneidx, true);
  const reclaimed = balance_passes(k, node, order, highest_zoneidx, boosted);
  if (reclaimed > 0) node.kswapd_failures = 0;
  else if (reclaimed === 0) node.kswapd_failures++;
  set_reclaim_active(node, highest_zoneidx, false);
  k.current.flags = (k.current.flags & ~PF_MEMALLOC) | noreclaim_flag;
  zones.forEach((z, n) => (z.watermark_boost -= Math.min(z.watermark_boost, boosts[n]!)));
  if (boosted) wakeup_kcompactd(k, node, pageblock_order, highest_zoneidx);
}

/**
 * Has kswapd look after a node whose zone runs low or was fragmented. It runs at once, before the caller goes on.
 * @kernel mm/vmscan.c:wakeup_kswapd
 * @fidelity simplified: kswapd does not sleep, it runs when it is woken, on behalf of the caller
 */
export function wakeup_kswapd(k: Machine, z: zone, _gfp_flags: number, order: number, highest_zoneidx: number): void {
  if (z.managed_pages === 0 || k.current.flags & PF_MEMALLOC) return;
  const node = k.nodes[z.node]!;
  if (node.kswapd_failures >= MAX_RECLAIM_RETRIES) return;
  if (pgdat_balanced(node, order, highest_zoneidx) && !pgdat_watermark_boosted(node, highest_zoneidx)) return;
  balance_pgdat(k, node, order, highest_zoneidx);
  if (pgdat_balanced(node, order, highest_zoneidx)) reset_isolation_suitable(k, node);
}
