// SPDX-License-Identifier: GPL-2.0-only
/**
 * Random faults, in the manner of swarm testing: each attempt first draws what can go wrong at all, so that a frequent
 * cause does not hide a rare one.
 */
import type { Prng } from "../../lib/prng.js";
import type { Obstacle } from "./scene.js";
import { CAUSES, lasting } from "./schedule.js";

/** Pages that are held at most. */
const MOST_HELD = 8;
const LASTS = [1, 2, 3, 5, 8, 9, 10, 15, Infinity] as const;
/** Percent of the pinning task's allocations that fail, where any do. */
const ALLOC_FAILURES = [0.001, 0.01, 0.1, 1] as const;

export interface RandomFaults {
  readonly obstacles: readonly Obstacle[];
  /** Percent. */
  readonly allocFailure: number;
  readonly words: string;
}

/** Draws faults for pages of a guest, of those that a pin must move. */
export function randomFaults(chance: Prng, pages: readonly number[]): RandomFaults {
  const enabled = CAUSES.filter(() => chance.below(2) === 1);
  const holders = enabled.filter((cause) => cause.kind !== "alloc");
  const allocFailure = enabled.length > holders.length ? ALLOC_FAILURES[chance.below(ALLOC_FAILURES.length)]! : 0;
  const obstacles: Obstacle[] = [];
  const held = new Set<number>();
  const wanted = holders.length === 0 || pages.length === 0 ? 0 : chance.below(MOST_HELD + 1);
  for (let n = 0; n < wanted; n++) {
    const pfn = pages[chance.below(pages.length)]!;
    const kind = holders[chance.below(holders.length)]!.kind;
    const attempts = LASTS[chance.below(LASTS.length)]!;
    if (!held.has(pfn)) obstacles.push({ pfn, kind, attempts });
    held.add(pfn);
  }
  const words = obstacles.map((o) => `${o.kind} on page ${String(o.pfn)} ${lasting(o.attempts)}`);
  if (allocFailure > 0) words.push(`${String(allocFailure)} % of allocations fail`);
  return { obstacles, allocFailure, words: words.length === 0 ? "nothing in the way" : words.join("; ") };
}
