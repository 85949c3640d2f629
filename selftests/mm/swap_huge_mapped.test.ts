// SPDX-License-Identifier: GPL-2.0-only
/**
 * A huge page that is in the swap cache and yet mapped as a whole. Reclaim unmaps for one process after the other, oldest
 * first; where the first has locked its memory, and maps the page by small entries, which mlock() does not count, the
 * page keeps its slots and all others their huge entry. Asked of a real kernel: the same frames, splits and slots.
 */
import type { task_struct } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_POPULATE_WRITE, MLOCK_ONFAULT } from "../../uapi/mman-common.js";
import { advise, at, bytes, frameOf, map, peek, type T, touch } from "./lib/memory.js";
import { inSwapCache, SSD, swapTo, swapUsed } from "./lib/swap.js";
import { drawing, events, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

const HOG = 1 << 16;
const SOME = [1, 5, 511];

interface Family {
  readonly child: task_struct;
  readonly head: number;
}

/** Takes memory until the page has slots in swap. */
function reclaim(t: T, head: number): void {
  const total = t.k.totalram_pages;
  map(t, HOG, total);
  for (let n = 0; n < total && !inSwapCache(t.k.mem, head); n += 64) {
    expect(advise(t, HOG + n, 64, MADV_POPULATE_WRITE)).to.equal(0);
  }
  expect(inSwapCache(t.k.mem, head)).to.equal(true);
}

/** The parent has small entries, but for the first page, which it has copied; the child has the huge one. */
const family = FIXTURE("cached", {
  boot: { ...THP_BOOT, memory: 24 << 20 },
  setup(t): Family {
    swapTo(t, { ...SSD, pages: 1 << 14 });
    mapHuge(t, 0, HUGE);
    for (const n of SOME) touch(t, n, 1, n % 251);
    const head = frameOf(t, 0);
    const child = t.fork();
    touch(t, 0, 1);
    expect(t.sys.mlock2(at(0), bytes(HUGE), MLOCK_ONFAULT)).to.equal(0);
    reclaim(t, head);
    expect([drawing(t, 0, HUGE), drawing(t, 0, HUGE, child)]).to.deep.equal(["1a 511T", "512T"]);
    return { child, head };
  },
});

function expectContents(t: T, pages = SOME): void {
  expect(pages.map((n) => peek(t, n))).to.deep.equal(pages.map((n) => n % 251));
}

describe("swap: huge pages, mapped as a whole", () => {
  //  T…T, in the swap cache ──► T…T, writable, and its slots free
  TEST_F(family, "a write by the last that maps it makes it its own, and takes it out of the swap cache", (t) => {
    const { child, head } = t.self;
    expect(t.sys.munmap(at(0), bytes(HUGE))).to.equal(0);
    const used = swapUsed(t);
    t.as(child, () => {
      touch(t, 5, 1, 77);
      expect([drawing(t, 0, HUGE), frameOf(t, 0)]).to.deep.equal(["512T", head]);
      expectContents(t, [1, 511]);
    });
    expect(inSwapCache(t.k.mem, head)).to.equal(false);
    expect(used - swapUsed(t)).to.equal(HUGE);
    expect(events(t, "thp_split_pmd", "thp_split_page")).to.deep.equal({ thp_split_pmd: 1, thp_split_page: 0 });
  });

  //  T…T, in the swap cache ──► T…TaT…T, still there
  TEST_F(family, "a write while another maps it splits the entry and copies one page", (t) => {
    const { child, head } = t.self;
    t.as(child, () => {
      touch(t, 5, 1, 77);
      expect([drawing(t, 0, HUGE), frameOf(t, 0)]).to.deep.equal(["5T 1a 506T", head]);
    });
    expect(inSwapCache(t.k.mem, head)).to.equal(true);
    expect(events(t, "thp_split_pmd", "thp_split_page")).to.deep.equal({ thp_split_pmd: 2, thp_split_page: 0 });
    expectContents(t);
  });

  TEST_F(family, "a read needs nothing", (t) => {
    const { child, head } = t.self;
    t.as(child, () => expectContents(t));
    expect(drawing(t, 0, HUGE, child)).to.equal("512T");
    expect(inSwapCache(t.k.mem, head)).to.equal(true);
  });
});
