// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which mappings with pages of their own may merge: their anon_vmas decide (mm/mmap.c:is_mergeable_anon_vma).
 *
 * Pictures as in vma_merge.test.ts, with a second row for the anon_vma of each mapping: a capital letter for one,
 * `-` where nothing was ever written.
 */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_DOFORK,
  MADV_DONTFORK,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_EXEC,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { advise, at, bytes, map, ranges, RW, type T, touch } from "./lib/memory.js";

const window = FIXTURE("window");
const RWX = RW | PROT_EXEC;

function protect(t: T, page: number, pages: number, prot: number): void {
  expect(t.sys.mprotect(at(page), bytes(pages), prot), "mprotect").to.equal(0);
}

function move(t: T, from: number, to: number, pages: number): void {
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
  expect(t.sys.mremap(at(from), bytes(pages), bytes(pages), flags, at(to)), "mremap").to.equal(at(to));
}

describe("anon_vmas: a new mapping", () => {
  //   |www|           |wwwwww|
  //    AAA ^^^   ->    AAAAAA
  TEST_F(window, "behind one that was written to", (t) => {
    map(t, 0, 3);
    touch(t, 0, 1);
    map(t, 3, 3);
    expect(ranges(t)).to.equal("0-6");
  });

  //       |www|       |wwwwww|
  //    ^^^ AAA   ->    AAAAAA
  TEST_F(window, "in front of one that was written to", (t) => {
    map(t, 3, 3);
    touch(t, 3, 1);
    map(t, 0, 3);
    expect(ranges(t)).to.equal("0-6");
  });

  // mmap looks behind first, and then whether the one before goes with that.
  //
  //   |www|   |www|       |www|wwwwww|
  //    AAA ^^^ BBB   ->    AAA BBBBBB
  TEST_F(window, "between two that have nothing in common: with the one behind", (t) => {
    map(t, 0, 3);
    map(t, 6, 3);
    touch(t, 0, 1);
    touch(t, 6, 1);
    map(t, 3, 3);
    expect(ranges(t)).to.equal("0-3 3-9");
  });

  //   |www|   |www|       |wwwwwwwww|
  //    AAA ^^^ ---   ->    AAAAAAAAA
  TEST_F(window, "between one that was written to and one that was not", (t) => {
    map(t, 0, 3);
    map(t, 6, 3);
    touch(t, 0, 1);
    map(t, 3, 3);
    expect(ranges(t)).to.equal("0-9");
  });

  // The new range goes to the one behind, and then it has an anon_vma, which one without any does not take.
  //
  //   |www|   |www|       |www|wwwwww|
  //    --- ^^^ AAA   ->    --- AAAAAA
  TEST_F(window, "between one that was not written to and one that was", (t) => {
    map(t, 0, 3);
    map(t, 6, 3);
    touch(t, 6, 1);
    map(t, 3, 3);
    expect(ranges(t)).to.equal("0-3 3-9");
  });

  //   |wwwwwwwww|       |www|   |www|       |wwwwwwwww|
  //    AAAAAAAAA   ->    AAA ^^^ AAA   ->    AAAAAAAAA
  TEST_F(window, "in the hole of what was one mapping", (t) => {
    map(t, 0, 9);
    touch(t, 0, 9);
    expect(t.sys.munmap(at(3), bytes(3))).to.equal(0);
    map(t, 3, 3);
    expect(ranges(t)).to.equal("0-9");
  });
});

