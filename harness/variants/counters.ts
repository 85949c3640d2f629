// SPDX-License-Identifier: GPL-2.0-only
/** Which of Istanbul's counters say whether a line of TypeScript ran, found through the compiler's source map. */
import { readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import type { FileCoverage, Position, Range } from "istanbul-lib-instrument";
import type { AddedLine } from "../patch/apply.js";

/** How often the line has run. */
export type Counter = () => number;

/** Lines on which nothing runs: braces, comments, imports, types, labels of nothing, variables without a value. */
const IDLE = [
  /^[\s{}()[\];,]*$/,
  /^\s*(\/\/|\/\*|\*)/,
  /^\s*(import|export)\b.*\bfrom\b/,
  /^\s*import\b/,
  /^\s*(export\s+)?(declare|type|interface)\b/,
  /^\s*\}?\s*else\s*\{?$/,
  /^\s*let\s+\w+!?(\s*:[^=]*)?;$/,
];

class Mapping {
  private readonly map: SourceMap;
  constructor(js: string) {
    this.map = new SourceMap(JSON.parse(readFileSync(`${js}.map`, "utf8")) as SourceMapPayload);
  }
  /** Line of the TypeScript source, from 1; 0 where the map has none. */
  line(at: Position): number {
    const entry = this.map.findEntry(at.line - 1, at.column);
    return "originalLine" in entry ? entry.originalLine + 1 : 0;
  }
}

const mappings = new Map<string, { mapping: Mapping; code: string[] }>();

function compiled(js: string): { mapping: Mapping; code: string[] } {
  let known = mappings.get(js);
  if (known === undefined) {
    known = { mapping: new Mapping(js), code: readFileSync(js, "utf8").split("\n") };
    mappings.set(js, known);
  }
  return known;
}

function textOf(code: readonly string[], range: Range): string {
  const lines = code.slice(range.start.line - 1, range.end.line);
  const last = lines.length - 1;
  if (last >= 0) lines[last] = (lines[last] ?? "").slice(0, range.end.column);
  if (last >= 0) lines[0] = (lines[0] ?? "").slice(range.start.column);
  return lines.join("\n");
}

/**
 * Counter of a case label. Istanbul counts a label also when control falls into it from the one above; only what
 * jumped to this very label is wanted.
 */
function caseCounter(line: number, coverage: FileCoverage, js: string): Counter | undefined {
  const { mapping, code } = compiled(js);
  for (const [id, branch] of Object.entries(coverage.branchMap)) {
    if (branch.type !== "switch") continue;
    const arm = branch.locations.findIndex((range) => mapping.line(range.start) === line);
    if (arm < 0) continue;
    const above = branch.locations[arm - 1];
    const falls = above !== undefined && /^(case\b[^]*|default\s*):\s*$/.test(textOf(code, above));
    return () => (coverage.b[id]?.[arm] ?? 0) - (falls ? (coverage.b[id]?.[arm - 1] ?? 0) : 0);
  }
  return undefined;
}

/** Statements and functions that begin on the line. */
function startingOn(line: number, coverage: FileCoverage, mapping: Mapping): Counter[] {
  const counters: Counter[] = [];
  for (const [id, range] of Object.entries(coverage.statementMap)) {
    if (mapping.line(range.start) === line) counters.push(() => coverage.s[id] ?? 0);
  }
  for (const [id, fn] of Object.entries(coverage.fnMap)) {
    if (mapping.line(fn.decl.start) === line) counters.push(() => coverage.f[id] ?? 0);
  }
  return counters;
}

/** The smallest statement that the line continues. */
function enclosing(line: number, coverage: FileCoverage, mapping: Mapping): Counter | undefined {
  let best: { id: string; size: number } | undefined;
  for (const [id, range] of Object.entries(coverage.statementMap)) {
    const from = mapping.line(range.start);
    const to = mapping.line(range.end);
    if (from < line && line <= to && (best === undefined || to - from < best.size)) best = { id, size: to - from };
  }
  const id = best?.id;
  return id === undefined ? undefined : () => coverage.s[id] ?? 0;
}

/** The counter of an added line; null where there is nothing on it to run. `js` is the compiled file, uninstrumented. */
export function counterOf(line: AddedLine, coverage: FileCoverage, js: string): Counter | null {
  if (IDLE.some((pattern) => pattern.test(line.text))) return null;
  if (/^\s*(case\b|default\s*:)/.test(line.text)) {
    const counter = caseCounter(line.line, coverage, js);
    if (counter !== undefined) return counter;
  }
  const { mapping } = compiled(js);
  const starting = startingOn(line.line, coverage, mapping);
  // Of `if (a) b;` on one line the line ran when b did.
  if (starting.length > 0) return () => Math.min(...starting.map((counter) => counter()));
  return enclosing(line.line, coverage, mapping) ?? null;
}
