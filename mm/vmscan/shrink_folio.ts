// SPDX-License-Identifier: GPL-2.0-only
/** What becomes of isolated pages (mm/vmscan.c: shrink_folio_list): freed, written to swap first, or put back. */
import type { address_space } from "../../include/linux/fs.js";
import { GFP_KERNEL, __GFP_FS, __GFP_IO } from "../../include/linux/gfp.js";
import {
  compound_mapcount,
  folio_mapped,
  folio_nr_pages,
  page_owner_of,
  page_test,
  PFN_SECTION_MASK,
  swap_entry_of,
} from "../../include/linux/mem_map.js";
import { page_list, type zone } from "../../include/linux/mmzone.js";
import {
  PG_active,
  PG_dirty,
  PG_head,
  PG_locked,
  PG_mlocked,
  PG_reclaim,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_writeback,
} from "../../include/linux/page-flags.js";
import { TTU_BATCH_FLUSH, TTU_SPLIT_HUGE_PMD } from "../../include/linux/rmap.js";
import { memalloc_noreclaim_restore, memalloc_noreclaim_save } from "../../include/linux/sched/mm.js";
import { vm_swap_full } from "../../include/linux/swap.js";
import {
  NR_ISOLATED_ANON,
  NR_ISOLATED_FILE,
  PGACTIVATE,
  PGLAZYFREED,
  THP_SWPOUT_FALLBACK,
} from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_add, list_del, list_pages } from "../../lib/pagelist.js";
import { filemap_remove_folio, folio_trylock, folio_unlock } from "../filemap.js";
import { can_split_folio, split_huge_page_to_list } from "../huge_memory/split.js";
import { end_swap_writes, swap_writepage } from "../page_io.js";
import { page_maybe_dma_pinned } from "../rmap.js";
import { folio_referenced, try_to_unmap } from "../rmap/unmap.js";
import { shmem_writepage } from "../shmem/swap.js";
import { folio_evictable, folio_putback_lru, put_page } from "../swap.js";
import { __delete_from_swap_cache, add_to_swap } from "../swap_state.js";
import { folio_free_swap, put_swap_folio } from "../swapfile.js";
import { __mod_node_page_state, count_vm_event, count_vm_events } from "../vmstat.js";
import { workingset_eviction } from "../workingset.js";

/** What became of one page: it is gone; it stays where it was; it is to be made active. */
const FREED = 0;
const KEEP = 1;
const ACTIVATE = 2;
/** Of writing a page: it is clean now, and may go. */
const CLEAN = 3;

/** How hard a pass tries: may it enter file systems? Does it act for kswapd? */
export interface scan_control {
  readonly gfp_mask: number;
  readonly kswapd: boolean;
  /** Pages go though they were used lately; those that stay are listed here rather than put back. */
  readonly kept: number[] | undefined;
  nr_scanned: number;
  nr_reclaimed: number;
  /** Pages that were written, and those that went back to the lists active. */
  nr_pageout: number;
  nr_activated: number;
}

/** A pass that begins. */
export function begin_scan(gfp_mask: number, kswapd: boolean, kept?: number[]): scan_control {
  return { gfp_mask, kswapd, kept, nr_scanned: 0, nr_reclaimed: 0, nr_pageout: 0, nr_activated: 0 };
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

/**
 * Writes a dirty page to swap.
 * @kernel mm/vmscan.c:pageout
 * @fidelity simplified: pages of files are for the flusher
 * @returns CLEAN, KEEP or ACTIVATE; the page may be unlocked
 */
function pageout(k: Machine, pfn: number, sc: scan_control, clean_only: boolean): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if ((s.flags[i]! & PG_swapbacked) === 0) return ACTIVATE;
  const cached = (s.flags[i]! & PG_swapcache) !== 0;
  const may_enter_fs = (sc.gfp_mask & __GFP_FS) !== 0 || (cached && (sc.gfp_mask & __GFP_IO) !== 0);
  if (clean_only || !may_enter_fs || s.refcount[i] !== 1 + folio_nr_pages(k.mem, pfn)) return KEEP;
  const mapping = page_owner_of(k.mem, pfn);
  if (!cached && (mapping === undefined || mapping.is_anon)) return KEEP;
  s.flags[i] = (s.flags[i]! & ~PG_dirty) | PG_reclaim;
  if (cached) swap_writepage(k, pfn);
  else if (!shmem_writepage(k, mapping as address_space, pfn)) {
    s.flags[i] &= ~PG_reclaim;
    return ACTIVATE;
  }
  sc.nr_pageout += folio_nr_pages(k.mem, pfn);
  if (s.flags[i] & PG_writeback) return KEEP;
  s.flags[i] &= ~PG_reclaim;
  return s.flags[i] & PG_dirty || !folio_trylock(k, pfn) ? KEEP : CLEAN;
}

