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
import { EVERYWHERE, PASSED_BY } from "../../include/short_ways.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import * as mman from "../../uapi/mman-common.js";
import { differences } from "../mm/lib/both_ways.js";

const RW = mman.PROT_READ | mman.PROT_WRITE;
const PRIVATE = mman.MAP_FIXED | mman.MAP_PRIVATE;
const SHARED = mman.MAP_FIXED | mman.MAP_SHARED;
const ANON = PRIVATE | mman.MAP_ANONYMOUS;
const WINDOW = 0x10000000;
/** A table and a half of pages. */
const USED = 768;

type Call = (sys: Syscalls, k: Machine) => void;

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

function made<T>(from: fc.Arbitrary<T>, call: (value: T, sys: Syscalls, k: Machine) => unknown): fc.Arbitrary<Call> {
  const text = String(call).replace(/\s+/g, " ");
  return from.map((value) => {
    const run: Call = (sys, k) => void call(value, sys, k);
    return Object.assign(run, { [fc.toStringMethod]: () => `${text} of ${JSON.stringify(value)}` });
  });
}

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
  made(fc.nat(), (cpu, _sys, k) => (k.cpu = cpu % k.nr_cpus)),
);

const machines = fc.constantFrom(
  { memory: 2 ** 24 },
  { memory: 2 ** 26, cma: 2 ** 25, cpus: 4 },
  { memory: 2 ** 23, cpus: 4 },
  { memory: 2 ** 26, nodes: 2, cpus: 4 },
  { memory: 2 ** 26, config: { shmem_enabled: "within_size", thp_enabled: "madvise" } },
);

/** Plays a program on a machine with a memfd as file 0. */
function play(kernel: KernelModule, boot: Parameters<KernelModule["boot"]>[0], program: readonly Call[]): Machine {
  const k = kernel.boot({ cpus: 1, ...boot });
  const sys = kernel.syscalls(k);
  sys.memfd_create("guest", 0);
  sys.ftruncate(0, USED * PAGE_SIZE);
  for (const call of program) call(sys, k);
  return k;
}

/** How often each function of a variant's kernel was called, by the file it is of and its name. */
async function callsOf({ dir }: LoadedVariant, run: () => void): Promise<Map<string, number>> {
  const bundle = bundleOf(dir);
  const map = new SourceMap(JSON.parse(readFileSync(`${bundle}.map`, "utf8")) as SourceMapPayload);
  const text = readFileSync(bundle, "utf8");
  const starts = [0, ...[...text.matchAll(/\n/g)].map((end) => end.index + 1)];
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
    const line = starts.findLastIndex((start) => start <= startOffset);
    const from = map.findEntry(line, startOffset - starts[line]!);
    const file = "originalSource" in from ? from.originalSource.replace(/^.*\/src\//, "") : "";
    const name = `${file}:${functionName}`;
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return counts;
}

interface Way {
  readonly name: string;
  readonly way: keyof typeof PASSED_BY;
  /** A function of the short way. */
  readonly taken: string;
  readonly setup: readonly Call[];
  readonly call: Call;
}

const populate: Call = (sys) => sys.madvise(WINDOW, 2 ** 21, mman.MADV_POPULATE_WRITE);

const WAYS: readonly Way[] = [
  {
    name: "anonymous memory that is populated",
    way: "populate",
    taken: "mm/page_alloc/ahead.ts:takePages",
    setup: [(sys) => sys.mmap(WINDOW, 2 ** 21, RW, ANON, -1, 0)],
    call: populate,
  },
  {
    name: "a memfd that is populated",
    way: "populate",
    taken: "mm/page_alloc/ahead.ts:takePages",
    setup: [(sys) => sys.mmap(WINDOW, 2 ** 21, RW, SHARED, 0, 0)],
    call: populate,
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
    const programs = fc.array(calls, { minLength: 4, maxLength: 16 });
    fc.assert(
      fc.property(machines, programs, (boot, program) => {
        const [short, long] = [true, false].map((shortWays) => play(base.kernel, { ...boot, shortWays }, program));
        expect(differences(short!, long!)).to.deep.equal([[], []]);
      }),
      { seed: 1, numRuns: Number(process.env["SHORT_WAYS_RUNS"] ?? 40) },
    );
  });

  for (const { name, way, taken, setup, call } of WAYS) {
    const setUp = (kernel: KernelModule, shortWays: boolean) => {
      const k = play(kernel, { memory: 2 ** 29, shortWays }, setup);
      return () => {
        call(kernel.syscalls(k), k);
      };
    };

    it(`${name}: names the files whose functions are passed by`, async () => {
      const long = await callsOf(base, setUp(base.kernel, false));
      const short = await callsOf(base, setUp(base.kernel, true));
      expect(long.get(taken)).to.equal(undefined);
      expect(short.get(taken)).to.be.greaterThan(0);
      const saved = [...long].filter(([fn, count]) => count > (short.get(fn) ?? 0)).map(([fn]) => fn);
      const unnamed = saved.filter(
        (fn) =>
          ![...PASSED_BY[way], ...EVERYWHERE].some(
            (file) => /^[./]/.test(fn.slice(file.length)) && fn.startsWith(file),
          ),
      );
      expect(unnamed).to.deep.equal([]);
    });

    it(`${name}: is not taken by a variant that changes one of them`, async () => {
      expect((await callsOf(patch, setUp(patch.kernel, true))).get(taken)).to.equal(undefined);
    });
  }
});
