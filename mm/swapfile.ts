// SPDX-License-Identifier: GPL-2.0-only
/**
 * Slots of swap areas (mm/swapfile.c): who has them, giving them out, taking them back. Scanning for free ones is in
 * swapfile/scan.ts, swapon and swapoff are in swapfile/swapon.ts and swapfile/unuse.ts.
 */
import { VM_BUG_ON } from "../include/linux/bug.js";
import {
  compound_head,
  folio_mapped,
  folio_nr_pages,
  PFN_SECTION_MASK,
  swap_entry_of,
} from "../include/linux/mem_map.js";
import { PG_dirty, PG_locked, PG_swapcache, PG_writeback } from "../include/linux/page-flags.js";
import {
  SWAP_HAS_CACHE,
  SWAP_MAP_BAD,
  SWAP_MAP_MAX,
  SWAP_MAP_SHMEM,
  SWAP_SLOTS_CACHE_SIZE,
  SWP_USED,
  SWP_WRITEOK,
  swap_state_of,
  type swap_clusters,
  type swap_info_struct,
  vm_swap_full,
} from "../include/linux/swap.js";
import { non_swap_entry, swp_entry, swp_offset, type swp_entry_t, swp_type } from "../include/linux/swapops.js";
import type { Machine } from "../include/machine.js";
import { EEXIST, EINVAL, ENOENT, ENOMEM } from "../uapi/errno.js";
import { folio_trylock, folio_unlock } from "./filemap.js";
import { put_page } from "./swap.js";
import { free_swap_slot } from "./swap_slots.js";
import { clear_shadow_from_swap_cache, delete_from_swap_cache, swap_cache_get } from "./swap_state.js";
import { dec_cluster_info_page, scan_swap_map_slots, swap_alloc_cluster, swap_free_cluster } from "./swapfile/scan.js";

export { sys_swapon } from "./swapfile/swapon.js";
export { sys_swapoff } from "./swapfile/unuse.js";

/** When {@link __try_to_reclaim_swap} takes a slot away from the swap cache: always, … */
export const TTRS_ANYWAY = 0x1;
/** … when nothing maps its page, … */
export const TTRS_UNMAPPED = 0x2;
/** … when swap gets full. */
export const TTRS_FULL = 0x4;

/**
 * The area that an entry lies in; undefined where it is gone.
 * @kernel mm/swapfile.c:get_swap_device, _swap_info_get
 * @fidelity simplified: nothing is held, since swapoff does not run meanwhile
 */
export function get_swap_device(k: Machine, entry: swp_entry_t): swap_info_struct | undefined {
  const si = swap_state_of(k).swap_info[swp_type(entry)];
  if (si === undefined || !(si.flags & SWP_USED) || swp_offset(entry) >= si.max) return undefined;
  return si;
}

/** Adds an area to a list in the order of priorities, behind those of its own. @kernel lib/plist.c:plist_add */
export function plist_add(list: swap_info_struct[], si: swap_info_struct): void {
  const n = list.findIndex((other) => other.prio < si.prio);
  list.splice(n < 0 ? list.length : n, 0, si);
}

/**
 * Takes up to `n_goal` times `entry_size` slots of the area with the highest priority that has some; areas of one
 * priority take turns. A huge page's (`entry_size` 512) come from the first area or none.
 * @kernel mm/swapfile.c:get_swap_pages
 * @fidelity mirrored (no area belongs to a node)
 * @returns entries, each the first of its slots; none where swap is full
 */
export function get_swap_pages(k: Machine, n_goal: number, entry_size = 1): swp_entry_t[] {
  const st = swap_state_of(k);
  const avail = Math.floor(st.nr_swap_pages / entry_size);
  if (avail <= 0) return [];
  const n = Math.min(n_goal, SWAP_SLOTS_CACHE_SIZE, avail);
  st.nr_swap_pages -= n * entry_size;
  let slots: swp_entry_t[] = [];
  for (const si of [...st.swap_avail_head]) {
    st.swap_avail_head = st.swap_avail_head.filter((other) => other !== si);
    plist_add(st.swap_avail_head, si);
    if (entry_size > 1) slots = swap_alloc_cluster(k, si);
    else slots = scan_swap_map_slots(k, si, SWAP_HAS_CACHE, n);
    if (slots.length > 0 || entry_size > 1) break;
  }
  st.nr_swap_pages += (n - slots.length) * entry_size;
  return slots;
}

function swap_range_free(k: Machine, si: swap_info_struct, offset: number, nr: number): void {
  const st = swap_state_of(k);
  const end = offset + nr - 1;
  if (offset < si.lowest_bit) si.lowest_bit = offset;
  if (end > si.highest_bit) {
    const was_full = si.highest_bit === 0;
    si.highest_bit = end;
    if (was_full && si.flags & SWP_WRITEOK) plist_add(st.swap_avail_head, si);
  }
  st.nr_swap_pages += nr;
  si.inuse_pages -= nr;
  clear_shadow_from_swap_cache(k, si, offset, end);
}

