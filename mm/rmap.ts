// SPDX-License-Identifier: GPL-2.0-only
/** The reverse map: from a page to the entries that map it (mm/rmap.c). What takes mappings away is in mm/rmap/. */
import { VM_BUG_ON } from "../include/linux/bug.js";
import type { address_space } from "../include/linux/fs.js";
import {
  compound_head,
  compound_mapcount,
  compound_pincount,
  folio_mapped,
  folio_nr_pages,
  page_owner_of,
  page_set,
  page_test,
  page_zone,
  PFN_SECTION_MASK,
  set_compound_mapcount,
} from "../include/linux/mem_map.js";
import { GUP_PIN_COUNTING_BIAS, linear_page_index, VM_LOCKED, VM_SPECIAL, vma_pages } from "../include/linux/mm.js";
import { anon_vma, anon_vma_chain, type vm_area_struct } from "../include/linux/mm_types.js";
import type { Machine } from "../include/machine.js";
import {
  PG_anon_exclusive,
  PG_double_map,
  PG_head,
  PG_ksm,
  PG_locked,
  PG_swapbacked,
  PG_tail,
} from "../include/linux/page-flags.js";
import { RMAP_COMPOUND, RMAP_EXCLUSIVE, type rmap_one_t } from "../include/linux/rmap.js";
import { MMF_HAS_PINNED } from "../include/linux/sched/coredump.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { vm_flags_test } from "../include/linux/vm_flags.js";
import { NR_ANON_MAPPED, NR_FILE_MAPPED } from "../include/linux/vmstat.js";
import { deferred_split_huge_page } from "./huge_memory/deferred.js";
import { rmap_walk_ksm } from "./ksm.js";
import { mlock_folio, munlock_page } from "./mlock.js";
import { find_mergeable_anon_vma } from "./mmap.js";
import {
  add_anon_compound,
  add_file_compound,
  add_new_anon_compound,
  remove_compound,
  set_compound_mapping,
} from "./rmap/compound.js";
import { nr_pages } from "./swap/lruvec.js";

export { RMAP_COMPOUND, RMAP_EXCLUSIVE, RMAP_NONE } from "../include/linux/rmap.js";
export { folio_referenced, page_mkclean, try_to_migrate, try_to_unmap } from "./rmap/unmap.js";

function anon_vma_alloc(k: Machine): anon_vma {
  const av = new anon_vma(null);
  k.mem.register(av);
  return av;
}

/** Drops a reference; the last frees the anon_vma, and with it its hold on its root. @kernel mm/rmap.c:__put_anon_vma */
export function put_anon_vma(k: Machine, av: anon_vma): void {
  if (--av.refcount > 0) return;
  VM_BUG_ON(av.rb_root.size !== 0, "anon_vma is freed while VMAs are on it");
  const root = av.root;
  k.mem.unregister(av);
  if (root !== av) put_anon_vma(k, root);
}

/** Keeps the anon_vma of a mapped page while its mappings may go; undefined for other pages. @kernel mm/rmap.c:folio_get_anon_vma @fidelity mirrored */
export function folio_get_anon_vma(k: Machine, pfn: number): anon_vma | undefined {
  const owner = page_owner_of(k.mem, pfn);
  if (owner?.is_anon !== true || page_test(k.mem, pfn, PG_ksm) || !folio_mapped(k.mem, pfn)) return undefined;
  const av = owner as anon_vma;
  av.refcount++;
  return av;
}

function anon_vma_chain_link(vma: vm_area_struct, av: anon_vma): void {
  const avc = new anon_vma_chain(vma, av);
  vma.anon_vma_chain.unshift(avc);
  av.rb_root.add(avc);
}

/**
 * Makes sure that a VMA has an anon_vma: a mergeable neighbour's, or a new one. 0 or -ENOMEM.
 * @kernel mm/rmap.c:__anon_vma_prepare
 * @fidelity simplified: anon_vmas and their links take no memory of the machine, so it does not fail
 */
export function anon_vma_prepare(k: Machine, vma: vm_area_struct): number {
  if (vma.anon_vma !== null) return 0;
  let av = find_mergeable_anon_vma(vma);
  if (av === null) {
    av = anon_vma_alloc(k);
    av.num_children++;
  }
  vma.anon_vma = av;
  anon_vma_chain_link(vma, av);
  av.num_active_vmas++;
  return 0;
}

/**
 * Puts `dst` on all anon_vmas of `src`; where `dst` has none of its own yet, it may get one that lost its VMAs.
 * @kernel mm/rmap.c:anon_vma_clone
 * @fidelity mirrored
 */
