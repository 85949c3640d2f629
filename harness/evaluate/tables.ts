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

/** "97.1 % [93–99]", or "always" and "never" where nothing is random. */
export function successWords(c: CellResult): string {
  const { successes, trials, low, high } = c.success;
  if (!c.random) return successes === trials ? "always" : "never";
  const at = (x: number): string => (100 * x).toFixed(0);
  return `${((100 * successes) / trials).toFixed(1)} % [${at(low)}-${at(high)}]`;
}

/** The sweep: a row a cell, a column a use. */
export function sweepTable(r: Report): Table {
  const seen = new Map<string, string[]>();
  for (const c of r.cells) {
    const key = describeCell(c);
    const row = seen.get(key) ?? [
      String(c.allocFailure),
      String(c.references),
      c.clearsAfter === 0 ? "-" : String(c.clearsAfter),
    ];
    row.push(successWords(c));
    seen.set(key, row);
  }
  const uses = r.uses.filter((u) => r.cells.some((c) => c.use === u.id));
  return {
    head: ["alloc fails %", "held", "attempts", ...uses.map((u) => u.id)],
    rows: [...seen.values()],
    numeric: [0, 1, 2],
  };
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
  const rows = [...counts].map(([key, n]) => [...key.split("\0"), String(n)]);
  return { head: ["use", "what failed first", "pins"], rows, numeric: [2] };
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
