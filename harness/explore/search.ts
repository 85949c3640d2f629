// SPDX-License-Identifier: GPL-2.0-only
/** All schedules of one set-up and first call, shortest first; calls are started at each point and state once. */
import { CALLS, type Call, findCall } from "./calls.js";
import { signatureOf } from "./findings.js";
import { play } from "./play.js";
import { findSetup, type Setup } from "./setups.js";
import type { Found, Injection, Job, Run, Tally } from "./types.js";
import type { World } from "./world.js";

/** Does the call make sense in the set-up? */
export function fits(call: Call, setup: Setup): boolean {
  return call.needs === undefined || setup.has.includes(call.needs);
}

class Search {
  private readonly world: World;
  private readonly job: Job;
  private readonly first: Call;
  private readonly others: readonly Call[];
  /** Points and states at which others were started. */
  private readonly continued = new Set<string>();
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
    let level: (readonly Injection[])[] = [[]];
    while (level.length > 0) {
      const next: (readonly Injection[])[] = [];
      for (const injections of level) {
        const final = injections.length === this.job.depth;
        const run = this.one(injections, !final && !this.job.uncut);
        if (run.outcome === "done" && !final) next.push(...this.continuations(run, injections));
      }
      level = next;
    }
    return { ...this.counts, pairs: this.pairs.size, points: [...this.points].sort(), found: [...this.found.values()] };
  }

  private one(injections: readonly Injection[], keyed: boolean): Run {
    const run = play(this.world, this.first, injections, keyed);
    this.counts.schedules++;
    const last = injections.at(-1);
    if (run.outcome === "blocked") this.counts.blocked++;
    else if (last !== undefined) this.pairs.add(last.call);
    if (run.outcome === "edge") this.counts.edge++;
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
  private continuations(run: Run, injections: readonly Injection[]): (readonly Injection[])[] {
    const from = injections.at(-1)?.at ?? 0;
    const next: (readonly Injection[])[] = [];
    for (const { at, key } of run.met) {
      if (at < from) continue;
      if (!this.job.uncut && this.continued.has(key)) {
        this.counts.same++;
        continue;
      }
      this.continued.add(key);
      for (const { name } of this.others) next.push([...injections, { at, call: name }]);
    }
    return next;
  }
}

/** Runs all schedules of a job. */
export function search(world: World, job: Job): Tally {
  return new Search(world, job).all();
}
