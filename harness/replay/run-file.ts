// SPDX-License-Identifier: GPL-2.0-only
/** Runs the cases of a recording, each in a process of its own, on machines like the one it was recorded on. */
import type { KernelModule, Machine } from "./kernel.js";
import { type CaseOptions, type Divergence, runCase } from "./run-case.js";
import type { TraceCase, TraceFile } from "./trace-format.js";

export interface FileOptions extends CaseOptions {
  /** End at the first divergence. */
  readonly stop: boolean;
  /** Look at the machine's invariants after every so many cases; 0 for never. */
  readonly checkEvery?: number;
}

export interface FileResult {
  passed: number;
  readonly divergences: Divergence[];
  /** Invariants that did not hold after a batch of cases. */
  readonly broken: string[];
}

/** Memory of the machine on which the recordings were made, in bytes. */
const RECORDED_MEMORY = 512 << 20;
/** Cases that share one machine: what they leave behind is nothing, or a finding. */
const CASES_PER_MACHINE = 256;

/** A recording names the CPU in QEMU's words: "max" has protection keys, "max,-pku" has not. */
export function archOfCpu(cpu: string): string {
  return /(^|,)-pku\b/.test(cpu) ? "x86_64" : "x86_64-pku";
}

export function bootForTrace(kernel: KernelModule, cpu: string): Machine {
  return kernel.boot({ memory: RECORDED_MEMORY, cpus: 1, arch: archOfCpu(cpu), seed: 1 });
}

function broken(kernel: KernelModule, k: Machine, id: string): string[] {
  return kernel.checkMachine(k).map((what) => `after ${id}: ${what}`);
}

/** Runs these cases of a file in their order. */
export function runCases(
  kernel: KernelModule,
  file: TraceFile,
  cases: readonly TraceCase[],
  options: FileOptions,
): FileResult {
  const result: FileResult = { passed: 0, divergences: [], broken: [] };
  const checkEvery = options.checkEvery ?? 0;
  let k: Machine | null = null;
  let run = 0;
  for (const c of cases) {
    if (k === null || run % CASES_PER_MACHINE === 0) k = bootForTrace(kernel, file.cpu);
    run++;
    const divergence = runCase(kernel, k, c, options);
    if (divergence === null) {
      result.passed++;
      if (checkEvery > 0 && run % checkEvery === 0) result.broken.push(...broken(kernel, k, c.id));
      continue;
    }
    result.divergences.push(divergence);
    k = null;
    run = 0;
    if (options.stop) break;
  }
  return result;
}
