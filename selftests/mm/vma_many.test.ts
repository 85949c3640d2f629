// SPDX-License-Identifier: GPL-2.0-only
/** Address spaces of hundreds of VMAs, under random calls: a list of pages says what must be there. */
import fc from "fast-check";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EEXIST } from "../../uapi/errno.js";
import {
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_NORESERVE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import { ANON, at, bytes, type T } from "./lib/memory.js";

const PAGES = 1024;
/** Neighbours of one protection merge: of many, most stay apart. */
const PROTS = [PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE];
const HOLE = -1;

const window = FIXTURE("a_window");

const call = fc.record({
  kind: fc.constantFrom("map", "map", "map", "unmap", "protect", "noreplace"),
  page: fc.nat(PAGES - 1),
  pages: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 4 }) }, fc.integer({ min: 1, max: 200 })),
  prot: fc.nat(PROTS.length - 1),
});
type Call = typeof call extends fc.Arbitrary<infer C> ? C : never;

/** Calls so many that a tree of ranges grows several levels, loses them again and grows anew. */
const calls = fc.array(call, { minLength: 700, maxLength: 700, size: "max" });

/** What holds the window: a protection for each page. */
class Pages {
  readonly prots = new Int8Array(PAGES).fill(HOLE);

  set(page: number, pages: number, prot: number): void {
    this.prots.fill(prot, page, page + pages);
  }

  has(page: number, pages: number): boolean {
    return !this.prots.subarray(page, page + pages).includes(HOLE);
  }

  free(page: number, pages: number): boolean {
    return this.prots.subarray(page, page + pages).every((prot) => prot === HOLE);
  }

  runs(): string[] {
    const out: string[] = [];
    for (let from = 0, to = 0; from < PAGES; from = to) {
      while (to < PAGES && this.prots[to] === this.prots[from]) to++;
      if (this.prots[from] !== HOLE) out.push(`${from}-${to} ${this.prots[from]!}`);
    }
    return out;
  }
}

/** The window as the machine has it, neighbours of one protection as one. */
function shown(t: T): string[] {
  const pages = new Pages();
  for (const row of t.smaps()) {
    const page = (row.start - at(0)) / bytes(1);
    if (page < 0 || page >= PAGES) continue;
    pages.set(
      page,
      (row.end - row.start) / bytes(1),
      PROTS.indexOf((row.perms[0] === "r" ? 1 : 0) | (row.perms[1] === "w" ? 2 : 0)),
    );
  }
  return pages.runs();
}

function make(t: T, pages: Pages, c: Call): void {
  const len = Math.min(c.pages, PAGES - c.page);
  const prot = PROTS[c.prot]!;
  switch (c.kind) {
    case "map":
      expect(t.sys.mmap(at(c.page), bytes(len), prot, ANON | MAP_FIXED, -1, 0)).to.equal(at(c.page));
      pages.set(c.page, len, c.prot);
      break;
    case "unmap":
      expect(t.sys.munmap(at(c.page), bytes(len))).to.equal(0);
      pages.set(c.page, len, HOLE);
      break;
    case "protect":
      if (!pages.has(c.page, len)) break;
      expect(t.sys.mprotect(at(c.page), bytes(len), prot)).to.equal(0);
      pages.set(c.page, len, c.prot);
      break;
    case "noreplace": {
      const free = pages.free(c.page, len);
      const ret = t.sys.mmap(at(c.page), bytes(len), prot, ANON | MAP_FIXED_NOREPLACE, -1, 0);
      expect(ret).to.equal(free ? at(c.page) : -EEXIST);
      if (free) pages.set(c.page, len, c.prot);
    }
  }
}

/** Maps without a place, from the top of the window on: each must come into the highest hole that is large enough. */
function search(t: T, pages: Pages): void {
  for (const len of [9, 3, 5, 1, 1, 2, 4, 1, 3, 2, 1, 1]) {
    let page = PAGES - len;
    while (page >= 0 && !pages.free(page, len)) page--;
    if (page < 0) return;
    expect(t.sys.mmap(0, bytes(len), PROT_NONE, ANON, -1, 0)).to.equal(at(page));
    pages.set(page, len, 0);
  }
}

describe("an address space of hundreds of VMAs", () => {
  TEST_F(window, "holds what random calls have left, and finds the holes between", (t) => {
    const above = t.k.current.mm!.mmap_base - at(PAGES);
    t.sys.mmap(at(PAGES), above, PROT_READ, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0);
    fc.assert(
      fc.property(calls, (made) => {
        const pages = new Pages();
        for (const c of made) make(t, pages, c);
        search(t, pages);
        expect(shown(t)).to.deep.equal(pages.runs());
        t.sys.munmap(at(0), bytes(PAGES));
      }),
      { numRuns: 12, seed: 20221014 },
    );
  });
});
