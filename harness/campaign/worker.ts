// SPDX-License-Identifier: GPL-2.0-only
/** One worker of a campaign: attempts at guests that it keeps, one a variant and size. */
import { Prng } from "../../lib/prng.js";
import { trialSeed } from "../evaluate/cells.js";
import { importKernel, type KernelModule } from "../variants/load.js";
import { answering } from "../workers.js";
import type { CampaignJob } from "./plan.js";
import { randomFaults } from "./random.js";
import { Scene, type Obstacle, type Outcome, type SceneOptions } from "./scene.js";
import { describeSchedule, eachSchedule, OPTIONS, type Schedule } from "./schedule.js";
import { TallyBuilder, type Tally } from "./tally.js";

/** One attempt in so many, of random ones and of those with three pages, is followed by a check of the whole machine, which takes as long as the attempt. */
const CHECKED = 16;

const kernels = new Map<string, Promise<KernelModule>>();
const scenes = new Map<string, Scene>();

async function sceneOf(dir: string, options: SceneOptions): Promise<Scene> {
  const key = JSON.stringify([dir, options]);
  let kernel = kernels.get(dir);
  if (kernel === undefined) kernels.set(dir, (kernel = importKernel(dir)));
  const loaded = await kernel;
  let scene = scenes.get(key);
  if (scene === undefined) scenes.set(key, (scene = new Scene(loaded, options)));
  return scene;
}

function obstaclesOf(scene: Scene, schedule: Schedule): Obstacle[] {
  return schedule.flatMap((fault, page) => (fault === null ? [] : { ...fault, pfn: scene.frames[page]! }));
}

/** What each of {@link OPTIONS} comes to on a guest of one page. */
function singles(scene: Scene): Outcome[] {
  return OPTIONS.map((fault) => scene.attempt(obstaclesOf(scene, [fault])).outcome);
}

/**
 * What the pages of a schedule come to one by one, in the order of the passes: the first is without a target, from the
 * fourth on locks are waited for, the tenth gives up; and only then is what was not listed looked at again.
 */
function predicted(schedule: Schedule, alone: ReadonlyMap<Schedule[number], Outcome>): Outcome {
  const each = new Set(schedule.map((fault) => alone.get(fault)));
  if (schedule.some((fault) => fault?.kind === "alloc" && alone.get(fault) === "fails")) return "fails";
  for (const outcome of ["sleeps", "fails", "loops"] as const) if (each.has(outcome)) return outcome;
  return "succeeds";
}

async function exhaustive(job: Extract<CampaignJob, { kind: "exhaustive" }>): Promise<Tally> {
  const scene = await sceneOf(job.dir, job.scene);
  const alone = singles(await sceneOf(job.dir, { ...job.scene, pages: 1 }));
  const byFault = new Map(OPTIONS.map((fault, i) => [fault, alone[i]!]));
  const tally = new TallyBuilder();
  let at = job.from;
  eachSchedule(job.scene.pages, job.from, job.to, (schedule) => {
    const attempt = scene.attempt(obstaclesOf(scene, schedule));
    tally.attempt(attempt, at, new Set(schedule.flatMap((fault) => fault?.kind ?? [])));
    const expected = predicted(schedule, byFault);
    if (attempt.outcome !== expected) {
      tally.surprise(at, () => `${describeSchedule(schedule)}: ${attempt.outcome}, though alone it ${expected}`);
    }
    const broken = job.scene.pages < 3 || at % CHECKED === 0 ? scene.aftermath(attempt) : [];
    if (broken.length > 0) tally.breaks(at, () => `${describeSchedule(schedule)}: ${broken[0]!}`);
    at++;
  });
  return tally.tally;
}

async function random(job: Extract<CampaignJob, { kind: "random" }>): Promise<Tally> {
  const scene = await sceneOf(job.dir, job.scene);
  const tally = new TallyBuilder();
  for (let at = job.from; at < job.to; at++) {
    const seed = trialSeed(job.seed, 0, at);
    const { obstacles, allocFailure, words } = randomFaults(new Prng(seed), scene.inCma);
    const attempt = scene.attempt(obstacles, allocFailure, seed);
    const causes = new Set<string>(obstacles.map((one) => one.kind));
    if (allocFailure > 0) causes.add("alloc");
    tally.attempt(attempt, at, causes);
    if (at % CHECKED !== 0) continue;
    const broken = scene.aftermath(attempt);
    if (broken.length > 0) tally.breaks(at, () => `seed ${String(at)}: ${words}: ${broken[0]!}`);
  }
  return tally.tally;
}

/** What the pool calls. */
export const runJob = answering((job: CampaignJob) => (job.kind === "exhaustive" ? exhaustive(job) : random(job)));

/** The same for the outcomes of single pages. */
export const runSingles = answering(async (job: { dir: string; scene: SceneOptions }) =>
  singles(await sceneOf(job.dir, job.scene)),
);

/** How many pages of a guest lie in CMA. */
export const runPlaces = answering(async (job: { dir: string; scene: SceneOptions }) => {
  return (await sceneOf(job.dir, job.scene)).inCma.length;
});
