// SPDX-License-Identifier: GPL-2.0-only
/** Long-term pins of pages that are in swap, or in the swap cache, where they have one reference more than others. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import { bytes, CMA_BOOT, frameOf, landing, map, peek, places, type T, touch } from "./lib/memory.js";
import { events } from "./lib/thp.js";
import { type Device, inSwapCache, pageOut, picture, RAMDISK, SSD, swapTo } from "./lib/swap.js";
import { mapDma, openContainer, unmapDma } from "./lib/vfio.js";

const PAGES = 8;
const CONTENTS = [100, 101, 102, 103, 104, 105, 106, 107];

function setup(t: T, device: Device): ReturnType<typeof openContainer> {
  swapTo(t, device);
  map(t, 0, PAGES);
  expect(landing(t, 0, PAGES)).to.equal("C".repeat(PAGES));
  for (let n = 0; n < PAGES; n++) touch(t, n, 1, 100 + n);
  pageOut(t, 0, PAGES);
  expect(picture(t, 0, PAGES)).to.equal("8w");
  return openContainer(t);
}

const contents = (t: T): number[] => CONTENTS.map((_, n) => peek(t, n));

const outside = FIXTURE("in_swap", { boot: CMA_BOOT, setup: (t) => setup(t, RAMDISK) });
const cached = FIXTURE("in_swap_cache", {
  boot: CMA_BOOT,
  setup(t) {
    const fd = setup(t, SSD);
    expect(contents(t)).to.deep.equal(CONTENTS);
    for (let n = 0; n < PAGES; n++) expect(inSwapCache(t.k.mem, frameOf(t, n)), "in the swap cache").to.equal(true);
    expect(places(t, 0, PAGES)).to.equal("C".repeat(PAGES));
    return fd;
  },
});

describe("swap: long-term pins", () => {
  //  wwwwwwww ── pin ──► ........   the faults of a long-term pin take no movable page, so nothing has to be moved
  TEST_F(outside, "pages in swap come back to where a pin may be", (t) => {
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal("........");
    expect(contents(t)).to.deep.equal(CONTENTS);
    expect(events(t, "pgmigrate_success", "pgmajfault")).to.deep.equal({ pgmigrate_success: 0, pgmajfault: 8 });
  });

  TEST_F(outside, "pinned pages are not paged out", (t) => {
    expect(mapDma(t, t.self, 0, 4)).to.equal(0);
    peek(t, 5);
    pageOut(t, 0, PAGES);
    expect(picture(t, 0, PAGES)).to.equal("4a 4w");
    expect(unmapDma(t, t.self, { size: bytes(4) }).ret).to.equal(0);
    pageOut(t, 0, PAGES);
    expect(picture(t, 0, PAGES)).to.equal("8w");
  });

  //  the pin is for writing, so the pages leave the swap cache before they are moved
  TEST_F(cached, "pages of the swap cache are moved", (t) => {
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal("........");
    expect(contents(t)).to.deep.equal(CONTENTS);
    expect(events(t, "pgmigrate_success", "pgmigrate_fail")).to.deep.equal({ pgmigrate_success: 8, pgmigrate_fail: 0 });
  });

  //  for reading, the swap cache comes along: its reference is one that migration expects
  TEST_F(cached, "pinned for reading, they move within the swap cache", (t) => {
    expect(mapDma(t, t.self, 0, PAGES, { flags: 1 })).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal("........");
    expect(contents(t)).to.deep.equal(CONTENTS);
    expect(inSwapCache(t.k.mem, frameOf(t, 3))).to.equal(true);
  });

  TEST_F(cached, "one reference more than the swap cache's is one too many", (t) => {
    t.k.fail_migrate.add({ pfn: frameOf(t, 3), kind: "reference", attempts: 100 }).arm(t.k);
    expect(mapDma(t, t.self, 0, PAGES, { flags: 1 })).to.equal(-ENOMEM);
    const first = t.kernel.pin_report_of(t.k).first;
    expect(first?.reason).to.equal("unexpected reference");
    expect([first!.refcount, first!.expected]).to.deep.equal([3, 2]);
    t.k.fail_migrate.clear(t.k);
  });
});
