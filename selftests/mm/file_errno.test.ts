// SPDX-License-Identifier: GPL-2.0-only
/** memfd_create(), ftruncate(), fallocate(), pwrite(), pread() and fcntl(): what they refuse, in the kernel's order. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_NONE } from "../../include/linux/mm.js";
import { RLIMIT_FSIZE, RLIMIT_NOFILE } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import * as errno from "../../uapi/errno.js";
import * as uapi from "../../uapi/memfd.js";
import { MAP_PRIVATE, MAP_SHARED, OVERCOMMIT_NEVER, PROT_READ } from "../../uapi/mman-common.js";
import { errnoTable, fine, type ErrnoRow } from "./lib/errnos.js";
import { bytes, map, memfd, type T, touch } from "./lib/memory.js";
import { failAllocations, openFile } from "./lib/tasks.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const { EBADF, EBUSY, EFAULT, EFBIG, EINTR, EINVAL, EMFILE, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, ESPIPE } = errno;
const { F_ADD_SEALS, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE } = uapi;
const { FALLOC_FL_COLLAPSE_RANGE: COLLAPSE, FALLOC_FL_INSERT_RANGE: INSERT, FALLOC_FL_ZERO_RANGE: ZERO } = uapi;
const { FALLOC_FL_KEEP_SIZE: KEEP, FALLOC_FL_UNSHARE_RANGE: UNSHARE } = uapi;
const PUNCH = uapi.FALLOC_FL_PUNCH_HOLE | KEEP;
/** A mode that fallocate() does not know. */
const BAD_MODE = 0x80;
const NONE = 99;
const LAST = 2n ** 63n - 1n;
const O_RDONLY = 0;
const O_RDWR = 2;

const any = FIXTURE("files", { boot: { memory: 16 << 20, cma: 4 << 20 } });

/** No more descriptors can be had. */
function noFd(t: T): void {
  t.sys.setrlimit(RLIMIT_NOFILE, 0);
}

/** Files may not become longer than four pages. */
function limit(t: T): void {
  t.sys.setrlimit(RLIMIT_FSIZE, bytes(4));
}

/** Nothing more can be promised. */
function noPromise(t: T): void {
  t.k.config.overcommit_memory = OVERCOMMIT_NEVER;
  t.k.config.overcommit_kbytes = 1;
}

/** A memfd of four pages with these seals. */
function sealed(t: T, seals: number): number {
  const fd = memfd(t, 4, uapi.MFD_ALLOW_SEALING);
  expect(t.sys.fcntl(fd, F_ADD_SEALS, seals)).to.equal(0);
  return fd;
}

/** A file that is open for reading only. */
function readOnly(t: T): number {
  t.k.current.files.set(9, t.kernel.open_regular(t.k, "/etc/passwd", bytes(4), FMODE_READ));
  return 9;
}

/** A memfd that is open for reading (or writing) only, as through /proc/self/fd. */
function reopened(t: T, mode: number): number {
  const fd = memfd(t, 4);
  t.k.current.files.get(fd)!.f_mode = mode;
  return fd;
}

/** A character device. */
function device(t: T): number {
  t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/null", FMODE_READ | FMODE_WRITE, VM_NONE));
  return 9;
}

function open(t: T, path: string, flags = O_RDWR): number {
  const fd = t.sys.open(path, flags);
  expect(fd, path).to.be.at.least(0);
  return fd;
}

const vfio = (t: T): number => openContainer(t);
const gupTest = (t: T, flags?: number): number => open(t, "/sys/kernel/debug/gup_test", flags);
const cma = (t: T): number => open(t, "/sys/kernel/debug/cma/reserved/used");
const block = (t: T): number => open(t, "/sys/devices/system/memory/memory0/state");
const pidfd = (t: T): number => t.sys.pidfd_open(t.k.current.tgid, 0);
const uffd = (t: T): number => t.sys.userfaultfd(0);

