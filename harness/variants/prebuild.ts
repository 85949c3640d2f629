// SPDX-License-Identifier: GPL-2.0-only
/** The last step of `npm run build`: the bundle of the compiled tree, and what every evaluation needs beside it. */
import { join } from "node:path";
import { compiledRoot, projectRoot } from "../root.js";
import { buildVariant, bundleOf } from "./build.js";
import { bundleKernel } from "./bundle.js";
import { instrumentVariant } from "./coverage.js";
import { REVIEW_ALIAS } from "./spec.js";

await bundleKernel(join(projectRoot(), "kernel", "index.ts"), bundleOf(compiledRoot()));
await buildVariant("base");
await instrumentVariant(REVIEW_ALIAS);
