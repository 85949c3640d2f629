// SPDX-License-Identifier: GPL-2.0-only
/** Reads a recorded program: NAME.before.smaps, NAME.strace, NAME.after.smaps. */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { UserError } from "../errors.js";
import { projectRoot } from "../root.js";
import { readSmaps, type SmapsVma } from "./smaps.js";
import { isCall, readStrace, type Strace, type StraceCall } from "./strace.js";

export interface Workload {
  readonly name: string;
  readonly strace: Strace;
  /** All calls, in the order in which they ended. */
  readonly calls: readonly StraceCall[];
  readonly before: readonly SmapsVma[];
  readonly after: readonly SmapsVma[];
  readonly beforePath: string;
  readonly afterPath: string;
}

function workloadPath(which: string): string {
  if (isAbsolute(which) || which.includes("/") || existsSync(which)) return which;
  return join(projectRoot(), "fixtures", "workloads", which);
}

/** Reads a workload by its name in fixtures/workloads or the path of its .strace. */
export function readWorkload(which: string): Workload {
  const stem = workloadPath(which).replace(/\.strace$/, "");
  if (!existsSync(`${stem}.strace`)) {
    throw new UserError(which, "no such workload", "name one of fixtures/workloads or the path of a .strace");
  }
  const beforePath = `${stem}.before.smaps`;
  const afterPath = `${stem}.after.smaps`;
  const strace = readStrace(`${stem}.strace`);
  return {
    name: stem.slice(stem.lastIndexOf("/") + 1),
    strace,
    calls: strace.events.filter(isCall),
    before: readSmaps(beforePath),
    after: readSmaps(afterPath),
    beforePath,
    afterPath,
  };
}

/** Where the heap starts: what the first brk(0) of the program returned. */
export function firstBrk(w: Workload): number {
  for (const e of w.strace.events) {
    if (isCall(e) && e.name === "brk" && e.pid === w.strace.pid) return e.ret.value ?? 0;
  }
  return w.before.find((vma) => vma.name === "[heap]")?.start ?? 0;
}

/** Had the recorded kernel CONFIG_ANON_VMA_NAME? Without it, each prctl(PR_SET_VMA) is EINVAL. */
export function namesMappings(w: Workload): boolean {
  const named = w.calls.filter((call) => call.name === "prctl" && call.args[0] === "PR_SET_VMA");
  return named.length === 0 || named.some((call) => call.ret.errno !== "EINVAL");
}
