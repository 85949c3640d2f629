// SPDX-License-Identifier: GPL-2.0-only
/** The running kernel: agent.c, compiled once, in a child process that makes the calls. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { createInterface } from "node:readline";
import type { Config } from "../../include/machine.js";
import { UserError } from "../errors.js";
import { compileForHost } from "../host-program.js";
import type { TraceCase, TraceStep } from "../replay/trace-format.js";
import { caseText, readAnswer } from "./protocol.js";
import { forbidden } from "./safety.js";

/** What the model must be given to be like the running kernel. */
export interface Environment {
  /** As in "6.18.44". */
  readonly release: string;
  /** In the words of a recording's header. */
  readonly cpu: string;
  readonly config: Partial<Config>;
  /** Can page states be told? */
  readonly pages: boolean;
  /** Hard limit of RLIMIT_MEMLOCK in pages; -1 for none. */
  readonly memlock: number;
}

/** A kernel that makes the calls of a case; selftests have one of their own. */
export interface Host {
  readonly environment: Environment;
  /** The steps with the answers of the kernel. */
  run(c: TraceCase): Promise<TraceStep[]>;
  close(): void;
}

const UNUSABLE = "compare-host needs Linux on x86-64 with gcc, /proc/self/smaps and a free window";

function unusable(why: string): UserError {
  return new UserError("", `the running kernel cannot be used: ${why}`, UNUSABLE);
}

function readSetting(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw unusable(`${path} cannot be read`);
  }
}

/** Compiles the agent into `folder` unless that was done, and gives its path. */
export function compileAgent(compiler?: string, folder?: string): string {
  try {
    return compileForHost("compare/agent.c", compiler, folder);
  } catch (error) {
    throw unusable(error instanceof Error ? error.message : String(error));
  }
}

function environmentOf(ready: string): Environment {
  const said = new Map(ready.split(" ").map((word) => word.split("=") as [string, string]));
  const yes = (name: string): boolean => said.get(name) === "1";
  if (yes("MEM_SOFT_DIRTY")) throw unusable("it tracks soft-dirty pages, which changes how its VMAs merge");
  const overcommit = Number(readSetting("/proc/sys/vm/overcommit_memory"));
  if (overcommit === 2) throw unusable("vm.overcommit_memory is 2, so that its limit is that of its memory");
  const keys = /\bospke\b/.test(readSetting("/proc/cpuinfo"));
  const ksm = existsSync("/sys/kernel/mm/ksm/run") && readSetting("/sys/kernel/mm/ksm/run").trim() === "1";
  const swap = readSetting("/proc/swaps").trim().split("\n").length > 1;
  return {
    release: /^\d+(?:\.\d+)*/.exec(release())?.[0] ?? "0",
    cpu: keys ? "max" : "max,-pku",
    config: {
      ANON_VMA_NAME: yes("ANON_VMA_NAME"),
      KSM: yes("KSM"),
      TRANSPARENT_HUGEPAGE: yes("TRANSPARENT_HUGEPAGE"),
      mm_forbids_zeropage: !yes("zeropage"),
      overcommit_memory: overcommit,
    },
    pages: yes("scan") && !ksm && !swap,
    memlock: Number(said.get("memlock")),
  };
}

/** The agent's lines, each asked for once. */
class Lines {
  private readonly waiting: string[] = [];
  private wanted: ((line: string | null) => void) | null = null;
  private ended = false;

  constructor(agent: ChildProcessWithoutNullStreams) {
    const lines = createInterface({ input: agent.stdout, terminal: false });
    lines.on("line", (line) => this.give(line));
    lines.on("close", () => {
      this.ended = true;
      this.give(null);
    });
    agent.stdin.on("error", () => undefined);
    agent.on("error", () => undefined);
  }

  private give(line: string | null): void {
    const wanted = this.wanted;
    this.wanted = null;
    if (wanted !== null) wanted(line);
    else if (line !== null) this.waiting.push(line);
  }

  next(): Promise<string | null> {
    const line = this.waiting.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.ended) return Promise.resolve(null);
    return new Promise((resolve) => (this.wanted = resolve));
  }
}

class RunningKernel implements Host {
  readonly environment: Environment;
  private readonly agent: ChildProcessWithoutNullStreams;
  private readonly lines: Lines;

  constructor(agent: ChildProcessWithoutNullStreams, lines: Lines, environment: Environment) {
    this.agent = agent;
    this.lines = lines;
    this.environment = environment;
  }

  async run(c: TraceCase): Promise<TraceStep[]> {
    for (const step of c.steps) {
      const why = forbidden(step);
      if (why !== null) throw new UserError(`case ${c.id}`, why, "leave the call out");
    }
    this.agent.stdin.write(caseText(c));
    const lines: string[] = [];
    for (;;) {
      const line = await this.lines.next();
      if (line === null) throw unusable(`the agent ended in case ${c.id}`);
      if (line === ".") break;
      lines.push(line);
    }
    const answer = readAnswer(c, lines);
    if ("refused" in answer) throw new UserError(`case ${c.id}`, answer.refused, "leave the call out");
    return answer.steps;
  }

  close(): void {
    this.agent.stdin.end();
  }
}

/** Starts the agent; a kernel that cannot be used is a UserError that says why. */
export async function openHost(program: string): Promise<Host> {
  const agent = spawn(program, [], { stdio: ["pipe", "pipe", "pipe"] });
  const lines = new Lines(agent);
  const ready = await lines.next();
  if (ready?.startsWith("ready ") !== true) {
    agent.kill();
    throw unusable(ready?.replace(/^! /, "") ?? "the agent does not start");
  }
  try {
    return new RunningKernel(agent, lines, environmentOf(ready));
  } catch (error) {
    agent.kill();
    throw error;
  }
}
