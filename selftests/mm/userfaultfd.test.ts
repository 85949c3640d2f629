// SPDX-License-Identifier: GPL-2.0-only
/**
 * userfaultfd(): what it refuses, and that mappings which are watched by different files, or by none, do not merge.
 *
 * Pictures as in vma_merge.test.ts: `u` and `v` are pages that two userfaultfds watch, `w` are watched by none.
 */
import { FMODE_READ } from "../../include/linux/fs.js";
import { CAP_SYS_PTRACE, RLIMIT_NOFILE } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EBUSY, EFAULT, EINVAL, EMFILE, ENOMEM, EPERM } from "../../uapi/errno.js";
import { MAP_PRIVATE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import * as uapi from "../../uapi/userfaultfd.js";
import { drop, errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { at, bytes, map, mapMemfd, memfd, peek, ranges, type T, touch, vmFlags } from "./lib/memory.js";
import { openFile } from "./lib/tasks.js";

const MISSING = uapi.UFFDIO_REGISTER_MODE_MISSING;

/** A userfaultfd that is ready. */
function open(t: T): number {
  const fd = t.sys.userfaultfd(0);
  expect(fd, "userfaultfd").to.be.at.least(0);
  expect(t.sys.ioctl(fd, uapi.UFFDIO_API, { api: uapi.UFFD_API, features: 0 }), "UFFDIO_API").to.equal(0);
  return fd;
}

function register(t: T, fd: number, page: number, pages: number, mode = MISSING): number {
  return t.sys.ioctl(fd, uapi.UFFDIO_REGISTER, { range: { start: at(page), len: bytes(pages) }, mode });
}

function unregister(t: T, fd: number, page: number, pages: number): number {
  return t.sys.ioctl(fd, uapi.UFFDIO_UNREGISTER, { start: at(page), len: bytes(pages) });
}

function api(t: T, fd: number, features: number, version = uapi.UFFD_API): number {
  return t.sys.ioctl(fd, uapi.UFFDIO_API, { api: version, features });
}

const nine = FIXTURE("nine_pages", {
  setup(t) {
    map(t, 0, 9);
  },
});

function watch(t: T, fd: number, page: number, pages: number): void {
  expect(register(t, fd, page, pages), "UFFDIO_REGISTER").to.equal(0);
}

const opened: readonly ErrnoRow[] = [
  ["no descriptor left", (t) => (t.sys.setrlimit(RLIMIT_NOFILE, 0), t.sys.userfaultfd(0)), EMFILE],
  [
    "no CAP_SYS_PTRACE, before unknown flags",
    (t) => {
      drop(t, CAP_SYS_PTRACE);
      return t.sys.userfaultfd(2);
    },
    EPERM,
  ],
  ["unknown flags", (t) => t.sys.userfaultfd(2), EINVAL],
];

const versions: readonly ErrnoRow[] = [
  ["a bad address", (t) => t.sys.ioctl(t.sys.userfaultfd(0), uapi.UFFDIO_API, 0), EFAULT],
  ["another version, before unknown features", (t) => api(t, t.sys.userfaultfd(0), 1 << 20, 1), EINVAL],
  [
    "to hear of forks without CAP_SYS_PTRACE, before unknown features",
    (t) => {
      drop(t, CAP_SYS_PTRACE);
      const features = uapi.UFFD_FEATURE_EVENT_FORK | (1 << 20);
      return api(t, t.sys.userfaultfd(uapi.UFFD_USER_MODE_ONLY), features);
    },
    EPERM,
  ],
  ["unknown features", (t) => api(t, t.sys.userfaultfd(0), 1 << 20), EINVAL],
  ["a second time", (t) => api(t, open(t), 0), EINVAL],
];

const registered: readonly ErrnoRow[] = [
  [
    "a shared mapping that can never be written to, before an ordinary file behind",
    (t) => {
      const fd = memfd(t, 1);
      t.k.current.files.get(fd)!.f_mode = FMODE_READ;
      map(t, 9, 1, { flags: MAP_SHARED, fd, prot: PROT_READ });
      map(t, 10, 1, { flags: MAP_PRIVATE, fd: openFile(t, 1) });
      return register(t, open(t), 8, 3);
    },
    EPERM,
  ],
  ["UFFDIO_REGISTER before UFFDIO_API", (t) => register(t, t.sys.userfaultfd(0), 0, 1), EINVAL],
  ["a bad address", (t) => t.sys.ioctl(open(t), uapi.UFFDIO_REGISTER, 0), EFAULT],
  ["no mode", (t) => register(t, open(t), 0, 1, 0), EINVAL],
  ["an unknown mode", (t) => register(t, open(t), 0, 1, 8), EINVAL],
  ["a part of a page", (t) => register(t, open(t), 0.5, 1), EINVAL],
  ["a length that is not whole pages", (t) => register(t, open(t), 0, 0.5), EINVAL],
  ["no length", (t) => register(t, open(t), 0, 0), EINVAL],
  ["beyond the last address", (t) => register(t, open(t), 2 ** 35, 1), EINVAL],
  ["more than there are addresses", (t) => register(t, open(t), 0, 2 ** 35), EINVAL],
  ["nothing mapped here or above", (t) => register(t, open(t), 100, 1), ENOMEM],
  ["nothing mapped here", (t) => register(t, open(t), -4, 4), EINVAL],
  [
    "an ordinary file, before a read-only one",
    (t) => {
      map(t, 9, 1, { flags: MAP_PRIVATE, fd: openFile(t, 1) });
      return register(t, open(t), 8, 2);
    },
    EINVAL,
  ],
  [
    "another's, before an ordinary file behind",
    (t) => {
      map(t, 9, 1, { flags: MAP_PRIVATE, fd: openFile(t, 1) });
      watch(t, open(t), 8, 1);
      return register(t, open(t), 8, 2);
    },
    EBUSY,
  ],
];

const unregistered: readonly ErrnoRow[] = [
  ["before UFFDIO_API, a bad address", (t) => t.sys.ioctl(t.sys.userfaultfd(0), uapi.UFFDIO_UNREGISTER, 0), EINVAL],
  ["a bad address", (t) => t.sys.ioctl(open(t), uapi.UFFDIO_UNREGISTER, 0), EFAULT],
  ["no length", (t) => unregister(t, open(t), 0, 0), EINVAL],
  ["a part of a page", (t) => unregister(t, open(t), 0.5, 1), EINVAL],
  ["nothing mapped here", (t) => unregister(t, open(t), -4, 4), EINVAL],
  [
    "an ordinary file behind",
    (t) => {
      map(t, 9, 1, { flags: MAP_PRIVATE, fd: openFile(t, 1) });
      return unregister(t, open(t), 8, 2);
    },
    EINVAL,
  ],
  ["nothing mapped", (t) => unregister(t, open(t), 100, 1), ENOMEM],
  ["what nobody watches", (t) => unregister(t, open(t), 0, 9), 0],
];

const others: readonly ErrnoRow[] = [["another command", (t) => t.sys.ioctl(open(t), 0xaa55, {}), EINVAL]];

describe("userfaultfd: refused", () => {
  errnoTable("userfaultfd", nine, opened);
  errnoTable("UFFDIO_API", nine, versions);
  errnoTable("UFFDIO_REGISTER", nine, registered);
  errnoTable("UFFDIO_UNREGISTER", nine, unregistered);
  errnoTable("ioctl", nine, others);
});

describe("userfaultfd: mappings", () => {
  //   |wwwwwwwww|       |www|uuu|www|
  //       ^^^      ->
  TEST_F(nine, "watching a part splits", (t) => {
    const fd = open(t);
    watch(t, fd, 3, 3);
    expect(ranges(t)).to.equal("0-3 3-6 6-9");
    expect(vmFlags(t, 3)).to.include("um");
    expect(vmFlags(t, 0)).to.not.include("um");
  });

  //   |www|uuu|www|       |wwwwwwwww|
  //        ^^^       ->
  TEST_F(nine, "not watching it any more merges", (t) => {
    touch(t, 0, 9);
    const fd = open(t);
    watch(t, fd, 3, 3);
    expect(unregister(t, fd, 3, 3)).to.equal(0);
    expect(ranges(t)).to.equal("0-9");
  });

  //   |uuu|www|uuu|       |uuuuuuuuu|
  //        ^^^       ->
  TEST_F(nine, "watching the rest merges all", (t) => {
    const fd = open(t);
    watch(t, fd, 0, 3);
    watch(t, fd, 6, 3);
    watch(t, fd, 3, 3);
    expect(ranges(t)).to.equal("0-9");
  });

  //   |uuu|vvv|www|
  TEST_F(nine, "two that watch: they stay apart", (t) => {
    watch(t, open(t), 0, 3);
    watch(t, open(t), 3, 3);
    expect(ranges(t)).to.equal("0-3 3-6 6-9");
  });

  // The kernel looks for a merge at the page offset of the mapping's start, which is not that of its part.
  //
  //   |wwwwww|uuu|       |www|uuu|uuu|
  //       ^^^       ->
  TEST_F(nine, "a later part of a mapping splits, though it could merge", (t) => {
    const fd = open(t);
    watch(t, fd, 6, 3);
    watch(t, fd, 3, 3);
    expect(ranges(t)).to.equal("0-3 3-6 6-9");
  });

  //   |uuu|wwwwww|       |uuuuuu|www|
  //        ^^^      ->
  TEST_F(nine, "the first part of one merges", (t) => {
    const fd = open(t);
    watch(t, fd, 0, 3);
    watch(t, fd, 3, 3);
    expect(ranges(t)).to.equal("0-6 6-9");
  });

  //   |uuu|          |uuu|www|
  //       ^^^   ->
  TEST_F(nine, "a new mapping is watched by none", (t) => {
    watch(t, open(t), 0, 9);
    map(t, 9, 3);
    expect(ranges(t)).to.equal("0-9 9-12");
  });

  TEST_F(nine, "closing the file is as not watching any more", (t) => {
    const fd = open(t);
    watch(t, fd, 0, 2);
    watch(t, fd, 4, 2);
    expect(t.sys.close(fd)).to.equal(0);
    expect(ranges(t)).to.equal("0-9");
    touch(t, 0, 9);
  });

  TEST_F(nine, "mprotect splits and merges what is watched", (t) => {
    watch(t, open(t), 0, 9);
    t.sys.mprotect(at(3), bytes(3), PROT_READ);
    expect(ranges(t)).to.equal("0-3 3-6 6-9");
    t.sys.mprotect(at(3), bytes(3), PROT_READ | 2);
    expect(ranges(t)).to.equal("0-9");
  });

  TEST_F(nine, "a child's memory is watched by none, nor is what moves", (t) => {
    watch(t, open(t), 0, 9);
    t.inChild(() => {
      expect(vmFlags(t, 0)).to.not.include("um");
      touch(t, 0, 1);
    });
    t.sys.mremap(at(0), bytes(3), bytes(3), 3, at(20));
    expect([vmFlags(t, 20)!.includes("um"), vmFlags(t, 3)!.includes("um")]).to.deep.equal([false, true]);
  });

  TEST_F(nine, "pages that are there are not its business", (t) => {
    touch(t, 0, 1, 42);
    mapMemfd(t, 16, 4);
    const fd = memfd(t, 4);
    t.sys.pwrite(fd, 7, 0);
    map(t, 24, 4, { flags: MAP_SHARED, fd });
    const uffd = open(t);
    watch(t, uffd, 0, 9);
    watch(t, uffd, 24, 4);
    expect([peek(t, 0), peek(t, 24)]).to.deep.equal([42, 7]);
  });

  TEST_F(nine, "a fault that it would get is refused", (t) => {
    map(t, 16, 4, { flags: MAP_SHARED, fd: memfd(t, 4) });
    const uffd = open(t);
    watch(t, uffd, 0, 9);
    watch(t, uffd, 16, 4);
    for (const page of [1, 17]) expect(() => t.sys.load(at(page)), `page ${page}`).to.throw(/handle_userfault/);
    t.k.current.mm!.mmap_lock.readers = 0;
  });
});
