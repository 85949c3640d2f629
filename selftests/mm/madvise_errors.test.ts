// SPDX-License-Identifier: GPL-2.0-only
/** madvise()'s errors beyond its arguments: who may, what faults, what the kernel's own mappings refuse, and how far it got. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_IO, VM_MAYREAD, VM_PFNMAP, VM_READ } from "../../include/linux/mm.js";
import { CAP_SYS_ADMIN } from "../../include/linux/sched.js";
import { vm_flags_or } from "../../include/linux/vm_flags.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EACCES, EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EPERM, errnoNames } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { drop, errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { advise, at, bytes, map, mapMemfd, memfd, peek, places, ranges, touch, type T, vmFlags } from "./lib/memory.js";
import { failAllocations } from "./lib/tasks.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const { MADV_HWPOISON, MADV_SOFT_OFFLINE, MADV_POPULATE_READ, MADV_POPULATE_WRITE } = uapi;

/**
 * Page 0 is anonymous memory, 2 is PROT_NONE, 4 a device's, 6 behind the end of a memfd; the others are not mapped.
 */
const scene = FIXTURE("scene", {
  setup(t) {
    map(t, 0, 1);
    map(t, 2, 1, { prot: uapi.PROT_NONE });
    const device = t.kernel.open_device(t.k, "/dev/registers", FMODE_READ | FMODE_WRITE, vm_flags_or(VM_IO, VM_PFNMAP));
    t.k.current.files.set(9, device);
    map(t, 4, 1, { flags: uapi.MAP_SHARED, fd: 9 });
    map(t, 5, 2, { flags: uapi.MAP_SHARED, fd: memfd(t, 1) });
  },
});

/** Address, length, what comes back without CAP_SYS_ADMIN and with it. */
const injections: readonly [string, number | bigint, number | bigint, number, number][] = [
  ["an unaligned start", at(0) + 1, bytes(1), EINVAL, EINVAL],
  ["a length that rounds up to zero", at(0), -1, EINVAL, EINVAL],
  ["a range that wraps", at(0), -8192, EINVAL, EINVAL],
  ["no bytes", at(0), 0, 0, 0],
  ["no bytes where nothing is mapped", at(1), 0, 0, 0],
  ["nothing mapped", at(1), bytes(1), EPERM, EFAULT],
  ["the page at address 0", 0, 1, EPERM, EFAULT],
  ["a page in the kernel's half", -(2 ** 45), bytes(1), EPERM, EFAULT],
  ["PROT_NONE", at(2), bytes(1), EPERM, EFAULT],
  ["a device's memory", at(4), bytes(1), EPERM, EFAULT],
  ["behind the end of a memfd", at(6), bytes(1), EPERM, EFAULT],
];

describe("madvise: memory errors", () => {
  for (const [name, behavior] of [
    ["MADV_HWPOISON", MADV_HWPOISON],
    ["MADV_SOFT_OFFLINE", MADV_SOFT_OFFLINE],
  ] as const) {
    const rows = injections.flatMap(([title, start, length, user, root]): ErrnoRow[] => {
      const call = (t: T): number => t.sys.madvise(start, length, behavior);
      return [
        [`${name} by a user, ${title}`, (t) => (drop(t, CAP_SYS_ADMIN), call(t)), user],
        [`${name} by root, ${title}`, call, root],
      ];
    });
    errnoTable("madvise", scene, rows);

    TEST_F(scene, `${name}, good memory: EPERM to a user, and the page is not touched`, (t) => {
      t.k.current.capabilities.delete(CAP_SYS_ADMIN);
      expect(advise(t, 0, 1, behavior)).to.equal(-EPERM);
      expect(places(t, 0, 1)).to.equal("-");
    });
  }
});

/**
 * Pages   0 1    2 3    4 5
 *         a a    b b    c c     `make` says what b is; a and c are anonymous memory.
 */
function between(t: T, make: (t: T) => void): void {
  map(t, 0, 6);
  expect(t.sys.munmap(at(2), bytes(2))).to.equal(0);
  make(t);
}

/** Advises six pages of which the third and fourth are another mapping, and looks at what is there then. */
function stops(t: T, { make, behavior, after }: Stop, touched: number): number {
  between(t, make);
  touch(t, 0, touched);
  const ret = advise(t, 0, 6, behavior);
  expect(places(t, 0, 6)).to.equal(after);
  return ret;
}

interface Stop {
  readonly title: string;
  readonly make: (t: T) => void;
  readonly behavior: number;
  readonly errno: number;
  /** `.` for the pages that are there then. */
  readonly after: string;
}

