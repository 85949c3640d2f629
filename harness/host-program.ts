// SPDX-License-Identifier: GPL-2.0-only
/** Our small C programs, which make calls of the running kernel. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { arch, platform } from "node:os";
import { join } from "node:path";
import { projectRoot } from "./root.js";

/**
 * Compiles harness/`name` into `folder` unless that was done, and gives the program's path. Throws an Error that says
 * in words why there is none: another system than Linux on x86-64, no compiler, a source that it does not take.
 */
export function compileForHost(
  name: string,
  compiler = "gcc",
  folder = join(projectRoot(), "build", "host-agent"),
): string {
  if (platform() !== "linux" || arch() !== "x64") throw new Error(`this is ${platform()} on ${arch()}`);
  const source = join(projectRoot(), "harness", name);
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const program = join(folder, hash);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const temporary = `${program}.${String(process.pid)}.tmp`;
  const made = spawnSync(compiler, ["-O1", "-o", temporary, source], { encoding: "utf8" });
  if (made.error !== undefined) throw new Error(`${compiler} is missing (apt-get install gcc libc6-dev)`);
  if (made.status !== 0)
    throw new Error(`${compiler} cannot compile ${name}: ${made.stderr.trim().split("\n")[0] ?? ""}`);
  renameSync(temporary, program);
  return program;
}
