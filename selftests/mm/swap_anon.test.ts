// SPDX-License-Identifier: GPL-2.0-only
/**
 * Anonymous pages that go to swap and come back. In the pictures `a` is mapped and this process's alone, `c` is mapped
 * more than once, `w` is in swap, `-` is nothing; mincore() adds whether the swap cache has it.
 */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_DONTNEED,
  MADV_FREE,
  MADV_PAGEOUT,
  MADV_WILLNEED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { EINVAL } from "../../uapi/errno.js";
import { advise, at, bytes, frameOf, map, peek, RW, touch } from "./lib/memory.js";
import { smapsKib } from "./lib/proc.js";
import { events } from "./lib/thp.js";
import {
  type Device,
  DISK,
  incore,
  inSwapCache,
  pageOut,
  picture,
  RAMDISK,
  SSD,
  swapTo,
  type SwapDevice,
  swapUsed,
} from "./lib/swap.js";

const PAGES = 8;

/** Eight pages with their number and 100 as contents, on every kind of device. */
const guest = FIXTURE<SwapDevice, Device>("swap", {
  setup(t, device) {
    const dev = swapTo(t, device);
    t.k.config.page_cluster = 0;
    map(t, 0, PAGES);
    for (let n = 0; n < PAGES; n++) touch(t, n, 1, 100 + n);
    return dev;
  },
});
FIXTURE_VARIANT(guest, "ramdisk", RAMDISK);
FIXTURE_VARIANT(guest, "ssd", SSD);
FIXTURE_VARIANT(guest, "disk", DISK);

const ramdisk = FIXTURE<SwapDevice, Device>("ramdisk", {
  setup(t) {
    const dev = swapTo(t, RAMDISK);
    map(t, 0, PAGES);
    for (let n = 0; n < PAGES; n++) touch(t, n, 1, 100 + n);
    pageOut(t, 0, PAGES);
    return dev;
  },
});

describe("swap: out", () => {
  TEST_F(ramdisk, "smaps divides a slot among those who have it", (t) => {
    expect([smapsKib(t, "Swap", 0, PAGES), smapsKib(t, "SwapPss", 0, PAGES)]).to.deep.equal([32, 32]);
    const [second, third] = [t.sys.fork(), t.sys.fork()].map((pid) => t.k.tasks.get(pid)!);
    expect([smapsKib(t, "Swap", 0, PAGES, second), smapsKib(t, "SwapPss", 0, PAGES, third)]).to.deep.equal([32, 10]);
    t.as(third!, () => {
      advise(t, 0, 3, MADV_DONTNEED);
    });
    expect([smapsKib(t, "SwapPss", 0, PAGES), smapsKib(t, "SwapPss", 0, PAGES, third)]).to.deep.equal([12, 6]);
  });

  //  page table   aaaaaaaa  ── MADV_PAGEOUT ──►  wwwwwwww
  //  memory       ########                       ........  (a device that takes its time leaves them in the swap cache)
  TEST_F(guest, "MADV_PAGEOUT moves pages to swap", (t) => {
    pageOut(t, 0, PAGES);
    expect(picture(t, 0, PAGES)).to.equal("8w");
    expect(events(t, "pswpout")).to.deep.equal({ pswpout: PAGES });
    const row = t.smaps().find(({ start }) => start === at(0))!;
    expect([row.Swap, row.SwapPss]).to.deep.equal([32, 32]);
  });

  TEST_F(guest, "a device that is done at once leaves nothing in memory, others leave the swap cache", (t) => {
    pageOut(t, 0, PAGES);
    expect(incore(t, 0, PAGES)).to.equal((t.self.synchronous ? "0" : "1").repeat(PAGES));
  });

  //  aaaa[LLLL]  L: mlocked                     wwww[LLLL]
  TEST_F(guest, "locked memory is not paged out", (t) => {
    expect(t.sys.mlock(at(4), bytes(4))).to.equal(0);
    expect(advise(t, 4, 4, MADV_PAGEOUT)).to.equal(-EINVAL);
    pageOut(t, 0, 4);
    expect(picture(t, 0, PAGES)).to.equal("4w 4a");
  });

  TEST_F(guest, "locking memory brings it back", (t) => {
    pageOut(t, 0, PAGES);
    expect(t.sys.mlock(at(2), bytes(3))).to.equal(0);
    expect(picture(t, 0, PAGES)).to.equal("2w 3a 3w");
  });

  TEST_F(guest, "a page that is mapped twice is not paged out", (t) => {
    t.inChild(() => {
      pageOut(t, 0, PAGES);
      expect(picture(t, 0, PAGES)).to.equal("8c");
    });
  });

  TEST_F(guest, "the zero page and holes have nothing to page out", (t) => {
    map(t, 16, 4);
    peek(t, 17);
    pageOut(t, 16, 4);
    expect(picture(t, 16, 4)).to.equal("1- 1z 2-");
    expect(swapUsed(t)).to.equal(0);
  });
});

