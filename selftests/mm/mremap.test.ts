// SPDX-License-Identifier: GPL-2.0-only
/** mremap(): what it refuses and in which order, and what becomes of both ends. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_DONTEXPAND } from "../../include/linux/mm.js";
import { CAP_SYS_RAWIO, RLIMIT_AS } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import {
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  OVERCOMMIT_NEVER,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { drop, limitLocked, errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { at, bytes, map, mapMemfd, peek, ranges, SHARED_ANON, type T, touch, vmFlags } from "./lib/memory.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});
const empty = FIXTURE("window");

const MOVE = MREMAP_MAYMOVE;
const TO = MREMAP_MAYMOVE | MREMAP_FIXED;
const KEEP = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
type Len = number | bigint;

/** mremap of `from` bytes at a page to `to` bytes; `target` is an address. */
function mremap(t: T, page: number, from: Len, to: Len, flags: Len, target = 0): number {
  return t.sys.mremap(at(page), from, to, flags, target);
}

/** The same in pages, which must succeed; answers the page that it went to. */
function moved(t: T, page: number, from: number, to: number, flags: number, target = 0): number {
  return (mremap(t, page, bytes(from), bytes(to), flags, at(target)) - at(0)) / bytes(1);
}

function limitMaps(t: T, more: number): void {
  t.k.config.max_map_count = t.k.current.mm!.map_count + more;
}

/** Four pages of a device that may not grow. */
function fixedSize(t: T): void {
  t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/ring", FMODE_READ | FMODE_WRITE, VM_DONTEXPAND));
  map(t, 16, 4, { flags: MAP_SHARED, fd: 9 });
}

function limitSpace(t: T, more: number): void {
  t.sys.setrlimit(RLIMIT_AS, bytes(t.k.current.mm!.total_vm + more));
}

