// SPDX-License-Identifier: GPL-2.0-only
/** The swap cache, and reading pages of it ahead (mm/swap_state.c). */
import { VM_BUG_ON } from "../include/linux/bug.js";
import { __GFP_HIGH, __GFP_NOMEMALLOC, __GFP_NOWARN } from "../include/linux/gfp.js";
import {
  compound_head,
  folio_mapped,
  folio_nr_pages,
  page_test,
  page_zone,
  PFN_SECTION_MASK,
  set_swap_entry,
  swap_entry_of,
} from "../include/linux/mem_map.js";
import { _PAGE_SWP, type policy_vma, type pte_table, type vm_area_struct } from "../include/linux/mm_types.js";
import {
  PG_dirty,
  PG_locked,
  PG_readahead,
  PG_swapbacked,
  PG_swapcache,
  PG_writeback,
} from "../include/linux/page-flags.js";
import {
  SWAP_ADDRESS_SPACE_SHIFT,
  swap_state_of,
  type swap_address_space,
  type swap_info_struct,
} from "../include/linux/swap.js";
import { non_swap_entry, swp_entry, swp_offset, type swp_entry_t, swp_type } from "../include/linux/swapops.js";
import { PAGE_SHIFT, PAGE_SIZE, PMD_SIZE } from "../include/linux/types.js";
import { NR_FILE_PAGES, NR_SWAPCACHE, SWAP_RA, SWAP_RA_HIT } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { xa_is_value } from "../lib/xarray.js";
import { ENOMEM } from "../uapi/errno.js";
import { folio_trylock, folio_unlock } from "./filemap.js";
import { alloc_page, alloc_page_vma } from "./page_alloc.js";
import { swap_readpage } from "./page_io.js";
import { pte_index } from "./pgtable.js";
import { GFP_RECLAIM_MASK } from "./shmem.js";
import { radix_tree_node_alloc, radix_tree_node_free } from "./slub.js";
import { folio_add_lru, get_page, lru_add_drain, put_page } from "./swap.js";
import { folio_alloc_swap } from "./swap_slots.js";
import { __swap_count, folio_free_swap, get_swap_device, put_swap_folio, swapcache_prepare } from "./swapfile.js";
import { count_vm_event } from "./vmstat.js";
import { workingset_refault } from "./workingset.js";

/** Most pages that a fault reads ahead around an address: 2 to the power of this. */
const SWAP_RA_ORDER_CEILING = 5;
const SWAP_RA_HITS_MAX = 63;

function space_of(k: Machine, entry: swp_entry_t): swap_address_space {
  return swap_state_of(k).swap_info[swp_type(entry)]!.spaces[swp_offset(entry) >>> SWAP_ADDRESS_SPACE_SHIFT]!;
}

/** The swap cache's page of a slot (of a huge one the part that is there), without a reference; 0 for none. */
export function swap_cache_peek(k: Machine, entry: swp_entry_t): number {
  if (get_swap_device(k, entry) === undefined) return 0;
  const page = space_of(k, entry).i_pages.load(swp_offset(entry));
  return xa_is_value(page) ? 0 : page;
}

/** The shadow of the page that was last written to a slot, 0 for none. @kernel mm/swap_state.c:get_shadow_from_swap_cache @fidelity mirrored */
export function get_shadow_from_swap_cache(k: Machine, entry: swp_entry_t): number {
  const page = space_of(k, entry).i_pages.load(swp_offset(entry));
  return xa_is_value(page) ? page : 0;
}

/** The swap cache's page of a slot, with a reference; 0 for none. */
export function swap_cache_get(k: Machine, entry: swp_entry_t): number {
  const pfn = swap_cache_peek(k, entry);
  if (pfn !== 0) get_page(k, pfn);
  return pfn;
}

function mod_swap_cache(k: Machine, pfn: number, n: number): void {
  const stat = k.nodes[page_zone(k.mem, pfn).node]!.vm_stat;
  stat[NR_FILE_PAGES]! += n;
  stat[NR_SWAPCACHE]! += n;
}

