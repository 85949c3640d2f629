// SPDX-License-Identifier: GPL-2.0-only
/** The LRU lists themselves: onto them, off them, and from inactive to active (include/linux/mm_inline.h). */
import { type mem_section, page_zone, PFN_SECTION_MASK, PFN_SECTION_SHIFT } from "../../include/linux/mem_map.js";
import type { Machine } from "../../include/machine.js";
import {
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_UNEVICTABLE,
  NULL_PFN,
  pageblock_nr_pages,
  pageblock_order,
  type page_list,
  type pglist_data,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_active, PG_head, PG_lru, PG_swapbacked, PG_tail, PG_unevictable } from "../../include/linux/page-flags.js";
import { NR_ISOLATED_ANON, NR_ISOLATED_FILE, NR_ZONE_INACTIVE_ANON, PGACTIVATE } from "../../include/linux/vmstat.js";
import {
  list_add,
  list_add_all,
  list_add_run_tail,
  list_add_tail,
  list_bulk_move,
  list_del,
  list_del_run,
} from "../../lib/pagelist.js";

/** Flags that decide whether pages can change LRU lists together. */
const LRU_KIND = PG_lru | PG_active | PG_unevictable | PG_swapbacked | PG_head | PG_tail;

/** Which list a page belongs on, by its flags. @kernel include/linux/mm_inline.h:folio_lru_list */
export function lru_list(flags: number): number {
  if (flags & PG_unevictable) return LRU_UNEVICTABLE;
  return (flags & PG_swapbacked ? 0 : 2) + (flags & PG_active ? 1 : 0);
}

/** Pages of the folio whose head stands at `i` of a section. */
export function nr_pages(s: mem_section, i: number): number {
  return s.flags[i]! & PG_head ? 1 << s.private_[i]! : 1;
}

/**
 * Puts a page on its LRU list. Unevictable pages are counted but on no list: their `prev` is the mlock count.
 * @kernel include/linux/mm_inline.h:lruvec_add_folio
 * @fidelity mirrored (without memory control groups and the multi-generation LRU)
 */
export function lruvec_add_folio(k: Machine, pfn: number, tail = false): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const lru = lru_list(s.flags[i]!);
  const z = page_zone(k.mem, pfn);
  const node = k.nodes[z.node]!;
  const nr = nr_pages(s, i);
  node.vm_stat[lru]! += nr;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + lru]! += nr;
  if (lru === LRU_UNEVICTABLE) return;
  if (tail) list_add_tail(k.mem, node.__lruvec.lists[lru]!, pfn);
  else list_add(k.mem, node.__lruvec.lists[lru]!, pfn);
}

/** Takes a page off its LRU list. @kernel include/linux/mm_inline.h:lruvec_del_folio @fidelity mirrored */
export function lruvec_del_folio(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const lru = lru_list(s.flags[i]!);
  const z = page_zone(k.mem, pfn);
  const node = k.nodes[z.node]!;
  const nr = nr_pages(s, i);
  if (lru !== LRU_UNEVICTABLE) list_del(k.mem, node.__lruvec.lists[lru]!, pfn);
  else s.setPrev(i, 0, 0);
  node.vm_stat[lru]! -= nr;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + lru]! -= nr;
}

/** Puts ordinary pages of one zone that are all alike on their LRU list, one after the other. */
export function lruvecAddAll(k: Machine, zone: zone, pages: Uint32Array, at: number, n: number): void {
  if (n === 0) return;
  const m = k.mem;
  const first = pages[at]!;
  const lru = lru_list(m.section(first).flags[first & PFN_SECTION_MASK]!);
  const node = k.nodes[zone.node]!;
  list_add_all(m, node.__lruvec.lists[lru]!, pages, at, n);
  node.vm_stat[lru]! += n;
  zone.vm_stat[NR_ZONE_INACTIVE_ANON + lru]! += n;
  for (let j = at; j < at + n; j++) {
    const pfn = pages[j]!;
    m.sections[pfn >>> PFN_SECTION_SHIFT]!.flags[pfn & PFN_SECTION_MASK]! |= PG_lru;
  }
}

/**
 * Reclaiming pages of one kind (`file`: 1 for files) has cost that many. Costs of long ago count less.
 * @kernel mm/swap.c:lru_note_cost
 * @fidelity mirrored
 */
