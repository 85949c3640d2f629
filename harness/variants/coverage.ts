// SPDX-License-Identifier: GPL-2.0-only
/**
 * Coverage of the lines that a patch adds: the files that it touches are instrumented in a copy of the variant, and a
 * probe says after each test which added lines ran.
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { FileCoverage } from "istanbul-lib-instrument";
import type { AddedLine } from "../patch/apply.js";
import { buildFolder, buildVariant, bundleOf, type BuildOptions, type BuiltVariant } from "./build.js";
import { counterOf, type Counter } from "./counters.js";
import { importKernel, type KernelModule } from "./load.js";
import { changedFiles, type VariantSpec } from "./spec.js";

const VARIABLE = "__patchproof_lines__";

/** Makes the instrumented copy of a variant, or finds it made. Its `dir` is loaded as any variant's is. */
export async function instrumentVariant(
  which: string | VariantSpec,
  options: BuildOptions = {},
): Promise<BuiltVariant> {
  const built = await buildVariant(which, { ...options, aside: true });
  const place = `${dirname(built.dir)}-lines`;
  const dir = join(place, basename(built.dir));
  await buildFolder(place, async (folder) => {
    const copy = join(folder, basename(built.dir));
    cpSync(built.dir, copy, { recursive: true });
    const { createInstrumenter } = await import("istanbul-lib-instrument");
    for (const path of new Set(built.added.map((line) => line.path))) {
      const js = path.replace(/\.ts$/, ".js");
      const options = { esModules: true, coverageVariable: VARIABLE, compact: false, preserveComments: true };
      const code = readFileSync(join(built.dir, js), "utf8");
      writeFileSync(join(copy, js), createInstrumenter(options).instrumentSync(code, join(dir, js)));
    }
    const { bundleKernel } = await import("./bundle.js");
    await bundleKernel(join(copy, "kernel", "index.js"), bundleOf(copy), { changed: changedFiles(built.spec) });
  });
  return { ...built, dir };
}

/** Loads an instrumented copy and the probe on it. */
export async function loadInstrumented(
  which: string | VariantSpec,
  options: BuildOptions = {},
): Promise<{ built: BuiltVariant; kernel: KernelModule; probe: LineProbe }> {
  const built = await instrumentVariant(which, options);
  const kernel = await importKernel(built.dir);
  return { built, kernel, probe: new LineProbe(built) };
}

function coverageOf(path: string): FileCoverage | undefined {
  const all = (globalThis as Record<string, unknown>)[VARIABLE] as Record<string, FileCoverage> | undefined;
  return all?.[path];
}

export type LineState = "reached" | "at load" | "unreached" | "not executable";

export interface LineReport extends AddedLine {
  readonly state: LineState;
  /** How many tests ran it, and the first of them. */
  readonly tests: number;
  readonly first: string | null;
}

interface Probed {
  readonly line: AddedLine;
  /** Null: there is nothing on the line to run. */
  readonly counter: Counter | null;
  readonly atLoad: boolean;
  last: number;
}

/** Knows which added lines ran. Made once the instrumented variant is loaded, before anything of it is called. */
export class LineProbe {
  private readonly probed: Probed[];

  constructor(built: BuiltVariant) {
    const original = dirname(built.dir).replace(/-lines$/, "");
    this.probed = built.added.map((line) => {
      const js = line.path.replace(/\.ts$/, ".js");
      const coverage = coverageOf(join(built.dir, js));
      if (coverage === undefined)
        throw new Error(`${line.path} of variant ${built.spec.name} was not loaded instrumented`);
      const counter = counterOf(line, coverage, join(original, basename(built.dir), js));
      const last = counter?.() ?? 0;
      return { line, counter, atLoad: last > 0, last };
    });
  }

  get lines(): readonly AddedLine[] {
    return this.probed.map((one) => one.line);
  }

  /** Can the line at this index run at all, and did it run while the module was loaded? */
  kindOf(index: number): "code" | "at load" | "not executable" {
    const one = this.probed[index];
    if (one?.counter == null) return "not executable";
    return one.atLoad ? "at load" : "code";
  }

  /** Indices of the added lines that ran since the last call. */
  take(): number[] {
    const ran: number[] = [];
    this.probed.forEach((one, i) => {
      const now = one.counter?.() ?? 0;
      if (now > one.last) ran.push(i);
      one.last = now;
    });
    return ran;
  }
}

/** Gathers, over the tests, how many ran each added line and which was the first. */
export class LineCoverage {
  private readonly probe: LineProbe;
  private readonly tests: number[];
  private readonly firsts: (string | null)[];

  constructor(probe: LineProbe) {
    this.probe = probe;
    this.tests = probe.lines.map(() => 0);
    this.firsts = probe.lines.map(() => null);
    probe.take();
  }

  /** To be called when a test has ended. */
  record(test: string): void {
    for (const i of this.probe.take()) {
      this.tests[i] = (this.tests[i] ?? 0) + 1;
      this.firsts[i] ??= test;
    }
  }

  report(): LineReport[] {
    return this.probe.lines.map((line, i) => {
      const tests = this.tests[i] ?? 0;
      const kind = this.probe.kindOf(i);
      const state: LineState = tests > 0 ? "reached" : kind === "code" ? "unreached" : kind;
      return { ...line, state, tests, first: this.firsts[i] ?? null };
    });
  }
}

/** Adds up the reports of several processes that ran tests of the same variant, in the order of the tests. */
export function mergeLineReports(reports: readonly (readonly LineReport[])[]): LineReport[] {
  const [head, ...rest] = reports;
  return (head ?? []).map((line, i) => {
    const all = [line, ...rest.flatMap((report) => report[i] ?? [])];
    const tests = all.reduce((n, one) => n + one.tests, 0);
    const first = all.find((one) => one.first !== null)?.first ?? null;
    return { ...line, tests, first, state: tests > 0 ? "reached" : line.state };
  });
}
