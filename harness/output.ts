// SPDX-License-Identifier: GPL-2.0-only
/** What the program writes: files whole or not at all, a standard output that may close early, colour where wanted. */
import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import pc from "picocolors";
import { UserError } from "./errors.js";

/** Bytes of a file with holes between them. */
export interface Extent {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** What a file is to hold. */
export type Content = string | readonly Extent[];

function writeContent(path: string, content: Content): void {
  if (typeof content === "string") {
    writeFileSync(path, content);
    return;
  }
  const fd = openSync(path, "w");
  try {
    for (const { at, bytes } of content) {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
    }
  } finally {
    closeSync(fd);
  }
}

interface Staged {
  readonly temporary: string[];
  /** Folders that were not there, the topmost of each path. */
  readonly folders: string[];
}

const WHY_NOT: Readonly<Record<string, readonly [string, string]>> = {
  EISDIR: ["is a folder", "move it away"],
  ENOTDIR: ["cannot be written: what should be its folder is a file", "name another folder"],
  EEXIST: ["cannot be written: what should be its folder is a file", "name another folder"],
  ENOSPC: ["cannot be written: the disk is full", "make room"],
  EROFS: ["cannot be written: the file system is read-only", "name another folder"],
};

function unwritable(path: string, error: unknown): UserError {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const [what, todo] = WHY_NOT[code] ?? [`cannot be written (${code})`, "check the folder and its mode"];
  return new UserError(path, what, todo);
}

function unstage(staged: Staged, withFolders: boolean): void {
  for (const path of staged.temporary) rmSync(path, { force: true });
  if (withFolders) for (const path of staged.folders) rmSync(path, { recursive: true, force: true });
}

/** Writes each file beside its place; where one cannot be, nothing is left behind. */
function stage(files: ReadonlyMap<string, Content>): Staged {
  const staged: Staged = { temporary: [], folders: [] };
  for (const [path, content] of files) {
    try {
      const made = mkdirSync(dirname(path), { recursive: true });
      if (made !== undefined) staged.folders.push(made);
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
        throw Object.assign(new Error(), { code: "EISDIR" });
      const temporary = join(dirname(path), `.${basename(path)}.${String(process.pid)}.tmp`);
      staged.temporary.push(temporary);
      writeContent(temporary, content);
    } catch (error) {
      unstage(staged, true);
      throw unwritable(path, error);
    }
  }
  return staged;
}

/** Finds out before the work whether these files can be written, and leaves nothing behind. */
export function checkWritable(paths: readonly string[]): void {
  unstage(stage(new Map(paths.map((path) => [path, ""]))), true);
}

/** Writes all files, or none of them: each to a temporary file beside its place, then renamed. */
export function writeFiles(files: ReadonlyMap<string, Content>): void {
  const staged = stage(files);
  for (const [i, path] of [...files.keys()].entries()) {
    try {
      renameSync(staged.temporary[i]!, path);
    } catch (error) {
      unstage(staged, false);
      throw unwritable(path, error);
    }
  }
}

/** Writes one file, whole or not at all. */
export function writeFileWhole(path: string, content: Content): void {
  writeFiles(new Map([[path, content]]));
}

/** A reader that goes away (`| head`) ends the program quietly. */
export function quietOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.listeners("error").includes(endOnClosedPipe)) stream.on("error", endOnClosedPipe);
  }
}

function endOnClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  throw error;
}

export type Colours = ReturnType<typeof pc.createColors>;

/** Should this stream get colour? NO_COLOR and FORCE_COLOR as at no-color.org; otherwise on a terminal only. */
export function wantsColour(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): boolean {
  const force = env["FORCE_COLOR"];
  if ((env["NO_COLOR"] ?? "") !== "") return false;
  if (force !== undefined && force !== "" && force !== "0") return true;
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

export function coloursIf(on: boolean): Colours {
  return pc.createColors(on);
}

export function colours(stream: { isTTY?: boolean } = process.stdout): Colours {
  return coloursIf(wantsColour(stream));
}
