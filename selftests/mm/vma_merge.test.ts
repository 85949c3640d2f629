// SPDX-License-Identifier: GPL-2.0-only
/**
 * The eight ways in which a changed or a new range merges with its neighbours (mm/mmap.c:vma_merge).
 *
 * Pictures: a letter is a page of the window, a bar the border of a mapping, a blank between bars a page that is not
 * mapped. `w` is a page as the call wants it, `r` one that is not yet so, `x` one that differs for good. The upper row is
 * before, the lower one after, and the carets show the range of the call.
 */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F, type TestContext } from "../../harness/kselftest/index.js";
import {
  MADV_DODUMP,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_NORMAL,
  MADV_RANDOM,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { PR_SET_VMA } from "../../uapi/prctl.js";
import { advise, at, bytes, map, memfd, peek, ranges, RW, SHARED_ANON, type T, touch } from "./lib/memory.js";
import { openFile } from "./lib/tasks.js";

/** A call that makes pages be as wanted, and one that makes them not. */
interface Change {
  readonly name: string;
  readonly want: (t: T, page: number, pages: number) => number;
  readonly unwant: (t: T, page: number, pages: number) => number;
}

const changes: readonly Change[] = [
  {
    name: "mprotect",
    want: (t, page, pages) => t.sys.mprotect(at(page), bytes(pages), RW),
    unwant: (t, page, pages) => t.sys.mprotect(at(page), bytes(pages), PROT_READ),
  },
  {
    name: "madvise",
    want: (t, page, pages) => advise(t, page, pages, MADV_NORMAL),
    unwant: (t, page, pages) => advise(t, page, pages, MADV_RANDOM),
  },
  {
    name: "mlock",
    want: (t, page, pages) => t.sys.munlock(at(page), bytes(pages)),
    unwant: (t, page, pages) => t.sys.mlock2(at(page), bytes(pages), 1),
  },
  {
    name: "prctl",
    want: (t, page, pages) => t.sys.prctl(PR_SET_VMA, 0, at(page), bytes(pages), null),
    unwant: (t, page, pages) => t.sys.prctl(PR_SET_VMA, 0, at(page), bytes(pages), "r"),
  },
];

/** What backs the mappings: maps pages of the window as they would lie in one mapping of all. */
interface Backing {
  readonly name: string;
  readonly file: (t: T) => number;
  readonly flags?: number;
}

const backings: readonly Backing[] = [
  { name: "private_anonymous", file: () => -1 },
  { name: "shared_memfd", file: (t) => memfd(t, 16), flags: MAP_SHARED },
  { name: "private_memfd", file: (t) => memfd(t, 16), flags: MAP_PRIVATE },
  { name: "private_file", file: (t) => openFile(t, 16), flags: MAP_PRIVATE },
];
const sharedAnonymous: Backing = { name: "shared_anonymous", file: () => -1, flags: SHARED_ANON };

function place(t: T, b: Backing, fd: number, page: number, pages: number): void {
  map(t, page, pages, { fd, ...(b.flags === undefined ? {} : { flags: b.flags }), ...(fd < 0 ? {} : { pgoff: page }) });
}

/** Pages 0 to 9 of a hole; `map` puts a mapping there. */
interface Hole {
  readonly map: (page: number, pages: number) => void;
}
const hole = FIXTURE<Hole, Backing>("hole", {
  setup(t, backing) {
    const fd = backing.file(t);
    return { map: (page, pages) => place(t, backing, fd, page, pages) };
  },
});
for (const backing of backings) FIXTURE_VARIANT(hole, backing.name, backing);

/** One mapping of nine pages, the first byte of each its number, and what changes parts of it. */
interface Mapped {
  readonly change: Change;
  readonly backing: Backing;
  readonly touched: boolean;
}
const mapped = FIXTURE<undefined, Mapped>("mapped", {
  setup(t, { backing, touched }) {
    place(t, backing, backing.file(t), 0, 9);
    if (touched) for (let page = 0; page < 9; page++) touch(t, page, 1, page);
    return undefined;
  },
});
for (const change of changes) {
  for (const backing of [...backings, sharedAnonymous]) {
    if (change.name === "prctl" && backing.name !== "private_anonymous") continue;
    const name = `${change.name}_${backing.name}`;
    FIXTURE_VARIANT(mapped, name, { change, backing, touched: false });
    FIXTURE_VARIANT(mapped, `${name}_touched`, { change, backing, touched: true });
  }
}

type M = TestContext<undefined, Mapped>;

function want(t: M, page: number, pages: number): void {
  expect(t.param.change.want(t, page, pages), "the call").to.equal(0);
}

function unwant(t: M, page: number, pages: number): void {
  expect(t.param.change.unwant(t, page, pages), "making it different").to.equal(0);
}

function makeDifferent(t: M, page: number, pages: number): void {
  expect(advise(t, page, pages, MADV_DONTDUMP)).to.equal(0);
}

/** The mappings there are now, and that no page lost what was in it. */
function becomes(t: M, expected: string): void {
  expect(ranges(t)).to.equal(expected);
  if (t.param.touched) for (let page = 0; page < 9; page++) expect(peek(t, page), `page ${page}`).to.equal(page);
}

describe("vma_merge: a new mapping in a hole", () => {
  // case 1, the hole between two mappings is filled
  //
  //   |www|   |www|
  //        ^^^
  //   |wwwwwwwww|
  TEST_F(hole, "case 1: with both neighbours", (t) => {
    t.self.map(0, 3);
    t.self.map(6, 3);
    expect(ranges(t)).to.equal("0-3 6-9");
    t.self.map(3, 3);
    expect(ranges(t)).to.equal("0-9");
  });

  // case 2, behind a mapping; what follows differs, or there is a gap
  //
  //   |www|   |xxx|      |ww|  |ww|
  //        ^^^               ^
  //   |wwwwww|xxx|       |www| |ww|
  TEST_F(hole, "case 2: with the one before", (t) => {
    t.self.map(0, 3);
    t.self.map(6, 3);
    advise(t, 6, 3, MADV_DONTFORK);
    t.self.map(3, 3);
    expect(ranges(t)).to.equal("0-6 6-9");
    t.self.map(10, 2);
    t.self.map(14, 2);
    t.self.map(12, 1);
    expect(ranges(t)).to.equal("0-6 6-9 10-13 14-16");
  });

  // case 3, in front of a mapping; what precedes differs, or there is a gap
  //
  //   |xxx|   |www|      |ww|  |ww|
  //        ^^^                ^
  //   |xxx|wwwwww|       |ww| |www|
  TEST_F(hole, "case 3: with the one behind", (t) => {
    t.self.map(0, 3);
    advise(t, 0, 3, MADV_DONTFORK);
    t.self.map(6, 3);
    t.self.map(3, 3);
    expect(ranges(t)).to.equal("0-3 3-9");
    t.self.map(10, 2);
    t.self.map(14, 2);
    t.self.map(13, 1);
    expect(ranges(t)).to.equal("0-3 3-9 10-12 13-16");
  });
});

describe("vma_merge: part of a mapping becomes like its neighbour", () => {
  // case 4, the end of a mapping goes over to the one behind
  //
  //   |rrrrrr|www|
  //       ^^^
  //   |rrr|wwwwww|
  TEST_F(mapped, "case 4: the border moves down", (t) => {
    unwant(t, 0, 6);
    becomes(t, "0-6 6-9");
    want(t, 3, 3);
    becomes(t, "0-3 3-9");
  });

  // case 5, the start of a mapping goes over to the one before
  //
  //   |www|rrrrrr|
  //        ^^^
  //   |wwwwww|rrr|
  TEST_F(mapped, "case 5: the border moves up", (t) => {
    unwant(t, 3, 6);
    becomes(t, "0-3 3-9");
    want(t, 3, 3);
    becomes(t, "0-6 6-9");
  });

  // neither: a piece of the middle has no neighbour that is like it
  //
  //   |rrrrrrrrr|
  //       ^^^
  //   |rrr|www|rrr|
  TEST_F(mapped, "no case: the middle splits", (t) => {
    unwant(t, 0, 9);
    want(t, 3, 3);
    becomes(t, "0-3 3-6 6-9");
  });
});

describe("vma_merge: a whole mapping becomes like its neighbours", () => {
  // case 6, three become one
  //
  //   |www|rrr|www|
  //        ^^^
  //   |wwwwwwwww|
  TEST_F(mapped, "case 6: with both neighbours", (t) => {
    unwant(t, 3, 3);
    becomes(t, "0-3 3-6 6-9");
    const before = t.k.current.mm!.map_count;
    want(t, 3, 3);
    becomes(t, "0-9");
    expect(t.k.current.mm!.map_count).to.equal(before - 2);
  });

  // case 7, what follows differs
  //
  //   |www|rrr|xxx|
  //        ^^^
  //   |wwwwww|xxx|
  TEST_F(mapped, "case 7: with the one before", (t) => {
    makeDifferent(t, 6, 3);
    unwant(t, 3, 3);
    becomes(t, "0-3 3-6 6-9");
    want(t, 3, 3);
    becomes(t, "0-6 6-9");
  });

  // case 8, what precedes differs; the mapping behind takes the range over
  //
  //   |xxx|rrr|www|
  //        ^^^
  //   |xxx|wwwwww|
  TEST_F(mapped, "case 8: with the one behind", (t) => {
    makeDifferent(t, 0, 3);
    unwant(t, 3, 3);
    becomes(t, "0-3 3-6 6-9");
    want(t, 3, 3);
    becomes(t, "0-3 3-9");
  });

  // case 8 with nothing before: the lowest mapping of the window
  //
  //   |rrr|wwwwww|
  //    ^^^
  //   |wwwwwwwww|
  TEST_F(mapped, "case 8: the first of all", (t) => {
    unwant(t, 0, 3);
    want(t, 0, 3);
    becomes(t, "0-9");
  });

  // case 6 over and over, in one call: each mapping that is changed meets the one before
  //
  //   |w|r|w|r|w|r|w|r|w|
  //    ^^^^^^^^^^^^^^^^^
  //   |wwwwwwwww|
  TEST_F(mapped, "one call over many mappings", (t) => {
    for (let page = 1; page < 9; page += 2) unwant(t, page, 1);
    becomes(t, "0-1 1-2 2-3 3-4 4-5 5-6 6-7 7-8 8-9");
    want(t, 0, 9);
    becomes(t, "0-9");
  });

  // two differences: one that goes leaves the other
  //
  //   |xxx|rrr|xxx|
  //        ^^^
  //   |xxxxxxxxx|
  //    ^^^^^^^^^
  //   |wwwwwwwww|
  TEST_F(mapped, "of two differences one goes after the other", (t) => {
    makeDifferent(t, 0, 9);
    unwant(t, 3, 3);
    becomes(t, "0-3 3-6 6-9");
    want(t, 3, 3);
    becomes(t, "0-9");
    expect(advise(t, 0, 9, MADV_DODUMP)).to.equal(0);
    becomes(t, "0-9");
  });
});
