// SPDX-License-Identifier: GPL-2.0-only
/** Runs one schedule: a call, and at the yield points that it meets, the calls of others. */
import { __GFP_DIRECT_RECLAIM } from "../../include/linux/gfp.js";
import type { Call } from "./calls.js";
import { Ended, Player } from "./player.js";
import type { Injection, Outcome, Run, Wrong } from "./types.js";
import type { World } from "./world.js";

/** What is broken once all calls have returned, and once all tasks are gone. */
function broken({ kernel, k }: World): Wrong | null {
  const live = kernel.checkMachine(k);
  const lines = live.length > 0 ? live : kernel.checkExit(k);
  return lines.length === 0 ? null : { kind: "broken invariant", what: lines[0]!, where: [] };
}

/** Runs a schedule from the set-up on. */
export function play(world: World, first: Call, injections: readonly Injection[], keyed = false): Run {
  world.restore();
  const player = new Player(world, injections, keyed);
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
  const { met, points, events, unmet } = player;
  return { outcome, wrong, met, points, events, ...(unmet === undefined ? {} : { unmet }) };
}
