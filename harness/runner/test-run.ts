// SPDX-License-Identifier: GPL-2.0-only
/**
 * `npm test`: builds the instrumented copy, runs the selftests on it, hands their KTAP through, adds the coverage
 * summary as comments and ends with the closing line. Arguments go to mocha (`npm test -- -g fork`).
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { closingLine, readClosingLine } from "../ktap/document.js";
import { projectRoot } from "../root.js";
import { buildForCoverage, NYC, reportCoverage } from "./coverage.js";
import { runNode, whatWentWrong } from "./processes.js";

const MOCHA = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
const TIME_LIMIT_MS = 600_000;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function runMocha(root: string, out: string, argv: readonly string[]): Promise<Tally> {
  let tally: Tally | undefined;
  const mocha = [
    MOCHA,
    "--reporter",
    join(out, "harness/ktap/reporter.js"),
    "--require",
    join(out, "harness/ktap/setup.js"),
  ];
  const ended = await runNode({
    argv: [
      NYC,
      "--silent",
      "--instrument=false",
      process.execPath,
      ...mocha,
      ...argv,
      join(out, "selftests/**/*.test.js"),
    ],
    cwd: root,
    env: {
      PATCHPROOF_TAP: join(root, "reports", "selftests.tap"),
      PATCHPROOF_COVERAGE: "1",
      NODE_OPTIONS: "--enable-source-maps",
    },
    timeout: TIME_LIMIT_MS,
    onLine(line) {
      const closing = readClosingLine(line);
      if (closing === undefined) say(line);
      else tally = closing;
    },
  });
  const wrong = whatWentWrong(ended);
  if (tally === undefined || (wrong !== undefined && tally.failed === 0)) {
    say(`# the run of the selftests did not end well: ${wrong ?? "no closing line"}`);
    const { passed, failed, skipped } = tally ?? { passed: 0, failed: 0, skipped: 0 };
    return { passed, failed: failed + 1, skipped };
  }
  return tally;
}

async function main(): Promise<number> {
  const root = projectRoot();
  const tally = { passed: 0, failed: 0, skipped: 0, xfailed: 0 };
  try {
    const out = await buildForCoverage(root);
    Object.assign(tally, await runMocha(root, out, process.argv.slice(2)));
    for (const line of await reportCoverage(root)) say(`# ${line}`);
  } catch (error) {
    for (const line of String(error instanceof Error ? error.message : error).split("\n")) say(`# ${line}`);
    tally.failed++;
  }
  say(closingLine(tally));
  return tally.failed === 0 ? 0 : 1;
}

process.exitCode = await main();
