// SPDX-License-Identifier: GPL-2.0-only
/** What the rows of the bench are measured and told with. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import { PROT_READ, PROT_WRITE } from "../../uapi/mman-common.js";
import type { KernelModule } from "../variants/load.js";

export const MIB = 1 << 20;
export const GIB = 1024 * MIB;

export interface Row {
  readonly what: string;
  readonly measured: string;
  readonly host: string;
  readonly promised: string;
  readonly kept: boolean;
}

/** The row above, with the patch under review. */
export const PATCHED = "  with the patch under review";

export type Syscalls = ReturnType<KernelModule["syscalls"]>;

export function inWords(ns: number | undefined, unit: "us" | "M/s"): string {
  if (ns === undefined) return "-";
  return unit === "us" ? `${(ns / 1000).toFixed(2)} µs` : `${(1000 / ns).toFixed(1)} M/s`;
}

/** Bytes of heap and array buffers that a value keeps alive, by building it between two collections. */
export function sizeOf(build: () => unknown): number {
  const gc = globalThis.gc;
  if (gc === undefined) throw new Error("run with --expose-gc");
  const used = (): number => {
    gc();
    gc();
    const m = process.memoryUsage();
    return m.heapUsed + m.arrayBuffers;
  };
  const before = used();
  const value = build();
  const after = used();
  return value === undefined ? 0 : after - before;
}

/** Rounds before those that count: the engine compiles a way of a few hundred functions. */
const WARM_UP = 15;

/** Median nanoseconds of `run`, by the clock, over some rounds, once it is warm; `ready` is outside the clock. */
export function medianNs<T>(rounds: number, ready: () => T, run: (ready: T) => void): number {
  const took: number[] = [];
  for (let round = -WARM_UP; round < rounds; round++) {
    const prepared = ready();
    const start = process.hrtime.bigint();
    run(prepared);
    if (round >= 0) took.push(Number(process.hrtime.bigint() - start));
  }
  return took.sort((a, b) => a - b)[rounds >> 1]!;
}

/** Boots machines one after the other, each of which ends with the next and leaves it its memory. */
export function inTurn(
  kernel: KernelModule,
  options: NonNullable<Parameters<KernelModule["boot"]>[0]>,
): () => Syscalls {
  const buffers = new kernel.BufferPool();
  let last: ReturnType<KernelModule["boot"]> | undefined;
  return () => {
    last?.mem.retire();
    last?.pte_memory.retire();
    last = kernel.boot({ ...options, buffers });
    return kernel.syscalls(last);
  };
}

export function must(ret: number): number {
  if (ret < 0) throw new Error(`a call of the model returned ${String(ret)}`);
  return ret;
}

export function map(sys: Syscalls, pages: number, flags: number, fd = -1): number {
  return must(sys.mmap(0, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, flags, fd, 0));
}
