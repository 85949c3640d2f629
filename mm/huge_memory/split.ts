// SPDX-License-Identifier: GPL-2.0-only
/** Making 512 pages of a huge page (mm/huge_memory.c: split_huge_page_to_list). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import type { address_space } from "../../include/linux/fs.js";
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import {
  compound_mapcount,
  folio_mapcount,
  type mem_section,
  page_owner_of,
  page_test,
  page_zone,
  PFN_SECTION_MASK,
  swap_entry_of,
} from "../../include/linux/mem_map.js";
import type { anon_vma } from "../../include/linux/mm_types.js";
import type { page_list } from "../../include/linux/mmzone.js";
import {
  PG_active,
  PG_dirty,
  PG_head,
  PG_locked,
  PG_lru,
  PG_mlocked,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_tail,
  PG_unevictable,
  PG_uptodate,
  PG_workingset,
  PG_writeback,
} from "../../include/linux/page-flags.js";
import { TTU_IGNORE_MLOCK, TTU_RMAP_LOCKED, TTU_SPLIT_HUGE_PMD, TTU_SYNC } from "../../include/linux/rmap.js";
import { HPAGE_PMD_NR } from "../../include/linux/types.js";
import { NR_SHMEM_THPS, THP_SPLIT_PAGE, THP_SPLIT_PAGE_FAILED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_add_before, list_add_tail } from "../../lib/pagelist.js";
import { EBUSY, ENOMEM } from "../../uapi/errno.js";
import { file_pages, filemap_remove_folio } from "../filemap.js";
import { remove_migration_ptes } from "../migrate.js";
import { folio_get_anon_vma, put_anon_vma, try_to_migrate, try_to_unmap } from "../rmap.js";
import { GFP_RECLAIM_MASK } from "../shmem.js";
import { shmem_uncharge } from "../shmem/huge.js";
import { radix_tree_node_alloc, radix_tree_node_free } from "../slub.js";
import { put_page } from "../swap.js";
import { free_swap_cache } from "../swap_state.js";
import { split_swap_cluster } from "../swapfile.js";
import { __mod_node_page_state, count_vm_event } from "../vmstat.js";
import { thp_state_of } from "./deferred.js";
import { is_huge_zero_page } from "./zero.js";

/** Flags that the tails take over from their head. */
const INHERITED =
  PG_referenced |
  PG_swapbacked |
  PG_swapcache |
  PG_mlocked |
  PG_uptodate |
  PG_active |
  PG_workingset |
  PG_locked |
  PG_unevictable |
  PG_dirty;

/** Index nodes that 512 pages of a cache need and one huge page does not. */
const CACHE_NODES = 8;

/** References that a huge page's cache, or the swap cache, has on it. */
function extra_pins(k: Machine, head: number, owner: anon_vma | address_space): number {
  return owner.is_anon && !page_test(k.mem, head, PG_swapcache) ? 0 : HPAGE_PMD_NR;
}

/**
 * Could a huge page be split now: does nobody but its mappings, its cache and the caller hold it?
 * @kernel mm/huge_memory.c:can_split_folio
 * @fidelity mirrored
 */
export function can_split_folio(k: Machine, head: number): boolean {
  const owner = page_owner_of(k.mem, head) as anon_vma | address_space | undefined;
  if (owner === undefined) return false;
  const refs = k.mem.section(head).refcount[head & PFN_SECTION_MASK]!;
  return folio_mapcount(k.mem, head) === refs - extra_pins(k, head, owner) - 1;
}

/** Anonymous pages get migration entries; those of a file are just unmapped. @kernel mm/huge_memory.c:unmap_folio */
function unmap_folio(k: Machine, head: number, anon: boolean): void {
  const flags = TTU_RMAP_LOCKED | TTU_SPLIT_HUGE_PMD | TTU_SYNC;
  if (anon) try_to_migrate(k, head, flags);
  else try_to_unmap(k, head, flags | TTU_IGNORE_MLOCK);
}

/** Puts a tail on the LRU right before its head, or on the caller's list with a reference. @kernel lru_add_page_tail */
function lru_add_page_tail(k: Machine, s: mem_section, head: number, tail: number, list: page_list | null): void {
  const t = tail & PFN_SECTION_MASK;
  s.setNext(t, 0, 0);
  s.setPrev(t, 0, 0);
  if (list !== null) {
    s.addRefs(t, 1);
    list_add_tail(k.mem, list, tail);
    return;
  }
  if (!(s.flags[t]! & PG_unevictable)) {
    const flags = s.flags[t]!;
    const lru = (flags & PG_swapbacked ? 0 : 2) + (flags & PG_active ? 1 : 0);
    list_add_before(k.mem, k.nodes[page_zone(k.mem, head).node]!.__lruvec.lists[lru]!, head, tail);
  }
  s.flags[t]! |= PG_lru;
}

/**
 * Makes single pages of the block, which nobody maps and nobody but the caller and the cache holds.
 * @kernel mm/huge_memory.c:__split_huge_page
 * @fidelity mirrored
 */
