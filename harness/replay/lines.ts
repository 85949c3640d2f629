// SPDX-License-Identifier: GPL-2.0-only
/** Recordings as lines of text, gzipped or not. */
import { readFileSync } from "node:fs";
import { constants, gunzipSync } from "node:zlib";
import { fileError, UserError } from "../errors.js";

const LOST = "fetch the recording again";

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** What can be had of a damaged gzip, to say at which line it ends. */
function linesBefore(bytes: Uint8Array): number {
  try {
    const text = gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).toString("utf8");
    return text.split("\n").length;
  } catch {
    return 1;
  }
}

function unpack(path: string, bytes: Buffer): string {
  if (!isGzip(bytes)) {
    if (path.endsWith(".gz")) throw new UserError(`${path}:1`, "named .gz but not gzipped", "rename it or gzip it");
    return bytes.toString("utf8");
  }
  try {
    return gunzipSync(bytes).toString("utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const where = `${path}:${String(linesBefore(bytes))}`;
    if (why === "unexpected end of file") throw new UserError(where, "the gzip ends early", LOST);
    throw new UserError(where, `damaged gzip (${why})`, LOST);
  }
}

/** The lines of a file. A last line without a newline was cut: it is named and refused. */
export function readLines(path: string): string[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw fileError(path, error, "recording");
  }
  const lines = unpack(path, bytes).split("\n");
  if (lines.length === 1 && lines[0] === "") throw new UserError(`${path}:1`, "the file is empty", LOST);
  if (lines[lines.length - 1] !== "") {
    throw new UserError(`${path}:${String(lines.length)}`, "the line is cut: the file does not end in a newline", LOST);
  }
  lines.pop();
  return lines;
}
