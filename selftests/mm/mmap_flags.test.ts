// SPDX-License-Identifier: GPL-2.0-only
/** mmap(): what its flags do, what it refuses, and in which order it looks. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { CAP_SYS_RAWIO, RLIMIT_AS } from "../../include/linux/sched.js";
import { VM_IO, VM_NONE } from "../../include/linux/mm.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  EACCES,
  EAGAIN,
  EBADF,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
} from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { drop, errnoTable, type ErrnoRow, limitLocked } from "./lib/errnos.js";
import { ANON, at, bytes, map, memfd, places, RW, SHARED_ANON, type T, vmFlags } from "./lib/memory.js";
import { openFile } from "./lib/tasks.js";

const BOOT = { memory: 16 << 20 };
const plain = FIXTURE("mmap", { boot: BOOT });
const FIXED = uapi.MAP_FIXED;
const GROWSDOWN = uapi.MAP_GROWSDOWN;
/** Of a file, so that 2^63 bytes from its start are too many. */
const TOP = 2n ** 63n;

function mmap(
  t: T,
  flags: number | bigint,
  o: { addr?: number; len?: number | bigint; prot?: number | bigint; fd?: number; off?: number | bigint } = {},
): number {
  return t.sys.mmap(o.addr ?? at(0), o.len ?? bytes(4), o.prot ?? RW, flags, o.fd ?? -1, o.off ?? 0);
}

/** A descriptor of a file that is open in just this way. */
function opened(t: T, mode: number, device = false): number {
  const f = device
    ? t.kernel.open_device(t.k, "/dev/thing", mode, VM_NONE)
    : t.kernel.open_regular(t.k, "/etc/thing", bytes(8), FMODE_READ);
  f.f_mode = mode;
  t.k.current.files.set(7, f);
  return 7;
}

function full(t: T, over: number): void {
  t.k.config.max_map_count = t.k.current.mm!.map_count - over;
}

const anonymous: readonly ErrnoRow[] = [
  ["an offset within a page, before no length", (t) => mmap(t, ANON, { len: 0, off: 1 }), EINVAL],
  ["no length, before too much of everything", (t) => mmap(t, ANON | FIXED, { len: 0, addr: 1 }), EINVAL],
  ["a length that rounds up to 2^64", (t) => mmap(t, ANON | FIXED, { len: -1, addr: 1 }), ENOMEM],
  [
    "too many mappings, before an address that is none",
    (t) => {
      full(t, 1);
      return mmap(t, ANON | FIXED, { addr: at(0) + 1 });
    },
    ENOMEM,
  ],
  ["more than there are addresses, before a bad one", (t) => mmap(t, ANON | FIXED, { len: 2 ** 48, addr: 1 }), ENOMEM],
  ["beyond the last address, before misaligned", (t) => mmap(t, ANON | FIXED, { addr: 2 ** 47 - 1 }), ENOMEM],
  ["a misaligned address, before a type that is none", (t) => mmap(t, FIXED | uapi.MAP_ANONYMOUS, { addr: 1 }), EINVAL],
  [
    "an address below vm.mmap_min_addr without CAP_SYS_RAWIO, before a type that is none",
    (t) => {
      drop(t, CAP_SYS_RAWIO);
      return mmap(t, FIXED | uapi.MAP_ANONYMOUS, { addr: 4096 });
    },
    EPERM,
  ],
  ["such an address with it", (t) => mmap(t, ANON | FIXED, { addr: 4096 }) - 4096, 0],
  [
    "a place that is taken, with MAP_FIXED_NOREPLACE, before MAP_LOCKED without the right",
    (t) => {
      map(t, 2, 1);
      limitLocked(t, 0);
      return mmap(t, ANON | uapi.MAP_FIXED_NOREPLACE | uapi.MAP_LOCKED);
    },
    EEXIST,
  ],
  [
    "MAP_LOCKED without the right, before more than the limit",
    (t) => {
      limitLocked(t, 0);
      return mmap(t, uapi.MAP_ANONYMOUS | uapi.MAP_LOCKED);
    },
    EPERM,
  ],
  [
    "MAP_LOCKED over RLIMIT_MEMLOCK, before a type that is none",
    (t) => {
      limitLocked(t, 3);
      return mmap(t, uapi.MAP_ANONYMOUS | uapi.MAP_LOCKED);
    },
    EAGAIN,
  ],
  ["neither shared nor private", (t) => mmap(t, uapi.MAP_ANONYMOUS), EINVAL],
  ["MAP_SHARED_VALIDATE without a file", (t) => mmap(t, uapi.MAP_ANONYMOUS | uapi.MAP_SHARED_VALIDATE), EINVAL],
  ["a shared stack", (t) => mmap(t, SHARED_ANON | GROWSDOWN), EINVAL],
  [
    "over RLIMIT_AS",
    (t) => {
      t.sys.setrlimit(RLIMIT_AS, (t.k.current.mm!.total_vm + 3) * 4096);
      return mmap(t, ANON);
    },
    ENOMEM,
  ],
  ["MAP_HUGETLB without a pool", (t) => mmap(t, ANON | uapi.MAP_HUGETLB), ENOMEM],
  ["MAP_HUGETLB of a size that there is not", (t) => mmap(t, ANON | uapi.MAP_HUGETLB | (22 << 26)), EINVAL],
  ["MAP_HUGETLB, not aligned", (t) => mmap(t, ANON | FIXED | uapi.MAP_HUGETLB, { addr: at(1) }), EINVAL],
  ["MAP_HUGETLB at an offset that is not aligned", (t) => mmap(t, ANON | uapi.MAP_HUGETLB, { off: 4096 }), EINVAL],
  [
    "MAP_HUGETLB of 1 GiB at an offset of 2 MiB",
    (t) => mmap(t, ANON | uapi.MAP_HUGETLB | (30 << 26), { off: 2 << 20 }),
    EINVAL,
  ],
];

