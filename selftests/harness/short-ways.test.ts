// SPDX-License-Identifier: GPL-2.0-only
/**
 * Short ways (include/short_ways.ts): random programs come to the same with and without them, and each names the files
 * whose functions it passes by, so that no patch of these is passed by.
 */
import { readFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { SourceMap, type SourceMapPayload } from "node:module";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import fc from "fast-check";
import { bundleOf } from "../../harness/variants/build.js";
import { type KernelModule, loadVariant, type LoadedVariant } from "../../harness/variants/load.js";
import type { Syscalls } from "../../harness/kselftest/index.js";
import type { Machine } from "../../include/machine.js";
import { PASSED_BY, type ShortWay } from "../../include/short_ways.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { PIN_LONGTERM_BENCHMARK } from "../../uapi/gup_test.js";
import { MPOL_MF_MOVE } from "../../uapi/mempolicy.js";
import * as mman from "../../uapi/mman-common.js";
import {
  VFIO_DMA_MAP_ARGSZ,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_ARGSZ,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  type vfio_iommu_type1_dma_map,
} from "../../uapi/vfio.js";
import { differences } from "../mm/lib/both_ways.js";

const RW = mman.PROT_READ | mman.PROT_WRITE;
const PRIVATE = mman.MAP_FIXED | mman.MAP_PRIVATE;
const SHARED = mman.MAP_FIXED | mman.MAP_SHARED;
const ANON = PRIVATE | mman.MAP_ANONYMOUS;
const WINDOW = 0x10000000;
/** Descriptors: the memfd's is 0. */
const CONTAINER = 1;
const GUP_TEST = 2;
/** A table and a half of pages. */
const USED = 768;

type Call = (sys: Syscalls, k: Machine, kernel: KernelModule) => unknown;

/** A range of the window, mostly of many pages. */
const range = fc
  .tuple(fc.nat(USED - 1), fc.oneof(fc.integer({ min: 1, max: USED }), fc.integer({ min: 1, max: 20 })))
  .map(([page, pages]) => [WINDOW + page * PAGE_SIZE, Math.min(pages, USED - page) * PAGE_SIZE] as const);

const advice = fc.constantFrom(
  ...[mman.MADV_DONTNEED, mman.MADV_REMOVE, mman.MADV_FREE, mman.MADV_COLD, mman.MADV_PAGEOUT],
  ...[mman.MADV_DONTFORK, mman.MADV_HUGEPAGE, mman.MADV_POPULATE_READ, mman.MADV_COLLAPSE],
);

/** Flags, file, offset in pages. */
const mapping = fc.oneof(
  fc.tuple(fc.constantFrom(ANON, ANON | mman.MAP_LOCKED), fc.constant(-1), fc.constant(0)),
  fc.tuple(fc.constantFrom(SHARED, SHARED, SHARED | mman.MAP_LOCKED, PRIVATE), fc.constant(0), fc.nat(64)),
);

function made<T>(
  from: fc.Arbitrary<T>,
  call: (value: T, sys: Syscalls, k: Machine, kernel: KernelModule) => unknown,
): fc.Arbitrary<Call> {
  const text = String(call).replace(/\s+/g, " ");
  return from.map((value) => {
    const run: Call = (sys, k, kernel) => call(value, sys, k, kernel);
    return Object.assign(run, { [fc.toStringMethod]: () => `${text} of ${JSON.stringify(value)}` });
  });
}

const dmaMap = (vaddr: number, size: number): vfio_iommu_type1_dma_map => {
  const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  return { argsz: VFIO_DMA_MAP_ARGSZ, flags, vaddr, iova: vaddr - WINDOW, size };
};

const calls = fc.oneof(
  { weight: 8, arbitrary: made(range, ([at, len], sys) => sys.madvise(at, len, mman.MADV_POPULATE_WRITE)) },
  {
    weight: 4,
    arbitrary: made(fc.tuple(range, mapping), ([[at, len], [flags, fd, pgoff]], sys) =>
      sys.mmap(at, len, RW, flags, fd, pgoff * PAGE_SIZE),
    ),
  },
  { weight: 3, arbitrary: made(fc.tuple(range, advice), ([[at, len], how], sys) => sys.madvise(at, len, how)) },
  made(range, ([at, len], sys) => sys.munmap(at, len)),
  made(range, ([at, len], sys) => sys.mlock(at, len)),
  made(range, ([at], sys) => sys.pwrite(0, 1, at - WINDOW)),
  made(fc.nat(USED), (pages, sys) => sys.ftruncate(0, pages * PAGE_SIZE)),
  made(fc.constant(0), (_none, sys) => sys.fork()),
  made(fc.nat(), (nth, _sys, k) => (k.current = [...k.tasks.values()][nth % k.tasks.size]!)),
  made(fc.nat(), (cpu, _sys, k) => (k.cpu = cpu % k.nr_cpus)),
  { weight: 5, arbitrary: made(range, ([at, len], sys) => sys.ioctl(CONTAINER, VFIO_IOMMU_MAP_DMA, dmaMap(at, len))) },
  made(range, ([at, len], sys) =>
    sys.ioctl(CONTAINER, VFIO_IOMMU_UNMAP_DMA, { argsz: VFIO_DMA_UNMAP_ARGSZ, flags: 0, iova: at - WINDOW, size: len }),
  ),
  made(fc.tuple(range, fc.integer({ min: 1, max: 600 })), ([[addr, size], perCall], sys) =>
    sys.ioctl(GUP_TEST, PIN_LONGTERM_BENCHMARK, {
      addr,
      size,
      nr_pages_per_call: perCall,
      gup_flags: 1,
      test_flags: 0,
    }),
  ),
  made(fc.tuple(range, fc.nat(1)), ([[at, len], node], sys) => {
    const pages = Array.from({ length: len / PAGE_SIZE }, (_none, n) => at + n * PAGE_SIZE);
    sys.move_pages(0, pages.length, pages, new Array<number>(pages.length).fill(node), [], MPOL_MF_MOVE);
  }),
  made(fc.nat(1), (node, sys) => sys.migrate_pages(0, 3, 1n << BigInt(node), 2n >> BigInt(node))),
  made(fc.constant(0), (_none, _sys, k, kernel) => kernel.sysctl_compaction_handler(k)),
  made(fc.nat(60), (nth, _sys, k) => k.fail_migrate.add({ nth, kind: "reference", attempts: 2 }).arm(k)),
);

/** Most programs begin with memory that is there. */
const beginning = made(fc.constantFrom(ANON, SHARED, PRIVATE, 0), (flags, sys) => {
  sys.mmap(WINDOW, USED * PAGE_SIZE, RW, flags, flags === ANON ? -1 : 0, 0);
  sys.madvise(WINDOW, USED * PAGE_SIZE, mman.MADV_POPULATE_WRITE);
});

const machines = fc.constantFrom(
  { memory: 2 ** 24 },
  { memory: 2 ** 26, cma: 2 ** 25, cpus: 4 },
  { memory: 2 ** 27, cma: 80 * 2 ** 20, cpus: 4 },
  { memory: 2 ** 27, movablecore: 2 ** 26, cpus: 8 },
  { memory: 2 ** 23, cpus: 4 },
  { memory: 2 ** 26, nodes: 2, cpus: 4 },
  { memory: 2 ** 26, config: { shmem_enabled: "within_size", thp_enabled: "madvise" } },
);

/** Plays a program on a machine with a memfd as file 0, and what pins. */
function play(kernel: KernelModule, boot: Parameters<KernelModule["boot"]>[0], program: readonly Call[]): Machine {
  const k = kernel.boot({ cpus: 1, ...boot });
  const sys = kernel.syscalls(k);
  sys.memfd_create("guest", 0);
  sys.ftruncate(0, USED * PAGE_SIZE);
  sys.open("/dev/vfio/vfio", 2);
  sys.open("/sys/kernel/debug/gup_test", 2);
  for (const call of program) call(sys, k, kernel);
  return k;
}

/** Says of a place in a variant's bundle which file of the tree it comes from. */
function originOf(bundle: string): (offset: number) => string {
  const map = new SourceMap(JSON.parse(readFileSync(`${bundle}.map`, "utf8")) as SourceMapPayload);
  const starts = [0, ...[...readFileSync(bundle, "utf8").matchAll(/\n/g)].map((end) => end.index + 1)];
  return (offset) => {
    let [line, end] = [0, starts.length];
    while (end - line > 1) {
      const middle = (line + end) >> 1;
      if (starts[middle]! <= offset) line = middle;
      else end = middle;
    }
    const from = map.findEntry(line, offset - starts[line]!);
    return "originalSource" in from ? from.originalSource.replace(/^.*\/src\//, "") : "";
  };
}

/** How often each function of a variant's kernel was called, by the file it is of and its name. */
async function callsOf(bundle: string, origin: (offset: number) => string, run: () => void) {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  run();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  await session.post("Profiler.disable");
  session.disconnect();
  const counts = new Map<string, number>();
  for (const { functionName, ranges } of result.find((script) => script.url === pathToFileURL(bundle).href)
    ?.functions ?? []) {
    const { startOffset, count } = ranges[0]!;
    const name = `${origin(startOffset)}:${functionName}`;
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return counts;
}

/** A function of each short way, which nothing else calls. */
const TAKEN: Readonly<Record<ShortWay, string>> = {
  populate: "mm/memory/ahead.ts:emptyBehind",
  follow: "mm/gup/follow.ts:follow_pte_run",
  activate: "mm/swap/lruvec.ts:activate_run",
  refill: "mm/page_alloc/rmqueue.ts:rmqueueRun",
  free: "mm/page_alloc/free.ts:freeRun",
  isolate: "mm/swap/lruvec.ts:isolateRun",
  migrate: "mm/migrate/ahead.ts:moveRun",
};

interface Scene {
  readonly name: string;
  readonly way: ShortWay;
  readonly setup: readonly Call[];
  readonly call: Call;
}

/** Maps the memfd, or anonymous memory, and writes to its pages in some order. */
const guest = (at: number, flags: number, order: (page: number) => number, pages = PINNED): readonly Call[] => [
  (sys) => sys.mmap(at, pages * PAGE_SIZE, RW, flags, flags & mman.MAP_ANONYMOUS ? -1 : 0, 0),
  (sys) => {
    for (let page = 0; page < pages; page++) sys.store(at + order(page) * PAGE_SIZE, 1);
  },
];

/** Fewer pages than a per-CPU list keeps. */
const PINNED = 30;
const MANY = 512;
const pin: Call = (sys) => sys.ioctl(CONTAINER, VFIO_IOMMU_MAP_DMA, dmaMap(WINDOW, PINNED * PAGE_SIZE));

const populate: Call = (sys) => sys.madvise(WINDOW, 2 ** 21, mman.MADV_POPULATE_WRITE);

const SCENES: readonly Scene[] = [
  {
    name: "anonymous memory that is populated",
    way: "populate",
    setup: [(sys) => sys.mmap(WINDOW, 2 ** 21, RW, ANON, -1, 0)],
    call: populate,
  },
  {
    name: "a memfd that is populated",
    way: "populate",
    setup: [(sys) => sys.mmap(WINDOW, 2 ** 21, RW, SHARED, 0, 0)],
    call: populate,
  },
  {
    name: "neighbours on the LRU, mapped by two, that a pin isolates",
    way: "isolate",
    setup: [...guest(WINDOW, SHARED, (page) => page), ...guest(2 * WINDOW, SHARED, (page) => page)],
    call: pin,
  },
  ...[SHARED, ANON].map((flags): Scene => {
    return {
      name: `pages ${flags === ANON ? "of anonymous memory" : "of a memfd"}, no neighbours, that a pin moves`,
      way: "migrate",
      setup: guest(WINDOW, flags, (page) => page ^ 1),
      call: pin,
    };
  }),
  {
    name: "pages that a pin frees one by one, more than a per-CPU list keeps: mapped by two, and used in another order",
    way: "free",
    setup: [
      ...guest(WINDOW, SHARED, (page) => page, MANY),
      ...guest(2 * WINDOW, SHARED, (page) => page, MANY),
      (sys) => {
        for (let use = 0; use < 2 * MANY; use++) {
          sys.madvise(WINDOW + ((use >> 1) ^ 1) * PAGE_SIZE, PAGE_SIZE, mman.MADV_POPULATE_WRITE);
        }
      },
    ],
    call: (sys) => sys.ioctl(CONTAINER, VFIO_IOMMU_MAP_DMA, dmaMap(WINDOW, MANY * PAGE_SIZE)),
  },
  {
    name: "memory that is used again and stays where it is",
    way: "activate",
    setup: [...guest(WINDOW, ANON, (page) => page, MANY), populate],
    call: populate,
  },
  {
    name: "pages that are looked up one after the other",
    way: "follow",
    setup: guest(WINDOW, ANON, (page) => page),
    call: (sys) => sys.madvise(WINDOW, PINNED * PAGE_SIZE, mman.MADV_POPULATE_READ),
  },
  {
    name: "single faults, more than a per-CPU list has pages",
    way: "refill",
    setup: [(sys) => sys.mmap(WINDOW, MANY * PAGE_SIZE, RW, ANON, -1, 0)],
    call: (sys) => {
      for (let page = 0; page < MANY; page++) sys.store(WINDOW + page * PAGE_SIZE, 1);
    },
  },
];

describe("short ways", () => {
  let base: LoadedVariant;
  let patch: LoadedVariant;
  before(async () => {
    base = await loadVariant("base");
    patch = await loadVariant("patch", { aside: true });
  });

  it("come to the same in random programs", () => {
    const programs = fc.tuple(beginning, fc.array(calls, { minLength: 4, maxLength: 16 }));
    fc.assert(
      fc.property(machines, fc.boolean(), programs, (boot, patched, [first, rest]) => {
        const { kernel } = patched ? patch : base;
        const program = [first, ...rest];
        const [short, long] = [true, false].map((shortWays) => play(kernel, { ...boot, shortWays }, program));
        expect(differences(short!, long!)).to.deep.equal([[], []]);
      }),
      { seed: 1, numRuns: Number(process.env["SHORT_WAYS_RUNS"] ?? 20) },
    );
  });

  const setUp = ({ setup, call }: Scene, kernel: KernelModule, shortWays: readonly ShortWay[]): (() => unknown) => {
    const k = play(kernel, { memory: 2 ** 29, cma: 320 * 2 ** 20, cpus: 8, shortWays }, setup);
    return () => call(kernel.syscalls(k), k, kernel);
  };

  it("name the files whose functions are passed by", async () => {
    const bundle = bundleOf(base.dir);
    const origin = originOf(bundle);
    for (const each of SCENES) {
      const { name, way } = each;
      const long = await callsOf(bundle, origin, setUp(each, base.kernel, []));
      const short = await callsOf(bundle, origin, setUp(each, base.kernel, [way]));
      expect(long.get(TAKEN[way]), name).to.equal(undefined);
      expect(short.get(TAKEN[way]), name).to.be.greaterThan(0);
      const unnamed = [...long]
        .filter(([fn, count]) => count > (short.get(fn) ?? 0))
        .filter(([fn]) => !PASSED_BY[way].some((file) => fn.startsWith(`${file}.`) || fn.startsWith(`${file}/`)));
      expect(unnamed, name).to.deep.equal([]);
    }
    expect(SCENES.map(({ way }) => way)).to.include.members(Object.keys(PASSED_BY));
  });

  it("are not taken by a variant that changes one of them", async () => {
    const bundle = bundleOf(patch.dir);
    const runs = SCENES.map((each) => setUp(each, patch.kernel, [each.way]));
    const calls = await callsOf(bundle, originOf(bundle), () => {
      for (const run of runs) run();
    });
    const left = Object.entries(TAKEN).filter(([, fn]) => !calls.has(fn));
    // include/linux/mm.ts, mm/memory.ts
    expect(left.map(([way]) => way)).to.have.members(["populate", "migrate"]);
  });
});
