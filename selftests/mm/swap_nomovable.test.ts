// SPDX-License-Identifier: GPL-2.0-only
/**
 * Where the pages of an advised guest lie once they have been in swap. Swapping in happens inside of the fault, so the
 * task takes no movable page for the one that it wants, nor for those that it reads ahead. What another task or another
 * mapping read ahead lies where that one's pages do, and the advised mapping takes it from the swap cache as it is.
 *
 *   memory  CCCC  advised, paged out:  wwww  a fault of its own:        ....
 *                                           after another's readahead:  CC..
 */
import { get_pageblock_migratetype, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { MIGRATE_CMA } from "../../include/linux/mmzone.js";
import { expect, FIXTURE, FIXTURE_VARIANT, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_NOMOVABLE, MADV_POPULATE_READ, MADV_WILLNEED, MAP_SHARED } from "../../uapi/mman-common.js";
import { swp_entry } from "../../include/linux/swapops.js";
import { swap_state_of } from "../../include/linux/swap.js";
import { xa_is_value } from "../../lib/xarray.js";
import { advise, bytes, CMA_BOOT, landing, map, memfd, peek, places, type T, touch, UNKNOWN } from "./lib/memory.js";
import { events } from "./lib/thp.js";
import { atYield } from "./lib/tasks.js";
import { type Device, DISK, pageOut, picture, RAMDISK, squeeze, SSD, swapTo } from "./lib/swap.js";

const PAGES = 8;
const ALL_CMA = "C".repeat(PAGES);
const NO_CMA = ".".repeat(PAGES);
const READ_AHEAD =
  "pages of advised memory that somebody else brought back from swap stay movable: a fault takes them from the swap cache (D7)";
const WILLNEED =
  "MADV_WILLNEED reads pages of advised memory from swap into movable ones: it does not go through a fault (D7)";
const SWAPOFF = "swapoff() brings advised memory back into movable pages: it does not go through a fault (D7)";

/** Of the swap cache's pages of the first area, how many lie in CMA and how many do not. */
function cachePlaces(t: T): { cma: number; elsewhere: number } {
  const found = { cma: 0, elsewhere: 0 };
  const si = swap_state_of(t.k).swap_info[0]!;
  for (const space of si.spaces) {
    space.i_pages.forEach(0, si.max, (offset, pfn) => {
      if (xa_is_value(pfn)) return;
      expect(t.k.mem.section(pfn).private_[pfn & PFN_SECTION_MASK]).to.equal(swp_entry(0, offset));
      found[get_pageblock_migratetype(t.k.mem, pfn) === MIGRATE_CMA ? "cma" : "elsewhere"]++;
    });
  }
  return found;
}

/** Eight pages in CMA, then in swap, with nothing of them left in memory. */
const guest = FIXTURE<undefined, Device>("guest", {
  boot: CMA_BOOT,
  setup(t, device) {
    swapTo(t, { ...device, synchronous: true });
    map(t, 0, PAGES);
    expect(landing(t, 0, PAGES)).to.equal(ALL_CMA);
    pageOut(t, 0, PAGES);
    expect(picture(t, 0, PAGES)).to.equal("8w");
    return undefined;
  },
});
FIXTURE_VARIANT(guest, "ssd", SSD);
FIXTURE_VARIANT(guest, "disk", DISK);

describe("swap: pages of an advised guest", () => {
  TEST_F(guest, "not advised: they come back into CMA", (t) => {
    for (let n = 0; n < PAGES; n++) peek(t, n);
    expect(places(t, 0, PAGES)).to.equal(ALL_CMA);
  });

  //  CCCCCCCC ──► wwwwwwww, advised ──► ........
  TEST_F(guest, "advised while in swap: they come back outside of CMA", { differs: { base: UNKNOWN } }, (t) => {
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });

  TEST_F(guest, "advised, brought back by populating: outside of CMA", { differs: { base: UNKNOWN } }, (t) => {
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    expect(advise(t, 0, PAGES, MADV_POPULATE_READ)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });

  TEST_F(guest, "advised, brought back by MADV_WILLNEED", { differs: { base: UNKNOWN, patch: WILLNEED } }, (t) => {
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    advise(t, 0, PAGES, MADV_WILLNEED);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });

  TEST_F(guest, "advised, brought back by swapoff()", { differs: { base: UNKNOWN, patch: SWAPOFF } }, (t) => {
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });
});

/** The same with a child that shares the slots, so that the swap cache and readahead come into it. */
function setupShared(t: T, device: Device): undefined {
  swapTo(t, { ...device, synchronous: true });
  map(t, 0, PAGES);
  expect(landing(t, 0, PAGES)).to.equal(ALL_CMA);
  pageOut(t, 0, PAGES);
}
const SHARED_BOOT = { ...CMA_BOOT, config: { page_cluster: 3 } };
const shared = FIXTURE<undefined, Device>("shared", { boot: SHARED_BOOT, setup: setupShared });
const onDisk = FIXTURE("shared_on_disk", { boot: SHARED_BOOT, setup: (t) => setupShared(t, DISK) });
FIXTURE_VARIANT(shared, "around_the_address", SSD);
FIXTURE_VARIANT(shared, "around_the_slot", DISK);

describe("swap: pages read ahead for an advised guest", () => {
  //  a fault of the advised task at page 3:  ...w....  and what it reads ahead:  ..?.????   all outside of CMA
  TEST_F(shared, "the advised task's own readahead: outside of CMA", { differs: { base: UNKNOWN } }, (t) => {
    const child = t.fork();
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    peek(t, 3);
    expect(events(t, "swap_ra")["swap_ra"], "pages read ahead").to.be.above(0);
    expect(cachePlaces(t)["cma"], "in CMA").to.equal(0);
    expect(cachePlaces(t).elsewhere).to.be.above(1);
    t.as(child, () => t.sys.exit(0));
  });

  //  the child's fault at page 3 reads CCCC ahead; the advised parent's faults find them in the swap cache
  TEST_F(shared, "readahead of a task that is not advised", { differs: { base: UNKNOWN, patch: READ_AHEAD } }, (t) => {
    const child = t.fork();
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    t.as(child, () => peek(t, 3));
    const { cma } = cachePlaces(t);
    expect(cma, "read ahead into CMA").to.be.above(1);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    t.as(child, () => t.sys.exit(0));
    t.observe("pages in CMA", places(t, 0, PAGES).replaceAll(".", "").length);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });

  //  slots    1 2 3 4 | 5 6 7 8      the other mapping's pages lie next to the advised one's in the area
  TEST_F(
    onDisk,
    "readahead of the task's own other mapping, which is not advised",
    { differs: { base: UNKNOWN, patch: READ_AHEAD } },
    (t) => {
      const child = t.fork();
      advise(t, 4, 4, MADV_NOMOVABLE);
      peek(t, 3);
      for (let n = 4; n < PAGES; n++) peek(t, n);
      t.as(child, () => t.sys.exit(0));
      expect(places(t, 4, 4)).to.equal("....");
    },
  );
});

const memfdGuest = FIXTURE("memfd_guest", {
  boot: CMA_BOOT,
  setup(t) {
    swapTo(t, RAMDISK);
    const fd = memfd(t, PAGES);
    map(t, 0, PAGES, { flags: MAP_SHARED, fd });
    expect(landing(t, 0, PAGES)).to.equal(ALL_CMA);
    pageOut(t, 0, PAGES);
    expect(picture(t, 0, PAGES)).to.equal("8-");
    return fd;
  },
});

describe("swap: pages of an advised memfd guest", () => {
  TEST_F(memfdGuest, "its own faults bring them back outside of CMA", { differs: { base: UNKNOWN } }, (t) => {
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });

  TEST_F(memfdGuest, "read() of the file", { differs: { base: UNKNOWN, patch: READ_AHEAD } }, (t) => {
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    for (let n = 0; n < PAGES; n++) expect(t.sys.pread(t.self, bytes(n))).to.equal(1);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    expect(places(t, 0, PAGES)).to.equal(NO_CMA);
  });
});

describe("swap: an advised guest that is read from a disk", () => {
  //  vcpu: fault ── reads, drops mmap_lock ─┐              ┌─ retried: finds the page in the swap cache
  //                                         └─ disk ───────┘
  TEST("the fault is retried, and its page lies outside of CMA", { differs: { base: UNKNOWN } }, (t) => {
    t.boot(CMA_BOOT);
    swapTo(t, DISK);
    map(t, 0, PAGES);
    touch(t, 0, PAGES);
    pageOut(t, 0, PAGES);
    squeeze(t, 0, PAGES);
    map(t, 64, 1024);
    for (let n = 64; landing(t, n, 1) !== "C"; n++);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    const met = atYield(t, "folio_lock_or_retry", () => undefined);
    peek(t, 3);
    expect(met.count).to.be.above(0);
    expect(places(t, 3, 1)).to.equal(".");
  });
});