export function anon_vma_clone(_k: Machine, dst: vm_area_struct, src: vm_area_struct): number {
  for (let n = src.anon_vma_chain.length - 1; n >= 0; n--) {
    const av = src.anon_vma_chain[n]!.anon_vma;
    anon_vma_chain_link(dst, av);
    if (dst.anon_vma === null && src.anon_vma !== null && av.num_children < 2 && av.num_active_vmas === 0) {
      dst.anon_vma = av;
    }
  }
  if (dst.anon_vma !== null) dst.anon_vma.num_active_vmas++;
  return 0;
}

function has_anon_vma(vma: vm_area_struct): boolean {
  return vma.anon_vma !== null;
}

/**
 * Links a child's VMA to its parent's anon_vmas, and gives it one of its own (or reuses an idle one of the parent's).
 * @kernel mm/rmap.c:anon_vma_fork
 * @fidelity mirrored
 */
export function anon_vma_fork(k: Machine, vma: vm_area_struct, pvma: vm_area_struct): number {
  if (pvma.anon_vma === null) return 0;
  vma.anon_vma = null;
  const error = anon_vma_clone(k, vma, pvma);
  if (error !== 0) return error;
  if (has_anon_vma(vma)) return 0;
  const av = anon_vma_alloc(k);
  av.num_active_vmas++;
  av.root = pvma.anon_vma.root;
  av.parent = pvma.anon_vma;
  av.root.refcount++;
  vma.anon_vma = av;
  anon_vma_chain_link(vma, av);
  av.parent.num_children++;
  return 0;
}

/**
 * Takes a VMA off all its anon_vmas and frees those that have no VMA left.
 * @kernel mm/rmap.c:unlink_anon_vmas
 * @fidelity mirrored
 */
export function unlink_anon_vmas(k: Machine, vma: vm_area_struct): void {
  const empty: anon_vma[] = [];
  for (const avc of vma.anon_vma_chain) {
    const av = avc.anon_vma;
    av.rb_root.delete(avc);
    if (av.rb_root.size > 0) continue;
    av.parent.num_children--;
    empty.push(av);
  }
  if (vma.anon_vma !== null) {
    vma.anon_vma.num_active_vmas--;
    vma.anon_vma = null;
  }
  vma.anon_vma_chain = [];
  for (const av of empty) {
    VM_BUG_ON(av.num_children !== 0 || av.num_active_vmas !== 0, "an anon_vma without VMAs has users");
    put_anon_vma(k, av);
  }
}

function mod_node_stat(k: Machine, pfn: number, item: number, n: number): void {
  k.nodes[page_zone(k.mem, pfn).node]!.vm_stat[item]! += n;
}

/** May somebody have the page pinned for DMA? Huge pages know for sure. @kernel include/linux/mm.h:page_maybe_dma_pinned */
export function page_maybe_dma_pinned(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & (PG_head | PG_tail)) return compound_pincount(k.mem, compound_head(k.mem, pfn)) > 0;
  return s.refcount[i]! >= GUP_PIN_COUNTING_BIAS;
}

/**
 * Queues a page for mlock when it becomes mapped in a locked VMA; parts of a huge page only by a huge entry.
 * @kernel mm/internal.h:mlock_vma_page
 */
export function mlock_vma_page(k: Machine, pfn: number, vma: vm_area_struct, compound = false): void {
  if (!vm_flags_test(vma.vm_flags, VM_LOCKED) || vm_flags_test(vma.vm_flags, VM_SPECIAL)) return;
  if (compound || !page_test(k.mem, pfn, PG_head | PG_tail)) mlock_folio(k, pfn);
}

function __page_set_anon_rmap(k: Machine, pfn: number, vma: vm_area_struct, address: number, exclusive: boolean): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  let av = vma.anon_vma;
  if (av === null) return VM_BUG_ON(true, "anonymous page is mapped in a VMA without anon_vma");
  if (k.mem.owners[s.mapping[i]!]?.is_anon !== true) {
    if (!exclusive) av = av.root;
    const index = linear_page_index(vma, address);
    s.setMapping(i, av.owner_id);
    s.index[i] = index;
    if (s.flags[i]! & PG_head) set_compound_mapping(k, pfn, av.owner_id, index);
  }
  if (exclusive) s.flags[i]! |= PG_anon_exclusive;
}

/**
 * Maps a new anonymous page or huge page, exclusive to its one mapping.
 * @kernel mm/rmap.c:page_add_new_anon_rmap
 * @fidelity mirrored
 */
export function page_add_new_anon_rmap(k: Machine, pfn: number, vma: vm_area_struct, address: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_head) {
    add_new_anon_compound(k, pfn);
  } else {
    s.flags[i]! |= PG_swapbacked;
    s.setMaps(i, 1);
    mod_node_stat(k, pfn, NR_ANON_MAPPED, 1);
  }
  __page_set_anon_rmap(k, pfn, vma, address, true);
}

