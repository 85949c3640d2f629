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
import { MODEL_FOLDERS } from "../patch/paths.js";
import { compiledRoot, projectRoot } from "../root.js";
import { bundleOf, stampOf } from "../variants/build.js";
import { bundleKernel } from "../variants/bundle.js";
import { changedFiles, reviewVariant } from "../variants/spec.js";
import { coverageBuild, isCovered } from "./coverage.js";

/** What the copy is made of. */
const FOLDERS = [...MODEL_FOLDERS, "harness", "selftests"];

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
  /** Was any copy made anew, or one removed? */
  anyChanged = false;

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
    const changed = this.before.get(place) !== digest || !existsSync(place);
    this.anyChanged ||= changed;
    return changed;
  }

  /** Removes copies whose original is gone. */
  dropGone(): void {
    for (const place of this.before.keys()) {
      if (this.now.has(place)) continue;
      this.anyChanged = true;
      rmSync(place, { force: true });
    }
  }

  /** Keeps what was copied for the next time. */
  close(): void {
    writeFileSync(this.file, JSON.stringify([...this.now]));
  }
}

/** Counters as variables of the module, where the instrumenter calls a function for each. */
function withCounters(code: string): string {
  return code
    .replace(/\b(cov_\w+)\(\);/, "$&var $1_s=$1().s,$1_f=$1().f,$1_b=$1().b;")
    .replaceAll(/\b(cov_\w+)\(\)\.([sfb])(?=\[\d+\](\[\d+\])?\+\+)/g, "$1_$2");
}

/** Copies a folder of the compiled tree, what is to be covered instrumented. */
function copyCompiled(folder: string): void {
  for (const name of readdirSync(join(built, folder), { recursive: true, encoding: "utf8" })) {
    const path = join(folder, name);
    const [source, place] = [join(built, path), join(out, path)];
    if (statSync(source).isDirectory()) continue;
    const covered = path.endsWith(".js") && isCovered(path);
    const map = covered ? readFileSync(`${source}.map`, "utf8") : "";
    const text = readFileSync(source, "utf8");
    if (!origins.changed(place, text, map)) continue;
    mkdirSync(dirname(place), { recursive: true });
    if (path.endsWith(".map")) writeFileSync(place, JSON.stringify(moved(text)));
    else writeFileSync(place, covered ? withCounters(instrumenter.instrumentSync(text, place, moved(map))) : text);
  }
}

const root = projectRoot();
const built = compiledRoot();
const out = coverageBuild(root);
const origins = new Origins(out);
const instrumenter = createInstrumenter({
  esModules: true,
  coverageVariable: "__coverage__",
  compact: true,
  preserveComments: false,
});
rmSync(join(root, "build", "nyc"), { recursive: true, force: true });
for (const folder of FOLDERS) if (existsSync(join(built, folder))) copyCompiled(folder);
origins.dropGone();
const stamped = existsSync(stampOf(out)) && readFileSync(stampOf(out), "utf8") === readFileSync(stampOf(built), "utf8");
if (origins.anyChanged || !stamped || !existsSync(bundleOf(out))) {
  await bundleKernel(join(out, "kernel", "index.js"), bundleOf(out), {
    changed: changedFiles(reviewVariant(root)),
    forMachines: true,
  });
}
origins.close();
cpSync(stampOf(built), stampOf(out), { force: true });
