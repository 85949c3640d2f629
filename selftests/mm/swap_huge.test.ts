// SPDX-License-Identifier: GPL-2.0-only
/** Huge pages that go to swap whole, what becomes of their clusters, and when they are split instead. */
import { expect, TEST } from "../../harness/kselftest/index.js";
import { EINVAL } from "../../uapi/errno.js";
import { MADV_COLLAPSE, MADV_DONTNEED, MADV_PAGEOUT, MAP_SHARED } from "../../uapi/mman-common.js";
import { advise, at, bytes, frameOf, memfd, peek, type T, touch } from "./lib/memory.js";
import { migratePages, NODE_0, NODE_1, nodePlaces } from "./lib/numa.js";
import { type Device, DISK, inSwapCache, pageOut, picture, RAMDISK, SSD, swapTo, swapUsed } from "./lib/swap.js";
import { events, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

/** A huge page whose pages have contents of their own, on a machine that swaps to a device of these pages. */
function hugePage(t: T, device: Device, pages = 4096): void {
  swapTo(t, { ...device, pages });
  mapHuge(t, 0, HUGE);
  for (const n of [0, 1, 5, 511]) touch(t, n, 1, (n % 250) + 1);
  expect(picture(t, 0, HUGE)).to.equal("512T");
}

function contents(t: T): number[] {
  return [0, 1, 5, 511, 2].map((n) => peek(t, n));
}

const CONTENTS = [1, 2, 6, 12, 0];

describe("swap: huge pages, whole", () => {
  //  512T ──► a cluster ──► 512w
  TEST("a huge page goes to swap in one go, and its pages come back one by one", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, RAMDISK);
    pageOut(t, 0, HUGE);
    expect(picture(t, 0, HUGE)).to.equal("512w");
    expect(events(t, "thp_swpout", "thp_split_page", "thp_split_pmd", "pswpout")).to.deep.equal({
      thp_swpout: 1,
      thp_split_page: 0,
      thp_split_pmd: 1,
      pswpout: HUGE,
    });
    expect(contents(t)).to.deep.equal(CONTENTS);
    expect(picture(t, 0, HUGE)).to.equal("3a 2w 1a 505w 1a");
  });

  //  512T ──► 512w, in the swap cache: the first page is mapped again, others are copied
  TEST("while a device still has it in the swap cache, its first page is mapped again and others are copied", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, SSD);
    const head = frameOf(t, 0);
    pageOut(t, 0, HUGE);
    expect(picture(t, 0, HUGE)).to.equal("512w");
    expect(inSwapCache(t.k.mem, head)).to.equal(true);
    expect(contents(t)).to.deep.equal(CONTENTS);
    expect(picture(t, 0, HUGE)).to.equal("1T 2a 2w 1a 505w 1a");
    expect(frameOf(t, 0)).to.equal(head);
    expect(events(t, "ksm_swpin_copy", "pswpin")).to.deep.equal({ ksm_swpin_copy: 4, pswpin: 0 });
  });

  TEST("a cluster is free again once nobody has any of its slots", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, SSD, 2 * HUGE);
    pageOut(t, 0, HUGE);
    expect(swapUsed(t)).to.equal(HUGE);
    expect(advise(t, 1, HUGE - 1, MADV_DONTNEED)).to.equal(0);
    expect(swapUsed(t), "one page is still there").to.equal(HUGE);
    expect(t.sys.munmap(at(0), bytes(HUGE))).to.equal(0);
    expect(swapUsed(t)).to.equal(0);
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1);
    pageOut(t, 0, HUGE);
    expect(events(t, "thp_swpout")).to.deep.equal({ thp_swpout: 2 });
  });

  //  1T 511w ──► split ──► 1w 511w
  TEST("MADV_PAGEOUT of the part that is mapped again splits page and cluster", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, SSD);
    pageOut(t, 0, HUGE);
    peek(t, 0);
    pageOut(t, 0, HUGE);
    expect(picture(t, 0, HUGE)).to.equal("512w");
    expect(events(t, "thp_split_page", "thp_swpout")).to.deep.equal({ thp_split_page: 1, thp_swpout: 1 });
    expect(advise(t, 100, 100, MADV_DONTNEED)).to.equal(0);
    expect(contents(t)).to.deep.equal(CONTENTS);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(contents(t)).to.deep.equal(CONTENTS);
  });

  TEST("swapoff brings the pages of a huge page back", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, SSD);
    pageOut(t, 0, HUGE);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(picture(t, 0, HUGE)).to.equal("1T 511a");
    expect(contents(t)).to.deep.equal(CONTENTS);
  });

  TEST("parent and child each have a huge page that was in swap when they parted", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, SSD);
    pageOut(t, 0, HUGE);
    const child = t.fork();
    touch(t, 0, 2, 77);
    t.as(child, () => {
      expect(contents(t)).to.deep.equal(CONTENTS);
      touch(t, 5, 1, 88);
      t.sys.exit(0);
    });
    expect([0, 1, 5, 511].map((n) => peek(t, n))).to.deep.equal([77, 77, 6, 12]);
  });

  TEST("a huge page of the swap cache moves to another node with its cluster", (t) => {
    t.boot({ ...THP_BOOT, nodes: 2 });
    swapTo(t, { ...SSD, pages: 4096 });
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1, 1);
    touch(t, 511, 1, 12);
    pageOut(t, 0, HUGE);
    expect([peek(t, 0), picture(t, 0, HUGE)]).to.deep.equal([1, "1T 511w"]);
    const from = nodePlaces(t, 0, 1);
    const there = from.includes("0") ? [NODE_0, NODE_1] : [NODE_1, NODE_0];
    expect(migratePages(t, there[0]!, there[1]!)).to.equal(0);
    expect(nodePlaces(t, 0, 1)).to.not.equal(from);
    expect(inSwapCache(t.k.mem, frameOf(t, 0))).to.equal(true);
    expect(peek(t, 511)).to.equal(12);
  });
});

