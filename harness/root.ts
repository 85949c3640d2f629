// SPDX-License-Identifier: GPL-2.0-only
/** Where the project lies on disk, wherever this module was compiled to. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "./errors.js";

interface PackageJson {
  readonly name?: string;
  readonly version?: string;
}

/** npm has read it before: a schema, which each worker would load, would cost more than it is worth. */
function packageAt(directory: string): PackageJson | undefined {
  const path = join(directory, "package.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as PackageJson) : undefined;
}

/** The top of the project: PATCHPROOF_ROOT, or the nearest folder above with patchproof's package.json. */
export function projectRoot(): string {
  const given = process.env["PATCHPROOF_ROOT"];
  if (given !== undefined && given !== "") return given;
  let directory = dirname(fileURLToPath(import.meta.url));
  while (packageAt(directory)?.name !== "patchproof") {
    const parent = dirname(directory);
    if (parent === directory)
      throw new UserError("", "the project's package.json is not above the program", "build in a clone");
    directory = parent;
  }
  return directory;
}

/** Version of the package, for --version and for reports. */
export function packageVersion(): string {
  return packageAt(projectRoot())?.version ?? "0.0.0";
}

/** Top of the compiled tree that this module is part of (build, build/cov …). */
export function compiledRoot(): string {
  return dirname(dirname(fileURLToPath(import.meta.url)));
}
