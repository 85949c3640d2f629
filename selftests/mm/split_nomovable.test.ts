// SPDX-License-Identifier: GPL-2.0-only
/**
 * MADV_NOMOVABLE on parts of mappings: how they are split, what merges again, and that exactly the advised pages are
 * kept out of CMA. Pictures: a digit is a page of the window, `n` an advised page, `.` one that is not.
 */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import {
  MADV_NOMOVABLE,
  MAP_PRIVATE,
  MAP_SHARED,
  MLOCK_ONFAULT,
  PROT_READ,
  MREMAP_MAYMOVE,
} from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  mapMemfd,
  memfd,
  ranges,
  SHARED_ANON,
  type T,
  UNKNOWN,
} from "./lib/memory.js";

const differs = { base: UNKNOWN };

type Make = (t: T) => void;

/** One mapping of eight pages, of each kind. */
const mapping = FIXTURE<undefined, Make>("mapping", {
  boot: CMA_BOOT,
  setup(t, make) {
    make(t);
    return undefined;
  },
});
FIXTURE_VARIANT(mapping, "private_anonymous", (t: T) => map(t, 0, 8));
FIXTURE_VARIANT(mapping, "shared_anonymous", (t: T) => map(t, 0, 8, { flags: SHARED_ANON }));
FIXTURE_VARIANT(mapping, "shared_memfd", (t: T) => void mapMemfd(t, 0, 8));
FIXTURE_VARIANT(mapping, "private_memfd", (t: T) => map(t, 0, 8, { flags: MAP_PRIVATE, fd: memfd(t, 8) }));
FIXTURE_VARIANT(mapping, "memfd_at_an_offset", (t: T) =>
  map(t, 0, 8, { flags: MAP_SHARED, fd: memfd(t, 24), pgoff: 16 }),
);
FIXTURE_VARIANT(mapping, "locked_on_fault", (t: T) => {
  map(t, 0, 8);
  expect(t.sys.mlock2(at(0), bytes(8), MLOCK_ONFAULT), "mlock2").to.equal(0);
});

interface Position {
  readonly title: string;
  /** [first page, pages] of each call. */
  readonly calls: readonly (readonly [number, number])[];
  readonly ranges: string;
  readonly landing: string;
}

const positions: readonly Position[] = [
  // nnn.....
  { title: "head", calls: [[0, 3]], ranges: "0-3 3-8", landing: "...CCCCC" },
  // ..nnn...
  { title: "middle", calls: [[2, 3]], ranges: "0-2 2-5 5-8", landing: "CC...CCC" },
  // .....nnn
  { title: "tail", calls: [[5, 3]], ranges: "0-5 5-8", landing: "CCCCC..." },
  // nnnnnnnn
  { title: "whole", calls: [[0, 8]], ranges: "0-8", landing: "........" },
  // nn.nn.nn
  {
    title: "three pieces",
    calls: [
      [0, 2],
      [3, 2],
      [6, 2],
    ],
    ranges: "0-2 2-3 3-5 5-6 6-8",
    landing: "..C..C..",
  },
  // nnnn     then     nnnn: one again
  {
    title: "both halves, one after the other",
    calls: [
      [0, 4],
      [4, 4],
    ],
    ranges: "0-8",
    landing: "........",
  },
  //   nnn    then nn, then    nnn
  {
    title: "middle, head, tail",
    calls: [
      [2, 3],
      [0, 2],
      [5, 3],
    ],
    ranges: "0-8",
    landing: "........",
  },
  // nnnn     then   nnnn
  {
    title: "overlapping ranges",
    calls: [
      [0, 4],
      [2, 4],
    ],
    ranges: "0-6 6-8",
    landing: "......CC",
  },
  {
    title: "twice the same range",
    calls: [
      [2, 3],
      [2, 3],
    ],
    ranges: "0-2 2-5 5-8",
    landing: "CC...CCC",
  },
  {
    title: "a page inside an advised range",
    calls: [
      [1, 6],
      [3, 1],
    ],
    ranges: "0-1 1-7 7-8",
    landing: "C......C",
  },
  {
    title: "a gap of one page closed",
    calls: [
      [0, 3],
      [4, 4],
      [3, 1],
    ],
    ranges: "0-8",
    landing: "........",
  },
];

describe("MADV_NOMOVABLE: split and merge, by position", () => {
  for (const p of positions) {
    TEST_F(mapping, p.title, { differs }, (t) => {
      const rets = p.calls.map(([from, pages]) => advise(t, from, pages, MADV_NOMOVABLE));
      expect(landing(t, 0, 8)).to.equal(p.landing);
      expect(ranges(t)).to.equal(p.ranges);
      expect(rets).to.deep.equal(p.calls.map(() => 0));
    });
  }
});

const window = FIXTURE("window", { boot: CMA_BOOT });

