// SPDX-License-Identifier: GPL-2.0-only
/**
 * Rewrites the diff of the patch under review from the tree (npm run patch:refresh). The tree has the patch applied;
 * what the old diff added is looked for in it line by line, so lines may have moved and the context may have changed.
 */
import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createTwoFilesPatch, reversePatch, applyPatch } from "diff";
import { describeFailure, UserError } from "../errors.js";
import { writeFileWhole } from "../output.js";
import { unapplyFile } from "../patch/apply.js";
import { placeOf, type Patch, type PatchFile, type PatchHunk, type PatchLine } from "../patch/types.js";
import { projectRoot } from "../root.js";
import { reviewVariant } from "./spec.js";
import { readTree } from "./tree.js";

interface Run {
  readonly removed: readonly PatchLine[];
  readonly added: readonly PatchLine[];
}

/** The changes of a hunk: each a run of removed lines and the added ones that replace them. */
function runsOf(hunk: PatchHunk): Run[] {
  const runs: { removed: PatchLine[]; added: PatchLine[] }[] = [];
  let open = false;
  for (const line of hunk.lines) {
    if (line.kind === "context") open = false;
    else {
      if (!open) runs.push({ removed: [], added: [] });
      open = true;
      runs.at(-1)?.[line.kind === "add" ? "added" : "removed"].push(line);
    }
  }
  return runs;
}

/** Index and number of the lines that hold these, nearest to line `near`; layout may differ, as prettier leaves it. */
function findRun(lines: readonly string[], wanted: readonly string[], near: number): [number, number] | undefined {
  const bare = (text: string): string => text.replace(/\s+/g, "");
  const sought = wanted.map(bare).join("");
  const places = lines.flatMap((_, at): [number, number][] => {
    let length = 0;
    let got = "";
    while (at + length < lines.length && (got.length < sought.length || length < 1))
      got += bare(lines[at + length++] ?? "");
    return got === sought ? [[at, Math.max(length, sought === "" ? wanted.length : 0)]] : [];
  });
  const starts = places.filter(([at]) => bare(lines[at] ?? "") !== "" || bare(wanted[0] ?? "") === "");
  return starts.sort(([a], [b]) => Math.abs(a + 1 - near) - Math.abs(b + 1 - near))[0];
}

/** Takes one hunk out by its own lines alone; undefined where they are not there. */
function takeOut(lines: readonly string[], hunk: PatchHunk): string[] | undefined {
  let result = [...lines];
  for (const run of runsOf(hunk)) {
    const { added } = run;
    // Blank lines at the end are looked for on their own: they hold nothing to be known by.
    const solid = added.slice(0, added.findLastIndex((line) => line.text.trim() !== "") + 1);
    const found = findRun(
      result,
      solid.map((line) => line.text),
      added[0]?.newLine ?? 0,
    );
    if (found === undefined || solid.length === 0) return undefined;
    const [at, length] = found;
    let end = at + length;
    for (let blanks = added.length - solid.length; blanks > 0 && result[end] === ""; blanks--) end++;
    result = [...result.slice(0, at), ...run.removed.map((line) => line.text), ...result.slice(end)];
  }
  return result;
}

/** A file's text without the patch, as far as its lines can be found. */
function baseText(text: string, file: PatchFile, patch: Patch): string {
  const exact = unapplyFile(text, file);
  if (exact !== undefined) return exact;
  let current = text;
  for (const [i, hunk] of [...file.hunks].reverse().entries()) {
    const index = file.hunks.length - 1 - i;
    const diff = { ...file.diff, hunks: file.diff.hunks.slice(index, index + 1) };
    const clean = applyPatch(current, reversePatch(diff));
    const taken = clean === false ? takeOut(current.split("\n"), hunk)?.join("\n") : clean;
    if (taken === undefined) {
      const what = `hunk ${String(index + 1)} of ${String(file.hunks.length)}: its added lines are not in ${file.path}`;
      throw new UserError(placeOf(patch, hunk), what, `put them back there, or take the hunk out of ${patch.file}`);
    }
    current = taken;
  }
  return current;
}

/** The diff as it must be now; what stands above the first file in the old one is kept. */
export function refreshedPatch(root: string = projectRoot()): { path: string; old: string; text: string } {
  const { patch } = reviewVariant(root);
  const tree = readTree(root);
  const old = readFileSync(join(root, patch.file), "utf8");
  const head = old.slice(0, Math.max(0, old.search(/^diff --git /m)));
  const parts = patch.files.map((file) => {
    const now = tree.get(file.path);
    if (now === undefined)
      throw new UserError(placeOf(patch, file), `${file.path} is not in the tree`, "put it back, or mend the patch");
    const diff = createTwoFilesPatch(`a/${file.path}`, `b/${file.path}`, baseText(now, file, patch), now, "", "", {
      context: 3,
    });
    return `diff --git a/${file.path} b/${file.path}\n${diff.replace(/^=+\n/, "").replace(/^(---|\+\+\+) (\S+)\t$/gm, "$1 $2")}`;
  });
  return { path: patch.file, old, text: head + parts.join("") };
}

function main(args: readonly string[]): number {
  const { path, old, text } = refreshedPatch();
  if (old === text) process.stdout.write(`${path}: fits the tree\n`);
  else if (args.includes("--check"))
    throw new UserError(path, "is not what the tree gives", "run npm run patch:refresh");
  else {
    writeFileWhole(join(projectRoot(), path), text);
    process.stdout.write(`${path}: rewritten from the tree\n`);
  }
  return 0;
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  try {
    process.exitCode = main(process.argv.slice(2));
  } catch (error) {
    const { line, status } = describeFailure(error);
    process.stderr.write(`patchproof: ${line}\n`);
    process.exitCode = status;
  }
}