const SYNC = uapi.MAP_SYNC | uapi.MAP_SHARED_VALIDATE;
const ofFile: readonly ErrnoRow[] = [
  ["no such descriptor, before no length", (t) => mmap(t, uapi.MAP_SHARED, { fd: 42, len: 0 }), EBADF],
  [
    "MAP_HUGETLB for a file that is not, before no length",
    (t) => mmap(t, uapi.MAP_SHARED | uapi.MAP_HUGETLB, { fd: memfd(t, 4), len: 0 }),
    EINVAL,
  ],
  [
    "an end beyond 2^63, before a type that is none",
    (t) => mmap(t, 0, { fd: memfd(t, 4), off: TOP - 8192n }),
    EOVERFLOW,
  ],
  ["an end at 2^63", (t) => mmap(t, 0, { fd: memfd(t, 4), off: TOP - 16384n }), EOVERFLOW],
  [
    "MAP_SYNC with MAP_SHARED_VALIDATE, before a file that cannot be written",
    (t) => mmap(t, SYNC, { fd: opened(t, FMODE_READ) }),
    EOPNOTSUPP,
  ],
  [
    "a flag above the lower 32 bits with MAP_SHARED_VALIDATE",
    (t) => mmap(t, BigInt(uapi.MAP_SHARED_VALIDATE) | (1n << 40n), { fd: memfd(t, 4) }),
    EOPNOTSUPP,
  ],
  [
    "MAP_FIXED_NOREPLACE with MAP_SHARED_VALIDATE, which does not know it",
    (t) => mmap(t, uapi.MAP_SHARED_VALIDATE | uapi.MAP_FIXED_NOREPLACE, { fd: memfd(t, 4) }),
    EOPNOTSUPP,
  ],
  ["to write a shared file that is read-only", (t) => mmap(t, uapi.MAP_SHARED, { fd: opened(t, FMODE_READ) }), EACCES],
  ["to map a file that cannot be read", (t) => mmap(t, uapi.MAP_PRIVATE, { fd: opened(t, FMODE_WRITE) }), EACCES],
  ["a file that cannot be mapped", (t) => mmap(t, uapi.MAP_PRIVATE, { fd: t.sys.pidfd_open(1, 0) }), ENODEV],
  [
    "a stack of a file that cannot be mapped",
    (t) => mmap(t, uapi.MAP_PRIVATE | GROWSDOWN, { fd: t.sys.pidfd_open(1, 0) }),
    ENODEV,
  ],
  ["a stack of a file", (t) => mmap(t, uapi.MAP_PRIVATE | GROWSDOWN, { fd: memfd(t, 4) }), EINVAL],
  ["a type that is none", (t) => mmap(t, 4, { fd: memfd(t, 4) }), EINVAL],
];

describe("mmap: anonymous, refused", () => errnoTable("mmap", plain, anonymous));
describe("mmap: of a file, refused", () => errnoTable("mmap", plain, ofFile));

