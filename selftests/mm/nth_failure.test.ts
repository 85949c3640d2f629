// SPDX-License-Identifier: GPL-2.0-only
/**
 * Each system call with its 1st, 2nd, … page allocation failing, once and from there on, until a run meets no failure.
 *
 *   n = 1      2      3              whatever fails, the machine is whole, and the same call succeeds
 *   X          .X     ..X   …   ...  once nothing does
 */
import { expect, FIXTURE, TEST_F, type TestContext } from "../../harness/kselftest/index.js";
import type { Syscalls } from "../../harness/kselftest/kernels.js";
import { EAGAIN, EFAULT, ENOMEM, ENOSPC } from "../../uapi/errno.js";
import { MPOL_BIND, MPOL_F_ADDR, MPOL_F_NODE, MPOL_MF_MOVE } from "../../uapi/mempolicy.js";
import * as uapi from "../../uapi/mman-common.js";
import { VFIO_DMA_MAP_ARGSZ, VFIO_IOMMU_MAP_DMA } from "../../uapi/vfio.js";
import { failAllocations } from "./lib/tasks.js";
import { ANON, at, bytes, RW, type T } from "./lib/memory.js";
import { DMA_RW } from "./lib/vfio.js";

const PAGES = 6;
const LEN = bytes(PAGES);
/** Far more than any of the calls allocates: a loop that gets here does not end. */
const MOST = 400;

/** What a call may answer when an allocation fails, unless it says otherwise; any other error is wrong. */
const ALLOWED: readonly number[] = [-ENOMEM, -ENOSPC, -EFAULT];

const TWO_NODES = { memory: 32 << 20, cma: 8 << 20, nodes: 2 } as const;
const NUMBERS = Array.from({ length: PAGES }, (_none, n) => n);

type Machine = ReturnType<T["boot"]>;

interface Call {
  readonly name: string;
  readonly boot?: Parameters<T["boot"]>[0];
  /** What has been done before; its answer is given to the call. */
  setup(sys: Syscalls, m: Machine): number;
  call(sys: Syscalls, prepared: number, m: Machine): number;
  /** Its answer when nothing fails; for an address or a number that is not known beforehand, "any". */
  readonly succeeds?: number | "any";
  readonly errnos?: readonly number[];
  /** Pages that it allocates at a time: the fault's `space` counts pages. */
  readonly step?: number;
  /** Does the call answer success although what it was to bring in is not there? */
  readonly quiet?: true;
}

const fixed = uapi.MAP_FIXED;

function anon(sys: Syscalls, flags = 0): number {
  return sys.mmap(at(0), LEN, RW, ANON | fixed | flags, -1, 0);
}

function memfd(sys: Syscalls, len = LEN): number {
  const fd = sys.memfd_create("nth", 0);
  sys.ftruncate(fd, len);
  return fd;
}

function shared(sys: Syscalls, flags = 0): number {
  return sys.mmap(at(0), LEN, RW, uapi.MAP_SHARED | fixed | flags, memfd(sys), 0);
}

function touched(addr: number, sys: Syscalls): number {
  sys.madvise(addr, LEN, uapi.MADV_POPULATE_WRITE);
  return addr;
}

/** Writes to a page; the fault is retried until it succeeds, as in v6.1. */
function store(sys: Syscalls, addr: number): number {
  return "val" in sys.store(addr, 7) ? 0 : -EFAULT;
}

const populate = (behavior: number) => (sys: Syscalls, addr: number) => sys.madvise(addr, LEN, behavior);