/**
 * Makes slots free that nobody has any more.
 * @kernel mm/swapfile.c:swapcache_free_entries
 * @fidelity mirrored
 */
export function swapcache_free_entries(k: Machine, entries: readonly swp_entry_t[]): void {
  for (const entry of entries) {
    const si = get_swap_device(k, entry)!;
    const offset = swp_offset(entry);
    VM_BUG_ON(si.swap_map[offset] !== SWAP_HAS_CACHE, "a swap slot is freed that is in use");
    si.swap_map[offset] = 0;
    if (si.cluster_info !== null) dec_cluster_info_page(si.cluster_info, offset);
    swap_range_free(k, si, offset, 1);
  }
}

/** Takes one user (1) or the cache's hold (SWAP_HAS_CACHE) from a slot; what is left, SWAP_HAS_CACHE standing for what is free. */
function __swap_entry_free_locked(si: swap_info_struct, offset: number, usage: number): number {
  let count = si.swap_map[offset]! & ~SWAP_HAS_CACHE;
  let has_cache = si.swap_map[offset]! & SWAP_HAS_CACHE;
  if (usage === SWAP_HAS_CACHE) {
    VM_BUG_ON(has_cache === 0, "the swap cache gives up a slot that it does not have");
    has_cache = 0;
  } else if (count === SWAP_MAP_SHMEM) {
    count = 0;
  } else {
    VM_BUG_ON(count === 0, "a swap slot has one user less than none");
    count--;
  }
  const left = count | has_cache;
  si.swap_map[offset] = left === 0 ? SWAP_HAS_CACHE : left;
  return left;
}

function __swap_entry_free(k: Machine, si: swap_info_struct, entry: swp_entry_t): number {
  const left = __swap_entry_free_locked(si, swp_offset(entry), 1);
  if (left === 0) free_swap_slot(k, entry);
  return left;
}

/** A page table entry or file gives up a slot. @kernel mm/swapfile.c:swap_free @fidelity mirrored */
export function swap_free(k: Machine, entry: swp_entry_t): void {
  const si = get_swap_device(k, entry);
  if (si !== undefined) __swap_entry_free(k, si, entry);
}

/** The cluster that a huge page has, with those it is one of; undefined where the slot is not part of such a one. */
function huge_cluster(si: swap_info_struct, offset: number): { c: swap_clusters; cluster: number } | undefined {
  const c = si.cluster_info;
  if (c === null) return undefined;
  const cluster = Math.floor(offset / c.size);
  return c.huge[cluster] === 0 ? undefined : { c, cluster };
}

/** Slots [offset, offset + nr) that nobody but the swap cache has? */
function only_cached(si: swap_info_struct, offset: number, nr: number): boolean {
  for (let o = offset; o < offset + nr; o++) if (si.swap_map[o] !== SWAP_HAS_CACHE) return false;
  return true;
}

/**
 * The swap cache gives up the slot of a page, or the `nr` slots of a huge one, whose cluster is no huge page's any more.
 * @kernel mm/swapfile.c:put_swap_folio
 * @fidelity mirrored
 * @param entry the first slot
 */
export function put_swap_folio(k: Machine, entry: swp_entry_t, nr: number): void {
  const si = get_swap_device(k, entry);
  if (si === undefined) return;
  const offset = swp_offset(entry);
  if (nr > 1) {
    const huge = huge_cluster(si, offset);
    VM_BUG_ON(huge === undefined, "a huge page has no cluster");
    const { c, cluster } = huge!;
    c.huge[cluster] = 0;
    if (only_cached(si, offset, nr)) {
      swap_free_cluster(si, c, cluster);
      return swap_range_free(k, si, offset, nr);
    }
  }
  for (let n = 0; n < nr; n++) {
    if (__swap_entry_free_locked(si, offset + n, SWAP_HAS_CACHE) === 0) free_swap_slot(k, entry + n);
  }
}

/** The cluster of a huge page that has been split is one of single slots. @kernel mm/swapfile.c:split_swap_cluster @fidelity mirrored */
export function split_swap_cluster(k: Machine, entry: swp_entry_t): void {
  const huge = huge_cluster(get_swap_device(k, entry)!, swp_offset(entry));
  if (huge !== undefined) huge.c.huge[huge.cluster] = 0;
}

/** Does anybody have a slot, or any of those of the huge page that it belongs to? @kernel mm/swapfile.c:swap_page_trans_huge_swapped @fidelity mirrored */
function swap_page_trans_huge_swapped(si: swap_info_struct, entry: swp_entry_t): boolean {
  const huge = huge_cluster(si, swp_offset(entry));
  const nr = huge?.c.size ?? 1;
  const first = huge === undefined ? swp_offset(entry) : huge.cluster * nr;
  for (let o = first; o < first + nr; o++) if ((si.swap_map[o]! & ~SWAP_HAS_CACHE) !== 0) return true;
  return false;
}

/** Does anybody have the slot of a page of the swap cache, or any of a huge one's? @kernel mm/swapfile.c:folio_swapped @fidelity mirrored */
function folio_swapped(k: Machine, pfn: number): boolean {
  const entry = swap_entry_of(k.mem, pfn);
  if (folio_nr_pages(k.mem, pfn) === 1) return __swap_count(k, entry) !== 0;
  return swap_page_trans_huge_swapped(get_swap_device(k, entry)!, entry);
}

