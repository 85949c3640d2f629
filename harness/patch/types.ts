// SPDX-License-Identifier: GPL-2.0-only
/** A patch as it was read: what it says, what form it came in, what had to be repaired. */
import type { StructuredPatch } from "diff";

/** A line of the input file, with its number there (from 1). */
export interface SourceLine {
  readonly text: string;
  readonly source: number;
}

export type LineKind = "add" | "remove" | "context";

export interface PatchLine {
  readonly kind: LineKind;
  /** The line without its diff character. */
  readonly text: string;
  /** Line number in the old and in the new file; 0 where it is in only one of them. */
  readonly oldLine: number;
  readonly newLine: number;
  /** Line number in the input file. */
  readonly source: number;
}

export interface PatchHunk {
  readonly oldStart: number;
  readonly oldLines: number;
  readonly newStart: number;
  readonly newLines: number;
  /** What follows the second @@: the function that the hunk is in, as diff found it. */
  readonly section: string;
  readonly source: number;
  readonly lines: readonly PatchLine[];
}

export interface PatchFile {
  /** Path from the top of the tree, as of after the patch (of before, if it deletes the file). */
  readonly path: string;
  readonly change: "modify" | "create" | "delete" | "rename";
  readonly source: number;
  readonly hunks: readonly PatchHunk[];
  /** The same, as the diff package has it, for applying and reversing. */
  readonly diff: StructuredPatch;
}

export type PatchForm = "mail" | "diff" | "archive";

export const FORM_NAMES: Readonly<Record<PatchForm, string>> = {
  mail: "a mail (mbox)",
  diff: "a plain diff",
  archive: "the page of a mail archive",
};

export interface Patch {
  /** The input file, as it was named. */
  readonly file: string;
  readonly form: PatchForm;
  readonly subject: string;
  readonly author: string;
  readonly date: string;
  readonly messageId: string;
  /** What was damaged and how it was repaired, a sentence each. */
  readonly damage: readonly string[];
  /** Runs of blanks and tabs are not what they were: compare lines without regard to them. */
  readonly whitespaceDamaged: boolean;
  readonly language: "c" | "ts";
  readonly files: readonly PatchFile[];
  readonly added: number;
  readonly removed: number;
}

/** "FILE:LINE" of a place in the input. */
export function placeOf(patch: { readonly file: string }, at: { readonly source: number }): string {
  return `${patch.file}:${String(at.source)}`;
}

/** All lines of one kind of a file, in order. */
export function linesOf(file: { readonly hunks: readonly PatchHunk[] }, kind: LineKind): PatchLine[] {
  return file.hunks.flatMap((hunk) => hunk.lines.filter((line) => line.kind === kind));
}
