// SPDX-License-Identifier: GPL-2.0-only
/**
 * In which order pages that were unmapped together are handed out again: the order in which they were gathered and freed,
 * backwards. A 6.1 kernel was asked for that of the table.
 */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MAP_SHARED } from "../../uapi/mman-common.js";
import { ANON, at, bytes, frameOf, map, memfd, type T, touch } from "./lib/memory.js";

const machine = FIXTURE("machine", { boot: { memory: 512 * 2 ** 20, cpus: 1 } });

function framesOf(t: T, pages: number): number[] {
  return Array.from({ length: pages }, (_, n) => frameOf(t, n));
}

/** Which of the old pages the new ones stand in, as runs: "8..19 0..7". */
function again(old: readonly number[], now: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const n of now.map((frame) => old.indexOf(frame))) {
    const last = runs.at(-1);
    if (n < 0) continue;
    if (last?.[1] === n - 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => `${from}..${to}`).join(" ");
}

/** Maps pages, unmaps them, and says in which order the same number of new ones comes. */
function reused(t: T, pages: number, flags: number): string {
  const fd = flags === ANON ? -1 : memfd(t, pages);
  map(t, 0, pages, { flags, fd });
  touch(t, 0, pages);
  const old = framesOf(t, pages);
  expect(t.sys.munmap(at(0), bytes(pages))).to.equal(0);
  if (fd >= 0) expect(t.sys.ftruncate(fd, 0)).to.equal(0);
  map(t, 0, pages);
  touch(t, 0, pages);
  return again(old, framesOf(t, pages));
}

/** Batches of 8, 510, 510 … pages of an address space, and of 15 of a file, each of which is freed from its end on. */
const ORDERS: readonly (readonly [pages: number, anonymous: string, file: string])[] = [
  [5, "0..4", "0..4"],
  [8, "0..7", "0..7"],
  [20, "8..19 0..7", "15..19 0..14"],
  [100, "8..99 0..7", "90..99 75..89 60..74 45..59 30..44 15..29 0..14"],
  [700, "518..699 8..517 0..7", ""],
];

for (const [pages, anonymous, file] of ORDERS) {
  TEST_F(machine, `${pages} anonymous pages`, (t) => {
    expect(reused(t, pages, ANON)).to.equal(anonymous);
  });
  if (file === "") continue;
  TEST_F(machine, `${pages} pages of a file`, (t) => {
    expect(reused(t, pages, MAP_SHARED)).to.equal(file);
  });
}

TEST_F(machine, "where there is no page for a batch, each 8 are freed alone", (t) => {
  map(t, 0, 20);
  touch(t, 0, 20);
  const old = framesOf(t, 20);
  Object.assign(t.k.fail_page_alloc, { probability: 100, interval: 1, times: -1, min_order: 0 });
  expect(t.sys.munmap(at(0), bytes(20))).to.equal(0);
  t.k.fail_page_alloc.probability = 0;
  map(t, 0, 20);
  touch(t, 0, 20);
  expect(again(old, framesOf(t, 20))).to.equal("16..19 8..15 0..7");
});
