// SPDX-License-Identifier: GPL-2.0-only
/** Short ways against the long ones: of all of the machine nothing may differ. */
import type { Machine } from "../../../include/machine.js";
import { expect, type BootOptions } from "../../../harness/kselftest/index.js";
import type { T } from "./memory.js";

/** What was looked up or made last, buffers of more machines than one, and places of batches from which the page is gone. */
const APART = new Set([
  "shortWays",
  "last",
  "lastKey",
  "last_key",
  "last_table",
  "finger",
  "idle_vmf",
  "buffers",
  "batch_calls",
]);

/** A line for each value that can be reached from `value`, with the way there. */
function linesOf(value: unknown, path: string, out: string[], seen: Map<object, string>): string[] {
  if (typeof value !== "object" || value === null) {
    out.push(`${path} = ${typeof value === "function" ? "function" : String(value)}`);
    return out;
  }
  const before = seen.get(value);
  if (before !== undefined) {
    out.push(`${path} = ${before}`);
    return out;
  }
  seen.set(value, path);
  if (ArrayBuffer.isView(value)) {
    const numbers = value as Uint8Array;
    for (let i = 0; i < numbers.length; i++) if (numbers[i] !== 0) out.push(`${path}[${i}] = ${numbers[i]!}`);
  } else if (value instanceof Map || value instanceof Set) {
    [...value].forEach((v, i) => linesOf(v, `${path}<${i}>`, out, seen));
  } else {
    for (const [key, v] of Object.entries(value)) if (!APART.has(key)) linesOf(v, `${path}.${key}`, out, seen);
  }
  return out;
}

/** Lines of one machine that another does not have. */
function without(some: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return some.filter((line) => !known.has(line));
}

/** What two machines differ in: what only the first is, and what only the second. */
export function differences(a: Machine, b: Machine): [string[], string[]] {
  const [first, second] = [a, b].map((k) => linesOf(k, "k", [], new Map())) as [string[], string[]];
  if (first.length === second.length && first.every((line, i) => line === second[i])) return [[], []];
  return [without(first, second), without(second, first)];
}

/** Plays a scene on a machine that goes short ways and on one that goes none; both must come to the same. */
export function bothWays(t: T, boot: BootOptions | undefined, play: (t: T) => void): void {
  const [short, long] = [true, false].map((shortWays) => {
    const { k, sys } = t.boot({ ...boot, shortWays });
    play(Object.create(t, { k: { value: k }, sys: { value: sys } }) as T);
    return k;
  }) as [Machine, Machine];
  expect(differences(short, long)).to.deep.equal([[], []]);
}
