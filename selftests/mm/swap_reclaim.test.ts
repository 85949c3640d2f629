// SPDX-License-Identifier: GPL-2.0-only
/** Reclaim that swaps: more memory in use than there is, huge pages, and an advised guest beside free CMA. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_COLLAPSE, MADV_HUGEPAGE, MADV_NOMOVABLE, MAP_SHARED } from "../../uapi/mman-common.js";
import { advise, at, bytes, CMA_BOOT, map, memfd, peek, type T, touch } from "./lib/memory.js";
import { events, HUGE, THP_BOOT } from "./lib/thp.js";
import { type Device, DISK, incore, pageOut, picture, RAMDISK, SSD, swapTo, swapUsed } from "./lib/swap.js";

const UNKNOWN_HERE = "base does not know the advice (EINVAL)";
const SWAPPED_GUEST = {
  reason:
    "an advised guest that fits into memory is swapped out while it is populated, with more free than it needs: its allocations reclaim rather than take CMA (D10)",
  error: /AssertionError: expected \d+ to equal \+?0/,
};

/** 2 MiB of memory, and a guest of 3, so that pages of it are in swap. */
const PAGES = 768;
const boot = { memory: 2 << 20 };

/** Gives each page of the guest contents of its own. */
function fill(t: T): void {
  for (let n = 0; n < PAGES; n++) touch(t, n, 1, n % 251);
}

function expectFilled(t: T): void {
  const wrong = Array.from({ length: PAGES }, (_, n) => n).filter((n) => peek(t, n) !== n % 251);
  expect(wrong, "pages with other contents").to.deep.equal([]);
}

const machine = FIXTURE<undefined, Device>("machine", {
  boot,
  setup(t, device) {
    swapTo(t, { ...device, pages: 2048 });
    return undefined;
  },
});
FIXTURE_VARIANT(machine, "ramdisk", RAMDISK);
FIXTURE_VARIANT(machine, "ssd", SSD);
FIXTURE_VARIANT(machine, "disk", DISK);

describe("swap: more in use than there is memory", () => {
  //  memory  ################
  //  guest   ########################   the pages not used for longest are in swap
  TEST_F(machine, "anonymous memory: every page keeps its contents", (t) => {
    map(t, 0, PAGES);
    fill(t);
    expect(events(t, "oom_kill")).to.deep.equal({ oom_kill: 0 });
    expect(swapUsed(t), "pages in swap").to.be.above(PAGES - t.k.totalram_pages);
    expectFilled(t);
  });

  TEST_F(machine, "a memfd: every page keeps its contents", (t) => {
    const fd = memfd(t, PAGES);
    map(t, 0, PAGES, { flags: MAP_SHARED, fd });
    fill(t);
    expect(events(t, "oom_kill")).to.deep.equal({ oom_kill: 0 });
    expect(swapUsed(t), "pages in swap").to.be.above(PAGES - t.k.totalram_pages);
    expectFilled(t);
  });

  TEST("without swap the guest is killed", { boot }, (t) => {
    t.k.config.overcommit_memory = 1;
    map(t, 0, PAGES);
    for (let n = 0; n < PAGES && t.k.current.fatal_signal === 0; n++) t.sys.store(at(n), 1);
    expect(events(t, "oom_kill")["oom_kill"]).to.equal(1);
  });

  const spared = "pages in use are spared: those that were not touched since are in swap first";
  TEST_F(machine, spared, { boot: { memory: 16 << 20 } }, (t) => {
    map(t, 0, 64);
    touch(t, 0, 64);
    map(t, 1 << 16, 6 * PAGES);
    for (let n = 0; n < 6 * PAGES && !incore(t, 32, 32).includes("0"); n++) {
      touch(t, (1 << 16) + n, 1);
      if (n % 16 === 0) for (let p = 0; p < 32; p++) peek(t, p);
    }
    expect(incore(t, 0, 32)).to.equal("1".repeat(32));
  });
});

describe("swap: an advised guest beside free CMA", () => {
  //  48 MiB | 80 MiB of CMA, free        advised guest of 60 MiB: it may not have CMA
  TEST(
    "a guest that fits into memory is not swapped out",
    { differs: { base: UNKNOWN_HERE, patch: SWAPPED_GUEST } },
    (t) => {
      t.boot(CMA_BOOT);
      swapTo(t, { ...RAMDISK, pages: 32768 });
      const pages = 60 * 256;
      map(t, 0, pages);
      expect(advise(t, 0, pages, MADV_NOMOVABLE)).to.equal(0);
      touch(t, 0, pages);
      t.observe("pages in swap", swapUsed(t));
      expect(swapUsed(t)).to.equal(0);
    },
  );
});

describe("swap: huge pages", () => {
  TEST("MADV_COLLAPSE brings pages back from swap to make a huge page of them", (t) => {
    t.boot(THP_BOOT);
    swapTo(t, { ...RAMDISK, pages: 4096 });
    map(t, 0, HUGE);
    for (let n = 0; n < HUGE; n++) touch(t, n, 1, n % 251);
    pageOut(t, 100, 100);
    expect(picture(t, 0, HUGE)).to.equal("100a 100w 312a");
    expect(advise(t, 0, HUGE, MADV_HUGEPAGE)).to.equal(0);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(picture(t, 0, HUGE)).to.equal("512T");
    expect([0, 150, 511].map((n) => peek(t, n))).to.deep.equal([0, 150, 9]);
    expect(t.sys.munmap(at(0), bytes(HUGE))).to.equal(0);
  });
});