const CALLS: readonly Call[] = [
  {
    name: "mmap anonymous MAP_POPULATE",
    setup: () => 0,
    call: (sys) => anon(sys, uapi.MAP_POPULATE),
    succeeds: at(0),
    quiet: true,
  },
  {
    name: "mmap memfd MAP_POPULATE",
    setup: (sys) => memfd(sys),
    call: (sys, fd) => sys.mmap(at(0), LEN, RW, uapi.MAP_SHARED | fixed | uapi.MAP_POPULATE, fd, 0),
    succeeds: at(0),
    quiet: true,
  },
  { name: "MADV_POPULATE_WRITE anonymous", setup: (sys) => anon(sys), call: populate(uapi.MADV_POPULATE_WRITE) },
  { name: "MADV_POPULATE_READ anonymous", setup: (sys) => anon(sys), call: populate(uapi.MADV_POPULATE_READ) },
  { name: "MADV_POPULATE_WRITE memfd", setup: (sys) => shared(sys), call: populate(uapi.MADV_POPULATE_WRITE) },
  { name: "MADV_POPULATE_READ memfd", setup: (sys) => shared(sys), call: populate(uapi.MADV_POPULATE_READ) },
  {
    name: "MADV_POPULATE_WRITE private memfd",
    setup: (sys) => sys.mmap(at(0), LEN, RW, uapi.MAP_PRIVATE | fixed, memfd(sys), 0),
    call: populate(uapi.MADV_POPULATE_WRITE),
  },
  {
    name: "MADV_POPULATE_WRITE huge",
    step: 256,
    boot: { config: { thp_enabled: "always" } },
    setup: (sys) => sys.mmap(at(512), bytes(1024), RW, ANON | fixed, -1, 0),
    call: (sys, addr) => sys.madvise(addr, bytes(1024), uapi.MADV_POPULATE_WRITE),
  },
  {
    name: "MADV_COLLAPSE",
    step: 256,
    boot: { config: { thp_enabled: "madvise" } },
    setup(sys) {
      const addr = sys.mmap(at(512), bytes(512), RW, ANON | fixed, -1, 0);
      sys.madvise(addr, bytes(512), uapi.MADV_POPULATE_WRITE);
      return addr;
    },
    call: (sys, addr) => sys.madvise(addr, bytes(512), uapi.MADV_COLLAPSE),
  },
  { name: "write fault anonymous", setup: (sys) => anon(sys), call: store },
  { name: "write fault memfd", setup: (sys) => shared(sys), call: store },
  {
    name: "write fault after fork",
    setup(sys) {
      touched(anon(sys), sys);
      sys.fork();
      return at(3);
    },
    call: store,
  },
  { name: "fork", setup: (sys) => touched(anon(sys), sys), call: (sys) => sys.fork(), succeeds: "any" },
  {
    name: "mremap",
    setup: (sys) => touched(anon(sys), sys),
    call: (sys, addr) => sys.mremap(addr, LEN, LEN, uapi.MREMAP_MAYMOVE | uapi.MREMAP_FIXED, at(1024)),
    succeeds: at(1024),
  },
  { name: "mlock", setup: (sys) => anon(sys), call: (sys, addr) => sys.mlock(addr, LEN), errnos: [-EAGAIN] },
  { name: "mlockall", setup: (sys) => anon(sys), call: (sys) => sys.mlockall(1), quiet: true },
  {
    name: "mprotect",
    setup: (sys) => touched(anon(sys), sys),
    call: (sys, addr) => sys.mprotect(addr, bytes(3), uapi.PROT_READ),
  },
  {
    name: "munmap of the middle",
    setup: (sys) => touched(anon(sys), sys),
    call: (sys, addr) => sys.munmap(addr + bytes(3), bytes(3)),
  },
  { name: "MADV_DONTNEED", setup: (sys) => touched(shared(sys), sys), call: populate(uapi.MADV_DONTNEED) },
  {
    name: "MADV_NOMOVABLE on part",
    setup: (sys) => anon(sys),
    call: (sys, addr) => sys.madvise(addr, bytes(2), uapi.MADV_DONTFORK),
  },
  {
    name: "mbind that moves",
    boot: TWO_NODES,
    setup: (sys) => touched(anon(sys), sys),
    call: (sys, addr) => sys.mbind(addr, LEN, MPOL_BIND, 2, 65, MPOL_MF_MOVE),
    quiet: true,
  },
  {
    name: "move_pages",
    boot: TWO_NODES,
    setup: (sys) => touched(shared(sys), sys),
    call: (sys) =>
      sys.move_pages(
        0,
        PAGES,
        NUMBERS.map(at),
        NUMBERS.map((n) => n & 1),
        [],
        MPOL_MF_MOVE,
      ),
  },
  {
    name: "migrate_pages",
    boot: TWO_NODES,
    setup: (sys) => touched(anon(sys), sys),
    call: (sys) => sys.migrate_pages(0, 65, 1, 2),
  },
  {
    name: "get_mempolicy of a page that is not there",
    boot: TWO_NODES,
    setup: (sys) => anon(sys),
    call: (sys, addr) => sys.get_mempolicy(null, null, 0, addr, MPOL_F_NODE | MPOL_F_ADDR),
  },
  { name: "fallocate", setup: (sys) => memfd(sys), call: (sys, fd) => sys.fallocate(fd, 0, 0, LEN) },
  { name: "pwrite", setup: (sys) => memfd(sys), call: (sys, fd) => Math.min(0, sys.pwrite(fd, 1, bytes(5))) },
  {
    name: "VFIO_IOMMU_MAP_DMA",
    setup: (sys) => {
      touched(shared(sys), sys);
      return sys.open("/dev/vfio/vfio", 2);
    },
    call: (sys, fd) =>
      sys.ioctl(fd, VFIO_IOMMU_MAP_DMA, { argsz: VFIO_DMA_MAP_ARGSZ, flags: DMA_RW, vaddr: at(0), iova: 0, size: LEN }),
  },
];

