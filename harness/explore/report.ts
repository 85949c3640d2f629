// SPDX-License-Identifier: GPL-2.0-only
/** The report of an exploration: what ran, what was found. */
import { signatureOf } from "./findings.js";
import { compareSchedules } from "./schedule.js";
import type { Found, Job, Tally } from "./types.js";

export const REPORT_FORMAT = "patchproof-explore/2";

/** Sums of a set-up, with or without the advice. */
export interface SetupRow {
  readonly setup: string;
  readonly advised: boolean;
  readonly pairs: number;
  readonly schedules: number;
  readonly blocked: number;
  readonly edge: number;
  /** Points, not schedules. */
  readonly same: number;
  /** Schedules that come to a finding. */
  readonly wrong: number;
}

export interface VariantReport {
  readonly variant: string;
  readonly setups: readonly SetupRow[];
  readonly points: readonly string[];
  readonly found: readonly Found[];
}

export interface ExploreReport {
  readonly format: typeof REPORT_FORMAT;
  readonly depth: number;
  readonly variants: readonly VariantReport[];
}

export interface Done {
  readonly job: Job;
  readonly tally: Tally;
}

/** One finding a signature, with the shortest of all schedules. */
function mergeFound(done: readonly Done[]): Found[] {
  const all = new Map<string, Found>();
  for (const found of done.flatMap(({ tally }) => tally.found)) {
    const key = signatureOf(found);
    const before = all.get(key);
    if (before === undefined) {
      all.set(key, found);
      continue;
    }
    const shorter = compareSchedules(found.shortest, before.shortest) < 0 ? found : before;
    all.set(key, { ...shorter, schedules: before.schedules + found.schedules });
  }
  return [...all.values()].sort((a, b) => compareSchedules(a.shortest, b.shortest));
}

function rowsOf(done: readonly Done[]): SetupRow[] {
  const rows = new Map<string, SetupRow>();
  for (const { job, tally } of done) {
    const key = `${job.setup} ${String(job.advised)}`;
    const row = rows.get(key);
    rows.set(key, {
      setup: job.setup,
      advised: job.advised,
      pairs: tally.pairs + (row?.pairs ?? 0),
      schedules: tally.schedules + (row?.schedules ?? 0),
      blocked: tally.blocked + (row?.blocked ?? 0),
      edge: tally.edge + (row?.edge ?? 0),
      same: tally.same + (row?.same ?? 0),
      wrong: tally.found.reduce((n, found) => n + found.schedules, 0) + (row?.wrong ?? 0),
    });
  }
  return [...rows.values()];
}

export function reportOf(variants: readonly string[], depth: number, all: readonly Done[]): ExploreReport {
  return {
    format: REPORT_FORMAT,
    depth,
    variants: variants.map((variant) => {
      const done = all.filter(({ job }) => job.variant === variant);
      const points = [...new Set(done.flatMap(({ tally }) => tally.points))].sort();
      return { variant, setups: rowsOf(done), points, found: mergeFound(done) };
    }),
  };
}
