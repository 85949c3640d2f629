// SPDX-License-Identifier: GPL-2.0-only
/** What `patchproof compare-host` does, once its options are known. */
import cliProgress from "cli-progress";
import { Tinypool } from "tinypool";
import { Comparer } from "./compare.js";
import { compileAgent, type Environment, openHost } from "./host.js";
import { type KnownList, readKnown } from "./known.js";
import { addCounts, type Found, foundIn, linesOf, type Outcome, traceHeader } from "./report.js";
import { compareGiven } from "./run.js";
import type { CompareHostFlags } from "../commands/compare-host.js";
import type { CompareJob } from "./worker.js";
import { colours, wantsColour, writeFileWhole } from "../output.js";
import { parseTrace, readTrace, type TraceFile } from "../replay/trace-format.js";
import { loadVariant } from "../variants/load.js";

const CASES_PER_JOB = 50;

function progressBar(total: number): (done: number) => void {
  if (!process.stderr.isTTY) return () => undefined;
  const options = { format: "{bar} {value}/{total} cases", clearOnComplete: true, hideCursor: true, barsize: 24 };
  const bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
  bar.start(total, 0);
  return (done) => {
    bar.update(done);
    if (done === total) bar.stop();
  };
}

async function runRandom(agent: string, flags: CompareHostFlags): Promise<Outcome> {
  const { seed, cases } = flags;
  const workers = Math.min(flags.jobs, Math.ceil(cases / CASES_PER_JOB));
  const { dir } = await loadVariant("base");
  const jobs: CompareJob[] = [];
  for (let from = 0; from < cases; from += CASES_PER_JOB) {
    const to = Math.min(cases, from + CASES_PER_JOB);
    jobs.push({ agent, dir, seed, from, to, shrink: flags.shrink, colour: wantsColour(process.stdout) });
  }
  const filename = new URL("./worker.js", import.meta.url).href;
  const pool = new Tinypool({ filename, runtime: "worker_threads", minThreads: 1, maxThreads: workers });
  const known = new Map<string, number>();
  const found: Found[] = [];
  const progress = progressBar(cases);
  let done = 0;
  const one = async (job: CompareJob): Promise<Outcome> => {
    const outcome = (await pool.run(job, { name: "runJob" })) as Outcome;
    progress((done += job.to - job.from));
    return outcome;
  };
  try {
    for (const outcome of await Promise.all(jobs.map(one))) {
      addCounts(known, outcome.known);
      found.push(...outcome.found);
    }
  } finally {
    await pool.destroy();
  }
  return { passed: cases - found.length, failed: found.length, known, found };
}

/** Cases of a recording, or the one line of a case as compare-host prints it. */
function givenCases(given: string, environment: Environment): TraceFile {
  if (!given.trimStart().startsWith("{")) return readTrace(given);
  return parseTrace([traceHeader(environment), given], "--case");
}

async function runGiven(agent: string, given: string, shrink: boolean): Promise<Outcome> {
  const host = await openHost(agent);
  try {
    const { cases } = givenCases(given, host.environment);
    const { kernel } = await loadVariant("base");
    const comparer = new Comparer(host, kernel, readKnown(host.environment.release));
    const known = new Map<string, number>();
    const found: Found[] = [];
    for (const c of cases) {
      const compared = await compareGiven(comparer, c, shrink);
      addCounts(known, compared.known);
      const difference = foundIn(compared, host.environment, colours());
      if (difference !== null) found.push(difference);
    }
    return { passed: cases.length - found.length, failed: found.length, known, found };
  } finally {
    host.close();
  }
}

function knownLines(known: Outcome["known"], list: KnownList): string[] {
  return [...known]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, count]) => {
      const entry = list.differences.find((d) => d.id === id);
      return `known: ${String(count)} calls: ${id}${entry === undefined ? "" : ` (${entry.since}: ${entry.change})`}`;
    });
}

async function environmentOf(agent: string): Promise<Environment> {
  const host = await openHost(agent);
  host.close();
  return host.environment;
}

/** Compares, prints what differs and how many cases passed, and returns the exit status. */
export async function compareHost(flags: CompareHostFlags): Promise<number> {
  const agent = compileAgent();
  const environment = await environmentOf(agent);
  const list = readKnown(environment.release);
  const outcome =
    flags.case === undefined ? await runRandom(agent, flags) : await runGiven(agent, flags.case, flags.shrink);
  const notes = environment.pages ? [] : ["page states were left out: this kernel does not tell them all"];
  const verdict = `${String(outcome.passed)} passed, ${String(outcome.failed)} failed`;
  const lines = [...linesOf(outcome.found), ...knownLines(outcome.known, list), ...notes, verdict];
  if (flags.save !== undefined) {
    const cases = outcome.found.map((one) => `${one.trace}\n`).join("");
    writeFileWhole(flags.save, `${traceHeader(environment)}\n${cases}`);
  }
  process.stdout.write(`${lines.join("\n")}\n`);
  return outcome.failed === 0 ? 0 : 1;
}