const bare = FIXTURE("nth", { boot: { memory: 16 << 20, cma: 8 << 20, cpus: 1 }, setup: () => 0 });

/** Runs the call with the nth allocation failing; false when it met no failure. */
function disturbed(t: TestContext<unknown, unknown>, call: Call, nth: number, forEver: boolean): boolean {
  const m = t.boot(call.boot);
  const prepared = call.setup(m.sys, m);
  const attr = m.k.fail_page_alloc;
  failAllocations(m.k, forEver ? { probability: 100 } : { nth });
  if (forEver) attr.space = 1 + (nth - 1) * (call.step ?? 1);
  const got = call.call(m.sys, prepared, m);
  const { injected } = attr;
  attr.probability = 0;
  for (const task of m.k.tasks.values()) task.fail_nth = 0;
  const where = forEver ? `allocations from page ${attr.space} on` : `allocation ${nth}`;
  const broken = t.kernel.checkMachine(m.k);
  expect(broken, `after ${where}`).to.deep.equal([]);
  if (got < 0) expect(call.errnos ?? ALLOWED, `errno, ${where}`).to.include(got);
  const again = got < 0 || injected > 0 ? call.call(m.sys, prepared, m) : got;
  if (got < 0 || call.quiet === true) {
    if (call.succeeds === "any") expect(again, `again, ${where}`).to.be.at.least(0);
    else expect(again, `again, ${where}`).to.equal(call.succeeds ?? 0);
  }
  expect(t.kernel.checkExit(m.k), `after exit, ${where}`).to.deep.equal([]);
  t.drop();
  return injected > 0;
}

describe("nth failure", () => {
  for (const call of CALLS) {
    for (const forEver of [false, true]) {
      // a write that cannot be served is tried again and again, in v6.1 too
      if (forEver && call.call === store) continue;
      TEST_F(bare, `${call.name}: ${forEver ? "from the nth allocation on" : "the nth allocation"} fails`, (t) => {
        let nth = 1;
        while (nth < MOST && disturbed(t, call, nth, forEver)) nth++;
        expect(nth, "runs until none fails").to.be.lessThan(MOST);
        t.observe("allocations that failed", nth - 1);
      });
    }
  }
});