const made: readonly ErrnoRow[] = [
  ["an unknown flag, before a bad address", (t) => t.sys.memfd_create(null, 0x10), EINVAL],
  ["an unknown flag beside MFD_HUGETLB", (t) => t.sys.memfd_create("x", uapi.MFD_HUGETLB | 0x10), EINVAL],
  ["the size of huge pages without MFD_HUGETLB", (t) => t.sys.memfd_create("x", 21 << 26), EINVAL],
  ["a bad address", (t) => t.sys.memfd_create(null, 0), EFAULT],
  ["250 bytes, before no descriptor left", (t) => (noFd(t), t.sys.memfd_create("a".repeat(250), 0)), EINVAL],
  ["249 bytes", (t) => fine(t.sys.memfd_create("a".repeat(249), 0)), 0],
  ["125 letters of two bytes each", (t) => t.sys.memfd_create("é".repeat(125), 0), EINVAL],
  ["no descriptor left", (t) => (noFd(t), t.sys.memfd_create("x", 0)), EMFILE],
];

const sized: readonly ErrnoRow[] = [
  ["a negative length, before no file", (t) => t.sys.ftruncate(NONE, -1), EINVAL],
  ["no file", (t) => t.sys.ftruncate(NONE, 0), EBADF],
  ["a device", (t) => t.sys.ftruncate(device(t), 0), EINVAL],
  ["a container", (t) => t.sys.ftruncate(vfio(t), 0), EINVAL],
  ["a pidfd", (t) => t.sys.ftruncate(pidfd(t), 0), EINVAL],
  ["a file that is read-only", (t) => t.sys.ftruncate(readOnly(t), 0), EINVAL],
  ["a memfd that is read-only", (t) => t.sys.ftruncate(reopened(t, FMODE_READ), 0), EINVAL],
  ["to shrink what is sealed", (t) => t.sys.ftruncate(sealed(t, F_SEAL_SHRINK), bytes(1)), EPERM],
  ["to grow what is sealed", (t) => t.sys.ftruncate(sealed(t, F_SEAL_GROW), bytes(5)), EPERM],
  ["the size that a sealed file has", (t) => t.sys.ftruncate(sealed(t, F_SEAL_SHRINK | F_SEAL_GROW), bytes(4)), 0],
  [
    "to grow beyond RLIMIT_FSIZE, before a seal",
    (t) => (limit(t), t.sys.ftruncate(sealed(t, F_SEAL_GROW), 2 ** 20)),
    EFBIG,
  ],
  ["to grow an ordinary file beyond it", (t) => (limit(t), t.sys.ftruncate(openFile(t, 4), bytes(4) + 1)), EFBIG],
  ["to grow to RLIMIT_FSIZE", (t) => (limit(t), t.sys.ftruncate(memfd(t, 2), bytes(4))), 0],
  [
    "to shrink to more than RLIMIT_FSIZE",
    (t) => {
      const fd = memfd(t, 8);
      limit(t);
      return t.sys.ftruncate(fd, bytes(6));
    },
    0,
  ],
  ["to grow what cannot be promised: nothing is", (t) => (noPromise(t), t.sys.ftruncate(memfd(t, 4), bytes(400))), 0],
  ["a file of debugfs", (t) => t.sys.ftruncate(cma(t), 0), 0],
  ["a file of sysfs", (t) => t.sys.ftruncate(block(t), 0), 0],
];