describe("anon_vmas: a mapping that changes", () => {
  //   |www|rrr|       |wwwwww|
  //    AAA ---   ->    AAAAAA
  TEST_F(window, "one never written to goes to one before that was", (t) => {
    map(t, 0, 3);
    touch(t, 0, 1);
    map(t, 3, 3, { prot: PROT_READ });
    protect(t, 3, 3, RW);
    expect(ranges(t)).to.equal("0-6");
  });

  //   |rrr|www|       |wwwwww|
  //    --- AAA   ->    AAAAAA
  TEST_F(window, "one never written to goes to one behind that was", (t) => {
    map(t, 0, 3, { prot: PROT_READ });
    map(t, 3, 3);
    touch(t, 3, 1);
    protect(t, 0, 3, RW);
    expect(ranges(t)).to.equal("0-6");
  });

  // The list of a mapping without an anon_vma is empty, and no list of one.
  //
  //   |rrr|www|       |rrr|rrr|
  //    --- AAA   ->    --- AAA
  TEST_F(window, "one written to does not go to one before that never was", (t) => {
    map(t, 0, 3, { prot: PROT_READ });
    map(t, 3, 3);
    touch(t, 3, 1);
    protect(t, 3, 3, PROT_READ);
    expect(ranges(t)).to.equal("0-3 3-6");
  });

  //   |www|rrr|       |rrr|rrr|
  //    AAA ---   ->    AAA ---
  TEST_F(window, "nor to one behind that never was", (t) => {
    map(t, 0, 3);
    touch(t, 0, 1);
    map(t, 3, 3, { prot: PROT_READ });
    protect(t, 0, 3, PROT_READ);
    expect(ranges(t)).to.equal("0-3 3-6");
  });

  //   |www|rrr|       |www|www|
  //    AAA BBB   ->    AAA BBB
  TEST_F(window, "two that have nothing in common stay two", (t) => {
    map(t, 0, 3);
    map(t, 6, 3);
    touch(t, 0, 1);
    touch(t, 6, 1);
    move(t, 6, 3, 3);
    expect(ranges(t)).to.equal("0-3 3-6");
  });

  // They may differ in what mprotect changes: then the second takes the anon_vma of the first, to merge later.
  //
  //   |www|xxx|       |wwwwww|
  //    AAA AAA   ->    AAAAAA
  TEST_F(window, "neighbours share an anon_vma if only their protection differs", (t) => {
    map(t, 0, 6);
    protect(t, 3, 3, RWX);
    touch(t, 0, 1);
    touch(t, 3, 1);
    protect(t, 3, 3, RW);
    expect(ranges(t)).to.equal("0-6");
  });

  //   |www|xxx|       |www|www|
  //    AAA BBB   ->    AAA BBB
  TEST_F(window, "neighbours do not share one if anything else differs", (t) => {
    map(t, 0, 6);
    advise(t, 3, 3, MADV_DONTFORK);
    touch(t, 0, 1);
    touch(t, 3, 1);
    advise(t, 3, 3, MADV_DOFORK);
    expect(ranges(t)).to.equal("0-3 3-6");
  });

  //   |www|xxx|www|       |www|wwwwww|
  //    AAA BBB BBB   ->    AAA BBBBBB
  TEST_F(window, "the neighbour behind is asked for its anon_vma first", (t) => {
    map(t, 0, 9);
    protect(t, 3, 3, RWX);
    advise(t, 0, 3, MADV_DONTFORK);
    touch(t, 0, 1);
    touch(t, 6, 1);
    advise(t, 0, 3, MADV_DOFORK);
    touch(t, 3, 1);
    protect(t, 3, 3, RW);
    expect(ranges(t)).to.equal("0-3 3-9");
  });

  //   |www|rrr|www|       |wwwwww|www|
  //    AAA --- BBB   ->    AAAAAA BBB
  TEST_F(window, "between two that have nothing in common, to the one before", (t) => {
    map(t, 0, 3);
    touch(t, 0, 1);
    map(t, 6, 3);
    touch(t, 6, 1);
    map(t, 3, 3, { prot: PROT_READ });
    protect(t, 3, 3, RW);
    expect(ranges(t)).to.equal("0-6 6-9");
  });

  // case 6 with an anon_vma at the far end only: all three get it
  //
  //   |www|rrr|www|       |wwwwwwwww|
  //    --- --- AAA   ->    AAAAAAAAA
  TEST_F(window, "two never written to and the one behind that was: one", (t) => {
    map(t, 0, 6);
    protect(t, 3, 3, PROT_READ);
    map(t, 6, 3);
    touch(t, 6, 1);
    protect(t, 3, 3, RW);
    expect(ranges(t)).to.equal("0-9");
    touch(t, 0, 9);
  });
});

describe("anon_vmas: after fork", () => {
  // The child's mapping is on two anon_vmas, its own and the parent's.
  //
  //   parent  |www|        child  |www|           |www|www|
  //            AAA                 AB  ^^^   ->    AB  ---
  TEST_F(window, "a mapping that was inherited takes no new one in", (t) => {
    map(t, 0, 3);
    touch(t, 0, 3);
    t.inChild(() => {
      map(t, 3, 3);
      expect(ranges(t)).to.equal("0-3 3-6");
    });
    map(t, 3, 3);
    expect(ranges(t), "the parent's does").to.equal("0-6");
  });

  //   child  |wwwwww|       |www|rrr|       |wwwwww|
  //           AB AB    ->    AB  AB    ->    AB AB
  TEST_F(window, "its own parts go together again", (t) => {
    map(t, 0, 6);
    touch(t, 0, 6);
    t.inChild(() => {
      protect(t, 3, 3, PROT_READ);
      expect(ranges(t)).to.equal("0-3 3-6");
      protect(t, 3, 3, RW);
      expect(ranges(t)).to.equal("0-6");
    });
  });

  // nothing written before the fork: the child's mapping is on no anon_vma, and later on one of its own
  //
  //   child  |www|           |wwwwww|
  //           AAA ^^^   ->    AAAAAA
  TEST_F(window, "a mapping inherited untouched is as good as new", (t) => {
    map(t, 0, 3);
    t.inChild(() => {
      touch(t, 0, 1);
      map(t, 3, 3);
      expect(ranges(t)).to.equal("0-6");
    });
  });
});
