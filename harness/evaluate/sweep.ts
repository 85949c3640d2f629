// SPDX-License-Identifier: GPL-2.0-only
/** Runs the sweep on both cores: a job is one use of the patch and some cells, and nothing else matters to its result. */
import { availableParallelism } from "node:os";
import { Workers } from "../pool.js";
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

/** A queue of jobs from which each worker takes what suits it: to populate a host costs as much as a hundred trials. */
class JobQueue {
  private readonly left: { readonly job: SweepJob; readonly at: number }[];
  private readonly begun = new Set<HostPlan>();

  constructor(jobs: readonly SweepJob[]) {
    this.left = jobs.map((job, at) => ({ job, at }));
  }

  /** The next job of a host that the worker has; else of one that nobody has; else of the one with most left. */
  take(mine: Set<HostPlan>): { readonly job: SweepJob; readonly at: number } | undefined {
    const next =
      this.left.find(({ job }) => mine.has(job.plan)) ??
      this.left.find(({ job }) => !this.begun.has(job.plan)) ??
      this.left.toSorted((a, b) => this.countOf(b.job.plan) - this.countOf(a.job.plan))[0];
    if (next === undefined) return undefined;
    this.left.splice(this.left.indexOf(next), 1);
    this.begun.add(next.job.plan);
    mine.add(next.job.plan);
    return next;
  }

  private countOf(plan: HostPlan): number {
    return this.left.filter(({ job }) => job.plan === plan).length;
  }
}

/**
 * Runs all jobs; answers in the order of the jobs, whichever worker was first. `beside` is what keeps a core busy
 * meanwhile: the last of several workers begins when that has ended.
 */
export async function runSweep(
  jobs: readonly SweepJob[],
  workers: number,
  onDone: (done: number, total: number) => void,
  beside?: Promise<unknown>,
): Promise<SweepAnswer[]> {
  const queue = new JobQueue(jobs);
  const answers: SweepAnswer[] = [];
  let done = 0;
  const count = Math.max(1, Math.min(workers, availableParallelism(), jobs.length));
  const work = async (_: unknown, lane: number): Promise<void> => {
    if (lane > 0 && lane === count - 1) await beside?.catch(() => undefined);
    const worker = new Workers(new URL("./sweep-worker.js", import.meta.url), 1, count > 1 || beside !== undefined);
    const mine = new Set<HostPlan>();
    try {
      for (let next = queue.take(mine); next !== undefined; next = queue.take(mine)) {
        answers[next.at] = await worker.run<SweepAnswer>("runJob", next.job);
        onDone(++done, jobs.length);
      }
    } finally {
      await worker.end();
    }
  };
  await Promise.all(Array.from({ length: count }, work));
  return answers;
}
