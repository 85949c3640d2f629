// SPDX-License-Identifier: GPL-2.0-only
/** Runs the selftests that run on kernel variants in processes of their own, and gathers what came of each. */
import { fork } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors.js";
import { compiledRoot } from "../root.js";
import { mergeLineReports, type LineReport } from "../variants/coverage.js";
import type { VariantSpec } from "../variants/spec.js";
import { whatWentWrong } from "./processes.js";
import type { Message, SelftestId, SelftestResult, Task } from "./protocol.js";

export type { SelftestResult } from "./protocol.js";

export interface SelftestOptions {
  readonly variants: readonly string[];
  /** What "patch" stands for among the variants, where it is not the patch under review. */
  readonly patch?: VariantSpec;
  /** Compiled test files to read; all that there are, unless it says so. */
  readonly files?: readonly string[];
  /** Regular expression for the names of the tests to run. */
  readonly grep?: string;
  /** Processes; each takes a share of the test files. */
  readonly jobs?: number;
  /** Called after each test; `total` grows as the processes have read their files. */
  onTest?(done: number, total: number, result: SelftestResult): void;
}

export interface SelftestRun {
  /** In the order of the files and of the tests in them, whatever the number of processes. */
  readonly results: readonly SelftestResult[];
  /** The patch's added lines: which tests reached them. Empty if "patch" is not among the variants. */
  readonly lines: readonly LineReport[];
}

/** Folders of selftests that are about the project itself. */
const OWN = ["harness", "recordings"];
const CHILD = fileURLToPath(new URL("selftests-child.js", import.meta.url));

/** Compiled test files that run on variants, sorted. */
export function variantTestFiles(root = compiledRoot()): string[] {
  return readdirSync(join(root, "selftests"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".test.js") && !OWN.some((folder) => path.startsWith(`${folder}/`)))
    .sort()
    .map((path) => join(root, "selftests", path));
}

/** Splits into at most `n` runs of neighbours. */
function shares<T>(all: readonly T[], n: number): T[][] {
  const size = Math.max(1, Math.ceil(all.length / Math.max(1, n)));
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
}

interface Gathered {
  planned: readonly SelftestId[];
  results: SelftestResult[];
  lines: readonly LineReport[];
}

const key = (id: SelftestId): string => JSON.stringify([id.file, id.title, id.variant]);

/** Results in the order of the plan; a test that gave none has failed. */
function complete(g: Gathered, wrong: string): SelftestResult[] {
  const byKey = new Map<string, SelftestResult[]>();
  for (const result of g.results) byKey.set(key(result), [...(byKey.get(key(result)) ?? []), result]);
  const missing = { outcome: "fail", reason: "", message: `not run: ${wrong}`, observations: {}, ms: 0 } as const;
  return g.planned.map((id) => byKey.get(key(id))?.shift() ?? { ...id, ...missing });
}

function runChild(task: Task, onMessage: (message: Message) => void): Promise<SelftestResult[]> {
  // without this process's options: nothing of the child's stacks is shown, so it need not read source maps
  const child = fork(CHILD, { stdio: ["ignore", "ignore", "pipe", "ipc"], execArgv: [] });
  const gathered: Gathered = { planned: [], results: [], lines: [] };
  let failure: { name: string; message: string } | undefined;
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-4000);
  });
  child.on("message", (message: Message) => {
    if (message.kind === "plan") gathered.planned = message.tests;
    else if (message.kind === "results") gathered.results.push(...message.results);
    else if (message.kind === "error") failure = message;
    onMessage(message);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      const wrong = whatWentWrong({ status, signal });
      if (failure?.name === "UserError") reject(new UserError("", failure.message));
      else if (failure !== undefined || (wrong !== undefined && gathered.planned.length === 0)) {
        reject(new Error(`the selftests could not be run: ${failure?.message ?? `${wrong ?? ""}\n${stderr}`}`));
      } else resolve(complete(gathered, wrong ?? "no result came"));
    });
    child.send(task);
  });
}

/** Runs the selftests on the variants. Throws UserError if a variant cannot be built. */
export async function runSelftests(options: SelftestOptions): Promise<SelftestRun> {
  const files = shares(options.files ?? variantTestFiles(), options.jobs ?? 1);
  const lines: (readonly LineReport[])[] = files.map(() => []);
  let done = 0;
  let total = 0;
  const all = await Promise.all(
    files.map((share, i) => {
      const task = {
        variants: options.variants,
        patch: options.patch ?? null,
        grep: options.grep ?? null,
        files: share,
      };
      return runChild(task, (message) => {
        if (message.kind === "plan") total += message.tests.length;
        else if (message.kind === "lines") lines[i] = message.lines;
        else if (message.kind === "results") for (const r of message.results) options.onTest?.(++done, total, r);
      });
    }),
  );
  const reports = lines.filter((report) => report.length > 0);
  return { results: all.flat(), lines: mergeLineReports(reports) };
}
