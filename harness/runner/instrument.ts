// SPDX-License-Identifier: GPL-2.0-only
/** Makes build/cov, the instrumented copy of what `npm run build` has compiled: a program that the test run starts. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInstrumenter } from "istanbul-lib-instrument";
import { projectRoot } from "../root.js";
import { bundleOf } from "../variants/build.js";
import { bundleKernel } from "../variants/bundle.js";
import { COVERED, coverageBuild } from "./coverage.js";

/** A source map as it has to be one folder further down. */
function moved(map: string): { sources: string[] } {
  const parsed = JSON.parse(map) as { sources: string[] };
  return { ...parsed, sources: parsed.sources.map((source) => `../${source}`) };
}

/** Copies a folder of the compiled tree, instrumented if it is to be covered. */
function copyCompiled(from: string, to: string, covered: boolean): void {
  const instrumenter = createInstrumenter({
    esModules: true,
    coverageVariable: "__coverage__",
    compact: true,
    preserveComments: false,
  });
  for (const path of readdirSync(from, { recursive: true, encoding: "utf8" })) {
    const [source, place] = [join(from, path), join(to, path)];
    if (statSync(source).isDirectory()) continue;
    mkdirSync(dirname(place), { recursive: true });
    if (path.endsWith(".map")) writeFileSync(place, JSON.stringify(moved(readFileSync(source, "utf8"))));
    else if (!covered || !path.endsWith(".js")) cpSync(source, place);
    else {
      const code = readFileSync(source, "utf8");
      const map = moved(readFileSync(`${source}.map`, "utf8"));
      writeFileSync(place, instrumenter.instrumentSync(code, place, map));
    }
  }
}

const root = projectRoot();
const out = coverageBuild(root);
rmSync(out, { recursive: true, force: true });
rmSync(join(root, "build", "nyc"), { recursive: true, force: true });
for (const folder of [...COVERED, "harness", "selftests"]) {
  const compiled = join(root, "build", folder);
  if (existsSync(compiled)) copyCompiled(compiled, join(out, folder), folder !== "harness" && folder !== "selftests");
}
await bundleKernel(join(out, "kernel", "index.js"), bundleOf(out));
