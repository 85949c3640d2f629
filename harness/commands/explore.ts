// SPDX-License-Identifier: GPL-2.0-only
/** patchproof explore [PATCH] */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { parseCount, parseNames } from "./parse.js";

export interface ExploreOptions {
  /** The patch's file; without it, the patch under review. */
  readonly patch?: string;
  readonly variants?: readonly string[];
  readonly setups?: readonly string[];
  readonly depth: number;
  readonly uncut?: boolean;
  readonly schedule?: string;
  readonly jobs: number;
  readonly json?: true;
  /** Folder for explore.json and explore.md. */
  readonly out?: string;
}

const HELP = `
Runs every call of a table and, at each place where it may sleep or drop mmap_lock, every call of
other tasks: threads of the same process, and another process that maps the same file. After each
schedule the machine's invariants are checked. PATCH is as for patchproof evaluate.
With --depth 2 other tasks make two calls in a schedule, which takes some minutes.

Where a schedule comes to a point in a state of the machine in which another has come to it, no call
is started anew; with --uncut they are. That finds the same, and takes longer from --depth 2 on.

A schedule is SETUP: CALL, N=CALL: the first call, and what runs when yield point N, counted from
0 over all tasks, is met. SETUP+advice is the set-up with MADV_NOMOVABLE given.

Writes reports/explore.json and reports/explore.md. Nothing in it is random.

Exit status: 0 nothing is wrong on any variant; 1 something is; 2 bad input.

Examples:
  patchproof explore
  patchproof explore --variants base --setups memfd,file --depth 3
  patchproof explore --variants patch --schedule 'memfd: write, 4=munmap'`;

export function addExplore(program: Command): void {
  program
    .command("explore")
    .summary("run calls into each other at every yield point")
    .description("Runs system calls while others sleep, in all ways, and says what goes wrong.")
    .argument("[patch]", "the patch, or a diff of this tree")
    .usage("[options] [PATCH]")
    .option("--variants <list>", "variants to run, by name (default: base,patch)", (text) =>
      parseNames(text, "--variants"),
    )
    .option("--setups <list>", "set-ups, by name (default: all)", (text) => parseNames(text, "--setups"))
    .option("--depth <n>", "calls of other tasks in a schedule", (text) => parseCount(text, "--depth", 1, 4), 1)
    .option("--uncut", "start calls also where another schedule has come to the same state")
    .option("--schedule <text>", "run one schedule and say what happens")
    .option("--jobs <n>", "workers", (text) => parseCount(text, "--jobs", 1, 256), availableParallelism())
    .option("--json", "print the report as JSON")
    .option("--out <folder>", "where the two reports go (default: reports)")
    .addHelpText("after", HELP)
    .action(async (patch: string | undefined, given: Omit<ExploreOptions, "patch">) => {
      const { runExplore } = await import("../explore/run.js");
      process.exitCode = await runExplore(patch === undefined ? given : { ...given, patch });
    });
}