/**
 * Maps an anonymous page once more (after migration or swap-in). `flags`: RMAP_…; the page is locked.
 * @kernel mm/rmap.c:page_add_anon_rmap
 * @fidelity mirrored
 */
export function page_add_anon_rmap(k: Machine, pfn: number, vma: vm_area_struct, address: number, flags: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const compound = (flags & RMAP_COMPOUND) !== 0;
  const head = compound_head(k.mem, pfn);
  VM_BUG_ON(!page_test(k.mem, head, PG_locked | PG_ksm), "page_add_anon_rmap of an unlocked page");
  const first = compound ? add_anon_compound(k, pfn) : s.addMaps(i, 1) === 1;
  VM_BUG_ON(!first && (flags & RMAP_EXCLUSIVE) !== 0, "a mapped page is added as exclusive");
  VM_BUG_ON(!first && (s.flags[i]! & PG_anon_exclusive) !== 0, "an exclusive page is mapped again");
  if (first) {
    if (!compound) mod_node_stat(k, pfn, NR_ANON_MAPPED, 1);
    if (!(s.flags[i]! & PG_ksm)) __page_set_anon_rmap(k, pfn, vma, address, (flags & RMAP_EXCLUSIVE) !== 0);
  } else if (!(s.flags[i]! & PG_ksm)) {
    const av = page_owner_of(k.mem, pfn) as anon_vma;
    VM_BUG_ON(av.root !== vma.anon_vma?.root, "page belongs to another anon_vma tree");
  }
  mlock_vma_page(k, pfn, vma, compound);
}

/** Gives an exclusive page to the VMA's own anon_vma. @kernel mm/rmap.c:page_move_anon_rmap @fidelity mirrored */
export function page_move_anon_rmap(k: Machine, pfn: number, vma: vm_area_struct): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(vma.anon_vma === null, "page_move_anon_rmap without anon_vma");
  s.setMapping(i, vma.anon_vma!.owner_id);
  s.flags[i]! |= PG_anon_exclusive;
  if (!(s.flags[i]! & (PG_head | PG_tail))) return;
  const head = compound_head(k.mem, pfn);
  set_compound_mapping(k, head, vma.anon_vma!.owner_id, k.mem.section(head).index[head & PFN_SECTION_MASK]!);
}

/** Maps a page of a file, or (`compound`, by its head) a huge one. @kernel mm/rmap.c:page_add_file_rmap @fidelity mirrored */
export function page_add_file_rmap(k: Machine, pfn: number, vma: vm_area_struct, compound = false): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (compound) {
    add_file_compound(k, pfn);
  } else {
    if (s.flags[i]! & (PG_head | PG_tail)) page_set(k.mem, compound_head(k.mem, pfn), PG_double_map);
    if (s.addMaps(i, 1) === 1) mod_node_stat(k, pfn, NR_FILE_MAPPED, 1);
  }
  mlock_vma_page(k, pfn, vma, compound);
}

/** Takes one mapping from a page, or (`compound`, by its head) a huge one. @kernel mm/rmap.c:page_remove_rmap @fidelity mirrored */
export function page_remove_rmap(k: Machine, pfn: number, vma: vm_area_struct, compound = false): void {
  if (compound) {
    remove_compound(k, pfn);
    if (vm_flags_test(vma.vm_flags, VM_LOCKED)) munlock_page(k, pfn);
    return;
  }
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const part = s.flags[i]! & (PG_head | PG_tail);
  const left = s.addMaps(i, -1);
  VM_BUG_ON(left < 0, "page_remove_rmap of an unmapped page");
  if (left === 0) {
    const anon = k.mem.owners[s.mapping[i]!]?.is_anon === true;
    mod_node_stat(k, pfn, anon ? NR_ANON_MAPPED : NR_FILE_MAPPED, -1);
    if (anon && part) deferred_split_huge_page(k, compound_head(k.mem, pfn));
  }
  if (!part && vm_flags_test(vma.vm_flags, VM_LOCKED)) munlock_page(k, pfn);
}

/**
 * Maps an anonymous page into a child's VMA as well, or (`compound`, by its head) a huge one; false where it may be
 * pinned and so has to be copied.
 * @kernel include/linux/rmap.h:page_try_dup_anon_rmap
 * @fidelity mirrored
 */
export function page_try_dup_anon_rmap(k: Machine, pfn: number, compound: boolean, vma: vm_area_struct): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_anon_exclusive) {
    if (vma.vm_mm.flags & MMF_HAS_PINNED && page_maybe_dma_pinned(k, pfn)) return false;
    s.flags[i]! &= ~PG_anon_exclusive;
  }
  if (compound) set_compound_mapcount(k.mem, pfn, compound_mapcount(k.mem, pfn) + 1);
  else s.addMaps(i, 1);
  return true;
}

