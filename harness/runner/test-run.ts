// SPDX-License-Identifier: GPL-2.0-only
/**
 * `npm test`: builds the instrumented copy, runs the selftests on it, hands their KTAP through, adds the coverage
 * summary and what failed as comments and ends with the closing line. Arguments go to mocha (`npm test -- -g fork`).
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { closingLine, type Tally } from "../ktap/document.js";
import { KtapJoin } from "../ktap/join.js";
import { openSink, type Sink } from "../ktap/sink.js";
import { compiledRoot, projectRoot } from "../root.js";
import { buildForCoverage, coverageBuild, NYC, reportCoverage } from "./coverage.js";
import { runNode, whatWentWrong } from "./processes.js";

const MOCHA = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
const TIME_LIMIT_MS = 600_000;

interface Group {
  readonly name: string;
  /** Pattern of its files below selftests/, without what all end in. */
  readonly files: string;
  /** Does it run on the instrumented copy? Only the model is covered, and recordings would take five times as long. */
  readonly covered: boolean;
}

/**
 * What runs side by side: each group is a process of its own, since one alone would leave a core idle. The harness's
 * tests often wait for programs, and take longest: in one process they would be left over.
 */
const GROUPS: readonly Group[] = [
  { name: "harness, a to e", files: "harness/[a-e]*", covered: false },
  { name: "harness, others", files: "harness/[!a-e]*", covered: false },
  { name: "mm", files: "mm/*", covered: true },
  { name: "recordings", files: "recordings/*", covered: false },
];
/** For runs that mocha's options narrow down. */
const ALL: Group = { name: "the run", files: "**/*", covered: true };

/** Runs mocha over the test files of a group; its lines go to `onLine`. Returns how it went wrong, if so. */
async function runMocha(
  root: string,
  group: Group,
  options: readonly string[],
  onLine: (line: string) => void,
): Promise<string | undefined> {
  const out = group.covered ? coverageBuild(root) : compiledRoot();
  const mocha = [MOCHA, "--reporter", join(out, "harness/ktap/reporter.js")];
  const argv = [...mocha, "--require", join(out, "harness/ktap/setup.js"), ...options];
  const files = join(out, "selftests", `${group.files}.test.js`);
  const nyc = [NYC, "--silent", "--no-clean", "--instrument=false", process.execPath];
  const ended = await runNode({
    argv: [...(group.covered ? nyc : []), ...argv, files],
    cwd: root,
    timeout: TIME_LIMIT_MS,
    onLine,
  });
  return whatWentWrong(ended);
}

/**
 * Runs the groups; those that are covered wait for the instrumented copy, which is made meanwhile, and are reported on
 * while the others still run. Answers what came of the tests, and what will be said of their coverage.
 */
async function runSelftests(
  root: string,
  options: readonly string[],
  sink: Sink,
): Promise<[KtapJoin, Promise<string[]>]> {
  const groups = options.length > 0 ? [ALL] : GROUPS;
  const joined = new KtapJoin(
    groups.map((group) => group.name),
    sink,
  );
  const instrumented = buildForCoverage(root);
  let coverage = Promise.resolve<string[]>([]);
  await Promise.all(
    groups.map(async (group, i) => {
      if (group.covered) await instrumented;
      joined.end(i, await runMocha(root, group, options, (line) => joined.line(i, line)));
      if (!group.covered) return;
      coverage = reportCoverage(root);
      coverage.catch(() => undefined); // it is waited for, and its failure told, once all tests have run
    }),
  );
  return [joined, coverage];
}

async function main(): Promise<number> {
  const root = projectRoot();
  const sink = openSink(join(root, "reports", "selftests.tap"));
  const say = (line: string): void => sink.line(line);
  let tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  try {
    const [{ counts, failures }, coverage] = await runSelftests(root, process.argv.slice(2), sink);
    tally = counts;
    for (const line of [...(await coverage), ...failures.summary()]) say(`# ${line}`);
  } catch (error) {
    for (const line of String(error instanceof Error ? error.message : error).split("\n")) say(`# ${line}`);
    tally.failed++;
  }
  say(closingLine(tally));
  sink.close();
  return tally.failed === 0 ? 0 : 1;
}

process.exitCode = await main();
