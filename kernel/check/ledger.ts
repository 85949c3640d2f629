// SPDX-License-Identifier: GPL-2.0-only
/** What each page's counts should be, added up from everything that holds a page. */
import { PAGES_PER_SECTION, PFN_SECTION_MASK, PFN_SECTION_SHIFT, type mem_map } from "../../include/linux/mem_map.js";
import { PG_tail } from "../../include/linux/page-flags.js";

const MAX_COMPLAINTS = 20;

/** Broken invariants in words; many of one kind are cut short. */
export class Complaints {
  readonly lines: string[] = [];
  private more = 0;

  add(line: string): void {
    if (this.lines.length < MAX_COMPLAINTS) this.lines.push(line);
    else this.more++;
  }

  unless(holds: boolean, line: () => string): void {
    if (!holds) this.add(line());
  }

  /** Runs one check; what it throws (a freed VMA that is read, say) is a complaint too. */
  during(what: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      this.add(`${what}: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`);
    }
  }

  all(): string[] {
    return this.more === 0 ? this.lines : [...this.lines, `… and ${String(this.more)} more`];
  }
}

/** What {@link SectionLedger} takes for a page. */
const BYTES_PER_PAGE = 9;

/** Expected counts of one section's pages. */
export interface SectionLedger {
  readonly refs: Int32Array;
  readonly maps: Int32Array;
  /** 1 where the page was met on a list. */
  readonly listed: Uint8Array;
}

/** Expected counts of all pages that anything is known to hold. */
export class Ledger {
  private readonly m: mem_map;
  private readonly sections: (SectionLedger | undefined)[] = [];
  /** Huge entries that map each huge page, by its head. */
  readonly huge = new Map<number, number>();
  /** How many page table entries have each swap slot, and which slots files have. */
  readonly swapped = new Map<number, number>();
  readonly swappedFiles = new Set<number>();

  constructor(m: mem_map) {
    this.m = m;
  }

  section(nr: number): SectionLedger {
    let s = this.sections[nr];
    if (s === undefined) {
      const n = Math.min(PAGES_PER_SECTION, this.m.max_pfn - nr * PAGES_PER_SECTION);
      const words = this.m.buffers.take(n * BYTES_PER_PAGE);
      s = {
        refs: new Int32Array(words, 0, n),
        maps: new Int32Array(words, n * 4, n),
        listed: new Uint8Array(words, n * 8, n),
      };
      this.sections[nr] = s;
    }
    return s;
  }

  /** Gives its memory back; nothing can be looked up any more. */
  close(): void {
    for (const s of this.sections) if (s !== undefined) this.m.buffers.give(s.refs.buffer as ArrayBuffer);
    this.sections.length = 0;
  }

  /** A reference to a page: to its head, if it is part of a compound page. */
  ref(pfn: number, n = 1): void {
    const s = this.m.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    const head = s.flags[i]! & PG_tail ? s.private_[i]! : pfn;
    this.section(head >>> PFN_SECTION_SHIFT).refs[head & PFN_SECTION_MASK]! += n;
  }

  /** A page table entry that has a swap slot. */
  swap(entry: number): void {
    this.swapped.set(entry, (this.swapped.get(entry) ?? 0) + 1);
  }

  /** A page table entry that maps a page, which is a reference too. */
  map(pfn: number): void {
    this.section(pfn >>> PFN_SECTION_SHIFT).maps[pfn & PFN_SECTION_MASK]!++;
    this.ref(pfn);
  }

  /** A huge entry that maps a huge page, which is one reference. */
  mapHuge(head: number): void {
    this.huge.set(head, (this.huge.get(head) ?? 0) + 1);
    this.ref(head);
  }

  /** Notes that a page is on a list; false if it was met on one before. */
  list(pfn: number): boolean {
    const { listed } = this.section(pfn >>> PFN_SECTION_SHIFT);
    const i = pfn & PFN_SECTION_MASK;
    if (listed[i] !== 0) return false;
    listed[i] = 1;
    return true;
  }
}
