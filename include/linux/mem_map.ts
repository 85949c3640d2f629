// SPDX-License-Identifier: GPL-2.0-only
/** struct page, taken apart: one typed array a field, indexed by page frame, allocated by section when first touched. */
import type { BufferPool } from "../../lib/buffer_pool.js";
import type { zone } from "./mmzone.js";
import { pageblock_nr_pages, pageblock_order } from "./mmzone.js";
import { PG_double_map, PG_head, PG_tail } from "./page-flags.js";

export const PFN_SECTION_SHIFT = 12;
export const PAGES_PER_SECTION = 1 << PFN_SECTION_SHIFT;
export const PFN_SECTION_MASK = PAGES_PER_SECTION - 1;

/** What {@link mem_section} takes for a page. */
const BYTES_PER_PAGE = 33;

/** Metadata of one section's pages; index with `pfn & PFN_SECTION_MASK`. */
export class mem_section {
  /** PG_… bits. */
  readonly flags: Uint32Array;
  readonly refcount: Int32Array;
  /** How many page table entries map the page: the kernel's _mapcount + 1. Huge entries: see compound_mapcount(). */
  readonly mapcount: Int32Array;
  /** What the page belongs to: an id of {@link mem_map.owners}, or 0. Tails of a huge page name what their head does. */
  readonly mapping: Uint32Array;
  /** Page offset in its mapping: of the file, or for anonymous memory the linear index of its VMA. */
  readonly index: Uint32Array;
  /** Order of a buddy block, or of a compound page's head; head's page frame of a tail; swap entry of a swap-cache page. */
  readonly private_: Uint32Array;
  /** Links of the one list that the page is on: free list, per-CPU list or LRU. Those of a first tail are two counts of its compound page. */
  readonly next: Uint32Array;
  readonly prev: Uint32Array;
  /** The page's first byte: all of its contents that the model keeps. */
  readonly content: Uint8Array;

  /** `words` are {@link BYTES_PER_PAGE} for each of `nr` pages, all zero. */
  constructor(nr: number, words: ArrayBuffer) {
    this.flags = new Uint32Array(words, 0, nr);
    this.refcount = new Int32Array(words, nr * 4, nr);
    this.mapcount = new Int32Array(words, nr * 8, nr);
    this.mapping = new Uint32Array(words, nr * 12, nr);
    this.index = new Uint32Array(words, nr * 16, nr);
    this.private_ = new Uint32Array(words, nr * 20, nr);
    this.next = new Uint32Array(words, nr * 24, nr);
    this.prev = new Uint32Array(words, nr * 28, nr);
    this.content = new Uint8Array(words, nr * 32, nr);
  }
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
  return m.section(head).next[(head + 1) & PFN_SECTION_MASK]!;
}

export function set_compound_mapcount(m: mem_map, head: number, n: number): void {
  m.section(head).next[(head + 1) & PFN_SECTION_MASK] = n;
}

/** How often a compound page is pinned. Kept in its first tail. */
export function compound_pincount(m: mem_map, head: number): number {
  return m.section(head).prev[(head + 1) & PFN_SECTION_MASK]!;
}

export function set_compound_pincount(m: mem_map, head: number, n: number): void {
  m.section(head).prev[(head + 1) & PFN_SECTION_MASK] = n;
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

/** The slot that a page of the swap cache has. @kernel include/linux/swap.h:folio_swap_entry */
export function swap_entry_of(m: mem_map, pfn: number): number {
  return m.section(pfn).private_[pfn & PFN_SECTION_MASK]!;
}
