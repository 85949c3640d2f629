// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof compare-host`: random cases in the model and on the kernel that the machine is booted into. */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { parseCount } from "./parse.js";

export interface CompareHostFlags {
  readonly seed: number;
  readonly cases: number;
  readonly jobs: number;
  /** A recording, or one case of one as a line. */
  readonly case?: string;
  readonly save?: string;
  readonly shrink: boolean;
}

const HELP = `
Makes random cases of memory calls, runs each in the model (base) and on the running kernel, in a child process with no
capabilities, and compares after every call: what was returned, signal and si_code, the VMAs of the window as smaps shows
them, page states. A case that differs is shrunk to the shortest that still does. Nothing outside of a window of 16 MiB,
which must be free, is touched; MADV_HWPOISON and MADV_SOFT_OFFLINE are never issued.

Differences that fixtures/host-differences.json explains by a change after v6.1 are counted apart; the call is left out
and the rest of the case compared. Needs Linux on x86-64 with gcc; the agent is compiled once, into build/.

Ends with "N passed, N failed".
Exit status: 0 no unknown difference; 1 differences; 2 bad input, or a kernel that cannot be used.

Examples:
  patchproof compare-host --seed 7 --cases 10000
  patchproof compare-host --cases 1000 --save found.jsonl
  patchproof compare-host --case found.jsonl
  patchproof replay found.jsonl`;

/** Adds `patchproof compare-host` to the program. */
export function compareHostCommand(program: Command): void {
  program
    .command("compare-host")
    .description("compare the model with the running kernel on random cases")
    .option("--seed <n>", "seed of the run", (text) => parseCount(text, "--seed", 0, 2 ** 31 - 1), 1)
    .option("--cases <n>", "cases to make", (text) => parseCount(text, "--cases", 1, 10_000_000), 1000)
    .option("--case <file|line>", "compare the cases of this mm-trace/1 file, or this line of one, instead")
    .option("--save <file>", "write the cases that differ as a recording of format mm-trace/1")
    .option("--no-shrink", "leave cases that differ as they are")
    .option(
      "--jobs <n>",
      "workers to run at a time",
      (text) => parseCount(text, "--jobs", 1, 256),
      availableParallelism(),
    )
    .addHelpText("after", HELP)
    .action(async (flags: CompareHostFlags) => {
      const { compareHost } = await import("../compare/command.js");
      process.exitCode = await compareHost(flags);
    });
}
