// SPDX-License-Identifier: GPL-2.0-only
/** mlock(), mlock2(), munlock(), mlockall(), munlockall(): what they refuse, and what counts against RLIMIT_MEMLOCK. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_IO, VM_PFNMAP } from "../../include/linux/mm.js";
import { vm_flags_or } from "../../include/linux/vm_flags.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, EINTR, EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import {
  MAP_SHARED,
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  MLOCK_ONFAULT,
  PROT_NONE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { errnoTable, type ErrnoRow, limitLocked } from "./lib/errnos.js";
import { failAllocations } from "./lib/tasks.js";
import { ANON, at, bytes, map, places, ranges, RW, type T, vmFlags } from "./lib/memory.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});

function locked(t: T): number {
  return t.k.current.mm!.locked_vm;
}

function mlock(t: T, page: number, pages: number): number {
  return t.sys.mlock(at(page), bytes(pages));
}

const flags: readonly ErrnoRow[] = [
  ["nothing mapped", (t) => t.sys.mlock2(at(8), 4096, MLOCK_ONFAULT), ENOMEM],
  ["no right to", (t) => (limitLocked(t, 0), t.sys.mlock2(at(0), 4096, MLOCK_ONFAULT)), EPERM],
  ["no memory: nothing is filled", (t) => withoutMemory(t, () => t.sys.mlock2(at(0), 4096, MLOCK_ONFAULT)), 0],
  [
    "an unknown flag, before no right",
    (t) => {
      limitLocked(t, 0);
      return t.sys.mlock2(at(0), 4096, 2);
    },
    EINVAL,
  ],
];

/** No page can be had. */
function withoutMemory(t: T, call: () => number): number {
  failAllocations(t.k, { probability: 100 });
  const ret = call();
  failAllocations(t.k, { probability: 0 });
  return ret;
}

/** The task is being killed. */
function dying(t: T, call: () => number): number {
  t.k.current.fatal_signal = 9;
  const ret = call();
  t.k.current.fatal_signal = 0;
  return ret;
}

const lockedRanges: readonly ErrnoRow[] = [
  ["no memory to fill it with", (t) => withoutMemory(t, () => mlock(t, 0, 8)), EAGAIN],
  ["no memory, and a hole behind", (t) => withoutMemory(t, () => mlock(t, 4, 8)), ENOMEM],
  ["a task that is being killed", (t) => dying(t, () => mlock(t, 0, 8)), EINTR],
  [
    "no right to, before nothing mapped",
    (t) => {
      limitLocked(t, 0);
      return mlock(t, 100, 1);
    },
    EPERM,
  ],
  [
    "over the limit, before a range that wraps",
    (t) => {
      limitLocked(t, 7);
      return t.sys.mlock(at(0), -8192);
    },
    ENOMEM,
  ],
  ["a range that wraps, before the kernel's half", (t) => t.sys.mlock(-4096, 8192), EINVAL],
  ["a length that wraps to nothing", (t) => t.sys.mlock(at(100), -1), 0],
  ["no length", (t) => mlock(t, 100, 0), 0],
  ["the kernel's half", (t) => t.sys.mlock(-8192, 4096), ENOMEM],
  ["nothing mapped at the start", (t) => mlock(t, 8, 1), ENOMEM],
  ["a hole behind", (t) => mlock(t, 4, 8), ENOMEM],
  [
    "memory that cannot be read",
    (t) => {
      map(t, 0, 8, { prot: PROT_NONE });
      return mlock(t, 0, 8);
    },
    ENOMEM,
  ],
  [
    "too many mappings",
    (t) => {
      t.k.config.max_map_count = t.k.current.mm!.map_count;
      return mlock(t, 2, 2);
    },
    ENOMEM,
  ],
];

const unlocked: readonly ErrnoRow[] = [
  ["a range that wraps", (t) => t.sys.munlock(-4096, 8192), EINVAL],
  ["nothing mapped", (t) => t.sys.munlock(at(8), 4096), ENOMEM],
  [
    "needs no right",
    (t) => {
      mlock(t, 0, 8);
      limitLocked(t, 0);
      return t.sys.munlock(at(0), bytes(8));
    },
    0,
  ],
];

const all: readonly ErrnoRow[] = [
  [
    "no flags, before no right",
    (t) => {
      limitLocked(t, 0);
      return t.sys.mlockall(0);
    },
    EINVAL,
  ],
  ["MCL_ONFAULT alone", (t) => t.sys.mlockall(MCL_ONFAULT), EINVAL],
  ["an unknown flag", (t) => t.sys.mlockall(MCL_CURRENT | 8), EINVAL],
  [
    "no right to, before over the limit",
    (t) => {
      limitLocked(t, 0);
      return t.sys.mlockall(MCL_CURRENT);
    },
    EPERM,
  ],
  [
    "more mapped than may be locked",
    (t) => {
      limitLocked(t, 7);
      return t.sys.mlockall(MCL_CURRENT | MCL_FUTURE);
    },
    ENOMEM,
  ],
  [
    "only for the future, the limit does not matter",
    (t) => {
      limitLocked(t, 7);
      return t.sys.mlockall(MCL_FUTURE);
    },
    0,
  ],
];

