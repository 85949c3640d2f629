// SPDX-License-Identifier: GPL-2.0-only
/** process_madvise() and pidfd_open(): what they refuse and in which order, and how far they get. */
import { CAP_SYS_NICE } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EBADF, EFAULT, EINVAL, EMFILE, ENODEV, ENOMEM, EPERM, ESRCH } from "../../uapi/errno.js";
import {
  MADV_COLD,
  MADV_DONTNEED,
  MADV_PAGEOUT,
  MADV_WILLNEED,
  MAP_NORESERVE,
  MAP_PRIVATE,
} from "../../uapi/mman-common.js";
import { drop, errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { ANON, at, bytes, map, memfd, RW, type T, touch } from "./lib/memory.js";
import { newThread } from "./lib/tasks.js";

type Vec = Parameters<T["sys"]["process_madvise"]>[1];

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});

const GOOD: Vec = [[at(0), bytes(4)]];
const KERNEL: Vec = [[-4096, 4096]];
const MISALIGNED: Vec = [[at(0) + 1, bytes(1)]];

function own(t: T): number {
  return t.sys.pidfd_open(t.k.current.tgid, 0);
}

/** A pidfd of a process that has ended. */
function dead(t: T): number {
  const child = t.fork();
  const pidfd = t.sys.pidfd_open(child.pid, 0);
  t.as(child, () => t.sys.exit(0));
  return pidfd;
}

const rows: readonly ErrnoRow[] = [
  ["flags, before a bad vector", (t) => t.sys.process_madvise(-1, null, MADV_DONTNEED, 1), EINVAL],
  ["a bad vector, before no pidfd", (t) => t.sys.process_madvise(-1, null, MADV_DONTNEED, 0), EFAULT],
  [
    "more than 1024 ranges, before one in the kernel's half",
    (t) => t.sys.process_madvise(-1, new Array(1025).fill(KERNEL[0]) as Vec, MADV_DONTNEED, 0),
    EINVAL,
  ],
  [
    "a negative length, before one in the kernel's half",
    (t) => t.sys.process_madvise(-1, [...KERNEL, [at(0), -1]], MADV_DONTNEED, 0),
    EINVAL,
  ],
  ["a range in the kernel's half, before no pidfd", (t) => t.sys.process_madvise(-1, KERNEL, MADV_DONTNEED, 0), EFAULT],
  ["no pidfd, before an advice that is not allowed", (t) => t.sys.process_madvise(42, GOOD, MADV_DONTNEED, 0), EBADF],
  ["a file that is no pidfd", (t) => t.sys.process_madvise(memfd(t, 1), GOOD, MADV_DONTNEED, 0), EBADF],
  ["an ended process, before the advice", (t) => t.sys.process_madvise(dead(t), GOOD, MADV_DONTNEED, 0), ESRCH],
  [
    "an advice that is not allowed, before no CAP_SYS_NICE",
    (t) => {
      drop(t, CAP_SYS_NICE);
      return t.sys.process_madvise(own(t), GOOD, MADV_DONTNEED, 0);
    },
    EINVAL,
  ],
  [
    "no CAP_SYS_NICE, even for oneself, before misaligned",
    (t) => {
      drop(t, CAP_SYS_NICE);
      return t.sys.process_madvise(own(t), MISALIGNED, MADV_COLD, 0);
    },
    EPERM,
  ],
  ["misaligned", (t) => t.sys.process_madvise(own(t), MISALIGNED, MADV_COLD, 0), EINVAL],
  ["nothing mapped", (t) => t.sys.process_madvise(own(t), [[at(64), bytes(1)]], MADV_COLD, 0), ENOMEM],
  [
    "an empty range that is misaligned",
    (t) => t.sys.process_madvise(own(t), [[at(0) + 1, 0], ...GOOD], MADV_COLD, 0),
    EINVAL,
  ],
  ["only an empty range that is misaligned", (t) => t.sys.process_madvise(own(t), [[at(0) + 1, 0]], MADV_COLD, 0), 0],
  ["no range", (t) => t.sys.process_madvise(own(t), [], MADV_COLD, 0), 0],
];

const opened: readonly ErrnoRow[] = [
  ["an unknown flag, before no such process", (t) => t.sys.pidfd_open(4711, 1), EINVAL],
  ["no process at all", (t) => t.sys.pidfd_open(0, 0), EINVAL],
  ["no such process", (t) => t.sys.pidfd_open(4711, 0), ESRCH],
  ["a thread", (t) => t.sys.pidfd_open(newThread(t).pid, 0), EINVAL],
  [
    "no descriptor left",
    (t) => {
      const fd = memfd(t, 1);
      while (t.sys.dup(fd) >= 0);
      return own(t);
    },
    EMFILE,
  ],
];

describe("process_madvise: refused", () => errnoTable("process_madvise", eight, rows));
describe("pidfd_open: refused", () => errnoTable("pidfd_open", eight, opened));
describe("mmap: of a pidfd", () =>
  errnoTable("mmap", eight, [["to map a pidfd", (t) => t.sys.mmap(at(16), 4096, RW, MAP_PRIVATE, own(t), 0), ENODEV]]));

describe("process_madvise: how far it gets", () => {
  TEST_F(eight, "up to a range that is refused", (t) => {
    const vec: Vec = [...GOOD, [at(64), bytes(1)], [at(4), bytes(1)]];
    expect(t.sys.process_madvise(own(t), vec, MADV_COLD, 0)).to.equal(bytes(4));
  });

  TEST_F(eight, "an empty range behind the last byte is not looked at", (t) => {
    expect(t.sys.process_madvise(own(t), [...GOOD, [at(0) + 1, 0]], MADV_COLD, 0)).to.equal(bytes(4));
  });

  TEST_F(eight, "2 GiB less a page, and no further", (t) => {
    const base = 2 ** 32;
    t.sys.mmap(base, 3 * 2 ** 30, RW, ANON | MAP_NORESERVE, -1, 0);
    const half = 3 * 2 ** 29;
    const vec: Vec = [
      [base, half],
      [base + half, half],
    ];
    expect(t.sys.process_madvise(own(t), vec, MADV_WILLNEED, 0)).to.equal(0x7ffff000);
  });

  TEST_F(eight, "the pidfd stays good when its process is another's child", (t) => {
    const pidfd = t.sys.pidfd_open(t.fork().pid, 0);
    touch(t, 0, 8);
    expect(t.sys.process_madvise(pidfd, GOOD, MADV_PAGEOUT, 0)).to.equal(bytes(4));
    const grandchild = t.inChild(() => t.sys.process_madvise(pidfd, GOOD, MADV_COLD, 0));
    expect(grandchild).to.equal(bytes(4));
  });
});