const given: readonly ErrnoRow[] = [
  ["no file, before a negative offset", (t) => t.sys.fallocate(NONE, 0, -1, 0), EBADF],
  ["a negative offset, before an unknown mode", (t) => t.sys.fallocate(memfd(t, 4), BAD_MODE, -1, 4096), EINVAL],
  ["no length, before an unknown mode", (t) => t.sys.fallocate(memfd(t, 4), BAD_MODE, 0, 0), EINVAL],
  ["an unknown mode, before read-only", (t) => t.sys.fallocate(readOnly(t), BAD_MODE, 0, 4096), EOPNOTSUPP],
  ["to show what was deleted, before read-only", (t) => t.sys.fallocate(readOnly(t), 4, 0, 4096), EOPNOTSUPP],
  ["a hole that changes the size", (t) => t.sys.fallocate(memfd(t, 4), 2, 0, 4096), EOPNOTSUPP],
  ["a hole and zeroes", (t) => t.sys.fallocate(memfd(t, 4), PUNCH | ZERO, 0, 4096), EOPNOTSUPP],
  ["to collapse and keep the size", (t) => t.sys.fallocate(memfd(t, 4), COLLAPSE | KEEP, 0, 4096), EINVAL],
  ["to insert and keep the size", (t) => t.sys.fallocate(memfd(t, 4), INSERT | KEEP, 0, 4096), EINVAL],
  ["to unshare and punch", (t) => t.sys.fallocate(memfd(t, 4), UNSHARE | PUNCH, 0, 4096), EINVAL],
  ["to unshare and collapse", (t) => t.sys.fallocate(memfd(t, 4), UNSHARE | COLLAPSE, 0, 4096), EINVAL],
  ["a file that is read-only", (t) => t.sys.fallocate(readOnly(t), 0, 0, 4096), EBADF],
  ["a device, before too far", (t) => t.sys.fallocate(device(t), 0, LAST - 4095n, 8192), ENODEV],
  ["a container", (t) => t.sys.fallocate(vfio(t), 0, 0, 4096), ENODEV],
  ["a pidfd", (t) => t.sys.fallocate(pidfd(t), 0, 0, 4096), ENODEV],
  ["too far, before what shmem cannot", (t) => t.sys.fallocate(memfd(t, 4), ZERO, LAST - 4095n, 8192), EFBIG],
  ["too far, before a seal", (t) => t.sys.fallocate(sealed(t, F_SEAL_WRITE), PUNCH, LAST - 4095n, 8192), EFBIG],
  ["to collapse", (t) => t.sys.fallocate(memfd(t, 4), COLLAPSE, 0, 4096), EOPNOTSUPP],
  ["to insert", (t) => t.sys.fallocate(memfd(t, 4), INSERT, 0, 4096), EOPNOTSUPP],
  ["to unshare", (t) => t.sys.fallocate(memfd(t, 4), UNSHARE, 0, 4096), EOPNOTSUPP],
  ["zeroes", (t) => t.sys.fallocate(memfd(t, 4), ZERO, 0, 4096), EOPNOTSUPP],
  ["an ordinary file of a simple file system", (t) => t.sys.fallocate(openFile(t, 4), 0, 0, 4096), EOPNOTSUPP],
  ["a file of sysfs", (t) => t.sys.fallocate(block(t), 0, 0, 4096), EOPNOTSUPP],
  ["a file of debugfs", (t) => t.sys.fallocate(cma(t), 0, 0, 4096), EOPNOTSUPP],
  ["a hole in what is sealed", (t) => t.sys.fallocate(sealed(t, F_SEAL_WRITE), PUNCH, 0, 4096), EPERM],
  ["a hole in what is sealed for later", (t) => t.sys.fallocate(sealed(t, F_SEAL_FUTURE_WRITE), PUNCH, 0, 4096), EPERM],
  ["a hole in what may not shrink", (t) => t.sys.fallocate(sealed(t, F_SEAL_SHRINK), PUNCH, 0, 4096), 0],
  ["a hole behind RLIMIT_FSIZE", (t) => (limit(t), t.sys.fallocate(memfd(t, 4), PUNCH, 0, bytes(5))), 0],
  [
    "beyond RLIMIT_FSIZE, before a seal",
    (t) => (limit(t), t.sys.fallocate(sealed(t, F_SEAL_GROW), KEEP, 0, bytes(5))),
    EFBIG,
  ],
  ["beyond the end of what may not grow", (t) => t.sys.fallocate(sealed(t, F_SEAL_GROW), 0, 0, bytes(5)), EPERM],
  ["the same, without growing", (t) => t.sys.fallocate(sealed(t, F_SEAL_GROW), KEEP, 0, bytes(5)), EPERM],
  ["within it", (t) => t.sys.fallocate(sealed(t, F_SEAL_GROW), 0, 0, bytes(4)), 0],
  ["what is sealed against writing", (t) => t.sys.fallocate(sealed(t, F_SEAL_WRITE), 0, 0, 4096), 0],
  ["what cannot be promised", (t) => (noPromise(t), t.sys.fallocate(memfd(t, 4), 0, 0, bytes(4))), ENOSPC],
  ["no memory", (t) => noMemory(t, (fd) => t.sys.fallocate(fd, 0, 0, bytes(4))), ENOMEM],
  ["a task that is being killed", (t) => dying(t), EINTR],
];

