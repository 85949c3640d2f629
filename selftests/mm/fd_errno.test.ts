// SPDX-License-Identifier: GPL-2.0-only
/** open(), close(), dup(), dup2(), read(), write() and gup_test: what they refuse, in the kernel's order. */
import { FMODE_READ } from "../../include/linux/fs.js";
import { RLIMIT_NOFILE } from "../../include/linux/sched.js";
import { expect, FIXTURE } from "../../harness/kselftest/index.js";
import * as errno from "../../uapi/errno.js";
import * as gup from "../../uapi/gup_test.js";
import { errnoTable, type ErrnoRow, fine } from "./lib/errnos.js";
import { at, bytes, map, memfd, type T } from "./lib/memory.js";

const { EACCES, EBADF, EEXIST, EFAULT, EINVAL, EMFILE, ENOENT, ENOMEM, ENOTDIR, ENOTTY } = errno;

const any = FIXTURE("files", { boot: { memory: 16 << 20, cma: 4 << 20 } });
const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});

const NONE = 99;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
/** Neither for reading nor for writing. */
const O_IOCTL = 3;
const O_EXCL_CREAT = 0o300;
const O_DIRECTORY = 0o200000;

const GUP = "/sys/kernel/debug/gup_test";
const VFIO = "/dev/vfio/vfio";
const CMA_ALLOC = "/sys/kernel/debug/cma/reserved/alloc";
const CMA_USED = "/sys/kernel/debug/cma/reserved/used";
const CMA_FAILED = "/sys/kernel/mm/cma/reserved/alloc_pages_fail";
const BLOCK = "/sys/devices/system/memory/memory0";

/** Descriptors below `n` only. */
function limitFds(t: T, n: number): void {
  t.sys.setrlimit(RLIMIT_NOFILE, n);
}

function open(t: T, path: string, flags = O_RDWR): number {
  const fd = t.sys.open(path, flags);
  expect(fd, path).to.be.at.least(0);
  return fd;
}

function readOnly(t: T): number {
  t.k.current.files.set(9, t.kernel.open_regular(t.k, "/etc/passwd", bytes(4), FMODE_READ));
  return 9;
}

const said = (text: string | number): number => (typeof text === "string" ? 0 : text);

const opened: readonly ErrnoRow[] = [
  ["a bad address, before no descriptor left", (t) => (limitFds(t, 0), t.sys.open(null, O_RDWR)), EFAULT],
  ["an empty path, before no descriptor left", (t) => (limitFds(t, 0), t.sys.open("", O_RDWR)), ENOENT],
  ["no descriptor left, before no such path", (t) => (limitFds(t, 0), t.sys.open("/none", O_RDWR)), EMFILE],
  ["no such path", (t) => t.sys.open("/none", O_RDWR), ENOENT],
  ["no such path, as a directory", (t) => t.sys.open("/none", O_DIRECTORY), ENOENT],
  ["a file that is there, to be made", (t) => t.sys.open(VFIO, O_EXCL_CREAT), EEXIST],
  ["a file as a directory", (t) => t.sys.open(VFIO, O_DIRECTORY), ENOTDIR],
  ["to write a file of sysfs that is read", (t) => t.sys.open(`${BLOCK}/valid_zones`, O_RDWR), EACCES],
  ["only to write it", (t) => t.sys.open(`${BLOCK}/valid_zones`, O_WRONLY), EACCES],
  ["to read it", (t) => fine(t.sys.open(`${BLOCK}/valid_zones`, O_RDONLY)), 0],
  ["neither to read nor to write it", (t) => fine(t.sys.open(`${BLOCK}/valid_zones`, O_IOCTL)), 0],
  ["to write a counter of CMA in sysfs", (t) => t.sys.open(CMA_FAILED, O_RDWR), EACCES],
  ["to write one in debugfs", (t) => fine(t.sys.open(CMA_USED, O_RDWR)), 0],
  ["to read a command of debugfs", (t) => fine(t.sys.open(CMA_ALLOC, O_RDONLY)), 0],
  ["neither to read nor to write a device", (t) => fine(t.sys.open(VFIO, O_IOCTL)), 0],
];

const closed: readonly ErrnoRow[] = [
  ["no file", (t) => t.sys.close(NONE), EBADF],
  ["a negative number", (t) => t.sys.close(-1), EBADF],
  ["a second time", (t) => t.sys.close(memfd(t, 1)) || t.sys.close(0), EBADF],
];

const copied: readonly ErrnoRow[] = [
  ["no file, before no descriptor left", (t) => (limitFds(t, 0), t.sys.dup(NONE)), EBADF],
  [
    "no descriptor left",
    (t) => {
      const fd = memfd(t, 1);
      limitFds(t, 1);
      return t.sys.dup(fd);
    },
    EMFILE,
  ],
];

const copiedTo: readonly ErrnoRow[] = [
  ["no file", (t) => t.sys.dup2(NONE, 5), EBADF],
  ["no file, to itself", (t) => t.sys.dup2(NONE, NONE), EBADF],
  ["a negative target", (t) => t.sys.dup2(memfd(t, 1), -1), EBADF],
  ["a target at the limit", (t) => (limitFds(t, 10), t.sys.dup2(memfd(t, 1), 10)), EBADF],
  ["a target below the limit", (t) => (limitFds(t, 10), t.sys.dup2(memfd(t, 1), 9) - 9), 0],
  [
    "to itself, above the limit",
    (t) => {
      const fd = t.sys.dup2(memfd(t, 1), 50);
      limitFds(t, 10);
      return t.sys.dup2(fd, 50) - 50;
    },
    0,
  ],
];

