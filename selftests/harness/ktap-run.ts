// SPDX-License-Identifier: GPL-2.0-only
/** Runs a file of tests through mocha and the reporter in a process of its own, and reads the KTAP that comes out. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Parser, type FinalResults } from "tap-parser";
import { compiledRoot } from "../../harness/root.js";

const MOCHA = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");

export interface KtapRun {
  readonly status: number | null;
  /** Standard output. */
  readonly out: string;
  /** The file that PATCHPROOF_TAP names. */
  readonly file: string;
}

/** Runs mocha on tests given as the text of a module; `noteOf` (harness/ktap/outcome.ts) is imported for them. */
export function runReporter(tests: string, ...options: string[]): KtapRun {
  const folder = mkdtempSync(join(tmpdir(), "patchproof-ktap-"));
  try {
    const ktap = join(compiledRoot(), "harness", "ktap");
    const file = join(folder, "reports", "out.tap");
    const module = join(folder, "tests.mjs");
    writeFileSync(module, `import { noteOf } from "${pathToFileURL(join(ktap, "outcome.js")).href}";\n${tests}`);
    const reporter = ["--reporter", join(ktap, "reporter.js"), "--require", join(ktap, "setup.js")];
    const ended = spawnSync(process.execPath, [MOCHA, "--no-config", ...reporter, ...options, module], {
      encoding: "utf8",
      env: { ...process.env, PATCHPROOF_TAP: file },
    });
    return { status: ended.status, out: ended.stdout, file: readFileSync(file, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One line of results, with the block that it closes. */
export interface KtapResult {
  readonly ok: boolean;
  readonly name: string;
  /** What stands behind the `#`. */
  readonly directive: string;
  readonly block?: KtapBlock;
}

export interface KtapBlock {
  readonly name: string;
  readonly results: KtapResult[];
}

const RESULT = /^(ok|not ok) (\d+) - ([^#]*?)(?: # (.*))?$/;

/**
 * Reads one block as strictly as Documentation/dev-tools/ktap.rst is written: version, name, plan, results numbered
 * from 1 on, as many as planned, nested blocks two blanks further in, each followed by a result of its name.
 */
function readBlock(lines: string[], depth: number): KtapBlock {
  const indent = "  ".repeat(depth);
  const next = (what: string, pattern: RegExp): RegExpExecArray => {
    const line = lines.shift() ?? "";
    const match = line.startsWith(indent) ? pattern.exec(line.slice(indent.length)) : null;
    if (match === null) throw new Error(`${what} expected at depth ${String(depth)}, not "${line}"`);
    return match;
  };
  const comments = (): void => {
    while (lines[0]?.startsWith(`${indent}# `) === true) lines.shift();
  };
  next("version", /^KTAP version 1$/);
  const name = depth === 0 ? "" : (next("name", /^# Subtest: (.+)$/)[1] ?? "");
  const planned = Number(next("plan", /^1\.\.(\d+)$/)[1]);
  const results: KtapResult[] = [];
  while (results.length < planned) {
    comments();
    const nested = lines[0]?.startsWith(`${indent}  KTAP `) === true ? { block: readBlock(lines, depth + 1) } : {};
    const [, ok, number, title = "", directive = ""] = next("result", RESULT);
    if (Number(number) !== results.length + 1) throw new Error(`result ${String(number)} is out of order`);
    results.push({ ok: ok === "ok", name: title, directive, ...nested });
    if (nested.block !== undefined && nested.block.name !== title)
      throw new Error(`block "${nested.block.name}" ends as "${title}"`);
  }
  comments();
  return { name, results };
}

/** Reads a document; what follows its last result is the closing line, which is returned beside it. */
export function readKtap(text: string): { document: KtapBlock; closing: string } {
  const lines = text.trimEnd().split("\n");
  const document = readBlock(lines, 0);
  if (lines.length !== 1) throw new Error(`one closing line expected, not ${JSON.stringify(lines)}`);
  return { document, closing: lines[0] ?? "" };
}

/**
 * What tap-parser makes of a document. It reads TAP 14: nested blocks are four blanks further in and have no version
 * line, so both are changed before; nothing else is.
 */
export function tapParserVerdict(text: string): FinalResults & { notTap: string[] } {
  let results: FinalResults | undefined;
  const notTap: string[] = [];
  const parser = new Parser((found) => {
    results = found;
  });
  const watch = (one: Parser): void => {
    one.on("extra", (line: string) => notTap.push(line.trim()));
    one.on("child", watch);
  };
  watch(parser);
  const lines = text.split("\n").filter((line) => !/^ +KTAP version 1$/.test(line));
  parser.end(lines.map((line) => line.replace(/^ +/, "$&$&")).join("\n"));
  if (results === undefined) throw new Error("tap-parser came to no verdict");
  return Object.assign(results, { notTap });
}

/** Exit status and output of prove (perl) on a document; undefined where there is no prove. */
export function prove(text: string): { status: number | null; out: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "patchproof-prove-"));
  try {
    const file = join(folder, "out.tap");
    writeFileSync(file, text);
    const ended = spawnSync("prove", ["--nocolor", "-e", "cat", file], { encoding: "utf8" });
    return ended.error === undefined ? { status: ended.status, out: ended.stdout } : undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
