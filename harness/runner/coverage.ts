// SPDX-License-Identifier: GPL-2.0-only
/** The coverage build (a second, instrumented copy of the compiled tree) and the reports that nyc makes of a run. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { MODEL_FOLDERS } from "../patch/paths.js";
import { runNode, whatWentWrong } from "./processes.js";

/** What checks the model, and what the bundler writes. */
const NOT_COVERED = /^(?:kernel.check|include.changed_files)\b/;

/** Is a file, by its path from the root, one that the selftests are to cover? */
export function isCovered(path: string): boolean {
  return MODEL_FOLDERS.some((folder) => path.startsWith(folder + sep)) && !NOT_COVERED.test(path);
}

const resolve = createRequire(import.meta.url).resolve;
export const NYC = resolve("nyc/bin/nyc.js");

async function must(what: string, root: string, argv: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const wrong = whatWentWrong(await runNode({ argv, cwd: root, onLine: (line) => lines.push(line) }));
  if (wrong !== undefined) throw new Error([`${what}: ${wrong}`, ...lines].join("\n"));
  return lines;
}

/** Folder of the instrumented copy. */
export function coverageBuild(root: string): string {
  return join(root, "build", "cov");
}

/** Makes the instrumented copy anew, in a process of its own. */
export async function buildForCoverage(root: string): Promise<void> {
  await must("instrumenting", root, [fileURLToPath(new URL("./instrument.js", import.meta.url))]);
}

const Summary = z.record(z.string(), z.object({ lines: z.object({ total: z.number(), covered: z.number() }) }));

/** Source files that are to be covered; declarations hold no code. */
function sources(root: string): string[] {
  return MODEL_FOLDERS.filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)),
    )
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts") && isCovered(path))
    .map((path) => join(root, path));
}

/**
 * Writes text summary, lcov and HTML to reports/coverage; returns the lines of the summary. Throws if the figures
 * cannot be true: nothing covered, or instrumented source files missing.
 */
export async function reportCoverage(root: string): Promise<string[]> {
  const folder = join(root, "reports", "coverage");
  rmSync(folder, { recursive: true, force: true });
  const reporters = ["text-summary", "lcovonly", "html", "json-summary"].map((name) => `--reporter=${name}`);
  const lines = await must("nyc report", root, [NYC, "report", ...reporters]);
  const text = lines.filter((line) => line.trim() !== "");
  const summary = Summary.parse(JSON.parse(readFileSync(join(folder, "coverage-summary.json"), "utf8")));
  if ((summary["total"]?.lines.covered ?? 0) === 0)
    throw new Error("coverage: no line is covered, so nothing was measured");
  const missing = sources(root).filter((path) => summary[path] === undefined && !holdsOnlyTypes(root, path));
  if (missing.length > 0) {
    throw new Error(`coverage: not measured: ${missing.map((path) => relative(root, path)).join(", ")}`);
  }
  writeFileSync(join(folder, "summary.txt"), `${text.join("\n")}\n`);
  return text;
}

/** Does a source file compile to nothing that runs? */
function holdsOnlyTypes(root: string, path: string): boolean {
  const compiled = join(coverageBuild(root), relative(root, path)).replace(/\.ts$/, ".js");
  const code = readFileSync(compiled, "utf8");
  return !/path: ?"/.test(code) || /statementMap: ?\{\}/.test(code);
}
