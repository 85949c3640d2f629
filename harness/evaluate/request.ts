// SPDX-License-Identifier: GPL-2.0-only
/** What an evaluation is asked to do, checked: whatever is wrong with the input is said before anything is built. */
import { join } from "node:path";
import type { EvaluateOptions } from "../commands/evaluate.js";
import { checkWritable } from "../output.js";
import { projectRoot } from "../root.js";
import { resolvePatch, type Resolved } from "../variants/resolve.js";
import { findVariant, REVIEW_ALIAS, type VariantSpec } from "../variants/spec.js";
import { needGuest } from "../workload/guest.js";
import { readWorkload, type Workload } from "../workload/read.js";
import { planHost } from "./host.js";
import type { HostPlan } from "./sweep.js";

const WORKLOAD = "qemu-memfd";

export interface ChosenVariant {
  /** "base", REVIEW_ALIAS for the patch that was given, or the name in patches/series. */
  readonly name: string;
  readonly spec: VariantSpec;
}

export interface Request {
  readonly options: EvaluateOptions;
  readonly resolved: Resolved;
  readonly workload: Workload;
  readonly host: Pick<HostPlan, "like" | "memory" | "cma">;
  readonly variants: readonly ChosenVariant[];
  /** Where the two reports go. */
  readonly json: string;
  readonly markdown: string;
}

/** The variants to run beside each other, each once, in the order in which they were named. */
export function chosenVariants(names: readonly string[], given: VariantSpec): ChosenVariant[] {
  const chosen = new Map<string, ChosenVariant>();
  for (const name of names) {
    const isGiven = name === REVIEW_ALIAS || name === given.name;
    const spec = isGiven ? given : findVariant(name);
    chosen.set(spec.name, { name: isGiven ? REVIEW_ALIAS : spec.name, spec });
  }
  return [...chosen.values()];
}

/** Reads and checks all that the options name; a UserError says what cannot be. */
export function checkRequest(options: EvaluateOptions): Request {
  const host = planHost(options);
  const resolved = resolvePatch(options.patch);
  const workload = readWorkload(options.workload ?? WORKLOAD);
  needGuest(workload.strace);
  const variants = chosenVariants(options.variants ?? ["base", REVIEW_ALIAS], resolved.variant);
  const folder = options.out ?? join(projectRoot(), "reports");
  const [json, markdown] = [join(folder, "evaluation.json"), join(folder, "evaluation.md")];
  checkWritable([json, markdown]);
  return { options, resolved, workload, host, variants, json, markdown };
}
