// SPDX-License-Identifier: GPL-2.0-only
/** Mapping a guest for DMA while allocations fail and pages are held: what v6.1 makes of it, and what the advice spares. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import { MADV_NOMOVABLE } from "../../uapi/mman-common.js";
import { advise, CMA_BOOT, map, mapMemfd, MOVABLE_BOOT, places, type T, touch, UNKNOWN } from "./lib/memory.js";
import { failAllocations } from "./lib/tasks.js";
import { gupTest, locked, mapDma, openContainer } from "./lib/vfio.js";

const PAGES = 64;
const GOOD = ".".repeat(PAGES);
const count = (where: string, what: string): number => where.split(what).length - 1;

/** A guest of 64 pages of memfd, populated, all of it in CMA. */
const guest = FIXTURE("guest", {
  boot: CMA_BOOT,
  setup(t) {
    mapMemfd(t, 0, PAGES);
    touch(t, 0, PAGES);
    return openContainer(t);
  },
});

/** The same, advised before it was populated. */
const advised = FIXTURE("advised_guest", {
  boot: CMA_BOOT,
  setup(t) {
    mapMemfd(t, 0, PAGES);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    touch(t, 0, PAGES);
    return openContainer(t);
  },
});

/** Nothing of a mapping that failed is left accounted for, and it can be had now; that no pin is left is checked anyhow. */
function expectUnwound(t: T, container: number): void {
  expect(locked(t), "locked pages").to.equal(0);
  t.k.current.fail_nth = 0;
  t.k.fail_page_alloc.probability = 0;
  t.k.fail_migrate.clear(t.k);
  expect(mapDma(t, container, 0, PAGES), "once nothing fails").to.equal(0);
  expect(locked(t)).to.equal(PAGES);
}

describe("pin: nothing fails", () => {
  TEST_F(guest, "MAP_DMA moves every page out of CMA and accounts for it", (t) => {
    expect(places(t, 0, PAGES)).to.equal("C".repeat(PAGES));
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
    expect(locked(t)).to.equal(PAGES);
    expect(t.kernel.pin_report_of(t.k).migrated).to.equal(PAGES);
  });

  TEST_F(guest, "the contents move along", (t) => {
    for (let n = 0; n < PAGES; n++) touch(t, n, 1, n + 1);
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    for (let n = 0; n < PAGES; n++) expect(t.sys.load(0x10000000 + n * 4096)).to.deep.equal({ val: n + 1 });
  });

  TEST_F(guest, "a page of a second mapping moves as well", (t) => {
    t.inChild(() => {
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    });
    expect(places(t, 0, PAGES).replaceAll("-", ".")).to.equal(GOOD);
  });

  TEST_F(guest, "out of ZONE_MOVABLE", { boot: { cma: 0, ...MOVABLE_BOOT } }, (t) => {
    expect(places(t, 0, PAGES)).to.equal("M".repeat(PAGES));
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
  });

  TEST_F(guest, "gup_test pins all, and they stay where they were moved", (t) => {
    expect(gupTest(t, 0, PAGES)).to.equal(PAGES);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
  });

  TEST_F(guest, "memory not touched before is faulted in where it may stay", (t) => {
    map(t, 128, PAGES);
    expect(mapDma(t, t.self, 128, PAGES)).to.equal(0);
    expect(places(t, 128, PAGES)).to.equal(GOOD);
    expect(t.kernel.pin_report_of(t.k).migrated).to.equal(0);
  });

  TEST_F(guest, "a zero-filled page that was only read is copied for a writing device", (t) => {
    map(t, 128, 1);
    t.sys.load(0x10000000 + 128 * 4096);
    expect(mapDma(t, t.self, 128, 1)).to.equal(0);
    expect(places(t, 128, 1)).to.equal(".");
  });
});

