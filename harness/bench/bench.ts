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
} from "../../uapi/mman-common.js";
import { compileForHost } from "../host-program.js";
import { inlineMore } from "../optimiser.js";
import { loadVariant, type KernelModule } from "../variants/load.js";
import { largeRows } from "./large.js";
import { inTurn, inWords, map, medianNs, must, PATCHED, sizeOf, GIB, MIB, type Row, type Syscalls } from "./measure.js";

const GUEST = 256 * MIB;
const MANY_VMAS = 60_000;
/** Pages of each of the many VMAs. */
const BLOCK = 4;
const PAIRS = 20_000;

type HostTimes = ReadonlyMap<string, number>;
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

async function medianMs(name: string, run: () => void): Promise<number> {
  const bench = new Bench({ name, time: 500, warmupTime: 200, throws: true });
  bench.add(name, run);
  await bench.run();
  const result = bench.tasks[0]!.result;
  if (!("latency" in result)) throw new Error(`${name} was not measured`);
  return result.latency.p50;
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
  const boot = inTurn(kernel, { memory: 512 * MIB, cma: 128 * MIB });
  const ready = (): { sys: Syscalls; addr: number } => {
    const sys = boot();
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
  const boot = inTurn(kernel, { memory: 512 * MIB });
  const ready = (): Syscalls => {
    const sys = boot();
    must(sys.madvise(map(sys, GUEST / PAGE_SIZE, MAP_PRIVATE | MAP_ANONYMOUS), GUEST, MADV_POPULATE_WRITE));
    return sys;
  };
  return medianNs(9, ready, (sys) => must(sys.fork())) / (GUEST / PAGE_SIZE);
}

function pages(kernel: KernelModule, patch: KernelModule, host: HostTimes): Row[] {
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
  const patched = inWords(populateNs(patch, true), "M/s");
  return [
    row("populate memfd memory, pages", populateNs(kernel, true), "populate-memfd", 3),
    { what: PATCHED, measured: patched, host: "", promised: "", kept: true },
    row("populate anonymous memory, pages", populateNs(kernel, false), "populate-anonymous", 3),
    row("fork, page table entries", forkNs(kernel), "fork", 10),
  ];
}

inlineMore(true);
const { kernel } = await loadVariant("base");
const { kernel: patch } = await loadVariant("patch");
const { times, why } = hostTimes();
const rows = [
  ...(await boots(kernel)),
  ...pairs(kernel, times),
  ...pages(kernel, patch, times),
  ...largeRows(kernel, patch),
];
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
console.log(
  "Of variant base. The patch under review changes faults, and its pages go all the way through them and through migration.\n" +
    "Pages are populated and forked in memory that an earlier machine left; the large guest finds all of its own.",
);
if (why !== "") console.log(`The running kernel was not measured: ${why}.`);
process.exitCode = rows.every((r) => r.kept) ? 0 : 1;
