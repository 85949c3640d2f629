// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof campaign`: pins under every schedule of faults, or under random ones. */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { UserError } from "../errors.js";
import { parseCount, parseNames } from "./parse.js";

interface Given {
  exhaustive?: true;
  pages: number;
  seeds: number;
  seed: number;
  variants: string[];
  jobs: number;
  shard: string;
  merge?: string[];
  json?: true;
  out?: string;
}

const HELP = `
Without --exhaustive, a guest of 64 MiB is mapped for DMA once a seed, under faults drawn at
random: each attempt first draws which causes there can be at all. With it, a guest of one to
three pages is mapped under every schedule: each page has nothing in its way, or one cause that
lasts for 1 to 10 attempts at the page, or for ever. Pages are alike, so that their order does
not count.

Each cause is what somebody does, not an error that is returned: a reference, a page in another
CPU's batch, a lock, an isolated page, a CMA area being emptied, an allocation that fails.
After each attempt the machine's invariants are checked, and a pin that failed must succeed once
nothing is in the way (of random attempts, and of those at three pages, after one in 16).

Writes reports/campaign.json and reports/campaign.txt. --shard I/N runs one part of N;
--merge makes of the reports of all parts what one run would have written, to the byte.

Exit status: 0 done; 1 an invariant broke, or a pin failed for good; 2 bad input.

Examples:
  patchproof campaign --exhaustive
  patchproof campaign --seeds 2000 --variants base
  patchproof campaign --seeds 10000 --shard 1/2 --out one
  patchproof campaign --merge one/campaign.json two/campaign.json`;

async function campaign(given: Given): Promise<number> {
  const { exhaustive, merge, shard, json, ...rest } = given;
  const { runCampaign, runMerge } = await import("../campaign/run.js");
  if (merge !== undefined) return runMerge(merge, { ...rest, json: json === true });
  const { parseShard } = await import("../campaign/plan.js");
  const kind = exhaustive === true ? "exhaustive" : "random";
  return runCampaign({ ...rest, kind, shard: parseShard(shard), json: json === true });
}

/** Adds `patchproof campaign` to the program. */
export function addCampaign(program: Command): void {
  program
    .command("campaign")
    .summary("pin a guest under every schedule of faults, or under random ones")
    .description(
      "Maps a guest for DMA again and again while something is in the way of its pages, and adds up what comes of it.",
    )
    .option("--exhaustive", "every schedule for a guest of one to three pages")
    .option("--pages <n>", "most pages of an exhaustive campaign", (text) => parseCount(text, "--pages", 1, 3), 3)
    .option("--seeds <n>", "attempts of a random campaign", (text) => parseCount(text, "--seeds", 1, 1e7), 1000)
    .option("--seed <n>", "seed of all that is random", (text) => parseCount(text, "--seed", 0, 0xffffffff), 1)
    .option("--variants <list>", "variants to run, by name", (text) => parseNames(text, "--variants"), [
      "base",
      "patch",
    ])
    .option("--jobs <n>", "worker threads", (text) => parseCount(text, "--jobs", 1, 256), availableParallelism())
    .option("--shard <i/n>", "run part I of N", "1/1")
    .option("--merge <files...>", "merge the reports of all shards")
    .option("--json", "print the report as JSON")
    .option("--out <folder>", "where the reports go (default: reports)")
    .addHelpText("after", HELP)
    .action(async (given: Given, command: Command) => {
      const [extra] = command.args;
      if (extra !== undefined)
        throw new UserError(extra, "campaign takes no argument", "patchproof campaign --help lists its options");
      process.exitCode = await campaign(given);
    });
}
