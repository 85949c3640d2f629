// SPDX-License-Identifier: GPL-2.0-only
/** Pins of calls that go on: no part of the kernel, where nobody can tell whose a pin is. For who asks while one sleeps. */
import { subsys_state } from "../../include/linux/subsys.js";
import type { Machine } from "../../include/machine.js";
import { pinFinders } from "../page_holders.js";
import type { page_array } from "./follow.js";

/** Pages of an array, as far as they are pinned, by the call that has the array. */
export interface held_pins {
  readonly pages: page_array;
  readonly from: number;
  to: number;
  readonly call: number;
}

function refs_of({ pages, from, to }: held_pins, pfn: number, nr: number): number {
  let refs = 0;
  for (let i = from; i < to; i++) if (pages[i]! >= pfn && pages[i]! < pfn + nr) refs++;
  return refs;
}

/** All of them, innermost last. */
function all_held(k: Machine): held_pins[] {
  return subsys_state(k, "mm/gup/held.ts", () => {
    const all: held_pins[] = [];
    pinFinders(k).add((pfn, nr) =>
      all
        .map((held) => ({ refs: refs_of(held, pfn, nr), detail: "of a call that goes on", call: held.call }))
        .filter(({ refs }) => refs > 0),
    );
    return all;
  });
}

/** The running call has pinned pages [from, to) of the array, and goes on. To be ended by {@link release_held}. */
export function hold_pins(k: Machine, pages: page_array, from: number, to: number): held_pins {
  const held = { pages, from, to, call: k.calls.now };
  all_held(k).push(held);
  return held;
}

/** The last {@link hold_pins} is over: the pins are gone, or somebody else's to answer for. */
export function release_held(k: Machine): void {
  all_held(k).pop();
}
