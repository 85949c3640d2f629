// SPDX-License-Identifier: GPL-2.0-only
/** Replays a recorded program (NAME.before.smaps, NAME.strace, NAME.after.smaps) call by call on a machine. */
import type { mm_struct } from "../../include/linux/mm_types.js";
import { errnoNames } from "../../uapi/errno.js";
import { MADV_NOMOVABLE } from "../../uapi/mman-common.js";
import { UserError } from "../errors.js";
import type { KernelModule, Machine, Task } from "../replay/kernel.js";
import { type CallContext, makeRecordedCall } from "./calls.js";
import { findGuest, needGuest, type GuestPlan } from "./guest.js";
import { makeProcess } from "./process.js";
import { firstBrk, namesMappings, type Workload } from "./read.js";
import { isCall, type StraceCall, type StraceEvent } from "./strace.js";
import { BadLine } from "./strace-line.js";

export interface ReplayOptions {
  /** Whether the guest's memory is advised, and when. */
  readonly onGuestMemory?: "none" | "after-mmap" | "after-populate";
  /** Which advice; MADV_NOMOVABLE by default. */
  readonly advice?: number;
  /** The last line of the recording to replay; all of it by default. */
  readonly until?: number;
}

export interface GuestMemory {
  /** Bytes. */
  readonly addr: number;
  readonly len: number;
  readonly fd: number;
}

export interface SkippedCall {
  readonly line: number;
  readonly call: string;
  readonly why: string;
}

/** A call that did not return in the model what it had returned. */
export interface WorkloadDivergence {
  readonly line: number;
  readonly call: string;
  readonly expected: string;
  readonly got: string;
}

export interface ReplayedProgram {
  readonly task: Task;
  /** All of its processes, by their pids in the recording. */
  readonly tasks: ReadonlyMap<number, Task>;
  readonly mm: mm_struct;
  /** The largest shared mapping of a memfd: the memory that QEMU gave its guest. Null in a program without one. */
  readonly guest: GuestMemory | null;
  /** Calls that were made. */
  readonly replayed: number;
  readonly skipped: readonly SkippedCall[];
  readonly divergences: readonly WorkloadDivergence[];
  /** What the advice returned (0 or -errno), and after which line it was given; null where it was not given. */
  readonly advice: number | null;
  readonly advisedAfter: number | null;
  /** The OOM killer's verdict, and at which line of the recording it ended the program. */
  readonly killed: boolean;
  readonly killedAt: number | null;
}

/** What became of a program that runs a guest. */
export interface ReplayedWorkload extends ReplayedProgram {
  readonly guest: GuestMemory;
}

const EEXIST = 17;

class Replay {
  readonly skipped: SkippedCall[] = [];
  readonly divergences: WorkloadDivergence[] = [];
  made = 0;
  advised: { readonly afterLine: number; readonly ret: number } | null = null;
  killedAt: number | null = null;
  readonly task: Task;
  readonly mm: mm_struct;
  readonly x: CallContext;
  private readonly workload: Workload;
  private readonly plan: GuestPlan | null;
  private readonly options: ReplayOptions;
  private readonly done = new Set<StraceEvent>();

  constructor(kernel: KernelModule, k: Machine, workload: Workload, options: ReplayOptions) {
    const sys = kernel.syscalls(k);
    this.workload = workload;
    this.options = options;
    this.plan = findGuest(workload.strace);
    this.task = makeProcess(kernel, k, sys, workload.before, workload.beforePath, firstBrk(workload));
    this.mm = this.task.mm!;
    this.x = { kernel, k, sys, tasks: new Map([[workload.strace.pid, this.task]]) };
    if (!namesMappings(workload)) k.config.ANON_VMA_NAME = false;
  }

  run(): void {
    const { events } = this.workload.strace;
    const until = this.options.until ?? Infinity;
    let i = 0;
    for (; i < events.length && events[i]!.line <= until && this.killedAt === null; i++) this.event(i);
    const { plan } = this;
    if (this.killedAt === null && i === events.length && plan?.populatedBy === null) {
      this.advise("after-populate", events.at(-1)?.line ?? 0);
    }
    this.x.k.current = this.task;
  }

  private event(i: number): void {
    const event = this.workload.strace.events[i]!;
    if (this.done.has(event)) return;
    this.done.add(event);
    const task = this.taskOf(event, i);
    if (task === null) {
      if (isCall(event)) this.skip(event, "made by a process that the recording does not explain");
      return;
    }
    this.x.k.current = task;
    if (!isCall(event)) this.exit(task);
    else if (task === this.task && event.name === "execve" && event.ret.errno === null) throw this.turned(event);
    else if (task.exited) this.skip(event, "made by a program that the process had turned into");
    else this.call(event, i);
  }

