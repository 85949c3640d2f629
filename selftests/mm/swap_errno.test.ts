// SPDX-License-Identifier: GPL-2.0-only
/** swapon() and swapoff(): what they refuse, in the order in which they look, and what they leave behind. */
import { CAP_SYS_ADMIN } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { EBUSY, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM } from "../../uapi/errno.js";
import { advise, at, bytes, map, touch } from "./lib/memory.js";
import { drop, errnoTable } from "./lib/errnos.js";
import { DISK, pageOut, picture, RAMDISK, swapTo, swapUsed } from "./lib/swap.js";
import { MADV_PAGEOUT } from "../../uapi/mman-common.js";

const PREFER = 0x8000;
const DEV = "/dev/sdb";

const disk = FIXTURE("disk", {
  setup(t) {
    t.kernel.add_swap_device(t.k, DEV, DISK);
    t.kernel.add_swap_device(t.k, "/dev/sdc", { ...DISK, formatted: false });
    t.kernel.add_swap_device(t.k, "/dev/header", { pages: 1 });
    return undefined;
  },
});

describe("swap: swapon() errnos", () => {
  errnoTable("swapon", disk, [
    ["an unknown flag, without CAP_SYS_ADMIN", (t) => (drop(t, CAP_SYS_ADMIN), t.sys.swapon(DEV, 0x80000)), EINVAL],
    ["without CAP_SYS_ADMIN, no such path", (t) => (drop(t, CAP_SYS_ADMIN), t.sys.swapon("/none", 0)), EPERM],
    ["a bad address", (t) => t.sys.swapon(null, 0), EFAULT],
    ["an empty path", (t) => t.sys.swapon("", 0), ENOENT],
    ["no such path", (t) => t.sys.swapon("/none", PREFER | 7), ENOENT],
    ["a character device", (t) => t.sys.swapon("/dev/vfio/vfio", 0), EINVAL],
    ["a disk without a swap header", (t) => t.sys.swapon("/dev/sdc", 0), EINVAL],
    ["a header and nothing behind it", (t) => t.sys.swapon("/dev/header", 0), EINVAL],
    ["swapped to already", (t) => t.sys.swapon(DEV, 0) || t.sys.swapon(DEV, PREFER), EBUSY],
    ["a priority", (t) => t.sys.swapon(DEV, PREFER | 0x7fff), 0],
    ["discard, which the device cannot", (t) => t.sys.swapon(DEV, 0x70000), 0],
  ]);
});

describe("swap: swapoff() errnos", () => {
  errnoTable("swapoff", disk, [
    ["without CAP_SYS_ADMIN, no such path", (t) => (drop(t, CAP_SYS_ADMIN), t.sys.swapoff("/none")), EPERM],
    ["a bad address", (t) => t.sys.swapoff(null), EFAULT],
    ["no such path", (t) => t.sys.swapoff("/none"), ENOENT],
    ["not swapped to", (t) => t.sys.swapoff(DEV), EINVAL],
    ["a character device", (t) => t.sys.swapoff("/dev/vfio/vfio"), EINVAL],
    ["swapped to", (t) => t.sys.swapon(DEV, 0) || t.sys.swapoff(DEV), 0],
    ["swapped off before", (t) => t.sys.swapon(DEV, 0) || t.sys.swapoff(DEV) || t.sys.swapoff(DEV), EINVAL],
  ]);

  TEST("ENOMEM: more is promised than there would be without it", (t) => {
    swapTo(t, DISK, DEV);
    t.k.config.overcommit_memory = 2;
    map(t, 0, Math.floor(t.k.totalram_pages / 2) + 100);
    expect(t.sys.swapoff(DEV)).to.equal(-ENOMEM);
    expect(t.kernel.meminfo(t.k).SwapTotal, "it is swapped to as before").to.equal(4092);
    expect(t.sys.munmap(at(0), bytes(200))).to.equal(0);
    expect(t.sys.swapoff(DEV)).to.equal(0);
  });
});

describe("swap: areas", () => {
  TEST("an area counts in SwapTotal and CommitLimit, and no longer when it is gone", (t) => {
    const before = t.kernel.meminfo(t.k);
    swapTo(t, RAMDISK);
    const during = t.kernel.meminfo(t.k);
    expect([during.SwapTotal, during.SwapFree, during.CommitLimit - before.CommitLimit]).to.deep.equal([
      4092, 4092, 4092,
    ]);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    expect(t.kernel.meminfo(t.k)).to.deep.equal(before);
  });

  TEST("promises may reach beyond memory by what swap has room for", (t) => {
    const pages = t.k.totalram_pages + 100;
    const mmap = () => t.sys.mmap(0, pages * 4096, 3, 0x22, -1, 0);
    expect(mmap()).to.equal(-ENOMEM);
    swapTo(t, RAMDISK);
    expect(mmap()).to.be.above(0);
  });

  //  priority 5:  [ a ]      is filled first,
  //  priority -2: [   b   ]  then areas without one in the order in which they came
  TEST("the area of the highest priority is filled first", (t) => {
    const low = swapTo(t, { ...RAMDISK, pages: 64 }, "/dev/ram0");
    const high = swapTo(t, { ...RAMDISK, pages: 9 }, "/dev/ram1", PREFER | 5);
    map(t, 0, 12);
    touch(t, 0, 12, 7);
    pageOut(t, 0, 12);
    expect(picture(t, 0, 12)).to.equal("12w");
    const written = (data: Uint8Array | null): number => [...(data ?? [])].filter((byte) => byte === 7).length;
    expect([written(high.data), written(low.data)]).to.deep.equal([8, 4]);
  });

  TEST("areas of one priority take turns", (t) => {
    const areas = ["/dev/ram0", "/dev/ram1"].map((path) => swapTo(t, { ...RAMDISK, pages: 64 }, path, PREFER | 5));
    map(t, 0, 12);
    touch(t, 0, 12, 7);
    pageOut(t, 0, 12);
    expect(areas.map(({ data }) => [...(data ?? [])].filter((byte) => byte === 7).length)).to.deep.equal([6, 6]);
  });

  TEST("when swap is full, pages stay in memory", (t) => {
    swapTo(t, { ...RAMDISK, pages: 9 });
    map(t, 0, 12);
    touch(t, 0, 12);
    pageOut(t, 0, 12);
    expect([...picture(t, 0, 12).matchAll(/(\d+)w/g)].reduce((n, m) => n + Number(m[1]), 0)).to.equal(8);
    expect(swapUsed(t)).to.equal(8);
  });

  TEST_F(disk, "without swap MADV_PAGEOUT leaves anonymous pages where they are", (t) => {
    map(t, 0, 4);
    touch(t, 0, 4);
    expect(advise(t, 0, 4, MADV_PAGEOUT)).to.equal(0);
    expect(picture(t, 0, 4)).to.equal("4a");
  });
});
