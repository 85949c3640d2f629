// SPDX-License-Identifier: GPL-2.0-only
/** Advices that set a flag: how a mapping is split, and that it is one again when the advice is undone. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { advise, at, bytes, map, mapMemfd, ranges, type T, vmFlags } from "./lib/memory.js";

interface Advice {
  readonly set: number;
  readonly undo: number;
  /** As smaps names it. */
  readonly flag: string;
}

const advice = FIXTURE<undefined, Advice>("advice");
const all: Readonly<Record<string, Advice>> = {
  MADV_RANDOM: { set: uapi.MADV_RANDOM, undo: uapi.MADV_NORMAL, flag: "rr" },
  MADV_SEQUENTIAL: { set: uapi.MADV_SEQUENTIAL, undo: uapi.MADV_NORMAL, flag: "sr" },
  MADV_DONTFORK: { set: uapi.MADV_DONTFORK, undo: uapi.MADV_DOFORK, flag: "dc" },
  MADV_DONTDUMP: { set: uapi.MADV_DONTDUMP, undo: uapi.MADV_DODUMP, flag: "dd" },
  MADV_WIPEONFORK: { set: uapi.MADV_WIPEONFORK, undo: uapi.MADV_KEEPONFORK, flag: "wf" },
  MADV_MERGEABLE: { set: uapi.MADV_MERGEABLE, undo: uapi.MADV_UNMERGEABLE, flag: "mg" },
};
for (const [name, one] of Object.entries(all)) FIXTURE_VARIANT(advice, name, one);

/** One character a page: `n` with the flag, `.` without, `-` not mapped. */
function flagged(t: T, pages: number, flag: string): string {
  let out = "";
  for (let n = 0; n < pages; n++) {
    const flags = vmFlags(t, n);
    out += flags === undefined ? "-" : flags.includes(flag) ? "n" : ".";
  }
  return out;
}

/** [title, first page, pages, ranges after it, pages that have the flag] */
const positions: readonly [string, number, number, string, string][] = [
  ["head", 0, 3, "0-3 3-8", "nnn....."],
  ["middle", 2, 3, "0-2 2-5 5-8", "..nnn..."],
  ["tail", 5, 3, "0-5 5-8", ".....nnn"],
  ["whole", 0, 8, "0-8", "nnnnnnnn"],
];

describe("madvise: split, and merge back", () => {
  for (const [title, from, pages, split, flags] of positions) {
    TEST_F(advice, title, (t) => {
      map(t, 0, 8);
      expect(advise(t, from, pages, t.param.set)).to.equal(0);
      expect(ranges(t)).to.equal(split);
      expect(flagged(t, 8, t.param.flag)).to.equal(flags);
      expect(advise(t, from, pages, t.param.undo)).to.equal(0);
      expect(ranges(t), "undone").to.equal("0-8");
      expect(flagged(t, 8, t.param.flag), "undone").to.equal("........");
    });
  }

  // nn....nn: undone over all of it, a part at a time has nothing to do
  TEST_F(advice, "both ends, undone over the whole", (t) => {
    map(t, 0, 8);
    advise(t, 0, 2, t.param.set);
    advise(t, 6, 2, t.param.set);
    expect(ranges(t)).to.equal("0-2 2-6 6-8");
    expect(advise(t, 0, 8, t.param.undo)).to.equal(0);
    expect(ranges(t)).to.equal("0-8");
  });

  // nnnnnnnn → nn....nn
  TEST_F(advice, "the middle of an advised mapping undone", (t) => {
    map(t, 0, 8);
    advise(t, 0, 8, t.param.set);
    expect(advise(t, 2, 4, t.param.undo)).to.equal(0);
    expect(flagged(t, 8, t.param.flag)).to.equal("nn....nn");
    expect(ranges(t)).to.equal("0-2 2-6 6-8");
  });

  // nnn..... → nnnn....: the border moves, the number of mappings does not
  TEST_F(advice, "one page more", (t) => {
    map(t, 0, 8);
    advise(t, 0, 3, t.param.set);
    expect(advise(t, 3, 1, t.param.set)).to.equal(0);
    expect(ranges(t)).to.equal("0-4 4-8");
    expect(flagged(t, 8, t.param.flag)).to.equal("nnnn....");
  });

  // aaaa|bbbb (read-only) → aa nn|nn bb
  TEST_F(advice, "across two mappings", (t) => {
    map(t, 0, 4);
    map(t, 4, 4, { prot: uapi.PROT_READ });
    expect(advise(t, 2, 4, t.param.set)).to.equal(0);
    expect(ranges(t)).to.equal("0-2 2-4 4-6 6-8");
    expect(advise(t, 2, 4, t.param.undo)).to.equal(0);
    expect(ranges(t), "undone").to.equal("0-4 4-8");
  });

  // aaa..bbb → a nn..nn b
  TEST_F(advice, "across a hole", (t) => {
    map(t, 0, 3);
    map(t, 5, 3);
    expect(advise(t, 1, 6, t.param.set)).to.equal(-ENOMEM);
    expect(flagged(t, 8, t.param.flag)).to.equal(".nn--nn.");
    expect(advise(t, 1, 6, t.param.undo)).to.equal(-ENOMEM);
    expect(ranges(t), "undone").to.equal("0-3 5-8");
  });

  TEST_F(advice, "given twice", (t) => {
    map(t, 0, 8);
    advise(t, 2, 4, t.param.set);
    expect(advise(t, 2, 4, t.param.set)).to.equal(0);
    expect(ranges(t)).to.equal("0-2 2-6 6-8");
  });

  TEST_F(advice, "undone where it was not given", (t) => {
    map(t, 0, 8);
    expect(advise(t, 2, 4, t.param.undo)).to.equal(0);
    expect(ranges(t)).to.equal("0-8");
  });
});

