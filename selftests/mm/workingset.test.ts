// SPDX-License-Identifier: GPL-2.0-only
/**
 * Refaults: pages that went to swap and come back. Those whose node has since aged by no more pages than compete with
 * them are active at once. 6.1 was asked for what is below, but for two nodes and 32 bits.
 */
import { page_test } from "../../include/linux/mem_map.js";
import { PG_active } from "../../include/linux/page-flags.js";
import { expect, FIXTURE, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_DONTNEED, MADV_PAGEOUT, MADV_WILLNEED, MAP_SHARED } from "../../uapi/mman-common.js";
import { MPOL_BIND } from "../../uapi/mempolicy.js";
import { advise, bytes, frameOf, map, memfd, peek, type T, touch } from "./lib/memory.js";
import { bind, CMA_NODES, NODE_0, NODE_1, nodePlaces } from "./lib/numa.js";
import { RAMDISK, swapTo } from "./lib/swap.js";
import { HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

/** Pages that are active besides: so many compete with what comes back. */
const ACTIVE = 8;

/** Makes a memfd whose pages are active, having been written twice. */
function activeFile(t: T, pages: number): number {
  const fd = memfd(t, pages);
  for (let n = 0; n < 2 * pages; n++) expect(t.sys.pwrite(fd, 1, bytes(n % pages))).to.equal(1);
  return fd;
}

function pageOut(t: T, page: number, pages: number): void {
  expect(advise(t, page, pages, MADV_PAGEOUT), "MADV_PAGEOUT").to.equal(0);
}

function read(t: T, page: number, pages: number): void {
  for (let n = page; n < page + pages; n++) peek(t, n);
}

/** workingset_… of vmstat, of anonymous memory or of files: refault, activate, restore. */
function refaults(t: T, kind: "anon" | "file" = "anon"): number[] {
  const lines = new Map(
    t.kernel
      .vmstat_show(t.k)
      .split("\n")
      .map((line) => line.split(" ") as [string, string]),
  );
  return ["refault", "activate", "restore"].map((what) => Number(lines.get(`workingset_${what}_${kind}`)));
}

/** What is mapped: `A` active, `i` inactive, `-` nothing. */
function standing(t: T, page: number, pages: number): string {
  const one = (pfn: number): string => (pfn === 0 ? "-" : page_test(t.k.mem, pfn, PG_active) ? "A" : "i");
  return Array.from({ length: pages }, (_none, n) => one(frameOf(t, page + n))).join("");
}

/** A machine that swaps to a ramdisk, with {@link ACTIVE} active pages. */
const machine = FIXTURE<number>("machine", {
  setup(t) {
    swapTo(t, RAMDISK);
    t.k.config.page_cluster = 0;
    return activeFile(t, ACTIVE);
  },
});

describe("workingset: back from swap", () => {
  //  in swap  ssss  ──►  AAAA
  TEST_F(machine, "a page of anonymous memory that comes back soon is active", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    expect(standing(t, 0, 4), "new").to.equal("iiii");
    pageOut(t, 0, 4);
    expect(refaults(t)).to.deep.equal([0, 0, 0]);
    read(t, 0, 4);
    expect(standing(t, 0, 4)).to.equal("AAAA");
    expect([refaults(t), refaults(t, "file")]).to.deep.equal([
      [4, 4, 0],
      [0, 0, 0],
    ]);
  });

  TEST_F(machine, "so is one of a memfd, by a mapping and by pread(); it counts as anonymous", (t) => {
    const fd = memfd(t, 4);
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    touch(t, 0, 4);
    pageOut(t, 0, 4);
    for (const n of [2, 3]) expect(t.sys.pread(fd, bytes(n))).to.equal(1);
    read(t, 0, 4);
    expect(standing(t, 0, 4)).to.equal("AAAA");
    expect(refaults(t)).to.deep.equal([4, 4, 0]);
    expect(refaults(t, "file")).to.deep.equal([0, 0, 0]);
  });

  //  out  pppppppppppppppppppp   ages by 20; 8 other pages are active
  //  in   iiiiiiiiiiiiAAAAAAAA   once 12 have come back, the next left 8 pages ago
  TEST_F(machine, "one that left more pages ago than compete with it is not", (t) => {
    map(t, 0, 20);
    touch(t, 0, 20);
    pageOut(t, 0, 20);
    read(t, 0, 20);
    expect(standing(t, 0, 20)).to.equal("i".repeat(12) + "A".repeat(8));
    expect(refaults(t)).to.deep.equal([20, 8, 0]);
  });

  TEST_F(machine, "pages that became active meanwhile count, though they are gone", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    pageOut(t, 0, 4);
    expect(t.sys.close(activeFile(t, 5)), "close").to.equal(0);
    read(t, 0, 4);
    expect(standing(t, 0, 4), "one left with 4 + 5 pages to go, and the next with 8").to.equal("iAAA");
  });

  TEST_F(machine, "a page that two processes have is missed once", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    pageOut(t, 0, 4);
    t.inChild(() => read(t, 0, 4));
    expect(refaults(t), "by the child").to.deep.equal([4, 4, 0]);
    read(t, 0, 4);
    expect(standing(t, 0, 4)).to.equal("AAAA");
    expect(refaults(t)).to.deep.equal([4, 4, 0]);
  });

  TEST_F(machine, "what was given up in swap is not missed", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    pageOut(t, 0, 4);
    expect(advise(t, 0, 4, MADV_DONTNEED)).to.equal(0);
    touch(t, 0, 4);
    expect([standing(t, 0, 4), refaults(t)]).to.deep.equal(["iiii", [0, 0, 0]]);
  });

  TEST_F(
    machine,
    "MADV_WILLNEED brings back what left lately active; swapoff() does not, since only files compete",
    (t) => {
      map(t, 0, 8);
      touch(t, 0, 8);
      pageOut(t, 0, 8);
      expect(advise(t, 0, 3, MADV_WILLNEED)).to.equal(0);
      expect(refaults(t)).to.deep.equal([3, 3, 0]);
      expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
      expect([standing(t, 0, 8), refaults(t)]).to.deep.equal(["AAAiiiii", [8, 3, 0]]);
    },
  );

  TEST_F(machine, "pages that are read ahead count as missed", (t) => {
    t.k.config.page_cluster = 2;
    const fd = memfd(t, 8);
    map(t, 0, 8, { flags: MAP_SHARED, fd });
    touch(t, 0, 8);
    pageOut(t, 0, 8);
    read(t, 4, 1);
    const once = refaults(t);
    expect([once[0]! > 1, once[1]], "all active").to.deep.equal([true, once[0]]);
    read(t, 0, 8);
    expect(refaults(t)).to.deep.equal([8, 8, 0]);
  });

  TEST("32 bits: the same", { boot: { arch: "i386" } }, (t) => {
    swapTo(t, RAMDISK);
    activeFile(t, ACTIVE);
    map(t, 0, 12);
    touch(t, 0, 12);
    pageOut(t, 0, 12);
    t.k.config.page_cluster = 0;
    read(t, 0, 12);
    expect([standing(t, 0, 12), refaults(t)]).to.deep.equal(["iiiiAAAAAAAA", [12, 8, 0]]);
  });
});

