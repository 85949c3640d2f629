// SPDX-License-Identifier: GPL-2.0-only
/**
 * Pages of a memfd that go to swap and come back. The file's page cache has a slot in the place of the page; the page
 * tables of those who map it have nothing, so that pagemap shows a hole; smaps counts what the file has in swap.
 */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_REMOVE, MADV_WILLNEED, MAP_PRIVATE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import { EIO } from "../../uapi/errno.js";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, MFD_ALLOW_SEALING } from "../../uapi/memfd.js";
import { advise, at, bytes, frameOf, map, memfd, peek, type T, touch } from "./lib/memory.js";
import { smapsKib } from "./lib/proc.js";
import { events } from "./lib/thp.js";
import {
  type Device,
  DISK,
  incore,
  pageOut,
  picture,
  RAMDISK,
  SSD,
  swapTo,
  type SwapDevice,
  swapUsed,
} from "./lib/swap.js";

const PAGES = 8;

interface Guest {
  readonly dev: SwapDevice;
  readonly fd: number;
}

/** A memfd of eight pages with their number and 100 as contents, all of it in swap. */
function setup(t: T, device: Device): Guest {
  const dev = swapTo(t, device);
  t.k.config.page_cluster = 0;
  const fd = memfd(t, PAGES, MFD_ALLOW_SEALING);
  map(t, 0, PAGES, { flags: MAP_SHARED, fd });
  for (let n = 0; n < PAGES; n++) touch(t, n, 1, 100 + n);
  pageOut(t, 0, PAGES);
  return { dev, fd };
}

const guest = FIXTURE<Guest, Device>("memfd", { setup });
FIXTURE_VARIANT(guest, "ramdisk", RAMDISK);
FIXTURE_VARIANT(guest, "ssd", SSD);
FIXTURE_VARIANT(guest, "disk", DISK);

const ramdisk = FIXTURE<Guest>("memfd", { setup: (t) => setup(t, RAMDISK) });