const window = FIXTURE("window");

describe("madvise: flags that exclude or keep each other", () => {
  TEST_F(window, "MADV_HUGEPAGE, then MADV_NOHUGEPAGE: the last one counts", (t) => {
    map(t, 0, 8);
    expect(advise(t, 2, 4, uapi.MADV_HUGEPAGE)).to.equal(0);
    expect(vmFlags(t, 3)).to.include("hg");
    expect(advise(t, 2, 4, uapi.MADV_NOHUGEPAGE)).to.equal(0);
    expect(vmFlags(t, 3)).to.include("nh").and.not.include("hg");
    expect(ranges(t)).to.equal("0-2 2-6 6-8");
  });

  TEST_F(window, "MADV_RANDOM and MADV_SEQUENTIAL replace each other", (t) => {
    map(t, 0, 8);
    advise(t, 0, 4, uapi.MADV_RANDOM);
    expect(advise(t, 0, 8, uapi.MADV_SEQUENTIAL)).to.equal(0);
    expect(flagged(t, 8, "sr")).to.equal("nnnnnnnn");
    expect(flagged(t, 8, "rr")).to.equal("........");
    expect(ranges(t)).to.equal("0-8");
  });

  // dddd....  and ..rrrr..: dd dr dr rr .. → four mappings
  TEST_F(window, "two advices that overlap", (t) => {
    map(t, 0, 8);
    advise(t, 0, 4, uapi.MADV_DONTFORK);
    advise(t, 2, 4, uapi.MADV_RANDOM);
    expect(ranges(t)).to.equal("0-2 2-4 4-6 6-8");
    advise(t, 0, 8, uapi.MADV_DOFORK);
    expect(ranges(t), "one undone").to.equal("0-2 2-6 6-8");
    advise(t, 0, 8, uapi.MADV_NORMAL);
    expect(ranges(t), "both undone").to.equal("0-8");
  });

  TEST_F(window, "a mapping made next to an advised one does not merge with it", (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, uapi.MADV_DONTFORK);
    map(t, 4, 4);
    expect(ranges(t)).to.equal("0-4 4-8");
    advise(t, 0, 4, uapi.MADV_DOFORK);
    expect(ranges(t), "undone").to.equal("0-8");
  });

  TEST_F(window, "pieces of a memfd merge back", (t) => {
    mapMemfd(t, 0, 8);
    advise(t, 2, 2, uapi.MADV_DONTDUMP);
    advise(t, 5, 1, uapi.MADV_DONTDUMP);
    expect(ranges(t)).to.equal("0-2 2-4 4-5 5-6 6-8");
    advise(t, 0, 8, uapi.MADV_DODUMP);
    expect(ranges(t), "undone").to.equal("0-8");
  });

  TEST_F(window, "a locked mapping splits and merges as any other", (t) => {
    map(t, 0, 8);
    expect(t.sys.mlock(at(0), bytes(8))).to.equal(0);
    advise(t, 3, 2, uapi.MADV_DONTFORK);
    expect(ranges(t)).to.equal("0-3 3-5 5-8");
    expect(flagged(t, 8, "lo")).to.equal("nnnnnnnn");
    advise(t, 3, 2, uapi.MADV_DOFORK);
    expect(ranges(t), "undone").to.equal("0-8");
  });

  TEST_F(window, "a page cannot be split: no advice shorter than a page", (t) => {
    map(t, 0, 1);
    expect(t.sys.madvise(at(0), 100, uapi.MADV_RANDOM)).to.equal(0);
    expect(ranges(t)).to.equal("0-1");
    expect(vmFlags(t, 0)).to.include("rr");
  });
});
