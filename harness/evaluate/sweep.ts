// SPDX-License-Identifier: GPL-2.0-only
/** Runs the sweep on both cores: a job is one use of the patch and some cells, and nothing else matters to its result. */
import { availableParallelism } from "node:os";
import { Tinypool } from "tinypool";
import { valueOf, type Answer } from "../workers.js";
import type { Cell } from "./cells.js";
import type { CellResult, Placement, Use } from "./report.js";

/** What a worker needs to set up a host with a populated guest. */
export interface HostPlan {
  /** Compiled tree of the variant. */
  readonly kernelDir: string;
  readonly use: Use;
  readonly workload: string;
  /** Recorded boot to start from, as file and index; null for a host made of memory and cma alone. */
  readonly like: string | null;
  /** Bytes. */
  readonly memory: number;
  readonly cma: number;
  readonly seed: number;
}

export interface SweepJob {
  readonly plan: HostPlan;
  readonly cells: readonly { readonly index: number; readonly cell: Cell }[];
}

export interface SweepAnswer {
  readonly placement: Placement;
  readonly cells: readonly CellResult[];
}

/** One job a use and allocation-failure rate: small enough to keep both cores busy to the end. */
export function jobsOf(plans: readonly HostPlan[], cells: readonly Cell[]): SweepJob[] {
  const groups = new Map<number, { index: number; cell: Cell }[]>();
  for (const [index, cell] of cells.entries()) {
    const group = groups.get(cell.allocFailure) ?? [];
    group.push({ index, cell });
    groups.set(cell.allocFailure, group);
  }
  return plans.flatMap((plan) => [...groups.values()].map((group) => ({ plan, cells: group })));
}

/** Runs all jobs; answers in the order of the jobs, whichever worker was first. */
export async function runSweep(
  jobs: readonly SweepJob[],
  workers: number,
  onDone: (done: number, total: number) => void,
): Promise<SweepAnswer[]> {
  const pool = new Tinypool({
    filename: new URL("./sweep-worker.js", import.meta.url).href,
    runtime: "worker_threads",
    minThreads: 1,
    maxThreads: Math.max(1, Math.min(workers, availableParallelism(), jobs.length)),
  });
  let done = 0;
  try {
    return await Promise.all(
      jobs.map(async (job) => {
        const answer = valueOf((await pool.run(job, { name: "runJob" })) as Answer<SweepAnswer>);
        onDone(++done, jobs.length);
        return answer;
      }),
    );
  } finally {
    await pool.destroy();
  }
}
