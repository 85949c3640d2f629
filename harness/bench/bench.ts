// SPDX-License-Identifier: GPL-2.0-only
/**
 * `npm run bench`: how fast and how large the model is, against what it promises, and beside what the running kernel
 * takes for the same calls in the same run.
 */
import { spawnSync } from "node:child_process";
import { release } from "node:os";
import Table from "cli-table3";
import { Bench } from "tinybench";
import { PAGE_SIZE } from "../../include/linux/types.js";
import {
  MADV_DOFORK,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import { compileForHost } from "../host-program.js";
import { loadVariant, type KernelModule } from "../variants/load.js";

const MIB = 1 << 20;
const GIB = 1024 * MIB;
const GUEST = 256 * MIB;
const MANY_VMAS = 60_000;
/** Pages of each of the many VMAs. */
const BLOCK = 4;
const PAIRS = 20_000;

interface Row {
  readonly what: string;
  readonly measured: string;
  readonly host: string;
  readonly promised: string;
  readonly kept: boolean;
}

type HostTimes = ReadonlyMap<string, number>;
type Syscalls = ReturnType<KernelModule["syscalls"]>;

/** Nanoseconds by name of what the running kernel takes; or why there are none. */
function hostTimes(): { times: HostTimes; why: string } {
  try {
    const ended = spawnSync(compileForHost("bench/host.c"), [String(MANY_VMAS)], { encoding: "utf8" });
    if (ended.status !== 0) throw new Error(ended.stderr.trim() || "the program did not end well");
    const pairs = ended.stdout.trim().split("\n");
    const words = pairs.map((line) => line.split(" "));
    return { times: new Map(words.map(([name = "", ns = ""]) => [name, Number(ns)])), why: "" };
  } catch (error) {
    return { times: new Map(), why: error instanceof Error ? error.message : String(error) };
  }
}

function inWords(ns: number | undefined, unit: "us" | "M/s"): string {
  if (ns === undefined) return "-";
  return unit === "us" ? `${(ns / 1000).toFixed(2)} µs` : `${(1000 / ns).toFixed(1)} M/s`;
}

/** Bytes of heap and array buffers that a value keeps alive, by building it between two collections. */
function sizeOf(build: () => unknown): number {
  const gc = globalThis.gc;
  if (gc === undefined) throw new Error("run with --expose-gc");
  const used = (): number => {
    gc();
    const m = process.memoryUsage();
    return m.heapUsed + m.arrayBuffers;
  };
  const before = used();
  const value = build();
  const after = used();
  return value === undefined ? 0 : after - before;
}

async function medianMs(name: string, run: () => void): Promise<number> {
  const bench = new Bench({ name, time: 500, warmupTime: 200, throws: true });
  bench.add(name, run);
  await bench.run();
  const result = bench.tasks[0]!.result;
  if (!("latency" in result)) throw new Error(`${name} was not measured`);
  return result.latency.p50;
}

/** Median nanoseconds of `run`, by the clock, over some rounds; `ready` is outside the clock. */
function medianNs<T>(rounds: number, ready: () => T, run: (ready: T) => void): number {
  const took: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const prepared = ready();
    const start = process.hrtime.bigint();
    run(prepared);
    took.push(Number(process.hrtime.bigint() - start));
  }
  return took.sort((a, b) => a - b)[rounds >> 1]!;
}

function must(ret: number): number {
  if (ret < 0) throw new Error(`a call of the model returned ${String(ret)}`);
  return ret;
}

async function boots(kernel: KernelModule): Promise<Row[]> {
  const large = await medianMs("boot 512 MiB", () => void kernel.boot({ memory: 512 * MIB, cma: 128 * MIB }));
  const small = await medianMs("boot 16 pages", () => void kernel.boot({ memory: 16 * PAGE_SIZE }));
  const idle = sizeOf(() => kernel.boot({ memory: 64 * GIB })) / MIB;
  const row = (what: string, measured: string, promised: string, kept: boolean): Row => {
    return { what, measured, host: "", promised, kept };
  };
  return [
    row("boot a 512 MiB machine", `${large.toFixed(2)} ms`, "< 5 ms", large < 5),
    row("boot a machine of 16 pages", `${small.toFixed(3)} ms`, "< 0.2 ms", small < 0.2),
    row("an untouched 64 GiB host", `${idle.toFixed(1)} MiB`, "< 64 MiB", idle < 64),
  ];
}

function map(sys: Syscalls, pages: number, flags: number, fd = -1): number {
  return must(sys.mmap(0, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, fd, 0));
}

