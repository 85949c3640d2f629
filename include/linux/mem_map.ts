// SPDX-License-Identifier: GPL-2.0-only
/** struct page, taken apart: one typed array a field, indexed by page frame, allocated by section when first touched. */
import type { BufferPool } from "../../lib/buffer_pool.js";
import type { zone } from "./mmzone.js";
import { NULL_PFN, pageblock_nr_pages, pageblock_order } from "./mmzone.js";
import { PG_double_map, PG_head, PG_tail } from "./page-flags.js";

export const PFN_SECTION_SHIFT = 12;
export const PAGES_PER_SECTION = 1 << PFN_SECTION_SHIFT;
export const PFN_SECTION_MASK = PAGES_PER_SECTION - 1;

/** What {@link mem_section} takes for a page to begin with. */
const BYTES_PER_PAGE = 17;

/** A field of pages that is narrow until a value needs more: read it here, write it by the methods of {@link mem_section}. */
interface Widening {
  readonly [i: number]: number;
  readonly length: number;
}

/** What a section's `private_` is before the first value other than 0. */
const NO_PRIVATE: Widening = new Uint32Array(PAGES_PER_SECTION);

/** A link in {@link mem_section.next} or prev that has to be looked up in {@link mem_section.far}. */
const FAR = -0x8000;

/** Metadata of one section's pages; index with `pfn & PFN_SECTION_MASK`. */
export class mem_section {
  /** PG_… bits. */
  readonly flags: Uint32Array;
  /**
   * Page offset in its mapping: of the file, or for anonymous memory the linear index of its VMA. Of a free block, see
   * {@link set_buddy_order}; of a page on a per-CPU list, the type whose it is.
   */
  readonly index: Uint32Array;
  /**
   * Links of the one list that the page is on: free list, per-CPU list or LRU. Those of a first tail are two counts of its
   * compound page, and `prev` of an unevictable page is one of its mlocks. Each is kept as its distance from the page (a
   * count: from 0), or {@link FAR}; 0 is NULL_PFN.
   */
  private readonly next: Int16Array;
  private readonly prev: Int16Array;
  refcount: Widening;
  /** How many page table entries map the page: the kernel's _mapcount + 1. Huge entries: see compound_mapcount(). */
  mapcount: Widening;
  /** What the page belongs to: an id of {@link mem_map.owners}, or 0. Tails of a huge page name what their head does. */
  mapping: Widening;
  /** Order of a compound page's head; head's page frame of a tail; swap entry of a swap-cache page. */
  private_: Widening = NO_PRIVATE;
  /** The page's first byte: all of its contents that the model keeps. */
  readonly content: Uint8Array;
  /** Links to pages further than 32767 away: those of `next`, and behind them those of `prev`. */
  private far: Int32Array | null = null;

  /** `words` are {@link BYTES_PER_PAGE} for each of `nr` pages, all zero. */
  constructor(nr: number, words: ArrayBuffer) {
    this.flags = new Uint32Array(words, 0, nr);
    this.index = new Uint32Array(words, nr * 4, nr);
    this.next = new Int16Array(words, nr * 8, nr);
    this.prev = new Int16Array(words, nr * 10, nr);
    this.refcount = new Uint16Array(words, nr * 12, nr);
    this.mapcount = new Uint8Array(words, nr * 14, nr);
    this.mapping = new Uint8Array(words, nr * 15, nr);
    this.content = new Uint8Array(words, nr * 16, nr);
  }

  setRefs(i: number, refs: number): void {
    if (refs >>> 16 !== 0) this.refcount = wide(this.refcount);
    (this.refcount as Int32Array)[i] = refs;
  }

  /** Returns how many references there are then. */
  addRefs(i: number, n: number): number {
    const refs = this.refcount[i]! + n;
    this.setRefs(i, refs);
    return refs;
  }

  setMaps(i: number, maps: number): void {
    if (maps >>> 8 !== 0) this.mapcount = wide(this.mapcount);
    (this.mapcount as Int32Array)[i] = maps;
  }

  /** Returns how many entries map the page then. */
  addMaps(i: number, n: number): number {
    const maps = this.mapcount[i]! + n;
    this.setMaps(i, maps);
    return maps;
  }

  setMapping(i: number, owner_id: number): void {
    if (owner_id >>> 8 !== 0) this.mapping = wide(this.mapping);
    (this.mapping as Int32Array)[i] = owner_id;
  }

  setPrivate(i: number, value: number): void {
    if (this.private_ === NO_PRIVATE) {
      if (value === 0) return;
      this.private_ = new Uint32Array(this.flags.length);
    }
    (this.private_ as Uint32Array)[i] = value;
  }

  /** The page behind this one on its list; with 0 for `from`, the count that is kept there. */
  nextOf(i: number, from: number): number {
    const d = this.next[i]!;
    return d === 0 ? 0 : d === FAR ? this.far![i]! : from + d;
  }

  prevOf(i: number, from: number): number {
    const d = this.prev[i]!;
    return d === 0 ? 0 : d === FAR ? this.far![i + this.flags.length]! : from + d;
  }

