// SPDX-License-Identifier: GPL-2.0-only
/**
 * The other user of CMA: a driver that wants its area back while a guest's pages are in it. What moves, what does not, and
 * what a pin and the advice have to do with it. The areas' files answer as those of 6.1.192, which was asked, do.
 */
import { MIGRATE_ISOLATE } from "../../include/linux/mmzone.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EACCES, EINVAL, ENOMEM, ERANGE } from "../../uapi/errno.js";
import { MADV_NOMOVABLE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import { errnoTable } from "./lib/errnos.js";
import { cat, echo } from "./lib/files.js";
import { advise, at, bytes, frameOf, landing, map, peek, places, type T, touch, UNKNOWN } from "./lib/memory.js";
import { atYield, failAllocations, openFile } from "./lib/tasks.js";
import { events, HUGE, mapHuge } from "./lib/thp.js";
import { mapDma, openContainer, unmapDma } from "./lib/vfio.js";

const MIB = 1 << 20;
/** Over half of what is free is CMA. */
const BOOT = { memory: 48 * MIB, cma: 24 * MIB };
const PAGES = 64;
const DIR = "/sys/kernel/debug/cma/reserved";
const differs = { base: UNKNOWN };

const alloc = (t: T, pages: number): number => echo(t, String(pages), `${DIR}/alloc`);
const release = (t: T, pages: number): number => echo(t, String(pages), `${DIR}/free`);
const areaPages = (t: T): number => t.k.cmaAreas[0]!.count;
const used = (t: T): string | number => cat(t, `${DIR}/used`);
const counted = (t: T): Record<string, number> => events(t, "cma_alloc_success", "cma_alloc_fail", "pgmigrate_success");

/** Page frames from the area's start that are allocated, as [first, number]. */
function got(t: T): [number, number] {
  const { bitmap } = t.k.cmaAreas[0]!;
  return [bitmap.indexOf(1), bitmap.reduce((n, bit) => n + bit, 0)];
}

/** What a tracepoint said while something ran. */
function traced(t: T, event: string, run: () => void): Readonly<Record<string, unknown>>[] {
  const said: Readonly<Record<string, unknown>>[] = [];
  t.k.hooks.trace = (name, detail) => {
    if (name === event) said.push(detail);
  };
  run();
  return said;
}

const area = FIXTURE("area", { boot: BOOT });
const guest = FIXTURE("guest", {
  boot: { ...BOOT, config: { thp_enabled: "madvise" } },
  setup(t) {
    map(t, 0, PAGES);
    for (let n = 0; n < PAGES; n++) touch(t, n, 1, n + 1);
    t.sys.mlock(at(0), bytes(1));
    expect(places(t, 0, PAGES)).to.equal("C".repeat(PAGES));
    return frameOf(t, PAGES - 1) - t.k.cmaAreas[0]!.base_pfn;
  },
});

describe("cma debugfs", () => {
  errnoTable("write", area, [
    ["no number", (t) => echo(t, "x", `${DIR}/alloc`), EINVAL],
    ["a negative number", (t) => alloc(t, -1), EINVAL],
    ["65 bits", (t) => echo(t, "0x10000000000000000", `${DIR}/alloc`), ERANGE],
    ["no pages", (t) => alloc(t, 0), ENOMEM],
    ["one page more than there are", (t) => alloc(t, areaPages(t) + 1), ENOMEM],
    ["as an int it is negative", (t) => alloc(t, 0x80000000), ENOMEM],
    ["a counter is written", (t) => echo(t, "1", `${DIR}/used`), EACCES],
    ["all pages", (t) => alloc(t, areaPages(t)), 0],
    ["free more than was allocated", (t) => release(t, 5), 0],
  ]);
  errnoTable("read", area, [["a command", (t) => Number(cat(t, `${DIR}/alloc`)), EACCES]]);

  TEST_F(area, "counts what is used, and frees last first", (t) => {
    expect(alloc(t, 1024)).to.equal(0);
    expect(alloc(t, 300)).to.equal(0);
    expect([used(t), cat(t, `${DIR}/maxchunk`)]).to.deep.equal(["1324", String(areaPages(t) - 1324)]);
    expect(events(t, "compact_isolated")).to.deep.equal({ compact_isolated: 1536 });
    expect(release(t, 100)).to.equal(0);
    expect([used(t), got(t)]).to.deep.equal(["1224", [0, 1224]]);
    expect(alloc(t, 0)).to.equal(-ENOMEM);
    const dir = "/sys/kernel/mm/cma/reserved";
    expect([cat(t, `${dir}/alloc_pages_success`), cat(t, `${dir}/alloc_pages_fail`)]).to.deep.equal(["1324", "0"]);
    expect(counted(t)).to.deep.equal({ cma_alloc_success: 2, cma_alloc_fail: 1, pgmigrate_success: 0 });
    expect(release(t, 5000)).to.equal(0);
    expect(used(t)).to.equal("0");
  });
});

describe("cma_alloc: pages in the way", () => {
  TEST_F(guest, "are moved elsewhere in the area, mlocked or not, with their contents", (t) => {
    expect(alloc(t, 512)).to.equal(0);
    expect(got(t)).to.deep.equal([0, 512]);
    expect(places(t, 0, PAGES)).to.equal("C".repeat(PAGES));
    expect(frameOf(t, 0)).to.be.at.least(t.k.cmaAreas[0]!.base_pfn + 512);
    expect([peek(t, 0), peek(t, PAGES - 1)]).to.deep.equal([1, PAGES]);
    expect(counted(t)).to.deep.equal({ cma_alloc_success: 1, cma_alloc_fail: 0, pgmigrate_success: PAGES });
  });

  TEST_F(guest, "leave the area where all of it is wanted", (t) => {
    expect(alloc(t, areaPages(t))).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(".".repeat(PAGES));
  });

  TEST_F(area, "are none of an advised guest: nothing moves", { differs }, (t) => {
    map(t, 0, PAGES);
    expect(advise(t, 0, PAGES, MADV_NOMOVABLE)).to.equal(0);
    expect(landing(t, 0, PAGES)).to.equal(".".repeat(PAGES));
    expect(alloc(t, areaPages(t))).to.equal(0);
    expect(counted(t)).to.deep.equal({ cma_alloc_success: 1, cma_alloc_fail: 0, pgmigrate_success: 0 });
  });

  TEST_F(area, "are none of a guest that VFIO has mapped: the pin has moved them out", (t) => {
    map(t, 0, PAGES);
    touch(t, 0, PAGES);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(".".repeat(PAGES));
    expect(alloc(t, areaPages(t))).to.equal(0);
  });

  TEST_F(guest, "are moved whole where they are huge", (t) => {
    mapHuge(t, HUGE, HUGE);
    touch(t, HUGE, 1);
    expect(places(t, HUGE, 1)).to.equal("C");
    expect(alloc(t, 4 * HUGE)).to.equal(0);
    expect(got(t)).to.deep.equal([0, 4 * HUGE]);
    expect(events(t, "thp_migration_success")).to.deep.equal({ thp_migration_success: 1 });
  });

  TEST_F(area, "are dropped where they are of a file and clean", (t) => {
    map(t, 0, 8, { prot: PROT_READ, flags: MAP_SHARED, fd: openFile(t, 8) });
    expect([peek(t, 0), peek(t, 7)]).to.deep.equal([0, 0]);
    expect(alloc(t, 512)).to.equal(0);
    expect(places(t, 0, 1)).to.equal("-");
    expect(counted(t)["pgmigrate_success"]).to.equal(0);
    expect(peek(t, 0)).to.equal(0);
  });
});

describe("cma_alloc: pages that stay", () => {
  TEST_F(guest, "a page that somebody holds: the range one on is tried, until it lies behind the page", (t) => {
    t.k.fail_migrate.add({ pfn: frameOf(t, PAGES - 1), kind: "reference", attempts: Infinity }).arm(t.k);
    const retries = traced(t, "cma_alloc_busy_retry", () => {
      expect(alloc(t, 512)).to.equal(0);
    });
    expect(retries.length).to.equal(t.self + 1);
    expect(got(t)).to.deep.equal([t.self + 1, 512]);
    // to right behind the first range, whence each range one on has to move one more
    const moves = 2 * (PAGES - 1);
    expect(counted(t)).to.deep.equal({ cma_alloc_success: 1, cma_alloc_fail: 0, pgmigrate_success: moves });
  });

  TEST_F(guest, "no range is without it: ENOMEM, all pageblocks are CMA again, and the trace names the page", (t) => {
    const held = frameOf(t, 3);
    t.k.fail_migrate.add({ pfn: held, kind: "reference", attempts: Infinity }).arm(t.k);
    const tests = traced(t, "test_pages_isolated", () => {
      expect(alloc(t, areaPages(t))).to.equal(-ENOMEM);
    });
    expect(tests.map((one) => one["fin_pfn"])).to.deep.equal([held]);
    expect(counted(t)).to.deep.equal({ cma_alloc_success: 0, cma_alloc_fail: 1, pgmigrate_success: PAGES - 1 });
    expect([used(t), t.k.zones.map((z) => z.nr_isolate_pageblock)]).to.deep.equal(["0", t.k.zones.map(() => 0)]);
    expect([...t.k.mem.pageblock_flags].includes(MIGRATE_ISOLATE)).to.equal(false);
    t.k.fail_migrate.clear(t.k);
    expect(alloc(t, areaPages(t))).to.equal(0);
    expect(counted(t)["pgmigrate_success"]).to.equal(PAGES);
  });

  TEST_F(guest, "there is no room for them elsewhere: ENOMEM at the first range", (t) => {
    failAllocations(t.k, { probability: 100 });
    const retries = traced(t, "cma_alloc_busy_retry", () => {
      expect(alloc(t, 512)).to.equal(-ENOMEM);
    });
    failAllocations(t.k, { probability: 0 });
    expect(retries).to.deep.equal([]);
    expect(peek(t, 0)).to.equal(1);
    expect(alloc(t, 512)).to.equal(0);
  });

  TEST_F(guest, "a fatal signal ends it", (t) => {
    t.k.current.fatal_signal = 9;
    expect(alloc(t, 512)).to.equal(-ENOMEM);
    t.k.current.fatal_signal = 0;
    expect(got(t)).to.deep.equal([-1, 0]);
  });

  TEST_F(guest, "pages that VFIO is about to move: it gets a range behind them", (t) => {
    const container = openContainer(t);
    const met = atYield(t, "migrate_pages", () => {
      expect(alloc(t, 512)).to.equal(0);
      expect(got(t)).to.deep.equal([t.self + 1, 512]);
    });
    expect(mapDma(t, container, 0, PAGES)).to.equal(0);
    expect(met.count).to.be.at.least(1);
    expect(places(t, 0, PAGES)).to.equal(".".repeat(PAGES));
  });
});

describe("cma_alloc: what is left to the guest", () => {
  TEST_F(guest, "after cma_alloc() a pin has the fewer pages to move, and after it is undone none come back", (t) => {
    expect(alloc(t, areaPages(t))).to.equal(0);
    const before = counted(t)["pgmigrate_success"]!;
    const container = openContainer(t);
    expect(mapDma(t, container, 0, PAGES)).to.equal(0);
    expect(counted(t)["pgmigrate_success"]! - before).to.equal(0);
    expect(unmapDma(t, container, { size: bytes(PAGES) }).ret).to.equal(0);
    expect(release(t, areaPages(t))).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(".".repeat(PAGES));
  });
});
