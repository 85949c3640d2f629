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
import { readTree, withoutPatch, withPatch, type PatchedTree, type Tree } from "./tree.js";

export interface VariantSpec {
  readonly name: string;
  readonly title: string;
  readonly role: "base" | "review" | "alternative" | "given";
  /** The diff on base; null for base itself. */
  readonly patch: Patch | null;
  /** The mail of which the diff is the port, from the top of the project; "" for none. */
  readonly mail: string;
}

/** The name under which the patch under review is also known. */
export const REVIEW_ALIAS = "patch";

function specOf(entry: SeriesEntry, root: string): VariantSpec {
  const patch = readPatchText(readFileSync(join(root, entry.path)), entry.path);
  return { name: entry.name, title: entry.title, role: entry.role, patch, mail: entry.mail };
}

/** All variants of patches/series, base first. */
export function listVariants(root: string = projectRoot()): VariantSpec[] {
  const base: VariantSpec = { name: "base", title: "without the patch", role: "base", patch: null, mail: "" };
  return [base, ...readSeries(root).map((entry) => specOf(entry, root))];
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
  return { name, title: patch.subject === "" ? name : patch.subject, role: "given", patch, mail: "" };
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
      : "make the diff anew on base";
  return withPatch(base, spec.patch, { patch: spec.patch, tree: "the base tree", todo });
}

/** The lines that a variant's patch adds, as they lie in the variant's own sources. */
export function addedLines(spec: VariantSpec, root: string = projectRoot()): readonly AddedLine[] {
  return variantTree(spec, root).added;
}
