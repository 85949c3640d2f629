// SPDX-License-Identifier: GPL-2.0-only
/** The program as a person runs it. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { projectRoot } from "../../harness/root.js";

export interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Surroundings {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs bin/patchproof.js somewhere; what the tests measure of their own coverage is kept from it. */
export function patchproofIn({ cwd, env }: Surroundings, ...args: readonly string[]): Ended {
  const ended = spawnSync(process.execPath, [join(projectRoot(), "bin/patchproof.js"), ...args], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "", ...env },
  });
  return { status: ended.status, out: ended.stdout, err: ended.stderr };
}

export function patchproof(...args: readonly string[]): Ended {
  return patchproofIn({}, ...args);
}
