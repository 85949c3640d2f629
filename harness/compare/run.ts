// SPDX-License-Identifier: GPL-2.0-only
/** A run of random cases: each has a seed of its own, so that parts can run side by side and any case again alone. */
import fc from "fast-check";
import type { TraceCase } from "../replay/trace-format.js";
import { arbitraryCase, type MadeCase } from "./cases.js";
import type { Compared, Comparer } from "./compare.js";

/** The seed of one case of a run: two numbers mixed into 32 bits. */
export function seedOf(seed: number, index: number): number {
  let h = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) | 0;
}

/** The name of a case of a run. */
export function caseId(seed: number, index: number): string {
  return `host-${String(seed)}-${String(index)}`;
}

class Differs extends Error {}

/** Makes a case, compares it and, where it differs, shrinks it to the shortest that still does. */
export async function compareMade(
  comparer: Comparer,
  seed: number,
  index: number,
  shrink: boolean,
  made: fc.Arbitrary<MadeCase> = arbitraryCase(),
): Promise<Compared> {
  const named = (c: MadeCase): TraceCase => ({ id: caseId(seed, index), line: 0, ...c });
  let first: Compared | null = null;
  const same = fc.asyncProperty(made, async (c) => {
    const compared = await comparer.compare(named(c));
    first ??= compared;
    if (compared.divergence !== null) throw new Differs();
  });
  const options = { seed: seedOf(seed, index), numRuns: 1, unbiased: true, endOnFailure: !shrink };
  const result = await fc.check(same, options);
  if (result.errorInstance !== null && !(result.errorInstance instanceof Differs)) throw result.errorInstance;
  if (result.counterexample === null) return first!;
  const shortest = await comparer.compare(named(result.counterexample[0]));
  return { ...shortest, known: first!.known };
}
