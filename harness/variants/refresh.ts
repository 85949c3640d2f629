// SPDX-License-Identifier: GPL-2.0-only
/**
 * Rewrites the diffs of patches/series from the tree (npm run patch:refresh). The tree has the patch under review
 * applied; what the old diff added is looked for in it line by line, so lines may have moved and the context may have
 * changed. An alternative goes on base again, where the context before or after each change still stands.
 */
import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createTwoFilesPatch, reversePatch, applyPatch, type StructuredPatchHunk } from "diff";
import { describeFailure, UserError } from "../errors.js";
import { writeFileWhole } from "../output.js";
import { unapplyFile } from "../patch/apply.js";
import { placeOf, type Patch, type PatchFile, type PatchHunk, type PatchLine } from "../patch/types.js";
import { projectRoot } from "../root.js";
import { baseTree, listVariants, reviewVariant } from "./spec.js";
import { readTree, type Tree } from "./tree.js";

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

export interface Refreshed {
  /** Of the diff, from the top of the project. */
  readonly path: string;
  readonly old: string;
  readonly text: string;
}

type FileTexts = readonly [path: string, before: string, after: string];

/** A diff of these files; what stands above the first file in the old one is kept. */
function rewritten(patch: Patch, root: string, files: readonly FileTexts[]): Refreshed {
  const old = readFileSync(join(root, patch.file), "utf8");
  const head = old.slice(0, Math.max(0, old.search(/^diff --git /m)));
  const parts = files.map(([path, before, after]) => {
    const diff = createTwoFilesPatch(`a/${path}`, `b/${path}`, before, after, "", "", { context: 3 });
    return `diff --git a/${path} b/${path}\n${diff.replace(/^=+\n/, "").replace(/^(---|\+\+\+) (\S+)\t$/gm, "$1 $2")}`;
  });
  return { path: patch.file, old, text: head + parts.join("") };
}

function textOf(tree: Tree, patch: Patch, file: PatchFile): string {
  const text = tree.get(file.path);
  if (text !== undefined) return text;
  throw new UserError(placeOf(patch, file), `${file.path} is not in the tree`, "put it back, or mend the patch");
}

/** The diff of the patch under review as it must be now. */
export function refreshedPatch(root: string = projectRoot()): Refreshed {
  const { patch } = reviewVariant(root);
  const tree = readTree(root);
  const files = patch.files.map((file): FileTexts => {
    const now = textOf(tree, patch, file);
    return [file.path, baseText(now, file, patch), now];
  });
  return rewritten(patch, root, files);
}

/** A hunk of which the context on one side no longer counts. */
function withoutContext(hunk: StructuredPatchHunk, side: "before" | "after"): StructuredPatchHunk {
  const { lines } = hunk;
  const isChange = (line: string): boolean => !line.startsWith(" ");
  const [from, to] =
    side === "before" ? [lines.findIndex(isChange), lines.length] : [0, lines.findLastIndex(isChange) + 1];
  const cut = lines.length - (to - from);
  const at = hunk.oldStart + from;
  const counts = { oldLines: hunk.oldLines - cut, newLines: hunk.newLines - cut };
  return { ...hunk, ...counts, oldStart: at, newStart: at, lines: lines.slice(from, to) };
}

/** The text with an alternative's hunks put on, each where its context is, or what stands before or after it. */
function puttingOn(text: string, file: PatchFile, patch: Patch): string {
  return file.diff.hunks.reduce((current, hunk, index) => {
    const here = { ...hunk, oldStart: hunk.newStart };
    for (const tried of [here, withoutContext(here, "after"), withoutContext(here, "before")]) {
      const after = applyPatch(current, { ...file.diff, hunks: [tried] });
      if (after !== false) return after;
    }
    const what = `hunk ${String(index + 1)} of ${String(file.hunks.length)}: no place for it in ${file.path}`;
    throw new UserError(placeOf(patch, file.hunks[index] ?? file), what, "make this hunk anew by hand, on base");
  }, text);
}

/** The diffs of the alternatives as they must be now, in the order of the series. */
export function refreshedAlternatives(root: string = projectRoot()): Refreshed[] {
  const base = baseTree(root);
  const trees = new Map<string, Tree>();
  return listVariants(root).flatMap((spec) => {
    const { patch } = spec;
    if (spec.role !== "alternative" || patch === null) return [];
    const under = trees.get(spec.under.at(-1)?.file ?? "") ?? base;
    const files = patch.files.map((file): FileTexts => {
      const before = textOf(under, patch, file);
      return [file.path, before, puttingOn(before, file, patch)];
    });
    trees.set(patch.file, new Map([...under, ...files.map(([path, , after]): [string, string] => [path, after])]));
    return [rewritten(patch, root, files)];
  });
}

function write({ path, old, text }: Refreshed, args: readonly string[]): void {
  if (old === text) process.stdout.write(`${path}: fits the tree\n`);
  else if (args.includes("--check"))
    throw new UserError(path, "is not what the tree gives", "run npm run patch:refresh");
  else {
    writeFileWhole(join(projectRoot(), path), text);
    process.stdout.write(`${path}: rewritten from the tree\n`);
  }
}

function main(args: readonly string[]): number {
  write(refreshedPatch(), args);
  for (const one of refreshedAlternatives()) write(one, args);
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
