// SPDX-License-Identifier: GPL-2.0-only
/** Applies and reverses the hunks of a patch, and knows on which line of the result each added line came to lie. */
import { applyPatch, reversePatch, type ApplyPatchOptions, type StructuredPatch } from "diff";
import { UserError } from "../errors.js";
import { placeOf, type Patch, type PatchFile } from "./types.js";

/** A line that a patch adds, where it lies in the patched tree. */
export interface AddedLine {
  /** Path from the top of the tree, and line number there. */
  readonly path: string;
  readonly line: number;
  readonly text: string;
  /** Line number in the patch. */
  readonly source: number;
}

export interface Applied {
  readonly text: string;
  readonly added: AddedLine[];
}

/** Where a patch goes and what is said when it does not: "the base tree". */
export interface Target {
  readonly patch: Pick<Patch, "file" | "whitespaceDamaged">;
  readonly tree: string;
  readonly todo: string;
}

const MARK = /\uE000(\d+)\uE001/;

function options(whitespaceDamaged: boolean): ApplyPatchOptions {
  if (!whitespaceDamaged) return {};
  const squeeze = (text: string): string => text.replace(/\s+/g, " ").trim();
  return { compareLine: (_number, line, _operation, content) => squeeze(line) === squeeze(content) };
}

function tryApply(text: string, diff: StructuredPatch, whitespaceDamaged: boolean): string | undefined {
  const result = applyPatch(text, diff, options(whitespaceDamaged));
  return result === false ? undefined : result;
}

/** The patch with every added line marked by its number. */
function marked(file: PatchFile): StructuredPatch {
  let n = 0;
  const mark = (line: string): string => (line.startsWith("+") ? `+\uE000${String(n++)}\uE001${line.slice(1)}` : line);
  return { ...file.diff, hunks: file.diff.hunks.map((hunk) => ({ ...hunk, lines: hunk.lines.map(mark) })) };
}

/** Index of the first hunk that does not apply once those before it have; -1 where all do. */
export function firstFailingHunk(text: string, diff: StructuredPatch, whitespaceDamaged = false): number {
  for (let n = 1; n <= diff.hunks.length; n++) {
    const some = { ...diff, hunks: diff.hunks.slice(0, n) };
    if (tryApply(text, some, whitespaceDamaged) === undefined) return n - 1;
  }
  return -1;
}

function refuse(text: string, file: PatchFile, target: Target): UserError {
  const { whitespaceDamaged } = target.patch;
  if (tryApply(text, reversePatch(file.diff), whitespaceDamaged) !== undefined) {
    const what = `the diff of ${file.path} is reversed: turned round, it applies to ${target.tree}`;
    return new UserError(placeOf(target.patch, file), what, "give the diff from old to new");
  }
  const at = Math.max(0, firstFailingHunk(text, file.diff, whitespaceDamaged));
  const hunk = file.hunks[at] ?? file;
  const what = `hunk ${String(at + 1)} of ${String(file.hunks.length)} for ${file.path} does not apply to ${target.tree}`;
  return new UserError(placeOf(target.patch, hunk), what, target.todo);
}

/** Applies one file's hunks to `text`; a UserError names the hunk that does not apply. */
export function applyFile(text: string, file: PatchFile, target: Target): Applied {
  const result = tryApply(text, marked(file), target.patch.whitespaceDamaged);
  if (result === undefined) throw refuse(text, file, target);
  const sources = file.hunks.flatMap((hunk) => hunk.lines.filter((line) => line.kind === "add"));
  const added: AddedLine[] = [];
  const lines = result.split("\n").map((line, i) => {
    const match = MARK.exec(line);
    if (match === null) return line;
    const clean = line.replace(MARK, "");
    added.push({ path: file.path, line: i + 1, text: clean, source: sources[Number(match[1])]?.source ?? file.source });
    return clean;
  });
  return { text: lines.join("\n"), added };
}

/** Takes one file's hunks out of `text`; undefined where one of them is not in it. */
export function unapplyFile(text: string, file: PatchFile): string | undefined {
  return tryApply(text, reversePatch(file.diff), false);
}