function __split_huge_page(k: Machine, head: number, page: number, list: page_list | null, end: number): void {
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  const flags = s.flags[i]!;
  const anon = k.mem.owners[s.mapping[i]!]!.is_anon;
  const on_lru = list === null && (flags & PG_lru) !== 0;
  VM_BUG_ON(list === null && !on_lru, "splitting a huge page that is off the LRU without a list for its pages");
  const cached = (flags & PG_swapcache) !== 0;
  const entry = cached ? swap_entry_of(k.mem, head) : 0;
  const refs = anon && !cached ? 1 : 2;
  const beyond: number[] = [];
  s.flags[i] = flags & ~PG_head;
  s.setPrivate(i, entry);
  for (let n = HPAGE_PMD_NR - 1; n >= 1; n--) {
    const t = i + n;
    VM_BUG_ON(s.mapcount[t] !== 0, "splitting a huge page that is mapped");
    s.flags[t] = flags & INHERITED;
    s.setPrivate(t, cached ? entry + n : 0);
    s.setMapping(t, s.mapping[i]!);
    s.index[t] = s.index[i]! + n;
    s.setRefs(t, refs);
    lru_add_page_tail(k, s, head, head + n, list);
    if (!anon && s.index[t] >= end) beyond.push(head + n);
  }
  s.setRefs(i, refs);
  for (const tail of beyond) {
    shmem_uncharge(k, (page_owner_of(k.mem, tail) as address_space).host, 1);
    filemap_remove_folio(k, tail);
  }
  if (anon) for (let n = 0; n < HPAGE_PMD_NR; n++) remove_migration_ptes(k, head + n, head + n);
  if (cached) split_swap_cluster(k, entry);
  for (let n = 0; n < HPAGE_PMD_NR; n++) {
    if (head + n === page) continue;
    s.flags[i + n]! &= ~PG_locked;
    if (cached) free_swap_cache(k, head + n);
    put_page(k, head + n);
  }
}

/** Unmaps a page; false where that leaves a reference too many, and then it is as it was. Others may run in between. */
function unmap_and_freeze(k: Machine, head: number, owner: anon_vma | address_space): boolean {
  unmap_folio(k, head, owner.is_anon);
  if (k.tasks.size > 1) k.hooks.yieldPoint("split_huge_page_to_list", { pfn: head });
  if (k.mem.section(head).refcount[head & PFN_SECTION_MASK] === 1 + extra_pins(k, head, owner)) return true;
  if (owner.is_anon) remove_migration_ptes(k, head, head);
  return false;
}

/** Unmaps the page and splits it: 0, -EBUSY where there is another reference, -ENOMEM without nodes for the cache. */
function split_unmapped(k: Machine, head: number, page: number, list: page_list | null): number {
  const owner = page_owner_of(k.mem, head) as anon_vma | address_space;
  const mapping = owner.is_anon ? null : owner;
  const end = mapping === null ? Infinity : Math.max(file_pages(mapping), mapping.host.shmem?.fallocend ?? 0);
  if (mapping !== null && !radix_tree_node_alloc(k, CACHE_NODES, GFP_HIGHUSER_MOVABLE & GFP_RECLAIM_MASK)) {
    return -ENOMEM;
  }
  if (!can_split_folio(k, head) || !unmap_and_freeze(k, head, owner)) {
    if (mapping !== null) radix_tree_node_free(k, CACHE_NODES);
    return -EBUSY;
  }
  VM_BUG_ON(compound_mapcount(k.mem, head) !== 0, "a huge page with no references is mapped");
  thp_state_of(k).split_queue.delete(head);
  if (mapping !== null) {
    mapping.i_pages.split_huge();
    __mod_node_page_state(k.nodes[page_zone(k.mem, head).node]!, NR_SHMEM_THPS, -HPAGE_PMD_NR);
  }
  __split_huge_page(k, head, page, list, end);
  return 0;
}

/**
 * Splits a locked huge page, of which the caller holds `page` (any of its pages): that stays locked and held, the others
 * are let go of. They go onto the LRU, or onto `list`, each with a reference.
 * @kernel mm/huge_memory.c:split_huge_page_to_list
 * @fidelity mirrored: of v6.1
 * @returns 0; -EBUSY for the huge zero page, under writeback, without owner (truncated, or its anon_vma gone), or held
 *   by anybody else; -ENOMEM without nodes for its page cache
 */
export function split_huge_page_to_list(k: Machine, page: number, list: page_list | null): number {
  const at = k.mem.section(page);
  const head = at.flags[page & PFN_SECTION_MASK]! & PG_tail ? at.private_[page & PFN_SECTION_MASK]! : page;
  const flags = at.flags[head & PFN_SECTION_MASK]!;
  VM_BUG_ON(!(flags & PG_locked) || !(flags & PG_head), "splitting a page that is not huge, or not locked");
  if (is_huge_zero_page(k, head) || flags & PG_writeback) return -EBUSY;
  const owner = page_owner_of(k.mem, head) as anon_vma | address_space | undefined;
  let ret = -EBUSY;
  const av = folio_get_anon_vma(k, head);
  if (av !== undefined || owner?.is_anon === false) ret = split_unmapped(k, head, page, list);
  if (av !== undefined) put_anon_vma(k, av);
  count_vm_event(k, ret === 0 ? THP_SPLIT_PAGE : THP_SPLIT_PAGE_FAILED);
  return ret;
}

/** Splits a huge page, leaving its pages on the LRU. @kernel include/linux/huge_mm.h:split_huge_page @fidelity mirrored */
export function split_huge_page(k: Machine, page: number): number {
  return split_huge_page_to_list(k, page, null);
}