export function lru_note_cost(node: pglist_data, file: 0 | 1, nr: number): void {
  const { __lruvec: lruvec, vm_stat } = node;
  if (file) lruvec.file_cost += nr;
  else lruvec.anon_cost += nr;
  let lrusize = 0;
  for (let lru = LRU_INACTIVE_ANON; lru <= LRU_ACTIVE_FILE; lru++) lrusize += vm_stat[lru]!;
  if (lruvec.file_cost + lruvec.anon_cost <= Math.floor(lrusize / 4)) return;
  lruvec.file_cost = Math.floor(lruvec.file_cost / 2);
  lruvec.anon_cost = Math.floor(lruvec.anon_cost / 2);
}

/**
 * Do the pages of an activation batch stand one behind the other on one inactive list, the last of the batch first, as
 * pages do that were faulted in one after the other? And can each lose the batch's reference?
 */
export function is_lru_run(k: Machine, batch: readonly number[]): boolean {
  const { sections, pageblock_zone } = k.mem;
  const zone_nr = pageblock_zone[batch[0]! >>> pageblock_order]!;
  let kind = -1;
  let behind = NULL_PFN;
  for (let b = 0; b < batch.length; b++) {
    const pfn = batch[b]!;
    const s = sections[pfn >>> PFN_SECTION_SHIFT]!;
    const i = pfn & PFN_SECTION_MASK;
    const flags = s.flags[i]! & LRU_KIND;
    if (kind < 0) kind = flags;
    if (flags !== kind || (flags & ~PG_swapbacked) !== PG_lru) return false;
    if (b > 0 && s.nextOf(i, pfn) !== behind) return false;
    if (s.refcount[i]! < 2 || pageblock_zone[pfn >>> pageblock_order] !== zone_nr) return false;
    behind = pfn;
  }
  return true;
}

/** What folio_activate does, to a whole batch that {@link is_lru_run}: the run changes lists as one. */
export function activate_run(k: Machine, batch: readonly number[]): void {
  const m = k.mem;
  const n = batch.length;
  const [last, first] = [batch[0]!, batch[n - 1]!];
  const z = page_zone(m, last);
  const node = k.nodes[z.node]!;
  const from = lru_list(m.section(last).flags[last & PFN_SECTION_MASK]!);
  list_bulk_move(m, node.__lruvec.lists[from]!, node.__lruvec.lists[from + 1]!, first, last, n);
  node.vm_stat[from]! -= n;
  node.vm_stat[from + 1]! += n;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + from]! -= n;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + from + 1]! += n;
  k.vm_events[PGACTIVATE]! += n;
  for (let b = 0; b < n; b++) {
    const pfn = batch[b]!;
    const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
    const i = pfn & PFN_SECTION_MASK;
    s.flags[i]! |= PG_active;
    s.addRefs(i, -1);
  }
}

/**
 * The short way of neighbours that are to leave their LRU list: isolates, as folio_isolate_lru does, as many of pages
 * [from, to) as are one behind the other in memory, and in the other direction on the list, as pages are that were faulted in
 * one after the other; puts them at the tail of `list`.
 * @param pages page frames
 * @returns how many; 0 where the first two are not such pages
 */
export function isolateRun(k: Machine, pages: ArrayLike<number>, from: number, to: number, list: page_list): number {
  const m = k.mem;
  const first = pages[from]!;
  const s = m.section(first);
  const at = first & PFN_SECTION_MASK;
  const kind = s.flags[at]! & LRU_KIND;
  if ((kind & ~(PG_active | PG_swapbacked)) !== PG_lru) return 0;
  const end = Math.min(to - from, pageblock_nr_pages - (first & (pageblock_nr_pages - 1)));
  let n = 1;
  for (; n < end && pages[from + n] === first + n; n++) {
    const i = at + n;
    if (s.nextOf(i, first + n) !== first + n - 1 || (s.flags[i]! & LRU_KIND) !== kind || s.refcount[i] === 0) break;
  }
  if (n === 1 || s.refcount[at] === 0) return 0;
  for (let i = at; i < at + n; i++) {
    s.flags[i]! &= ~PG_lru;
    s.addRefs(i, 1);
  }
  const lru = lru_list(kind);
  const z = page_zone(m, first);
  const node = k.nodes[z.node]!;
  list_del_run(m, node.__lruvec.lists[lru]!, first, n);
  list_add_run_tail(m, list, first, n, 1);
  node.vm_stat[lru]! -= n;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + lru]! -= n;
  node.vm_stat[kind & PG_swapbacked ? NR_ISOLATED_ANON : NR_ISOLATED_FILE]! += n;
  return n;
}
