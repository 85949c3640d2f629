// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof replay`: recordings of real kernels against the model, side by side in workers. */
import { Tinypool } from "tinypool";
import type { ReplayFlags } from "../commands/replay.js";
import { UserError } from "../errors.js";
import { wantsColour } from "../output.js";
import { type LoadedVariant, loadVariant } from "../variants/load.js";
import { type Answer, valueOf } from "../workers.js";
import { type PartOptions, type PartResult, partsOf, runPart } from "./jobs.js";
import { readRecording, type Recording } from "./recording.js";
import type { ReplayJob } from "./worker.js";

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
      return pool.run(job, { name: "runJob" }) as Promise<Answer<PartResult>>;
    });
    for (const answer of await Promise.all(running)) onResult(valueOf(answer));
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

/** Replays the files and prints what differs; returns the exit status. */
export async function replay(files: readonly string[], flags: ReplayFlags): Promise<number> {
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
    const filename = new URL("./worker.js", import.meta.url).href;
    const pool = new Tinypool({ filename, runtime: "worker_threads", minThreads: 1, maxThreads: jobs });
    try {
      result = await runAll(recordings, flags, inPool(pool));
    } finally {
      await pool.destroy();
    }
  }
  process.stdout.write(`${String(result.passed)} passed, ${String(result.failed)} failed\n`);
  return result.failed === 0 ? 0 : 1;
}