const readWhole: readonly ErrnoRow[] = [
  ["no file", (t) => said(t.sys.read(NONE)), EBADF],
  ["what is open for writing", (t) => said(t.sys.read(open(t, CMA_USED, O_WRONLY))), EBADF],
  ["what is open for neither", (t) => said(t.sys.read(open(t, CMA_USED, O_IOCTL))), EBADF],
  ["gup_test", (t) => said(t.sys.read(open(t, GUP))), EINVAL],
  ["a container", (t) => said(t.sys.read(open(t, VFIO))), EINVAL],
  ["a pidfd", (t) => said(t.sys.read(t.sys.pidfd_open(t.k.current.tgid, 0))), EINVAL],
  ["a userfaultfd before UFFDIO_API", (t) => said(t.sys.read(t.sys.userfaultfd(0))), EINVAL],
  ["a counter", (t) => said(t.sys.read(open(t, CMA_USED))), 0],
];

const writtenTo: readonly ErrnoRow[] = [
  ["no file", (t) => t.sys.write(NONE, "1\n"), EBADF],
  ["what is open for reading", (t) => t.sys.write(open(t, CMA_ALLOC, O_RDONLY), "1\n"), EBADF],
  ["a file that is read-only", (t) => t.sys.write(readOnly(t), "1\n"), EBADF],
  ["a userfaultfd", (t) => t.sys.write(t.sys.userfaultfd(0), "1\n"), EBADF],
  ["gup_test", (t) => t.sys.write(open(t, GUP), "1\n"), EINVAL],
  ["a container", (t) => t.sys.write(open(t, VFIO), "1\n"), EINVAL],
  ["a pidfd", (t) => t.sys.write(t.sys.pidfd_open(t.k.current.tgid, 0), "1\n"), EINVAL],
];

const others: readonly ErrnoRow[] = [
  ["a memfd", (t) => t.sys.ioctl(memfd(t, 1), gup.PIN_BASIC_TEST, {}), ENOTTY],
  ["a file of sysfs", (t) => t.sys.ioctl(open(t, `${BLOCK}/state`), gup.PIN_BASIC_TEST, {}), ENOTTY],
  ["gup_test: an unknown command, before a bad address", (t) => t.sys.ioctl(open(t, GUP), 0xc0506707, 0), EINVAL],
];

/** Runs a command of gup_test over pages of the window; answers its errno, or how many bytes it got to less those asked for. */
function gupTest(t: T, command: number, page: number, pages: number, size = bytes(pages)): number {
  const times = { get_delta_usec: 0, put_delta_usec: 0, test_flags: 0 };
  const arg = { ...times, addr: at(page), size, nr_pages_per_call: 4, gup_flags: 1 };
  return t.sys.ioctl(open(t, GUP, O_IOCTL), command, arg) || arg.size - size;
}

type Command = Exclude<keyof typeof gup, "gup_test">;
/** What each command says before it gets a page. */
function before(command: Command): readonly ErrnoRow[] {
  const run = (t: T, page: number, pages: number, size?: number): number => gupTest(t, gup[command], page, pages, size);
  return [
    [
      "a bad address, open for neither reading nor writing",
      (t) => t.sys.ioctl(open(t, GUP, O_IOCTL), gup[command], 0),
      EFAULT,
    ],
    ["more than can be counted", (t) => run(t, 0, 8, 2 ** 46), ENOMEM],
  ];
}

function rowsOf(command: Command): readonly ErrnoRow[] {
  const run = (t: T, page: number, pages: number, size?: number): number => gupTest(t, gup[command], page, pages, size);
  return [
    ...before(command),
    ["nothing mapped: it gets nowhere", (t) => run(t, 100, 4) + bytes(4), 0],
    ["a hole behind", (t) => run(t, 6, 4), 0],
    ["no bytes", (t) => run(t, 0, 0), 0],
    ["bytes that are no whole pages", (t) => run(t, 0, 1, 4296), 0],
  ];
}

describe("open: refused", () => errnoTable("open", any, opened));
describe("close: refused", () => errnoTable("close", any, closed));
describe("dup and dup2: refused", () => {
  errnoTable("dup", any, copied);
  errnoTable("dup2", any, copiedTo);
});
describe("read and write: refused", () => {
  errnoTable("read", any, readWhole);
  errnoTable("write", any, writtenTo);
});
describe("ioctl: refused", () => errnoTable("ioctl", any, others));
describe("gup_test: refused", () => {
  errnoTable("GUP_BASIC_TEST", eight, rowsOf("GUP_BASIC_TEST"));
  errnoTable("PIN_BASIC_TEST", eight, rowsOf("PIN_BASIC_TEST"));
  errnoTable("PIN_LONGTERM_BENCHMARK", eight, rowsOf("PIN_LONGTERM_BENCHMARK"));
  errnoTable("GUP_FAST_BENCHMARK", eight, before("GUP_FAST_BENCHMARK"));
  errnoTable("PIN_FAST_BENCHMARK", eight, before("PIN_FAST_BENCHMARK"));
  errnoTable("DUMP_USER_PAGES_TEST", eight, before("DUMP_USER_PAGES_TEST"));
});
