// SPDX-License-Identifier: GPL-2.0-only
/** ksmd, stepped by a test, and its files in sysfs. */
import { MADV_MERGEABLE } from "../../../uapi/mman-common.js";
import { expect } from "../../../harness/kselftest/index.js";
import { advise, map, type T, touch } from "./memory.js";

type Knob = Parameters<T["kernel"]["ksm_store"]>[1];

/** Writes a file of /sys/kernel/mm/ksm, which must work. */
export function knob(t: T, name: Knob, value: number): void {
  expect(t.kernel.ksm_store(t.k, name, value), `${name} = ${value}`).to.equal(0);
}

/** Lets ksmd make so many full scans, and stops it. */
export function scan(t: T, rounds = 3): void {
  const until = t.kernel.ksm_show(t.k).full_scans + rounds;
  knob(t, "run", 1);
  while (t.kernel.ksm_scan_thread(t.k) < until);
  knob(t, "run", 0);
}

/** Maps pages of the window and writes to each its letter; "-" is left alone. */
export function fill(t: T, page: number, letters: string): void {
  map(t, page, letters.length);
  for (let i = 0; i < letters.length; i++) {
    if (letters[i] !== "-") touch(t, page + i, 1, letters.charCodeAt(i));
  }
}

/** The same, advised to be merged. */
export function mergeable(t: T, page: number, letters: string): void {
  fill(t, page, letters);
  expect(advise(t, page, letters.length, MADV_MERGEABLE)).to.equal(0);
}

/** The counters, in the words of the recordings. */
export function counters(t: T): string {
  const c = t.kernel.ksm_show(t.k);
  const first = `shared ${c.pages_shared} sharing ${c.pages_sharing} unshared ${c.pages_unshared}`;
  return `${first} volatile ${c.pages_volatile} chains ${c.stable_node_chains} dups ${c.stable_node_dups}`;
}
