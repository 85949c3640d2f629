// SPDX-License-Identifier: GPL-2.0-only
/**
 * The short way of pages behind one that has just been moved for a long-term pin: as many as are ordinary pages of one VMA,
 * which nothing else maps, and for which the next target and the source's place among the free pages are certain.
 */
import type { address_space } from "../../include/linux/fs.js";
import { PFN_SECTION_MASK, PFN_SECTION_SHIFT } from "../../include/linux/mem_map.js";
import { MIGRATE_SYNC, MR_LONGTERM_PIN } from "../../include/linux/migrate_mode.js";
import { VM_LOCKED } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_RW,
  type anon_vma,
  type pte_table,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { NULL_PFN, type page_list, pageblock_nr_pages, pageblock_order } from "../../include/linux/mmzone.js";
import { PG_active, PG_anon_exclusive, PG_dirty, PG_swapbacked } from "../../include/linux/page-flags.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { NR_ISOLATED_ANON, NR_ISOLATED_FILE } from "../../include/linux/vmstat.js";
import { nobody } from "../../include/machine.js";
import { list_cut } from "../../lib/pagelist.js";
import { freePages, pcpSink, pcpSource, roomIn, takePages } from "../page_alloc/ahead.js";
import { pte_index, pte_offset, pte_present } from "../pgtable.js";
import { only, vma_address } from "../rmap.js";
import { cpu_needs_drain } from "../swap.js";
import { lruvecAddAll } from "../swap/lruvec.js";
import type { migrate_control } from "./attempt.js";
import { CARRIED } from "./mapping.js";
import { restored_pte } from "./ptes.js";

/** Flags that decide which LRU list and which counters a page is on. */
const KIND = PG_active | PG_swapbacked;

/** All flags that an ordinary page may have, once it is isolated. */
const ORDINARY = CARRIED | KIND | PG_dirty | PG_anon_exclusive;

/** Which LRU list pages are on, and where they are mapped: by one table, in which the page with offset `index` is at `slot`. */
interface Place {
  readonly kind: number;
  readonly owner: anon_vma | address_space;
  readonly vma: vm_area_struct;
  readonly table: pte_table;
  readonly slot: number;
  readonly index: number;
}

/** Where a page is mapped, and those behind it in its table; null where that is not certain. */
function placeOf<T>({ k }: migrate_control<T>, page: number): Place | null {
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  const owner = k.mem.owners[s.mapping[i]!] as anon_vma | address_space | undefined;
  if (owner === undefined || (owner.is_anon ? owner.rb_root : owner.i_mmap).size !== 1) return null;
  if (!owner.is_anon && owner.unevictable) return null;
  const vma = owner.is_anon ? only(owner.rb_root).vma : only(owner.i_mmap);
  const index = s.index[i]!;
  const address = vma_address(vma, index);
  if (address < 0 || vm_flags_test(vma.vm_flags, VM_LOCKED)) return null;
  const table = pte_offset(vma.vm_mm, address);
  if (table === undefined) return null;
  return { kind: s.flags[i]! & KIND, owner, vma, table, slot: pte_index(address), index };
}

/**
 * How many pages of a list, from `page` on, are ordinary, of one kind and one pageblock, and mapped once, in this place, with
 * no reference that nobody accounts for, up to `most`. They come to stand in `pages`.
 */
function runOf<T>({ k }: migrate_control<T>, page: number, place: Place, pages: Uint32Array, most: number): number {
  const { kind, owner, table, slot, index } = place;
  const s = k.mem.section(page);
  const refs = owner.is_anon ? 2 : 3;
  const block = page >>> pageblock_order;
  let n = 0;
  for (let src = page; n < most && src !== NULL_PFN && src >>> pageblock_order === block; n++) {
    const i = src & PFN_SECTION_MASK;
    const flags = s.flags[i]!;
    if (flags & ~ORDINARY || (flags & KIND) !== kind) break;
    if (s.refcount[i] !== refs || s.mapcount[i] !== 1 || s.mapping[i] !== owner.owner_id) break;
    const at = slot + s.index[i]! - index;
    if (table.pfn[at] !== src) break;
    const pte = table.flags[at]!;
    if (!pte_present(pte) || (owner.is_anon && !(flags & PG_anon_exclusive) && pte & _PAGE_RW)) break;
    pages[n] = src;
    src = s.nextOf(i, src);
  }
  return n;
}