/** How many page table entries or files have a slot. @kernel mm/swapfile.c:__swap_count, __swp_swapcount */
export function __swap_count(k: Machine, entry: swp_entry_t): number {
  const si = get_swap_device(k, entry);
  return si === undefined ? 0 : si.swap_map[swp_offset(entry)]! & ~SWAP_HAS_CACHE;
}

function __swap_duplicate(k: Machine, entry: swp_entry_t, usage: number): number {
  const si = get_swap_device(k, entry);
  if (si === undefined) return -EINVAL;
  const offset = swp_offset(entry);
  const count = si.swap_map[offset]! & ~SWAP_HAS_CACHE;
  const has_cache = si.swap_map[offset]! & SWAP_HAS_CACHE;
  if (count === SWAP_MAP_BAD) return -ENOENT;
  if (usage === SWAP_HAS_CACHE) {
    if (has_cache !== 0) return -EEXIST;
    if (count === 0) return -ENOENT;
    si.swap_map[offset] = count | SWAP_HAS_CACHE;
    return 0;
  }
  if (count === 0 && has_cache === 0) return -ENOENT;
  if (count >= SWAP_MAP_MAX) return count > SWAP_MAP_MAX ? -EINVAL : -ENOMEM;
  si.swap_map[offset] = (count + usage) | has_cache;
  return 0;
}

/**
 * One more page table entry has a slot.
 * @kernel mm/swapfile.c:swap_duplicate
 * @fidelity simplified: 14 bits of count need no continuation pages
 * @returns 0, -EINVAL, -ENOENT for a slot that nobody has, -ENOMEM for one that too many have
 */
export function swap_duplicate(k: Machine, entry: swp_entry_t): number {
  return __swap_duplicate(k, entry, 1);
}

/** A shmem file has a slot from now on. @kernel mm/swapfile.c:swap_shmem_alloc @fidelity mirrored */
export function swap_shmem_alloc(k: Machine, entry: swp_entry_t): void {
  const error = __swap_duplicate(k, entry, SWAP_MAP_SHMEM);
  VM_BUG_ON(error !== 0, "swap_shmem_alloc of a slot that the swap cache does not have");
}

/**
 * The swap cache wants a slot that is in use. 0, -EEXIST where it has it, -ENOENT where nobody does.
 * @kernel mm/swapfile.c:swapcache_prepare
 * @fidelity mirrored
 */
export function swapcache_prepare(k: Machine, entry: swp_entry_t): number {
  return __swap_duplicate(k, entry, SWAP_HAS_CACHE);
}

/**
 * Takes a locked page or huge page out of the swap cache if nobody needs its slots to get at it; it is dirty then.
 * @kernel mm/swapfile.c:folio_free_swap
 * @fidelity mirrored
 * @returns whether it is out
 */
export function folio_free_swap(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(!(s.flags[i]! & PG_locked), "folio_free_swap of an unlocked page");
  if ((s.flags[i]! & (PG_swapcache | PG_writeback)) !== PG_swapcache) return false;
  if (folio_swapped(k, pfn)) return false;
  delete_from_swap_cache(k, pfn);
  s.flags[i]! |= PG_dirty;
  return true;
}

/**
 * Takes a slot, with those of the huge page that it belongs to, from the swap cache when `flags` (TTRS_…) say so; whether it
 * did.
 * @kernel mm/swapfile.c:__try_to_reclaim_swap
 */
export function __try_to_reclaim_swap(k: Machine, si: swap_info_struct, offset: number, flags: number): boolean {
  const page = swap_cache_get(k, swp_entry(si.type, offset));
  if (page === 0) return false;
  const pfn = compound_head(k.mem, page);
  let freed = false;
  if (folio_trylock(k, pfn)) {
    const wanted =
      (flags & TTRS_ANYWAY) !== 0 ||
      ((flags & TTRS_UNMAPPED) !== 0 && !folio_mapped(k.mem, pfn)) ||
      ((flags & TTRS_FULL) !== 0 && vm_swap_full(k));
    if (wanted) freed = folio_free_swap(k, pfn);
    folio_unlock(k, pfn);
  }
  put_page(k, pfn);
  return freed;
}

/**
 * A page table entry goes, and with the last of them the swap cache's page.
 * @kernel mm/swapfile.c:free_swap_and_cache
 * @fidelity mirrored
 */
export function free_swap_and_cache(k: Machine, entry: swp_entry_t): void {
  if (non_swap_entry(entry)) return;
  const si = get_swap_device(k, entry);
  VM_BUG_ON(si === undefined, "an entry names a swap area that is gone");
  const left = __swap_entry_free(k, si!, entry);
  if (left !== SWAP_HAS_CACHE || swap_page_trans_huge_swapped(si!, entry)) return;
  __try_to_reclaim_swap(k, si!, swp_offset(entry), TTRS_UNMAPPED | TTRS_FULL);
}
