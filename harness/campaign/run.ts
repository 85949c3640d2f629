// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof campaign`: builds the variants, runs the jobs, adds up what they find, and writes the reports. */
import { join } from "node:path";
import { Progress } from "../evaluate/progress.js";
import { checkWritable, writeFiles } from "../output.js";
import { Workers } from "../pool.js";
import { projectRoot } from "../root.js";
import { buildVariant } from "../variants/build.js";
import { findVariant } from "../variants/spec.js";
import {
  campaignUses,
  exhaustiveJobs,
  largeScene,
  randomJobs,
  smallScene,
  type CampaignJob,
  type CampaignUse,
  type Shard,
} from "./plan.js";
import { campaignJson, CAMPAIGN_FORMAT, mergeReports, type CampaignReport, type SinglePages } from "./report.js";
import type { Outcome, SceneOptions } from "./scene.js";
import { CAUSES, OPTIONS } from "./schedule.js";
import { addTallies, NOTHING, type Tally } from "./tally.js";
import { campaignTerminal } from "./terminal.js";

export interface CampaignOptions {
  readonly kind: "exhaustive" | "random";
  readonly variants: readonly string[];
  /** Most pages of an exhaustive campaign. */
  readonly pages: number;
  readonly seeds: number;
  readonly seed: number;
  readonly jobs: number;
  readonly shard: Shard;
  readonly json: boolean;
  readonly out?: string;
}

interface BuiltUse extends CampaignUse {
  /** Compiled tree of the variant. */
  readonly dir: string;
}

/** One part of the report, and the jobs whose tallies it adds up. */
interface Part {
  readonly use: BuiltUse;
  readonly scene: SceneOptions;
  readonly jobs: readonly CampaignJob[];
}

function partsOf(o: CampaignOptions, uses: readonly BuiltUse[]): Part[] {
  if (o.kind === "random") {
    return uses.map((use) => {
      return { use, scene: largeScene(use.advised), jobs: randomJobs(use.dir, use.advised, o.seeds, o.seed, o.shard) };
    });
  }
  const sizes = Array.from({ length: o.pages }, (_, n) => n + 1);
  return uses.flatMap((use) =>
    sizes.map((pages) => {
      return { use, scene: smallScene(pages, use.advised), jobs: exhaustiveJobs(use.dir, use.advised, pages, o.shard) };
    }),
  );
}

async function singlesOf(workers: Workers, use: BuiltUse): Promise<SinglePages> {
  const outcomes = (uses: number): Promise<Outcome[]> =>
    workers.run("runSingles", { dir: use.dir, scene: smallScene(1, use.advised, uses) });
  const [fresh, used] = await Promise.all([outcomes(1), outcomes(2)]);
  const of = (kind: string): Outcome[] => used.filter((_, n) => OPTIONS[n]?.kind === kind);
  const causes = Object.fromEntries(CAUSES.map(({ kind }) => [kind, of(kind)]));
  return { use: use.id, fresh: fresh[0]!, used: used[0]!, causes };
}

async function runParts(workers: Workers, parts: readonly Part[]): Promise<Tally[]> {
  const total = parts.reduce((n, part) => n + part.jobs.length, 0);
  const progress = new Progress(false, process.stderr, "jobs");
  let done = 0;
  try {
    return await Promise.all(
      parts.map(async ({ jobs }) => {
        const tallies = await Promise.all(
          jobs.map(async (job) => {
            const tally = await workers.run<Tally>("runJob", job);
            progress.sweep(++done, total);
            return tally;
          }),
        );
        return tallies.reduce(addTallies, NOTHING);
      }),
    );
  } finally {
    progress.stop();
  }
}

async function makeReport(o: CampaignOptions): Promise<CampaignReport> {
  const uses: BuiltUse[] = [];
  for (const use of campaignUses(o.variants)) uses.push({ ...use, dir: (await buildVariant(use.variant)).dir });
  const parts = partsOf(o, uses);
  const workers = new Workers(new URL("./worker.js", import.meta.url), o.jobs);
  try {
    const singles = o.kind === "random" ? [] : await Promise.all(uses.map((use) => singlesOf(workers, use)));
    const places = await Promise.all(
      parts.map(({ use, scene }) => workers.run<number>("runPlaces", { dir: use.dir, scene })),
    );
    const tallies = await runParts(workers, parts);
    return {
      format: CAMPAIGN_FORMAT,
      kind: o.kind,
      seed: o.seed,
      shard: o.shard,
      size: o.kind === "random" ? o.seeds : o.pages,
      singles,
      parts: parts.map(({ use, scene }, n) => {
        return { use: use.id, title: use.title, pages: scene.pages, inCma: places[n]!, tally: tallies[n]! };
      }),
    };
  } finally {
    await workers.end();
  }
}

function publish(report: CampaignReport, o: { readonly json: boolean; readonly out?: string }): number {
  const json = campaignJson(report);
  const text = campaignTerminal(report);
  writeFiles(
    new Map([
      [join(folderOf(o), "campaign.json"), json],
      [join(folderOf(o), "campaign.txt"), text],
    ]),
  );
  process.stdout.write(o.json ? json : text);
  return report.parts.some((part) => part.tally.broken > 0) ? 1 : 0;
}

function folderOf(o: { readonly out?: string }): string {
  return o.out ?? join(projectRoot(), "reports");
}

/** Runs a campaign. Returns the exit status: 1 where an invariant broke. */
export async function runCampaign(o: CampaignOptions): Promise<number> {
  for (const name of o.variants) findVariant(name);
  checkWritable(["campaign.json", "campaign.txt"].map((name) => join(folderOf(o), name)));
  return publish(await makeReport(o), o);
}

/** Makes one report of those of all shards. */
export function runMerge(paths: readonly string[], o: { readonly json: boolean; readonly out?: string }): number {
  return publish(mergeReports(paths), o);
}
