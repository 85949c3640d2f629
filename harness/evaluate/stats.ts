// SPDX-License-Identifier: GPL-2.0-only
/** How sure a success rate is. */
import jstat from "jstat";

export interface Proportion {
  readonly successes: number;
  readonly trials: number;
  /** The 95 % interval (Jeffreys', which keeps its promise on average where trials are few), as fractions. */
  readonly low: number;
  readonly high: number;
}

const ALPHA = 0.05;

/** A success rate with its 95 % interval. */
export function proportion(successes: number, trials: number): Proportion {
  const { beta } = jstat.jStat;
  const low = successes === 0 ? 0 : beta.inv(ALPHA / 2, successes + 0.5, trials - successes + 0.5);
  const high = successes === trials ? 1 : beta.inv(1 - ALPHA / 2, successes + 0.5, trials - successes + 0.5);
  return { successes, trials, low, high };
}

/** Is the interval within `points` (a fraction, ±) of its middle? */
export function tightEnough(p: Proportion, points: number): boolean {
  return (p.high - p.low) / 2 <= points;
}
