// SPDX-License-Identifier: GPL-2.0-only
/** A worker of the comparison: has an agent of its own, and the variant. */
import { coloursIf } from "../output.js";
import { importKernel } from "../variants/load.js";
import { Comparer } from "./compare.js";
import { openHost } from "./host.js";
import { readKnown } from "./known.js";
import { addCounts, type Found, foundIn, type Outcome } from "./report.js";
import { compareMade } from "./run.js";

export interface CompareJob {
  /** The compiled agent, and the folder of the compiled variant. */
  readonly agent: string;
  readonly dir: string;
  readonly seed: number;
  /** Cases [from, to) of the run. */
  readonly from: number;
  readonly to: number;
  readonly shrink: boolean;
  readonly colour: boolean;
}

let made: Promise<Comparer> | null = null;

async function make(job: CompareJob): Promise<Comparer> {
  const host = await openHost(job.agent);
  return new Comparer(host, await importKernel(job.dir), readKnown(host.environment.release));
}

/** What the pool calls. */
export async function runJob(job: CompareJob): Promise<Outcome> {
  const comparer = await (made ??= make(job));
  const known = new Map<string, number>();
  const found: Found[] = [];
  for (let i = job.from; i < job.to; i++) {
    const compared = await compareMade(comparer, job.seed, i, job.shrink);
    addCounts(known, compared.known);
    const difference = foundIn(compared, comparer.environment, coloursIf(job.colour));
    if (difference !== null) found.push(difference);
  }
  return { passed: job.to - job.from - found.length, failed: found.length, known, found };
}