/** Puts each of `n` targets in a source's place: contents, standing, owner, and the entry that maps it. */
function replace<T>({ k }: migrate_control<T>, place: Place, n: number, from: Uint32Array, to: Uint32Array): void {
  const { owner, vma, table, slot } = place;
  const { sections } = k.mem;
  const s = k.mem.section(from[0]!);
  const refs = owner.is_anon ? 1 : 2;
  for (let p = 0; p < n; p++) {
    const i = from[p]! & PFN_SECTION_MASK;
    const dst = to[p]!;
    const d = sections[dst >>> PFN_SECTION_SHIFT]!;
    const j = dst & PFN_SECTION_MASK;
    const index = s.index[i]!;
    const at = slot + index - place.index;
    const pte = table.flags[at]!;
    const flags = s.flags[i]! | (pte & _PAGE_DIRTY ? PG_dirty : 0);
    d.flags[j] = flags;
    d.index[j] = index;
    d.setMapping(j, owner.owner_id);
    d.setRefs(j, refs);
    d.setMaps(j, 1);
    d.content[j] = s.content[i]!;
    if (!owner.is_anon) owner.i_pages.store(index, dst);
    const entry = (pte & (_PAGE_ACCESSED | _PAGE_DIRTY)) | (pte & _PAGE_RW ? SWP_WRITE : 0);
    table.pfn[at] = dst;
    table.flags[at] = restored_pte(vma, entry, (flags & PG_dirty) !== 0);
  }
}

/** Moves what is a run from `page` on; returns the page behind it, which is `page` itself where there is none. */
function moveRun<T>(c: migrate_control<T>, list: page_list, page: number, gfp_mask: number): number {
  const { k } = c;
  const place = placeOf(c, page);
  const source = place && pcpSource(k, gfp_mask);
  const sink = source && pcpSink(k, page);
  if (!place || !source || !sink) return page;
  const room = pageblock_nr_pages;
  const { from, to } = (c.together ??= { from: new Uint32Array(room), to: new Uint32Array(room) });
  const n = runOf(c, page, place, from, Math.min(source.list.nr, roomIn(k, sink, source)));
  if (n === 0) return page;
  const next = list_cut(k.mem, list, page, from[n - 1]!, n);
  takePages(k, source, n, to, 0);
  replace(c, place, n, from, to);
  lruvecAddAll(k, source.zone, to, 0, n);
  const isolated = place.kind & PG_swapbacked ? NR_ISOLATED_ANON : NR_ISOLATED_FILE;
  k.nodes[0]!.vm_stat[isolated]! -= n;
  freePages(k, sink, from, n);
  return next;
}

/** May the pages of this call go the short way, once one has been moved? Not where another task could look on. */
export function mayMoveAhead<T>({ k, reason, mode }: migrate_control<T>): boolean {
  if (!k.shortWays.migrate || k.fail_migrate.active) return false;
  if (k.tasks.size > 1 && k.hooks.yieldPoint !== nobody) return false;
  return reason === MR_LONGTERM_PIN && mode === MIGRATE_SYNC;
}

/**
 * Moves a run of pages of a list from `page` on, which stands behind one that has been moved.
 * @param gfp_mask of the targets
 * @returns the page to go on with: `page` itself where there is no run
 */
export function moveAhead<T>(c: migrate_control<T>, list: page_list, page: number, gfp_mask: number): number {
  // what waits in a batch comes onto the LRU first
  return cpu_needs_drain(c.k, c.k.cpu) ? page : moveRun(c, list, page, gfp_mask);
}
