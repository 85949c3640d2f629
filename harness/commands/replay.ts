// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof replay FILE…`: recordings of real kernels against the model. */
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import { Tinypool } from "tinypool";
import { UserError } from "../errors.js";
import { wantsColour } from "../output.js";
import { type PartOptions, type PartResult, partsOf, runPart } from "../replay/jobs.js";
import { readRecording, type Recording } from "../replay/recording.js";
import type { ReplayJob } from "../replay/worker.js";
import { type LoadedVariant, loadVariant } from "../variants/load.js";

interface ReplayFlags {
  readonly case?: string;
  readonly variant?: string;
  readonly stop?: true;
  readonly pages: boolean;
  readonly jobs: number;
}

function parseJobs(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 256)
    throw new InvalidArgumentError("a whole number from 1 to 256 is wanted.");
  return n;
}

function hasCase(r: Recording, id: string): boolean {
  if (r.kind === "trace") return r.trace.cases.some((c) => c.id === id);
  return r.kind === "placement" && r.placement.boots.some((b) => b.runs.some((run) => run.run === id));
}

/** Every variant that the recordings want, built and loaded once. */
async function variantsFor(
  recordings: readonly Recording[],
  given: string | undefined,
): Promise<Map<string, LoadedVariant>> {
  const loaded = new Map<string, LoadedVariant>();
  for (const name of new Set(recordings.map((r) => given ?? r.variant))) loaded.set(name, await loadVariant(name));
  return loaded;
}

type Runner = (
  r: Recording,
  dir: LoadedVariant,
  options: PartOptions,
  onResult: (result: PartResult) => void,
) => Promise<void>;

const here: Runner = (r, variant, options, onResult) => {
  for (const part of partsOf(r)) {
    const result = runPart(variant.kernel, r, part, options);
    onResult(result);
    if (options.stop && result.failed > 0) break;
  }
  return Promise.resolve();
};

/** Runs the parts side by side; results come in the order of the parts. */
function inPool(pool: Tinypool): Runner {
  return async (r, variant, options, onResult) => {
    const running = partsOf(r).map((part) => {
      const job: ReplayJob = { path: r.path, dir: variant.dir, part, options };
      return pool.run(job, { name: "runJob" }) as Promise<PartResult>;
    });
    for (const result of await Promise.all(running)) onResult(result);
  };
}

async function runAll(recordings: readonly Recording[], flags: ReplayFlags, runner: Runner): Promise<PartResult> {
  const variants = await variantsFor(recordings, flags.variant);
  const options: PartOptions = {
    pages: flags.pages,
    stop: flags.stop ?? false,
    colour: wantsColour(process.stdout),
    only: flags.case ?? null,
  };
  let passed = 0;
  let failed = 0;
  for (const r of recordings) {
    await runner(r, variants.get(flags.variant ?? r.variant)!, options, (result) => {
      passed += result.passed;
      failed += result.failed;
      if (result.lines.length > 0) process.stdout.write(`${result.lines.join("\n")}\n`);
    });
    if (options.stop && failed > 0) break;
  }
  return { passed, failed, lines: [] };
}

async function replay(files: readonly string[], flags: ReplayFlags): Promise<void> {
  const recordings = files.map(readRecording);
  const id = flags.case;
  if (id !== undefined && !recordings.some((r) => hasCase(r, id))) {
    throw new UserError(files.join(", "), `no case ${JSON.stringify(id)} in it`, "cases are named like vma-2001-17");
  }
  const parts = recordings.reduce((n, r) => n + partsOf(r).length, 0);
  const jobs = flags.stop === true ? 1 : Math.min(flags.jobs, parts);
  let result: PartResult;
  if (jobs === 1) {
    result = await runAll(recordings, flags, here);
  } else {
    const filename = new URL("../replay/worker.js", import.meta.url).href;
    const pool = new Tinypool({ filename, runtime: "worker_threads", minThreads: 1, maxThreads: jobs });
    try {
      result = await runAll(recordings, flags, inPool(pool));
    } finally {
      await pool.destroy();
    }
  }
  process.stdout.write(`${String(result.passed)} passed, ${String(result.failed)} failed\n`);
  process.exitCode = result.failed === 0 ? 0 : 1;
}

const HELP = `
FILE is a recording: mm-trace/1 (.jsonl or .jsonl.gz), a workload (NAME.strace, with NAME.before.smaps and
NAME.after.smaps beside it) or mm-placement/1 (.json). Each runs on the variant that it was recorded on: base, or the patch.

Prints what differs, and ends with "N passed, N failed".
Exit status: 0 all as recorded; 1 something diverged; 2 bad input.

Examples:
  patchproof replay fixtures/traces/*.gz
  patchproof replay fixtures/traces/vma.rfc.seed2001.jsonl.gz --case vma-2001-17
  patchproof replay fixtures/workloads/qemu-memfd.strace`;

/** Adds `patchproof replay` to the program. */
export function replayCommand(program: Command): void {
  program
    .command("replay")
    .description("run recordings of real kernels in the model and compare after every step")
    .argument("<file...>", "recordings")
    .option("--case <id>", "only the case of this name (of a placement: the run)")
    .option("--variant <name>", "run on this variant instead of the recorded one")
    .option("--stop", "end at the first divergence")
    .option("--no-pages", "leave page states out of the comparison")
    .option("--jobs <n>", "workers to run at a time", parseJobs, availableParallelism())
    .addHelpText("after", HELP)
    .action(replay);
}