/**
 * Puts a locked page, or a huge one in `entry` and the slots behind it, into the swap cache, which takes a reference of
 * each of its pages. 0, or -ENOMEM where the index needs a node. A shadow that stands there goes.
 * @kernel mm/swap_state.c:add_to_swap_cache
 * @fidelity mirrored: who wants the shadow asks for it before
 */
export function add_to_swap_cache(k: Machine, pfn: number, entry: swp_entry_t, gfp: number): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(
    (s.flags[i]! & (PG_locked | PG_swapcache | PG_swapbacked)) !== (PG_locked | PG_swapbacked),
    "add_to_swap_cache",
  );
  const space = space_of(k, entry);
  const nr = folio_nr_pages(k.mem, pfn);
  const offset = swp_offset(entry);
  const before = space.i_pages.nodes;
  for (let n = 0; n < nr; n++) space.i_pages.store(offset + n, pfn + n, k.calls.now);
  const more = space.i_pages.nodes - before;
  if (more > 0 && !radix_tree_node_alloc(k, more, gfp)) {
    for (let n = 0; n < nr; n++) space.i_pages.erase(offset + n);
    return -ENOMEM;
  }
  s.addRefs(i, nr);
  s.flags[i]! |= PG_swapcache;
  set_swap_entry(k.mem, pfn, entry);
  space.nrpages += nr;
  mod_swap_cache(k, pfn, nr);
  return 0;
}

/** The entry into the kernel at which a page came into the swap cache. */
export function swap_cache_call(k: Machine, pfn: number): number {
  const entry = swap_entry_of(k.mem, pfn);
  return space_of(k, entry).i_pages.noted(swp_offset(entry));
}

/**
 * Puts another page, or huge page, in the place of one that moves there.
 * @kernel mm/migrate.c:folio_migrate_mapping (swap cache)
 * @fidelity as 6.1.192: tails of a huge page have their slots (those of v6.1 forget them)
 */
export function replace_in_swap_cache(k: Machine, newfolio: number, folio: number): void {
  const entry = swap_entry_of(k.mem, folio);
  k.mem.section(newfolio).flags[newfolio & PFN_SECTION_MASK]! |= PG_swapcache;
  set_swap_entry(k.mem, newfolio, entry);
  const { i_pages } = space_of(k, entry);
  for (let n = 0; n < folio_nr_pages(k.mem, folio); n++) i_pages.store(swp_offset(entry) + n, newfolio + n);
}

/** Takes a page out of the swap cache and leaves `shadow`, if any; the caller has the cache's references now. @kernel mm/swap_state.c:__delete_from_swap_cache */
export function __delete_from_swap_cache(k: Machine, pfn: number, shadow = 0): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const entry = swap_entry_of(k.mem, pfn);
  const nr = folio_nr_pages(k.mem, pfn);
  const kept = s.flags[i]! & (PG_locked | PG_swapcache | PG_writeback);
  VM_BUG_ON(kept !== (PG_locked | PG_swapcache), "__delete_from_swap_cache");
  const space = space_of(k, entry);
  const before = space.i_pages.nodes;
  for (let n = 0; n < nr; n++) {
    const offset = swp_offset(entry) + n;
    VM_BUG_ON(space.i_pages.load(offset) !== pfn + n, "page is not at its place in the swap cache");
    if (shadow === 0) space.i_pages.erase(offset);
    else space.i_pages.store(offset, shadow);
  }
  if (space.i_pages.nodes < before) radix_tree_node_free(k, before - space.i_pages.nodes);
  set_swap_entry(k.mem, pfn, null);
  s.flags[i]! &= ~PG_swapcache;
  space.nrpages -= nr;
  mod_swap_cache(k, pfn, -nr);
}

/**
 * Takes a page out of the swap cache, which gives up its slot and its reference.
 * @kernel mm/swap_state.c:delete_from_swap_cache
 * @fidelity mirrored
 */