/** Nanoseconds of splitting a page off the middle of a VMA and merging it back. */
function pairNs(sys: Syscalls, page: number): number {
  const run = (): void => {
    for (let i = 0; i < PAIRS; i++) {
      must(sys.madvise(page, PAGE_SIZE, MADV_DONTFORK));
      must(sys.madvise(page, PAGE_SIZE, MADV_DOFORK));
    }
  };
  return medianNs(9, () => undefined, run) / PAIRS;
}

function pairs(kernel: KernelModule, host: HostTimes): Row[] {
  const sys = kernel.syscalls(kernel.boot({ memory: 512 * MIB }));
  const few = pairNs(sys, map(sys, 8, MAP_PRIVATE | MAP_ANONYMOUS) + 4 * PAGE_SIZE);
  let at = 0;
  const size = sizeOf(() => {
    at = map(sys, MANY_VMAS * BLOCK, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    const len = BLOCK * PAGE_SIZE;
    for (let i = 1; i < MANY_VMAS; i += 2) must(sys.madvise(at + i * len, len, MADV_DONTDUMP));
    return sys;
  });
  const many = pairNs(sys, at + ((MANY_VMAS / 2) * BLOCK + 2) * PAGE_SIZE);
  const mib = size / MIB;
  const row = (what: string, ns: number, key: string, promised: string, kept: boolean): Row => {
    return { what, measured: inWords(ns, "us"), host: inWords(host.get(key), "us"), promised, kept };
  };
  return [
    row("split and merge, few VMAs", few, "pair-few", "< 1 µs", few < 1000),
    row("split and merge, 60,000 VMAs", many, "pair-many", "<= twice that", many <= 2 * few),
    { what: "60,000 VMAs", measured: `${mib.toFixed(1)} MiB`, host: "", promised: "< 30 MiB", kept: mib < 30 },
  ];
}

/** Nanoseconds a page of one populating madvise over a fresh guest. */
function populateNs(kernel: KernelModule, memfd: boolean): number {
  const ready = (): { sys: Syscalls; addr: number } => {
    const sys = kernel.syscalls(kernel.boot({ memory: 512 * MIB, cma: 128 * MIB }));
    const fd = memfd ? must(sys.memfd_create("guest", 0)) : -1;
    if (memfd) must(sys.ftruncate(fd, GUEST));
    return { sys, addr: map(sys, GUEST / PAGE_SIZE, memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd) };
  };
  return (
    medianNs(15, ready, ({ sys, addr }) => must(sys.madvise(addr, GUEST, MADV_POPULATE_WRITE))) / (GUEST / PAGE_SIZE)
  );
}

/** Nanoseconds of fork a page table entry, the parent having populated anonymous memory. */
function forkNs(kernel: KernelModule): number {
  const ready = (): Syscalls => {
    const sys = kernel.syscalls(kernel.boot({ memory: 512 * MIB }));
    must(sys.madvise(map(sys, GUEST / PAGE_SIZE, MAP_PRIVATE | MAP_ANONYMOUS), GUEST, MADV_POPULATE_WRITE));
    return sys;
  };
  return medianNs(9, ready, (sys) => must(sys.fork())) / (GUEST / PAGE_SIZE);
}

function pages(kernel: KernelModule, host: HostTimes): Row[] {
  const row = (what: string, ns: number, key: string, least: number): Row => {
    const promised = `>= ${String(least)} M/s`;
    return {
      what,
      measured: inWords(ns, "M/s"),
      host: inWords(host.get(key), "M/s"),
      promised,
      kept: 1000 / ns >= least,
    };
  };
  return [
    row("populate memfd memory, pages", populateNs(kernel, true), "populate-memfd", 1),
    row("populate anonymous memory, pages", populateNs(kernel, false), "populate-anonymous", 1),
    row("fork, page table entries", forkNs(kernel), "fork", 10),
  ];
}

const { kernel } = await loadVariant("patch");
const { times, why } = hostTimes();
const rows = [...(await boots(kernel)), ...pairs(kernel, times), ...pages(kernel, times)];
const table = new Table({
  chars: Object.fromEntries(
    ["top", "bottom", "left", "right", "mid", "middle"].flatMap((side) =>
      [side, `${side}-mid`, `${side}-left`, `${side}-right`].map((part) => [part, ""]),
    ),
  ),
  style: { "padding-left": 0, "padding-right": 2, head: [], border: [] },
  colAligns: ["left", "right", "right", "left", "left"],
});
table.push(["", "model", `Linux ${release().split("-")[0] ?? ""}`, "promised", ""]);
for (const r of rows) table.push([r.what, r.measured, r.host, r.promised, r.kept ? "" : "NOT KEPT"]);
console.log(table.toString().replaceAll(/ +$/gm, ""));
if (why !== "") console.log(`The running kernel was not measured: ${why}.`);
process.exitCode = rows.every((r) => r.kept) ? 0 : 1;
