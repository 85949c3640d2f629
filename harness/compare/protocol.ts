// SPDX-License-Identifier: GPL-2.0-only
/** The lines that go to agent.c and come back from it. */
import { retName } from "../replay/calls.js";
import type { TraceCase, TraceStep, TraceVma } from "../replay/trace-format.js";

/** What the agent says of a case: its steps with the kernel's answers, or why it could not be run. */
export type AgentAnswer = { readonly steps: TraceStep[] } | { readonly refused: string };

function stepLines(step: TraceStep): string[] {
  if (step.call === "fork") return ["fork", ...(step.child ?? []).flatMap(stepLines), "join"];
  return [[step.call, ...step.args].join(" ")];
}

/** A case as the agent reads it; `memlock` in pages, -1 for the hard limit. */
export function caseText(c: TraceCase): string {
  return [`case ${String(c.memlock ?? -1)}`, ...c.steps.flatMap(stepLines), "end", ""].join("\n");
}

type Words = Pick<TraceStep, "ret" | "code" | "val" | "vec" | "to">;

function wordsOf(line: string): Words {
  const [, errno, ...rest] = line.split(" ");
  const out: { -readonly [K in keyof Words]: Words[K] } = { ret: retName(-Number(errno)) };
  if (rest[0]?.startsWith("SIG") === true) out.ret = rest.shift()!;
  for (let i = 0; i < rest.length; i += 2) {
    const value = rest[i + 1]!;
    if (rest[i] === "code") out.code = Number(value);
    else if (rest[i] === "val") out.val = Number(value);
    else if (rest[i] === "to") out.to = Number(value);
    else if (rest[i] === "vec") out.vec = value;
  }
  return out;
}

function vmaOf(line: string): TraceVma {
  const [start, end, perms, pgoff, name, flags, pages] = line.split("\t");
  return [`${start!}-${end!}`, perms!, Number(pgoff), name!, flags!.trim(), pages!];
}

/** Reads the agent's lines for the steps of a case, in their order. */
class Reader {
  private readonly lines: readonly string[];
  private at = 0;

  constructor(lines: readonly string[]) {
    this.lines = lines;
  }

  private next(start: string): string {
    const line = this.lines[this.at++] ?? "";
    if (!line.startsWith(start)) throw new Error(`agent: expected "${start}", got ${JSON.stringify(line)}`);
    return line;
  }

  private window(): { vmas?: TraceVma[] } {
    if (this.lines[this.at]?.startsWith("w ") !== true) return {};
    const count = Number(this.next("w ").slice(2));
    const vmas = this.lines.slice(this.at, this.at + count).map(vmaOf);
    this.at += count;
    return { vmas };
  }

  steps(asked: readonly TraceStep[]): TraceStep[] {
    return asked.map(({ call, args, child }) => {
      if (call !== "fork") return { call, args, ...wordsOf(this.next("= ")), ...this.window() };
      this.next("child");
      const start = this.window().vmas ?? [];
      const made = this.steps(child ?? []);
      const status = Number(this.next("joined ").slice(7));
      return { call, args, child_vmas: start, child: made, status, ...this.window() };
    });
  }
}

/** The kernel's answers for a case, from the agent's lines for it. */
export function readAnswer(c: TraceCase, lines: readonly string[]): AgentAnswer {
  const refused = lines.find((line) => line.startsWith("! "));
  return refused === undefined ? { steps: new Reader(lines).steps(c.steps) } : { refused: refused.slice(2) };
}