describe("MADV_NOMOVABLE: several mappings", () => {
  // rrrrwwww  →  rr nn nn ww: permissions keep them apart
  TEST_F(window, "across two mappings that cannot merge", { differs }, (t) => {
    map(t, 0, 4);
    map(t, 4, 4, { flags: SHARED_ANON });
    advise(t, 2, 4, MADV_NOMOVABLE);
    expect(landing(t, 0, 8)).to.equal("CC....CC");
    expect(ranges(t)).to.equal("0-2 2-4 4-6 6-8");
  });

  // aaaa|bbbb|cccc  →  all of b and a page on each side
  TEST_F(window, "across three mappings", { differs }, (t) => {
    map(t, 0, 4);
    mapMemfd(t, 4, 4);
    map(t, 8, 4);
    advise(t, 3, 6, MADV_NOMOVABLE);
    expect(landing(t, 0, 12)).to.equal("CCC......CCC");
    expect(ranges(t)).to.equal("0-3 3-4 4-8 8-9 9-12");
  });

  // nnnn then a new mapping at 4: two VMAs, the new one without the advice
  TEST_F(window, "a mapping made next to advised memory does not merge with it", { differs }, (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
    map(t, 4, 4);
    expect(landing(t, 0, 8)).to.equal("....CCCC");
    expect(ranges(t)).to.equal("0-4 4-8");
  });

  // nnnn  nnnn, and the hole filled: it merges with neither; then advised: all one
  TEST_F(window, "a hole filled between advised mappings, then advised", { differs }, (t) => {
    map(t, 0, 12);
    advise(t, 0, 12, MADV_NOMOVABLE);
    expect(t.sys.munmap(at(4), bytes(4))).to.equal(0);
    map(t, 4, 4);
    expect(landing(t, 0, 12)).to.equal("....CCCC....");
    expect(ranges(t)).to.equal("0-4 4-8 8-12");
  });

  TEST_F(window, "a hole filled and advised makes one mapping of three", { differs }, (t) => {
    map(t, 0, 4);
    map(t, 8, 4);
    expect(advise(t, 0, 12, MADV_NOMOVABLE)).to.equal(-ENOMEM);
    map(t, 4, 4);
    expect(ranges(t), "before").to.equal("0-4 4-8 8-12");
    expect(advise(t, 4, 4, MADV_NOMOVABLE)).to.equal(0);
    expect(ranges(t)).to.equal("0-12");
    expect(landing(t, 0, 12)).to.equal("............");
  });

  // two mappings of one file with a gap between their offsets: advised, they stay two
  TEST_F(window, "neighbours that map other parts of a file stay apart", { differs }, (t) => {
    const fd = memfd(t, 16);
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    map(t, 4, 4, { flags: MAP_SHARED, fd, pgoff: 8 });
    advise(t, 0, 8, MADV_NOMOVABLE);
    expect(landing(t, 0, 8)).to.equal("........");
    expect(ranges(t)).to.equal("0-4 4-8");
  });

  // consecutive parts of one file that were apart because one was advised become one
  TEST_F(window, "neighbours that map consecutive parts of a file merge once both are advised", { differs }, (t) => {
    const fd = memfd(t, 16);
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    advise(t, 0, 4, MADV_NOMOVABLE);
    map(t, 4, 4, { flags: MAP_SHARED, fd, pgoff: 4 });
    expect(ranges(t), "one advised").to.equal("0-4 4-8");
    advise(t, 4, 4, MADV_NOMOVABLE);
    expect(ranges(t), "both advised").to.equal("0-8");
  });
});

describe("MADV_NOMOVABLE: what later calls make of it", () => {
  // nnnnnnnn, the middle replaced by MAP_FIXED: nn....nn
  TEST_F(window, "MAP_FIXED over the middle: the new memory is not advised", { differs }, (t) => {
    map(t, 0, 8);
    advise(t, 0, 8, MADV_NOMOVABLE);
    map(t, 2, 4);
    expect(landing(t, 0, 8)).to.equal("..CCCC..");
    expect(ranges(t)).to.equal("0-2 2-6 6-8");
  });

  TEST_F(window, "munmap of the middle leaves both ends advised", { differs }, (t) => {
    map(t, 0, 8);
    advise(t, 0, 8, MADV_NOMOVABLE);
    expect(t.sys.munmap(at(3), bytes(2))).to.equal(0);
    expect(landing(t, 0, 3) + landing(t, 5, 3)).to.equal("......");
    expect(ranges(t)).to.equal("0-3 5-8");
  });

  TEST_F(window, "mremap in place: what it grows by is advised", { differs }, (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
    expect(t.sys.mremap(at(0), bytes(4), bytes(8), 0, 0)).to.equal(at(0));
    expect(landing(t, 0, 8)).to.equal("........");
    expect(ranges(t)).to.equal("0-8");
  });

  TEST_F(window, "mremap elsewhere takes the advice along", { differs }, (t) => {
    map(t, 0, 4);
    map(t, 4, 1, { prot: PROT_READ });
    advise(t, 0, 4, MADV_NOMOVABLE);
    const to = t.sys.mremap(at(0), bytes(4), bytes(6), MREMAP_MAYMOVE, 0);
    expect(to, "mremap").to.be.greaterThan(0);
    expect(landing(t, (to - at(0)) / bytes(1), 6)).to.equal("......");
  });

  TEST_F(window, "mapped anew, the memory is not advised", (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
    expect(t.sys.munmap(at(0), bytes(4))).to.equal(0);
    map(t, 0, 4);
    expect(landing(t, 0, 4)).to.equal("CCCC");
  });
});