describe("mmap: flags", () => {
  TEST_F(plain, "the last offset that a file has", (t) => {
    const off = TOP - 20480n;
    expect(mmap(t, uapi.MAP_SHARED, { fd: memfd(t, 4), off })).to.equal(at(0));
    expect(t.smaps().find((row) => row.start === at(0))!.pgoff).to.equal(2 ** 51 - 5);
  });

  TEST_F(plain, "a device may be mapped at offsets that are negative for a file", (t) => {
    const fd = opened(t, FMODE_READ | FMODE_WRITE, true);
    expect(mmap(t, uapi.MAP_SHARED, { fd, off: -20480 })).to.equal(at(0));
    expect(t.smaps().find((row) => row.start === at(0))!.pgoff).to.equal(2 ** 52 - 5);
    expect(mmap(t, uapi.MAP_SHARED, { fd, off: -16384 })).to.equal(-EOVERFLOW);
  });

  TEST_F(plain, "MAP_SHARED takes no notice of flags that it does not know", (t) => {
    expect(mmap(t, uapi.MAP_SHARED | uapi.MAP_SYNC, { fd: memfd(t, 4) })).to.equal(at(0));
    expect(vmFlags(t, 0), "and MAP_SYNC is a flag of the mapping").to.include("sf");
  });

  TEST_F(plain, "MAP_SHARED_VALIDATE with flags that it knows", (t) => {
    expect(mmap(t, uapi.MAP_SHARED_VALIDATE | uapi.MAP_NORESERVE | FIXED, { fd: memfd(t, 4) })).to.equal(at(0));
    expect(vmFlags(t, 0)).to.include.members(["sh", "nr"]);
  });

  TEST_F(plain, "a read-only shared mapping of a read-only file is shared, but not VM_SHARED", (t) => {
    const fd = opened(t, FMODE_READ);
    expect(mmap(t, uapi.MAP_SHARED, { fd, prot: uapi.PROT_READ })).to.equal(at(0));
    expect(vmFlags(t, 0)).to.deep.equal(["rd", "mr", "me", "ms"]);
    expect(t.sys.mprotect(at(0), bytes(1), RW)).to.equal(-EACCES);
  });

  TEST_F(plain, "MAP_FIXED_NOREPLACE beside another mapping", (t) => {
    map(t, 4, 1, { prot: uapi.PROT_READ });
    expect(mmap(t, ANON | uapi.MAP_FIXED_NOREPLACE)).to.equal(at(0));
  });

  TEST_F(plain, "MAP_FIXED replaces what is there", (t) => {
    map(t, 0, 6);
    t.sys.store(at(2), 9);
    expect(mmap(t, ANON | FIXED, { addr: at(2), len: bytes(2), prot: uapi.PROT_READ })).to.equal(at(2));
    expect(t.sys.load(at(2))).to.deep.equal({ val: 0 });
  });

  TEST_F(plain, "MAP_HUGETLB | MAP_FIXED takes away what is there before it fails", (t) => {
    t.sys.mmap(2 << 28, bytes(1), RW, ANON | FIXED, -1, 0);
    expect(mmap(t, ANON | FIXED | uapi.MAP_HUGETLB, { addr: 2 << 28 })).to.equal(-ENOMEM);
    expect(t.smaps().filter((row) => row.start === 2 << 28)).to.deep.equal([]);
  });

  TEST_F(plain, "MAP_STACK, MAP_DENYWRITE and MAP_EXECUTABLE mean nothing", (t) => {
    const nothing = uapi.MAP_STACK | uapi.MAP_DENYWRITE | uapi.MAP_EXECUTABLE;
    expect(mmap(t, ANON | nothing)).to.equal(at(0));
    expect(vmFlags(t, 0)).to.deep.equal(["rd", "wr", "mr", "mw", "me", "ac"]);
  });

  TEST_F(plain, "MAP_NORESERVE is for mappings that would be accounted, and no others", (t) => {
    map(t, 0, 4, { flags: ANON | uapi.MAP_NORESERVE });
    map(t, 8, 4, { flags: ANON | uapi.MAP_NORESERVE, prot: uapi.PROT_READ });
    expect(vmFlags(t, 0)).to.include("nr").and.not.include("ac");
    expect(vmFlags(t, 8)).to.include("nr").and.not.include("ac");
    t.k.config.overcommit_memory = uapi.OVERCOMMIT_NEVER;
    map(t, 16, 4, { flags: ANON | uapi.MAP_NORESERVE });
    expect(vmFlags(t, 16), "not when memory is never overcommitted").to.include("ac").and.not.include("nr");
  });

  TEST_F(plain, "MAP_LOCKED fills the mapping, MAP_POPULATE too, MAP_NONBLOCK keeps MAP_POPULATE from it", (t) => {
    map(t, 0, 4, { flags: ANON | uapi.MAP_LOCKED });
    map(t, 8, 4, { flags: ANON | uapi.MAP_POPULATE });
    map(t, 16, 4, { flags: ANON | uapi.MAP_POPULATE | uapi.MAP_NONBLOCK });
    expect([0, 8, 16].map((page) => places(t, page, 4))).to.deep.equal(["....", "....", "----"]);
    expect(vmFlags(t, 0)).to.include("lo");
    expect(t.k.current.mm!.locked_vm).to.equal(4);
  });

  TEST_F(plain, "MAP_LOCKED of device memory: neither locked nor counted", (t) => {
    const device = t.kernel.open_device(t.k, "/dev/registers", FMODE_READ | FMODE_WRITE, VM_IO);
    t.k.current.files.set(7, device);
    map(t, 0, 4, { flags: uapi.MAP_SHARED | uapi.MAP_LOCKED, fd: 7 });
    expect(vmFlags(t, 0)).to.include("io").and.not.include("lo");
    expect(t.k.current.mm!.locked_vm).to.equal(0);
  });

  TEST_F(plain, "bits of the protection that mean nothing are ignored", (t) => {
    expect(mmap(t, ANON, { prot: (1n << 40n) | BigInt(RW | 0x10) })).to.equal(at(0));
    expect(vmFlags(t, 0)).to.include("wr");
  });

  TEST_F(plain, "a file opened by path is mapped where it is", (t) => {
    expect(mmap(t, uapi.MAP_PRIVATE, { fd: openFile(t, 8), off: bytes(2) })).to.equal(at(0));
    expect(t.smaps().find((row) => row.start === at(0))).to.include({
      pgoff: 2,
      name: "/root/disk.img",
      perms: "rw-p",
    });
  });
});
