// SPDX-License-Identifier: GPL-2.0-only
/**
 * The buddy allocator proper: free lists, splitting and merging (mm/page_alloc.c). The head of a free block has in `index`
 * its order and the type of the list that it is on, which need not be its pageblock's.
 */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { PFN_SECTION_MASK, PFN_SECTION_SHIFT, type mem_map, type mem_section } from "../../include/linux/mem_map.js";
import {
  MAX_ORDER,
  MAX_ORDER_NR_PAGES,
  MIGRATE_CMA,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  NULL_PFN,
  pageblock_order,
  type page_list,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_buddy, PG_pcp } from "../../include/linux/page-flags.js";
import { NR_FREE_CMA_PAGES, NR_FREE_PAGES } from "../../include/linux/vmstat.js";
import { list_add, list_add_run_tail, list_add_tail, list_del } from "../../lib/pagelist.js";

/** Put a freed block at the tail of its list, whatever merging may say. */
export const FPI_TO_TAIL = 2;
export const FPI_NONE = 0;

type block_ranges = { from: number; to: number }[];

/** Blocks of other types are always on a list. */
const NO_RANGES = Object.freeze<block_ranges>([]) as block_ranges;

/** Where in the `index` of a free block's head its order is; below is the type. */
const ORDER_SHIFT = 8;

/** Order of the free block that begins with this page. @kernel mm/internal.h:buddy_order @fidelity mirrored */
export function buddy_order(s: mem_section, i: number): number {
  return s.index[i]! >>> ORDER_SHIFT;
}

/** Type of the free list that the block that begins with this page is on. */
export function free_list_type(s: mem_section, i: number): number {
  return s.index[i]! & ((1 << ORDER_SHIFT) - 1);
}

/** The untouched blocks that stand behind a zone's free list of the highest order and this type. */
export function pristine_of(z: zone, migratetype: number): block_ranges {
  if (migratetype === MIGRATE_MOVABLE) return z.pristine;
  return migratetype === MIGRATE_CMA ? z.pristine_cma : NO_RANGES;
}

/**
 * Are there no free blocks of this order and type?
 * @kernel mm/internal.h:free_area_empty
 * @fidelity simplified: untouched blocks count, though they are on no list
 */
export function free_area_empty(z: zone, order: number, migratetype: number): boolean {
  if (z.free_area[order]!.free_list[migratetype]!.head !== NULL_PFN) return false;
  return order !== MAX_ORDER - 1 || pristine_of(z, migratetype).length === 0;
}

/** Changes the zone's counters of free pages. @kernel include/linux/vmstat.h:__mod_zone_freepage_state @fidelity mirrored */
export function __mod_zone_freepage_state(z: zone, nr_pages: number, migratetype: number): void {
  z.vm_stat[NR_FREE_PAGES]! += nr_pages;
  if (migratetype === MIGRATE_CMA) z.vm_stat[NR_FREE_CMA_PAGES]! += nr_pages;
}

/** May free blocks of this type merge with those of others? @kernel include/linux/mmzone.h @fidelity mirrored */
export function migratetype_is_mergeable(mt: number): boolean {
  return mt < MIGRATE_PCPTYPES;
}

/** @kernel mm/page_alloc.c:add_to_free_list @fidelity mirrored */
export function add_to_free_list(m: mem_map, z: zone, pfn: number, order: number, migratetype: number): void {
  const area = z.free_area[order]!;
  list_add(m, area.free_list[migratetype]!, pfn);
  area.nr_free++;
}

function add_to_free_list_tail(m: mem_map, z: zone, pfn: number, order: number, migratetype: number): void {
  const area = z.free_area[order]!;
  area.nr_free++;
  if (order === MAX_ORDER - 1) {
    const ranges = pristine_of(z, migratetype);
    if (ranges.length > 0) {
      const s = m.section(pfn);
      s.flags[pfn & PFN_SECTION_MASK]! &= ~PG_buddy;
      ranges.push({ from: pfn, to: pfn + MAX_ORDER_NR_PAGES });
      return;
    }
  }
  list_add_tail(m, area.free_list[migratetype]!, pfn);
}

/**
 * Takes a free block off its list; its pages stay counted as free.
 * @kernel mm/page_alloc.c:del_page_from_free_list
 * @fidelity mirrored
 */
export function del_page_from_free_list(m: mem_map, z: zone, pfn: number, order: number): void {
  const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
  const i = pfn & PFN_SECTION_MASK;
  const area = z.free_area[order]!;
  const migratetype = free_list_type(s, i);
  list_del(m, area.free_list[migratetype]!, pfn);
  s.flags[i]! &= ~PG_buddy;
  s.index[i] = migratetype;
  area.nr_free--;
}

