// SPDX-License-Identifier: GPL-2.0-only
/** What is evaluated: the patch as given, and the variant of this tree that stands for it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { correspond } from "../patch/correspond.js";
import { readPatch } from "../patch/read.js";
import { placeOf, type Patch } from "../patch/types.js";
import { projectRoot } from "../root.js";
import { givenVariant, listVariants, variantTree, type VariantSpec } from "../variants/spec.js";

export interface Subject {
  readonly patch: Patch;
  readonly spec: VariantSpec;
  /** The diff of this tree that is run. */
  readonly port: string;
}

function treeText(spec: VariantSpec): (path: string) => string | undefined {
  const { tree } = variantTree(spec);
  return (path) => tree.get(path);
}

/** The port of a kernel patch: the diff in patches/ that has a counterpart for every line of it. */
function portOf(patch: Patch): VariantSpec {
  const ports = listVariants().filter((spec) => spec.patch !== null);
  for (const spec of ports) {
    if (spec.patch !== null && correspond(patch, spec.patch, treeText(spec)).ok) return spec;
  }
  const [nearest] = ports;
  const missing = nearest?.patch == null ? undefined : correspond(patch, nearest.patch, treeText(nearest)).missing[0];
  const where = missing === undefined ? patch.file : placeOf(patch, missing.line);
  const why =
    missing === undefined
      ? "no port in patches/ says the same"
      : `nothing in patches/${nearest!.name}.patch corresponds to this line`;
  throw new UserError(where, why, "port the patch to this tree and give that diff (README: Evaluating your own patch)");
}

/** Reads a patch and finds or makes the variant that runs it. */
export function subjectOf(file: string): Subject {
  const patch = readPatch(file);
  const spec = patch.language === "c" ? portOf(patch) : givenVariant(patch);
  const inSeries = `patches/${spec.name}.patch`;
  return { patch, spec, port: existsSync(join(projectRoot(), inSeries)) ? inSeries : file };
}
