// SPDX-License-Identifier: GPL-2.0-only
/** mprotect(): what it refuses and in which order, stacks, and what it promises. */
import { FMODE_READ } from "../../include/linux/fs.js";
import { RLIMIT_DATA } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EACCES, EINVAL, ENOMEM, ENOSPC } from "../../uapi/errno.js";
import {
  MAP_GROWSDOWN,
  MAP_NORESERVE,
  MAP_SHARED,
  OVERCOMMIT_NEVER,
  PROT_EXEC,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_NONE,
  PROT_READ,
  PROT_SEM,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import { errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { ANON, at, bytes, map, ranges, RW, SHARED_ANON, type T, touch, vmFlags } from "./lib/memory.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});
const empty = FIXTURE("window");
const keys = FIXTURE("protection_keys", { boot: { arch: "x86_64-pku" } });

/** A protection that there is not. */
const BAD = 0x10;
const BOTH = PROT_GROWSDOWN | PROT_GROWSUP;

function protect(t: T, page: number, len: number | bigint, prot: number | bigint): number {
  return t.sys.mprotect(at(page), len, prot);
}

/** Four pages of a file that is open for reading only, mapped shared. */
function readOnly(t: T, page: number): void {
  t.k.current.files.set(9, t.kernel.open_regular(t.k, "/etc/passwd", bytes(8), FMODE_READ));
  map(t, page, 4, { prot: PROT_READ, flags: MAP_SHARED, fd: 9 });
}

/** Pages that are promised to somebody: Committed_AS. */
function promised(t: T): number {
  return t.kernel.meminfo(t.k).Committed_AS / 4;
}

const rows: readonly ErrnoRow[] = [
  ["to grow both ways, before no length", (t) => protect(t, 0, 0, RW | BOTH), EINVAL],
  ["a misaligned start, before no length", (t) => t.sys.mprotect(at(0) + 1, 0, RW), EINVAL],
  ["no length, before an unknown protection and nothing mapped", (t) => protect(t, 100, 0, BAD), 0],
  ["a length that rounds up to 2^64, before an unknown protection", (t) => protect(t, 0, -1, BAD), ENOMEM],
  ["the same in the kernel's half", (t) => t.sys.mprotect(-(2 ** 40), -1, BAD), ENOMEM],
  ["a range that wraps, before an unknown protection", (t) => protect(t, 0, -4096, BAD), ENOMEM],
  ["a range that ends at 2^64, before an unknown protection", (t) => t.sys.mprotect(-4096, 4096, BAD), ENOMEM],
  ["an unknown protection, before nothing mapped", (t) => protect(t, 100, bytes(1), BAD), EINVAL],
  ["an unknown protection above the lower 32 bits", (t) => protect(t, 0, bytes(1), 1n << 40n), EINVAL],
  ["nothing mapped here or above", (t) => t.sys.mprotect(2 ** 47 - 8192, 4096, RW), ENOMEM],
  ["the kernel's half", (t) => t.sys.mprotect(-8192, 4096, RW), ENOMEM],
  ["a hole at the start, before growing up", (t) => protect(t, -1, bytes(2), RW | PROT_GROWSUP), ENOMEM],
  ["growing up", (t) => protect(t, 0, bytes(2), RW | PROT_GROWSUP), EINVAL],
  ["growing down, with only a hole", (t) => protect(t, -4, bytes(4), RW | PROT_GROWSDOWN), ENOMEM],
  ["growing down what is no stack", (t) => protect(t, 0, bytes(4), RW | PROT_GROWSDOWN), EINVAL],
  ["a hole behind", (t) => protect(t, 6, bytes(4), PROT_READ), ENOMEM],
  [
    "to write a shared file that is read-only, before a hole behind it",
    (t) => {
      readOnly(t, 8);
      return protect(t, 8, bytes(8), RW);
    },
    EACCES,
  ],
  [
    "to write it, before over RLIMIT_DATA",
    (t) => {
      readOnly(t, 8);
      t.sys.setrlimit(RLIMIT_DATA, 0);
      return protect(t, 8, bytes(4), RW);
    },
    EACCES,
  ],
  [
    "over RLIMIT_DATA, before promising too much",
    (t) => {
      protect(t, 0, bytes(8), PROT_READ);
      t.sys.setrlimit(RLIMIT_DATA, 4096);
      return protect(t, 0, bytes(8), RW);
    },
    ENOMEM,
  ],
  [
    "too many mappings",
    (t) => {
      t.k.config.max_map_count = t.k.current.mm!.map_count;
      return protect(t, 0, bytes(4), PROT_READ);
    },
    ENOMEM,
  ],
  ["PROT_SEM", (t) => protect(t, 0, bytes(8), RW | PROT_SEM), 0],
];

describe("mprotect: refused", () => {
  errnoTable("mprotect", eight, rows);

  TEST_F(eight, "what comes before a hole is changed", (t) => {
    map(t, 10, 2);
    expect(protect(t, 4, bytes(8), PROT_READ)).to.equal(-ENOMEM);
    expect(ranges(t)).to.equal("0-4 4-8 10-12");
  });

  TEST_F(eight, "what comes before a mapping that refuses is changed", (t) => {
    readOnly(t, 8);
    expect(protect(t, 4, bytes(8), RW | PROT_EXEC)).to.equal(-EACCES);
    expect(ranges(t)).to.equal("0-4 4-8 8-12");
    expect(vmFlags(t, 4)).to.include("ex");
  });

  TEST_F(empty, "promising more than there is, and nothing is promised then", (t) => {
    t.k.config.overcommit_memory = OVERCOMMIT_NEVER;
    map(t, 0, 4096, { prot: PROT_READ });
    const before = promised(t);
    expect(protect(t, 0, bytes(4096), RW)).to.equal(-ENOMEM);
    expect(promised(t)).to.equal(before);
    expect(protect(t, 0, bytes(16), RW)).to.equal(0);
    expect(promised(t)).to.equal(before + 16);
  });
});

const anyKey: readonly ErrnoRow[] = [
  ["a key that nobody allocated, before nothing mapped", (t) => t.sys.pkey_mprotect(at(0), 4096, RW, 3), EINVAL],
  ["an unknown protection, before a key", (t) => t.sys.pkey_mprotect(at(0), 4096, BAD, 3), EINVAL],
  ["no length, before a key", (t) => t.sys.pkey_mprotect(at(0), 0, RW, 3), 0],
  ["key -1 and nothing mapped", (t) => t.sys.pkey_mprotect(at(0), 4096, RW, -1), ENOMEM],
  ["key -2, before nothing mapped", (t) => t.sys.pkey_mprotect(at(0), 4096, RW, -2), EINVAL],
  ["a key beyond the last", (t) => t.sys.pkey_mprotect(at(0), 4096, RW, 16), EINVAL],
];

const newKey: readonly ErrnoRow[] = [
  ["flags, before rights that there are not", (t) => t.sys.pkey_alloc(1n << 40n, 4), EINVAL],
  ["rights that there are not", (t) => t.sys.pkey_alloc(0, 4), EINVAL],
  ["rights that there are not, before no key left", (t) => (allKeys(t), t.sys.pkey_alloc(0, 4)), EINVAL],
  ["the sixteenth key", (t) => (allKeys(t), t.sys.pkey_alloc(0, 0)), ENOSPC],
  ["it may be closed to all access", (t) => t.sys.pkey_alloc(0, 3) - 1, 0],
];

const oldKey: readonly ErrnoRow[] = [
  ["a key that nobody allocated", (t) => t.sys.pkey_free(3), EINVAL],
  ["no key", (t) => t.sys.pkey_free(-1), EINVAL],
  ["a key beyond the last", (t) => t.sys.pkey_free(16), EINVAL],
  ["a key that was given back", (t) => t.sys.pkey_free(t.sys.pkey_alloc(0, 0)) || t.sys.pkey_free(1), EINVAL],
  ["key 0, which every program has", (t) => t.sys.pkey_free(0), 0],
];

/** Takes keys 1 to 15. */
function allKeys(t: T): void {
  for (let key = 1; key < 16; key++) expect(t.sys.pkey_alloc(0, 0)).to.equal(key);
}

describe("pkey_mprotect, pkey_alloc and pkey_free: refused", () => {
  errnoTable("pkey_mprotect", keys, anyKey);
  errnoTable("pkey_alloc", keys, newKey);
  errnoTable("pkey_free", keys, oldKey);
});

describe("pkey_mprotect, pkey_alloc and pkey_free: a machine without keys", () => {
  errnoTable("pkey_mprotect", empty, [
    ["key 0, before nothing mapped", (t) => t.sys.pkey_mprotect(at(0), 4096, RW, 0), EINVAL],
    ["no key: as mprotect", (t) => (map(t, 0, 1), t.sys.pkey_mprotect(at(0), 4096, PROT_READ, -1)), 0],
  ]);
  errnoTable("pkey_alloc", empty, [
    ["there is none", (t) => t.sys.pkey_alloc(0, 0), ENOSPC],
    ["rights that there are not", (t) => t.sys.pkey_alloc(0, 4), EINVAL],
  ]);
  errnoTable("pkey_free", empty, [["key 0", (t) => t.sys.pkey_free(0), EINVAL]]);
});

describe("mprotect: stacks", () => {
  //   |ssssssss|       |rrrrrr|ss|
  //        ^^     ->
  TEST_F(empty, "PROT_GROWSDOWN stretches to where the stack starts", (t) => {
    map(t, 0, 8, { flags: ANON | MAP_GROWSDOWN });
    expect(protect(t, 4, bytes(2), PROT_READ | PROT_GROWSDOWN)).to.equal(0);
    expect(ranges(t)).to.equal("0-6 6-8");
    expect(vmFlags(t, 0)).to.not.include("wr");
  });

  TEST_F(empty, "from a hole below it, too", (t) => {
    map(t, 4, 4, { flags: ANON | MAP_GROWSDOWN });
    expect(protect(t, 0, bytes(6), PROT_READ | PROT_GROWSDOWN)).to.equal(0);
    expect(ranges(t)).to.equal("4-6 6-8");
  });
});

describe("mprotect: accounting", () => {
  TEST_F(empty, "private memory is promised when it becomes writable, and remains so", (t) => {
    map(t, 0, 4, { prot: PROT_READ });
    const before = promised(t);
    expect(vmFlags(t, 0)).to.not.include("ac");
    protect(t, 0, bytes(4), RW);
    expect(promised(t)).to.equal(before + 4);
    protect(t, 0, bytes(4), PROT_NONE);
    expect(vmFlags(t, 0)).to.include("ac");
    protect(t, 0, bytes(4), RW);
    expect(promised(t), "promised once").to.equal(before + 4);
  });

  // `a` is accounted, `n` is not; writable memory is a capital letter
  //
  //   |AAA|nnn|       |aaa|nnn|       |AAAAAA|
  //                    ^^^             ^^^^^^
  TEST_F(empty, "what is accounted does not merge with what is not", (t) => {
    map(t, 0, 3);
    map(t, 3, 3, { prot: PROT_READ });
    protect(t, 0, bytes(3), PROT_READ);
    expect(ranges(t)).to.equal("0-3 3-6");
    protect(t, 0, bytes(6), RW);
    expect(ranges(t)).to.equal("0-6");
    protect(t, 0, bytes(6), PROT_READ);
    expect(ranges(t)).to.equal("0-6");
  });

  TEST_F(empty, "shared memory and MAP_NORESERVE are not promised", (t) => {
    map(t, 0, 4, { prot: PROT_READ, flags: SHARED_ANON });
    map(t, 8, 4, { prot: PROT_READ, flags: ANON | MAP_NORESERVE });
    const before = promised(t);
    protect(t, 0, bytes(4), RW);
    protect(t, 8, bytes(4), RW);
    expect(promised(t)).to.equal(before);
  });

  TEST_F(empty, "a locked mapping that becomes writable has its pages copied at once", (t) => {
    map(t, 0, 4, { prot: PROT_READ });
    t.sys.mlock(at(0), bytes(4));
    expect(t.smaps().find((row) => row.start === at(0))!.pages).to.equal("zzzz");
    protect(t, 0, bytes(4), PROT_READ | PROT_WRITE);
    expect(t.smaps().find((row) => row.start === at(0))!.pages).to.equal("aaaa");
    touch(t, 0, 4);
  });
});
