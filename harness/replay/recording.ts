// SPDX-License-Identifier: GPL-2.0-only
/** Any recording that the project knows: a trace, a workload, a placement. */
import { closeSync, openSync, readSync } from "node:fs";
import { fileError, UserError } from "../errors.js";
import { readWorkload, type Workload } from "../workload/read.js";
import { isPlacement, type PlacementRecording, readPlacement } from "./placement-format.js";
import { readTrace, type TraceFile } from "./trace-format.js";

export type Recording =
  | { readonly kind: "trace"; readonly path: string; readonly variant: string; readonly trace: TraceFile }
  | { readonly kind: "workload"; readonly path: string; readonly variant: string; readonly workload: Workload }
  | {
      readonly kind: "placement";
      readonly path: string;
      readonly variant: string;
      readonly placement: PlacementRecording;
    };

/** Which variant of the tree the kernel of a recording was. */
function variantOf(recorded: string): string {
  return recorded === "rfc" ? "patch" : recorded;
}

function beginning(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw fileError(path, error, "recording");
  }
  try {
    const bytes = Buffer.alloc(256);
    return bytes.toString("latin1", 0, readSync(fd, bytes));
  } catch (error) {
    throw fileError(path, error, "recording");
  } finally {
    closeSync(fd);
  }
}

/** Reads and checks a recording of any kind; bad input is a UserError that names file and line. */
export function readRecording(path: string): Recording {
  if (path.endsWith(".strace")) return { kind: "workload", path, variant: "base", workload: readWorkload(path) };
  const start = beginning(path);
  if (path.endsWith(".smaps")) {
    throw new UserError(path, "an address space alone cannot be replayed", "name the .strace beside it");
  }
  if (isPlacement(start) || path.endsWith(".json")) {
    return { kind: "placement", path, variant: "patch", placement: readPlacement(path) };
  }
  const trace = readTrace(path);
  return { kind: "trace", path, variant: variantOf(trace.variant), trace };
}
