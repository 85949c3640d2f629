// SPDX-License-Identifier: GPL-2.0-only
/**
 * Makes build/cov, the instrumented copy of what `npm run build` has compiled: a program that the test run starts, and
 * the installation. What has not changed since it was copied last is left as it is.
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInstrumenter } from "istanbul-lib-instrument";
import { z } from "zod";
import { projectRoot } from "../root.js";
import { bundleOf, stampOf } from "../variants/build.js";
import { bundleKernel } from "../variants/bundle.js";
import { COVERED, coverageBuild } from "./coverage.js";

/** A source map as it has to be one folder further down. */
function moved(map: string): { sources: string[] } {
  const parsed = JSON.parse(map) as { sources: string[] };
  return { ...parsed, sources: parsed.sources.map((source) => `../${source}`) };
}

/** Another version of it makes other copies. */
const INSTRUMENTER = readFileSync(
  createRequire(import.meta.url).resolve("istanbul-lib-instrument/package.json"),
  "utf8",
);

/** What the copies were made of: by their path, a digest of the compiled file and its map. */
class Origins {
  private readonly file: string;
  private readonly before: Map<string, string>;
  private readonly now = new Map<string, string>();

  /** Without its file, which is away while copies are made, nothing in `folder` can be trusted. */
  constructor(folder: string) {
    this.file = join(folder, "origins.json");
    if (!existsSync(this.file)) rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const text = existsSync(this.file) ? readFileSync(this.file, "utf8") : "[]";
    this.before = new Map(z.array(z.tuple([z.string(), z.string()])).parse(JSON.parse(text)));
    rmSync(this.file, { force: true });
  }

  /** Is the copy at `place` of other contents than these, or not there? */
  changed(place: string, ...contents: readonly string[]): boolean {
    const digest = createHash("sha1")
      .update([INSTRUMENTER, ...contents].join("\0"))
      .digest("hex");
    this.now.set(place, digest);
    return this.before.get(place) !== digest || !existsSync(place);
  }

  /** Removes copies whose original is gone, and keeps the rest for the next time. */
  close(): void {
    for (const place of this.before.keys()) if (!this.now.has(place)) rmSync(place, { force: true });
    writeFileSync(this.file, JSON.stringify([...this.now]));
  }
}

/** Counters as variables of the module, where the instrumenter calls a function for each. */
function withCounters(code: string): string {
  return code
    .replace(/\b(cov_\w+)\(\);/, "$&var $1_s=$1().s,$1_f=$1().f,$1_b=$1().b;")
    .replaceAll(/\b(cov_\w+)\(\)\.([sfb])(?=\[\d+\](\[\d+\])?\+\+)/g, "$1_$2");
}

/** Copies a folder of the compiled tree, instrumented if it is to be covered. */
function copyCompiled(from: string, to: string, covered: boolean, origins: Origins): void {
  const instrumenter = createInstrumenter({
    esModules: true,
    coverageVariable: "__coverage__",
    compact: true,
    preserveComments: false,
  });
  for (const path of readdirSync(from, { recursive: true, encoding: "utf8" })) {
    const [source, place] = [join(from, path), join(to, path)];
    if (statSync(source).isDirectory()) continue;
    const map = covered && path.endsWith(".js") ? readFileSync(`${source}.map`, "utf8") : "";
    if (!origins.changed(place, readFileSync(source, "utf8"), map)) continue;
    mkdirSync(dirname(place), { recursive: true });
    if (path.endsWith(".map")) writeFileSync(place, JSON.stringify(moved(readFileSync(source, "utf8"))));
    else if (!covered || !path.endsWith(".js")) cpSync(source, place);
    else {
      const code = readFileSync(source, "utf8");
      const map = moved(readFileSync(`${source}.map`, "utf8"));
      writeFileSync(place, withCounters(instrumenter.instrumentSync(code, place, map)));
    }
  }
}

const root = projectRoot();
const out = coverageBuild(root);
const origins = new Origins(out);
rmSync(join(root, "build", "nyc"), { recursive: true, force: true });
for (const folder of [...COVERED, "harness", "selftests"]) {
  const compiled = join(root, "build", folder);
  if (existsSync(compiled))
    copyCompiled(compiled, join(out, folder), folder !== "harness" && folder !== "selftests", origins);
}
origins.close();
await bundleKernel(join(out, "kernel", "index.js"), bundleOf(out));
cpSync(stampOf(join(root, "build")), stampOf(out), { force: true });
