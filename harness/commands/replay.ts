// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof replay FILE…`: recordings of real kernels against the model. */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { parseCount } from "./parse.js";

/** What `patchproof replay` was told. */
export interface ReplayFlags {
  readonly case?: string;
  readonly variant?: string;
  readonly stop?: true;
  readonly pages: boolean;
  readonly jobs: number;
}

const HELP = `
FILE is a recording: mm-trace/1 (.jsonl or .jsonl.gz), a workload (NAME.strace, with NAME.before.smaps and
NAME.after.smaps beside it) or mm-placement/1 (.json). Each runs on the variant that it was recorded on: base, or the patch.

Prints what differs, and ends with "N passed, N failed".
Exit status: 0 all as recorded; 1 something diverged; 2 bad input.

Examples:
  patchproof replay fixtures/traces/*.gz
  patchproof replay fixtures/traces/vma.rfc.seed2001.jsonl.gz --case vma-2001-17
  patchproof replay fixtures/workloads/qemu-memfd.strace`;

/** Adds `patchproof replay` to the program. */
export function replayCommand(program: Command): void {
  program
    .command("replay")
    .description("run recordings of real kernels in the model and compare after every step")
    .argument("<file...>", "recordings")
    .option("--case <id>", "only the case of this name (of a placement: the run)")
    .option("--variant <name>", "run on this variant instead of the recorded one")
    .option("--stop", "end at the first divergence")
    .option("--no-pages", "leave page states out of the comparison")
    .option(
      "--jobs <n>",
      "workers to run at a time",
      (text) => parseCount(text, "--jobs", 1, 256),
      availableParallelism(),
    )
    .addHelpText("after", HELP)
    .action(async (files: string[], flags: ReplayFlags) => {
      const { replay } = await import("../replay/command.js");
      process.exitCode = await replay(files, flags);
    });
}