  private turned(call: StraceCall): UserError {
    const what = "the recorded process turns into another program, whose first address space is not recorded";
    const todo = "record that program, or end the recording before this line";
    return new UserError(`${this.workload.strace.path}:${String(call.line)}`, what, todo);
  }

  private exit(task: Task): void {
    if (!task.exited && task !== this.task) this.x.sys.exit(0);
  }

  /** The task that made a call. Its creator's clone may end later in the recording than the first thing it did. */
  private taskOf(event: StraceEvent, i: number): Task | null {
    const { tasks } = this.x;
    const task = tasks.get(event.pid);
    if (task !== undefined) return task;
    this.early(i, (e) => /^(?:clone3?|v?fork)$/.test(e.name) && e.ret.value === event.pid);
    return tasks.get(event.pid) ?? null;
  }

  /** Makes calls now that had begun, but not ended, when call `i` ended; says whether there was one. */
  private early(i: number, wanted: (call: StraceCall) => boolean): boolean {
    const { events } = this.workload.strace;
    const { line } = events[i]!;
    const { current } = this.x.k;
    let found = false;
    for (let j = i + 1; j < events.length; j++) {
      const e = events[j]!;
      if (!isCall(e) || this.done.has(e) || e.from >= line || !wanted(e)) continue;
      this.event(j);
      found = true;
    }
    this.x.k.current = current;
    return found;
  }

  private skip(call: StraceCall, why: string): void {
    this.skipped.push({ line: call.line, call: call.name, why });
  }

  private call(call: StraceCall, i: number): void {
    const outcome = this.make(call, i);
    if ("skipped" in outcome) {
      this.skip(call, outcome.skipped);
      return;
    }
    this.made++;
    if (this.x.k.current.fatal_signal !== 0 || this.task.fatal_signal !== 0 || this.task.exited) {
      this.killedAt = call.line;
      return;
    }
    this.compare(call, outcome.ret);
    if (call === this.plan?.mappedBy) this.advise("after-mmap", call.line);
    if (call === this.plan?.populatedBy) this.advise("after-populate", call.line);
  }

  private make(call: StraceCall, i: number): ReturnType<typeof makeRecordedCall> {
    try {
      const outcome = makeRecordedCall(this.x, call);
      if (call.name !== "mmap" || !("ret" in outcome) || outcome.ret !== -EEXIST) return outcome;
      if (!this.early(i, (e) => e.name === "munmap" || e.name === "mremap")) return outcome;
      return makeRecordedCall(this.x, call);
    } catch (error) {
      const where = `${this.workload.strace.path}:${String(call.from)}`;
      if (error instanceof BadLine) throw new UserError(where, error.message, "record it again with strace -f -y");
      if (error instanceof Error && /^(?:NotModelled|KernelBug)$/.test(error.name)) {
        error.message = `${where}: ${error.message}`;
      }
      throw error;
    }
  }

  private compare(call: StraceCall, ret: number): void {
    if (call.ret.value === null) return;
    const got = ret < 0 ? (errnoNames[-ret] ?? String(ret)) : `0x${ret.toString(16)}`;
    const expected = call.ret.errno ?? `0x${call.ret.value.toString(16)}`;
    if (got !== expected) {
      this.divergences.push({ line: call.line, call: `${call.name}(${call.args.join(", ")})`, expected, got });
    }
  }

  private advise(when: NonNullable<ReplayOptions["onGuestMemory"]>, afterLine: number): void {
    if (this.options.onGuestMemory !== when || this.plan === null || this.advised !== null) return;
    const { addr, len } = this.plan.memory;
    this.advised = { afterLine, ret: this.x.sys.madvise(addr, len, this.options.advice ?? MADV_NOMOVABLE) };
  }

  get guest(): GuestMemory | null {
    return this.plan?.memory ?? null;
  }
}

/** Replays a program as a new process of the machine, which is left running as the machine's current task. */
export function replayProgram(
  kernel: KernelModule,
  k: Machine,
  workload: Workload,
  options: ReplayOptions = {},
): ReplayedProgram {
  const r = new Replay(kernel, k, workload, options);
  r.run();
  return {
    task: r.task,
    tasks: r.x.tasks,
    mm: r.mm,
    guest: r.guest,
    replayed: r.made,
    skipped: r.skipped,
    divergences: r.divergences,
    advice: r.advised?.ret ?? null,
    advisedAfter: r.advised?.afterLine ?? null,
    killed: r.killedAt !== null,
    killedAt: r.killedAt,
  };
}

/** Replays a program that runs a guest; one that does not is a UserError. */
export function replayWorkload(
  kernel: KernelModule,
  k: Machine,
  workload: Workload,
  options: ReplayOptions = {},
): ReplayedWorkload {
  const guest = needGuest(workload.strace).memory;
  return { ...replayProgram(kernel, k, workload, options), guest };
}
