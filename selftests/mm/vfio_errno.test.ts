// SPDX-License-Identifier: GPL-2.0-only
/** What a VFIO container refuses to map for DMA, in the driver's order, and what is accounted before and after. */
import type { vfio_parameters } from "../../drivers/vfio/dma.js";
import { CAP_IPC_LOCK, RLIMIT_MEMLOCK } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EEXIST, EFAULT, EINTR, EINVAL, ENOENT, ENOMEM, ENOSPC, errnoNames } from "../../uapi/errno.js";
import { MAP_SHARED, PROT_NONE, PROT_READ } from "../../uapi/mman-common.js";
import { VFIO_DMA_MAP_FLAG_READ as READ, VFIO_DMA_MAP_FLAG_VADDR as VADDR } from "../../uapi/vfio.js";
import type { vfio_iommu_type1_dma_map } from "../../uapi/vfio.js";
import { ANON, at, bytes, map, memfd, peek, places, touch, type T } from "./lib/memory.js";
import { newThread } from "./lib/tasks.js";
import { errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { DMA_RW, dmaAvail, locked, mapDma, openContainer, unmapDma } from "./lib/vfio.js";

const TWO64 = 1n << 64n;
const MIB = 1 << 20;
const UNMAPPED = 100;

/**
 * Pages 0 … 15 are mapped, and written to; 4 … 7 of them are mapped for DMA at device address 1 MiB.
 */
const container = FIXTURE("container", {
  setup(t) {
    map(t, 0, 16);
    touch(t, 0, 16);
    const fd = openContainer(t);
    expect(mapDma(t, fd, 4, 4, { iova: MIB }), "the mapping that is there").to.equal(0);
    expect(locked(t)).to.equal(4);
    return fd;
  },
});

type Row = readonly [string, Partial<vfio_iommu_type1_dma_map>, number];

/** Asks for what a row says instead of two good pages; after a refusal everything must be as it was. */
function check(t: T & { self: unknown }, over: Row[1], expected: number): number {
  const fd = t.self as number;
  const avail = dmaAvail(t, fd);
  const ret = mapDma(t, fd, 0, 2, over);
  expect(locked(t), "locked pages").to.equal(expected === 0 ? 6 : 4);
  expect(dmaAvail(t, fd), "mappings that may still be made").to.equal(expected === 0 ? avail - 1 : avail);
  const removed = unmapDma(t, fd, { flags: 2, size: 0 });
  expect(removed, "all that is mapped").to.deep.equal({ ret: 0, size: bytes(expected === 0 ? 6 : 4) });
  expect(locked(t), "locked pages in the end").to.equal(0);
  return ret;
}

function table(rows: readonly Row[]): void {
  const calls = rows.map(([title, over, errno]): ErrnoRow => [title, (t) => check(t, over, errno), errno]);
  errnoTable("VFIO_IOMMU_MAP_DMA", container, calls);
}

describe("VFIO_IOMMU_MAP_DMA: the argument", () => {
  table([
    ["two pages that are there", {}, 0],
    ["an argument that is longer than the driver knows", { argsz: 4096 }, 0],
    ["an argument one byte short", { argsz: 31 }, EINVAL],
    ["an argument of no bytes", { argsz: 0 }, EINVAL],
    ["a flag that nobody knows", { flags: DMA_RW | 8 }, EINVAL],
    ["the highest flag", { flags: DMA_RW | (1 << 31) }, EINVAL],
    ["neither reading nor writing", { flags: 0 }, EINVAL],
    ["a new address together with reading", { flags: VADDR | READ }, EINVAL],
    ["no bytes", { size: 0 }, EINVAL],
    ["half a page", { size: 2048 }, EINVAL],
    ["a page and a byte", { size: 4097 }, EINVAL],
    ["a device address inside a page", { iova: 1 }, EINVAL],
    ["a user address inside a page", { vaddr: at(0) + 1 }, EINVAL],
    ["a device address inside a page beyond 2^63", { iova: (1n << 63n) + 1n }, EINVAL],
    ["a user address inside a page beyond 2^63", { vaddr: (1n << 63n) + 1n }, EINVAL],
    ["device addresses that wrap", { iova: TWO64 - 4096n }, EINVAL],
    ["user addresses that wrap", { vaddr: TWO64 - 4096n }, EINVAL],
    ["all bytes but one", { size: -1, vaddr: 0 }, EINVAL],
    ["all pages but one, where something is mapped", { size: -4096, vaddr: 0 }, EEXIST],
  ]);
});

describe("VFIO_IOMMU_MAP_DMA: device addresses", () => {
  table([
    ["right before a mapping", { iova: MIB - bytes(2) }, 0],
    ["right behind a mapping", { iova: MIB + bytes(4) }, 0],
    ["the same as a mapping", { iova: MIB, size: bytes(4) }, EEXIST],
    ["inside a mapping", { iova: MIB + bytes(1) }, EEXIST],
    ["around a mapping", { iova: MIB - bytes(2), size: bytes(8) }, EEXIST],
    ["over its first page", { iova: MIB - bytes(1) }, EEXIST],
    ["over its last page", { iova: MIB + bytes(3) }, EEXIST],
    ["up to the window of interrupts", { iova: 0xfee00000 - bytes(2) }, 0],
    ["into the window of interrupts", { iova: 0xfee00000 - bytes(1) }, EINVAL],
    ["in the window of interrupts", { iova: 0xfee00000 }, EINVAL],
    ["behind the window of interrupts", { iova: 0xfef00000 }, 0],
    ["the last that have 48 bits", { iova: 2 ** 48 - bytes(2) }, 0],
    ["one page beyond 48 bits", { iova: 2 ** 48 - bytes(1) }, EINVAL],
    ["beyond 48 bits", { iova: 2 ** 48 }, EINVAL],
    ["beyond 2^63", { iova: 1n << 63n }, EINVAL],
    ["up to 2^64", { iova: TWO64 - 8192n }, EINVAL],
  ]);
});

describe("VFIO_IOMMU_MAP_DMA: what is looked at first", () => {
  const there = { iova: MIB };
  table([
    ["a short argument where something is mapped", { ...there, argsz: 31 }, EINVAL],
    ["an unknown flag where something is mapped", { ...there, flags: DMA_RW | 8 }, EINVAL],
    ["no direction where something is mapped", { ...there, flags: 0 }, EINVAL],
    ["no bytes where something is mapped", { ...there, size: 0 }, EINVAL],
    ["an unaligned size where something is mapped", { ...there, size: 1 }, EINVAL],
    ["an unaligned user address where something is mapped", { ...there, vaddr: at(0) + 8 }, EINVAL],
    ["user addresses that wrap where something is mapped", { ...there, vaddr: TWO64 - 4096n }, EINVAL],
    ["bytes that are no pages over all that is mapped", { vaddr: 0, size: -1 }, EINVAL],
    ["something is mapped, and the memory is not there", { ...there, vaddr: at(UNMAPPED) }, EEXIST],
    ["something is mapped, and the range ends beyond 48 bits", { iova: 0, vaddr: 0, size: 2 ** 49 }, EEXIST],
    // start + size is 0 then, so the driver finds no overlap, and refuses the addresses
    ["something is mapped, and the range ends at 2^64", { iova: MIB, vaddr: 0, size: TWO64 - BigInt(MIB) }, EINVAL],
    ["no such device address, and the memory is not there", { iova: 2 ** 48, vaddr: at(UNMAPPED) }, EINVAL],
    ["a new address for what is not mapped", { flags: VADDR }, ENOENT],
    ["a new address for what is not mapped, beyond 48 bits", { flags: VADDR, iova: 2 ** 48 }, ENOENT],
    ["a new address that is unaligned, for what is not mapped", { flags: VADDR, vaddr: 1 }, EINVAL],
    ["a new address for what has one", { flags: VADDR, iova: MIB, size: bytes(4) }, EINVAL],
  ]);

  TEST_F(
    container,
    "no mapping may be made any more: ENOSPC behind EEXIST, ahead of the addresses and the memory",
    (t) => {
      (t.k.subsys.get("vfio_iommu_type1") as vfio_parameters).dma_entry_limit = 1;
      const full = openContainer(t);
      expect(mapDma(t, full, 0, 2)).to.equal(0);
      expect(dmaAvail(t, full)).to.equal(0);
      expect(mapDma(t, full, 0, 2), "overlap").to.equal(-EEXIST);
      expect(mapDma(t, full, 0, 2, { iova: MIB }), "elsewhere").to.equal(-ENOSPC);
      expect(mapDma(t, full, 0, 2, { iova: 2 ** 48 }), "beyond 48 bits").to.equal(-ENOSPC);
      expect(mapDma(t, full, UNMAPPED, 2, { iova: MIB }), "no memory").to.equal(-ENOSPC);
      expect(mapDma(t, full, 0, 2, { iova: MIB, size: 1 }), "unaligned").to.equal(-EINVAL);
      expect(mapDma(t, t.self, 0, 2), "another container").to.equal(0);
      expect(unmapDma(t, full, { size: bytes(2) }).ret).to.equal(0);
      expect(mapDma(t, full, 0, 2, { iova: MIB }), "once one has gone").to.equal(0);
      expect(locked(t)).to.equal(8);
    },
  );
});

/** Memory that cannot be pinned, at page 32. */
const memories: readonly [string, (t: T) => void, number, number][] = [
  ["nothing mapped", () => undefined, DMA_RW, EFAULT],
  ["PROT_NONE", (t) => map(t, 32, 2, { prot: PROT_NONE }), DMA_RW, EFAULT],
  ["read-only, for writing", (t) => map(t, 32, 2, { prot: PROT_READ }), DMA_RW, EFAULT],
  [
    "read-only, for reading",
    (t) => {
      map(t, 32, 2);
      touch(t, 32, 2);
      expect(t.sys.mprotect(at(32), bytes(2), PROT_READ)).to.equal(0);
    },
    READ,
    0,
  ],
  ["a hole behind one page", (t) => map(t, 32, 1), DMA_RW, EFAULT],
  ["one page behind a hole", (t) => map(t, 33, 1), DMA_RW, EFAULT],
  [
    "a read-only page behind a writable one",
    (t) => {
      map(t, 32, 1);
      map(t, 33, 1, { prot: PROT_READ });
    },
    DMA_RW,
    EFAULT,
  ],
  ["behind the end of a memfd", (t) => map(t, 32, 2, { flags: MAP_SHARED, fd: memfd(t, 1) }), DMA_RW, EFAULT],
  ["a memfd that nobody touched", (t) => map(t, 32, 2, { flags: MAP_SHARED, fd: memfd(t, 2) }), DMA_RW, 0],
  [
    "a read-only memfd, for writing",
    (t) => map(t, 32, 2, { flags: MAP_SHARED, fd: memfd(t, 2), prot: PROT_READ }),
    DMA_RW,
    EFAULT,
  ],
];

describe("VFIO_IOMMU_MAP_DMA: the memory", () => {
  errnoTable(
    "VFIO_IOMMU_MAP_DMA",
    container,
    memories.map(([title, make, flags, errno]): ErrnoRow => {
      return [title, (t) => (make(t), check(t, { vaddr: at(32), flags }, errno)), errno];
    }),
  );
  table([
    ["the first page of all", { vaddr: 0 }, EFAULT],
    ["the kernel's half", { vaddr: -(2 ** 46) }, EFAULT],
    ["up to 2^64", { vaddr: TWO64 - 8192n }, EFAULT],
    ["no canonical address", { vaddr: 1n << 62n }, EFAULT],
  ]);

  TEST_F(container, "a task that is being killed: EINTR", (t) => {
    t.k.current.fatal_signal = 9;
    const ret = mapDma(t, t.self, 0, 2);
    t.k.current.fatal_signal = 0;
    expect(ret).to.equal(-EINTR);
    expect(check(t, {}, 0)).to.equal(0);
  });

  TEST_F(container, "the zero page is mapped, and not accounted for", (t) => {
    map(t, 32, 4);
    for (let n = 32; n < 36; n++) peek(t, n);
    expect(mapDma(t, t.self, 32, 4, { flags: READ })).to.equal(0);
    expect(places(t, 32, 4)).to.equal("zzzz");
    expect(locked(t)).to.equal(4);
    expect(unmapDma(t, t.self, { size: bytes(4) })).to.deep.equal({ ret: 0, size: bytes(4) });
    expect(locked(t)).to.equal(4);
  });

  TEST_F(container, "a page that is mapped twice is accounted for twice", (t) => {
    expect(mapDma(t, t.self, 4, 4)).to.equal(0);
    expect(locked(t)).to.equal(8);
    expect(unmapDma(t, t.self, { size: bytes(4) }).ret).to.equal(0);
    expect(locked(t)).to.equal(4);
  });
});

/** Limit in bytes, pages to map beside the four of the fixture, and what comes of it without CAP_IPC_LOCK. */
const limits: readonly [string, number, number, number][] = [
  ["exactly as much", bytes(8), 4, 0],
  ["a page less", bytes(7), 4, ENOMEM],
  ["a byte less", bytes(8) - 1, 4, ENOMEM],
  ["a byte more", bytes(8) + 1, 4, 0],
  ["as much as is locked already", bytes(4), 1, ENOMEM],
  ["less than is locked already", bytes(2), 1, ENOMEM],
  ["nothing", 0, 1, ENOMEM],
  ["no limit", -1, 12, 0],
];

describe("VFIO_IOMMU_MAP_DMA: RLIMIT_MEMLOCK", () => {
  for (const [title, limit, pages, expected] of limits) {
    TEST_F(container, `${title}: ${errnoNames[expected] ?? "success"}`, (t) => {
      t.k.current.capabilities.delete(CAP_IPC_LOCK);
      expect(t.sys.setrlimit(RLIMIT_MEMLOCK, limit)).to.equal(0);
      expect(mapDma(t, t.self, 0, pages)).to.equal(-expected);
      expect(locked(t)).to.equal(expected === 0 ? 4 + pages : 4);
    });

    TEST_F(container, `${title}, with CAP_IPC_LOCK: success`, (t) => {
      expect(t.sys.setrlimit(RLIMIT_MEMLOCK, limit)).to.equal(0);
      expect(mapDma(t, t.self, 0, pages)).to.equal(0);
      expect(locked(t)).to.equal(4 + pages);
    });
  }

  const confined = FIXTURE("confined", {
    setup(t) {
      map(t, 0, 8);
      t.k.current.capabilities.delete(CAP_IPC_LOCK);
      expect(t.sys.setrlimit(RLIMIT_MEMLOCK, bytes(4))).to.equal(0);
      return openContainer(t);
    },
  });

  TEST_F(confined, "what mlock() locked counts", (t) => {
    expect(t.sys.mlock(at(0), bytes(2))).to.equal(0);
    expect(mapDma(t, t.self, 2, 3)).to.equal(-ENOMEM);
    expect(locked(t)).to.equal(2);
    expect(mapDma(t, t.self, 2, 2)).to.equal(0);
    expect(locked(t)).to.equal(4);
    expect(t.sys.mlock(at(6), bytes(1)), "and the other way round").to.equal(-ENOMEM);
  });

  TEST_F(confined, "a page that mlock() locked counts again", (t) => {
    expect(t.sys.mlock(at(0), bytes(3))).to.equal(0);
    expect(mapDma(t, t.self, 0, 3)).to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 0, 1)).to.equal(0);
    expect(locked(t)).to.equal(4);
  });

  TEST_F(confined, "the limit is met before the hole behind it", (t) => {
    expect(mapDma(t, t.self, 3, 6)).to.equal(-ENOMEM);
    expect(mapDma(t, t.self, 4, 5)).to.equal(-EFAULT);
    expect(locked(t)).to.equal(0);
  });

  TEST_F(confined, "zero pages are under no limit", (t) => {
    expect(mapDma(t, t.self, 0, 8, { flags: READ })).to.equal(0);
    expect(locked(t)).to.equal(0);
  });

  TEST_F(confined, "two containers share the limit, and so do threads", (t) => {
    expect(mapDma(t, t.self, 0, 3)).to.equal(0);
    const second = openContainer(t);
    t.as(newThread(t), () => {
      expect(mapDma(t, second, 3, 2)).to.equal(-ENOMEM);
      expect(mapDma(t, second, 3, 1)).to.equal(0);
    });
    expect(locked(t)).to.equal(4);
    expect(t.sys.close(second)).to.equal(0);
    expect(locked(t), "closed").to.equal(3);
  });

  TEST_F(confined, "a child maps its own memory, under its own account", (t) => {
    expect(mapDma(t, t.self, 0, 4)).to.equal(0);
    map(t, 16, 4, { flags: ANON });
    t.inChild(() => {
      expect(locked(t), "in the child").to.equal(0);
      expect(mapDma(t, t.self, 16, 4, { iova: MIB })).to.equal(0);
      expect(locked(t), "in the child").to.equal(4);
    });
    expect(locked(t)).to.equal(4);
    expect(unmapDma(t, t.self, { iova: MIB, size: bytes(4) }), "of a task that has gone").to.deep.equal({
      ret: 0,
      size: bytes(4),
    });
    expect(locked(t)).to.equal(4);
  });
});
