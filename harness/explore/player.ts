// SPDX-License-Identifier: GPL-2.0-only
/** Makes calls run inside one another: at the yield points of one, others. */
import type { task_struct } from "../../include/linux/sched.js";
import { flagWords, PF_CHECKED } from "../task-flags.js";
import { type Call, findCall } from "./calls.js";
import { digestOf } from "./digest.js";
import { errnoWords, wrongOf } from "./findings.js";
import { Digest } from "./hash.js";
import { Identities } from "./identities.js";
import type { Event, Injection, Met, Outcome, Wrong } from "./types.js";
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
  const d = new Digest();
  d.wide(before);
  d.text(name);
  d.wide(state);
  return d.value;
}

export class Player {
  readonly met: Met[] = [];
  readonly points = new Set<string>();
  readonly events: Event[] = [];
  private readonly world: World;
  private readonly todo: Injection[];
  private readonly frames: Frame[] = [];
  private readonly known: Identities;
  private readonly started = { thread: 0, process: 0 };
  private readonly keyed: boolean;

  /** @param keyed is a key asked for of each point? */
  constructor(world: World, injections: readonly Injection[], keyed: boolean) {
    this.world = world;
    this.todo = [...injections];
    this.keyed = keyed;
    this.known = new Identities(world.known);
  }

  /** Pasts of the calls under way. */
  private outer(): string {
    const frame = this.frames.at(-1);
    return frame === undefined ? "" : `${frame.outer}${String(frame.past)}.`;
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
    const past = new Digest();
    past.text(call.name);
    const frame: Frame = { call, task, who, past: past.value, outer: this.outer(), points: 0, allocations: 0 };
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
    const at = this.met.length;
    this.met.push({ at, key: "" });
    let ran = false;
    while (this.todo[0]?.at === at) {
      if (!ran) this.say(`sleeps in ${name}()${detail["dropped"] === true ? ", mmap_lock dropped" : ""}`, frame);
      ran = true;
      this.run(findCall(this.todo.shift()!.call)!);
    }
    if (this.keyed) {
      frame.past = pastAfter(frame.past, name, digestOf(this.world.k, this.known));
      this.met[at] = { at, key: `${frame.outer}${String(frame.past)}` };
    }
    return ran && name === "folio_lock_or_retry" ? "retry" : undefined;
  }

  /** Yield point of the first injected call that did not get its turn. */
  get unmet(): number | undefined {
    return this.todo[0]?.at;
  }
}
