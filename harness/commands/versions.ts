// SPDX-License-Identifier: GPL-2.0-only
/** patchproof versions */
import type { Command } from "commander";
import { parseNames } from "./parse.js";

export interface VersionsOptions {
  readonly versions?: readonly string[];
  /** Part of the names of the scenarios to run. */
  readonly scenario?: string;
  readonly json?: true;
}

const HELP = `
Each scenario is a selftest: memory of a guest lies in CMA, something is in the way, and VFIO maps
it for DMA. It runs on v6.1, and on v6.1 with each later change to the long-term pin that
patches/series names (and what that depends on), not with all that came in between. A result is
"moved" (pinned, out of CMA), "stays in CMA" (pinned where it was), or an error.

Exit status: 0 all is as the tests want it; 1 something is not; 2 bad input.

Examples:
  patchproof versions
  patchproof versions --versions gup-drain-reliably,gup-drain-refcount --scenario batch`;

/** Adds `patchproof versions` to the program. */
export function addVersions(program: Command): void {
  program
    .command("versions")
    .summary("show in which kernel versions the result of a pin flips")
    .description("Runs each scenario under the long-term pin of v6.1 and under later changes to it.")
    .option("--versions <list>", "changes, by name (patchproof variant lists them); v6.1 is always there", (text) =>
      parseNames(text, "--versions"),
    )
    .option("--scenario <text>", "only scenarios with this in their name")
    .option("--json", "print the table as JSON")
    .addHelpText("after", HELP)
    .action(async (options: VersionsOptions) => {
      const { runVersions } = await import("../versions/run.js");
      process.exitCode = await runVersions(options);
    });
}
