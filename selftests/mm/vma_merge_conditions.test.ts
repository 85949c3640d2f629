// SPDX-License-Identifier: GPL-2.0-only
/**
 * What two mappings must have in common to merge, beside their protection: file and offset, policy, name, no close()
 * of their driver, nothing special (mm/mmap.c:is_mergeable_vma).
 *
 * Pictures as in vma_merge.test.ts; the letters are what a mapping maps or has.
 */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_DONTEXPAND, VM_IO, VM_MIXEDMAP, VM_NONE, VM_PFNMAP } from "../../include/linux/mm.js";
import type { vm_flags_t } from "../../include/linux/vm_flags.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MPOL_BIND, MPOL_DEFAULT, MPOL_F_STATIC_NODES, MPOL_INTERLEAVE, MPOL_PREFERRED } from "../../uapi/mempolicy.js";
import {
  MADV_NORMAL,
  MADV_RANDOM,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MCL_FUTURE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { advise, ANON, at, bytes, map, memfd, ranges, SHARED_ANON, type T, touch } from "./lib/memory.js";

const window = FIXTURE("window");

/** A device whose mappings have such flags; with `close`, its driver wants to hear when one goes. Its descriptor. */
function device(t: T, flags: vm_flags_t, close?: () => void): number {
  const ops = close === undefined ? undefined : { name: "device_with_close", close };
  t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/thing", FMODE_READ | FMODE_WRITE, flags, ops));
  return 9;
}

function bind(t: T, page: number, pages: number, mode: number, nodes = 1): void {
  const none = mode === MPOL_DEFAULT;
  expect(t.sys.mbind(at(page), bytes(pages), mode, none ? null : nodes, none ? 0 : 64, 0), "mbind").to.equal(0);
}

describe("vma_merge: files", () => {
  //   |f0 f1 f2|f3 f4|       |f0 f1 f2 f3 f4|
  TEST_F(window, "the same file, at offsets that follow each other", (t) => {
    const fd = memfd(t, 8);
    map(t, 0, 3, { flags: MAP_SHARED, fd });
    map(t, 3, 2, { flags: MAP_SHARED, fd: t.sys.dup(fd), pgoff: 3 });
    expect(ranges(t)).to.equal("0-5");
  });

  //   |f0 f1 f2|f4 f5|
  TEST_F(window, "not at offsets that do not", (t) => {
    const fd = memfd(t, 8);
    map(t, 0, 3, { flags: MAP_SHARED, fd });
    map(t, 3, 2, { flags: MAP_SHARED, fd, pgoff: 4 });
    expect(ranges(t)).to.equal("0-3 3-5");
  });

  //   |f0 f1 f2|g3 g4|
  TEST_F(window, "not two files, nor one file that was opened twice", (t) => {
    map(t, 0, 3, { flags: MAP_SHARED, fd: memfd(t, 8) });
    map(t, 3, 2, { flags: MAP_SHARED, fd: memfd(t, 8), pgoff: 3 });
    expect(ranges(t)).to.equal("0-3 3-5");
  });

  //   |f0 f1 f2|F3 F4|    (F: private)
  TEST_F(window, "not a shared mapping and a private one", (t) => {
    const fd = memfd(t, 8);
    map(t, 0, 3, { flags: MAP_SHARED, fd });
    map(t, 3, 2, { flags: MAP_PRIVATE, fd, pgoff: 3 });
    expect(ranges(t)).to.equal("0-3 3-5");
  });

  TEST_F(window, "not two shared anonymous mappings: each is a file", (t) => {
    map(t, 0, 3, { flags: SHARED_ANON });
    map(t, 3, 2, { flags: SHARED_ANON });
    expect(ranges(t)).to.equal("0-3 3-5");
  });
});

describe("vma_merge: flags that a new mapping is given", () => {
  //   |aaa|nnn|    (a: accounted, n: MAP_NORESERVE)
  TEST_F(window, "MAP_NORESERVE and not", (t) => {
    map(t, 0, 3);
    map(t, 3, 3, { flags: ANON | MAP_NORESERVE });
    expect(ranges(t)).to.equal("0-3 3-6");
  });

  //   |aaa|lll|      |aaa|llllll|    (l: locked)
  //           ^^^  ->
  TEST_F(window, "locked and not", (t) => {
    map(t, 0, 3);
    map(t, 3, 3, { flags: ANON | MAP_LOCKED });
    expect(ranges(t)).to.equal("0-3 3-6");
    t.sys.mlockall(MCL_FUTURE);
    map(t, 6, 3);
    expect(ranges(t)).to.equal("0-3 3-9");
  });
});

describe("vma_merge: drivers", () => {
  //   |dd|dd|          |d|d|dd|          the same
  //                     ^ RANDOM  ->      ^ NORMAL
  for (const [title, flags] of [
    ["VM_IO", VM_IO],
    ["VM_PFNMAP", VM_PFNMAP],
    ["VM_MIXEDMAP", VM_MIXEDMAP],
    ["VM_DONTEXPAND", VM_DONTEXPAND],
  ] as const) {
    TEST_F(window, `${title}: never, not even parts of one`, (t) => {
      const fd = device(t, flags);
      map(t, 0, 2, { flags: MAP_SHARED, fd });
      map(t, 2, 2, { flags: MAP_SHARED, fd, pgoff: 2 });
      expect(ranges(t)).to.equal("0-2 2-4");
      advise(t, 0, 1, MADV_RANDOM);
      advise(t, 0, 1, MADV_NORMAL);
      expect(ranges(t)).to.equal("0-1 1-2 2-4");
    });
  }

  //   |dddd|       |dd|dd|
  //      ^^   ->
  TEST_F(window, "a driver with close(): split, and never merged again", (t) => {
    const fd = device(t, VM_NONE, () => undefined);
    map(t, 0, 2, { flags: MAP_SHARED, fd });
    map(t, 2, 2, { flags: MAP_SHARED, fd, pgoff: 2 });
    expect(ranges(t)).to.equal("0-2 2-4");
    t.sys.mprotect(at(1), bytes(1), PROT_READ);
    t.sys.mprotect(at(1), bytes(1), PROT_READ | 2);
    expect(ranges(t)).to.equal("0-1 1-2 2-4");
  });

  //   |dddd|        |dddddd|
  //        ^^  ->
  TEST_F(window, "a driver with close(): mremap grows it, without a merge", (t) => {
    let closed = 0;
    const fd = device(t, VM_NONE, () => {
      closed++;
    });
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    map(t, 6, 2, { flags: MAP_SHARED, fd, pgoff: 6 });
    expect(t.sys.mremap(at(0), bytes(4), bytes(6), 0)).to.equal(at(0));
    expect(ranges(t)).to.equal("0-6 6-8");
    expect(closed).to.equal(0);
  });

  //   |dd|dd|       |dddd|
  TEST_F(window, "a driver without: as any file", (t) => {
    const fd = device(t, VM_NONE);
    map(t, 0, 2, { flags: MAP_SHARED, fd });
    map(t, 2, 2, { flags: MAP_SHARED, fd, pgoff: 2 });
    expect(ranges(t)).to.equal("0-4");
  });
});

describe("vma_merge: memory policies", () => {
  //   |www|bbb|www|       |wwwwwwwww|
  //        ^^^       ->
  TEST_F(window, "mbind splits, and merges when the policy goes", (t) => {
    map(t, 0, 9);
    touch(t, 0, 9);
    bind(t, 3, 3, MPOL_BIND);
    expect(ranges(t)).to.equal("0-3 3-6 6-9");
    bind(t, 3, 3, MPOL_DEFAULT);
    expect(ranges(t)).to.equal("0-9");
  });

  //   |bbb|bbb|www|       |bbbbbb|www|    the second b was made by another call
  TEST_F(window, "policies that say the same are the same", (t) => {
    map(t, 0, 9);
    bind(t, 0, 3, MPOL_BIND);
    bind(t, 3, 3, MPOL_BIND);
    expect(ranges(t)).to.equal("0-6 6-9");
  });

  //   |bbb|iii|ppp|
  TEST_F(window, "policies of different modes are not", (t) => {
    map(t, 0, 9);
    bind(t, 0, 3, MPOL_BIND);
    bind(t, 3, 3, MPOL_INTERLEAVE);
    bind(t, 6, 3, MPOL_PREFERRED);
    expect(ranges(t)).to.equal("0-3 3-6 6-9");
  });

  //   |111|333|    what the user asked for is kept with MPOL_F_STATIC_NODES, else only what it comes to
  TEST_F(window, "nodes that do not exist count where they are kept", (t) => {
    map(t, 0, 12);
    bind(t, 0, 3, MPOL_BIND, 1);
    bind(t, 3, 3, MPOL_BIND, 3);
    expect(ranges(t)).to.equal("0-6 6-12");
    bind(t, 6, 3, MPOL_BIND | MPOL_F_STATIC_NODES, 1);
    bind(t, 9, 3, MPOL_BIND | MPOL_F_STATIC_NODES, 3);
    expect(ranges(t)).to.equal("0-6 6-9 9-12");
  });

  //   |bbb|        |bbb|www|
  //       ^^^  ->
  TEST_F(window, "a new mapping has none", (t) => {
    map(t, 0, 3);
    bind(t, 0, 3, MPOL_BIND);
    map(t, 3, 3);
    expect(ranges(t)).to.equal("0-3 3-6");
  });

  TEST_F(window, "mprotect and fork keep it, mremap takes it along", (t) => {
    map(t, 0, 6);
    bind(t, 0, 3, MPOL_BIND);
    t.sys.mprotect(at(0), bytes(6), PROT_READ);
    expect(ranges(t)).to.equal("0-3 3-6");
    t.inChild(() => {
      bind(t, 3, 3, MPOL_BIND);
      expect(ranges(t)).to.equal("0-6");
    });
    t.sys.mremap(at(0), bytes(3), bytes(3), 3, at(20));
    t.sys.mremap(at(3), bytes(3), bytes(3), 3, at(23));
    expect(ranges(t)).to.equal("20-23 23-26");
  });

  // neighbours whose policies differ do not share an anon_vma either
  //
  //   |bbb|www|       |www|www|
  //    AAA BBB   ->    AAA BBB
  TEST_F(window, "written to while they differ, they stay apart", (t) => {
    map(t, 0, 6);
    bind(t, 0, 3, MPOL_BIND);
    touch(t, 0, 1);
    touch(t, 3, 1);
    bind(t, 0, 3, MPOL_DEFAULT);
    expect(ranges(t)).to.equal("0-3 3-6");
  });
});
