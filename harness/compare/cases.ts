// SPDX-License-Identifier: GPL-2.0-only
/** Random cases: memory calls that get into each other's way in a few pages of the window. */
import fc from "fast-check";
import * as mman from "../../uapi/mman-common.js";
import type { TraceCase, TraceStep } from "../replay/trace-format.js";

type Steps = fc.Arbitrary<TraceStep>;

/** Pages in which most calls fall. */
const USED = 24;
/** Pages that are farther away than the guard gap of a growing stack is wide. */
const FAR = 280;
const MAX_STEPS = 24;

function weighted<T>(...choices: readonly (readonly [number, fc.Arbitrary<T>])[]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}

function oftenFirst<T>(first: T, ...rest: T[]): fc.Arbitrary<T> {
  return weighted([rest.length, fc.constant(first)], [rest.length, fc.constantFrom(...rest)]);
}

/** Some of these bits, mostly none. */
function someBits(...bits: number[]): fc.Arbitrary<number> {
  const few = fc.subarray(bits, { maxLength: 2 }).map((chosen) => chosen.reduce((sum, bit) => sum | bit, 0));
  return weighted([2, fc.constant(0)], [1, few]);
}

const page = weighted([40, fc.integer({ min: 0, max: USED - 1 })], [1, fc.integer({ min: FAR, max: FAR + 4 })]);
const pages = weighted(
  [12, fc.integer({ min: 1, max: 4 })],
  [6, fc.integer({ min: 1, max: 8 })],
  [4, fc.integer({ min: 1, max: USED })],
  [1, fc.constant(0)],
);
const slot = fc.nat(1);
const byte = fc.integer({ min: 1, max: 255 });

const { PROT_READ: R, PROT_WRITE: W, PROT_EXEC: X } = mman;
const prot = oftenFirst(R | W, R, 0, R | X, R | W | X, W, X, R | W | mman.PROT_SEM, 0x10);

const placing = oftenFirst(mman.MAP_FIXED, mman.MAP_FIXED_NOREPLACE, mman.MAP_FIXED_NOREPLACE, 0, 0);
const extra = someBits(
  mman.MAP_GROWSDOWN,
  mman.MAP_LOCKED,
  mman.MAP_NORESERVE,
  mman.MAP_STACK,
  mman.MAP_POPULATE,
  mman.MAP_NONBLOCK,
  mman.MAP_DENYWRITE,
  mman.MAP_EXECUTABLE,
  mman.MAP_HUGETLB,
  mman.MAP_SYNC,
);
const sharing = weighted(
  [10, fc.constant(mman.MAP_PRIVATE)],
  [6, fc.constant(mman.MAP_SHARED)],
  [1, fc.constantFrom(mman.MAP_SHARED_VALIDATE, 0)],
);

const anonymous = fc
  .tuple(page, pages, prot, sharing, placing, extra)
  .map(([at, n, p, share, place, more]) => [at, n, p, share | place | more | mman.MAP_ANONYMOUS, -1, 0]);
const ofFile = fc
  .tuple(page, pages, prot, sharing, placing, extra, slot, fc.nat(8))
  .map(([at, n, p, share, place, more, fd, offset]) => [at, n, p, share | place | more, fd, offset]);

/** Advice that marks VMAs, advice that works on pages, and any other number but the two that are never made. */
const behavior = weighted(
  [12, fc.constantFrom(0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)],
  [6, fc.constantFrom(3, 4, 8, 9, 20, 21, 22, 23, 24, 25)],
  [1, fc.integer({ min: -2, max: 130 }).filter((b) => b !== mman.MADV_HWPOISON && b !== mman.MADV_SOFT_OFFLINE)],
);

const bytes = fc
  .tuple(
    page,
    oftenFirst(0, 1, 8, 4095),
    fc.oneof(fc.constantFrom(0, 1, 4095, 4097, 8192), fc.constantFrom(-1, -4096, -8192, -0x200000000000)),
    behavior,
  )
  .map(([at, off, length, b]) => [at * 4096 + off, length, b]);

const mremapFlags = oftenFirst(mman.MREMAP_MAYMOVE, 0, 0, 3, 3, 3, 5, 7, 2, 4, 8);
const name = fc.constantFrom("a", "b", "");

const syscall = (call: string, ...args: fc.Arbitrary<number | string>[]): Steps =>
  fc.tuple(...args).map((values) => ({ call, args: values }));
const calling = (call: string, args: fc.Arbitrary<number[]>): Steps => args.map((values) => ({ call, args: values }));

const simple: Steps = weighted(
  [14, calling("mmap", weighted([3, anonymous], [1, ofFile]))],
  [5, syscall("munmap", page, pages)],
  [12, syscall("mprotect", page, pages, weighted([12, prot], [1, fc.constant(R | W | mman.PROT_GROWSDOWN)]))],
  [22, syscall("madvise", page, pages, behavior)],
  [2, calling("madvise_bytes", bytes)],
  [12, syscall("mremap", page, pages, pages, mremapFlags, page)],
  [4, syscall("mlock", page, pages)],
  [3, syscall("mlock2", page, pages, oftenFirst(1, 0, 2))],
  [4, syscall("munlock", page, pages)],
  [1, syscall("msync", page, pages, oftenFirst(4, 1, 2, 3, 5, 6, 8, 0))],
  [2, syscall("mincore", page, pages)],
  [2, syscall("name", page, pages, name)],
  [6, syscall("r", page)],
  [10, syscall("w", page, byte)],
  [1, syscall("ftruncate", slot, fc.nat(USED))],
  [1, syscall("pwrite", slot, fc.nat(USED), byte)],
  [1, syscall("pread", slot, fc.nat(USED))],
  [2, syscall("falloc", slot, oftenFirst(3, 0, 1, 2), fc.nat(USED), pages)],
);

const steps = (of: Steps, maxLength: number): fc.Arbitrary<TraceStep[]> => fc.array(of, { maxLength, size: "max" });

const fork: Steps = steps(simple, 6).map((child) => ({ call: "fork", args: [], child }));

const memfds = fc
  .array(fc.integer({ min: 1, max: USED }), { maxLength: 2 })
  .map((sizes) => sizes.map((size, i): TraceStep => ({ call: "memfd", args: [i, size] })));

/** What a case is made of, but for its name. */
export type MadeCase = Pick<TraceCase, "memlock" | "steps">;

/** Random cases; what shrinks is the number of calls, then their arguments. */
export function arbitraryCase(): fc.Arbitrary<MadeCase> {
  const memlock = oftenFirst(-1, 16, 4, 0);
  const body = steps(weighted([40, simple], [1, fork]), MAX_STEPS);
  return fc
    .tuple(memlock, memfds, body)
    .map(([limit, files, rest]) => ({ memlock: limit, steps: [...files, ...rest] }));
}
