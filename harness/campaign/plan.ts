// SPDX-License-Identifier: GPL-2.0-only
/** What a campaign runs: uses of the variants, jobs, shards. */
import { UserError } from "../errors.js";
import type { SceneOptions } from "./scene.js";
import { countSchedules } from "./schedule.js";

/** One way in which a guest is run. */
export interface CampaignUse {
  readonly id: string;
  readonly title: string;
  readonly variant: string;
  readonly advised: boolean;
}

export type CampaignJob =
  | {
      readonly kind: "exhaustive";
      readonly dir: string;
      readonly scene: SceneOptions;
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly kind: "random";
      readonly dir: string;
      readonly scene: SceneOptions;
      readonly from: number;
      readonly to: number;
      readonly seed: number;
    };

/** Part `index` of `count`, from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

const MIB = 1 << 20;
/** Small, since each attempt starts from a copy of all of it; over half of it is CMA, so that the guest lands there. */
const SMALL = { memory: 16 * MIB, cma: 10 * MIB, uses: 2 };
/** A guest of 64 MiB, a part of it in CMA. */
const LARGE = { memory: 128 * MIB, cma: 32 * MIB, pages: (64 * MIB) / 4096, uses: 2 };
const SCHEDULES_A_JOB = 3000;
const SEEDS_A_JOB = 100;

/** The guest of {@link exhaustiveJobs}. */
export function smallScene(pages: number, advised: boolean, uses = SMALL.uses): SceneOptions {
  return { ...SMALL, pages, advised, uses };
}

export function largeScene(advised: boolean): SceneOptions {
  return { ...LARGE, advised };
}

/** base is run as it is; another variant with the advice and without. */
export function campaignUses(variants: readonly string[]): CampaignUse[] {
  return variants.flatMap((variant) => {
    const plain = { id: variant, title: variant, variant, advised: false };
    if (variant === "base") return [plain];
    const advised = { id: `${variant}+advice`, title: `${variant}, guest advised`, variant, advised: true };
    return [{ ...plain, title: `${variant}, advice not used` }, advised];
  });
}

/** The ranges of [0, total) that are a shard's, at most `size` long: one after the other in turn, so that shards are alike. */
export function ranges(total: number, size: number, shard: Shard): { readonly from: number; readonly to: number }[] {
  const all = Array.from({ length: Math.ceil(total / size) }, (_, n) => n * size);
  return all
    .filter((_, n) => n % shard.count === shard.index - 1)
    .map((from) => ({ from, to: Math.min(total, from + size) }));
}

export function exhaustiveJobs(dir: string, advised: boolean, pages: number, shard: Shard): CampaignJob[] {
  return ranges(countSchedules(pages), SCHEDULES_A_JOB, shard).map((range) => {
    return { kind: "exhaustive", dir, scene: smallScene(pages, advised), ...range };
  });
}

export function randomJobs(dir: string, advised: boolean, seeds: number, seed: number, shard: Shard): CampaignJob[] {
  return ranges(seeds, SEEDS_A_JOB, shard).map((range) => {
    return { kind: "random", dir, scene: largeScene(advised), ...range, seed };
  });
}

/** "2/5" */
export function parseShard(text: string): Shard {
  const [index = NaN, count = NaN] = /^\d+\/\d+$/.test(text) ? text.split("/").map(Number) : [];
  if (index >= 1 && index <= count && count <= 10_000) return { index, count };
  throw new UserError("--shard", `'${text}' is not a part of the whole`, "write I/N with I from 1 to N, as in 2/4");
}
