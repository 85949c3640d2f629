// SPDX-License-Identifier: GPL-2.0-only
/** Runs one schedule: a call, and at the yield points that it meets, the calls of others. */
import { __GFP_DIRECT_RECLAIM } from "../../include/linux/gfp.js";
import type { task_struct } from "../../include/linux/sched.js";
import { flagWords, PF_CHECKED } from "../task-flags.js";
import { type Call, findCall } from "./calls.js";
import { Digest, digestOf, type Identities } from "./digest.js";
import { errnoWords, wrongOf } from "./findings.js";
import type { Event, Injection, Met, Outcome, Run, Wrong } from "./types.js";
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
  readonly past: Digest;
  points: number;
  allocations: number;
}

/** Thrown through the model when a run need not go on; where from does not matter, and finding out takes time. */
class Ended extends Error {
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

class Player {
  readonly met: Met[] = [];
  readonly events: Event[] = [];
  private readonly world: World;
  private readonly todo: Injection[];
  private readonly frames: Frame[] = [];
  private readonly known: Identities = new Map();
  private readonly started = { thread: 0, process: 0 };
  private readonly seen: Set<string>;

  constructor(world: World, injections: readonly Injection[], seen: Set<string>) {
    this.world = world;
    this.todo = [...injections];
    this.seen = seen;
    digestOf(world.k, this.known);
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
    const frame: Frame = { call, task, who, past: new Digest(), points: 0, allocations: 0 };
    frame.past.text(call.name);
    const flags = task.flags & PF_CHECKED;
    this.frames.push(frame);
    this.say(call.words, frame);
    let result: unknown;
    try {
      result = this.world.as(task, () => call.run(this.world));
    } catch (error) {
      throw this.ended(error, frame);
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

  private ended(error: unknown, frame: Frame): unknown {
    if (error instanceof Ended) return error;
    if (error instanceof Error && error.name === "NotModelled") return new Ended("edge");
    if (error instanceof Error && "waits_for" in error && this.frames.length > 1) return new Ended("blocked");
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
    const at = this.met.length;
    if (++frame.points > MOST_POINTS) {
      if (this.frames.length > 1) throw new Ended("blocked");
      throw new Ended("wrong", { kind: "endless wait", what: `${name} is met for ever`, where: [] });
    }
    const slot = { at, name, key: "" };
    this.met.push(slot);
    let ran = false;
    while (this.todo[0]?.at === at) {
      if (!ran) this.say(`sleeps in ${name}()${detail["dropped"] === true ? ", mmap_lock dropped" : ""}`, frame);
      ran = true;
      this.run(findCall(this.todo.shift()!.call)!);
    }
    frame.past.text(name);
    frame.past.add(digestOf(this.world.k, this.known));
    slot.key = this.frames.map(({ past }) => (past.value >>> 0).toString(36)).join(".");
    if (this.complete) {
      if (ran && this.seen.has(slot.key)) throw new Ended("same");
      this.seen.add(slot.key);
    }
    return ran && name === "folio_lock_or_retry" ? "retry" : undefined;
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

/** What is broken once all calls have returned, and once all tasks are gone. */
function broken(world: World): Wrong | null {
  const live = world.kernel.checkMachine(world.k);
  const lines = live.length > 0 ? live : world.kernel.checkExit(world.k);
  return lines.length === 0 ? null : { kind: "broken invariant", what: lines[0]!, where: [] };
}

/**
 * Runs a schedule from the set-up on. It ends early where its last call leaves a state that `seen` knows; the states
 * that it comes to after that call are added.
 */
export function play(world: World, first: Call, injections: readonly Injection[], seen: Set<string>): Run {
  world.restore();
  const player = new Player(world, injections, seen);
  const { hooks } = world.k;
  hooks.yieldPoint = (name, detail) => player.meet(name, detail);
  hooks.trace = (event, detail) => {
    if (event === "mm_page_alloc" && Number(detail["gfp_flags"]) & __GFP_DIRECT_RECLAIM) player.allocates();
  };
  world.k.tracing = true;
  let outcome: Outcome = "done";
  let wrong: Wrong | null = null;
  try {
    player.run(first);
    hooks.yieldPoint = () => undefined;
    world.k.tracing = false;
    wrong = broken(world);
    if (wrong !== null) outcome = "wrong";
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    ({ outcome, wrong } = error);
  }
  const { met, events, unmet } = player;
  return { outcome, wrong, met, events, ...(unmet === undefined ? {} : { unmet }) };
}