describe("swap: in", () => {
  TEST_F(guest, "a read brings the page back, read-only until it is written", (t) => {
    pageOut(t, 0, PAGES);
    expect(peek(t, 3)).to.equal(103);
    expect(picture(t, 0, PAGES)).to.equal("3w 1a 4w");
    touch(t, 3, 1, 9);
    expect(peek(t, 3)).to.equal(9);
    expect(events(t, "pgreuse"), "written in place").to.deep.equal({ pgreuse: 1 });
  });

  TEST_F(guest, "a write brings the page back, its slot is given up", (t) => {
    pageOut(t, 0, PAGES);
    touch(t, 3, 1, 9);
    expect(peek(t, 3)).to.equal(9);
    expect(inSwapCache(t.k.mem, frameOf(t, 3))).to.equal(false);
  });

  TEST_F(guest, "out again without having been written", (t) => {
    pageOut(t, 0, PAGES);
    expect(peek(t, 3)).to.equal(103);
    pageOut(t, 0, PAGES);
    expect(picture(t, 0, PAGES)).to.equal("8w");
    const again = t.self.synchronous ? 1 : 0;
    expect(events(t, "pswpout"), "still in the swap cache, it need not be written").to.deep.equal({
      pswpout: PAGES + again,
    });
    expect(peek(t, 3)).to.equal(103);
  });

  TEST_F(guest, "mprotect() of what is in swap holds when it comes back", (t) => {
    pageOut(t, 0, PAGES);
    expect(t.sys.mprotect(at(0), bytes(4), PROT_NONE)).to.equal(0);
    expect(t.sys.mprotect(at(4), bytes(4), PROT_READ)).to.equal(0);
    expect(t.sys.load(at(0))).to.have.property("sig");
    expect(t.sys.store(at(4), 1)).to.have.property("sig");
    expect(peek(t, 4)).to.equal(104);
    expect(t.sys.mprotect(at(0), bytes(PAGES), RW)).to.equal(0);
    expect(peek(t, 0)).to.equal(100);
  });

  TEST_F(guest, "mremap() moves what is in swap", (t) => {
    pageOut(t, 0, PAGES);
    const moved = t.sys.mremap(at(0), bytes(PAGES), bytes(PAGES), MREMAP_MAYMOVE | MREMAP_FIXED, at(600));
    expect(moved).to.equal(at(600));
    expect(picture(t, 600, PAGES)).to.equal("8w");
    expect(peek(t, 605)).to.equal(105);
  });

  TEST_F(ramdisk, "MADV_WILLNEED reads into the swap cache; the fault is then a minor one", (t) => {
    expect(advise(t, 2, 3, MADV_WILLNEED)).to.equal(0);
    expect(picture(t, 0, PAGES)).to.equal("8w");
    expect(incore(t, 0, PAGES)).to.equal("00111000");
    expect(peek(t, 3)).to.equal(103);
    expect(events(t, "pswpin", "pgmajfault")).to.deep.equal({ pswpin: 3, pgmajfault: 0 });
  });
});

