// SPDX-License-Identifier: GPL-2.0-only
/** Child processes of the test run: Node programs whose output is read line by line or as a whole. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
}

/** A way to end in words; undefined for success. */
export function whatWentWrong(ended: Ended): string | undefined {
  if (ended.signal !== null) return `killed by ${ended.signal}`;
  return ended.status === 0 ? undefined : `exit status ${String(ended.status)}`;
}

export interface NodeRun {
  /** Script and arguments. */
  argv: readonly string[];
  cwd: string;
  /** Milliseconds after which the process is killed. */
  timeout?: number;
  /** Called for each line of standard output; standard error is handed through. */
  onLine(line: string): void;
}

/** Runs a Node program to its end. */
export async function runNode(run: NodeRun): Promise<Ended> {
  const child = spawn(process.execPath, [...run.argv], {
    cwd: run.cwd,
    stdio: ["ignore", "pipe", "inherit"],
    timeout: run.timeout ?? 0,
    killSignal: "SIGKILL",
  });
  const lines = createInterface({ input: child.stdout, crlfDelay: Infinity });
  lines.on("line", (line) => {
    run.onLine(line);
  });
  const drained = new Promise<void>((resolve) => lines.once("close", resolve));
  const ended = await new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      resolve({ status, signal });
    });
  });
  await drained;
  return ended;
}