/**
 * Moves a free block to the tail of another type's list.
 * @kernel mm/page_alloc.c:move_to_free_list
 * @fidelity mirrored
 */
export function move_to_free_list(m: mem_map, z: zone, pfn: number, order: number, migratetype: number): void {
  const area = z.free_area[order]!;
  const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
  const i = pfn & PFN_SECTION_MASK;
  list_del(m, area.free_list[free_list_type(s, i)]!, pfn);
  area.nr_free--;
  s.index[i] = (order << ORDER_SHIFT) | migratetype;
  add_to_free_list_tail(m, z, pfn, order, migratetype);
}

/** Makes a block a free one of this order and type, without putting it on a list. */
export function set_buddy_order(m: mem_map, pfn: number, order: number, migratetype: number): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  s.index[i] = (order << ORDER_SHIFT) | migratetype;
  s.flags[i]! |= PG_buddy;
}

/** Brings the first block of a range of untouched ones onto its free list. */
function take_pristine(m: mem_map, z: zone, migratetype: number): number {
  const ranges = pristine_of(z, migratetype);
  const range = ranges[0];
  if (range === undefined) return NULL_PFN;
  const pfn = range.from;
  range.from += MAX_ORDER_NR_PAGES;
  if (range.from >= range.to) ranges.shift();
  set_buddy_order(m, pfn, MAX_ORDER - 1, migratetype);
  list_add(m, z.free_area[MAX_ORDER - 1]!.free_list[migratetype]!, pfn);
  return pfn;
}

/**
 * If a page lies in an untouched free block, puts that block on its free list, so that it can be looked at. Other
 * untouched blocks stay as they are; the order of the list changes by that one block.
 */
export function materialise_block(m: mem_map, z: zone, pfn: number): void {
  const block = pfn - (pfn % MAX_ORDER_NR_PAGES);
  for (const mt of [MIGRATE_MOVABLE, MIGRATE_CMA]) {
    const ranges = pristine_of(z, mt);
    const at = ranges.findIndex((r) => r.from <= block && block < r.to);
    if (at < 0) continue;
    const { from, to } = ranges[at]!;
    const rest = [
      { from, to: block },
      { from: block + MAX_ORDER_NR_PAGES, to },
    ].filter((r) => r.from < r.to);
    ranges.splice(at, 1, ...rest);
    set_buddy_order(m, block, MAX_ORDER - 1, mt);
    list_add_tail(m, z.free_area[MAX_ORDER - 1]!.free_list[mt]!, block);
    return;
  }
}

/** Order and type of the free block that starts at this page frame, untouched ones too; undefined if none does. */
export function free_block_at(m: mem_map, z: zone, pfn: number): { order: number; migratetype: number } | undefined {
  const s = m.sections[pfn >>> PFN_SECTION_SHIFT];
  const i = pfn & PFN_SECTION_MASK;
  if (s !== undefined && s.flags[i]! & PG_buddy) return { order: buddy_order(s, i), migratetype: free_list_type(s, i) };
  if (pfn % MAX_ORDER_NR_PAGES !== 0) return undefined;
  for (const migratetype of [MIGRATE_MOVABLE, MIGRATE_CMA]) {
    for (const r of pristine_of(z, migratetype)) {
      if (r.from <= pfn && pfn < r.to) return { order: MAX_ORDER - 1, migratetype };
    }
  }
  return undefined;
}

/**
 * First block of a free list, untouched ones last; {@link NULL_PFN} if there is none.
 * @kernel mm/page_alloc.c:get_page_from_free_area
 * @fidelity mirrored
 */
export function get_page_from_free_area(m: mem_map, z: zone, order: number, migratetype: number): number {
  const head = z.free_area[order]!.free_list[migratetype]!.head;
  if (head !== NULL_PFN || order !== MAX_ORDER - 1) return head;
  return take_pristine(m, z, migratetype);
}

/** Is the block of this order that starts at `buddy` free, and of the same zone as `pfn`? @kernel mm/internal.h:page_is_buddy */
function page_is_buddy(m: mem_map, pfn: number, buddy: number, order: number): boolean {
  const s = m.sections[buddy >>> PFN_SECTION_SHIFT];
  if (s === undefined || buddy >= m.max_pfn) return false;
  const i = buddy & PFN_SECTION_MASK;
  if ((s.flags[i]! & PG_buddy) === 0 || buddy_order(s, i) !== order) return false;
  return (
    order < pageblock_order || m.pageblock_zone[pfn >>> pageblock_order] === m.pageblock_zone[buddy >>> pageblock_order]
  );
}

/**
 * Is the buddy of the next higher order free, so that waiting may make a larger block?
 * @kernel mm/page_alloc.c:buddy_merge_likely
 * @fidelity mirrored
 */