describe("pin: allocations fail", () => {
  // the first allocation is the driver's page of pointers: without it it goes on page by page
  TEST_F(guest, "the 1st: no room for a batch, which is done without", (t) => {
    failAllocations(t.k, { nth: 1 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
  });

  for (const nth of [2, 3, 17, 33, 64, 65]) {
    TEST_F(guest, `the ${nth}th: ENOMEM, the pages before it have moved`, (t) => {
      failAllocations(t.k, { nth });
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
      expect(count(places(t, 0, PAGES).replaceAll("-", "C"), "."), "pages moved").to.equal(nth - 2);
      expect(t.kernel.pin_report_of(t.k).first?.reason).to.equal("no target page");
      expectUnwound(t, t.self);
    });

    TEST_F(guest, `the ${nth}th: a second attempt succeeds`, (t) => {
      failAllocations(t.k, { nth });
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
      expect(places(t, 0, PAGES)).to.equal(GOOD);
      expect(locked(t)).to.equal(PAGES);
    });

    const reason = "a guest that could not be advised must be migrated, and one failed allocation ends that: ENOMEM";
    TEST_F(advised, `the ${nth}th, advised: all is pinned`, { differs: { base: reason } }, (t) => {
      failAllocations(t.k, { nth });
      const ret = mapDma(t, t.self, 0, PAGES);
      t.k.current.fail_nth = 0;
      expect(ret).to.equal(0);
      expect(locked(t)).to.equal(PAGES);
    });
  }

  TEST_F(guest, "all of them: ENOMEM, no page has moved", (t) => {
    failAllocations(t.k, { probability: 100 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    expect(count(places(t, 0, PAGES), ".")).to.equal(0);
    expectUnwound(t, t.self);
  });

  TEST_F(guest, "all of them, of another task: no matter", (t) => {
    failAllocations(t.k, { probability: 100 });
    t.k.fail_page_alloc.task_filter = true;
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(t.k.fail_page_alloc.injected).to.equal(0);
  });

  TEST_F(guest, "at most two failures: the third attempt succeeds", (t) => {
    failAllocations(t.k, { probability: 100 });
    t.k.fail_page_alloc.times = 4;
    expect(mapDma(t, t.self, 0, PAGES), "batch and target").to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 0, PAGES), "batch and target").to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
  });

  TEST_F(advised, "all of them, advised: all is pinned", { differs: { base: UNKNOWN } }, (t) => {
    failAllocations(t.k, { probability: 100 });
    const ret = mapDma(t, t.self, 0, PAGES);
    t.k.fail_page_alloc.probability = 0;
    expect(ret).to.equal(0);
  });
});

describe("pin: somebody holds a page", () => {
  for (const [attempts, outcome] of [
    [1, 0],
    [5, 0],
    [9, 0],
    [10, -ENOMEM],
    [20, -ENOMEM],
  ] as const) {
    const title = outcome === 0 ? "succeeds" : "ENOMEM";
    TEST_F(guest, `a temporary reference for ${attempts} attempts: ${title}`, (t) => {
      t.k.fail_migrate.add({ nth: 1, kind: "reference", attempts });
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(outcome);
      const report = t.kernel.pin_report_of(t.k);
      expect(report.first?.reason).to.equal(outcome === 0 ? undefined : "unexpected reference");
      if (outcome === 0) expect(places(t, 0, PAGES)).to.equal(GOOD);
      else expectUnwound(t, t.self);
    });

    TEST_F(guest, `temporary references on 8 pages for ${attempts} attempts: ${title}`, (t) => {
      for (let nth = 1; nth <= 8; nth++) t.k.fail_migrate.add({ nth: nth * 7, kind: "reference", attempts });
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(outcome);
      if (outcome !== 0) {
        expect(count(places(t, 0, PAGES).replaceAll("-", "."), "C"), "pages left in CMA").to.equal(8);
        expectUnwound(t, t.self);
      }
    });

    TEST_F(advised, `a temporary reference for ${attempts} attempts, advised: no matter`, (t) => {
      t.k.fail_migrate.add({ nth: 1, kind: "reference", attempts });
      const ret = mapDma(t, t.self, 0, PAGES);
      t.k.fail_migrate.clear(t.k);
      expect(ret).to.equal(t.variant === "base" ? outcome : 0);
    });
  }

  TEST_F(guest, "a reference for 10 attempts: the next attempt of the user succeeds", (t) => {
    t.k.fail_migrate.add({ nth: 1, kind: "reference", attempts: 10 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
  });

  TEST_F(guest, "a reference for 20 attempts: the third attempt of the user succeeds", (t) => {
    t.k.fail_migrate.add({ nth: 1, kind: "reference", attempts: 20 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
  });

  // from the fourth pass on migrate_pages() sleeps for the lock
  for (const attempts of [1, 3, 20]) {
    TEST_F(guest, `the page lock is held for ${attempts} attempts: succeeds`, (t) => {
      t.k.fail_migrate.add({ nth: 5, kind: "lock", attempts });
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
      expect(places(t, 0, PAGES)).to.equal(GOOD);
      expect(t.kernel.pin_report_of(t.k).retried).to.equal(1);
    });
  }

  // a page that cannot be isolated keeps the loop going, which has no cap
  for (const attempts of [1, 5, 50]) {
    TEST_F(guest, `a page cannot be isolated ${attempts} times: succeeds`, (t) => {
      t.k.fail_migrate.add({ nth: 3, kind: "isolate", attempts });
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
      expect(places(t, 0, PAGES)).to.equal(GOOD);
      expect(t.kernel.pin_report_of(t.k).rounds).to.be.greaterThan(attempts);
    });
  }

  TEST_F(guest, "half of it is mapped already: the first half stays mapped when the second fails", (t) => {
    expect(mapDma(t, t.self, 0, PAGES / 2)).to.equal(0);
    t.k.fail_migrate.add({ nth: 1, kind: "reference", attempts: 10 });
    expect(mapDma(t, t.self, PAGES / 2, PAGES / 2, { iova: 1 << 20 })).to.equal(-ENOMEM);
    expect(locked(t)).to.equal(PAGES / 2);
    expect(places(t, 0, PAGES / 2)).to.equal(GOOD.slice(0, PAGES / 2));
    t.k.fail_migrate.clear(t.k);
  });
});

describe("pin: PF_MEMALLOC_PIN", () => {
  TEST_F(guest, "given back, whether the pin succeeds or fails", (t) => {
    t.k.fail_migrate.add({ nth: 1, kind: "reference", attempts: 10 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    map(t, 256, 4);
    touch(t, 256, 4);
    expect(places(t, 256, 4)).to.equal("CCCC");
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    map(t, 264, 4);
    touch(t, 264, 4);
    expect(places(t, 264, 4)).to.equal("CCCC");
  });
});
