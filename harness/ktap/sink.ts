// SPDX-License-Identifier: GPL-2.0-only
/** Where KTAP lines go: standard output and, if wanted, a file; written at once, so that no exit loses one. */
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface Sink {
  line(text: string): void;
  close(): void;
}

const STDOUT = 1;

/** Writes all of a text to a descriptor; a pipe that is full is waited for. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

/** Lines to standard output, and to a file when `path` is given. */
export function openSink(path: string | undefined): Sink {
  let file: number | undefined;
  if (path !== undefined && path !== "") {
    mkdirSync(dirname(path), { recursive: true });
    file = openSync(path, "w");
  }
  return {
    line(text) {
      writeAll(STDOUT, `${text}\n`);
      if (file !== undefined) writeAll(file, `${text}\n`);
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}
