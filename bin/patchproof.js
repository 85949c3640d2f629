#!/usr/bin/env node
// SPDX-License-Identifier: GPL-2.0-only
import { existsSync } from "node:fs";

const cli = new URL("../build/harness/cli.js", import.meta.url);
if (existsSync(cli)) {
  const { main } = await import(cli.href);
  await main(process.argv);
} else {
  process.stderr.write("patchproof: the program is not built; run npm ci, or npm run build, in its folder\n");
  process.exitCode = 2;
}
