// SPDX-License-Identifier: GPL-2.0-only
/** One worker of the explorer: keeps the worlds that it has met. */
import { importKernel } from "../variants/load.js";
import { answering } from "../workers.js";
import { search } from "./search.js";
import { findSetup } from "./setups.js";
import type { Job, Tally } from "./types.js";
import { World } from "./world.js";

const worlds = new Map<string, Promise<World>>();

/** The world of a set-up on a variant. */
async function makeWorld(job: Pick<Job, "kernelDir" | "setup" | "advised">): Promise<World> {
  return new World(await importKernel(job.kernelDir), findSetup(job.setup)!, job.advised);
}

function worldFor(job: Job): Promise<World> {
  const key = `${job.kernelDir}\0${job.setup}\0${String(job.advised)}`;
  let world = worlds.get(key);
  if (world === undefined) worlds.set(key, (world = makeWorld(job)));
  return world;
}

/** All schedules of a job; null where its advice is not known, which makes it the job without. */
async function explore(job: Job): Promise<Tally | null> {
  const world = await worldFor(job);
  return job.advised && !world.advised ? null : search(world, job);
}

/** What the pool calls. */
export const runJob = answering(explore);
