// SPDX-License-Identifier: GPL-2.0-only
/** Unmapping DMA, moving user addresses (FLAG_VADDR) and the other calls of a VFIO container: errnos and accounting. */
import { CAP_IPC_LOCK, RLIMIT_MEMLOCK } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EACCES, EBADF, EFAULT, EINVAL, ENODEV, ENOMEM, ENOTTY } from "../../uapi/errno.js";
import * as uapi from "../../uapi/vfio.js";
import { errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { at, bytes, map, memfd, places, touch, type T } from "./lib/memory.js";
import { dmaAvail, locked, mapDma, openContainer, unmapDma } from "./lib/vfio.js";

const { VFIO_DMA_UNMAP_FLAG_ALL: ALL, VFIO_DMA_UNMAP_FLAG_VADDR: VADDR } = uapi;
const { VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: BITMAP, VFIO_DMA_MAP_FLAG_VADDR: NEW_VADDR } = uapi;
const TWO64 = 1n << 64n;

/**
 * Device addresses, in pages, and the pages of the window behind them:
 *   0 1 2 3 4 5 6 7 8 9 a b
 *       2 3 4 5 . . 8 9
 */
function mapTwo(t: T, fd: number): number {
  map(t, 0, 16);
  touch(t, 0, 16);
  expect(mapDma(t, fd, 2, 4, { iova: bytes(2) })).to.equal(0);
  expect(mapDma(t, fd, 8, 2, { iova: bytes(8) })).to.equal(0);
  expect(locked(t)).to.equal(6);
  return fd;
}

const two = FIXTURE("two_mappings", { setup: (t) => mapTwo(t, openContainer(t)) });

const version1 = FIXTURE("version_1", {
  setup(t) {
    const fd = openContainer(t);
    expect(t.sys.ioctl(fd, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1_IOMMU)).to.equal(0);
    return mapTwo(t, fd);
  },
});

/** Argument, errno, pages that it says were unmapped. */
type Row = readonly [string, Partial<uapi.vfio_iommu_type1_dma_unmap>, number, number];

function check(t: T, [, over, expected, pages]: Row): number {
  const fd = t.self as number;
  const asked = over.size ?? bytes(1);
  const avail = dmaAvail(t, fd);
  const gone = pages === 6 ? 2 : pages > 0 ? 1 : 0;
  const got = unmapDma(t, fd, over);
  expect(got.size).to.equal(expected === 0 ? bytes(pages) : asked);
  expect(locked(t), "locked pages").to.equal(6 - pages);
  expect(dmaAvail(t, fd), "mappings that may still be made").to.equal(avail + gone);
  expect(unmapDma(t, fd, { flags: ALL, size: 0 }), "the rest").to.deep.equal({ ret: 0, size: bytes(6 - pages) });
  expect(locked(t), "locked pages in the end").to.equal(0);
  return got.ret;
}

function table(fixture: typeof two, rows: readonly Row[]): void {
  const calls = rows.map((row): ErrnoRow => [row[0], (t) => check(t, row), row[2]]);
  errnoTable("VFIO_IOMMU_UNMAP_DMA", fixture, calls);
}

/** Device addresses in pages. */
function span(from: number, to: number): { iova: number; size: number } {
  return { iova: bytes(from), size: bytes(to - from) };
}

const refusals: readonly Row[] = [
  ["an argument one byte short", { argsz: 23, ...span(2, 6) }, EINVAL, 0],
  ["a flag that nobody knows", { flags: 8, ...span(2, 6) }, EINVAL, 0],
  ["a bitmap of dirty pages, which are not tracked", { argsz: 48, flags: BITMAP, ...span(2, 6) }, EINVAL, 0],
  ["a bitmap, and no room for it", { flags: BITMAP, ...span(2, 6) }, EINVAL, 0],
  ["a bitmap of all", { argsz: 48, flags: BITMAP | ALL, size: 0 }, EINVAL, 0],
  ["a bitmap together with user addresses", { argsz: 48, flags: BITMAP | VADDR, ...span(2, 6) }, EINVAL, 0],
  ["no bytes", { iova: bytes(2), size: 0 }, EINVAL, 0],
  ["half a page", { iova: bytes(2), size: 2048 }, EINVAL, 0],
  ["a device address inside a page", { iova: bytes(2) + 1, size: bytes(4) }, EINVAL, 0],
  ["a device address inside a page beyond 2^63", { iova: (1n << 63n) + 1n }, EINVAL, 0],
  ["device addresses that wrap", { iova: TWO64 - 4096n, size: 8192 }, EINVAL, 0],
  ["all, from a page on", { flags: ALL, iova: bytes(2), size: 0 }, EINVAL, 0],
  ["all, with a size", { flags: ALL, ...span(0, 12) }, EINVAL, 0],
  ["all, with an unaligned address", { flags: ALL, iova: 1, size: 0 }, EINVAL, 0],
];

const wholes: readonly Row[] = [
  ["exactly the first mapping", span(2, 6), 0, 4],
  ["exactly the second mapping", span(8, 10), 0, 2],
  ["more than the first mapping", span(1, 7), 0, 4],
  ["from the first mapping to the second", span(2, 10), 0, 6],
  ["around both", span(0, 12), 0, 6],
  ["both, up to 48 bits", { iova: 0, size: 2 ** 48 }, 0, 6],
  ["all but the last page of 2^64", { iova: 0, size: -4096 }, 0, 6],
  ["all", { flags: ALL, size: 0 }, 0, 6],
  ["an argument that is longer than the driver knows", { argsz: 100, ...span(2, 6) }, 0, 4],
  ["the hole", span(6, 8), 0, 0],
  ["below the first mapping", span(0, 2), 0, 0],
  ["behind the last mapping", span(10, 12), 0, 0],
  ["beyond 48 bits", { iova: 2 ** 48 }, 0, 0],
  // the end of the range is 0 then, so the driver finds nothing in it
  ["up to 2^64", { iova: bytes(1), size: TWO64 - 4096n }, 0, 0],
];

const parts: readonly (readonly [string, { iova: number; size: number }])[] = [
  ["the first page of a mapping", span(2, 3)],
  ["a page in the middle of a mapping", span(3, 4)],
  ["the last page of a mapping", span(5, 6)],
  ["the first mapping but for its last page", span(0, 5)],
  ["the first mapping but for its first page", span(3, 8)],
  ["the first mapping and half of the second", span(2, 9)],
  ["half of the first mapping and the second", span(4, 10)],
];

describe("VFIO_IOMMU_UNMAP_DMA", () => {
  table(two, [...refusals, ...wholes, ...parts.map(([title, o]): Row => [title, o, EINVAL, 0])]);

  TEST_F(two, "what has been unmapped is there no more", (t) => {
    expect(unmapDma(t, t.self, span(2, 6))).to.deep.equal({ ret: 0, size: bytes(4) });
    expect(unmapDma(t, t.self, span(2, 6))).to.deep.equal({ ret: 0, size: 0 });
    expect(mapDma(t, t.self, 0, 4, { iova: bytes(2) })).to.equal(0);
    expect(locked(t)).to.equal(6);
  });

  TEST_F(two, "a mapping whose memory has gone from the address space", (t) => {
    expect(t.sys.munmap(at(2), bytes(4))).to.equal(0);
    expect(locked(t), "still pinned").to.equal(6);
    expect(unmapDma(t, t.self, span(2, 6))).to.deep.equal({ ret: 0, size: bytes(4) });
    expect(locked(t)).to.equal(2);
    expect(places(t, 2, 4)).to.equal("----");
  });

  TEST_F(two, "closing the container unmaps everything", (t) => {
    expect(t.sys.close(t.self)).to.equal(0);
    expect(locked(t)).to.equal(0);
  });
});

describe("VFIO_IOMMU_UNMAP_DMA, version 1: a mapping goes as a whole, from its first page", () => {
  table(version1, [
    ...refusals.filter(([, o]) => o.argsz !== 48),
    ["exactly the first mapping", span(2, 6), 0, 4],
    ["the first page of a mapping", span(2, 3), 0, 4],
    ["a page in the middle of a mapping", span(3, 4), 0, 0],
    ["half of the first mapping and the second", span(4, 10), 0, 0],
    ["the first mapping and half of the second", span(2, 9), 0, 6],
    ["the hole", span(6, 8), 0, 0],
    ["all", { flags: ALL, size: 0 }, 0, 6],
  ]);
});

describe("VFIO_DMA_UNMAP_FLAG_VADDR and VFIO_DMA_MAP_FLAG_VADDR", () => {
  const first = { flags: NEW_VADDR, iova: bytes(2) };

  TEST_F(two, "an address is taken and given; the pages stay pinned and accounted for", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(2, 6) })).to.deep.equal({ ret: 0, size: bytes(4) });
    expect(locked(t)).to.equal(6);
    expect(mapDma(t, t.self, 12, 4, first)).to.equal(0);
    expect(mapDma(t, t.self, 12, 4, first), "it has one now").to.equal(-EINVAL);
    expect(locked(t)).to.equal(6);
  });

  TEST_F(two, "all at once, holes and all", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR | ALL, size: 0 })).to.deep.equal({ ret: 0, size: bytes(6) });
    expect(mapDma(t, t.self, 2, 4, first)).to.equal(0);
    expect(mapDma(t, t.self, 8, 2, { flags: NEW_VADDR, iova: bytes(8) })).to.equal(0);
  });

  TEST_F(two, "twice: EINVAL, and the addresses taken on the way are given back", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(8, 10) }).ret).to.equal(0);
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(0, 12) })).to.deep.equal({ ret: -EINVAL, size: bytes(12) });
    expect(mapDma(t, t.self, 2, 4, first), "the first has kept its own").to.equal(-EINVAL);
    expect(mapDma(t, t.self, 8, 2, { flags: NEW_VADDR, iova: bytes(8) }), "the second").to.equal(0);
  });

  const wrong: readonly [string, Partial<uapi.vfio_iommu_type1_dma_map>][] = [
    ["only its first page", { size: bytes(1) }],
    ["more than it", { size: bytes(6) }],
    ["from its second page on", { iova: bytes(3), size: bytes(3) }],
    ["reading allowed as well", { flags: NEW_VADDR | uapi.VFIO_DMA_MAP_FLAG_READ }],
    ["an address inside a page", { vaddr: at(2) + 1 }],
    ["an address that wraps", { vaddr: TWO64 - 4096n }],
  ];
  for (const [title, over] of wrong) {
    TEST_F(two, `an address for ${title}: EINVAL`, (t) => {
      expect(unmapDma(t, t.self, { flags: VADDR, ...span(2, 6) }).ret).to.equal(0);
      expect(mapDma(t, t.self, 2, 4, { ...first, ...over })).to.equal(-EINVAL);
      expect(mapDma(t, t.self, 2, 4, first), "the right one").to.equal(0);
    });
  }

  TEST_F(two, "part of a mapping: EINVAL; nothing mapped: 0 bytes", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(2, 3) }).ret).to.equal(-EINVAL);
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(6, 8) })).to.deep.equal({ ret: 0, size: 0 });
  });

  TEST_F(two, "a mapping without an address can be unmapped", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(2, 6) }).ret).to.equal(0);
    expect(unmapDma(t, t.self, span(2, 6))).to.deep.equal({ ret: 0, size: bytes(4) });
    expect(locked(t)).to.equal(2);
  });

  TEST_F(two, "another process gives the address: it is charged, and the first no longer", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(2, 6) }).ret).to.equal(0);
    t.inChild(() => {
      expect(mapDma(t, t.self, 2, 4, first)).to.equal(0);
      expect(locked(t), "in the child").to.equal(4);
    });
    expect(locked(t)).to.equal(2);
  });

  TEST_F(two, "another process gives the address beyond its limit: ENOMEM, and nothing has changed", (t) => {
    expect(unmapDma(t, t.self, { flags: VADDR, ...span(2, 6) }).ret).to.equal(0);
    t.inChild((child) => {
      child.capabilities.delete(CAP_IPC_LOCK);
      expect(t.sys.setrlimit(RLIMIT_MEMLOCK, bytes(3))).to.equal(0);
      expect(mapDma(t, t.self, 2, 4, first)).to.equal(-ENOMEM);
      expect(locked(t), "in the child").to.equal(0);
    });
    expect(locked(t)).to.equal(6);
    expect(mapDma(t, t.self, 2, 4, first), "by the first").to.equal(0);
  });
});

