// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof show FILE…`: files of /proc of the model, for a workload at a point. */
import type { Command } from "commander";
import { parseCount, parseSize } from "./parse.js";

/** What `patchproof show` was told. */
export interface ShowFlags {
  readonly workload: string;
  /** Line of the recording. */
  readonly at?: number;
  readonly variant: string;
  readonly use: string;
  readonly memory?: number;
  readonly cma?: number;
  readonly movablecore?: number;
  readonly like?: string;
  readonly pid?: number;
  readonly binary?: true;
  readonly output?: string;
}

const HELP = `
FILE is a file of /proc: vmstat, zoneinfo, buddyinfo, pagetypeinfo, meminfo, kpageflags, kpagecount;
of a process: maps, smaps, pagemap. They are printed as a 6.1 kernel prints them, each below a line
"==> /proc/FILE <==" where there are several. Three of them are binary in /proc. Without --binary,
kpageflags is summed up by flags, and pagemap listed, as the kernel's tools/vm/page-types -r does;
kpagecount is listed in runs of pages.

The workload is replayed up to and with line --at of its .strace; lines count from 1. The host is
that of fixtures/placement/p512-cma128.fresh.json unless a size or --like says otherwise.

--use says what is done with the patch's advice on the guest's memory: none; advised, right after it
is mapped; late, once it is populated.

--binary writes the records as they are in /proc, 64 bits each, little-endian, to the file of
--output. That of pagemap is sparse: the record of address A is at byte A / 4096 * 8.

Exit status: 0 done; 2 bad input.

Examples:
  patchproof show zoneinfo
  patchproof show buddyinfo pagetypeinfo --at 120 --variant patch --use advised
  patchproof show smaps --workload fixtures/workloads/node-worker.strace
  patchproof show pagemap --binary --output /tmp/pagemap`;

/** Adds `patchproof show` to the program. */
export function addShow(program: Command): void {
  program
    .command("show")
    .summary("print files of /proc of the model, for a workload at a point")
    .description("Replays a workload in the model and prints files of /proc as the kernel would.")
    .argument("<file...>", "names of files in /proc")
    .option("--workload <file>", "recording to replay, NAME.strace", "fixtures/workloads/qemu-memfd.strace")
    .option("--at <line>", "last line of the recording to replay (default: all)", (text) =>
      parseCount(text, "--at", 1, 1e9),
    )
    .option("--variant <name>", "variant of the tree", "base")
    .option("--use <use>", "none, advised or late", "none")
    .option("--memory <size>", "memory of the host", (text) => parseSize(text, "--memory"))
    .option("--cma <size>", "CMA area of the host", (text) => parseSize(text, "--cma"))
    .option("--movablecore <size>", "ZONE_MOVABLE of the host", (text) => parseSize(text, "--movablecore"))
    .option("--like <file>", "placement recording whose machine to boot (.json)")
    .option("--pid <pid>", "process, by its number in the recording (default: the first)", (text) =>
      parseCount(text, "--pid", 1, 2 ** 22),
    )
    .option("--binary", "write the records of pagemap, kpageflags or kpagecount")
    .option("--output <file>", "write there instead of to standard output")
    .addHelpText("after", HELP)
    .action(async (files: string[], flags: ShowFlags) => {
      const { show } = await import("../show/command.js");
      await show(files, flags);
    });
}