const rows: readonly ErrnoRow[] = [
  ["an unknown flag, before nothing mapped", (t) => mremap(t, 100, 4096, 4096, 8), EINVAL],
  ["an unknown flag above the lower 32 bits", (t) => mremap(t, 0, 4096, 4096, 1n << 32n), EINVAL],
  ["MREMAP_FIXED alone", (t) => mremap(t, 100, 4096, 4096, MREMAP_FIXED), EINVAL],
  ["MREMAP_DONTUNMAP alone", (t) => mremap(t, 100, 4096, 4096, MREMAP_DONTUNMAP), EINVAL],
  ["MREMAP_DONTUNMAP and another length in the same page", (t) => mremap(t, 100, 4096, 4095, KEEP), EINVAL],
  ["a misaligned address, before nothing mapped", (t) => t.sys.mremap(at(100) + 1, 4096, 4096, MOVE), EINVAL],
  ["no new length, before nothing mapped", (t) => mremap(t, 100, 4096, 0, MOVE), EINVAL],
  ["a new length that rounds up to 2^64", (t) => mremap(t, 100, 4096, -1, MOVE), EINVAL],
  ["nothing mapped, before a misaligned target", (t) => mremap(t, 100, 4096, 4096, TO, 1), EFAULT],
  ["nothing mapped, before shrinking to the same length", (t) => mremap(t, 100, -4096, -4096, 0), EFAULT],
  ["a misaligned target, before one that overlaps", (t) => mremap(t, 0, 4096, 4096, TO, at(0) + 1), EINVAL],
  ["a target beyond the last address", (t) => mremap(t, 0, 4096, 8192, TO, 2 ** 47 - 8192), EINVAL],
  ["a length beyond the last address", (t) => mremap(t, 0, 4096, 2 ** 48, TO, at(20)), EINVAL],
  [
    "a target that overlaps, before too many mappings",
    (t) => {
      limitMaps(t, 0);
      return mremap(t, 0, 8192, 8192, TO, at(1));
    },
    EINVAL,
  ],
  [
    "too many mappings, before a private mapping that is to be doubled",
    (t) => {
      limitMaps(t, 5);
      return mremap(t, 0, 0, 4096, TO, at(20));
    },
    ENOMEM,
  ],
  ["to double a private mapping, at a given place", (t) => mremap(t, 0, 0, 4096, TO, at(20)), EINVAL],
  ["to double a private mapping, anywhere", (t) => mremap(t, 0, 0, 4096, MOVE), EINVAL],
  [
    "MREMAP_DONTUNMAP of what may not grow",
    (t) => {
      fixedSize(t);
      return mremap(t, 16, 4096, 4096, KEEP);
    },
    EINVAL,
  ],
  ["more than the mapping has, at a given place", (t) => mremap(t, 0, bytes(9), bytes(9), TO, at(20)), EFAULT],
  [
    "more than the mapping has, before what may not grow and over the limit",
    (t) => {
      fixedSize(t);
      limitSpace(t, 0);
      return mremap(t, 16, bytes(5), bytes(6), MOVE);
    },
    EFAULT,
  ],
  [
    "to grow what may not grow, before over the limit",
    (t) => {
      fixedSize(t);
      limitSpace(t, 0);
      return mremap(t, 16, bytes(4), bytes(5), MOVE);
    },
    EFAULT,
  ],
  [
    "to grow locked memory over RLIMIT_MEMLOCK, before RLIMIT_AS",
    (t) => {
      t.sys.mlock(at(0), bytes(8));
      limitLocked(t, 8);
      limitSpace(t, 0);
      return mremap(t, 0, bytes(8), bytes(9), 0);
    },
    EAGAIN,
  ],
  [
    "to grow over RLIMIT_AS",
    (t) => {
      limitSpace(t, 0);
      return mremap(t, 0, bytes(8), bytes(9), MOVE);
    },
    ENOMEM,
  ],
  [
    "MREMAP_DONTUNMAP over RLIMIT_AS",
    (t) => {
      limitSpace(t, 7);
      return mremap(t, 0, bytes(8), bytes(8), KEEP);
    },
    ENOMEM,
  ],
  [
    "a target below vm.mmap_min_addr without CAP_SYS_RAWIO",
    (t) => {
      drop(t, CAP_SYS_RAWIO);
      return mremap(t, 0, 4096, 4096, TO, 4096);
    },
    EPERM,
  ],
  [
    "no room to grow, and it may not move",
    (t) => {
      map(t, 8, 1, { prot: PROT_READ });
      return mremap(t, 0, bytes(8), bytes(9), 0);
    },
    ENOMEM,
  ],
  ["to grow a part that is not the end, in place", (t) => mremap(t, 0, bytes(4), bytes(5), 0), ENOMEM],
  ["to grow beyond all addresses", (t) => mremap(t, 0, bytes(8), 2 ** 48, MOVE), ENOMEM],
  ["to grow to a length with the highest bit set", (t) => mremap(t, 0, bytes(8), -(2 ** 62), MOVE), ENOMEM],
  [
    "to grow, when memory may not be overcommitted",
    (t) => {
      t.k.config.overcommit_memory = OVERCOMMIT_NEVER;
      return mremap(t, 0, bytes(8), 2 ** 30, MOVE);
    },
    ENOMEM,
  ],
  [
    "to move a part, four mappings below the limit",
    (t) => {
      limitMaps(t, 3);
      return mremap(t, 0, bytes(4), bytes(9), MOVE);
    },
    ENOMEM,
  ],
  ["to shrink more than there are addresses", (t) => mremap(t, 0, -4096, 4096, 0), EINVAL],
  ["lengths beyond all addresses that are the same", (t) => mremap(t, 0, -4096, -4096, 0) - at(0), 0],
  ["the same length, whatever is mapped", (t) => mremap(t, 0, bytes(20), bytes(20), 0) - at(0), 0],
];

describe("mremap: refused", () => errnoTable("mremap", eight, rows));

describe("mremap: in place", () => {
  TEST_F(eight, "shrinks over a hole and another mapping", (t) => {
    map(t, 9, 2);
    expect(moved(t, 0, 11, 4, 0)).to.equal(0);
    expect(ranges(t)).to.equal("0-4");
  });

  TEST_F(eight, "grows, and merges with what it meets", (t) => {
    map(t, 12, 4);
    expect(moved(t, 4, 4, 8, 0)).to.equal(4);
    expect(ranges(t)).to.equal("0-16");
  });

  TEST_F(eight, "a locked mapping grows filled", (t) => {
    t.sys.mlock(at(0), bytes(8));
    expect(moved(t, 0, 8, 12, 0)).to.equal(0);
    expect(t.k.current.mm!.locked_vm).to.equal(12);
    expect(t.smaps().find((row) => row.start === at(0))!.pages).to.equal("a".repeat(12));
  });
});

