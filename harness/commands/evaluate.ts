// SPDX-License-Identifier: GPL-2.0-only
/** patchproof evaluate [PATCH] */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { UserError } from "../errors.js";
import { parseCount, parseNames, parseSize } from "./parse.js";

/** What the evaluation is asked to do; what is left out has its default there. */
export interface EvaluateOptions {
  /** The patch's file; without it, the patch under review. */
  readonly patch?: string;
  /** A recording NAME.strace. */
  readonly workload?: string;
  /** Bytes of the host's memory, and of its CMA area. */
  readonly memory?: number;
  readonly cma?: number;
  /** Names of the variants to run; base and patch where left out. */
  readonly variants?: readonly string[];
  readonly seed: number;
  readonly jobs: number;
  readonly json: boolean;
  readonly selftests: boolean;
  /** Folder for evaluation.json and evaluation.md. */
  readonly out?: string;
}

interface Given {
  workload?: string;
  memory?: number;
  cma?: number;
  variants?: string[];
  seed: number;
  jobs: number;
  json?: true;
  selftests: boolean;
  out?: string;
}

const HELP = `
PATCH is the kernel's patch as it was mailed (mbox), as a plain diff, or as the page of an archive
shows it; patchproof finds its port in patches/series. Or it is a diff of this tree: then it is
applied to base, built and evaluated as it stands. Without PATCH, the patch under review.

Sizes are bytes or a number with K, M, G or T: 512M, 64G. The host is that of
fixtures/placement/p512-cma128.fresh.json unless --memory or --cma change it.

Writes reports/evaluation.json and reports/evaluation.md, and the verdict on standard output.
A seed reproduces a run to the byte.

--variants takes the names that patchproof variant lists; "patch" is the one that is evaluated.
Without base among them nothing is compared; the selftests run where both base and patch are.

Exit status: 0 when the evaluation was made, whatever the verdict; 2 for bad input.

Examples:
  patchproof evaluate
  patchproof evaluate fixtures/patches/rfc-madv-nomovable.mbox --seed 7
  patchproof evaluate my.patch --memory 1G --cma 512M --no-selftests --json > my.json`;

/** Runs the evaluation with checked options; returns the exit status. */
async function evaluate(patch: string | undefined, given: Given): Promise<number> {
  const { json, ...rest } = given;
  const options: EvaluateOptions = { ...rest, ...(patch === undefined ? {} : { patch }), json: json === true };
  const { checkRequest } = await import("../evaluate/request.js");
  const request = checkRequest(options);
  const { runEvaluate } = await import("../evaluate/run.js");
  return runEvaluate(request);
}

const ONE_PATCH = "patchproof evaluate takes one patch: give one after the other";

export function addEvaluate(program: Command): void {
  program
    .command("evaluate")
    .summary("evaluate a patch and print a verdict")
    .description("Runs a patch of the kernel's memory management in the model and says what it does.")
    .argument("[patch]", "the patch, or a diff of this tree")
    .allowExcessArguments()
    .usage("[options] [PATCH]")
    .option("--workload <file>", "recording to replay, NAME.strace (default: fixtures/workloads/qemu-memfd.strace)")
    .option("--memory <size>", "memory of the host", (text) => parseSize(text, "--memory"))
    .option("--cma <size>", "CMA area of the host, part of its memory", (text) => parseSize(text, "--cma"))
    .option("--variants <list>", "variants to run, by name (default: base,patch)", (text) =>
      parseNames(text, "--variants"),
    )
    .option("--seed <n>", "seed of all that is random", (text) => parseCount(text, "--seed", 0, 0xffffffff), 1)
    .option("--jobs <n>", "worker processes", (text) => parseCount(text, "--jobs", 1, 256), availableParallelism())
    .option("--json", "print the report as JSON instead of the verdict in words")
    .option("--no-selftests", "leave the selftests out, and with them the coverage of the patch's lines")
    .option("--out <folder>", "where the two reports go (default: reports)")
    .addHelpText("after", HELP)
    .action(async (patch: string | undefined, given: Given, command: Command) => {
      const second = command.args[1];
      if (second !== undefined) throw new UserError(second, "a second patch", ONE_PATCH);
      process.exitCode = await evaluate(patch, given);
    });
}
