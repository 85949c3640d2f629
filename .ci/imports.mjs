// SPDX-License-Identifier: GPL-2.0-only
/** Checks which folders import which. dependency-cruiser checks nothing and says nothing when it finds no compiler: this counts. */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { cruise } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";

const config = createRequire(import.meta.url)("../.dependency-cruiser.cjs");
const folders = ["uapi", "include", "arch", "lib", "mm", "fs", "drivers", "kernel", "harness", "selftests"].filter(
  existsSync,
);
const files = folders.flatMap((folder) =>
  readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".ts")),
);

const { forbidden, options } = config;
const { output } = await cruise(folders, { ...options, ruleSet: { forbidden }, validate: true }, undefined, {
  tsConfig: extractTSConfig(options.tsConfig.fileName),
});
const { violations, totalCruised, totalDependenciesCruised } = output.summary;
for (const { rule, from, to } of violations) console.error(`${from}: imports ${to} (${rule.name})`);
const modules = output.modules.filter(({ source }) => folders.includes(source.split("/")[0] ?? "")).length;
console.log(
  `imports: ${modules} modules (${totalCruised} in all), ${totalDependenciesCruised} imports, ${violations.length} wrong`,
);
if (modules < files.length) {
  console.error(`imports: there are ${files.length} source files: the check did not see all`);
  process.exitCode = 1;
}
if (violations.length > 0) process.exitCode = 1;
