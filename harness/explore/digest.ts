// SPDX-License-Identifier: GPL-2.0-only
/**
 * The state of a machine in one number: all that it is made of, whatever that is, but for what never changes here and what
 * only counts or remembers. Machines with equal numbers go on alike.
 */
import { type mem_section, PFN_SECTION_MASK, PFN_SECTION_SHIFT } from "../../include/linux/mem_map.js";
import {
  type free_area,
  type lruvec,
  NULL_PFN,
  type page_list,
  type per_cpu_pages,
} from "../../include/linux/mmzone.js";
import { PG_buddy, PG_pcp, PG_tail } from "../../include/linux/page-flags.js";
import type { Machine } from "../../include/machine.js";
import { Digest } from "./hash.js";
import { fieldsOf, hashOf, type Identities, LEFT_OUT } from "./identities.js";

/** What stands for no object, for nothing and for a function, and ends what has no length. */
const [NULL, NOTHING, END] = [-1, -2, -3];

class StateDigest extends Digest {
  private readonly known: Identities;
  private readonly sections: readonly (mem_section | undefined)[];
  private readonly now: number;
  private objects = 0;

  constructor(k: Machine, known: Identities) {
    super();
    this.known = known;
    this.sections = k.mem.sections;
    this.now = known.next();
    this.object(k);
    for (const s of this.sections) if (s !== undefined) this.pages(s);
  }

  private visit(x: unknown): void {
    if (typeof x === "number") this.number(x);
    else if (typeof x === "object") {
      if (x === null) this.add(NULL);
      else this.object(x);
    } else if (typeof x === "boolean") this.add(x ? 1 : 0);
    else if (x === undefined || typeof x === "function") this.add(NOTHING);
    else this.add(hashOf(typeof x === "string" ? x : (x as bigint | symbol).toString()));
  }

  private number(n: number): void {
    this.add(n);
    if (n > 0xffffffff || n < -0x80000000) this.add(n / 2 ** 32);
  }

  private object(x: object): void {
    const seen = this.known.of(x);
    if (seen.at === this.now) {
      this.add(seen.nth);
      return;
    }
    seen.at = this.now;
    seen.nth = ++this.objects;
    const { plan } = seen;
    if (plan === "words") this.words(seen.words);
    else if (plan === "array") this.array(x as unknown[]);
    else if (plan === "map") this.map(x as Map<unknown, unknown>);
    else if (plan === "each") {
      for (const one of x as Iterable<unknown>) this.visit(one);
      this.add(END);
    } else {
      this.add(seen.vma);
      this.fields(x as Record<string, unknown>, x.constructor === Object ? fieldsOf(x) : plan);
    }
  }

  private words(x: ArrayLike<number>): void {
    for (let i = 0; i < x.length; i++) {
      if (x[i] === 0) continue;
      this.add(i);
      this.add(x[i]!);
    }
  }

  private array(x: readonly unknown[]): void {
    this.add(x.length);
    for (const one of x) this.visit(one);
  }

  private map(x: ReadonlyMap<unknown, unknown>): void {
    this.add(x.size);
    for (const [key, value] of x) {
      if (LEFT_OUT.has(key)) continue;
      this.visit(key);
      this.visit(value);
    }
  }

  private fields(x: Record<string, unknown>, keys: readonly string[]): void {
    for (const key of keys) {
      const value = x[key];
      if (typeof value === "number") this.number(value);
      else if (key === "free_area") this.freeAreas(value as free_area[]);
      else if (key === "pageset") this.pcps(value as per_cpu_pages[]);
      else if (key === "__lruvec") this.lruvec(value as lruvec);
      else this.visit(value);
    }
  }

  private lruvec({ lists, refaults, anon_cost, file_cost, nonresident_age }: lruvec): void {
    this.lists(lists);
    for (const n of [...refaults, anon_cost, file_cost, nonresident_age]) this.number(n);
  }

  /** Free blocks in the order in which they will be handed out. */
  private freeAreas(areas: readonly free_area[]): void {
    for (const { nr_free, free_list } of areas) {
      this.add(nr_free);
      if (nr_free !== 0) this.lists(free_list);
    }
  }

  private pcps(sets: readonly per_cpu_pages[]): void {
    for (const { count, free_factor, lists } of sets) {
      this.add(count);
      this.add(free_factor);
      if (count !== 0) this.lists(lists);
    }
  }

  private lists(lists: readonly page_list[]): void {
    for (const { head, nr } of lists) {
      this.add(nr);
      for (let pfn = head; pfn !== NULL_PFN;) {
        this.add(pfn);
        pfn = this.sections[pfn >>> PFN_SECTION_SHIFT]!.nextOf(pfn & PFN_SECTION_MASK, pfn);
      }
    }
  }

  /** Pages that are not free: what free ones were used for is gone. */
  private pages(s: mem_section): void {
    const { flags, refcount } = s;
    for (let i = 0; i < flags.length; i++) {
      const of = flags[i]!;
      if ((of | refcount[i]!) === 0 || of & (PG_buddy | PG_pcp)) continue;
      this.add(i);
      this.add(of);
      this.add(refcount[i]!);
      this.add(s.mapcount[i]!);
      this.add(s.mapping[i]!);
      this.add(s.index[i]!);
      this.add(s.private_[i]!);
      this.add(s.content[i]!);
      if (!(of & PG_tail)) continue;
      this.add(s.nextOf(i, 0));
      this.add(s.prevOf(i, 0));
    }
  }
}

/** All of a machine but {@link LEFT_OUT}. */
export function digestOf(k: Machine, known: Identities): number {
  return new StateDigest(k, known).value;
}
