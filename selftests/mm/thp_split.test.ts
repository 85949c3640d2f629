// SPDX-License-Identifier: GPL-2.0-only
/** What cuts huge pages: parts of them unmapped, protected, moved, given up; and what splits them for good. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_COLD,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_PAGEOUT,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { advise, at, bytes, frameOf, map, peek, type T, touch } from "./lib/memory.js";
import { drawing, events, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

/** One huge page of which page n holds n modulo 251, for some n. */
const huge = FIXTURE("thp_page", {
  boot: THP_BOOT,
  setup(t) {
    mapHuge(t, 0, HUGE);
    for (const n of SOME) touch(t, n, 1, n % 251);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
  },
});
const SOME = [0, 9, 10, 511];

function expectContents(t: T, base = 0, pages = SOME): void {
  expect(pages.map((n) => peek(t, base + n))).to.deep.equal(pages.map((n) => n % 251));
}

/** Splits of entries and of pages, pages waiting to be split, and splits that failed. */
function splits(t: T): string {
  const e = events(t, "thp_split_pmd", "thp_split_page", "thp_deferred_split_page", "thp_split_page_failed");
  return Object.values(e).join(" ");
}

describe("thp: parts of a huge page", () => {
  TEST_F(huge, "munmap of a part keeps the rest, which waits to be split", (t) => {
    expect(t.sys.munmap(at(10), bytes(2))).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("10T 2- 500T");
    expect(splits(t)).to.equal("1 0 1 0");
    expectContents(t, 0, [0, 9, 511]);
  });

  TEST_F(huge, "MADV_DONTNEED of a part gives zeroes there", (t) => {
    expect(advise(t, 10, 1, MADV_DONTNEED)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("10T 1- 501T");
    expect(peek(t, 10)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("10T 1z 501T");
    expect(splits(t)).to.equal("1 0 1 0");
  });

  TEST_F(huge, "MADV_DONTNEED of all of it splits nothing", (t) => {
    expect(advise(t, 0, HUGE, MADV_DONTNEED)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512-");
    expect(splits(t)).to.equal("0 0 0 0");
  });

  TEST_F(huge, "mprotect of a part splits the entry, not the page", (t) => {
    expect(t.sys.mprotect(at(10), bytes(1), PROT_READ)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(splits(t)).to.equal("1 0 0 0");
    expect(t.sys.store(at(10), 1)).to.deep.include({ sig: "SIGSEGV" });
    expectContents(t);
    touch(t, 11, 1, 5);
  });

  TEST_F(huge, "PROT_NONE on all of it and back keeps it whole", (t) => {
    expect(t.sys.mprotect(at(0), bytes(HUGE), PROT_NONE)).to.equal(0);
    expect(t.sys.load(at(0))).to.deep.include({ sig: "SIGSEGV" });
    expect(t.sys.mprotect(at(0), bytes(HUGE), 3)).to.equal(0);
    expectContents(t);
    touch(t, 1, 1);
    expect(splits(t)).to.equal("0 0 0 0");
  });

  TEST_F(huge, "mremap to a 2 MiB boundary moves the entry", (t) => {
    const moved = t.sys.mremap(at(0), bytes(HUGE), bytes(HUGE), MREMAP_MAYMOVE | MREMAP_FIXED, at(2 * HUGE));
    expect(moved).to.equal(at(2 * HUGE));
    expect(drawing(t, 2 * HUGE, HUGE)).to.equal("512T");
    expectContents(t, 2 * HUGE);
    expect(splits(t)).to.equal("0 0 0 0");
  });

  TEST_F(huge, "mremap elsewhere moves small entries of the huge page", (t) => {
    const to = 2 * HUGE + 7;
    expect(t.sys.mremap(at(0), bytes(HUGE), bytes(HUGE), MREMAP_MAYMOVE | MREMAP_FIXED, at(to))).to.equal(at(to));
    expect(drawing(t, to, HUGE)).to.equal("512T");
    expectContents(t, to);
    expect(splits(t)).to.equal("1 0 0 0");
  });

  TEST_F(huge, "MADV_FREE of a part splits the page", (t) => {
    expect(advise(t, 10, 4, MADV_FREE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512a");
    expect(splits(t), "unmapping its parts had it wait to be split as well").to.equal("1 1 1 0");
    expectContents(t);
  });

  TEST_F(huge, "MADV_FREE of all of it does not, and a write takes it back", (t) => {
    expect(advise(t, 0, HUGE, MADV_FREE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(events(t, "pglazyfree")).to.deep.equal({ pglazyfree: 512 });
    touch(t, 10, 1, 4);
    expect(peek(t, 10)).to.equal(4);
  });

  TEST_F(huge, "what MADV_FREE gave up is gone after MADV_PAGEOUT", (t) => {
    advise(t, 0, HUGE, MADV_FREE);
    expect(advise(t, 0, HUGE, MADV_PAGEOUT)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512-");
    expect(events(t, "pglazyfreed")).to.deep.equal({ pglazyfreed: 512 });
    expect(peek(t, 10)).to.equal(0);
  });

  TEST_F(huge, "MADV_COLD of a part splits the page, of all of it does not", (t) => {
    advise(t, 0, HUGE, MADV_COLD);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    advise(t, 3, 1, MADV_COLD);
    expect(drawing(t, 0, HUGE)).to.equal("512a");
  });

  TEST_F(huge, "MADV_PAGEOUT without swap splits it for nothing", (t) => {
    expect(advise(t, 0, HUGE, MADV_PAGEOUT)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512a");
    expectContents(t);
  });
});

describe("thp: fork", () => {
  TEST_F(huge, "the child shares it; its first write copies one small page", (t) => {
    t.inChild((child) => {
      expect(drawing(t, 0, HUGE, child)).to.equal("512T");
      touch(t, 10, 1, 99);
      expect(drawing(t, 0, HUGE, child)).to.equal("10T 1a 501T");
    });
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expectContents(t);
  });

  TEST_F(huge, "once the child is gone, the parent writes in place", (t) => {
    const before = frameOf(t, 10);
    t.inChild(() => undefined);
    touch(t, 10, 1, 5);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(frameOf(t, 10)).to.equal(before);
    expect(splits(t)).to.equal("0 0 0 0");
  });

  TEST_F(huge, "while the child lives, the parent's write copies one small page", (t) => {
    const child = t.fork();
    touch(t, 10, 1, 5);
    expect(drawing(t, 0, HUGE)).to.equal("10T 1a 501T");
    expect(t.as(child, () => peek(t, 10))).to.equal(10);
    t.as(child, () => t.sys.exit(0));
    expectContents(t, 0, [0, 9, 511]);
  });

  TEST_F(huge, "the huge zero page is the child's too", (t) => {
    mapHuge(t, HUGE, HUGE);
    peek(t, HUGE);
    t.inChild((child) => {
      expect(drawing(t, HUGE, HUGE, child)).to.equal("512z");
      touch(t, HUGE, 1, 3);
      expect(drawing(t, HUGE, HUGE, child)).to.equal("1a 511z");
    });
    expect(drawing(t, HUGE, HUGE)).to.equal("512z");
  });
});

describe("thp: mlock and pressure", () => {
  TEST_F(huge, "mlock of all of it counts 512 pages; munlock of a part splits the entry and lets all go", (t) => {
    expect(t.sys.mlock(at(0), bytes(HUGE))).to.equal(0);
    expect(events(t, "unevictable_pgs_mlocked")).to.deep.equal({ unevictable_pgs_mlocked: 512 });
    expect(t.sys.munlock(at(3), bytes(1))).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(events(t, "unevictable_pgs_munlocked")).to.deep.equal({ unevictable_pgs_munlocked: 512 });
  });

  TEST_F(
    huge,
    "under pressure pages that wait are split, and what nobody maps is freed",
    { boot: { memory: 24 << 20 } },
    (t) => {
      expect(t.sys.munmap(at(0), bytes(500))).to.equal(0);
      expect(splits(t)).to.equal("1 0 1 0");
      map(t, 2 * HUGE, 11 * HUGE);
      for (let n = 2 * HUGE; n < 13 * HUGE && events(t, "thp_split_page")["thp_split_page"] === 0; n++) {
        if (t.k.current.fatal_signal !== 0) break;
        t.sys.store(at(n), 1);
      }
      expect(t.k.current.fatal_signal, "not killed").to.equal(0);
      expect(drawing(t, 500, 12)).to.equal("12a");
      expectContents(t, 0, [511]);
    },
  );
});
