// SPDX-License-Identifier: GPL-2.0-only
/** A patch turned round: what it adds it removes. */
import { reversePatch } from "diff";
import type { LineKind, Patch, PatchHunk } from "./types.js";

const OTHER: Readonly<Record<LineKind, LineKind>> = { add: "remove", remove: "add", context: "context" };

function turnHunk(hunk: PatchHunk): PatchHunk {
  return {
    ...hunk,
    oldStart: hunk.newStart,
    oldLines: hunk.newLines,
    newStart: hunk.oldStart,
    newLines: hunk.oldLines,
    lines: hunk.lines.map((line) => ({
      ...line,
      kind: OTHER[line.kind],
      oldLine: line.newLine,
      newLine: line.oldLine,
    })),
  };
}

export function turnedRound(patch: Patch): Patch {
  const files = patch.files.map((file) => ({
    ...file,
    change:
      file.change === "create" ? ("delete" as const) : file.change === "delete" ? ("create" as const) : file.change,
    hunks: file.hunks.map(turnHunk),
    diff: reversePatch(file.diff),
  }));
  return { ...patch, files, added: patch.removed, removed: patch.added };
}
