// SPDX-License-Identifier: GPL-2.0-only
/** munmap(), fork() and clone(): what they refuse, in the kernel's order. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import { OVERCOMMIT_NEVER } from "../../uapi/mman-common.js";
import { errnoTable, type ErrnoRow, fine } from "./lib/errnos.js";
import { at, bytes, map, ranges, type T, touch } from "./lib/memory.js";
import { failAllocations } from "./lib/tasks.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});

const unmapped: readonly ErrnoRow[] = [
  ["misaligned, before no length", (t) => t.sys.munmap(at(0) + 1, 0), EINVAL],
  ["no length", (t) => t.sys.munmap(at(0), 0), EINVAL],
  ["a length that wraps to nothing", (t) => t.sys.munmap(at(0), -1), EINVAL],
  ["behind the last address", (t) => t.sys.munmap(2 ** 47 - 4096, 4096), EINVAL],
  ["up to the last address", (t) => t.sys.munmap(2 ** 47 - 8192, 4096), 0],
  ["a range that ends behind it", (t) => t.sys.munmap(2 ** 47 - 8192, 4097), EINVAL],
  ["the kernel's half", (t) => t.sys.munmap(-8192, 4096), EINVAL],
  ["nothing mapped", (t) => t.sys.munmap(at(100), 4096), 0],
  ["a byte: its page", (t) => t.sys.munmap(at(0), 1), 0],
  ["too many mappings", (t) => (full(t), t.sys.munmap(at(2), bytes(2))), ENOMEM],
  ["the end of one, with as many as there may be", (t) => (full(t), t.sys.munmap(at(6), bytes(2))), 0],
];

/** There are as many mappings as there may be. */
function full(t: T): void {
  t.k.config.max_map_count = t.k.current.mm!.map_count;
}

const CLONE = { VM: 0x100, FS: 0x200, SIGHAND: 0x800, PIDFD: 0x1000, THREAD: 0x10000, NEWNS: 0x20000 } as const;
const MORE = { DETACHED: 0x400000, NEWUSER: 0x10000000, NEWPID: 0x20000000 } as const;

/** Nothing more can be promised than is already. */
function noPromise(t: T): void {
  t.k.config.overcommit_memory = OVERCOMMIT_NEVER;
  t.k.config.overcommit_kbytes = 1;
}

function noMemory(t: T, call: () => number): number {
  failAllocations(t.k, { probability: 100 });
  const ret = call();
  failAllocations(t.k, { probability: 0 });
  return ret;
}

const forked: readonly ErrnoRow[] = [
  ["what cannot be promised twice", (t) => (noPromise(t), t.sys.fork()), ENOMEM],
  ["no memory for page tables", (t) => (touch(t, 0, 1), noMemory(t, () => t.sys.fork())), ENOMEM],
];

const cloned: readonly ErrnoRow[] = [
  ["a namespace of mounts, and the file system shared", (t) => t.sys.clone(CLONE.NEWNS | CLONE.FS), EINVAL],
  ["a namespace of users, and the file system shared", (t) => t.sys.clone(MORE.NEWUSER | CLONE.FS), EINVAL],
  ["a thread with signals of its own", (t) => t.sys.clone(CLONE.THREAD | CLONE.VM), EINVAL],
  ["signals shared, and memory of its own", (t) => t.sys.clone(CLONE.SIGHAND), EINVAL],
  [
    "a thread in a namespace of its own",
    (t) => t.sys.clone(MORE.NEWPID | CLONE.THREAD | CLONE.SIGHAND | CLONE.VM),
    EINVAL,
  ],
  ["a pidfd of a thread", (t) => t.sys.clone(CLONE.PIDFD | CLONE.THREAD | CLONE.SIGHAND | CLONE.VM), EINVAL],
  ["a pidfd of what is detached", (t) => t.sys.clone(CLONE.PIDFD | MORE.DETACHED), EINVAL],
  ["a bad combination, before what cannot be promised", (t) => (noPromise(t), t.sys.clone(CLONE.SIGHAND)), EINVAL],
  ["what cannot be promised twice", (t) => (noPromise(t), t.sys.clone(0)), ENOMEM],
  [
    "a thread, which promises nothing",
    (t) => (noPromise(t), fine(t.sys.clone(CLONE.THREAD | CLONE.SIGHAND | CLONE.VM))),
    0,
  ],
];

describe("munmap: refused", () => {
  errnoTable("munmap", eight, unmapped);

  TEST_F(eight, "what is refused stays mapped", (t) => {
    full(t);
    expect(t.sys.munmap(at(2), bytes(2))).to.equal(-ENOMEM);
    expect(ranges(t)).to.equal("0-8");
  });
});
describe("fork and clone: refused", () => {
  errnoTable("fork", eight, forked);
  errnoTable("clone", eight, cloned);
});
