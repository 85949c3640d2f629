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

async function check<T>(
  comparer: Comparer,
  arbitrary: fc.Arbitrary<T>,
  caseOf: (value: T) => TraceCase,
  options: fc.Parameters<[T]>,
): Promise<Compared> {
  const compared: Compared[] = [];
  const same = fc.asyncProperty(arbitrary, async (value) => {
    const one = await comparer.compare(caseOf(value));
    compared.push(one);
    if (one.divergence !== null) throw new Differs();
  });
  const result = await fc.check(same, { numRuns: 1, ...options });
  const { errorInstance } = result;
  if (errorInstance instanceof Error && !(errorInstance instanceof Differs)) throw errorInstance;
  const shortest = compared.findLast((one) => one.divergence !== null);
  return shortest === undefined ? compared[0]! : { ...shortest, known: compared[0]!.known };
}

/** Makes a case, compares it and, where it differs, shrinks it to the shortest that still does. */
export function compareMade(comparer: Comparer, seed: number, index: number, shrink: boolean): Promise<Compared> {
  const named = (c: MadeCase): TraceCase => ({ id: caseId(seed, index), line: 0, ...c });
  const options = { seed: seedOf(seed, index), unbiased: true, endOnFailure: !shrink };
  return check(comparer, arbitraryCase(), named, options);
}

/** Compares a case that was given; what shrinks is the number of its calls. */
export function compareGiven(comparer: Comparer, given: TraceCase, shrink: boolean): Promise<Compared> {
  const kept = given.steps.map(() => true);
  const chosen = fc.tuple(...kept.map(() => fc.boolean()));
  const some = (keep: boolean[]): TraceCase => ({ ...given, steps: given.steps.filter((_, i) => keep[i]) });
  return check(comparer, chosen, some, { examples: [[kept]], endOnFailure: !shrink });
}
