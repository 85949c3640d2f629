// SPDX-License-Identifier: GPL-2.0-only
/** The variants of the tree: base, the patch under review, its alternatives, and a diff that somebody gives. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../errors.js";
import { projectRoot } from "../root.js";
import type { AddedLine } from "../patch/apply.js";
import { readPatchText } from "../patch/read.js";
import type { Patch } from "../patch/types.js";
import { readSeries, type SeriesEntry } from "./series.js";
import { readTree, REFRESH, withoutPatch, withPatch, type PatchedTree, type Tree } from "./tree.js";

export interface VariantSpec {
  readonly name: string;
  readonly title: string;
  readonly role: "base" | "review" | "alternative" | "given";
  /** The diff, on base or on top of `under`; null for base itself. */
  readonly patch: Patch | null;
  /** The diffs that go on base before it, the first one first. */
  readonly under: readonly Patch[];
  /** The mail of which the diff is the port, from the top of the project; "" for none. */
  readonly mail: string;
}

/** The name under which the patch under review is also known. */
export const REVIEW_ALIAS = "patch";

function specOf(entry: SeriesEntry, root: string, before: readonly VariantSpec[]): VariantSpec {
  const patch = readPatchText(readFileSync(join(root, entry.path)), entry.path);
  const on = before.find((one) => one.name === entry.depends);
  const under = on?.patch == null ? [] : [...on.under, on.patch];
  return { name: entry.name, title: entry.title, role: entry.role, patch, under, mail: entry.mail };
}

/** All variants of patches/series, base first. */
export function listVariants(root: string = projectRoot()): VariantSpec[] {
  const all: VariantSpec[] = [
    { name: "base", title: "without the patch", role: "base", patch: null, under: [], mail: "" },
  ];
  for (const entry of readSeries(root)) all.push(specOf(entry, root, all));
  return all;
}

/** The patch under review. */
export function reviewVariant(root: string = projectRoot()): VariantSpec & { readonly patch: Patch } {
  const spec = listVariants(root).find((one) => one.role === "review");
  if (spec?.patch == null) throw new UserError("patches/series", "no patch is under review");
  return { ...spec, patch: spec.patch };
}

/** The variant of this name, or a UserError that lists those there are. */
export function findVariant(name: string, root: string = projectRoot()): VariantSpec {
  const all = listVariants(root);
  const found = all.find((spec) => spec.name === name || (name === REVIEW_ALIAS && spec.role === "review"));
  if (found !== undefined) return found;
  const known = all.map((spec) => (spec.role === "review" ? `${spec.name} (or ${REVIEW_ALIAS})` : spec.name));
  throw new UserError("", `unknown variant '${name}'`, `known: ${known.join(", ")}`);
}

/** A diff of this tree that is not in patches/series, as a variant on base. */
export function givenVariant(patch: Patch, root: string = projectRoot()): VariantSpec {
  const stem = basename(patch.file).replace(/\.(patch|diff|mbox|txt|eml)$/, "");
  const plain = stem.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[.-]+/, "") || "given";
  const taken = [REVIEW_ALIAS, ...listVariants(root).map((spec) => spec.name)];
  const name = taken.includes(plain) ? `given-${plain}` : plain;
  return { name, title: patch.subject === "" ? name : patch.subject, role: "given", patch, under: [], mail: "" };
}

/** The files that differ from base in a variant, as its diffs name them. */
export function changedFiles(spec: VariantSpec): string[] {
  const patches = spec.patch === null ? [] : [...spec.under, spec.patch];
  return [...new Set(patches.flatMap((patch) => patch.files.map((file) => file.path)))].sort();
}

/** The base tree: what is checked out, without the patch under review. */
export function baseTree(root: string = projectRoot(), checkedOut: Tree = readTree(root)): Tree {
  return withoutPatch(checkedOut, reviewVariant(root).patch);
}

/** A variant's sources, and where the lines that its patch adds lie in them. */
export function variantTree(spec: VariantSpec, root: string = projectRoot()): PatchedTree {
  const review = reviewVariant(root);
  const base = baseTree(root);
  if (spec.patch === null) return { tree: base, added: [] };
  const todo =
    spec.role === "given"
      ? `diffs are made on base: git apply -R patches/${review.name}.patch turns a clone into it`
      : REFRESH;
  const on = (tree: Tree, patch: Patch): PatchedTree => withPatch(tree, patch, { patch, tree: "the base tree", todo });
  return on(
    spec.under.reduce((tree, patch) => on(tree, patch).tree, base),
    spec.patch,
  );
}

/** The lines that a variant's patch adds, as they lie in the variant's own sources. */
export function addedLines(spec: VariantSpec, root: string = projectRoot()): readonly AddedLine[] {
  return variantTree(spec, root).added;
}
