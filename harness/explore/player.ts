// SPDX-License-Identifier: GPL-2.0-only
/** Makes calls run inside one another: at the yield points of one, others. */
import type { task_struct } from "../../include/linux/sched.js";
import { flagWords, PF_CHECKED } from "../task-flags.js";
import { type Call, findCall } from "./calls.js";
import { digestOf, type Identities } from "./digest.js";
import { errnoWords, wrongOf } from "./findings.js";
import { Digest } from "./hash.js";
import { type Event, type Injection, type Met, type Outcome, type Prefix, waitKey, type Wrong } from "./types.js";
import type { World } from "./world.js";

/** Any allocation that may sleep. */
export const ALLOCATION = "__alloc_pages";
/** Allocations of a call at which others run: later ones come in the same loops. */
const MOST_ALLOCATIONS = 6;
/** More yield points than this in one call: it spins until somebody else goes on. */
const MOST_POINTS = 100;

/** A call that is under way. */
interface Frame {
  readonly call: Call;
  readonly task: task_struct;
  readonly who: string;
  /** Of the points that it has met, and the states in which others left them: what its variables can depend on. */
  past: number;
  /** Pasts of those that sleep while it runs. */
  readonly outer: string;
  /** How mmap_lock was when it began. */
  readonly locks: string;
  points: number;
  allocations: number;
}

/** Thrown through the model when a run need not go on; where from does not matter, and finding out takes time. */
export class Ended extends Error {
  readonly outcome: Outcome;
  readonly wrong: Wrong | null;
  constructor(outcome: Outcome, wrong: Wrong | null = null) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(outcome);
    Error.stackTraceLimit = stackTraceLimit;
    this.outcome = outcome;
    this.wrong = wrong;
  }
}

/** A past that goes on: a point of this name, left in this state. */
function pastAfter(before: number, name: string, state: number): number {
  const d = new Digest(before);
  d.text(name);
  d.add(state);
  return d.value;
}

/** A past as it stands in a key. */
function pastText(past: number): string {
  return (past >>> 0).toString(36);
}

function locksOf({ mm }: task_struct): string {
  return mm === null ? "" : `${String(mm.mmap_lock.readers)} ${String(mm.mmap_lock.writer)}`;
}

export interface PlayOptions {
  /** States that are not gone on from: those that others have gone on from. */
  readonly seen?: Set<string>;
  /** A run of all its calls but the last. */
  readonly prefix?: Prefix;
  /** Will no schedule go on from this one? */
  readonly final?: boolean;
}

export class Player {
  readonly met: Met[] = [];
  readonly points = new Set<string>();
  readonly events: Event[] = [];
  readonly digests: (number | undefined)[] = [];
  waits: string | undefined;
  /** Has the last injected call come to its end? */
  private ended = false;
  private readonly world: World;
  private readonly todo: Injection[];
  private readonly frames: Frame[] = [];
  private readonly known: Identities = new Map();
  private readonly started = { thread: 0, process: 0 };
  private readonly seen: Set<string>;
  private readonly prefix: Prefix;
  private readonly final: boolean;

  constructor(world: World, injections: readonly Injection[], options: PlayOptions) {
    this.world = world;
    this.todo = [...injections];
    this.seen = options.seen ?? new Set();
    this.prefix = options.prefix ?? { met: [], digests: [] };
    this.final = options.final ?? false;
    digestOf(world.k, this.known);
  }

  /** Pasts of the calls under way. */
  private outer(): string {
    const frame = this.frames.at(-1);
    return frame === undefined ? "" : `${frame.outer}${pastText(frame.past)}.`;
  }

  private say(text: string, frame: Frame): void {
    this.events.push({ depth: this.frames.length - 1, task: frame.who, text });
  }

