// SPDX-License-Identifier: GPL-2.0-only
/**
 * Faults that drop mmap_lock on their way. While it is free another thread may unmap the memory, advise it or change its
 * protection; what the faulting thread finds afterwards must be what it would have found had it come later.
 */
import { PF_MEMALLOC_PIN } from "../../include/linux/sched.js";
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_NOMOVABLE, MADV_POPULATE_WRITE, MAP_PRIVATE, MAP_SHARED } from "../../uapi/mman-common.js";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../../uapi/memfd.js";
import { ENOMEM } from "../../uapi/errno.js";
import { advise, at, bytes, CMA_BOOT, landing, map, mapMemfd, peek, RW, type T, touch } from "./lib/memory.js";
import { DISK, pageOut, squeeze, swapTo } from "./lib/swap.js";
import { atYield, newThread, openFile } from "./lib/tasks.js";

const FREED = {
  reason: "a thread that unmaps advised memory while another faults on it makes the kernel read freed memory (D3)",
  error: /KernelBug: use after free: vm_area_struct/,
};
const FREED_UNADVISED = {
  reason:
    "a thread that unmaps memory while another faults on it makes the kernel read freed memory, in programs that never heard of the advice as well (D3)",
  error: /KernelBug: use after free: vm_area_struct/,
};
const UNINITIALISED = {
  reason:
    "advice given while another thread faults on the memory makes the kernel restore PF_MEMALLOC_PIN from an uninitialised variable (D3)",
  error: /KernelBug: .*uninitialised/,
};
const LEAKED = {
  reason:
    "a thread whose fault on advised memory meets a concurrent mprotect() never gets movable memory again: PF_MEMALLOC_PIN stays set (D3)",
  error: /InvariantError|AssertionError/,
};

/** How a fault comes to drop mmap_lock: at which yield point, in memory of which kind. */
interface Drop {
  readonly point: string;
  readonly boot?: Parameters<T["boot"]>[0];
  readonly prepare: (t: T) => void;
  readonly fault: (t: T) => unknown;
}

const mapFile = (t: T, flags: number): void => map(t, 0, 4, { flags, fd: openFile(t, 4) });

/** Little memory, since to have pages in swap it must be full. */
const SMALL = { memory: 4 << 20, cma: 2 << 20 };

const drops: Readonly<Record<string, Drop>> = {
  private_file_read: {
    point: "filemap_fault",
    prepare: (t) => mapFile(t, MAP_PRIVATE),
    fault: (t) => t.sys.load(at(1)),
  },
  private_file_write: {
    point: "filemap_fault",
    prepare: (t) => mapFile(t, MAP_PRIVATE),
    fault: (t) => t.sys.store(at(1), 7),
  },
  shared_file_write: {
    point: "filemap_fault",
    prepare: (t) => mapFile(t, MAP_SHARED),
    fault: (t) => t.sys.store(at(1), 7),
  },
  shared_file_dirtied: {
    point: "balance_dirty_pages",
    prepare: (t) => {
      mapFile(t, MAP_SHARED);
      peek(t, 1);
    },
    fault: (t) => t.sys.store(at(1), 7),
  },
  swapped_read: {
    point: "folio_lock_or_retry",
    boot: SMALL,
    prepare: (t) => swapOut(t),
    fault: (t) => t.sys.load(at(1)),
  },
  swapped_write: {
    point: "folio_lock_or_retry",
    boot: SMALL,
    prepare: (t) => swapOut(t),
    fault: (t) => t.sys.store(at(1), 7),
  },
};

/** Pages that are in swap on a disk, which takes its time. */
const swapOut = (t: T): void => {
  swapTo(t, DISK);
  map(t, 0, 4);
  touch(t, 0, 4);
  pageOut(t, 0, 4);
  squeeze(t, 0, 4);
};

const dropping = FIXTURE<undefined, Drop>("fault", {
  boot: CMA_BOOT,
  setup(t, drop) {
    drop.prepare(t);
    return undefined;
  },
});
for (const [name, drop] of Object.entries(drops)) FIXTURE_VARIANT(dropping, name, drop, { boot: drop.boot ?? {} });