/** Calls with a memfd of four pages when no page can be had. */
function noMemory(t: T, call: (fd: number) => number): number {
  const fd = memfd(t, 4);
  failAllocations(t.k, { probability: 100 });
  const ret = call(fd);
  failAllocations(t.k, { probability: 0 });
  return ret;
}

function dying(t: T): number {
  t.k.current.fatal_signal = 9;
  const ret = t.sys.fallocate(memfd(t, 4), 0, 0, bytes(4));
  t.k.current.fatal_signal = 0;
  return ret;
}

const written: readonly ErrnoRow[] = [
  ["a negative position, before no file", (t) => t.sys.pwrite(NONE, 1, -1), EINVAL],
  ["no file", (t) => t.sys.pwrite(NONE, 1, 0), EBADF],
  ["what has no positions, before read-only", (t) => t.sys.pwrite(gupTest(t, O_RDONLY), 1, 0), ESPIPE],
  ["a file of debugfs", (t) => t.sys.pwrite(cma(t), 1, 0), ESPIPE],
  ["a pidfd", (t) => t.sys.pwrite(pidfd(t), 1, 0), ESPIPE],
  ["a userfaultfd", (t) => t.sys.pwrite(uffd(t), 1, 0), ESPIPE],
  ["a file that is read-only", (t) => t.sys.pwrite(readOnly(t), 1, 0), EBADF],
  ["a container", (t) => t.sys.pwrite(vfio(t), 1, 0), EINVAL],
  ["the last position of all, before a seal", (t) => t.sys.pwrite(sealed(t, F_SEAL_WRITE), 1, LAST), EINVAL],
  ["beyond RLIMIT_FSIZE, before a seal", (t) => (limit(t), t.sys.pwrite(sealed(t, F_SEAL_GROW), 1, bytes(4))), EFBIG],
  [
    "beyond RLIMIT_FSIZE, within the file",
    (t) => {
      const fd = memfd(t, 8);
      limit(t);
      return t.sys.pwrite(fd, 1, bytes(5));
    },
    EFBIG,
  ],
  ["the last byte below RLIMIT_FSIZE", (t) => (limit(t), t.sys.pwrite(memfd(t, 1), 1, bytes(4) - 1) - 1), 0],
  ["what is sealed", (t) => t.sys.pwrite(sealed(t, F_SEAL_WRITE), 1, 0), EPERM],
  ["what is sealed for later", (t) => t.sys.pwrite(sealed(t, F_SEAL_FUTURE_WRITE), 1, 0), EPERM],
  ["behind the end of what may not grow", (t) => t.sys.pwrite(sealed(t, F_SEAL_GROW), 1, bytes(4)), EPERM],
  ["its last byte", (t) => t.sys.pwrite(sealed(t, F_SEAL_GROW), 1, bytes(4) - 1) - 1, 0],
  ["what cannot be promised", (t) => (noPromise(t), t.sys.pwrite(memfd(t, 4), 1, 0)), ENOSPC],
  ["no memory", (t) => noMemory(t, (fd) => t.sys.pwrite(fd, 1, 0)), ENOMEM],
];

const taken: readonly ErrnoRow[] = [
  ["a negative position, before no file", (t) => t.sys.pread(NONE, -1), EINVAL],
  ["no file", (t) => t.sys.pread(NONE, 0), EBADF],
  ["what has no positions, before write-only", (t) => t.sys.pread(gupTest(t, 1), 0), ESPIPE],
  ["a file of debugfs", (t) => t.sys.pread(cma(t), 0), ESPIPE],
  ["a pidfd", (t) => t.sys.pread(pidfd(t), 0), ESPIPE],
  ["a userfaultfd", (t) => t.sys.pread(uffd(t), 0), ESPIPE],
  ["a memfd that is write-only", (t) => t.sys.pread(reopened(t, FMODE_WRITE), 0), EBADF],
  ["a container", (t) => t.sys.pread(vfio(t), 0), EINVAL],
  ["a container that is write-only", (t) => t.sys.pread(open(t, "/dev/vfio/vfio", 1), 0), EBADF],
  ["the last position of all", (t) => t.sys.pread(memfd(t, 4), LAST), EINVAL],
  ["the end: no byte", (t) => t.sys.pread(memfd(t, 4), bytes(4)) - 256, 0],
];

