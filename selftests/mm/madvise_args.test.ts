// SPDX-License-Identifier: GPL-2.0-only
/** madvise()'s arguments: what is checked, in which order, and what is done before an error is met. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import {
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_NOMOVABLE,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_WIPEONFORK,
} from "../../uapi/mman-common.js";
import { errnoTable, type ErrnoRow } from "./lib/errnos.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  mapMemfd,
  places,
  ranges,
  type T,
  touch,
  UNKNOWN,
  vmFlags,
} from "./lib/memory.js";

const BAD = 27;
const TWO64 = 1n << 64n;
const BEYOND = 0x7ffffffff000n;

/** Eight pages, written to. */
const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
    touch(t, 0, 8);
  },
});

/** Address, length, behavior; errno. */
const checks: readonly [string, number | bigint, number | bigint, number, number][] = [
  ["an aligned range of whole pages", at(0), bytes(2), MADV_RANDOM, 0],
  ["a start one byte into a page", at(0) + 1, bytes(1), MADV_RANDOM, EINVAL],
  ["a start one byte before a page's end", at(1) - 1, bytes(1), MADV_RANDOM, EINVAL],
  ["a start in the middle of a page", at(0) + 2048, 2048, MADV_RANDOM, EINVAL],
  ["zero length", at(0), 0, MADV_RANDOM, 0],
  ["zero length where nothing is mapped", at(100), 0, MADV_RANDOM, 0],
  ["zero length at address 0", 0, 0, MADV_RANDOM, 0],
  ["zero length in the kernel's half", -4096, 0, MADV_RANDOM, 0],
  ["zero length with an unknown behavior", at(0), 0, BAD, EINVAL],
  ["zero length from an unaligned start", at(0) + 8, 0, MADV_RANDOM, EINVAL],
  ["a length of one byte", at(0), 1, MADV_RANDOM, 0],
  ["a length that rounds up to zero", at(0), TWO64 - 1n, MADV_RANDOM, EINVAL],
  ["the smallest length that rounds up to zero", at(0), TWO64 - 4095n, MADV_RANDOM, EINVAL],
  ["a length that rounds up to zero, from address 0", 0, TWO64 - 1n, MADV_RANDOM, EINVAL],
  ["a length that is negative as a signed number", at(0), -4096, MADV_RANDOM, EINVAL],
  ["a range that ends behind the last address", at(0), TWO64 - BigInt(at(0)) + 4096n, MADV_RANDOM, EINVAL],
  ["a range that ends at 2^64", at(0), TWO64 - BigInt(at(0)), MADV_RANDOM, EINVAL],
  ["a range that ends a page before 2^64", at(0), TWO64 - BigInt(at(1)), MADV_RANDOM, ENOMEM],
  ["all addresses but the last page", 0, -4096, MADV_RANDOM, ENOMEM],
  ["a page where nothing is mapped", at(100), bytes(1), MADV_RANDOM, ENOMEM],
  ["the page at address 0", 0, bytes(1), MADV_RANDOM, ENOMEM],
  ["a page in the kernel's half", -(2 ** 45), bytes(1), MADV_RANDOM, ENOMEM],
  ["the last page of user space", BEYOND, bytes(1), MADV_RANDOM, ENOMEM],
  ["an unknown behavior where nothing is mapped", at(100), bytes(1), BAD, EINVAL],
  ["an unaligned start where nothing is mapped", at(100) + 1, bytes(1), MADV_RANDOM, EINVAL],
  ["a wrapping range where nothing is mapped", at(100), -8192, MADV_RANDOM, EINVAL],
  ["an unaligned start and a length that wraps", at(0) + 1, -1, MADV_RANDOM, EINVAL],
  ["an advice that the mapping refuses", at(0), bytes(1), MADV_REMOVE, EINVAL],
  ["a refused advice over no pages", at(0), 0, MADV_REMOVE, 0],
  ["a refused advice where nothing is mapped", at(100), bytes(1), MADV_REMOVE, ENOMEM],
];