describe("faults that drop mmap_lock", () => {
  TEST_F(dropping, "undisturbed: the access succeeds", (t) => {
    advise(t, 0, 4, MADV_NOMOVABLE);
    const met = atYield(t, t.param.point, () => undefined);
    expect(t.param.fault(t)).to.have.property("val");
    expect(met.count, "mmap_lock was dropped").to.equal(1);
  });

  TEST_F(dropping, "memory unmapped meanwhile: SIGSEGV", { differs: { patch: FREED } }, (t) => {
    advise(t, 0, 4, MADV_NOMOVABLE);
    const other = newThread(t);
    atYield(t, t.param.point, () => t.as(other, () => t.sys.munmap(at(0), bytes(4))));
    expect(t.param.fault(t)).to.deep.equal({ sig: "SIGSEGV", code: 1 });
  });

  TEST_F(
    dropping,
    "memory without the advice unmapped meanwhile: SIGSEGV",
    { differs: { patch: FREED_UNADVISED } },
    (t) => {
      const other = newThread(t);
      atYield(t, t.param.point, () => t.as(other, () => t.sys.munmap(at(0), bytes(4))));
      expect(t.param.fault(t)).to.deep.equal({ sig: "SIGSEGV", code: 1 });
    },
  );

  TEST_F(dropping, "memory mapped over meanwhile: the new memory is used", { differs: { patch: FREED } }, (t) => {
    advise(t, 0, 4, MADV_NOMOVABLE);
    const other = newThread(t);
    atYield(t, t.param.point, () => t.as(other, () => map(t, 0, 4)));
    expect(t.param.fault(t)).to.have.property("val");
    expect(t.smaps().find((row) => row.start === at(0))?.name).to.equal("");
  });

  TEST_F(dropping, "advice given meanwhile: the access succeeds", { differs: { patch: UNINITIALISED } }, (t) => {
    const other = newThread(t);
    atYield(t, t.param.point, () => t.as(other, () => advise(t, 0, 4, MADV_NOMOVABLE)));
    expect(t.param.fault(t)).to.have.property("val");
    expect(t.k.current.flags & PF_MEMALLOC_PIN).to.equal(0);
  });

  // mprotect takes the advice away (D2), so the flag that was saved is not restored
  TEST_F(dropping, "mprotect meanwhile: later memory of the thread is movable", { differs: { patch: LEAKED } }, (t) => {
    advise(t, 0, 4, MADV_NOMOVABLE);
    const other = newThread(t);
    atYield(t, t.param.point, () => {
      t.as(other, () => {
        t.sys.mprotect(at(0), bytes(4), 0);
        t.sys.mprotect(at(0), bytes(4), RW);
      });
    });
    expect(t.param.fault(t)).to.have.property("val");
    map(t, 16, 4);
    expect(landing(t, 16, 4)).to.equal("CCCC");
  });
});

const guest = FIXTURE("guest_memfd", {
  boot: CMA_BOOT,
  setup(t) {
    const fd = mapMemfd(t, 0, 8);
    touch(t, 0, 8);
    return fd;
  },
});

/** Balloons the guest's pages out while another thread of it touches them, and does something as that one waits. */
function faultInHole(t: T, fd: number, meanwhile: () => void): unknown {
  const vcpu = newThread(t);
  let got: unknown;
  atYield(t, "shmem_fallocate", () => {
    atYield(t, "shmem_fault", meanwhile);
    got = t.as(vcpu, () => t.sys.store(at(2), 7));
  });
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  expect(t.sys.fallocate(fd, mode, 0, bytes(8)), "fallocate").to.equal(0);
  return got;
}

describe("faults on a memfd while a hole is punched into it", () => {
  TEST_F(guest, "memory unmapped meanwhile: SIGSEGV", { differs: { patch: FREED } }, (t) => {
    advise(t, 0, 8, MADV_NOMOVABLE);
    const manager = newThread(t);
    const got = faultInHole(t, t.self, () => t.as(manager, () => t.sys.munmap(at(0), bytes(8))));
    expect(got).to.deep.equal({ sig: "SIGSEGV", code: 1 });
  });

  TEST_F(
    guest,
    "memory without the advice unmapped meanwhile: SIGSEGV",
    { differs: { patch: FREED_UNADVISED } },
    (t) => {
      const manager = newThread(t);
      const got = faultInHole(t, t.self, () => t.as(manager, () => t.sys.munmap(at(0), bytes(8))));
      expect(got).to.deep.equal({ sig: "SIGSEGV", code: 1 });
    },
  );
});

const file = FIXTURE("file", { boot: CMA_BOOT });

describe("populating a file mapping that is unmapped meanwhile", () => {
  TEST_F(file, "MADV_POPULATE_WRITE: ENOMEM", { differs: { patch: FREED } }, (t) => {
    mapFile(t, MAP_PRIVATE);
    advise(t, 0, 4, MADV_NOMOVABLE);
    const other = newThread(t);
    atYield(t, "filemap_fault", () => t.as(other, () => t.sys.munmap(at(0), bytes(4))));
    expect(advise(t, 0, 4, MADV_POPULATE_WRITE)).to.be.oneOf([-ENOMEM, -14]);
  });
});
