// SPDX-License-Identifier: GPL-2.0-only
/** Runs one case of a recording on a machine and compares after every step. */
import { RLIMIT_MEMLOCK } from "../../include/linux/sched.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { type Answer, makeCall, type Slots } from "./calls.js";
import type { KernelModule, Machine, Syscalls, Task } from "./kernel.js";
import type { TraceCase, TraceStep, TraceVma } from "./trace-format.js";
import { WINDOW_PAGES } from "./trace-format.js";
import { sameWindow, windowOf } from "./window.js";

export interface Difference {
  readonly what: string;
  readonly expected: string;
  readonly got: string;
}

/** The first step of a case at which the model and the recording part. */
export interface Divergence {
  readonly caseId: string;
  /** As in "7", or "5.child.2". */
  readonly step: string;
  readonly call: TraceStep;
  readonly differences: readonly Difference[];
  /** The window before the step, and after it as recorded and as the model has it. */
  readonly before: readonly TraceVma[];
  readonly expected: readonly TraceVma[];
  readonly got: readonly TraceVma[];
  /** What the model threw, where it did. */
  readonly thrown: string | null;
}

export interface CaseOptions {
  readonly pages: boolean;
}

class Stop extends Error {
  readonly divergence: Divergence;
  constructor(divergence: Divergence) {
    super("diverged");
    this.divergence = divergence;
  }
}

/** The running of one case: its machine, and the window as it should be now. */
class CaseRun {
  private readonly kernel: KernelModule;
  private readonly k: Machine;
  private readonly sys: Syscalls;
  private readonly caseId: string;
  private readonly options: CaseOptions;
  private readonly slots: Slots = [];

  constructor(kernel: KernelModule, k: Machine, sys: Syscalls, caseId: string, options: CaseOptions) {
    this.kernel = kernel;
    this.k = k;
    this.sys = sys;
    this.caseId = caseId;
    this.options = options;
  }

  /** Runs steps as the current task; `window` is the window before the first. */
  run(steps: readonly TraceStep[], window: readonly TraceVma[], at: string): void {
    let before = window;
    for (const [i, step] of steps.entries()) {
      const place = `${at}${String(i)}`;
      const expected = step.vmas ?? before;
      try {
        if (step.call === "fork") this.fork(step, before, place);
        else this.compare(step, place, before, expected, this.answerOf(step));
      } catch (error) {
        throw error instanceof Stop ? error : this.thrown(error, step, place, before, expected);
      }
      before = expected;
    }
  }

  private answerOf(step: TraceStep): Difference[] {
    return compareAnswer(step, makeCall(this.sys, step, this.slots));
  }

  private fork(step: TraceStep, before: readonly TraceVma[], place: string): void {
    const { k, sys } = this;
    const parent = k.current;
    const pid = sys.fork();
    const child = k.tasks.get(pid);
    if (pid < 0 || child === undefined) {
      this.fail(step, place, before, before, [{ what: "fork", expected: "a child", got: String(pid) }], null);
    }
    k.current = child;
    const status = this.child(child, step, place, before);
    k.current = parent;
    const differences = difference("status", step.status, status);
    this.compare(step, place, before, step.vmas ?? before, differences);
  }

  private child(child: Task, step: TraceStep, place: string, before: readonly TraceVma[]): number {
    const start = step.child_vmas ?? [];
    this.compare(step, `${place}.child`, before, start, []);
    this.run(step.child ?? [], start, `${place}.child.`);
    const status = child.fatal_signal === 0 ? 0 : 128 + child.fatal_signal;
    if (!child.exited) this.sys.exit(0);
    return status;
  }

  private compare(
    step: TraceStep,
    place: string,
    before: readonly TraceVma[],
    expected: readonly TraceVma[],
    differences: Difference[],
  ): void {
    const got = windowOf(this.kernel, this.k, this.k.current.mm!);
    if (!sameWindow(expected, got, this.options.pages)) {
      differences.push({ what: "window", expected: vmaCount(expected), got: vmaCount(got) });
    }
    if (differences.length > 0) this.fail(step, place, before, expected, differences, null, got);
  }

  private thrown(
    error: unknown,
    step: TraceStep,
    place: string,
    before: readonly TraceVma[],
    expected: readonly TraceVma[],
  ): Stop {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const stack = process.env["PATCHPROOF_DEBUG"] === "1" && error instanceof Error ? `\n${error.stack ?? ""}` : "";
    return this.stop(
      step,
      place,
      before,
      expected,
      [{ what: "thrown", expected: "nothing", got: text }],
      text + stack,
      [],
    );
  }

  private fail(
    step: TraceStep,
    place: string,
    before: readonly TraceVma[],
    expected: readonly TraceVma[],
    differences: readonly Difference[],
    thrown: string | null,
    got: readonly TraceVma[] = [],
  ): never {
    throw this.stop(step, place, before, expected, differences, thrown, got);
  }

  private stop(
    call: TraceStep,
    step: string,
    before: readonly TraceVma[],
    expected: readonly TraceVma[],
    differences: readonly Difference[],
    thrown: string | null,
    got: readonly TraceVma[],
  ): Stop {
    return new Stop({ caseId: this.caseId, step, call, differences, before, expected, got, thrown });
  }
}

function vmaCount(window: readonly TraceVma[]): string {
  return `${String(window.length)} VMA${window.length === 1 ? "" : "s"}`;
}

type Word = string | number | undefined;

function difference(what: string, expected: Word, got: Word): Difference[] {
  if (expected === got) return [];
  return [
    { what, expected: expected === undefined ? "-" : String(expected), got: got === undefined ? "-" : String(got) },
  ];
}

/** A place in the window, or "elsewhere" for any other. */
function placeName(to: number | bigint | undefined): number | string | undefined {
  if (to === undefined) return undefined;
  return to >= 0 && to < WINDOW_PAGES ? Number(to) : "elsewhere";
}

function compareAnswer(step: TraceStep, got: Answer): Difference[] {
  return [
    ...difference("returned", step.ret, got.ret),
    ...difference("si_code", step.code, got.code),
    ...difference("value read", step.val, got.val),
    ...difference("resident", step.vec, got.vec),
    ...difference("moved to", placeName(step.to), placeName(got.to)),
  ];
}

/** Runs a case as a new process of the machine; null when it went as recorded. */
export function runCase(kernel: KernelModule, k: Machine, c: TraceCase, options: CaseOptions): Divergence | null {
  const sys = kernel.syscalls(k);
  const parent = k.current;
  const pid = sys.fork();
  const task = k.tasks.get(pid);
  if (task === undefined) throw new Error(`fork of the first task: ${String(pid)}`);
  k.current = task;
  if (c.memlock !== undefined) {
    task.capabilities.clear();
    sys.setrlimit(RLIMIT_MEMLOCK, c.memlock * PAGE_SIZE);
  }
  try {
    new CaseRun(kernel, k, sys, c.id, options).run(c.steps, [], "");
    sys.exit(0);
    return null;
  } catch (error) {
    if (error instanceof Stop) return error.divergence;
    throw error;
  } finally {
    k.current = parent;
  }
}
