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
const SWAP_PATH = "/dev/swap";
/** Cases that share one machine: what they leave behind is nothing, or a finding. */
const CASES_PER_MACHINE = 256;

/** A recording names the CPU in QEMU's words: "max" has protection keys, "max,-pku" has not. */
export function archOfCpu(cpu: string): string {
  return /(^|,)-pku\b/.test(cpu) ? "x86_64" : "x86_64-pku";
}

/** A machine, made when it is wanted, on which cases run one after the other until one leaves it in disorder. */
export class TraceMachine {
  private readonly kernel: KernelModule;
  private readonly like: Pick<TraceFile, "cpu" | "config" | "swap">;
  private k: Machine | null = null;
  private run = 0;

  constructor(kernel: KernelModule, like: Pick<TraceFile, "cpu" | "config" | "swap">) {
    this.kernel = kernel;
    this.like = like;
  }

  runCase(c: TraceCase, options: CaseOptions): Divergence | null {
    if (this.k === null || this.run % CASES_PER_MACHINE === 0) this.k = this.boot();
    this.run++;
    const divergence = runCase(this.kernel, this.k, c, options);
    if (divergence !== null) this.k = null;
    return divergence;
  }

  /** Invariants that do not hold after the last case. */
  broken(id: string): string[] {
    return this.k === null ? [] : this.kernel.checkMachine(this.k).map((what) => `after ${id}: ${what}`);
  }

  private boot(): Machine {
    const { cpu, config, swap } = this.like;
    this.run = 0;
    const k = this.kernel.boot({ memory: RECORDED_MEMORY, cpus: 1, arch: archOfCpu(cpu), seed: 1, config });
    if (swap !== undefined) {
      const sys = this.kernel.syscalls(k);
      this.kernel.add_swap_device(k, SWAP_PATH, swap);
      sys.swapon(SWAP_PATH, 0);
    }
    return k;
  }
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
  const machine = new TraceMachine(kernel, file);
  let sinceCheck = 0;
  for (const c of cases) {
    const divergence = machine.runCase(c, options);
    if (divergence === null) {
      result.passed++;
      if (checkEvery > 0 && ++sinceCheck % checkEvery === 0) result.broken.push(...machine.broken(c.id));
      continue;
    }
    sinceCheck = 0;
    result.divergences.push(divergence);
    if (options.stop) break;
  }
  return result;
}
