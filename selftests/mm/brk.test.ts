// SPDX-License-Identifier: GPL-2.0-only
/** brk(): the heap, what stops it, and what it merges with. */
import { RLIMIT_AS, RLIMIT_DATA } from "../../include/linux/sched.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  MAP_FIXED,
  MAP_GROWSDOWN,
  OVERCOMMIT_NEVER,
  MCL_FUTURE,
  PROT_READ,
  MADV_DONTFORK,
} from "../../uapi/mman-common.js";
import { ANON, bytes, RW, type T } from "./lib/memory.js";

const heap = FIXTURE("heap", { setup: (t) => t.sys.brk(0) });

/** Moves the end of the heap to so many pages; answers where it then is, in pages. */
function brk(t: T & { readonly self: unknown }, pages: number): number {
  const start = t.self as number;
  return (t.sys.brk(start + bytes(pages)) - start) / PAGE_SIZE;
}

function mapAt(t: T, page: number, pages: number, prot = RW, flags = 0): void {
  const addr = (t.self as number) + bytes(page);
  expect(t.sys.mmap(addr, bytes(pages), prot, ANON | MAP_FIXED | flags, -1, 0)).to.equal(addr);
}

/** Mappings near the heap, in pages from its start. */
function near(t: T): string {
  const start = t.self as number;
  return t
    .smaps()
    .filter((row) => Math.abs(row.start - start) < bytes(4096))
    .map((row) => `${(row.start - start) / PAGE_SIZE}-${(row.end - start) / PAGE_SIZE}`)
    .join(" ");
}

/** What makes the heap stay at 4 pages when it is to have 8. */
const obstacles: readonly [string, (t: T) => void][] = [
  ["a mapping in the way", (t) => mapAt(t, 6, 1, PROT_READ)],
  ["a mapping right behind: a page stays free between", (t) => mapAt(t, 8, 1, PROT_READ)],
  ["a stack's guard gap", (t) => mapAt(t, 8 + 256, 4, RW, MAP_GROWSDOWN)],
  ["RLIMIT_DATA, of the data segment alone", (t) => void t.sys.setrlimit(RLIMIT_DATA, bytes(8) - 1)],
  ["RLIMIT_AS", (t) => void t.sys.setrlimit(RLIMIT_AS, bytes(t.k.current.mm!.total_vm + 3))],
  ["vm.max_map_count", (t) => void (t.k.config.max_map_count = t.k.current.mm!.map_count - 1)],
  [
    "no memory left to promise",
    (t) => {
      t.k.config.overcommit_memory = OVERCOMMIT_NEVER;
      t.k.config.overcommit_kbytes = 4;
    },
  ],
];

describe("brk: what stops it", () => {
  for (const [title, hinder] of obstacles) {
    TEST_F(heap, title, (t) => {
      expect(brk(t, 4)).to.equal(4);
      hinder(t);
      expect(brk(t, 8)).to.equal(4);
    });
  }

  TEST_F(heap, "one page further away is far enough", (t) => {
    mapAt(t, 9, 1, PROT_READ);
    mapAt(t, 20 + 257, 4, RW, MAP_GROWSDOWN);
    expect(brk(t, 8)).to.equal(8);
    t.sys.munmap(t.self + bytes(9), bytes(1));
    expect(brk(t, 20)).to.equal(20);
  });

  TEST_F(heap, "below its start, and where no address is", (t) => {
    expect(brk(t, 4)).to.equal(4);
    expect(brk(t, -1)).to.equal(4);
    expect(t.sys.brk(0)).to.equal(t.self + bytes(4));
    expect(t.sys.brk(-4096)).to.equal(t.self + bytes(4));
    expect(t.sys.brk(2 ** 47)).to.equal(t.self + bytes(4));
  });

  TEST_F(heap, "to shrink where all of it was unmapped", (t) => {
    brk(t, 4);
    t.sys.munmap(t.self, bytes(4));
    expect(brk(t, 2)).to.equal(4);
  });
});

describe("brk: the heap", () => {
  TEST_F(heap, "within a page nothing is mapped or unmapped", (t) => {
    expect(t.sys.brk(t.self + 1)).to.equal(t.self + 1);
    expect(near(t)).to.equal("0-1");
    expect(t.sys.brk(t.self + 4096)).to.equal(t.self + 4096);
    expect(near(t)).to.equal("0-1");
    expect(t.sys.brk(t.self)).to.equal(t.self);
    expect(near(t)).to.equal("");
  });

  TEST_F(heap, "it grows as one mapping, called [heap]", (t) => {
    brk(t, 2);
    t.sys.store(t.self, 42);
    brk(t, 8);
    expect(near(t)).to.equal("0-8");
    const row = t.smaps().find((vma) => vma.start === t.self)!;
    expect(row).to.include({ name: "[heap]", perms: "rw-p" });
    expect(row.VmFlags).to.deep.equal(["rd", "wr", "mr", "mw", "me", "ac"]);
    brk(t, 1);
    expect(near(t)).to.equal("0-1");
    expect(t.sys.load(t.self)).to.deep.equal({ val: 42 });
  });

  // the heap is empty; what ends where it starts (bss does) is not extended
  //
  //   |bb|            |bb|hhhh|
  //       ^^^^   ->
  TEST_F(heap, "what ends where it starts stays by itself", (t) => {
    mapAt(t, -2, 2);
    expect(brk(t, 4)).to.equal(4);
    expect(near(t)).to.equal("-2-0 0-4");
  });

  //   |hh|xxx|           |hh|xxx|hhh|
  //           ^^^   ->
  TEST_F(heap, "a part that differs does not grow", (t) => {
    brk(t, 5);
    t.sys.madvise(t.self + bytes(2), bytes(3), MADV_DONTFORK);
    brk(t, 8);
    expect(near(t)).to.equal("0-2 2-5 5-8");
  });

  TEST_F(heap, "under MCL_FUTURE it is locked and filled", (t) => {
    t.sys.mlockall(MCL_FUTURE);
    brk(t, 4);
    expect(t.smaps().find((vma) => vma.start === t.self)!.pages).to.equal("aaaa");
    expect(t.k.current.mm!.locked_vm).to.equal(4);
  });

  TEST_F(heap, "it belongs to the child, too", (t) => {
    brk(t, 4);
    t.inChild(() => expect(brk(t as T, 6)).to.equal(6));
    expect(near(t)).to.equal("0-4");
  });
});
