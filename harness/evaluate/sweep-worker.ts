// SPDX-License-Identifier: GPL-2.0-only
/** One worker of the sweep: keeps a populated host for each use it has met, and runs cells on it. */
import { attributionWords } from "../attribution.js";
import { answering } from "../workers.js";
import type { Cell } from "./cells.js";
import { trialSeed } from "./cells.js";
import { PopulatedHost, type Trial } from "./guest.js";
import type { CellResult, FirstFailure } from "./report.js";
import { proportion, tightEnough, type Proportion } from "./stats.js";
import type { HostPlan, SweepAnswer, SweepJob } from "./sweep.js";

/** Half the width of the 95 % interval at which a cell has been tried often enough. */
const PRECISION = 0.05;

const hosts = new Map<string, Promise<PopulatedHost>>();

function hostFor(plan: HostPlan): Promise<PopulatedHost> {
  const key = JSON.stringify(plan);
  let host = hosts.get(key);
  if (host === undefined) hosts.set(key, (host = PopulatedHost.make(plan)));
  return host;
}

/** What the trials of a cell gave, whichever cell of the report asked for them. */
type Trials = Omit<CellResult, keyof Cell>;

function exampleOf({ ret, noted }: NonNullable<Trial["failure"]>): FirstFailure["example"] {
  return noted === null ? null : { text: attributionWords(noted, ret), failure: noted };
}

/** Trials until the interval is narrow enough; one where nothing is random. */
function runTrials(host: PopulatedHost, cell: Cell, index: number, plan: HostPlan): Trials {
  let successes = 0;
  let trials = 0;
  let migrated = 0;
  let left = 0;
  let random = false;
  let success: Proportion;
  const failures = new Map<string, FirstFailure>();
  do {
    const t = host.pin(cell, trialSeed(plan.seed, index, trials));
    trials++;
    random ||= t.random;
    migrated += t.migrated;
    left += t.left;
    if (t.failure === null) successes++;
    else {
      const { what } = t.failure;
      const there = failures.get(what) ?? { what, count: 0, example: exampleOf(t.failure) };
      failures.set(what, { ...there, count: there.count + 1 });
    }
    success = proportion(successes, trials);
  } while (random && !tightEnough(success, PRECISION));
  const sorted = [...failures.values()].sort((a, b) => b.count - a.count || (a.what < b.what ? -1 : 1));
  return {
    use: plan.use.id,
    held: cell.references,
    success,
    random,
    migrated: migrated / trials,
    left: left / trials,
    failures: sorted,
  };
}

/** Cells that come to the same on this guest share their trials. */
async function sweep(job: SweepJob): Promise<SweepAnswer> {
  const host = await hostFor(job.plan);
  if (host.placement.killed) return { placement: host.placement, cells: [] };
  const done = new Map<string, Trials>();
  const cells = job.cells.map(({ cell, index }) => {
    const possible = host.possible(cell);
    const key = JSON.stringify(possible);
    const trials = done.get(key) ?? runTrials(host, possible, index, job.plan);
    done.set(key, trials);
    return { ...cell, ...trials };
  });
  return { placement: host.placement, cells };
}

/** What the pool calls. */
export const runJob = answering(sweep);
