// SPDX-License-Identifier: GPL-2.0-only
/** The model's sources as a map from path to text, with patches put on and taken off. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { reversePatch } from "diff";
import { UserError } from "../errors.js";
import { applyFile, firstFailingHunk, unapplyFile, type AddedLine, type Target } from "../patch/apply.js";
import { isModelPath, MODEL_FOLDERS } from "../patch/paths.js";
import { placeOf, type Patch } from "../patch/types.js";

export type Tree = ReadonlyMap<string, string>;

/** All sources of the model below `root`, in the order of their paths. */
export function readTree(root: string): Tree {
  const paths: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile() && entry.name.endsWith(".ts")) paths.push(path);
    }
  };
  for (const folder of MODEL_FOLDERS) if (existsSync(join(root, folder))) walk(folder);
  return new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

export const REFRESH = "npm run patch:refresh rewrites it from the tree";

/** The tree without a patch that it has applied; a UserError names the first hunk that is not in it. */
export function withoutPatch(tree: Tree, patch: Patch): Tree {
  const files = new Map(tree);
  for (const file of patch.files) {
    const text = files.get(file.path);
    const before = text === undefined ? undefined : unapplyFile(text, file);
    if (before === undefined) {
      const at = text === undefined ? 0 : Math.max(0, firstFailingHunk(text, reversePatch(file.diff)));
      const what = `hunk ${String(at + 1)} of ${String(file.hunks.length)} for ${file.path} no longer fits the tree`;
      throw new UserError(placeOf(patch, file.hunks[at] ?? file), what, REFRESH);
    }
    if (file.change === "create" && before.trim() === "") files.delete(file.path);
    else files.set(file.path, before);
  }
  return files;
}

export interface PatchedTree {
  readonly tree: Tree;
  readonly added: readonly AddedLine[];
}

/** The tree with a patch put on; a UserError names the first hunk that does not apply. */
export function withPatch(tree: Tree, patch: Patch, target: Target): PatchedTree {
  const files = new Map(tree);
  const added: AddedLine[] = [];
  for (const file of patch.files) {
    const text = files.get(file.path) ?? (file.change === "create" && isModelPath(file.path) ? "" : undefined);
    if (text === undefined || file.change === "rename") {
      const what = file.change === "rename" ? `${file.path} is renamed` : `${file.path} is not in the model`;
      throw new UserError(placeOf(patch, file), what, `a patch may change or add files in ${MODEL_FOLDERS.join(", ")}`);
    }
    const applied = applyFile(text, file, target);
    added.push(...applied.added);
    if (file.change === "delete") files.delete(file.path);
    else files.set(file.path, applied.text);
  }
  return { tree: files, added };
}
