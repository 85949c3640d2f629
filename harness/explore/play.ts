// SPDX-License-Identifier: GPL-2.0-only
/** Runs one schedule: a call, and at the yield points that it meets, the calls of others. */
import { __GFP_DIRECT_RECLAIM } from "../../include/linux/gfp.js";
import type { task_struct } from "../../include/linux/sched.js";
import { flagWords, PF_CHECKED } from "../task-flags.js";
import { type Call, findCall } from "./calls.js";
import { digestOf, type Identities } from "./digest.js";
import { errnoWords, wrongOf } from "./findings.js";
import { Digest } from "./hash.js";
import { type Event, type Injection, type Met, type Outcome, type Run, waitKey, type Wrong } from "./types.js";
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
  /** How mmap_lock was when it began. */
  readonly locks: string;
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

function locksOf({ mm }: task_struct): string {
  return mm === null ? "" : `${String(mm.mmap_lock.readers)} ${String(mm.mmap_lock.writer)}`;
}

class Player {
  readonly met: Met[] = [];
  readonly events: Event[] = [];
  readonly digests: (number | undefined)[] = [];
  waits: string | undefined;
  private readonly world: World;
  private readonly todo: Injection[];
  private readonly frames: Frame[] = [];
  private readonly known: Identities = new Map();
  private readonly started = { thread: 0, process: 0 };
  private readonly seen: Set<string>;
  private readonly prefix: Run["digests"];

  constructor(world: World, injections: readonly Injection[], seen: Set<string>, prefix: Run["digests"]) {
    this.world = world;
    this.todo = [...injections];
    this.seen = seen;
    this.prefix = prefix;
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
    const locks = locksOf(task);
    const frame: Frame = { call, task, who, locks, past: new Digest(), points: 0, allocations: 0 };
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
    const at = this.met.length;
    if (++frame.points > MOST_POINTS) {
      if (this.frames.length > 1) throw new Ended("blocked");
      throw new Ended("wrong", { kind: "endless wait", what: `${name} is met for ever`, where: [] });
    }
    const slot = { at, name, key: "", locks: { thread: "", process: "" } };
    this.met.push(slot);
    let ran = false;
    while (this.todo[0]?.at === at) {
      if (!ran) this.say(`sleeps in ${name}()${detail["dropped"] === true ? ", mmap_lock dropped" : ""}`, frame);
      ran = true;
      this.run(findCall(this.todo.shift()!.call)!);
    }
    frame.past.text(name);
    frame.past.add(this.digest(at));
    slot.key = this.frames.map(({ past }) => (past.value >>> 0).toString(36)).join(".");
    if (this.complete) {
      const { threads, processes } = this.world;
      slot.locks = { thread: locksOf(threads[0]!), process: processes.length > 0 ? locksOf(processes[0]!) : "" };
      if (ran && this.seen.has(slot.key)) throw new Ended("same");
      this.seen.add(slot.key);
    }
    return ran && name === "folio_lock_or_retry" ? "retry" : undefined;
  }

  /** The state at a point: what the run before came to, up to where this one departs from it. */
  private digest(at: number): number {
    const before = this.complete ? undefined : this.prefix[at];
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

/** The state of a machine at rest: what the checks look at, in two numbers. */
function restKey({ k }: World): string {
  const counters = new Digest();
  for (const { vm_stat } of [...k.zones, ...k.nodes]) for (const n of vm_stat) counters.add(n);
  counters.add(k.vm_committed_as);
  return `at rest ${String(digestOf(k, new Map()))} ${String(counters.value)}`;
}

/** What is broken once all calls have returned, and once all tasks are gone; nothing where `seen` has that state. */
function broken(world: World, seen: Set<string>): Wrong | null {
  const key = restKey(world);
  if (seen.has(key)) return null;
  const wrong = check(world);
  if (wrong === null) seen.add(key);
  return wrong;
}

function check(world: World): Wrong | null {
  const live = world.kernel.checkMachine(world.k);
  const lines = live.length > 0 ? live : world.kernel.checkExit(world.k);
  return lines.length === 0 ? null : { kind: "broken invariant", what: lines[0]!, where: [] };
}

/**
 * Runs a schedule from the set-up on. It ends early where its last call leaves a state that `seen` knows; the states
 * that it comes to after that call are added.
 * @param prefix digests of a run of all its calls but the last
 */
export function play(
  world: World,
  first: Call,
  injections: readonly Injection[],
  seen: Set<string>,
  prefix: Run["digests"] = [],
): Run {
  world.restore();
  const player = new Player(world, injections, seen, prefix);
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
    wrong = broken(world, seen);
    if (wrong !== null) outcome = "wrong";
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    ({ outcome, wrong } = error);
  }
  const { met, events, digests, unmet, waits } = player;
  return {
    outcome,
    wrong,
    met,
    events,
    digests,
    ...(unmet === undefined ? {} : { unmet }),
    ...(waits === undefined ? {} : { waits }),
  };
}
