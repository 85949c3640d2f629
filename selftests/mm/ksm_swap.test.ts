// SPDX-License-Identifier: GPL-2.0-only
/** KSM pages that were in swap: they are nobody's when they come back, so that the first has the page and the others copies. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_MERGEABLE, MADV_NOMOVABLE, MADV_POPULATE_WRITE } from "../../uapi/mman-common.js";
import { counters, fill, mergeable, scan } from "./lib/ksm.js";
import { advise, at, bytes, frameOf, map, peek, places, type T, touch, UNKNOWN } from "./lib/memory.js";
import { inSwapCache, pageOut, picture, RAMDISK, squeeze, swapTo } from "./lib/swap.js";
import { failAllocations } from "./lib/tasks.js";
import { events } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const MIB = 1 << 20;
const PAGES = 4;
const X = "x".charCodeAt(0);

/** Takes memory until all pages are in swap, and gives it back. */
function swapOut(t: T, page: number, pages: number): void {
  const hog = 1 << 16;
  const total = t.k.totalram_pages;
  map(t, hog, total);
  for (let n = 0; n < total && picture(t, page, pages) !== `${pages}w`; n += 64) {
    expect(advise(t, hog + n, 64, MADV_POPULATE_WRITE)).to.equal(0);
  }
  expect(picture(t, page, pages)).to.equal(`${pages}w`);
  expect(t.sys.munmap(at(hog), bytes(total))).to.equal(0);
}

const copies = (t: T): number => events(t, "ksm_swpin_copy")["ksm_swpin_copy"]!;

const swap = FIXTURE("swap", {
  boot: { memory: 4 * MIB },
  setup(t) {
    swapTo(t, { ...RAMDISK, pages: 4096 });
  },
});
const merged = FIXTURE("merged", {
  boot: { memory: 4 * MIB },
  setup(t) {
    swapTo(t, { ...RAMDISK, pages: 4096 });
    mergeable(t, 0, "x".repeat(PAGES));
    scan(t);
    expect(picture(t, 0, PAGES)).to.equal(`${PAGES}k`);
    swapOut(t, 0, PAGES);
  },
});
const cma = FIXTURE("cma", { boot: { memory: 48 * MIB, cma: 24 * MIB }, setup: () => undefined });

describe("ksm: pages come back from swap", () => {
  TEST_F(merged, "the first by the page itself, each other by a copy", (t) => {
    for (let n = 0; n < PAGES; n++) {
      expect(peek(t, n)).to.equal(X);
      expect(copies(t)).to.equal(n);
    }
    expect(picture(t, 0, PAGES)).to.equal(`${PAGES}a`);
    expect(new Set(Array.from({ length: PAGES }, (_, n) => frameOf(t, n))).size).to.equal(PAGES);
    touch(t, 1, 1, 7);
    expect([peek(t, 0), peek(t, 1), peek(t, 2)]).to.deep.equal([X, 7, X]);
  });

  TEST_F(merged, "a write gets a copy too, and no second one", (t) => {
    expect(peek(t, 0)).to.equal(X);
    touch(t, 3, 1, 9);
    expect([peek(t, 0), peek(t, 3), copies(t)]).to.deep.equal([X, 9, 1]);
    expect(events(t, "cow_ksm")).to.deep.equal({ cow_ksm: 0 });
  });

  TEST_F(merged, "in a child of the one who has it, the page itself: its anon_vma and offset are the same", (t) => {
    expect(peek(t, 0)).to.equal(X);
    t.inChild(() => {
      expect(peek(t, 0)).to.equal(X);
      expect(copies(t)).to.equal(0);
      expect(peek(t, 1)).to.equal(X);
      expect(copies(t)).to.equal(1);
    });
  });

  TEST_F(merged, "without memory for a copy the fault fails, and the next one does not", (t) => {
    expect(peek(t, 0)).to.equal(X);
    failAllocations(t.k, { probability: 100 });
    expect(t.sys.madvise(at(1), bytes(1), MADV_POPULATE_WRITE)).to.be.below(0);
    failAllocations(t.k, { probability: 0 });
    expect([peek(t, 1), copies(t)]).to.deep.equal([X, 1]);
  });

  TEST_F(merged, "swapoff brings all of them back, with copies", (t) => {
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect([picture(t, 0, PAGES), copies(t)]).to.deep.equal([`${PAGES}a`, PAGES - 1]);
    expect(peek(t, 2)).to.equal(X);
  });

  TEST_F(merged, "and are merged again", (t) => {
    for (let n = 0; n < PAGES; n++) peek(t, n);
    scan(t);
    expect(picture(t, 0, PAGES)).to.equal(`${PAGES}k`);
    expect(counters(t)).to.match(/^shared 1 sharing 3 /);
  });
});

describe("ksm: pages of the swap cache", () => {
  TEST_F(swap, "are merged as they are", (t) => {
    fill(t, 0, "xx");
    pageOut(t, 0, 2);
    t.fork();
    expect([peek(t, 0), peek(t, 1)]).to.deep.equal([X, X]);
    expect([0, 1].map((n) => inSwapCache(t.k.mem, frameOf(t, n)))).to.deep.equal([true, true]);
    expect(advise(t, 0, 2, MADV_MERGEABLE)).to.equal(0);
    scan(t);
    expect(picture(t, 0, 2)).to.equal("2k");
    touch(t, 0, 1, 3);
    expect([peek(t, 0), peek(t, 1)]).to.deep.equal([3, X]);
  });
});

describe("ksm: where the copies of advised memory go", () => {
  const differs = { base: UNKNOWN };
  function swappedGuest(t: T): void {
    swapTo(t, { ...RAMDISK, pages: 16 << 10 });
    map(t, 0, PAGES);
    expect(advise(t, 0, PAGES, MADV_NOMOVABLE)).to.equal(0);
    touch(t, 0, PAGES, X);
    expect(advise(t, 0, PAGES, MADV_MERGEABLE)).to.equal(0);
    scan(t);
    swapOut(t, 0, PAGES);
    squeeze(t, 0, PAGES);
  }

  TEST_F(cma, "its own faults: not to CMA", { differs }, (t) => {
    swappedGuest(t);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    expect([places(t, 0, PAGES), copies(t)]).to.deep.equal(["....", PAGES - 1]);
  });

  TEST_F(cma, "swapoff: to CMA, and a pin has to move them", { differs }, (t) => {
    swappedGuest(t);
    // what the CPU keeps of ordinary memory goes first
    map(t, 64, 512);
    touch(t, 64, 512);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect([places(t, 0, PAGES), copies(t)]).to.deep.equal(["CCCC", PAGES - 1]);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal("....");
  });
});
