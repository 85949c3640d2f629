// SPDX-License-Identifier: GPL-2.0-only
/** Parts of recordings, and what becomes of each: run here or in a worker, the result is the same lines. */
import { inlineMore } from "../optimiser.js";
import { coloursIf } from "../output.js";
import { compareAfter } from "../workload/compare.js";
import { replayProgram } from "../workload/replay.js";
import type { KernelModule } from "./kernel.js";
import { compareRun, toleranceOf } from "./placement-compare.js";
import { makeRun } from "./placement-run.js";
import { printDivergence } from "./print.js";
import type { Recording } from "./recording.js";
import { runCases } from "./run-file.js";

/** Cases [from, to) of a trace, or boots of a placement; the whole of a workload. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

export interface PartOptions {
  readonly pages: boolean;
  readonly stop: boolean;
  readonly colour: boolean;
  /** Only this case, or this run of a placement; null for all. */
  readonly only: string | null;
}

export interface PartResult {
  readonly passed: number;
  readonly failed: number;
  readonly lines: readonly string[];
}

/** Workloads run on a machine that has room for them. */
const WORKLOAD_MEMORY = 2 ** 31;
const CASES_PER_PART = 100;

/** Cuts a recording into parts that can run side by side. */
export function partsOf(r: Recording): Part[] {
  const [n, size] =
    r.kind === "trace"
      ? [r.trace.cases.length, CASES_PER_PART]
      : r.kind === "placement"
        ? [r.placement.boots.length, 1]
        : [1, 1];
  const parts: Part[] = [];
  for (let from = 0; from < n; from += size) parts.push({ from, to: Math.min(n, from + size) });
  return parts;
}

function tracePart(kernel: KernelModule, r: Recording & { kind: "trace" }, part: Part, o: PartOptions): PartResult {
  const cases = r.trace.cases.slice(part.from, part.to).filter((c) => o.only === null || c.id === o.only);
  const done = runCases(kernel, r.trace, cases, { pages: o.pages, stop: o.stop });
  const colours = coloursIf(o.colour);
  const lines = done.divergences.flatMap((d) => printDivergence(d, r.path, o.pages, colours));
  return { passed: done.passed, failed: done.divergences.length, lines };
}

function workloadPart(kernel: KernelModule, r: Recording & { kind: "workload" }, o: PartOptions): PartResult {
  const c = coloursIf(o.colour);
  const k = kernel.boot({ memory: WORKLOAD_MEMORY, cpus: 1, seed: 1 });
  const run = replayProgram(kernel, k, r.workload);
  const lines: string[] = [];
  for (const d of run.divergences) {
    lines.push(
      `${c.red("DIVERGED")} ${r.path}:${String(d.line)}: ${d.call}: expected ${c.green(d.expected)}, got ${c.red(d.got)}`,
    );
  }
  if (run.killedAt !== null) lines.push(`${c.red("KILLED")} ${r.path}:${String(run.killedAt)}: out of memory`);
  const compared = compareAfter(kernel, k, r.workload, run);
  for (const d of compared.differences) {
    lines.push(`${c.red("DIVERGED")} ${r.workload.afterPath}:`);
    lines.push(`  expected ${c.green(d.expected ?? "nothing")}`, `  got      ${c.red(d.got ?? "nothing")}`);
  }
  const failed = lines.length > 0 ? 1 : 0;
  lines.push(
    `${r.path}: ${String(run.replayed)} calls, ${String(run.skipped.length)} left out, ${String(compared.vmas)} VMAs compared`,
  );
  for (const a of compared.accepted) lines.push(`  accepted for ${String(a.count)} VMAs: ${a.reason}`);
  return { passed: 1 - failed, failed, lines };
}

function placementPart(
  kernel: KernelModule,
  r: Recording & { kind: "placement" },
  part: Part,
  o: PartOptions,
): PartResult {
  const c = coloursIf(o.colour);
  const lines: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const [i, boot] of r.placement.boots.slice(part.from, part.to).entries()) {
    const k = kernel.boot({ like: boot, seed: 1 });
    for (const run of boot.runs) {
      const found = compareRun(run, makeRun(kernel, k, run), toleranceOf(boot));
      if (o.only !== null && run.run !== o.only) continue;
      if (found.length === 0) passed++;
      else failed++;
      for (const d of found) {
        const where = `${r.path}: boot ${String(part.from + i)}, ${run.run}, ${d.at}`;
        lines.push(
          `${c.red("DIVERGED")} ${where}: ${d.what}: expected ${c.green(String(d.expected))}, got ${c.red(String(d.got))}`,
        );
      }
    }
  }
  return { passed, failed, lines };
}

/** Runs one part of a recording on a variant. */
export function runPart(kernel: KernelModule, r: Recording, part: Part, o: PartOptions): PartResult {
  inlineMore(r.kind === "placement");
  switch (r.kind) {
    case "trace":
      return tracePart(kernel, r, part, o);
    case "workload":
      return workloadPart(kernel, r, o);
    case "placement":
      return placementPart(kernel, r, part, o);
  }
}