describe("mlock: refused", () => {
  errnoTable("mlock2", eight, flags);
  errnoTable("mlock", eight, lockedRanges);
  errnoTable("munlock", eight, unlocked);
  errnoTable("mlockall", eight, all);

  TEST_F(eight, "what comes before a hole is locked, but not filled", (t) => {
    expect(mlock(t, 4, 8)).to.equal(-ENOMEM);
    expect(ranges(t)).to.equal("0-4 4-8");
    expect(vmFlags(t, 4)).to.include("lo");
    expect(places(t, 4, 4)).to.equal("----");
    expect(locked(t)).to.equal(4);
  });

  TEST_F(eight, "memory that cannot be read is locked all the same", (t) => {
    map(t, 0, 8, { prot: PROT_NONE });
    expect(mlock(t, 0, 8)).to.equal(-ENOMEM);
    expect(vmFlags(t, 0)).to.include("lo");
  });
});

describe("mlock: what counts", () => {
  TEST_F(eight, "pages that are locked already do not count again", (t) => {
    mlock(t, 0, 4);
    limitLocked(t, 6);
    expect(mlock(t, 0, 8)).to.equal(-ENOMEM);
    expect(mlock(t, 0, 6)).to.equal(0);
    expect(mlock(t, 2, 4)).to.equal(0);
    expect(locked(t)).to.equal(6);
  });

  TEST_F(eight, "every page that a byte of the range is in", (t) => {
    expect(t.sys.mlock(at(1) + 4095, 2)).to.equal(0);
    expect(ranges(t)).to.equal("0-1 1-3 3-8");
  });

  TEST_F(eight, "munmap gives back, fork does not inherit", (t) => {
    mlock(t, 0, 8);
    t.inChild(() => {
      expect(locked(t)).to.equal(0);
      expect(vmFlags(t, 0)).to.not.include("lo");
    });
    t.sys.munmap(at(2), bytes(3));
    expect(locked(t)).to.equal(5);
  });

  TEST_F(eight, "MLOCK_ONFAULT counts at once and fills nothing; smaps has no name for it", (t) => {
    expect(t.sys.mlock2(at(0), bytes(8), MLOCK_ONFAULT)).to.equal(0);
    expect(locked(t)).to.equal(8);
    expect(places(t, 0, 8)).to.equal("--------");
    expect(vmFlags(t, 0)).to.include.members(["lo", "??"]);
    expect(mlock(t, 0, 4), "and mlock makes it a full lock").to.equal(0);
    expect(vmFlags(t, 0)).to.include("lo").and.not.include("??");
    expect(places(t, 0, 8)).to.equal("....----");
  });

  TEST_F(eight, "device memory is neither locked nor counted", (t) => {
    const flags = vm_flags_or(VM_IO, VM_PFNMAP);
    t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/mem", FMODE_READ | FMODE_WRITE, flags));
    map(t, 16, 4, { flags: MAP_SHARED, fd: 9 });
    expect(mlock(t, 16, 4)).to.equal(0);
    expect(vmFlags(t, 16)).to.not.include("lo");
    expect(locked(t)).to.equal(0);
  });
});

describe("mlockall", () => {
  TEST_F(eight, "MCL_CURRENT locks and fills what there is", (t) => {
    map(t, 16, 2, { prot: PROT_READ });
    map(t, 24, 2, { prot: PROT_NONE });
    expect(t.sys.mlockall(MCL_CURRENT)).to.equal(0);
    expect(places(t, 0, 8) + places(t, 16, 2) + places(t, 24, 2)).to.equal("........zz--");
    expect(locked(t)).to.equal(t.k.current.mm!.total_vm);
    map(t, 32, 1);
    expect(vmFlags(t, 32)).to.not.include("lo");
  });

  TEST_F(eight, "MCL_FUTURE locks what comes, and a new call forgets it", (t) => {
    expect(t.sys.mlockall(MCL_FUTURE)).to.equal(0);
    map(t, 16, 2);
    expect([vmFlags(t, 0)!.includes("lo"), vmFlags(t, 16)!.includes("lo")]).to.deep.equal([false, true]);
    expect(t.sys.mlockall(MCL_CURRENT)).to.equal(0);
    map(t, 32, 2);
    expect(vmFlags(t, 32)).to.not.include("lo");
  });

  TEST_F(eight, "MCL_FUTURE | MCL_ONFAULT", (t) => {
    expect(t.sys.mlockall(MCL_FUTURE | MCL_ONFAULT)).to.equal(0);
    map(t, 16, 2);
    expect(vmFlags(t, 16)).to.include.members(["lo", "??"]);
  });

  TEST_F(eight, "under MCL_FUTURE, a mapping or a heap over the limit is refused", (t) => {
    limitLocked(t, 4);
    expect(t.sys.mlockall(MCL_FUTURE)).to.equal(0);
    expect(t.sys.mmap(at(16), bytes(5), RW, ANON, -1, 0)).to.equal(-EAGAIN);
    const brk = t.sys.brk(0);
    expect(t.sys.brk(brk + bytes(5))).to.equal(brk);
    expect(t.sys.brk(brk + bytes(4))).to.equal(brk + bytes(4));
    expect(locked(t)).to.equal(4);
  });

  TEST_F(eight, "munlockall: nothing is locked any more, now or in future", (t) => {
    t.sys.mlockall(MCL_CURRENT | MCL_FUTURE);
    expect(t.sys.munlockall()).to.equal(0);
    map(t, 16, 2);
    expect(locked(t)).to.equal(0);
    expect(vmFlags(t, 16)).to.not.include("lo");
  });
});