export function delete_from_swap_cache(k: Machine, pfn: number): void {
  const entry = swap_entry_of(k.mem, pfn);
  const nr = folio_nr_pages(k.mem, pfn);
  __delete_from_swap_cache(k, pfn);
  put_swap_folio(k, entry, nr);
  k.mem.section(pfn).addRefs(pfn & PFN_SECTION_MASK, -nr);
}

/**
 * Slots [begin, end] of an area are free: what was written there is not missed any more.
 * @kernel mm/swap_state.c:clear_shadow_from_swap_cache
 * @fidelity mirrored
 */
export function clear_shadow_from_swap_cache(k: Machine, si: swap_info_struct, begin: number, end: number): void {
  for (let offset = begin; offset <= end; offset++) {
    const { i_pages } = si.spaces[offset >>> SWAP_ADDRESS_SPACE_SHIFT]!;
    if (!xa_is_value(i_pages.load(offset))) continue;
    const before = i_pages.nodes;
    i_pages.erase(offset);
    if (i_pages.nodes < before) radix_tree_node_free(k, before - i_pages.nodes);
  }
}

/**
 * Gives a locked anonymous page a slot, or a huge one a cluster, and puts it into the swap cache, dirty. False where swap
 * is full or has no cluster free, or there is no memory for the index.
 * @kernel mm/swap_state.c:add_to_swap
 * @fidelity mirrored
 */
export function add_to_swap(k: Machine, pfn: number): boolean {
  const nr = folio_nr_pages(k.mem, pfn);
  const entry = folio_alloc_swap(k, nr);
  if (entry === 0) return false;
  if (add_to_swap_cache(k, pfn, entry, __GFP_HIGH | __GFP_NOMEMALLOC | __GFP_NOWARN) !== 0) {
    put_swap_folio(k, entry, nr);
    return false;
  }
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_dirty;
  return true;
}

/** Takes a page, or the huge page that it is part of, out of the swap cache if nothing else needs it there. @kernel mm/swap_state.c:free_swap_cache @fidelity mirrored */
export function free_swap_cache(k: Machine, page: number): void {
  const pfn = compound_head(k.mem, page);
  if (!page_test(k.mem, pfn, PG_swapcache) || folio_mapped(k.mem, pfn) || !folio_trylock(k, pfn)) return;
  folio_free_swap(k, pfn);
  folio_unlock(k, pfn);
}

/** Where the swap cache's page is wanted: for the window of pages around an address. Null for a file. */
export interface swapin_place {
  readonly vma: vm_area_struct;
  readonly address: number;
  readonly table: pte_table | null;
}

/** By whose memory policy a page is allocated that is read from swap. */
export interface policy_place {
  readonly vma: policy_vma;
  readonly address: number;
}

function swap_use_vma_readahead(k: Machine): boolean {
  return k.config.swap_vma_ra_enabled !== false && swap_state_of(k).nr_rotate_swap === 0;
}

/** Most pages that one fault reads, as a power of two. @kernel mm/swap.c:page_cluster, swap_setup */
function page_cluster(k: Machine): number {
  return k.config.page_cluster ?? (k.totalram_pages >>> (20 - PAGE_SHIFT) < 16 ? 2 : 3);
}

/**
 * The swap cache's page of a slot, referenced, noting whether having read it ahead was worth it; 0 for none.
 * @kernel mm/swap_state.c:swap_cache_get_folio
 * @fidelity mirrored
 */
export function swap_cache_get_folio(k: Machine, entry: swp_entry_t, vma: vm_area_struct | null, addr: number): number {
  const pfn = swap_cache_get(k, entry);
  if (pfn === 0) return 0;
  const st = swap_state_of(k);
  const s = k.mem.section(pfn);
  const i = compound_head(k.mem, pfn) & PFN_SECTION_MASK;
  const readahead = (s.flags[i]! & PG_readahead) !== 0;
  s.flags[i]! &= ~PG_readahead;
  const vma_ra = swap_use_vma_readahead(k);
  if (vma !== null && vma_ra) {
    const { win, hits } = vma.swap_readahead_info;
    vma.swap_readahead_info = { addr, win, hits: readahead ? Math.min(hits + 1, SWAP_RA_HITS_MAX) : hits };
  }
  if (!readahead) return pfn;
  count_vm_event(k, SWAP_RA_HIT);
  if (vma === null || !vma_ra) st.swapin_readahead_hits++;
  return pfn;
}