const populated: readonly Stop[] = [
  {
    title: "MADV_POPULATE_WRITE, read-only memory",
    make: (t) => map(t, 2, 2, { prot: uapi.PROT_READ }),
    behavior: MADV_POPULATE_WRITE,
    errno: EINVAL,
    after: "..----",
  },
  {
    title: "MADV_POPULATE_READ, write-only memory",
    make: (t) => map(t, 2, 2, { prot: uapi.PROT_WRITE }),
    behavior: MADV_POPULATE_READ,
    errno: EINVAL,
    after: "zz----",
  },
  {
    title: "MADV_POPULATE_WRITE, the end of a memfd",
    make: (t) => map(t, 2, 2, { flags: uapi.MAP_SHARED, fd: memfd(t, 1) }),
    behavior: MADV_POPULATE_WRITE,
    errno: EFAULT,
    after: "...---",
  },
  {
    title: "MADV_POPULATE_WRITE, a hole",
    make: () => undefined,
    behavior: MADV_POPULATE_WRITE,
    errno: ENOMEM,
    after: "..--..",
  },
  {
    title: "MADV_POPULATE_WRITE, a hole and read-only memory behind it",
    make: (t) => map(t, 3, 1, { prot: uapi.PROT_READ }),
    behavior: MADV_POPULATE_WRITE,
    errno: EINVAL,
    after: "..----",
  },
];

const any = FIXTURE("anonymous");

describe("madvise: populating stops at the first refusal, not at a hole", () => {
  const rows = populated.map((stop): ErrnoRow => [stop.title, (t) => stops(t, stop, 0), stop.errno]);
  errnoTable("madvise", any, [...rows, ["a task that is being killed", killed, EINTR]]);

  function killed(t: T): number {
    map(t, 0, 4);
    t.k.current.fatal_signal = 9;
    const ret = advise(t, 0, 4, MADV_POPULATE_WRITE);
    t.k.current.fatal_signal = 0;
    expect(places(t, 0, 4)).to.equal("----");
    return ret;
  }

  TEST_F(any, "one failure behind a page that is there: tried again, success", (t) => {
    map(t, 0, 4);
    touch(t, 0, 2);
    failAllocations(t.k, { nth: 1 });
    expect(advise(t, 0, 4, MADV_POPULATE_WRITE)).to.equal(0);
    expect(places(t, 0, 4)).to.equal("....");
  });

  TEST_F(any, "no memory: ENOMEM, and what was there stays", (t) => {
    map(t, 0, 4);
    touch(t, 0, 2);
    failAllocations(t.k, { probability: 100 });
    expect(advise(t, 0, 4, MADV_POPULATE_WRITE)).to.equal(-ENOMEM);
    expect(places(t, 0, 4)).to.equal("..--");
    failAllocations(t.k, { probability: 0 });
    expect(advise(t, 0, 4, MADV_POPULATE_WRITE), "again").to.equal(0);
  });
});

const dropped: readonly Stop[] = [
  {
    title: "MADV_DONTNEED, locked memory",
    make(t) {
      map(t, 2, 2);
      expect(t.sys.mlock(at(2), bytes(2))).to.equal(0);
    },
    behavior: uapi.MADV_DONTNEED,
    errno: EINVAL,
    after: "--....",
  },
  {
    title: "MADV_DONTNEED_LOCKED, locked memory",
    make(t) {
      map(t, 2, 2);
      expect(t.sys.mlock(at(2), bytes(2))).to.equal(0);
    },
    behavior: uapi.MADV_DONTNEED_LOCKED,
    errno: 0,
    after: "------",
  },
  {
    title: "MADV_REMOVE, from the first page on: no file",
    make: (t) => {
      mapMemfd(t, 2, 2);
    },
    behavior: uapi.MADV_REMOVE,
    errno: EINVAL,
    after: "......",
  },
];

describe("madvise: dropping stops at the first refusal", () => {
  const rows = dropped.map((stop): ErrnoRow => [stop.title, (t) => stops(t, stop, 6), stop.errno]);
  errnoTable("madvise", any, rows);

  TEST_F(any, "MADV_REMOVE, a private mapping behind a shared one: EACCES, and the first is empty", (t) => {
    mapMemfd(t, 0, 2);
    map(t, 2, 2, { flags: uapi.MAP_PRIVATE, fd: memfd(t, 2) });
    touch(t, 0, 4);
    expect(advise(t, 0, 4, uapi.MADV_REMOVE)).to.equal(-EACCES);
    expect(places(t, 0, 4)).to.equal("--..");
  });
});

/** Two pages that the kernel itself mapped, as it does the vdso, where nothing else is. */
const vdso = FIXTURE("vdso", {
  setup(t) {
    const flags = vm_flags_or(VM_READ, VM_MAYREAD);
    const { _install_special_mapping: install } = t.kernel;
    expect(install(t.k, t.k.current.mm!, at(0), bytes(2), flags, { name: "[vdso]" })).to.equal(0);
  },
});

