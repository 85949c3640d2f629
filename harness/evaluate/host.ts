// SPDX-License-Identifier: GPL-2.0-only
/** Which machine an evaluation boots: the recorded one, or one made of the options' sizes. */
import { join } from "node:path";
import type { BootOptions } from "../../kernel/boot.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { UserError } from "../errors.js";
import { readPlacement } from "../replay/placement-format.js";
import { projectRoot } from "../root.js";
import type { Report } from "./report.js";
import type { HostPlan } from "./sweep.js";

const MIB = 1 << 20;
const RECORDED = "fixtures/placement/p512-cma128.fresh.json";
/** Less than this the model does not boot; more it does not number. */
const LEAST_MEMORY = 8 * PAGE_SIZE;
const MOST_MEMORY = 4 * 2 ** 40;
const RECORDED_MEMORY = 512 * MIB;
const RECORDED_CMA = 128 * MIB;

/** Sizes that were asked for, in bytes. */
export interface Sizes {
  readonly memory?: number;
  readonly cma?: number;
}

const isRecorded = (o: Sizes): boolean => o.memory === undefined && o.cma === undefined;

const inWords = (bytes: number): string => (bytes < MIB ? `${String(bytes)} bytes` : `${String(bytes / MIB)} MiB`);

/** The host part of a plan; sizes that cannot be are a UserError. */
export function planHost(o: Sizes): Pick<HostPlan, "like" | "memory" | "cma"> {
  const memory = o.memory ?? RECORDED_MEMORY;
  const cma = o.cma ?? Math.min(RECORDED_CMA, Math.floor(memory / 4 / PMD_SIZE) * PMD_SIZE);
  if (memory < LEAST_MEMORY || memory > MOST_MEMORY) {
    throw new UserError(
      "--memory",
      `a machine has from 32K to 4T of memory, not ${inWords(memory)}`,
      "give a size such as 512M",
    );
  }
  if (cma >= memory) {
    const what = `an area of ${inWords(cma)} does not fit into ${inWords(memory)} of memory`;
    throw new UserError("--cma", what, "give less CMA or more --memory");
  }
  return { like: isRecorded(o) ? join(projectRoot(), RECORDED) : null, memory, cma };
}

/** The host in words, for the report. */
export function describeHost(o: Sizes): Report["host"] {
  const { memory, cma } = planHost(o);
  const sizes = `${inWords(memory)}, ${inWords(cma)} of CMA`;
  const description = isRecorded(o) ? `${sizes}, booted as recorded in ${RECORDED}` : sizes;
  return { description, memoryMiB: memory / MIB, cmaMiB: cma / MIB };
}

/** Options for boot(), from a plan. */
export function bootOptionsOf(plan: HostPlan): BootOptions {
  if (plan.like === null) return { memory: plan.memory, cma: plan.cma, seed: plan.seed };
  return { like: readPlacement(plan.like).boots[0]!, seed: plan.seed };
}
