// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof compare-host`: random cases in the model and on the kernel that the machine is booted into. */
import { availableParallelism } from "node:os";
import cliProgress from "cli-progress";
import type { Command } from "commander";
import { Tinypool } from "tinypool";
import { Comparer } from "../compare/compare.js";
import { compileAgent, type Environment, openHost } from "../compare/host.js";
import { type KnownList, readKnown } from "../compare/known.js";
import { addCounts, type Found, foundIn, linesOf, type Outcome, traceHeader } from "../compare/report.js";
import { compareGiven } from "../compare/run.js";
import type { CompareJob } from "../compare/worker.js";
import { colours, wantsColour, writeFileWhole } from "../output.js";
import { parseTrace, readTrace, type TraceFile } from "../replay/trace-format.js";
import { loadVariant } from "../variants/load.js";
import { parseCount } from "./parse.js";

interface Flags {
  readonly seed: string;
  readonly cases: string;
  readonly jobs: string;
  readonly case?: string;
  readonly save?: string;
  readonly shrink: boolean;
}

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

async function runRandom(agent: string, flags: Flags): Promise<Outcome> {
  const seed = parseCount(flags.seed, "--seed", 0, 2 ** 31 - 1);
  const cases = parseCount(flags.cases, "--cases", 1, 10_000_000);
  const workers = Math.min(parseCount(flags.jobs, "--jobs", 1, 256), Math.ceil(cases / CASES_PER_JOB));
  const { dir } = await loadVariant("base");
  const jobs: CompareJob[] = [];
  for (let from = 0; from < cases; from += CASES_PER_JOB) {
    const to = Math.min(cases, from + CASES_PER_JOB);
    jobs.push({ agent, dir, seed, from, to, shrink: flags.shrink, colour: wantsColour(process.stdout) });
  }
  const filename = new URL("../compare/worker.js", import.meta.url).href;
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
  const lines = [...known]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, count]) => {
      const entry = list.differences.find((d) => d.id === id);
      return `known: ${String(count)} calls: ${id}${entry === undefined ? "" : ` (${entry.since}: ${entry.change})`}`;
    });
  return lines;
}

async function environmentOf(agent: string): Promise<Environment> {
  const host = await openHost(agent);
  host.close();
  return host.environment;
}

async function compareHost(flags: Flags): Promise<void> {
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
  process.exitCode = outcome.failed === 0 ? 0 : 1;
}

const HELP = `
Makes random cases of memory calls, runs each in the model (base) and on the running kernel, in a child process with no
capabilities, and compares after every call: what was returned, signal and si_code, the VMAs of the window as smaps shows
them, page states. A case that differs is shrunk to the shortest that still does. Nothing outside of a window of 16 MiB,
which must be free, is touched; MADV_HWPOISON and MADV_SOFT_OFFLINE are never issued.

Differences that fixtures/host-differences.json explains by a change after v6.1 are counted apart; the call is left out
and the rest of the case compared. Needs Linux on x86-64 with gcc; the agent is compiled once, into build/.

Ends with "N passed, N failed".
Exit status: 0 no unknown difference; 1 differences; 2 bad input, or a kernel that cannot be used.

Examples:
  patchproof compare-host --seed 7 --cases 10000
  patchproof compare-host --cases 1000 --save found.jsonl
  patchproof compare-host --case found.jsonl
  patchproof replay found.jsonl`;

/** Adds `patchproof compare-host` to the program. */
export function compareHostCommand(program: Command): void {
  program
    .command("compare-host")
    .description("compare the model with the running kernel on random cases")
    .option("--seed <n>", "seed of the run", "1")
    .option("--cases <n>", "cases to make", "1000")
    .option("--case <file|line>", "compare the cases of this mm-trace/1 file, or this line of one, instead")
    .option("--save <file>", "write the cases that differ as a recording of format mm-trace/1")
    .option("--no-shrink", "leave cases that differ as they are")
    .option("--jobs <n>", "workers to run at a time", String(availableParallelism()))
    .addHelpText("after", HELP)
    .action(compareHost);
}
