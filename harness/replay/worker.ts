// SPDX-License-Identifier: GPL-2.0-only
/** A worker of the replay: keeps the recordings and variants that it has met. */
import { importKernel } from "../variants/load.js";
import { answering } from "../workers.js";
import { type Part, type PartOptions, type PartResult, runPart } from "./jobs.js";
import { readRecording, type Recording } from "./recording.js";

export interface ReplayJob {
  readonly path: string;
  /** Folder of the compiled variant. */
  readonly dir: string;
  readonly part: Part;
  readonly options: PartOptions;
}

const recordings = new Map<string, Recording>();

async function replayPart(job: ReplayJob): Promise<PartResult> {
  let recording = recordings.get(job.path);
  if (recording === undefined) recordings.set(job.path, (recording = readRecording(job.path)));
  return runPart(await importKernel(job.dir), recording, job.part, job.options);
}

/** What the pool calls. */
export const runJob = answering(replayPart);