/** Says whether {@link __read_swap_cache_async} made the page, which then has to be read. */
interface page_allocated {
  yes: boolean;
}

/**
 * The swap cache's page of a slot, referenced; a new one is locked and has to be read.
 * @kernel mm/swap_state.c:__read_swap_cache_async
 * @fidelity mirrored
 * @returns 0 where nobody has the slot, or there is no memory
 */
function __read_swap_cache_async(
  k: Machine,
  entry: swp_entry_t,
  gfp_mask: number,
  at: policy_place | null,
  fresh: page_allocated,
): number {
  fresh.yes = false;
  const there = swap_cache_get(k, entry);
  if (there !== 0) return there;
  if (__swap_count(k, entry) === 0 && swap_state_of(k).swap_slot_cache_enabled) return 0;
  const pfn = at === null ? alloc_page(k, gfp_mask) : alloc_page_vma(k, gfp_mask, at.vma, at.address);
  if (pfn === 0) return 0;
  if (swapcache_prepare(k, entry) !== 0) {
    put_page(k, pfn);
    return 0;
  }
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_locked | PG_swapbacked;
  const shadow = get_shadow_from_swap_cache(k, entry);
  if (add_to_swap_cache(k, pfn, entry, gfp_mask & GFP_RECLAIM_MASK) !== 0) {
    put_swap_folio(k, entry, 1);
    folio_unlock(k, pfn);
    put_page(k, pfn);
    return 0;
  }
  if (shadow !== 0) workingset_refault(k, pfn, shadow);
  folio_add_lru(k, pfn);
  fresh.yes = true;
  return pfn;
}

/**
 * The swap cache's page of a slot, referenced and on its way in; 0 as above.
 * @kernel mm/swap_state.c:read_swap_cache_async
 * @fidelity mirrored
 * @param at where it is wanted, null for no mapping
 * @param synchronous read before this returns, on any device
 */
export function read_swap_cache_async(
  k: Machine,
  entry: swp_entry_t,
  gfp_mask: number,
  at: policy_place | null,
  synchronous: boolean,
): number {
  const fresh: page_allocated = { yes: false };
  const pfn = __read_swap_cache_async(k, entry, gfp_mask, at, fresh);
  if (fresh.yes) swap_readpage(k, pfn, synchronous);
  return pfn;
}

/** Reads a page ahead, or the one that is wanted. */
function read_ahead(k: Machine, entry: swp_entry_t, gfp_mask: number, at: policy_place | null, wanted: boolean): void {
  const fresh: page_allocated = { yes: false };
  const pfn = __read_swap_cache_async(k, entry, gfp_mask, at, fresh);
  if (pfn === 0) return;
  if (fresh.yes) {
    swap_readpage(k, pfn, false);
    if (!wanted) {
      k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_readahead;
      count_vm_event(k, SWAP_RA);
    }
  }
  put_page(k, pfn);
}

/** How many pages to read, by what the last ones were good for. @kernel mm/swap_state.c:__swapin_nr_pages @fidelity mirrored */
function __swapin_nr_pages(prev: number, offset: number, hits: number, max_pages: number, prev_win: number): number {
  let pages = hits + 2;
  if (pages === 2) {
    if (offset !== prev + 1 && offset !== prev - 1) pages = 1;
  } else {
    let roundup = 4;
    while (roundup < pages) roundup <<= 1;
    pages = roundup;
  }
  return Math.max(Math.min(pages, max_pages), Math.floor(prev_win / 2));
}

function swapin_nr_pages(k: Machine, offset: number): number {
  const max_pages = 2 ** page_cluster(k);
  if (max_pages <= 1) return 1;
  const st = swap_state_of(k);
  const hits = st.swapin_readahead_hits;
  st.swapin_readahead_hits = 0;
  const pages = __swapin_nr_pages(st.prev_offset, offset, hits, max_pages, st.last_readahead_pages);
  if (hits === 0) st.prev_offset = offset;
  st.last_readahead_pages = pages;
  return pages;
}

