// SPDX-License-Identifier: GPL-2.0-only
/** KSM beyond what was recorded: errnos, pins, migration, huge pages; and where the copies of advised memory go. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, EBUSY, EINVAL } from "../../uapi/errno.js";
import { MADV_MERGEABLE, MADV_NOMOVABLE, MADV_UNMERGEABLE } from "../../uapi/mman-common.js";
import { VFIO_DMA_MAP_FLAG_READ } from "../../uapi/vfio.js";
import { errnoTable, said } from "./lib/errnos.js";
import { counters, knob, mergeable, scan } from "./lib/ksm.js";
import { advise, at, bytes, CMA_BOOT, map, mapMemfd, peek, places, touch, UNKNOWN, vmFlags } from "./lib/memory.js";
import { failAllocations } from "./lib/tasks.js";
import { drawing, events, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const X = "x".charCodeAt(0);
const host = FIXTURE("ksm", { boot: { memory: 16 << 20 }, setup: () => undefined });
const cma = FIXTURE("ksm_cma", { boot: CMA_BOOT, setup: () => undefined });
const huge = FIXTURE("ksm_thp", {
  boot: { ...THP_BOOT, config: { thp_enabled: "madvise", thp_defrag: "always" } },
  setup: () => undefined,
});

describe("ksm: merging", () => {
  TEST_F(host, "pages of the same contents become one, a write takes one back", (t) => {
    mergeable(t, 0, "xxxyy-z");
    expect(drawing(t, 0, 7)).to.equal("5a 1- 1a");
    scan(t);
    expect(drawing(t, 0, 7)).to.equal("5k 1- 1a");
    touch(t, 1, 1, 7);
    expect(drawing(t, 0, 7)).to.equal("1k 1a 3k 1- 1a");
    expect([peek(t, 0), peek(t, 1), peek(t, 2)]).to.deep.equal([X, 7, X]);
    expect(events(t, "cow_ksm")).to.deep.equal({ cow_ksm: 1 });
  });

  TEST_F(host, "pages_to_scan bounds what one waking looks at", (t) => {
    mergeable(t, 0, "xxxxxxxx");
    knob(t, "pages_to_scan", 2);
    knob(t, "run", 1);
    for (let n = 0; n < 5; n++) t.kernel.ksm_scan_thread(t.k);
    expect(counters(t)).to.match(/^shared 0 sharing 0 unshared 0 volatile 8 /);
    t.kernel.ksm_scan_thread(t.k);
    expect(drawing(t, 0, 8)).to.equal("2k 6a");
  });

  TEST_F(host, "a page that somebody pins is not merged", (t) => {
    mergeable(t, 0, "xx");
    expect(mapDma(t, openContainer(t), 0, 1)).to.equal(0);
    scan(t);
    expect(drawing(t, 0, 2)).to.equal("2a");
  });

  TEST_F(host, "a pin for reading gets a page of its own", (t) => {
    mergeable(t, 0, "xxx");
    scan(t);
    expect(mapDma(t, openContainer(t), 0, 1, { flags: VFIO_DMA_MAP_FLAG_READ })).to.equal(0);
    expect(drawing(t, 0, 3)).to.equal("1a 2k");
    expect(peek(t, 0)).to.equal(X);
  });

  TEST_F(huge, "a huge page is split for it", (t) => {
    mapHuge(t, 0, HUGE);
    for (let n = 0; n < HUGE; n++) touch(t, n, 1, (n % 8) + 1);
    expect(advise(t, 0, HUGE, MADV_MERGEABLE)).to.equal(0);
    knob(t, "pages_to_scan", 1000);
    scan(t, 5);
    expect(drawing(t, 0, HUGE)).to.equal("512k");
    expect(counters(t)).to.match(/^shared 8 sharing 504 /);
    expect([0, 9, 511].map((n) => peek(t, n))).to.deep.equal([1, 2, 8]);
  });

  TEST_F(huge, "compaction moves KSM pages, with all who share them", (t) => {
    const pages = 12 << 10;
    const step = HUGE / 2;
    const shared = pages / step;
    map(t, 0, shared);
    map(t, 4 * HUGE, pages);
    touch(t, 4 * HUGE, pages);
    for (let n = 0; n < shared; n++) {
      touch(t, n, 1, n + 2);
      touch(t, 4 * HUGE + n * step, 1, n + 2);
      expect(advise(t, 4 * HUGE + n * step, 1, MADV_MERGEABLE)).to.equal(0);
    }
    expect(advise(t, 0, shared, MADV_MERGEABLE)).to.equal(0);
    scan(t);
    expect(drawing(t, 0, shared)).to.equal(`${String(shared)}k`);
    for (let n = 0; n < shared; n++) t.sys.munmap(at(4 * HUGE + n * step + 1), bytes(step - 1));
    mapHuge(t, 64 * HUGE, 24 * HUGE);
    for (let n = 0; n < 24; n++) touch(t, (64 + n) * HUGE, 1);
    const { thp_fault_alloc, pgmigrate_success } = events(t, "thp_fault_alloc", "pgmigrate_success");
    expect(thp_fault_alloc, "more huge pages than were free").to.be.greaterThan(8);
    expect(pgmigrate_success).to.be.greaterThan(0);
    for (let n = 0; n < shared; n++) {
      expect([peek(t, n), peek(t, 4 * HUGE + n * step)]).to.deep.equal([n + 2, n + 2]);
    }
    expect(drawing(t, 0, shared)).to.equal(`${String(shared)}k`);
    knob(t, "run", 2);
    expect(counters(t)).to.match(/^shared 0 sharing 0 unshared 0 volatile 0 /);
  });
});

describe("ksm: errors", () => {
  const values = [
    ["run", 3, EINVAL],
    ["max_page_sharing", 1, EINVAL],
    ["use_zero_pages", 2, EINVAL],
    ["merge_across_nodes", 2, EINVAL],
    ["merge_across_nodes", 0, 0],
  ] as const;
  for (const [name, value, errno] of values) {
    TEST_F(host, `${said(-errno)}: ${name} = ${String(value)}`, (t) => {
      expect(t.kernel.ksm_store(t.k, name, value)).to.equal(0 - errno);
    });
  }
  for (const [name, value] of [
    ["max_page_sharing", 2],
    ["merge_across_nodes", 0],
  ] as const) {
    TEST_F(host, `EBUSY: ${name} while pages are shared`, (t) => {
      mergeable(t, 0, "xx");
      scan(t);
      expect(t.kernel.ksm_store(t.k, name, value)).to.equal(-EBUSY);
    });
  }
  errnoTable("madvise", host, [
    ["MADV_MERGEABLE of a shared mapping is ignored", (t) => (mapMemfd(t, 0, 1), advise(t, 0, 1, MADV_MERGEABLE)), 0],
    [
      "MADV_UNMERGEABLE without memory for the copies",
      (t) => {
        mergeable(t, 0, "xx");
        scan(t);
        failAllocations(t.k, { probability: 100 });
        const ret = advise(t, 0, 2, MADV_UNMERGEABLE);
        expect(vmFlags(t, 0), "still mergeable").to.include("mg");
        return ret;
      },
      EAGAIN,
    ],
  ]);
});

describe("ksm: the patch's advice", () => {
  const differs = { base: UNKNOWN };

  TEST_F(cma, "unmerging advised memory puts the copies where a pin may be", { differs }, (t) => {
    mergeable(t, 0, "xxxx");
    scan(t);
    expect(places(t, 0, 4)).to.equal("CCCC");
    advise(t, 0, 4, MADV_NOMOVABLE);
    expect(advise(t, 0, 4, MADV_UNMERGEABLE)).to.equal(0);
    expect(drawing(t, 0, 4)).to.equal("4a");
    expect(places(t, 0, 4)).to.equal("....");
  });

  TEST_F(cma, "unmerging memory that is not advised gives movable pages", (t) => {
    mergeable(t, 0, "xxxx");
    scan(t);
    expect(advise(t, 0, 4, MADV_UNMERGEABLE)).to.equal(0);
    expect(places(t, 0, 4)).to.equal("CCCC");
  });

  const reason =
    "KSM puts movable pages of memory that is not advised in the place of those of advised memory: the page exists already (D7)";
  TEST_F(
    cma,
    "advised memory keeps its place when it is merged with other memory",
    { differs: { base: UNKNOWN, patch: reason } },
    (t) => {
      map(t, 0, 2);
      advise(t, 0, 2, MADV_NOMOVABLE);
      touch(t, 0, 2, X);
      expect(advise(t, 0, 2, MADV_MERGEABLE)).to.equal(0);
      mergeable(t, 8, "xy");
      touch(t, 1, 1, 1);
      scan(t);
      expect(drawing(t, 0, 2)).to.equal("1k 1a");
      expect(places(t, 0, 2)).to.equal("..");
    },
  );
});
