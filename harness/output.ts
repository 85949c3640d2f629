// SPDX-License-Identifier: GPL-2.0-only
/** What the program writes: files whole or not at all, a standard output that may close early, colour where wanted. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import pc from "picocolors";
import { UserError } from "./errors.js";

/** Writes all files, or none of them: each to a temporary file beside its place, then renamed. */
export function writeFiles(files: ReadonlyMap<string, string>): void {
  const waiting: { temporary: string; path: string }[] = [];
  let at = "";
  try {
    for (const [path, text] of files) {
      at = path;
      mkdirSync(dirname(path), { recursive: true });
      const temporary = join(dirname(path), `.${basename(path)}.${String(process.pid)}.tmp`);
      waiting.push({ temporary, path });
      writeFileSync(temporary, text);
    }
    for (const { temporary, path } of waiting) {
      at = path;
      renameSync(temporary, path);
    }
  } catch (error) {
    for (const { temporary } of waiting) rmSync(temporary, { force: true });
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UserError(at, `cannot be written (${code})`, "check the folder's mode and the room on the disk");
  }
}

/** Writes one file, whole or not at all. */
export function writeFileWhole(path: string, text: string): void {
  writeFiles(new Map([[path, text]]));
}

/** A reader that goes away (`| head`) ends the program quietly. */
export function quietOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
}

export type Colours = ReturnType<typeof pc.createColors>;

/** Should this stream get colour? NO_COLOR and FORCE_COLOR as at no-color.org; otherwise on a terminal only. */
export function wantsColour(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  const force = env["FORCE_COLOR"];
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  if (force !== undefined && force !== "" && force !== "0") return true;
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

export function colours(stream: { isTTY?: boolean } = process.stdout): Colours {
  return pc.createColors(wantsColour(stream));
}
