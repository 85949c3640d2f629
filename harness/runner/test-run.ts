// SPDX-License-Identifier: GPL-2.0-only
/**
 * `npm test`: builds the instrumented copy, runs the selftests on it, hands their KTAP through, adds the coverage
 * summary as comments and ends with the closing line. Arguments go to mocha (`npm test -- -g fork`).
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { closingLine } from "../ktap/document.js";
import { KtapJoin, type JoinedCounts } from "../ktap/join.js";
import { openSink, type Sink } from "../ktap/sink.js";
import { projectRoot } from "../root.js";
import { buildForCoverage, NYC, reportCoverage } from "./coverage.js";
import { runNode, whatWentWrong } from "./processes.js";

const MOCHA = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
const TIME_LIMIT_MS = 600_000;

/** What runs side by side: each group is a process of its own, since one alone would leave a core idle. */
const GROUPS = ["harness", "mm", "recordings"] as const;

function mochaArgv(out: string): string[] {
  const reporter = join(out, "harness/ktap/reporter.js");
  const setup = join(out, "harness/ktap/setup.js");
  const nyc = [NYC, "--silent", "--no-clean", "--instrument=false"];
  return [...nyc, process.execPath, MOCHA, "--reporter", reporter, "--require", setup];
}

/** Runs mocha over some test files of the instrumented copy; its lines go to `onLine`. Returns how it went wrong, if so. */
async function runMocha(
  root: string,
  out: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<string | undefined> {
  const ended = await runNode({
    argv: [...mochaArgv(out), ...args],
    cwd: root,
    env: { PATCHPROOF_COVERAGE: "1", NODE_OPTIONS: "--enable-source-maps" },
    timeout: TIME_LIMIT_MS,
    onLine,
  });
  return whatWentWrong(ended);
}

/** Runs the groups side by side, or, for a run that mocha's options narrow down, all files in one process. */
async function runSelftests(root: string, out: string, argv: readonly string[], sink: Sink): Promise<JoinedCounts> {
  const groups = argv.length > 0 ? ["**"] : GROUPS;
  const joined = new KtapJoin(
    groups.map((group) => (group === "**" ? "the run" : group)),
    sink,
  );
  await Promise.all(
    groups.map(async (group, i) => {
      const files = join(out, "selftests", group, "*.test.js");
      joined.end(i, await runMocha(root, out, [...argv, files], (line) => joined.line(i, line)));
    }),
  );
  return joined.counts;
}

async function main(): Promise<number> {
  const root = projectRoot();
  const sink = openSink(join(root, "reports", "selftests.tap"));
  const say = (line: string): void => sink.line(line);
  const tally = { passed: 0, failed: 0, skipped: 0, xfailed: 0 };
  try {
    const out = await buildForCoverage(root);
    Object.assign(tally, await runSelftests(root, out, process.argv.slice(2), sink));
    for (const line of await reportCoverage(root)) say(`# ${line}`);
  } catch (error) {
    for (const line of String(error instanceof Error ? error.message : error).split("\n")) say(`# ${line}`);
    tally.failed++;
  }
  say(closingLine(tally));
  sink.close();
  return tally.failed === 0 ? 0 : 1;
}

process.exitCode = await main();