describe("workingset: huge pages and nodes", () => {
  for (const [active, comesBack] of [
    [HUGE - 1, "i"],
    [HUGE, "A"],
  ] as const) {
    TEST(
      `a huge page ages by 512 pages when it leaves, all of it at once: ${active} are active`,
      { boot: THP_BOOT },
      (t) => {
        swapTo(t, { ...RAMDISK, pages: 4 * HUGE, rotational: false });
        t.k.config.page_cluster = 0;
        activeFile(t, active);
        mapHuge(t, 0, HUGE);
        touch(t, 0, HUGE);
        pageOut(t, 0, HUGE);
        read(t, HUGE - 1, 1);
        expect(standing(t, HUGE - 2, 2)).to.equal(`-${comesBack}`);
        expect(refaults(t)).to.deep.equal([1, comesBack === "A" ? 1 : 0, 0]);
      },
    );
  }

  //  node 0: 8 active pages   node 1: none   a page of node 1 comes back to node 0
  TEST("what a page competes with is on the node that it left", { boot: CMA_NODES }, (t) => {
    swapTo(t, RAMDISK);
    t.k.config.page_cluster = 0;
    activeFile(t, ACTIVE);
    map(t, 0, 2);
    expect(bind(t, 0, 1, MPOL_BIND, NODE_1)).to.equal(0);
    touch(t, 0, 2);
    for (let n = 0; n < 2; n++) pageOut(t, n, 1);
    expect(bind(t, 0, 1, MPOL_BIND, NODE_0)).to.equal(0);
    read(t, 0, 2);
    expect(nodePlaces(t, 0, 2)).to.equal("00");
    expect([standing(t, 0, 2), refaults(t)]).to.deep.equal(["iA", [2, 1, 0]]);
  });
});

describe("workingset: reclaim", () => {
  //  active  ffff…       deactivated while anonymous memory fills the machine, and swapped out
  TEST("what was active before it left is of the working set, and restores it", { boot: { memory: 2 << 20 } }, (t) => {
    swapTo(t, RAMDISK);
    t.k.config.page_cluster = 0;
    const fd = activeFile(t, 200);
    map(t, 0, 600);
    touch(t, 0, 600);
    expect(refaults(t)).to.deep.equal([0, 0, 0]);
    for (let n = 0; n < 200; n++) expect(t.sys.pread(fd, bytes(n))).to.equal(1);
    const [refault, activate, restore] = refaults(t);
    expect(restore, "pages of the file").to.be.above(0);
    expect([refault, activate]).to.deep.equal([restore, restore]);
    read(t, 0, 600);
    const all = refaults(t);
    expect(all[0]! - refault!, "anonymous ones, which never were active").to.be.above(0);
    expect(all[2]).to.equal(restore);
  });
});