  setNext(i: number, from: number, to: number): void {
    const d = to - from;
    if (to === 0) this.next[i] = 0;
    else if (d > FAR && d < -FAR) this.next[i] = d;
    else {
      this.next[i] = FAR;
      this.farLinks()[i] = to;
    }
  }

  setPrev(i: number, from: number, to: number): void {
    const d = to - from;
    if (to === 0) this.prev[i] = 0;
    else if (d > FAR && d < -FAR) this.prev[i] = d;
    else {
      this.prev[i] = FAR;
      this.farLinks()[i + this.flags.length] = to;
    }
  }

  /** Links to nothing. */
  unlink(i: number): void {
    this.next[i] = 0;
    this.prev[i] = 0;
  }

  /** Links `n` pages that are `step` apart to one another; the ends stay as they are. */
  linkRun(i: number, n: number, step: number): void {
    const { next, prev } = this;
    const last = i + (n - 1) * step;
    for (let at = i; at < last; at += step) {
      next[at] = step;
      prev[at + step] = -step;
    }
  }

  /** Leaves `n` pages without links. */
  unlinkRun(i: number, n: number): void {
    const { next, prev } = this;
    for (let at = i; at < i + n; at++) {
      next[at] = 0;
      prev[at] = 0;
    }
  }

  private farLinks(): Int32Array {
    return (this.far ??= new Int32Array(2 * this.flags.length));
  }
}

/** The same values in 32 bits each. */
function wide(field: Widening): Widening {
  return field instanceof Int32Array ? field : Int32Array.from(field);
}

/** What a page's `mapping` can name: an anon_vma or an address_space. */
export interface page_owner {
  /** Its place in {@link mem_map.owners}; 0 while it has none. */
  owner_id: number;
  readonly is_anon: boolean;
}

/** All page metadata of a machine. */
export class mem_map {
  /** Page frames are 0 … max_pfn - 1. */
  readonly max_pfn: number;
  readonly sections: (mem_section | undefined)[];
  /** Migratetype of each pageblock. */
  readonly pageblock_flags: Uint8Array;
  /** Index into {@link zones} of each pageblock's zone. */
  readonly pageblock_zone: Uint8Array;
  readonly zones: zone[] = [];
  /** By id; freed ids are reused. Index 0 stays empty. */
  readonly owners: (page_owner | undefined)[] = [undefined];
  private readonly freeIds: number[] = [];
  /** Ids of freed anon_vmas: kept apart, and their owner left in place, since a page can outlive the mapping it names. */
  private readonly freeAnonIds: number[] = [];
  /** Where the memory of sections comes from. */
  readonly buffers: BufferPool;

  constructor(max_pfn: number, buffers: BufferPool) {
    this.max_pfn = max_pfn;
    this.buffers = buffers;
    this.sections = new Array<mem_section | undefined>(Math.ceil(max_pfn / PAGES_PER_SECTION)).fill(undefined);
    const blocks = Math.ceil(max_pfn / pageblock_nr_pages);
    this.pageblock_flags = new Uint8Array(blocks);
    this.pageblock_zone = new Uint8Array(blocks);
  }

  /** The section that holds a page frame; its arrays come into being here. */
  section(pfn: number): mem_section {
    return this.sections[pfn >>> PFN_SECTION_SHIFT] ?? this.makeSection(pfn >>> PFN_SECTION_SHIFT);
  }

  private makeSection(nr: number): mem_section {
    if (nr >= this.sections.length) throw new RangeError(`the machine has no section ${nr}, or has been retired`);
    const pages = Math.min(PAGES_PER_SECTION, this.max_pfn - nr * PAGES_PER_SECTION);
    const s = new mem_section(pages, this.buffers.take(pages * BYTES_PER_PAGE));
    this.sections[nr] = s;
    return s;
  }

  /** Gives the memory of all sections back; the machine cannot be used any more. */
  retire(): void {
    for (const s of this.sections) if (s !== undefined) this.buffers.give(s.flags.buffer as ArrayBuffer);
    this.sections.length = 0;
  }

  /** Gives an anon_vma or address_space the id under which pages name it. */
  register(owner: page_owner): number {
    const id = (owner.is_anon ? this.freeAnonIds : this.freeIds).pop() ?? this.owners.length;
    this.owners[id] = owner;
    owner.owner_id = id;
    return id;
  }

  unregister(owner: page_owner): void {
    if (!owner.is_anon) this.owners[owner.owner_id] = undefined;
    (owner.is_anon ? this.freeAnonIds : this.freeIds).push(owner.owner_id);
    owner.owner_id = 0;
  }
}

export function page_zone(m: mem_map, pfn: number): zone {
  return m.zones[m.pageblock_zone[pfn >>> pageblock_order]!]!;
}

export function get_pageblock_migratetype(m: mem_map, pfn: number): number {
  return m.pageblock_flags[pfn >>> pageblock_order]!;
}

