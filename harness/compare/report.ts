// SPDX-License-Identifier: GPL-2.0-only
/** What a person and a later run get of a comparison: divergences as the replay prints them, cases as recordings. */
import { callInWords, printDivergence } from "../replay/print.js";
import type { TraceCase } from "../replay/trace-format.js";
import type { Colours } from "../output.js";
import type { Compared } from "./compare.js";
import type { Environment } from "./host.js";

/** A difference that is not on the list. */
export interface Found {
  /** The same for cases that are the same but for their names. */
  readonly key: string;
  readonly lines: readonly string[];
  /** The case as a line of a recording. */
  readonly trace: string;
}

/** Known differences and calls that are not modelled, by name: how many calls were left out because of each. */
export type Counts = ReadonlyMap<string, number>;

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly known: Counts;
  readonly found: readonly Found[];
}

export function addCounts(to: Map<string, number>, counts: Counts): void {
  for (const [name, count] of counts) to.set(name, (to.get(name) ?? 0) + count);
}

/** The header of a recording of the running kernel; a case is replayed on a machine like it. */
export function traceHeader({ release, cpu, config }: Environment): string {
  return JSON.stringify({ format: "mm-trace/1", kernel: release, variant: "base", cpu, config });
}

export function traceLine({ id, memlock, steps }: TraceCase): string {
  return JSON.stringify({ case: id, memlock, steps });
}

/** A difference in lines, with the calls that lead to it and the case to be compared again. */
export function foundIn(compared: Compared, environment: Environment, c: Colours): Found | null {
  const { divergence, answered } = compared;
  if (divergence === null) return null;
  const trace = traceLine(answered);
  const calls = answered.steps.map((step, i) => `    ${String(i)}: ${callInWords(step)}`);
  const lines = [
    ...printDivergence(divergence, `Linux ${environment.release} (expected) and the model (got)`, environment.pages, c),
    `  calls, with RLIMIT_MEMLOCK of ${answered.memlock === -1 ? "any number of" : String(answered.memlock)} pages:`,
    ...calls,
    `  again: patchproof compare-host --case '${trace}'`,
  ];
  const key = JSON.stringify([answered.memlock, answered.steps]);
  return { key, lines, trace };
}

/** Each difference once, with how many cases came down to it. */
export function linesOf(found: readonly Found[]): string[] {
  const groups = new Map<string, Found[]>();
  for (const one of found) groups.set(one.key, [...(groups.get(one.key) ?? []), one]);
  return [...groups.values()].flatMap((same) => [
    ...same[0]!.lines,
    ...(same.length > 1 ? [`  ${String(same.length)} cases come down to this one`] : []),
  ]);
}