/** Behavior, what the whole mapping says, what one page of it says: it cannot be split. */
const kernels: readonly [keyof typeof uapi, number, number][] = [
  ["MADV_NORMAL", 0, 0],
  ["MADV_RANDOM", 0, EINVAL],
  ["MADV_SEQUENTIAL", 0, EINVAL],
  ["MADV_DONTFORK", 0, EINVAL],
  ["MADV_DOFORK", 0, 0],
  ["MADV_WIPEONFORK", 0, EINVAL],
  ["MADV_KEEPONFORK", 0, 0],
  ["MADV_DONTDUMP", 0, EINVAL],
  ["MADV_DODUMP", EINVAL, EINVAL],
  ["MADV_MERGEABLE", 0, 0],
  ["MADV_UNMERGEABLE", 0, 0],
  ["MADV_HUGEPAGE", 0, EINVAL],
  ["MADV_NOHUGEPAGE", 0, EINVAL],
  ["MADV_WILLNEED", 0, 0],
  ["MADV_DONTNEED", 0, 0],
  ["MADV_DONTNEED_LOCKED", 0, 0],
  ["MADV_FREE", EINVAL, EINVAL],
  ["MADV_REMOVE", EINVAL, EINVAL],
  ["MADV_COLD", 0, 0],
  ["MADV_PAGEOUT", 0, 0],
  ["MADV_POPULATE_WRITE", EINVAL, EINVAL],
  ["MADV_COLLAPSE", EINVAL, EINVAL],
];

describe("madvise: the kernel's own mappings", () => {
  for (const [name, whole, part] of kernels) {
    TEST_F(vdso, `${name}: ${errnoNames[whole] ?? "success"}`, (t) => {
      expect(advise(t, 0, 2, uapi[name])).to.equal(0 - whole);
      expect(ranges(t)).to.equal("0-2");
    });
    TEST_F(vdso, `${name} on part of it: ${errnoNames[part] ?? "success"}`, (t) => {
      const before = vmFlags(t, 0);
      expect(advise(t, 0, 1, uapi[name]), "first page").to.equal(0 - part);
      expect(advise(t, 1, 1, uapi[name]), "last page").to.equal(0 - part);
      expect(ranges(t)).to.equal("0-2");
      expect(vmFlags(t, 0)).to.deep.equal(before);
    });
  }

  const differs = { base: "base does not know the advice, and succeeds with none" };
  TEST_F(vdso, "MADV_NOMOVABLE: success on the whole, EINVAL on part", { differs }, (t) => {
    const part = advise(t, 0, 1, uapi.MADV_NOMOVABLE);
    expect(advise(t, 0, 2, uapi.MADV_NOMOVABLE), "whole").to.equal(0);
    expect(part, "part").to.equal(-EINVAL);
  });
});

const HUGE = 512;

/** Range, what is done to the memory before, what comes back. */
const collapses: readonly [string, (t: T) => void, number, number, number][] = [
  ["a range without a whole huge page", (t) => touch(t, 0, 1), 1, HUGE, 0],
  ["memory that nobody touched", () => undefined, 0, HUGE, EINVAL],
  ["memory that was only read", (t) => void peek(t, 0), 0, HUGE, EINVAL],
  [
    "MADV_NOHUGEPAGE memory",
    (t) => {
      touch(t, 0, 1);
      expect(advise(t, 0, 2 * HUGE, uapi.MADV_NOHUGEPAGE)).to.equal(0);
    },
    0,
    HUGE,
    EINVAL,
  ],
  [
    "memory that has become read-only",
    (t) => {
      touch(t, 0, 2);
      expect(t.sys.mprotect(at(0), bytes(2 * HUGE), uapi.PROT_READ)).to.equal(0);
    },
    0,
    HUGE,
    EINVAL,
  ],
  ["a huge page with nothing behind one that was touched", (t) => touch(t, 0, 1), HUGE, HUGE, EINVAL],
  [
    "pages that are pinned for DMA",
    (t) => {
      touch(t, 0, 1);
      expect(mapDma(t, openContainer(t), 0, 1)).to.equal(0);
    },
    0,
    HUGE,
    EAGAIN,
  ],
];

describe("madvise: MADV_COLLAPSE of two huge pages' room", () => {
  const rows = collapses.map(([title, make, from, pages, errno]): ErrnoRow => {
    const call = (t: T): number => {
      map(t, 0, 2 * HUGE);
      make(t);
      const before = places(t, 0, 2 * HUGE);
      const ret = advise(t, from, pages, uapi.MADV_COLLAPSE);
      expect(places(t, 0, 2 * HUGE)).to.equal(before);
      return ret;
    };
    return [title, call, errno];
  });
  errnoTable("madvise", any, rows);
});
