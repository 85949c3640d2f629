// SPDX-License-Identifier: GPL-2.0-only
/** From the patch that a person names to the variant of the tree that stands for it. */
import { join } from "node:path";
import { UserError } from "../errors.js";
import { correspond, type At, type Correspondence } from "../patch/correspond.js";
import { mirrors, treePathOf } from "../patch/paths.js";
import { readPatch } from "../patch/read.js";
import { turnedRound } from "../patch/reverse.js";
import { placeOf, type Patch, type PatchFile, type PatchHunk } from "../patch/types.js";
import { projectRoot } from "../root.js";
import { givenVariant, listVariants, reviewVariant, variantTree, type VariantSpec } from "./spec.js";
import { readTree, type PatchedTree, type Tree } from "./tree.js";

export interface Resolved {
  /** The patch as it was read. */
  readonly posted: Patch;
  /** The variant to evaluate against base. */
  readonly variant: VariantSpec;
  /** How the posted C patch and its port agree; null for a diff of this tree. */
  readonly correspondence: Correspondence | null;
  /** Files of the posted patch that are no code (documentation, tools) and were left out. */
  readonly aside: readonly string[];
}

/** Files of a kernel patch that are no code of the kernel, and say nothing about its behaviour. */
const ASIDE = /^(Documentation|tools|samples|LICENSES)\/|\.(rst|txt)$|(^|\/)(MAINTAINERS|CREDITS|Kconfig|Makefile)$/;

function checkModelled(patch: Patch, tree: Tree): PatchFile[] {
  const files = patch.files.filter((file) => !ASIDE.test(file.path));
  const paths = [...tree.keys()];
  const foreign =
    files.find((file) => !paths.some((path) => mirrors(path, file.path))) ??
    (files.length === 0 ? patch.files[0] : undefined);
  if (foreign === undefined) return files;
  throw new UserError(
    placeOf(patch, foreign),
    `${foreign.path} is not modelled`,
    "docs/FIDELITY.md lists the files that are",
  );
}

const IDENTIFIER = /[A-Za-z_]\w{3,}/g;
const COMMON =
  /^(case|break|return|else|struct|static|inline|unsigned|long|void|bool|const|flags|start|default|goto|define|ifdef|endif|error)$/;

function symbolsOf(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => text.match(IDENTIFIER) ?? []))].filter((name) => !COMMON.test(name));
}

/** Does a hunk of the posted patch stand where its port does: does any name of its context occur near it there? */
function checkPlaces(patch: Patch, found: Correspondence, port: PatchedTree): void {
  for (const file of patch.files) {
    for (const [index, hunk] of file.hunks.entries()) {
      const partners = found.counterparts.filter((one) => hunk.lines.includes(one.c.line)).flatMap((one) => one.ts);
      const context = symbolsOf(hunk.lines.filter((line) => line.kind === "context").map((line) => line.text));
      if (partners.length === 0 || context.length === 0) continue;
      const near = new Set(partners.flatMap((at) => symbolsOf(surroundings(at, port))));
      if (context.some((name) => near.has(name))) continue;
      const where = partners[0]?.path ?? file.path;
      const what = `hunk ${String(index + 1)} of ${String(file.hunks.length)} for ${file.path} does not apply`;
      const why = `none of its context (${context.slice(0, 3).join(", ")}) is near the place of its lines in ${where}: take the patch as it was mailed`;
      throw new UserError(placeOf(patch, hunk), what, why);
    }
  }
}

const NEAR = 25;

function surroundings(at: At, port: PatchedTree): string[] {
  const placed = port.added.find((line) => line.source === at.line.source);
  const lines = port.tree.get(at.path)?.split("\n") ?? [];
  const centre = (placed?.line ?? at.line.newLine) - 1;
  return lines.slice(Math.max(0, centre - NEAR), centre + NEAR);
}

function hunkOf(patch: Patch, at: At): PatchHunk | undefined {
  return patch.files.flatMap((file) => file.hunks).find((hunk) => hunk.lines.includes(at.line));
}

/** Says what parts the posted patch from the port that it comes closest to. */
function mismatch(patch: Patch, port: VariantSpec, found: Correspondence): UserError {
  const file = port.patch?.file ?? "patches/series";
  const todo = `mend the port ${file}, or give the diff of this tree itself`;
  const [missing] = found.missing;
  if (missing !== undefined) {
    const counterpart = treePathOf(missing.path);
    const change = missing.line.kind === "add" ? "added" : "removed";
    const what = `the ${change} line '${missing.line.text.trim()}' of ${missing.path} has no counterpart for ${counterpart} in ${file}`;
    return new UserError(placeOf(patch, missing.line), what, todo);
  }
  const [extra] = found.extra;
  const hunk = extra === undefined ? undefined : hunkOf(patch, extra);
  const what = `'${extra?.line.text.trim() ?? ""}' (${file}:${String(extra?.line.source ?? 1)}) is not in this patch`;
  return new UserError(placeOf(patch, hunk ?? patch.files[0] ?? { source: 1 }), what, todo);
}

function findPort(patch: Patch, root: string): Resolved {
  const files = checkModelled(patch, readTree(root));
  const kernel = { ...patch, files };
  let closest: { spec: VariantSpec; found: Correspondence; share: number } | undefined;
  for (const spec of listVariants(root)) {
    if (spec.patch === null) continue;
    const port = variantTree(spec, root);
    const textOf = (path: string): string | undefined => port.tree.get(path);
    const found = correspond(kernel, spec.patch, textOf);
    if (found.ok) {
      checkPlaces(patch, found, port);
      const aside = patch.files.filter((file) => !files.includes(file)).map((file) => file.path);
      return { posted: patch, variant: spec, correspondence: found, aside };
    }
    if (correspond(turnedRound(kernel), spec.patch, textOf).ok) {
      const what = `the diff is reversed: turned round, it is ${spec.name}`;
      throw new UserError(placeOf(patch, patch.files[0] ?? { source: 1 }), what, "give the diff from old to new");
    }
    const met = found.counterparts.filter((one) => one.kind === "code").length;
    const share = met / Math.max(1, met + found.missing.length);
    if (share > (closest?.share ?? 0)) closest = { spec, found, share };
  }
  if (closest !== undefined && closest.share >= 0.3) throw mismatch(patch, closest.spec, closest.found);
  const what = "no patch in patches/series is the port of this one";
  const todo = "write its port, a diff of this tree (README.md says how), and evaluate that";
  throw new UserError(placeOf(patch, patch.files[0] ?? { source: 1 }), what, todo);
}

/** Finds the variant for a patch that was read: its port in patches/series, or the diff itself. */
export function resolveRead(patch: Patch, root: string = projectRoot()): Resolved {
  if (patch.language === "c") return findPort(patch, root);
  const same = listVariants(root).find((spec) => spec.patch !== null && sameChange(spec.patch, patch));
  const variant = same ?? givenVariant(patch, root);
  variantTree(variant, root);
  return { posted: patch, variant, correspondence: null, aside: [] };
}

function sameChange(a: Patch, b: Patch): boolean {
  return JSON.stringify(a.files.map((file) => file.diff)) === JSON.stringify(b.files.map((file) => file.diff));
}

/** The same for the file `path`; without one, the mail of the patch under review. */
export function resolvePatch(path?: string, root: string = projectRoot()): Resolved {
  if (path !== undefined) return resolveRead(readPatch(path), root);
  const review = reviewVariant(root);
  const posted = review.mail === "" ? review.patch : { ...readPatch(join(root, review.mail)), file: review.mail };
  return resolveRead(posted, root);
}