/** Splits an isolated huge page; its other pages go to `more`. */
function split_to_list(k: Machine, pfn: number, more: number[]): boolean {
  const tails = new page_list();
  if (split_huge_page_to_list(k, pfn, tails) !== 0) return false;
  more.push(...list_pages(k.mem, tails));
  return true;
}

/**
 * Gives an anonymous page a slot. A huge one gets a cluster, or is split where only small entries map it or there is no
 * cluster, and its other pages go to `more`.
 * @kernel mm/vmscan.c:shrink_folio_list (middle)
 * @fidelity mirrored
 */
function get_swap(k: Machine, pfn: number, more: number[]): boolean {
  if (!page_test(k.mem, pfn, PG_head)) return add_to_swap(k, pfn);
  if (!can_split_folio(k, pfn)) return false;
  if (compound_mapcount(k.mem, pfn) === 0) return split_to_list(k, pfn, more) && add_to_swap(k, pfn);
  if (add_to_swap(k, pfn)) return true;
  if (!split_to_list(k, pfn, more)) return false;
  count_vm_event(k, THP_SWPOUT_FALLBACK);
  return add_to_swap(k, pfn);
}

/** Takes a clean page that only the isolation still holds out of its cache. @kernel mm/vmscan.c:__remove_mapping */
function __remove_mapping(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const cached = (s.flags[i]! & PG_swapcache) !== 0;
  if (!cached && page_owner_of(k.mem, pfn) === undefined) return false;
  if (s.refcount[i] !== 1 + folio_nr_pages(k.mem, pfn) || s.flags[i]! & PG_dirty) return false;
  if (cached) {
    const entry = swap_entry_of(k.mem, pfn);
    const nr = folio_nr_pages(k.mem, pfn);
    __delete_from_swap_cache(k, pfn, workingset_eviction(k, pfn));
    put_swap_folio(k, entry, nr);
    s.addRefs(i, -nr);
  } else {
    filemap_remove_folio(k, pfn, s.flags[i]! & PG_swapbacked ? 0 : workingset_eviction(k, pfn));
  }
  return true;
}

/** Reclaims one isolated, locked page if nothing speaks against it; FREED, KEEP or ACTIVATE. */
function shrink_locked_folio(k: Machine, pfn: number, sc: scan_control, more: number[]): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (!folio_evictable(k.mem, pfn)) return ACTIVATE;
  if (s.flags[i]! & PG_writeback) {
    s.flags[i]! |= PG_reclaim;
    return ACTIVATE;
  }
  const references = sc.kept === undefined ? folio_check_references(k, pfn) : FREED;
  if (references === ACTIVATE || references === KEEP) return references;
  const anon = page_owner_of(k.mem, pfn)?.is_anon === true;
  const lazyfree = anon && (s.flags[i]! & PG_swapbacked) === 0;
  if (anon && !lazyfree) {
    if (!(s.flags[i]! & PG_swapcache)) {
      if ((sc.gfp_mask & __GFP_IO) === 0 || page_maybe_dma_pinned(k, pfn)) return KEEP;
      if (!get_swap(k, pfn, more)) return ACTIVATE;
    }
  } else if (s.flags[i]! & PG_swapbacked && s.flags[i]! & PG_head && !split_to_list(k, pfn, more)) return KEEP;
  const ttu = s.flags[i]! & PG_head ? TTU_BATCH_FLUSH | TTU_SPLIT_HUGE_PMD : TTU_BATCH_FLUSH;
  if (folio_mapped(k.mem, pfn) && !try_to_unmap(k, pfn, ttu)) return ACTIVATE;
  if (page_maybe_dma_pinned(k, pfn)) return ACTIVATE;
  if (s.flags[i]! & PG_dirty && !lazyfree) {
    const written = pageout(k, pfn, sc, references === -1);
    if (written !== CLEAN) return written;
  }
  if (!lazyfree) return __remove_mapping(k, pfn) ? FREED : KEEP;
  if (s.refcount[i] !== 1) return KEEP;
  count_vm_events(k, PGLAZYFREED, folio_nr_pages(k.mem, pfn));
  return FREED;
}