  /** Runs a call by a task of its own, to its end. */
  run(call: Call): void {
    const n = this.started[call.by]++;
    const team = call.by === "thread" ? this.world.threads : this.world.processes;
    const task = team[n]!;
    const who = call.by === "thread" ? `thread ${String(n + 1)}` : `other process`;
    const locks = locksOf(task);
    const past = new Digest();
    past.text(call.name);
    const frame: Frame = { call, task, who, locks, past: past.value, outer: this.outer(), points: 0, allocations: 0 };
    const flags = task.flags & PF_CHECKED;
    this.frames.push(frame);
    this.say(call.words, frame);
    let result: unknown;
    try {
      result = this.world.as(task, () => call.run(this.world));
    } catch (error) {
      throw this.endedBy(error, frame);
    }
    this.say(`returns ${errnoWords(result)}`, frame);
    const left = task.flags & PF_CHECKED & ~flags;
    if (left === 0) {
      this.frames.pop();
      return;
    }
    const what = `${flagWords(left)} is left on the task`;
    this.say(what, frame);
    throw new Ended("wrong", { kind: "flag left", what, where: [] });
  }

  private endedBy(error: unknown, frame: Frame): unknown {
    if (error instanceof Ended) return error;
    if (error instanceof Error && error.name === "NotModelled") return new Ended("edge");
    if (error instanceof Error && "waits_for" in error && this.frames.length > 1) {
      const atOnce = frame.points === 0 && String(error.waits_for).startsWith("mmap_lock");
      if (atOnce) this.waits = waitKey(frame.call.name, frame.locks);
      return new Ended("blocked");
    }
    const wrong = wrongOf(error);
    this.say(`${wrong.kind}: ${wrong.what}`, frame);
    return new Ended("wrong", wrong);
  }

  /** An allocation that may sleep: the first of a call's are yield points. */
  allocates(): void {
    if (this.frames.at(-1)!.allocations++ < MOST_ALLOCATIONS) this.meet(ALLOCATION, {});
  }

  /** A yield point: those whose turn it is run. */
  meet(name: string, detail: Readonly<Record<string, unknown>>): "retry" | undefined {
    const frame = this.frames.at(-1)!;
    this.points.add(name);
    if (++frame.points > MOST_POINTS) {
      if (this.frames.length > 1) throw new Ended("blocked");
      throw new Ended("wrong", { kind: "endless wait", what: `${name} is met for ever`, where: [] });
    }
    // no other call comes after the last: it does not matter in which state a point is left
    if (this.final && this.ended) return undefined;
    const at = this.met.length;
    const known = this.todo.length > 0 && this.todo[0]!.at > at ? this.prefix.met[at] : undefined;
    if (known !== undefined) {
      this.digest(at);
      frame.past = known.past;
      this.met.push(known);
      return undefined;
    }
    return this.meetNew(frame, name, detail);
  }

  /** A point that no run before has met in this state. */
  private meetNew(frame: Frame, name: string, detail: Readonly<Record<string, unknown>>): "retry" | undefined {
    const { outer, past: before } = frame;
    const at = this.met.length;
    const slot = { at, name, key: "", past: before, locks: { thread: "", process: "" } as Met["locks"] };
    this.met.push(slot);
    let ran = false;
    while (this.todo[0]?.at === at) {
      if (!ran) this.say(`sleeps in ${name}()${detail["dropped"] === true ? ", mmap_lock dropped" : ""}`, frame);
      ran = true;
      this.run(findCall(this.todo.shift()!.call)!);
    }
    const state = this.digest(at);
    slot.past = frame.past = pastAfter(before, name, state);
    slot.key = `${outer}${pastText(frame.past)}`;
    if (!this.complete) return undefined;
    if (ran) {
      this.ended = true;
      if (this.seen.has(slot.key)) throw new Ended("same");
    }
    this.seen.add(slot.key);
    if (!this.final) slot.locks = this.locks();
    return ran && name === "folio_lock_or_retry" ? "retry" : undefined;
  }

  /** How mmap_lock is, for threads and for the other process. */
  private locks(): Met["locks"] {
    const { threads, processes } = this.world;
    return { thread: locksOf(threads[0]!), process: processes.length > 0 ? locksOf(processes[0]!) : "" };
  }

  /** The state at a point: what the run before came to, up to where this one departs from it. */
  private digest(at: number): number {
    const before = this.complete ? undefined : this.prefix.digests[at];
    const known = this.known.size;
    const value = before ?? digestOf(this.world.k, this.known);
    this.digests[at] = this.known.size === known ? value : undefined;
    return value;
  }

  /** Did all injected calls get their turn? */
  get complete(): boolean {
    return this.todo.length === 0;
  }

  /** Yield point of the first that did not. */
  get unmet(): number | undefined {
    return this.todo[0]?.at;
  }
}
