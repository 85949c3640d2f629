// SPDX-License-Identifier: GPL-2.0-only
/** Runs one schedule: a call, and at the yield points that it meets, the calls of others. */
import { __GFP_DIRECT_RECLAIM } from "../../include/linux/gfp.js";
import type { Call } from "./calls.js";
import { digestOf } from "./digest.js";
import { Digest } from "./hash.js";
import { Ended, Player, type PlayOptions } from "./player.js";
import type { Injection, Outcome, Run, Wrong } from "./types.js";
import type { World } from "./world.js";

/** The state of a machine at rest: what the checks look at, in two numbers. */
function restKey({ k }: World): string {
  const counters = new Digest();
  for (const { vm_stat } of [...k.zones, ...k.nodes]) for (const n of vm_stat) counters.add(n);
  counters.add(k.vm_committed_as);
  return `${String(digestOf(k, new Map()))} ${String(counters.value)}`;
}

/** What is broken once all calls have returned, and once all tasks are gone. */
function broken(world: World): Wrong | null {
  const { sound } = world;
  const key = restKey(world);
  if (sound.has(key)) return null;
  const wrong = check(world);
  if (wrong === null) sound.add(key);
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
 */
export function play(world: World, first: Call, injections: readonly Injection[], options: PlayOptions = {}): Run {
  world.restore();
  const player = new Player(world, injections, options);
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
  const { met, points, events, digests, unmet, waits } = player;
  return {
    outcome,
    wrong,
    met,
    points,
    events,
    digests,
    ...(unmet === undefined ? {} : { unmet }),
    ...(waits === undefined ? {} : { waits }),
  };
}