/**
 * Reads a slot and those around it in its area; answers its page, referenced, or 0.
 * @kernel mm/swap_state.c:swap_cluster_readahead
 * @fidelity mirrored
 */
export function swap_cluster_readahead(
  k: Machine,
  entry: swp_entry_t,
  gfp_mask: number,
  at: policy_place | null,
): number {
  const offset = swp_offset(entry);
  const mask = swapin_nr_pages(k, offset) - 1;
  if (mask === 0) return read_swap_cache_async(k, entry, gfp_mask, at, true);
  const si = get_swap_device(k, entry)!;
  const start_offset = Math.max(offset & ~mask, 1);
  const end_offset = Math.min(offset | mask, si.max - 1);
  for (let o = start_offset; o <= end_offset; o++) read_ahead(k, swp_entry(si.type, o), gfp_mask, at, o === offset);
  lru_add_drain(k);
  return read_swap_cache_async(k, entry, gfp_mask, at, false);
}

/** The pages around an address that are to be read, as entries of its table: [start, end); null for it alone. */
function swap_ra_info(k: Machine, { vma, address }: swapin_place): { start: number; end: number } | null {
  const max_win = 2 ** Math.min(page_cluster(k), SWAP_RA_ORDER_CEILING);
  if (max_win === 1) return null;
  const fpfn = Math.floor(address / PAGE_SIZE);
  const ra = vma.swap_readahead_info;
  const pfn = Math.floor(ra.addr / PAGE_SIZE);
  const win = __swapin_nr_pages(pfn, fpfn, ra.hits, max_win, ra.win);
  vma.swap_readahead_info = { addr: address, win, hits: 0 };
  if (win === 1) return null;
  let lpfn = fpfn - Math.floor((win - 1) / 2);
  if (fpfn === pfn + 1) lpfn = fpfn;
  else if (pfn === fpfn + 1) lpfn = fpfn - win + 1;
  const table = Math.floor(address / PMD_SIZE) * (PMD_SIZE / PAGE_SIZE);
  const start = Math.max(lpfn, vma.vm_start / PAGE_SIZE, table);
  const end = Math.min(lpfn + win, vma.vm_end / PAGE_SIZE, table + PMD_SIZE / PAGE_SIZE);
  return { start: start - table, end: end - table };
}

/**
 * Reads a slot and those of the pages around an address; answers its page, referenced, or 0.
 * @kernel mm/swap_state.c:swap_vma_readahead
 * @fidelity mirrored
 */
function swap_vma_readahead(k: Machine, fentry: swp_entry_t, gfp_mask: number, place: swapin_place): number {
  const ra = swap_ra_info(k, place);
  if (ra === null) return read_swap_cache_async(k, fentry, gfp_mask, place, true);
  const t = place.table!;
  const wanted = pte_index(place.address);
  for (let i = ra.start; i < ra.end; i++) {
    if (!(t.flags[i]! & _PAGE_SWP) || non_swap_entry(t.pfn[i]!)) continue;
    read_ahead(k, t.pfn[i]!, gfp_mask, place, i === wanted);
  }
  lru_add_drain(k);
  return read_swap_cache_async(k, fentry, gfp_mask, place, false);
}

/**
 * Reads a slot for a page table entry, and others that may be wanted soon: near it in the address space where no area is
 * on a disk that has to seek, else near it in the area.
 * @kernel mm/swap_state.c:swapin_readahead
 * @fidelity mirrored
 * @returns its page, referenced, perhaps still locked for reading; 0 where there is no memory
 */
export function swapin_readahead(k: Machine, entry: swp_entry_t, gfp_mask: number, place: swapin_place): number {
  if (swap_use_vma_readahead(k)) return swap_vma_readahead(k, entry, gfp_mask, place);
  return swap_cluster_readahead(k, entry, gfp_mask, place);
}
