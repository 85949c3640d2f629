// SPDX-License-Identifier: GPL-2.0-only
/** The program as a person runs it. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import sinon from "sinon";
import { main } from "../../harness/cli.js";
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
    env: { ...process.env, NODE_OPTIONS: "", FORCE_COLOR: "", ...env },
  });
  return { status: ended.status, out: ended.stdout, err: ended.stderr };
}

function exitStatus(): number {
  return Number(process.exitCode ?? 0);
}

/** The same in this process, which spares half a second; what it says is caught. */
export async function patchproofHere(cwd: string, ...args: readonly string[]): Promise<Ended> {
  const before = { cwd: process.cwd(), exitCode: process.exitCode };
  const said = { out: "", err: "" };
  const catching = (key: keyof typeof said) => (chunk: string | Uint8Array) => {
    said[key] += String(chunk);
    return true;
  };
  const stubs = [
    sinon.stub(process, "env").value({ ...process.env, FORCE_COLOR: "", TERM: "dumb" }),
    sinon.stub(process.stdout, "write").callsFake(catching("out")),
    sinon.stub(process.stderr, "write").callsFake(catching("err")),
  ];
  process.exitCode = undefined;
  process.chdir(cwd);
  try {
    await main(["node", "patchproof", ...args]);
    return { status: exitStatus(), ...said };
  } finally {
    for (const stub of stubs) stub.restore();
    process.chdir(before.cwd);
    process.exitCode = before.exitCode;
  }
}

export function patchproof(...args: readonly string[]): Ended {
  return patchproofIn({}, ...args);
}