export function set_pageblock_migratetype(m: mem_map, pfn: number, migratetype: number): void {
  m.pageblock_flags[pfn >>> pageblock_order] = migratetype;
}

export function page_test(m: mem_map, pfn: number, flag: number): boolean {
  return (m.section(pfn).flags[pfn & PFN_SECTION_MASK]! & flag) !== 0;
}

export function page_set(m: mem_map, pfn: number, flag: number): void {
  m.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= flag;
}

export function page_clear(m: mem_map, pfn: number, flag: number): void {
  m.section(pfn).flags[pfn & PFN_SECTION_MASK]! &= ~flag;
}

export function page_ref_count(m: mem_map, pfn: number): number {
  return m.section(pfn).refcount[pfn & PFN_SECTION_MASK]!;
}

/** How many entries of any size map a page. @kernel mm/util.c:__page_mapcount */
export function page_mapcount(m: mem_map, pfn: number): number {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const n = s.mapcount[i]!;
  if (!(s.flags[i]! & (PG_head | PG_tail)) || !PageAnon(m, pfn)) return n;
  const head = compound_head(m, pfn);
  return n + compound_mapcount(m, head) - (page_test(m, head, PG_double_map) ? 1 : 0);
}

/** How many huge entries map a compound page: the kernel's compound_mapcount + 1. Kept in its first tail. */
export function compound_mapcount(m: mem_map, head: number): number {
  return m.section(head).nextOf((head + 1) & PFN_SECTION_MASK, 0);
}

export function set_compound_mapcount(m: mem_map, head: number, n: number): void {
  m.section(head).setNext((head + 1) & PFN_SECTION_MASK, 0, n);
}

/** How often a compound page is pinned. Kept in its first tail. */
export function compound_pincount(m: mem_map, head: number): number {
  return m.section(head).prevOf((head + 1) & PFN_SECTION_MASK, 0);
}

export function set_compound_pincount(m: mem_map, head: number, n: number): void {
  m.section(head).setPrev((head + 1) & PFN_SECTION_MASK, 0, n);
}

/** All entries that map any part of a page or compound page (by its head). @kernel mm/util.c:folio_mapcount */
export function folio_mapcount(m: mem_map, pfn: number): number {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (!(s.flags[i]! & PG_head)) return s.mapcount[i]!;
  const nr = 1 << s.private_[i]!;
  const compound = compound_mapcount(m, pfn);
  let n = compound;
  for (let j = i; j < i + nr; j++) n += s.mapcount[j]!;
  if (!PageAnon(m, pfn)) return n - compound * nr;
  return s.flags[i]! & PG_double_map ? n - nr : n;
}

/** Does any entry map the page, or (by its head) any part of the compound page? @kernel mm/util.c:folio_mapped */
export function folio_mapped(m: mem_map, pfn: number): boolean {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.mapcount[i]! > 0) return true;
  if (!(s.flags[i]! & PG_head)) return false;
  if (compound_mapcount(m, pfn) > 0) return true;
  for (let j = i + 1; j < i + (1 << s.private_[i]!); j++) if (s.mapcount[j]! > 0) return true;
  return false;
}

/** Pages of an ordinary page or of a compound page, by its head. */
export function folio_nr_pages(m: mem_map, pfn: number): number {
  return 1 << compound_order(m, pfn);
}

/** The head of a compound page, or the page itself. */
export function compound_head(m: mem_map, pfn: number): number {
  return page_test(m, pfn, PG_tail) ? m.section(pfn).private_[pfn & PFN_SECTION_MASK]! : pfn;
}

/** Order of a compound page by its head, 0 of an ordinary page. */
export function compound_order(m: mem_map, pfn: number): number {
  return page_test(m, pfn, PG_head) ? m.section(pfn).private_[pfn & PFN_SECTION_MASK]! : 0;
}

/** What a page belongs to, or undefined. */
export function page_owner_of(m: mem_map, pfn: number): page_owner | undefined {
  return m.owners[m.section(pfn).mapping[pfn & PFN_SECTION_MASK]!];
}

export function PageAnon(m: mem_map, pfn: number): boolean {
  return page_owner_of(m, pfn)?.is_anon === true;
}

/**
 * The slot that a page of the swap cache has. The pages of a huge one have 512 in a row, of which a link of its second
 * tail, which is on no list, keeps the first.
 * @kernel include/linux/swap.h:folio_swap_entry
 */
export function swap_entry_of(m: mem_map, pfn: number): number {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (!(s.flags[i]! & (PG_head | PG_tail))) return s.private_[i]!;
  const head = compound_head(m, pfn);
  return s.nextOf((head + 2) & PFN_SECTION_MASK, 0) + (pfn - head);
}

/** @kernel include/linux/swap.h:folio_set_swap_entry; null: none any more */
export function set_swap_entry(m: mem_map, pfn: number, entry: number | null): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_head) s.setNext((pfn + 2) & PFN_SECTION_MASK, 0, entry ?? NULL_PFN);
  else s.setPrivate(i, entry ?? 0);
}
