// SPDX-License-Identifier: GPL-2.0-only
/**
 * The last step of `npm run build`: what has no source any more goes, the compiled tree is bundled, and what every
 * evaluation needs is made beside it.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MODEL_FOLDERS } from "../patch/paths.js";
import { compiledRoot, projectRoot } from "../root.js";
import { buildVariant, bundleOf, ownTreeIsFresh, stampOwnTree } from "./build.js";
import { bundleKernel } from "./bundle.js";
import { instrumentVariant } from "./coverage.js";
import { changedFiles, REVIEW_ALIAS, reviewVariant } from "./spec.js";

const root = projectRoot();

/** The compiler leaves what it made of a source that is gone: a test, say, would go on to run. */
function removeStale(folder: string): void {
  for (const path of readdirSync(join(compiledRoot(), folder), { recursive: true, encoding: "utf8" })) {
    const source = /^(.*)\.js(\.map)?$/.exec(path)?.[1];
    if (source !== undefined && !existsSync(join(root, folder, `${source}.ts`)))
      rmSync(join(compiledRoot(), folder, path));
  }
}

for (const folder of [...MODEL_FOLDERS, "harness", "selftests"]) removeStale(folder);
if (!ownTreeIsFresh(root)) {
  const changed = changedFiles(reviewVariant(root));
  await bundleKernel(join(root, "kernel", "index.ts"), bundleOf(compiledRoot()), { changed });
  stampOwnTree(root);
}
await buildVariant("base");
await instrumentVariant(REVIEW_ALIAS);