const controlled: readonly ErrnoRow[] = [
  ["no file, before an unknown command", (t) => t.sys.fcntl(NONE, 9999, 0), EBADF],
  ["an unknown command", (t) => t.sys.fcntl(memfd(t, 1), 9999, 0), EINVAL],
  ["seals above the lower 32 bits, before read-only", (t) => t.sys.fcntl(readOnly(t), F_ADD_SEALS, 2n ** 32n), EINVAL],
  ["read-only, before an unknown seal", (t) => t.sys.fcntl(reopened(t, FMODE_READ), F_ADD_SEALS, 0x20), EPERM],
  ["an unknown seal, before sealed against sealing", (t) => t.sys.fcntl(memfd(t, 4), F_ADD_SEALS, 0x20), EINVAL],
  ["to seal an ordinary file", (t) => t.sys.fcntl(openFile(t, 4), F_ADD_SEALS, F_SEAL_GROW), EINVAL],
  ["the seals of an ordinary file", (t) => t.sys.fcntl(openFile(t, 4), uapi.F_GET_SEALS, 0), EINVAL],
  [
    "sealed against sealing, before a writable mapping",
    (t) => {
      const fd = memfd(t, 4);
      map(t, 0, 4, { flags: MAP_SHARED, fd });
      return t.sys.fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
    },
    EPERM,
  ],
  ["sealed against sealing, and no new seal", (t) => t.sys.fcntl(memfd(t, 4), F_ADD_SEALS, 0), EPERM],
  ["against writing, with a shared mapping", (t) => sealMapped(t, F_SEAL_WRITE, MAP_SHARED), EBUSY],
  [
    "against writing, with one that could be made writable",
    (t) => sealMapped(t, F_SEAL_WRITE, MAP_SHARED, PROT_READ),
    EBUSY,
  ],
  ["against writing, with a private mapping", (t) => sealMapped(t, F_SEAL_WRITE, MAP_PRIVATE), 0],
  ["against writing later, with a shared mapping", (t) => sealMapped(t, F_SEAL_FUTURE_WRITE, MAP_SHARED), 0],
  ["against writing, with a page that is pinned", (t) => sealPinned(t), EBUSY],
];

/** Seals a memfd of four pages that is mapped. */
function sealMapped(t: T, seals: number, flags: number, prot?: number): number {
  const fd = memfd(t, 4, uapi.MFD_ALLOW_SEALING);
  map(t, 0, 4, { flags, fd, ...(prot === undefined ? {} : { prot }) });
  return t.sys.fcntl(fd, F_ADD_SEALS, seals);
}

/** Seals a memfd that is not mapped any more, but still pinned for DMA. */
function sealPinned(t: T): number {
  const fd = memfd(t, 4, uapi.MFD_ALLOW_SEALING);
  map(t, 0, 4, { flags: MAP_SHARED, fd });
  touch(t, 0, 1);
  expect(mapDma(t, openContainer(t), 0, 1)).to.equal(0);
  map(t, 0, 4);
  return t.sys.fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
}

describe("memfd_create: refused", () => errnoTable("memfd_create", any, made));
describe("ftruncate: refused", () => errnoTable("ftruncate", any, sized));
describe("fallocate: refused", () => errnoTable("fallocate", any, given));
describe("pwrite: refused", () => errnoTable("pwrite", any, written));
describe("pread: refused", () => errnoTable("pread", any, taken));
describe("fcntl: refused", () => {
  errnoTable("fcntl", any, controlled);

  TEST_F(any, "a command that is not modelled says so", (t) => {
    expect(() => t.sys.fcntl(memfd(t, 1), 3, 0)).to.throw("fs/fcntl.c");
  });
});
