// SPDX-License-Identifier: GPL-2.0-only
/** The tables of a report, as rows of words: one source for the terminal and for Markdown. */
import { describeCell } from "./cells.js";
import type { CellResult, Placement, Report, Use } from "./report.js";

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns that hold numbers, which stand on the right. */
  readonly numeric: readonly number[];
}

/** The patch in a sentence: file, form, what runs for it, what was left aside. */
export function patchWords(p: Report["patch"]): string {
  const runs = p.port === p.file ? "run as it stands" : `ported as ${p.port}`;
  const aside = p.aside.length === 0 ? "" : `; no code, left aside: ${p.aside.join(", ")}`;
  return `${p.file}: ${p.form}, ${runs}, ${String(p.addedLines)} added lines${aside}`;
}

function useTitle(uses: readonly Use[], id: string): string {
  return uses.find((u) => u.id === id)?.title ?? id;
}

function outcome(p: Placement): string {
  if (p.killed) return "OOM-killed";
  return p.advice === null ? "-" : p.advice;
}

/** Where the guest's memory landed, a row for each use. */
export function placementTable(r: Report): Table {
  return {
    head: ["use", "guest pages", "in CMA", "in Movable", "advice"],
    rows: r.placement.map((p) => [
      useTitle(r.uses, p.use),
      String(p.guestPages),
      String(p.inCma),
      String(p.inZoneMovable),
      outcome(p),
    ]),
    numeric: [1, 2, 3],
  };
}

/** "97% [93-99]", or "always" and "never" where nothing is random. */
export function successWords(c: CellResult): string {
  const { successes, trials, low, high } = c.success;
  if (!c.random) return successes === trials ? "always" : "never";
  const at = (x: number): string => (100 * x).toFixed(0);
  return `${at(successes / trials)}% [${at(low)}-${at(high)}]`;
}

/** The sweep: a row a cell, a column a use. */
function sweepOf(r: Report, uses: readonly Use[]): Table {
  const seen = new Map<string, string[]>();
  for (const c of r.cells) {
    if (!uses.some((u) => u.id === c.use)) continue;
    const key = describeCell(c);
    const row = seen.get(key) ?? [
      String(c.allocFailure),
      String(c.references),
      c.clearsAfter === 0 ? "-" : String(c.clearsAfter),
    ];
    row.push(successWords(c));
    seen.set(key, row);
  }
  return { head: ["fail %", "held", "for", ...uses.map((u) => u.id)], rows: [...seen.values()], numeric: [0, 1, 2] };
}

/** What the sweep's columns mean. */
export const SWEEP_LEGEND =
  "fail %: page allocations that fail; held, for: pages that must move and carry a temporary reference, and for how many attempts to move them; always, never: nothing random decides";

/** Uses that a table of 80 columns has room for. */
const USES_ABREAST = 4;

/** The sweep, in as many tables as its uses need. */
export function sweepTables(r: Report): Table[] {
  const uses = r.uses.filter((u) => r.cells.some((c) => c.use === u.id));
  const groups = Array.from({ length: Math.ceil(uses.length / USES_ABREAST) }, (_, i) =>
    uses.slice(i * USES_ABREAST, (i + 1) * USES_ABREAST),
  );
  return groups.map((group) => sweepOf(r, group));
}

/** What ended failed pins first: a row for each use and reason. */
export function failureTable(r: Report): Table {
  const counts = new Map<string, number>();
  for (const c of r.cells) {
    for (const f of c.failures) {
      const key = `${c.use}\0${f.what}`;
      counts.set(key, (counts.get(key) ?? 0) + f.count);
    }
  }
  const order = (key: string): number => r.uses.findIndex((u) => u.id === key.split("\0")[0]);
  const sorted = [...counts].sort(([a, n], [b, m]) => order(a) - order(b) || m - n);
  const rows = sorted.map(([key, n]) => [...key.split("\0"), String(n)]);
  return { head: ["use", "what failed first", "pins"], rows, numeric: [2] };
}

/** One pin of each row of {@link failureTable}, and why it failed: those that differ in the use alone told once. */
export function failureExamples(r: Report): { readonly what: string; readonly text: string }[] {
  const examples = new Map<string, string>();
  for (const { what, example } of r.cells.flatMap((c) => c.failures)) {
    if (example !== null && !examples.has(what)) examples.set(what, example.text);
  }
  return [...examples].map(([what, text]) => ({ what, text }));
}

/** Tests whose result differs between base and patch. */
export function differenceTable(r: Report): Table {
  const rows = (r.selftests?.differences ?? []).map((d) => [d.kind, d.test, d.base, d.patch]);
  return { head: ["", "test", "base", "patch"], rows, numeric: [] };
}

/** The patch's own added lines. */
export function coverageTable(r: Report): Table {
  const rows = (r.coverage ?? []).map((l) => [
    `${l.file}:${String(l.line)}`,
    l.state === "reached" ? `${String(l.tests)} tests` : l.state,
    l.text.trim(),
    l.first ?? "",
  ]);
  return { head: ["line", "reached by", "added line", "first test"], rows, numeric: [] };
}