describe("swap: slots", () => {
  TEST_F(ramdisk, "MADV_DONTNEED, MADV_FREE and munmap() give up slots", (t) => {
    advise(t, 0, 2, MADV_DONTNEED);
    advise(t, 2, 2, MADV_FREE);
    expect(t.sys.munmap(at(4), bytes(2))).to.equal(0);
    expect(picture(t, 0, PAGES)).to.equal("6- 2w");
    map(t, 4, 2);
    expect([0, 2, 4].map((n) => peek(t, n))).to.deep.equal([0, 0, 0]);
    expect(t.k.current.mm!.rss_stat[2], "MM_SWAPENTS").to.equal(2);
  });

  TEST_F(ramdisk, "a slot is free again when the last that has it is gone", (t) => {
    expect(t.sys.munmap(at(0), bytes(PAGES))).to.equal(0);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(t.k.nodes[0]!.vm_stat[19], "nr_swapcached").to.equal(0);
  });

  //  parent  wwww   shares the slots with   child  wwww:  each reads a page of its own once it writes
  TEST_F(ramdisk, "fork shares slots; smaps says half of each", (t) => {
    t.inChild(() => {
      const row = t.smaps().find(({ start }) => start === at(0))!;
      expect([row.Swap, row.SwapPss]).to.deep.equal([32, 16]);
      touch(t, 3, 1, 7);
      expect(peek(t, 3)).to.equal(7);
      expect(picture(t, 3, 1)).to.equal("1a");
    });
    expect(peek(t, 3)).to.equal(103);
  });

  TEST_F(ramdisk, "parent and child read one page of the swap cache, and copy it to write", (t) => {
    const frames: number[] = [];
    const child = t.fork();
    expect(peek(t, 3)).to.equal(103);
    frames.push(frameOf(t, 3));
    t.as(child, () => {
      expect(peek(t, 3)).to.equal(103);
      frames.push(frameOf(t, 3));
      expect(picture(t, 3, 1)).to.equal("1c");
      touch(t, 3, 1, 8);
      expect(frameOf(t, 3)).to.not.equal(frames[0]);
    });
    expect(frames[0]).to.equal(frames[1]);
    expect(peek(t, 3)).to.equal(103);
    touch(t, 3, 1, 9);
    expect(frameOf(t, 3), "the last one writes in place").to.equal(frames[0]);
    t.as(child, () => {
      expect(peek(t, 3)).to.equal(8);
      t.sys.exit(0);
    });
  });

  TEST_F(guest, "swapoff() brings everything back", (t) => {
    pageOut(t, 0, PAGES);
    const child = t.fork();
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(picture(t, 0, PAGES)).to.equal("8c");
    expect([...Array(PAGES).keys()].map((n) => peek(t, n))).to.deep.equal([100, 101, 102, 103, 104, 105, 106, 107]);
    t.as(child, () => {
      expect(picture(t, 0, PAGES)).to.equal("8c");
      t.sys.exit(0);
    });
    expect(swapUsed(t)).to.equal(0);
  });
});

describe("swap: devices that fail", () => {
  TEST_F(ramdisk, "what cannot be read is SIGBUS, now and when it is tried again", (t) => {
    for (let offset = 1; offset < 1024; offset++) t.self.bad.add(offset);
    expect(t.sys.load(at(3))).to.deep.equal({ sig: "SIGBUS", code: 2 });
    expect(picture(t, 0, PAGES)).to.equal("8w");
    t.self.bad.clear();
    expect(peek(t, 3), "the device recovered").to.equal(103);
  });

  TEST_F(ramdisk, "swapoff() loses what cannot be read: SIGBUS for good", (t) => {
    for (let offset = 1; offset < 1024; offset++) t.self.bad.add(offset);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(t.sys.load(at(3))).to.deep.equal({ sig: "SIGBUS", code: 2 });
    t.inChild(() => expect(t.sys.load(at(4)), "in a child too").to.deep.equal({ sig: "SIGBUS", code: 2 }));
    advise(t, 3, 1, MADV_DONTNEED);
    expect(peek(t, 3)).to.equal(0);
  });

  TEST_F(guest, "what cannot be written stays in memory", (t) => {
    for (let offset = 1; offset < 1024; offset++) t.self.bad.add(offset);
    t.self.failWrites = true;
    pageOut(t, 0, PAGES);
    expect(incore(t, 0, PAGES)).to.equal("11111111");
    expect([...Array(PAGES).keys()].map((n) => peek(t, n))).to.deep.equal([100, 101, 102, 103, 104, 105, 106, 107]);
  });
});