/**
 * Makes an exclusive anonymous page shareable; false where a pin forbids that.
 * @kernel include/linux/rmap.h:page_try_share_anon_rmap
 * @fidelity mirrored
 */
export function page_try_share_anon_rmap(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(!(s.flags[i]! & PG_anon_exclusive), "sharing a page that is not exclusive");
  if (page_maybe_dma_pinned(k, pfn)) return false;
  s.flags[i]! &= ~PG_anon_exclusive;
  return true;
}

/**
 * Where a page (or the first of `nr`) with this page offset lies in a VMA: the VMA's start where only a later one does, or
 * -1. Offsets are compared modulo 2^32: that is what is kept of them, and more than any VMA is long.
 * @kernel mm/internal.h:vma_address
 */
export function vma_address(vma: vm_area_struct, index: number, nr = 1): number {
  const off = (index - vma.vm_pgoff) >>> 0;
  if (off < vma_pages(vma)) return vma.vm_start + off * PAGE_SIZE;
  return (vma.vm_pgoff - index) >>> 0 < nr ? vma.vm_start : -1;
}

/**
 * Where a page, or the first page of a huge one that it maps, would be in a VMA that can map it; -1 in any other.
 * @kernel mm/rmap.c:page_address_in_vma
 * @fidelity mirrored
 * @param pfn page, or head of a huge page
 */
export function page_address_in_vma(k: Machine, pfn: number, vma: vm_area_struct): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const owner = page_owner_of(k.mem, pfn) as anon_vma | address_space | undefined;
  if (owner === undefined || s.flags[i]! & PG_ksm) return -1;
  if (owner.is_anon ? owner.root !== vma.anon_vma?.root : owner !== vma.vm_file?.f_mapping) return -1;
  return vma_address(vma, s.index[i]!, folio_nr_pages(k.mem, pfn));
}

/** What a walk over a set goes through: its members now, whatever happens to the set meanwhile. */
function steady<T>(set: ReadonlySet<T>): readonly T[] {
  return [...set];
}

/** The only member of a set. */
export function only<T>(set: ReadonlySet<T>): T {
  return set.values().next().value!;
}

/** @kernel mm/rmap.c:rmap_walk_anon */
function rmap_walk_anon<A>(
  k: Machine,
  pfn: number,
  av: anon_vma,
  index: number,
  nr: number,
  rmap_one: rmap_one_t<A>,
  arg: A,
): void {
  if (av.rb_root.size === 1) {
    const { vma } = only(av.rb_root);
    const address = vma_address(vma, index, nr);
    if (address >= 0) rmap_one(k, pfn, vma, address, arg);
    return;
  }
  for (const { vma } of steady(av.rb_root)) {
    const address = vma_address(vma, index, nr);
    if (address >= 0 && !rmap_one(k, pfn, vma, address, arg)) return;
  }
}

/** @kernel mm/rmap.c:rmap_walk_file */
function rmap_walk_file<A>(
  k: Machine,
  pfn: number,
  mapping: address_space,
  index: number,
  nr: number,
  rmap_one: rmap_one_t<A>,
  arg: A,
): void {
  if (mapping.i_mmap.size === 1) {
    const vma = only(mapping.i_mmap);
    const address = vma_address(vma, index, nr);
    if (address >= 0) rmap_one(k, pfn, vma, address, arg);
    return;
  }
  for (const vma of steady(mapping.i_mmap)) {
    const address = vma_address(vma, index, nr);
    if (address >= 0 && !rmap_one(k, pfn, vma, address, arg)) return;
  }
}

/**
 * Calls `rmap_one` for each VMA that can map a page, with the address it would have there; ends where that says false.
 * @kernel mm/rmap.c:rmap_walk
 * @fidelity simplified: VMAs come in the order in which they were linked, not by page offset
 * @param pfn page, or head of a huge page: the address is then that of its first page that the VMA can map
 */
export function rmap_walk<A>(k: Machine, pfn: number, rmap_one: rmap_one_t<A>, arg: A): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON((s.flags[i]! & PG_tail) !== 0, "rmap_walk of a tail page");
  if (s.flags[i]! & PG_ksm) return rmap_walk_ksm(k, pfn, rmap_one, arg);
  const owner = k.mem.owners[s.mapping[i]!] as anon_vma | address_space | undefined;
  if (owner === undefined) return;
  const index = s.index[i]!;
  const nr = nr_pages(s, i);
  if (owner.is_anon) rmap_walk_anon(k, pfn, owner, index, nr, rmap_one, arg);
  else rmap_walk_file(k, pfn, owner, index, nr, rmap_one, arg);
}
