// SPDX-License-Identifier: GPL-2.0-only
/**
 * Refaults: pages that went to swap and come back. Those whose node has since aged by no more pages than compete with
 * them are active at once. 6.1 was asked for what is below, but for 32 bits.
 */
import { node_stat_names } from "../../include/linux/vmstat.js";
import { expect, FIXTURE, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_DONTNEED, MADV_WILLNEED, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import { MPOL_BIND } from "../../uapi/mempolicy.js";
import { advise, at, bytes, map, memfd, type T, touch } from "./lib/memory.js";
import { bind, CMA_NODES, NODE_0, NODE_1, nodePlaces } from "./lib/numa.js";
import { incore, RAMDISK, swapTo } from "./lib/swap.js";
import { openFile } from "./lib/tasks.js";
import { events, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";
import { activeFile, leave, read, refaults, standing, vmstat } from "./lib/workingset.js";

/** Pages that are active besides: so many compete with what comes back. */
const ACTIVE = 8;

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
    leave(t, 0, 4);
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
    leave(t, 0, 4);
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
    leave(t, 0, 20);
    read(t, 0, 20);
    expect(standing(t, 0, 20)).to.equal("i".repeat(12) + "A".repeat(8));
    expect(refaults(t)).to.deep.equal([20, 8, 0]);
  });

  TEST_F(machine, "pages that became active meanwhile count, though they are gone", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    leave(t, 0, 4);
    expect(t.sys.close(activeFile(t, 5)), "close").to.equal(0);
    read(t, 0, 4);
    expect(standing(t, 0, 4), "one left with 4 + 5 pages to go, and the next with 8").to.equal("iAAA");
  });

  TEST_F(machine, "a page that two processes have is missed once", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    leave(t, 0, 4);
    t.inChild(() => read(t, 0, 4));
    expect(refaults(t), "by the child").to.deep.equal([4, 4, 0]);
    read(t, 0, 4);
    expect(standing(t, 0, 4)).to.equal("AAAA");
    expect(refaults(t)).to.deep.equal([4, 4, 0]);
  });

  TEST_F(machine, "what was given up in swap is not missed", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    leave(t, 0, 4);
    expect(advise(t, 0, 4, MADV_DONTNEED)).to.equal(0);
    touch(t, 0, 4);
    expect([standing(t, 0, 4), refaults(t)]).to.deep.equal(["iiii", [0, 0, 0]]);
  });

  TEST_F(machine, "MADV_WILLNEED counts what it brings back; so does swapoff(), for which only files compete", (t) => {
    map(t, 1 << 16, 7, { flags: MAP_SHARED, fd: openFile(t, 7), prot: PROT_READ });
    read(t, 1 << 16, 7);
    map(t, 0, 8);
    touch(t, 0, 8);
    leave(t, 0, 8);
    expect(advise(t, 0, 3, MADV_WILLNEED)).to.equal(0);
    expect(refaults(t)).to.deep.equal([3, 3, 0]);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect([standing(t, 0, 8), refaults(t)], "8 pages ago, then 7").to.deep.equal(["AAAiAAAA", [8, 7, 0]]);
  });

  TEST_F(machine, "pages that are read ahead count as missed", (t) => {
    t.k.config.page_cluster = 2;
    const fd = memfd(t, 8);
    map(t, 0, 8, { flags: MAP_SHARED, fd });
    touch(t, 0, 8);
    leave(t, 0, 8);
    read(t, 4, 1);
    expect(refaults(t)[0]).to.be.above(1);
    read(t, 0, 8);
    expect(refaults(t)).to.deep.equal([8, 8, 0]);
  });

  TEST("32 bits: the same", { boot: { arch: "i386" } }, (t) => {
    swapTo(t, RAMDISK);
    activeFile(t, ACTIVE);
    map(t, 0, 12);
    touch(t, 0, 12);
    leave(t, 0, 12);
    t.k.config.page_cluster = 0;
    read(t, 0, 12);
    expect([standing(t, 0, 12), refaults(t)]).to.deep.equal(["iiiiAAAAAAAA", [12, 8, 0]]);
  });
});

/** A mapping of an ordinary file; nothing is active. */
const disk = FIXTURE<number>("file", {
  boot: { memory: 4 << 20 },
  setup(t) {
    const fd = openFile(t, 24 << 10);
    map(t, 0, 24 << 10, { flags: MAP_SHARED, fd, prot: PROT_READ });
    return fd;
  },
});