function buddy_merge_likely(m: mem_map, pfn: number, buddy_pfn: number, order: number): boolean {
  if (order >= MAX_ORDER - 2) return false;
  const higher_page_pfn = buddy_pfn & pfn;
  return page_is_buddy(m, higher_page_pfn, higher_page_pfn ^ (1 << (order + 1)), order + 1);
}

/**
 * Gives a block back to the free lists, merging it with its free buddies.
 * @kernel mm/page_alloc.c:__free_one_page
 * @fidelity simplified: no capture by direct compaction, no page reporting
 */
export function __free_one_page(
  m: mem_map,
  pfn: number,
  z: zone,
  order: number,
  migratetype: number,
  fpi_flags: number,
): void {
  VM_BUG_ON((pfn & ((1 << order) - 1)) !== 0, "__free_one_page: the block is not aligned");
  if (migratetype !== MIGRATE_ISOLATE) __mod_zone_freepage_state(z, 1 << order, migratetype);
  let buddy_pfn = 0;
  while (order < MAX_ORDER - 1) {
    buddy_pfn = pfn ^ (1 << order);
    if (!page_is_buddy(m, pfn, buddy_pfn, order)) break;
    if (order >= pageblock_order) {
      const buddy_mt = m.pageblock_flags[buddy_pfn >>> pageblock_order]!;
      if (migratetype !== buddy_mt && (!migratetype_is_mergeable(migratetype) || !migratetype_is_mergeable(buddy_mt))) {
        break;
      }
    }
    del_page_from_free_list(m, z, buddy_pfn, order);
    pfn &= buddy_pfn;
    order++;
  }
  set_buddy_order(m, pfn, order, migratetype);
  const to_tail = (fpi_flags & FPI_TO_TAIL) !== 0 || buddy_merge_likely(m, pfn, buddy_pfn, order);
  if (to_tail) add_to_free_list_tail(m, z, pfn, order, migratetype);
  else add_to_free_list(m, z, pfn, order, migratetype);
}

/**
 * Gives back the halves of a block that is larger than wanted, keeping its lower end.
 * @kernel mm/page_alloc.c:expand
 * @fidelity mirrored
 */
function expand(m: mem_map, z: zone, pfn: number, low: number, high: number, migratetype: number): void {
  while (high > low) {
    high--;
    const half = pfn + (1 << high);
    set_buddy_order(m, half, high, migratetype);
    add_to_free_list(m, z, half, high, migratetype);
  }
}

/**
 * Takes the smallest block that fits off the lists of one type; its `index` then says that type.
 * Returns {@link NULL_PFN} if there is none. Counters are the caller's affair.
 * @kernel mm/page_alloc.c:__rmqueue_smallest
 * @fidelity mirrored
 */
export function __rmqueue_smallest(m: mem_map, z: zone, order: number, migratetype: number): number {
  for (let current_order = order; current_order < MAX_ORDER; ++current_order) {
    const pfn = get_page_from_free_area(m, z, current_order, migratetype);
    if (pfn === NULL_PFN) continue;
    del_page_from_free_list(m, z, pfn, current_order);
    if (current_order > order) expand(m, z, pfn, order, current_order, migratetype);
    return pfn;
  }
  return NULL_PFN;
}

/**
 * Takes up to `want` blocks of one order off the smallest block that fits, one behind the other, and puts them at the tail of
 * a per-CPU list: as often as that calls {@link __rmqueue_smallest}, since no smaller block than what is left of this one
 * comes in between. Says how many; counters are the caller's affair.
 */
export function takeRun(
  m: mem_map,
  z: zone,
  order: number,
  migratetype: number,
  want: number,
  list: page_list,
): number {
  for (let current_order = order; current_order < MAX_ORDER; ++current_order) {
    const pfn = get_page_from_free_area(m, z, current_order, migratetype);
    if (pfn === NULL_PFN) continue;
    del_page_from_free_list(m, z, pfn, current_order);
    const n = Math.min(want, 1 << (current_order - order));
    for (let at = n << order; at < 1 << current_order; at += at & -at) {
      const rest = 31 - Math.clz32(at & -at);
      set_buddy_order(m, pfn + at, rest, migratetype);
      add_to_free_list(m, z, pfn + at, rest, migratetype);
    }
    const { flags, index } = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
    const i = pfn & PFN_SECTION_MASK;
    for (let at = i; at < i + (n << order); at += 1 << order) {
      flags[at]! |= PG_pcp;
      index[at] = migratetype;
    }
    list_add_run_tail(m, list, pfn, n, 1 << order);
    return n;
  }
  return 0;
}
