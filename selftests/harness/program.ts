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

/** Runs bin/patchproof.js with `env` beside the environment of the tests, which do not have it measure coverage. */
export function patchproofWith(env: NodeJS.ProcessEnv, ...args: readonly string[]): Ended {
  const ended = spawnSync(process.execPath, [join(projectRoot(), "bin/patchproof.js"), ...args], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "", ...env },
  });
  return { status: ended.status, out: ended.stdout, err: ended.stderr };
}

export function patchproof(...args: readonly string[]): Ended {
  return patchproofWith({}, ...args);
}
