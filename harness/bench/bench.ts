// SPDX-License-Identifier: GPL-2.0-only
/** `npm run bench`: how fast and how large the model is, against what it promises. */
import { Bench } from "tinybench";
import { PAGE_SIZE } from "../../include/linux/types.js";
import {
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import { loadVariant, type KernelModule } from "../variants/load.js";

const MIB = 1 << 20;
const GIB = 1024 * MIB;
const GUEST = 256 * MIB;

interface Row {
  readonly what: string;
  readonly measured: string;
  readonly promised: string;
  readonly kept: boolean;
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

async function boots(kernel: KernelModule): Promise<Row[]> {
  const large = await medianMs("boot 512 MiB", () => void kernel.boot({ memory: 512 * MIB, cma: 128 * MIB }));
  const small = await medianMs("boot 16 pages", () => void kernel.boot({ memory: 16 * PAGE_SIZE }));
  const idle = sizeOf(() => kernel.boot({ memory: 64 * GIB })) / MIB;
  return [
    { what: "boot a 512 MiB machine", measured: `${large.toFixed(2)} ms`, promised: "< 5 ms", kept: large < 5 },
    { what: "boot a machine of 16 pages", measured: `${small.toFixed(3)} ms`, promised: "< 0.2 ms", kept: small < 0.2 },
    { what: "an untouched 64 GiB host", measured: `${idle.toFixed(1)} MiB`, promised: "< 64 MiB", kept: idle < 64 },
  ];
}

/** Median pages a second of one populating madvise over a fresh guest; machines are booted outside the clock. */
function populateRate(kernel: KernelModule, memfd: boolean): number {
  const rates: number[] = [];
  for (let round = 0; round < 15; round++) {
    const sys = kernel.syscalls(kernel.boot({ memory: 512 * MIB, cma: 128 * MIB }));
    const fd = memfd ? sys.memfd_create("guest", 0) : -1;
    if (memfd) sys.ftruncate(fd, GUEST);
    const flags = memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    const addr = sys.mmap(0, GUEST, PROT_READ | PROT_WRITE, flags, fd, 0);
    const start = process.hrtime.bigint();
    const ret = sys.madvise(addr, GUEST, MADV_POPULATE_WRITE);
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    if (ret !== 0) throw new Error(`populating the guest returned ${String(ret)}`);
    rates.push(GUEST / PAGE_SIZE / seconds);
  }
  return rates.sort((a, b) => a - b)[rates.length >> 1]!;
}

function populates(kernel: KernelModule): Row[] {
  return [true, false].map((memfd) => {
    const rate = populateRate(kernel, memfd) / 1e6;
    const what = `populate ${memfd ? "memfd" : "anonymous"} memory`;
    return { what, measured: `${rate.toFixed(1)} M pages/s`, promised: ">= 1 M pages/s", kept: rate >= 1 };
  });
}

const { kernel } = await loadVariant("patch");
const rows = [...(await boots(kernel)), ...populates(kernel)];
for (const r of rows) {
  console.log(
    `${r.what.padEnd(30)} ${r.measured.padStart(16)}   ${r.promised.padEnd(16)} ${r.kept ? "" : "NOT KEPT"}`.trimEnd(),
  );
}
process.exitCode = rows.every((r) => r.kept) ? 0 : 1;
