// SPDX-License-Identifier: GPL-2.0-only
/** Pages on their way to the other node, and who waits for one. */
import type { task_struct } from "../../../include/linux/sched.js";
import { PAGE_SIZE } from "../../../include/linux/types.js";
import { type BootOptions, expect, FIXTURE } from "../../../harness/kselftest/index.js";
import { at, frameOf, map, mapMemfd, type T, touch } from "./memory.js";
import { migratePages, NODE_0, NODE_1 } from "./numa.js";
import { smapsKib } from "./proc.js";
import { atYield, newThread } from "./tasks.js";
import { drawing } from "./thp.js";

/** Pages of each fixture, which hold 1 … 4. */
export const PAGES = 4;
export const boot: BootOptions = { memory: 32 << 20, nodes: 2 };

function fill(t: T): undefined {
  for (let n = 0; n < PAGES; n++) touch(t, n, 1, n + 1);
}

export const anonymous = FIXTURE("anonymous", {
  boot,
  setup(t) {
    map(t, 0, PAGES);
    fill(t);
  },
});
export const shared = FIXTURE("shared", {
  boot,
  setup(t) {
    mapMemfd(t, 0, PAGES);
    fill(t);
  },
});

/** Moves all pages; `meanwhile` runs while the first is on its way, for which somebody else must be there. */
export function move(t: T, meanwhile: () => void): void {
  if (t.k.tasks.size === 1) newThread(t);
  const old = frameOf(t, 0);
  const met = atYield(t, "remove_migration_ptes", meanwhile);
  expect(migratePages(t, NODE_0, NODE_1), "migrate_pages()").to.equal(0);
  expect(met.count).to.equal(1);
  expect(frameOf(t, 0)).to.not.equal(old);
}

/** An access that waits for the page with mmap_lock held for reading, until what this answers has it go on. */
export function waits(t: T, task: task_struct, access: () => void): () => void {
  const lock = task.mm!.mmap_lock;
  const before = lock.readers;
  expect(() => t.as(task, access)).to.throw("migration_entry_wait: would wait");
  const held = lock.readers - before;
  return () => {
    lock.readers -= held;
    t.as(task, access);
  };
}

/** Bits of pagemap. */
export const SWAP = 1n << 62n;
export const FILE = 1n << 61n;
export const TYPE_BITS = 5n;

/** The record of a page of the window. */
export function pagemap(t: T, page: number, task: task_struct = t.k.current): bigint {
  const bytesOf = t.kernel.pagemap_read(t.k, task.mm!, at(page), at(page) + PAGE_SIZE);
  return new DataView(bytesOf.buffer).getBigUint64(0, true);
}

/** Of the VMA at the window's start, the lines of smaps that count pages, in KiB. */
export function counted(t: T, ...names: readonly string[]): number[] {
  return names.map((name) => smapsKib(t, name, 0, 1));
}

/**
 * What a child does to its mapping of pages that are on their way, its picture then, its picture and the parent's when
 * they have moved.
 */
export type Meeting = readonly [name: string, act: (t: T) => number, then: string, child: string, parent: string];

/** Has a child meet the migration entries of all pages from the window's start while `moving` moves them. */
export function meets(
  t: T,
  child: task_struct,
  pages: number,
  picture: string,
  moving: (t: T, meanwhile: () => void) => void,
  [, act, then, childAfter, parentAfter]: Meeting,
): void {
  moving(t, () => {
    expect([drawing(t, 0, pages), drawing(t, 0, pages, child)]).to.deep.equal([picture, picture]);
    t.as(child, () => expect(act(t)).to.equal(0));
    expect(drawing(t, 0, pages, child)).to.equal(then);
  });
  expect([drawing(t, 0, pages, child), drawing(t, 0, pages)]).to.deep.equal([childAfter, parentAfter]);
}
