// SPDX-License-Identifier: GPL-2.0-only
/**
 * One hunk out of text that may have lost the blank in front of its context lines. The counts in the hunk's header
 * say where it ends, and which lines must be context although they begin with + or -.
 */
import { UserError } from "../errors.js";
import type { LineKind, PatchHunk, PatchLine, SourceLine } from "./types.js";

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/;

export interface ReadHunk {
  readonly hunk: PatchHunk;
  /** Index after the last line of the hunk. */
  readonly next: number;
  /** Context lines that had lost the blank in front: those with text, and empty ones. */
  readonly unblanked: number;
  readonly emptied: number;
  /** Does the last line lack its line end ("\ No newline at end of file")? */
  readonly noEndOld: boolean;
  readonly noEndNew: boolean;
}

export function isHunkHeader(text: string): boolean {
  return text.startsWith("@@ ");
}

/** Does a file's part of the diff, or the mail's signature, begin at line `i`? */
function isBoundary(lines: readonly SourceLine[], i: number): boolean {
  const text = lines[i]?.text;
  if (text === undefined || text.startsWith("diff --git ") || HUNK.test(text)) return true;
  const next = lines[i + 1]?.text ?? "";
  if (text.startsWith("--- ") && next.startsWith("+++ ")) return true;
  return /^-- ?$/.test(text) && /^\d+\.\d+/.test(next);
}

function literalKind(text: string): LineKind | "marker" {
  switch (text[0]) {
    case "+":
      return "add";
    case "-":
      return "remove";
    case "\\":
      return "marker";
    default:
      return "context";
  }
}

/** Kinds of the lines from `start` on that meet the counts; tried as they stand first, as lost context after. */
function fit(lines: readonly SourceLine[], start: number, oldLines: number, newLines: number): LineKind[] | undefined {
  const dead = new Set<string>();
  const walk = (i: number, o: number, n: number): LineKind[] | undefined => {
    if (o === 0 && n === 0) return /^[-+ ]\s*\S/.test(lines[i]?.text ?? "") && !isBoundary(lines, i) ? undefined : [];
    if (o < 0 || n < 0 || isBoundary(lines, i)) return undefined;
    const key = `${String(i)} ${String(o)} ${String(n)}`;
    if (dead.has(key)) return undefined;
    const kind = literalKind(lines[i]?.text ?? "");
    if (kind === "marker") return walk(i + 1, o, n);
    for (const as of new Set<LineKind>([kind, "context"])) {
      const rest = walk(i + 1, as === "add" ? o : o - 1, as === "remove" ? n : n - 1);
      if (rest !== undefined) return [as, ...rest];
    }
    dead.add(key);
    return undefined;
  };
  return walk(start, oldLines, newLines);
}

/** Why no reading of the lines meets the counts. */
function misfit(lines: readonly SourceLine[], at: number, file: string, o: number, n: number): UserError {
  let old = 0;
  let now = 0;
  let i = at + 1;
  for (; !isBoundary(lines, i) && (old < o || now < n); i++) {
    const kind = literalKind(lines[i]?.text ?? "");
    if (kind === "marker") continue;
    if (kind !== "add") old++;
    if (kind !== "remove") now++;
  }
  const where = `${file}:${String(lines[at]?.source ?? 0)}`;
  const counts = `the hunk announces ${String(o)} old and ${String(n)} new lines`;
  if (i >= lines.length) {
    const last = lines.at(-1)?.source ?? 0;
    const what = `the diff is cut off: ${counts}, and the file ends at line ${String(last)} after ${String(old)} and ${String(now)}`;
    return new UserError(where, what, "save the patch again, whole");
  }
  if (isBoundary(lines, i) && old <= o && now <= n) {
    const what = `lines are missing: ${counts}, and has ${String(old)} and ${String(now)} before line ${String(lines[i]?.source ?? 0)}`;
    return new UserError(where, what, "save the patch again, whole, or mend the counts after @@");
  }
  const what = `${counts}, and its lines do not add up to that`;
  return new UserError(where, what, "was a line wrapped or edited? Take the patch as it was mailed");
}

/** Reads the hunk whose header is `lines[at]`. */
export function readHunk(lines: readonly SourceLine[], at: number, file: string): ReadHunk {
  const source = lines[at]?.source ?? 0;
  const match = HUNK.exec(lines[at]?.text ?? "");
  if (match === null) {
    throw new UserError(
      `${file}:${String(source)}`,
      "a hunk header that cannot be read",
      "it reads @@ -LINE,COUNT +LINE,COUNT @@",
    );
  }
  const oldLines = Number(match[2] ?? 1);
  const newLines = Number(match[4] ?? 1);
  const kinds = fit(lines, at + 1, oldLines, newLines);
  if (kinds === undefined) throw misfit(lines, at, file, oldLines, newLines);
  // A count of 0 names the line before.
  let oldLine = Number(match[1]) + (oldLines === 0 ? 1 : 0);
  let newLine = Number(match[3]) + (newLines === 0 ? 1 : 0);
  const start = { oldStart: oldLine, newStart: newLine };
  const read: PatchLine[] = [];
  const count = { unblanked: 0, emptied: 0, noEndOld: false, noEndNew: false };
  let i = at + 1;
  const marker = (): void => {
    if (lines[i]?.text.startsWith("\\") !== true) return;
    const last = read.at(-1)?.kind;
    count.noEndOld ||= last !== "add";
    count.noEndNew ||= last !== "remove";
    i++;
  };
  for (const kind of kinds) {
    marker();
    const line = lines[i++] ?? { text: "", source };
    const lost = kind === "context" && !line.text.startsWith(" ");
    if (lost && line.text === "") count.emptied++;
    else if (lost) count.unblanked++;
    const text = lost ? line.text : line.text.slice(1);
    const numbers = { oldLine: kind === "add" ? 0 : oldLine, newLine: kind === "remove" ? 0 : newLine };
    read.push({ kind, text, ...numbers, source: line.source });
    if (kind !== "add") oldLine++;
    if (kind !== "remove") newLine++;
  }
  marker();
  const hunk: PatchHunk = { ...start, oldLines, newLines, section: match[5] ?? "", source, lines: read };
  return { hunk, next: i, ...count };
}