describe("mremap: elsewhere", () => {
  TEST_F(eight, "MREMAP_FIXED takes the target away even where it then fails", (t) => {
    map(t, 20, 8, { prot: PROT_READ });
    expect(mremap(t, 0, bytes(9), bytes(9), TO, at(20))).to.equal(-EFAULT);
    expect(ranges(t)).to.equal("0-8");
  });

  TEST_F(eight, "MREMAP_FIXED to less: the rest goes too", (t) => {
    touch(t, 2, 1, 7);
    expect(moved(t, 1, 4, 2, TO, 20)).to.equal(20);
    expect(ranges(t)).to.equal("0-1 5-8 20-22");
    expect(peek(t, 21)).to.equal(7);
  });

  TEST_F(eight, "MREMAP_FIXED to more: contents, promises and offset come along", (t) => {
    for (let page = 0; page < 8; page++) touch(t, page, 1, page + 1);
    expect(moved(t, 2, 4, 6, TO, 20)).to.equal(20);
    expect(ranges(t)).to.equal("0-2 6-8 20-26");
    expect([20, 23, 24, 1, 6].map((page) => peek(t, page))).to.deep.equal([3, 6, 0, 2, 7]);
    for (const page of [0, 6, 20]) expect(vmFlags(t, page)).to.include("ac");
  });

  TEST_F(eight, "moved away and back, it is one mapping again", (t) => {
    touch(t, 0, 8);
    moved(t, 3, 2, 2, TO, 20);
    expect(ranges(t)).to.equal("0-3 5-8 20-22");
    moved(t, 20, 2, 2, TO, 3);
    expect(ranges(t)).to.equal("0-8");
  });

  TEST_F(eight, "what was never written to takes the offset of its new place", (t) => {
    moved(t, 3, 2, 2, TO, 20);
    map(t, 22, 2);
    expect(ranges(t)).to.equal("0-3 5-8 20-24");
  });

  TEST_F(empty, "a memfd's pages are found at the new place", (t) => {
    mapMemfd(t, 0, 8);
    touch(t, 5, 1, 42);
    expect(moved(t, 4, 4, 4, TO, 20)).to.equal(20);
    expect(t.smaps().find((row) => row.start === at(20))!.pgoff).to.equal(4);
    expect(peek(t, 21)).to.equal(42);
  });

  TEST_F(empty, "no old length doubles a shared mapping", (t) => {
    map(t, 0, 4, { flags: SHARED_ANON });
    touch(t, 1, 1, 42);
    expect(moved(t, 1, 0, 2, TO, 20)).to.equal(20);
    expect(ranges(t)).to.equal("0-4 20-22");
    expect(peek(t, 20)).to.equal(42);
    touch(t, 20, 1, 43);
    expect(peek(t, 1)).to.equal(43);
  });

  TEST_F(eight, "MREMAP_DONTUNMAP leaves an empty mapping behind", (t) => {
    touch(t, 0, 8, 42);
    expect(moved(t, 2, 4, 4, KEEP | MREMAP_FIXED, 20)).to.equal(20);
    expect(ranges(t)).to.equal("0-8 20-24");
    expect([1, 2, 5, 6, 20, 23].map((page) => peek(t, page))).to.deep.equal([42, 0, 0, 42, 42, 42]);
  });

  TEST_F(eight, "MREMAP_DONTUNMAP of locked memory: the lock moves", (t) => {
    t.sys.mlock(at(0), bytes(8));
    moved(t, 2, 4, 4, KEEP | MREMAP_FIXED, 20);
    expect(ranges(t)).to.equal("0-2 2-6 6-8 20-24");
    expect([0, 2, 6, 20].map((page) => vmFlags(t, page)!.includes("lo"))).to.deep.equal([true, false, true, true]);
  });
});