describe("swap: shmem", () => {
  TEST_F(ramdisk, "smaps counts what is in swap, but where a private mapping has copies of its own", (t) => {
    const { fd } = t.self;
    map(t, 16, PAGES, { flags: MAP_PRIVATE, fd });
    map(t, 32, 3, { flags: MAP_PRIVATE, fd, prot: PROT_READ, pgoff: 5 });
    expect([0, 16, 32].map((page) => smapsKib(t, "Swap", page, 8))).to.deep.equal([32, 32, 12]);
    touch(t, 18, 2);
    expect(smapsKib(t, "Swap", 0, PAGES), "read back, for a copy").to.equal(24);
    expect([peek(t, 2), peek(t, 3)]).to.deep.equal([102, 103]);
    pageOut(t, 0, PAGES);
    expect([0, 16, 32].map((page) => smapsKib(t, "Swap", page, 8))).to.deep.equal([32, 24, 12]);
    expect(
      [0, 16, 32].map((page) => smapsKib(t, "SwapPss", page, 8)),
      "none is its own",
    ).to.deep.equal([0, 0, 0]);
  });

  //  page cache  ffffffff  ──►  ssssssss      s: a slot
  //  page table  ffffffff  ──►  --------
  TEST_F(guest, "MADV_PAGEOUT leaves a hole in the page table and a slot in the file", (t) => {
    expect(picture(t, 0, PAGES)).to.equal("8-");
    expect(events(t, "pswpout")).to.deep.equal({ pswpout: PAGES });
    const row = t.smaps().find(({ start }) => start === at(0))!;
    expect([row.Swap, row.SwapPss]).to.deep.equal([32, 0]);
    expect(t.k.nodes[0]!.vm_stat[12], "nr_shmem").to.equal(0);
  });

  TEST_F(guest, "mincore() tells what the swap cache has", (t) => {
    expect(incore(t, 0, PAGES)).to.equal((t.self.dev.synchronous ? "0" : "1").repeat(PAGES));
  });

  TEST_F(guest, "a fault brings the page back into the page cache; its slot is given up", (t) => {
    expect(peek(t, 3)).to.equal(103);
    expect(picture(t, 0, PAGES)).to.equal("3- 1f 4-");
    touch(t, 3, 1, 9);
    pageOut(t, 3, 1);
    expect(peek(t, 3)).to.equal(9);
  });

  TEST_F(guest, "read() and write() of the file bring it back", (t) => {
    expect(t.sys.pread(t.self.fd, bytes(5))).to.equal(105);
    expect(t.sys.pwrite(t.self.fd, 66, bytes(6))).to.equal(1);
    expect(peek(t, 6)).to.equal(66);
    expect(incore(t, 5, 2)).to.equal("11");
  });

  TEST_F(guest, "a private mapping reads it from the file and copies it to write", (t) => {
    map(t, 16, PAGES, { flags: MAP_PRIVATE, fd: t.self.fd });
    expect(peek(t, 16 + 2)).to.equal(102);
    touch(t, 16 + 3, 1, 7);
    expect(picture(t, 16, PAGES)).to.equal("2- 1f 1a 4-");
    expect(peek(t, 3)).to.equal(103);
  });

  TEST_F(ramdisk, "MADV_WILLNEED reads into the swap cache", (t) => {
    expect(advise(t, 2, 2, MADV_WILLNEED)).to.equal(0);
    // The kernel reads one page too many: the one behind the range.
    expect(incore(t, 0, PAGES)).to.equal("00111000");
    expect(peek(t, 3)).to.equal(103);
    expect(events(t, "pswpin", "pgmajfault")).to.deep.equal({ pswpin: 3, pgmajfault: 0 });
  });

  TEST_F(guest, "ftruncate(), MADV_REMOVE and fallocate() give up slots", (t) => {
    expect(t.sys.ftruncate(t.self.fd, bytes(6))).to.equal(0);
    expect(advise(t, 0, 2, MADV_REMOVE)).to.equal(0);
    const hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    expect(t.sys.fallocate(t.self.fd, hole, bytes(2), bytes(2))).to.equal(0);
    expect([0, 1, 2, 3, 4, 5].map((n) => peek(t, n))).to.deep.equal([0, 0, 0, 0, 104, 105]);
    expect(t.sys.ftruncate(t.self.fd, bytes(PAGES))).to.equal(0);
    expect(peek(t, 7)).to.equal(0);
  });

  TEST_F(ramdisk, "a hole that covers part of a page brings it back", (t) => {
    const hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    expect(t.sys.fallocate(t.self.fd, hole, bytes(2) + 100, bytes(2))).to.equal(0);
    expect(incore(t, 0, PAGES)).to.equal("00101000");
    expect([2, 3, 4].map((n) => peek(t, n))).to.deep.equal([102, 0, 0]);
  });

  TEST_F(guest, "the last one to close the file gives up all slots", (t) => {
    expect(t.sys.munmap(at(0), bytes(PAGES))).to.equal(0);
    expect(t.sys.close(t.self.fd)).to.equal(0);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(swapUsed(t)).to.equal(0);
  });

  TEST_F(guest, "swapoff() brings everything back", (t) => {
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(incore(t, 0, PAGES)).to.equal("1".repeat(PAGES));
    expect([...Array(PAGES).keys()].map((n) => peek(t, n))).to.deep.equal([100, 101, 102, 103, 104, 105, 106, 107]);
  });

  TEST_F(ramdisk, "what cannot be read is lost: SIGBUS, EIO for read(), until the file is cut", (t) => {
    for (let offset = 1; offset < 1024; offset++) t.self.dev.bad.add(offset);
    expect(t.sys.load(at(3))).to.deep.equal({ sig: "SIGBUS", code: 2 });
    t.self.dev.bad.clear();
    expect(t.sys.load(at(3)), "although the device recovered").to.deep.equal({ sig: "SIGBUS", code: 2 });
    expect(t.sys.pread(t.self.fd, bytes(3))).to.equal(-EIO);
    expect(incore(t, 3, 1)).to.equal("0");
    expect(t.sys.ftruncate(t.self.fd, bytes(2)) || t.sys.ftruncate(t.self.fd, bytes(PAGES))).to.equal(0);
    expect(peek(t, 3)).to.equal(0);
  });

  TEST_F(guest, "two processes see one page when it is back", (t) => {
    const child = t.fork();
    touch(t, 4, 1, 77);
    t.as(child, () => {
      expect(peek(t, 4)).to.equal(77);
      expect(frameOf(t, 4, child)).to.be.above(0);
      t.sys.exit(0);
    });
  });
});
