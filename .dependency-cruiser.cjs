// SPDX-License-Identifier: GPL-2.0-only
"use strict";

/** What a folder's code may import to run; types may come from anywhere. */
const ALLOWED = {
  uapi: [],
  include: ["uapi"],
  lib: ["uapi", "include"],
  arch: ["uapi", "include", "lib", "mm", "fs", "drivers"],
  mm: ["uapi", "include", "lib", "arch", "fs", "drivers"],
  fs: ["uapi", "include", "lib", "arch", "mm", "drivers"],
  drivers: ["uapi", "include", "lib", "arch", "mm", "fs"],
  kernel: ["uapi", "include", "lib", "arch", "mm", "fs", "drivers"],
};

const MODEL = Object.keys(ALLOWED);

const directions = MODEL.map((folder) => ({
  name: `${folder}-looks-down-only`,
  comment: `${folder}/ runs on: ${ALLOWED[folder].join(", ") || "nothing"}`,
  severity: "error",
  from: { path: `^${folder}/` },
  to: {
    path: "^(uapi|include|lib|arch|mm|fs|drivers|kernel|harness|selftests)/",
    pathNot: `^(${[folder, ...ALLOWED[folder]].join("|")})/`,
    dependencyTypesNot: ["type-only"],
  },
}));

module.exports = {
  forbidden: [
    ...directions,
    {
      name: "harness-knows-no-model",
      comment:
        "a variant is reached through the kernel/index.js that was loaded for it; constants of uapi/ and include/ and lib/ are the same in all",
      severity: "error",
      from: { path: "^harness/" },
      to: { path: "^(arch|mm|fs|drivers|kernel)/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "harness-knows-no-tests",
      severity: "error",
      from: { path: "^(harness|bin)/" },
      to: { path: "^selftests/" },
    },
    {
      name: "selftests-are-black-box",
      comment: "tests go through system calls",
      severity: "error",
      from: { path: "^selftests/" },
      to: { path: "^(arch|mm|fs|drivers|kernel)/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "model-needs-no-package",
      severity: "error",
      from: { path: `^(${MODEL.join("|")})/` },
      to: { dependencyTypes: ["npm", "npm-dev", "core"] },
    },
    { name: "no-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    {
      name: "no-undeclared-package",
      severity: "error",
      from: {},
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "program-runs-without-dev-packages",
      severity: "error",
      from: { path: "^(harness|bin)/", pathNot: "^harness/(runner/(test-run|coverage)|bench/)" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "no-circle-outside-the-model",
      severity: "error",
      from: { path: "^(harness|selftests|uapi|include|lib)/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: "specify",
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