describe("swap: huge pages made of what is there", () => {
  //  3f 509- ──► 3 in swap ──► a huge page in the file
  TEST(
    "MADV_COLLAPSE reads a file's pages back from swap, and says EINVAL where the caller has no table for them",
    (t) => {
      t.boot(THP_BOOT);
      swapTo(t, { ...SSD, pages: 4096 });
      mapHuge(t, 0, HUGE, { flags: MAP_SHARED, fd: memfd(t, HUGE) });
      for (const n of [0, 1, 511]) touch(t, n, 1, (n % 250) + 1);
      pageOut(t, 0, HUGE);
      expect(events(t, "pswpout")).to.deep.equal({ pswpout: 3 });
      const child = t.fork();
      t.as(child, () => {
        expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(-EINVAL);
        t.sys.exit(0);
      });
      expect(picture(t, 0, HUGE)).to.equal("512-");
      expect([0, 1, 511, 2].map((n) => peek(t, n))).to.deep.equal([1, 2, 12, 0]);
      expect(picture(t, 0, HUGE), "a huge page now, of which faults map 16 pages").to.equal("16F 480- 16F");
    },
  );
});

describe("swap: huge pages that are split for it", () => {
  const rows: readonly (readonly [string, Device, number, string])[] = [
    ["no cluster is free: 511 slots are not one", RAMDISK, HUGE, "x86_64"],
    ["a disk that has to seek has no clusters", DISK, 4096, "x86_64"],
    ["memory may be tagged", SSD, 4096, "arm64-mte"],
    ["the architecture has no CONFIG_THP_SWAP", SSD, 4096, "powerpc64"],
  ];
  for (const [why, device, pages, arch] of rows) {
    TEST(`${why}: thp_swpout_fallback`, (t) => {
      t.boot({ ...THP_BOOT, arch });
      hugePage(t, device, pages);
      pageOut(t, 0, HUGE);
      expect(events(t, "thp_swpout", "thp_swpout_fallback", "thp_split_page")).to.deep.equal({
        thp_swpout: 0,
        thp_swpout_fallback: 1,
        thp_split_page: 1,
      });
      expect(picture(t, 0, HUGE)).to.match(/^(511w 1a|512w)$/);
      expect(contents(t)).to.deep.equal(CONTENTS);
    });
  }

  TEST("a huge page that only small entries map is split without looking for a cluster", (t) => {
    t.boot(THP_BOOT);
    hugePage(t, RAMDISK);
    expect(advise(t, 511, 1, MADV_DONTNEED)).to.equal(0);
    expect(advise(t, 0, 511, MADV_PAGEOUT)).to.equal(0);
    expect(events(t, "thp_swpout", "thp_swpout_fallback")).to.deep.equal({ thp_swpout: 0, thp_swpout_fallback: 0 });
    expect(events(t, "thp_split_page")).to.deep.equal({ thp_split_page: 1 });
  });

  TEST("a huge page whose cluster cannot be written stays dirty in the swap cache, with its contents", (t) => {
    t.boot(THP_BOOT);
    const dev = swapTo(t, { ...RAMDISK, pages: 2 * HUGE });
    mapHuge(t, 0, HUGE);
    touch(t, 511, 1, 12);
    dev.bad.add(HUGE + 7);
    dev.failWrites = true;
    pageOut(t, 0, HUGE);
    expect(picture(t, 0, HUGE)).to.equal("512w");
    expect(peek(t, 511)).to.equal(12);
    expect(events(t, "pswpin")).to.deep.equal({ pswpin: 0 });
  });
});
