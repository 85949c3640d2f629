// SPDX-License-Identifier: GPL-2.0-only
/** Developers' way in: `node OUT/harness/replay/placement.js FILE… [--run N] [--boot N] [--verbose]`. */
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { describeFailure } from "../errors.js";
import { compiledRoot } from "../root.js";
import { importKernel } from "../variants/load.js";
import { compareRun, type PlacementDifference, toleranceOf } from "./placement-compare.js";
import { type PlacementBoot, type PlacementRun, readPlacement } from "./placement-format.js";
import { type MadeRun, makeRun } from "./placement-run.js";

const kernel = await importKernel(compiledRoot());

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { run: { type: "string" }, boot: { type: "string" }, verbose: { type: "boolean", default: false } },
});

function show(run: PlacementRun, made: MadeRun, found: readonly PlacementDifference[]): void {
  const worst = Math.max(0, ...run.steps.map((s, i) => Math.abs(s[1] - (made.steps[i]?.[1] ?? -1e9))));
  const freeOff = run.steps.map((s, i) => (made.steps[i]?.[2] ?? 0) - s[2]);
  const pin = `pin ${String(run.pin?.pages_pinned)}/${String(made.pin?.pages_pinned)} left ${String(run.pin?.cma_left)}/${String(made.pin?.cma_left)}`;
  const killed = made.killed === null ? "" : ` KILLED ${made.killed}`;
  console.log(
    `${found.length === 0 ? "ok " : "BAD"} ${run.run.padEnd(36)} cma ${String(run.cma_pages)}/${String(made.cma_pages)} worst step ${String(worst)} ` +
      `free off ${String(freeOff[0] ?? "-")}…${String(freeOff.at(-1) ?? "-")} ${pin}${killed}`,
  );
  const list = values.verbose ? found : found.slice(0, 3);
  for (const d of list) console.log(`      ${d.at}: ${d.what}: expected ${String(d.expected)}, got ${String(d.got)}`);
  if (values.verbose) {
    for (const [i, s] of run.steps.entries()) {
      const m = made.steps[i];
      if (m === undefined || s[1] !== m[1] || Math.abs(s[2] - m[2]) > 40)
        console.log("       ", s.join(" "), "|", m?.join(" "));
    }
  }
}

function boot(b: PlacementBoot): [number, number] {
  const k = kernel.boot({ like: b, seed: 1 });
  let ok = 0;
  let bad = 0;
  for (const [i, run] of b.runs.entries()) {
    const made = makeRun(kernel, k, run);
    const found = compareRun(run, made, toleranceOf(b));
    if (values.run === undefined || Number(values.run) === i) show(run, made, found);
    if (found.length === 0) ok++;
    else bad++;
  }
  return [ok, bad];
}

try {
  for (const path of positionals) {
    const recording = readPlacement(path);
    let ok = 0;
    let bad = 0;
    console.log(basename(path));
    for (const [i, b] of recording.boots.entries()) {
      if (values.boot !== undefined && Number(values.boot) !== i) continue;
      const r = boot(b);
      ok += r[0];
      bad += r[1];
    }
    console.log(`${basename(path)}: ${String(ok)} passed, ${String(bad)} failed`);
  }
} catch (error) {
  const { line, status } = describeFailure(error);
  console.error(process.env["PATCHPROOF_DEBUG"] === "1" ? error : line);
  process.exitCode = status;
}