/** Makes a page active that is not to be reclaimed now. @kernel mm/vmscan.c:shrink_folio_list (activate_locked) */
function activate(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const mlocked = (s.flags[i]! & PG_mlocked) !== 0;
  if (s.flags[i]! & PG_swapcache && (mlocked || vm_swap_full(k))) folio_free_swap(k, pfn);
  if (mlocked) return;
  s.flags[i]! |= PG_active;
  count_vm_events(k, PGACTIVATE, folio_nr_pages(k.mem, pfn));
}

/**
 * Reclaims what can be reclaimed of isolated pages, last first; the rest goes back to the LRU lists.
 * Returns the number of pages freed.
 * @kernel mm/vmscan.c:shrink_folio_list
 * @fidelity simplified: dirty pages of files wait for a flusher
 */
export function shrink_folio_list(k: Machine, pfns: readonly number[], sc: scan_control): number {
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
      if (verdict === ACTIVATE) activate(k, pfn);
      if (s.flags[i]! & PG_locked) folio_unlock(k, pfn);
    }
    if (verdict === FREED) {
      nr_reclaimed += nr_pages;
      put_page(k, pfn);
      continue;
    }
    if (sc.kept !== undefined) {
      sc.kept.push(pfn);
      continue;
    }
    if (s.flags[i]! & PG_active && folio_evictable(k.mem, pfn)) sc.nr_activated += folio_nr_pages(k.mem, pfn);
    folio_putback_lru(k, pfn);
  }
  sc.nr_reclaimed += nr_reclaimed;
  return nr_reclaimed;
}

/**
 * Reclaims isolated pages at once, for MADV_PAGEOUT; returns how many it freed.
 * @kernel mm/vmscan.c:reclaim_pages
 * @fidelity mirrored: a device that takes its time has written its pages when this returns
 */
export function reclaim_pages(k: Machine, pfns: readonly number[]): number {
  const noreclaim_flag = memalloc_noreclaim_save(k);
  for (const pfn of pfns) k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! &= ~PG_active;
  const nr = shrink_folio_list(k, pfns, begin_scan(__GFP_IO | __GFP_FS, false));
  end_swap_writes(k);
  memalloc_noreclaim_restore(k, noreclaim_flag);
  return nr;
}

/**
 * Drops the clean pages of files among isolated pages, so that they need not be migrated; the rest stays on the list.
 * @kernel mm/vmscan.c:reclaim_clean_pages_from_list
 * @fidelity mirrored
 * @returns pages that were dropped
 */
export function reclaim_clean_pages_from_list(k: Machine, z: zone, l: page_list): number {
  const clean: number[] = [];
  for (const pfn of list_pages(k.mem, l)) {
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (s.flags[i]! & (PG_swapbacked | PG_dirty | PG_unevictable)) continue;
    s.flags[i]! &= ~PG_active;
    list_del(k.mem, l, pfn);
    clean.unshift(pfn);
  }
  if (clean.length === 0) return 0;
  const noreclaim_flag = memalloc_noreclaim_save(k);
  const kept: number[] = [];
  const nr = shrink_folio_list(k, clean, begin_scan(GFP_KERNEL, false, kept));
  memalloc_noreclaim_restore(k, noreclaim_flag);
  const node = k.nodes[z.node]!;
  __mod_node_page_state(node, NR_ISOLATED_FILE, -nr);
  for (const pfn of kept) {
    list_add(k.mem, l, pfn);
    if (!page_test(k.mem, pfn, PG_swapbacked)) continue;
    __mod_node_page_state(node, NR_ISOLATED_ANON, folio_nr_pages(k.mem, pfn));
    __mod_node_page_state(node, NR_ISOLATED_FILE, -folio_nr_pages(k.mem, pfn));
  }
  return nr;
}
