// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof explore`: all schedules of the table, or one that is given. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { ExploreOptions } from "../commands/explore.js";
import { UserError } from "../errors.js";
import { Progress } from "../evaluate/progress.js";
import { chosenVariants, type ChosenVariant } from "../evaluate/request.js";
import { checkWritable, writeFiles } from "../output.js";
import { Workers } from "../pool.js";
import { projectRoot } from "../root.js";
import { buildVariant } from "../variants/build.js";
import { importKernel } from "../variants/load.js";
import { resolvePatch } from "../variants/resolve.js";
import { REVIEW_ALIAS } from "../variants/spec.js";
import { CALLS, findCall } from "./calls.js";
import { play } from "./play.js";
import { reportOf, type Done, type ExploreReport } from "./report.js";
import { checkSetup, parseSchedule } from "./schedule.js";
import { fits } from "./search.js";
import { findSetup, SETUPS } from "./setups.js";
import type { Job, Run, Schedule, Tally } from "./types.js";
import { eventLines, exploreMarkdown, exploreTerminal } from "./words.js";
import { World } from "./world.js";

async function jobsOf(
  variants: readonly ChosenVariant[],
  setups: readonly string[],
  { depth, uncut = false }: ExploreOptions,
): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const { name, spec } of variants) {
    const { dir: kernelDir } = await buildVariant(spec);
    for (const setup of SETUPS.filter((one) => setups.includes(one.name))) {
      for (const advised of [false, true]) {
        for (const first of CALLS.filter((call) => fits(call, setup))) {
          jobs.push({ variant: name, kernelDir, setup: setup.name, advised, first: first.name, depth, uncut });
        }
      }
    }
  }
  return jobs;
}

/** Jobs from here on, up to there, that a worker has before it. */
interface Share {
  next: number;
  end: number;
}

/** A worker's next job, by number: neighbours, of which each makes the next cheaper; then the far end of another's. */
function nextJob(own: Share, all: readonly Share[]): number | undefined {
  if (own.next < own.end) return own.next++;
  const most = all.reduce((a, b) => (b.end - b.next > a.end - a.next ? b : a));
  return most.next < most.end ? --most.end : undefined;
}

async function runJobs(jobs: readonly Job[], workers: number): Promise<Done[]> {
  const count = Math.max(1, Math.min(workers, availableParallelism(), jobs.length));
  const bound = (n: number): number => Math.floor((n * jobs.length) / count);
  const shares = Array.from({ length: count }, (_, n): Share => ({ next: bound(n), end: bound(n + 1) }));
  const progress = new Progress(false, process.stderr, "calls");
  const tallies: (Tally | null)[] = [];
  let ended = 0;
  const work = async (share: Share): Promise<void> => {
    const worker = new Workers(new URL("./worker.js", import.meta.url), 1, count > 1);
    try {
      for (let n = nextJob(share, shares); n !== undefined; n = nextJob(share, shares)) {
        tallies[n] = await worker.run<Tally | null>("runJob", jobs[n]!);
        progress.sweep(++ended, jobs.length);
      }
    } finally {
      await worker.end();
    }
  };
  try {
    await Promise.all(shares.map(work));
    return jobs.flatMap((job, i) => (tallies[i] == null ? [] : [{ job, tally: tallies[i] }]));
  } finally {
    progress.stop();
  }
}

const ENDINGS: Readonly<Record<Run["outcome"], string>> = {
  done: "nothing is wrong",
  blocked: "cannot be: the last task has to wait for one that sleeps",
  edge: "goes beyond the model",
  wrong: "",
};

/** Runs one schedule and says what happens; 1 where something is wrong. */
async function runOne(variants: readonly ChosenVariant[], s: Schedule): Promise<number> {
  let status = 0;
  for (const { name, spec } of variants) {
    const kernel = await importKernel((await buildVariant(spec)).dir);
    const run = play(new World(kernel, findSetup(s.setup)!, s.advised), findCall(s.first)!, s.injections);
    if (run.unmet !== undefined) {
      const what = `on ${name}, yield point ${String(run.unmet)} is not met`;
      throw new UserError("--schedule", what, `there are ${String(run.met.length)}, from 0`);
    }
    const { wrong } = run;
    if (wrong !== null) status = 1;
    const ending = wrong === null ? ENDINGS[run.outcome] : [`${wrong.kind}: ${wrong.what}`, ...wrong.where].join(" < ");
    const lines = [...eventLines(run.events), ending].map((line) => `  ${line}`);
    process.stdout.write(`${name}:\n${lines.join("\n")}\n`);
  }
  return status;
}

function write(report: ExploreReport, files: readonly [string, string], asJson: boolean): void {
  const json = `${JSON.stringify(report, null, 2)}\n`;
  writeFiles(
    new Map([
      [files[0], json],
      [files[1], exploreMarkdown(report)],
    ]),
  );
  process.stdout.write(asJson ? json : exploreTerminal(report));
}

/** Explores with checked options; returns the exit status. */
export async function runExplore(options: ExploreOptions): Promise<number> {
  const variants = chosenVariants(options.variants ?? ["base", REVIEW_ALIAS], resolvePatch(options.patch).variant);
  if (options.schedule !== undefined) return runOne(variants, parseSchedule(options.schedule, "--schedule"));
  const setups = (options.setups ?? SETUPS.map(({ name }) => name)).map((name) => checkSetup(name, "--setups"));
  const folder = options.out ?? join(projectRoot(), "reports");
  const files = [join(folder, "explore.json"), join(folder, "explore.md")] as const;
  checkWritable(files);
  const done = await runJobs(await jobsOf(variants, setups, options), options.jobs);
  const report = reportOf(
    variants.map(({ name }) => name),
    options.depth,
    done,
  );
  write(report, files, options.json === true);
  return report.variants.some(({ found }) => found.length > 0) ? 1 : 0;
}