type Command = Extract<keyof typeof uapi, `VFIO_${string}`>;

/** Argument, errno. */
function refused(command: Command, fixture: typeof two, rows: readonly (readonly [string, unknown, number])[]): void {
  const calls = rows.map(([title, arg, errno]): ErrnoRow => {
    return [title, (t) => t.sys.ioctl(t.self as number, uapi[command], arg), errno];
  });
  errnoTable(command, fixture, calls);
}

describe("VFIO: the other calls", () => {
  const extensions: readonly [string, number, number][] = [
    ["type 1", uapi.VFIO_TYPE1_IOMMU, 1],
    ["type 1 version 2", uapi.VFIO_TYPE1v2_IOMMU, 1],
    ["nesting", uapi.VFIO_TYPE1_NESTING_IOMMU, 1],
    ["unmapping all", uapi.VFIO_UNMAP_ALL, 1],
    ["new addresses", uapi.VFIO_UPDATE_VADDR, 1],
    ["what nobody knows", 99, 0],
  ];
  for (const [title, extension, expected] of extensions) {
    TEST_F(two, `VFIO_CHECK_EXTENSION of ${title}: ${String(expected)}`, (t) => {
      expect(t.sys.ioctl(t.self, uapi.VFIO_CHECK_EXTENSION, extension)).to.equal(expected);
    });
  }
  TEST_F(two, "VFIO_GET_API_VERSION: 0", (t) => {
    expect(t.sys.ioctl(t.self, uapi.VFIO_GET_API_VERSION, 0)).to.equal(0);
  });

  refused("VFIO_IOMMU_MAP_DMA", two, [["a bad pointer", 0, EFAULT]]);
  refused("VFIO_IOMMU_UNMAP_DMA", two, [["a bad pointer", null, EFAULT]]);
  refused("VFIO_IOMMU_GET_INFO", two, [
    ["a bad pointer", 0, EFAULT],
    ["too short", { argsz: 15 }, EINVAL],
    ["just long enough", { argsz: 16 }, 0],
  ]);
  refused("VFIO_IOMMU_DIRTY_PAGES", two, [
    ["a bad pointer", 0, EFAULT],
    ["too short, before an unknown flag", { argsz: 7, flags: 8 }, EINVAL],
    ["an unknown flag", { argsz: 8, flags: 8 }, EINVAL],
    ["start and stop", { argsz: 8, flags: 3 }, EINVAL],
    ["stop", { argsz: 8, flags: 2 }, 0],
    ["a bitmap", { argsz: 48, flags: 4 }, EINVAL],
  ]);
  refused("VFIO_IOMMU_DIRTY_PAGES", version1, [["version 1, before a bad pointer", 0, EACCES]]);
  errnoTable("ioctl", two, [
    ["an unknown call, before a bad pointer", (t) => t.sys.ioctl(t.self as number, 0x3b7f, 0), ENOTTY],
    ["a descriptor that is none", (t) => t.sys.ioctl(77, uapi.VFIO_GET_API_VERSION, 0), EBADF],
    ["no container", (t) => t.sys.ioctl(memfd(t, 1), uapi.VFIO_GET_API_VERSION, 0), ENOTTY],
  ]);

  const types: readonly [string, number, number][] = [
    ["type 1", uapi.VFIO_TYPE1_IOMMU, 0],
    ["type 1 version 2", uapi.VFIO_TYPE1v2_IOMMU, 0],
    ["nesting", uapi.VFIO_TYPE1_NESTING_IOMMU, 0],
    ["an extension that is no type", uapi.VFIO_UNMAP_ALL, EINVAL],
    ["an extension that wants a type first", uapi.VFIO_UPDATE_VADDR, ENODEV],
    ["what nobody knows", 99, ENODEV],
  ];
  const chosen = types.map(([title, type, errno]): ErrnoRow => {
    const choose = (t: T): number => {
      const fd = openContainer(t);
      const ret = t.sys.ioctl(fd, uapi.VFIO_SET_IOMMU, type);
      const again = t.sys.ioctl(fd, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
      expect(again, "again").to.equal(errno === 0 ? -EINVAL : 0);
      return ret;
    };
    return [title, choose, errno];
  });
  errnoTable("VFIO_SET_IOMMU", two, chosen);
  refused("VFIO_SET_IOMMU", two, [["something is mapped", uapi.VFIO_TYPE1v2_IOMMU, EINVAL]]);
});
