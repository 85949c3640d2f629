// SPDX-License-Identifier: GPL-2.0-only
/** All schedules of one set-up and first call, shortest first, each point and state once. */
import { CALLS, type Call, findCall } from "./calls.js";
import { signatureOf } from "./findings.js";
import { play } from "./play.js";
import { findSetup, type Setup } from "./setups.js";
import { type Found, type Injection, type Job, type Prefix, type Run, type Tally, waitKey } from "./types.js";
import type { World } from "./world.js";

/** Does the call make sense in the set-up? */
export function fits(call: Call, setup: Setup): boolean {
  return call.needs === undefined || setup.has.includes(call.needs);
}

/** A schedule to run, and the run that it continues. */
interface Step {
  readonly injections: readonly Injection[];
  readonly prefix?: Prefix;
}

class Search {
  private readonly world: World;
  private readonly job: Job;
  private readonly first: Call;
  private readonly others: readonly Call[];
  /** Points and states that a run came to, and those from which others were started. */
  private readonly seen = new Set<string>();
  private readonly continued = new Set<string>();
  /** Calls that wait at once, and how mmap_lock is then: they need not be run to know. */
  private readonly waits = new Set<string>();
  private readonly pairs = new Set<string>();
  private readonly points = new Set<string>();
  private readonly found = new Map<string, Found>();
  private readonly counts = { schedules: 0, blocked: 0, edge: 0, same: 0 };

  constructor(world: World, job: Job) {
    this.world = world;
    this.job = job;
    this.first = findCall(job.first)!;
    const setup = findSetup(job.setup)!;
    this.others = CALLS.filter((call) => fits(call, setup));
  }

  all(): Tally {
    let level: Step[] = [{ injections: [] }];
    while (level.length > 0) {
      const next: Step[] = [];
      for (const step of level) {
        const run = this.one(step);
        if (run.outcome === "done" && !this.final(step.injections))
          next.push(...this.continuations(run, step.injections));
      }
      level = next;
    }
    return { ...this.counts, pairs: this.pairs.size, points: [...this.points].sort(), found: [...this.found.values()] };
  }

  /** Is it as long as they get? */
  private final({ length }: readonly Injection[]): boolean {
    return length === this.job.depth;
  }

  private one({ injections, prefix }: Step): Run {
    const final = this.final(injections);
    const options = { seen: this.seen, final, ...(prefix === undefined ? {} : { prefix }) };
    const run = play(this.world, this.first, injections, options);
    this.counts.schedules++;
    const last = injections.at(-1);
    if (run.waits !== undefined) this.waits.add(run.waits);
    if (run.outcome === "blocked") this.counts.blocked++;
    else if (last !== undefined) this.pairs.add(last.call);
    if (run.outcome === "edge") this.counts.edge++;
    if (run.outcome === "same") this.counts.same++;
    for (const name of run.points) this.points.add(name);
    if (run.wrong !== null) this.note(run, injections);
    return run;
  }

  private note(run: Run, injections: readonly Injection[]): void {
    const key = signatureOf(run.wrong!);
    const before = this.found.get(key);
    const { setup, advised, first } = this.job;
    this.found.set(
      key,
      before === undefined
        ? { ...run.wrong!, shortest: { setup, advised, first, injections }, events: run.events, schedules: 1 }
        : { ...before, schedules: before.schedules + 1 },
    );
  }

  /** What can be done next, from the last injected call on. */
  private continuations(run: Run, injections: readonly Injection[]): Step[] {
    const from = injections.at(-1)?.at ?? 0;
    const next: Step[] = [];
    for (const { at, key, locks } of run.met) {
      if (at < from) continue;
      if (this.continued.has(key)) continue;
      this.continued.add(key);
      for (const { name, by } of this.others) {
        if (!this.waits.has(waitKey(name, locks[by])))
          next.push({ injections: [...injections, { at, call: name }], prefix: run });
        else {
          this.counts.schedules++;
          this.counts.blocked++;
        }
      }
    }
    return next;
  }
}

/** Runs all schedules of a job. */
export function search(world: World, job: Job): Tally {
  return new Search(world, job).all();
}
