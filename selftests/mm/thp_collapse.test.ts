// SPDX-License-Identifier: GPL-2.0-only
/** MADV_COLLAPSE and khugepaged: huge pages made of small ones, and what stands in the way. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, EINVAL, ENOMEM } from "../../uapi/errno.js";
import { MADV_COLLAPSE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, PROT_READ } from "../../uapi/mman-common.js";
import { advise, at, bytes, CMA_BOOT, map, peek, places, type T, touch } from "./lib/memory.js";
import { drawing, events, failHugeAllocations, HUGE, THP_BOOT } from "./lib/thp.js";
import { atYield } from "./lib/tasks.js";
import { mapDma, openContainer } from "./lib/vfio.js";

/** 2 MiB of which 40 small pages are there. */
const small = FIXTURE("small_pages", {
  boot: THP_BOOT,
  setup(t) {
    map(t, 0, HUGE);
    for (let n = 0; n < 40; n++) touch(t, n, 1, n + 1);
    expect(drawing(t, 0, HUGE)).to.equal("40a 472-");
  },
});

function expectContents(t: T): void {
  for (let n = 0; n < 40; n++) expect(peek(t, n), `page ${String(n)}`).to.equal(n + 1);
  expect(peek(t, 40)).to.equal(0);
}

/** Wakes khugepaged; how many huge pages it has made so far. */
function khugepaged(t: T): number {
  return t.kernel.khugepaged_do_scan(t.k);
}

describe("thp: MADV_COLLAPSE", () => {
  TEST_F(small, "makes one huge page, holes filled with zeroes, without any advice", (t) => {
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expectContents(t);
    expect(events(t, "thp_collapse_alloc")).to.deep.equal({ thp_collapse_alloc: 1 });
    expect(advise(t, 0, HUGE, MADV_COLLAPSE), "again, where there is one").to.equal(0);
  });

  TEST_F(small, "does so where sysfs says never", { boot: { config: { thp_enabled: "never" } } }, (t) => {
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
  });

  TEST_F(small, "refuses what says no, what is too small, and what is only readable", (t) => {
    expect(advise(t, 0, 100, MADV_COLLAPSE), "a part without a whole 2 MiB in it: nothing to do").to.equal(0);
    map(t, 2 * HUGE, 100);
    expect(advise(t, 2 * HUGE, 100, MADV_COLLAPSE)).to.equal(-EINVAL);
    t.sys.mprotect(at(0), bytes(HUGE), PROT_READ);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE), "no page is writable").to.equal(-EINVAL);
    t.sys.mprotect(at(0), bytes(HUGE), 3);
    advise(t, 0, HUGE, MADV_NOHUGEPAGE);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(-EINVAL);
    expect(drawing(t, 0, HUGE)).to.equal("40a 472-");
  });

  TEST_F(small, "-ENOMEM without memory, and all is as before", (t) => {
    failHugeAllocations(t);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(-ENOMEM);
    expect(drawing(t, 0, HUGE)).to.equal("40a 472-");
    expect(events(t, "thp_collapse_alloc_failed")).to.deep.equal({ thp_collapse_alloc_failed: 1 });
    expectContents(t);
  });

  TEST_F(small, "-EAGAIN while a page is pinned", (t) => {
    expect(mapDma(t, openContainer(t), 3, 1)).to.equal(0);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(-EAGAIN);
    expect(drawing(t, 0, HUGE)).to.equal("40a 472-");
  });

  TEST_F(small, "copies pages shared with a child, who keeps his", (t) => {
    const child = t.fork();
    touch(t, 39, 1, 40);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(drawing(t, 0, HUGE, child)).to.equal("40a 472-");
    touch(t, 0, 1, 200);
    expect(t.as(child, () => peek(t, 0))).to.equal(1);
    t.as(child, () => t.sys.exit(0));
  });

  TEST_F(small, "puts a huge page together that is mapped in parts", (t) => {
    advise(t, 0, HUGE, MADV_COLLAPSE);
    t.sys.munmap(at(100), bytes(1));
    map(t, 100, 1);
    expect(drawing(t, 0, HUGE)).to.equal("100T 1- 411T");
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expectContents(t);
  });

  TEST_F(small, "when the mapping goes while it allocates, it says so and nothing is lost", (t) => {
    atYield(t, "collapse_huge_page", () => t.sys.munmap(at(0), bytes(HUGE)));
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(-EINVAL);
    expect(drawing(t, 0, HUGE)).to.equal("512-");
  });
});

describe("thp: khugepaged", () => {
  TEST_F(small, "makes a huge page where it was advised to", (t) => {
    expect(khugepaged(t), "not advised").to.equal(0);
    advise(t, 0, HUGE, MADV_HUGEPAGE);
    expect(khugepaged(t)).to.equal(1);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expectContents(t);
    expect(khugepaged(t), "nothing is left to do").to.equal(1);
  });

  const strict = { config: { thp_enabled: "madvise", khugepaged_max_ptes_none: 471 } } as const;
  TEST_F(small, "not where more than max_ptes_none entries are empty", { boot: strict }, (t) => {
    advise(t, 0, HUGE, MADV_HUGEPAGE);
    expect(khugepaged(t)).to.equal(0);
    expect(events(t, "thp_scan_exceed_none_pte")).to.deep.equal({ thp_scan_exceed_none_pte: 1 });
    touch(t, 40, 1);
    expect(khugepaged(t)).to.equal(1);
  });

  const unshared = { config: { thp_enabled: "madvise", khugepaged_max_ptes_shared: 39 } } as const;
  TEST_F(small, "not where more than max_ptes_shared pages are shared", { boot: unshared }, (t) => {
    advise(t, 0, HUGE, MADV_HUGEPAGE);
    const child = t.fork();
    touch(t, 100, 1);
    expect(khugepaged(t)).to.equal(0);
    expect(events(t, "thp_scan_exceed_share_pte"), "in both").to.deep.equal({ thp_scan_exceed_share_pte: 2 });
    t.as(child, () => t.sys.exit(0));
    expect(khugepaged(t)).to.equal(1);
  });

  TEST_F(
    small,
    "goes on with the next address space at the next waking",
    { boot: { config: { thp_enabled: "madvise", khugepaged_pages_to_scan: 512 } } },
    (t) => {
      advise(t, 0, HUGE, MADV_HUGEPAGE);
      const child = t.fork();
      t.as(child, () => touch(t, 0, 40, 9));
      touch(t, 0, 1, 1);
      expect([khugepaged(t), khugepaged(t), khugepaged(t), khugepaged(t)].at(-1)).to.equal(2);
      expect(drawing(t, 0, HUGE)).to.equal("512T");
      expect(drawing(t, 0, HUGE, child)).to.equal("512T");
      t.as(child, () => t.sys.exit(0));
    },
  );

  const crowded = { ...THP_BOOT, ...CMA_BOOT };
  TEST_F(small, "takes its huge page from CMA, wherever the small ones were (O2, D7)", { boot: crowded }, (t) => {
    advise(t, 0, HUGE, MADV_HUGEPAGE);
    expect(mapDma(t, openContainer(t), 200, 1), "a page that may stay").to.equal(0);
    expect(places(t, 200, 1)).to.equal(".");
    expect(khugepaged(t), "pinned").to.equal(0);
    map(t, 2 * HUGE, HUGE);
    touch(t, 2 * HUGE, 1);
    advise(t, 2 * HUGE, HUGE, MADV_HUGEPAGE);
    expect(khugepaged(t)).to.equal(1);
    expect(places(t, 2 * HUGE, HUGE)).to.equal("C".repeat(HUGE));
  });
});