/** Ten pages of anonymous memory, which could go to swap. */
function compete(t: T): void {
  swapTo(t, RAMDISK);
  map(t, 1 << 16, 10);
  touch(t, 1 << 16, 10);
}

describe("workingset: back from a file", () => {
  TEST_F(
    disk,
    "a page that is read again counts as one of a file; anonymous memory does not compete without swap",
    (t) => {
      read(t, 0, 20);
      expect(standing(t, 0, 20)).to.equal("i".repeat(20));
      leave(t, 10, 10);
      map(t, 1 << 16, 20);
      touch(t, 1 << 16, 20);
      read(t, 10, 1);
      expect(standing(t, 8, 4), "ten pages ago, and nothing is active").to.equal("iii-");
      for (let n = 0; n < 2; n++) leave(t, 0, 10);
      expect(refaults(t, "file")).to.deep.equal([1, 0, 0]);
    },
  );

  TEST_F(disk, "anonymous memory competes with it while there is swap", (t) => {
    compete(t);
    read(t, 0, 10);
    leave(t, 0, 10);
    read(t, 0, 10);
    expect(standing(t, 0, 10)).to.equal("A".repeat(10));
    expect([refaults(t), refaults(t, "file")]).to.deep.equal([
      [0, 0, 0],
      [10, 10, 0],
    ]);
  });

  TEST_F(disk, "mincore() does not take what stands in its place for a page", (t) => {
    read(t, 0, 4);
    leave(t, 1, 2);
    expect(incore(t, 0, 5)).to.equal("10010");
  });

  TEST_F(disk, "it is forgotten when the file is cut off there, and with the file", (t) => {
    compete(t);
    read(t, 0, 80);
    leave(t, 0, 80);
    expect(vmstat(t, "workingset_nodes")).to.equal(2);
    for (const pages of [64, 24 << 10]) expect(t.sys.ftruncate(t.self, bytes(pages))).to.equal(0);
    expect(vmstat(t, "workingset_nodes"), "one for each 64 pages").to.equal(1);
    read(t, 60, 10);
    expect(refaults(t, "file")[0], "pages 60 to 63").to.equal(4);
    expect(vmstat(t, "workingset_nodes"), "pages are there too").to.equal(0);
    leave(t, 60, 10);
    expect(t.sys.munmap(at(0), bytes(24 << 10))).to.equal(0);
    expect(t.sys.close(t.self)).to.equal(0);
    expect(vmstat(t, "workingset_nodes")).to.equal(0);
  });

  //  1024 pages of memory: 128 nodes of an index pay, 384 are there. 128 are taken at a time, the oldest first.
  TEST_F(disk, "index nodes that hold nothing else are taken back when memory runs low", (t) => {
    for (let n = 0; n < 384; n++) read(t, 64 * n, 1);
    leave(t, 0, 24 << 10);
    expect(vmstat(t, "workingset_nodes")).to.equal(384);
    map(t, 1 << 16, 900);
    for (let n = 0; n < 900 && vmstat(t, "workingset_nodereclaim") === 0; n++) touch(t, (1 << 16) + n, 1);
    const taken = vmstat(t, "workingset_nodereclaim");
    expect(events(t, "pageoutrun"), "at once").to.deep.equal({ pageoutrun: 1 });
    expect(taken).to.be.above(0);
    expect([taken % 128, vmstat(t, "workingset_nodes")]).to.deep.equal([0, 384 - taken]);
    expect(t.sys.munmap(at(1 << 16), bytes(900))).to.equal(0);
    for (const n of [0, taken - 1, taken, 383]) read(t, 64 * n, 1);
    expect(refaults(t, "file")[0], "the first ones are not missed any more").to.equal(2);
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
        leave(t, 0, HUGE);
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
    for (let n = 0; n < 2; n++) leave(t, n, 1);
    expect(bind(t, 0, 1, MPOL_BIND, NODE_0)).to.equal(0);
    read(t, 0, 2);
    expect(nodePlaces(t, 0, 2)).to.equal("00");
    expect([standing(t, 0, 2), refaults(t)]).to.deep.equal(["iA", [2, 1, 0]]);
    const missed = t.k.nodes.map(({ vm_stat }) => vm_stat[node_stat_names.indexOf("workingset_refault_anon")]);
    expect(missed, "by the node that each left").to.deep.equal([1, 1]);
  });
});