describe("madvise: arguments", () => {
  const rows = checks.map(([title, start, length, behavior, errno]): ErrnoRow => {
    const call = (t: T): number => {
      const ret = t.sys.madvise(start, length, behavior);
      if (errno === EINVAL) expect(ranges(t), "nothing was done").to.equal("0-8");
      return ret;
    };
    return [title, call, errno];
  });
  errnoTable("madvise", eight, rows);

  TEST_F(eight, "a length is rounded up to whole pages", (t) => {
    expect(t.sys.madvise(at(0), 4097, MADV_DONTNEED)).to.equal(0);
    expect(places(t, 0, 3)).to.equal("--.");
  });

  const alsoFor26: readonly [string, number | bigint, number | bigint, number][] = [
    ["an unaligned start", at(0) + 1, bytes(1), -EINVAL],
    ["a length that rounds up to zero", at(0), -1, -EINVAL],
    ["a range that wraps", at(0), -8192, -EINVAL],
  ];
  for (const [title, start, length, expected] of alsoFor26) {
    TEST_F(eight, `MADV_NOMOVABLE: ${title}`, (t) => {
      expect(t.sys.madvise(start, length, MADV_NOMOVABLE)).to.equal(expected);
    });
  }
  const newFor26: readonly [string, number | bigint, number | bigint, number][] = [
    ["zero length succeeds", at(0), 0, 0],
    ["nothing mapped is ENOMEM", at(100), bytes(1), -ENOMEM],
    ["a range that runs into a hole is ENOMEM", at(6), bytes(4), -ENOMEM],
  ];
  for (const [title, start, length, expected] of newFor26) {
    const differs = { base: "EINVAL before anything else is looked at: base does not know the advice" };
    TEST_F(eight, `MADV_NOMOVABLE: ${title}`, { differs }, (t) => {
      expect(t.sys.madvise(start, length, MADV_NOMOVABLE)).to.equal(expected);
    });
  }
});

/**
 * Two mappings and a hole:   0 1 2 3 . . 6 7 8 9
 *                            a a a a     b b b b
 */
const holed = FIXTURE("hole", {
  boot: CMA_BOOT,
  setup(t) {
    map(t, 0, 4);
    map(t, 6, 4);
  },
});

describe("madvise: holes", () => {
  const walks: readonly [string, number, number][] = [
    ["in the middle", 0, 10],
    ["at the end", 2, 3],
    ["at the start", 4, 3],
    ["only", 4, 2],
    ["behind the last mapping", 8, 8],
  ];
  for (const [title, from, pages] of walks) {
    TEST_F(holed, `${title}: what is mapped is advised, then ENOMEM`, (t) => {
      expect(advise(t, from, pages, MADV_RANDOM)).to.equal(-ENOMEM);
      for (let n = 0; n < 10; n++) {
        const inRange = n >= from && n < from + pages;
        const mapped = n < 4 || n >= 6;
        expect(vmFlags(t, n)?.includes("rr"), `page ${n}`).to.equal(mapped ? inRange : undefined);
      }
    });
  }

  TEST_F(holed, "pages on both sides are dropped", (t) => {
    touch(t, 0, 4);
    touch(t, 6, 4);
    expect(advise(t, 2, 6, MADV_DONTNEED)).to.equal(-ENOMEM);
    expect(places(t, 0, 10)).to.match(/^[C.]{2}------[C.]{2}$/);
  });

  TEST_F(holed, "both sides are populated", (t) => {
    expect(advise(t, 0, 10, MADV_POPULATE_WRITE)).to.equal(-ENOMEM);
    expect(places(t, 0, 10)).to.equal("CCCC--CCCC");
  });

  TEST_F(holed, "both sides are barred from CMA by MADV_NOMOVABLE", { differs: { base: UNKNOWN } }, (t) => {
    const ret = advise(t, 2, 6, MADV_NOMOVABLE);
    expect(landing(t, 0, 4) + landing(t, 6, 4)).to.equal("CC....CC");
    expect(ret).to.equal(-ENOMEM);
    expect(ranges(t)).to.equal("0-2 2-4 6-8 8-10");
  });

  TEST_F(holed, "a mapping that refuses comes before the hole: EINVAL, and the walk ends there", (t) => {
    mapMemfd(t, 2, 2);
    expect(advise(t, 0, 10, MADV_WIPEONFORK)).to.equal(-EINVAL);
    expect(vmFlags(t, 0)).to.include("wf");
    expect(vmFlags(t, 6)).to.not.include("wf");
  });

  TEST_F(holed, "a mapping that refuses behind the hole: EINVAL, not ENOMEM", (t) => {
    mapMemfd(t, 6, 4);
    expect(advise(t, 0, 10, MADV_WIPEONFORK)).to.equal(-EINVAL);
    expect(vmFlags(t, 0)).to.include("wf");
  });

  TEST_F(holed, "a locked mapping in the middle: those before it have been dropped, those behind it not", (t) => {
    map(t, 4, 2);
    touch(t, 0, 10);
    expect(t.sys.mlock(at(4), bytes(2))).to.equal(0);
    expect(advise(t, 0, 10, MADV_DONTNEED)).to.equal(-EINVAL);
    expect(places(t, 0, 10)).to.match(/^----[C.]{6}$/);
  });

  TEST_F(holed, "a range up to the end of all addresses reaches every mapping", (t) => {
    expect(t.sys.madvise(at(1), TWO64 - BigInt(at(2)), MADV_DONTFORK)).to.equal(-ENOMEM);
    expect(ranges(t)).to.equal("0-1 1-4 6-10");
    expect(vmFlags(t, 9)).to.include("dc");
  });
});
