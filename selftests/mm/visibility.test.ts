// SPDX-License-Identifier: GPL-2.0-only
/** What a user can see of the advice and do about it, and the mappings that are not ordinary memory. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EINVAL } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  mapMemfd,
  peek,
  places,
  ranges,
  RW,
  touch,
  UNKNOWN,
  vmFlags,
} from "./lib/memory.js";
import { newThread } from "./lib/tasks.js";

const { MADV_NOMOVABLE } = uapi;
const window = FIXTURE("window", { boot: CMA_BOOT });

describe("MADV_NOMOVABLE: seen and undone", () => {
  const unseen = "a user cannot see from smaps which memory has the advice: no name is given to its flag (D6)";
  TEST_F(window, "smaps tells advised memory from other memory", { differs: { base: UNKNOWN, patch: unseen } }, (t) => {
    map(t, 0, 4);
    advise(t, 0, 2, MADV_NOMOVABLE);
    expect(vmFlags(t, 0)).to.not.deep.equal(vmFlags(t, 2));
  });

  const nameless = "smaps shows ?? for advised memory where the architecture gives the flag no name (D6)";
  TEST_F(
    window,
    "smaps has a name for every flag on riscv64",
    { boot: { ...CMA_BOOT, arch: "riscv64" }, differs: { patch: nameless } },
    (t) => {
      map(t, 0, 4);
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(vmFlags(t, 0)).to.not.include("??");
    },
  );

  const forEver = "the advice cannot be taken back: no advice undoes it, the memory must be mapped anew (D6)";
  TEST_F(window, "some advice undoes it", { differs: { patch: forEver } }, (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
    const undoing = [uapi.MADV_NORMAL, uapi.MADV_DOFORK, uapi.MADV_DODUMP, uapi.MADV_KEEPONFORK, uapi.MADV_UNMERGEABLE];
    for (const behavior of undoing) expect(advise(t, 0, 4, behavior)).to.equal(0);
    expect(landing(t, 0, 4)).to.equal("CCCC");
  });

  TEST_F(
    window,
    "an advised mapping is one mapping less after its neighbour is advised as well",
    { differs: { base: UNKNOWN } },
    (t) => {
      map(t, 0, 8);
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(ranges(t)).to.equal("0-4 4-8");
      advise(t, 4, 4, MADV_NOMOVABLE);
      expect(ranges(t)).to.equal("0-8");
    },
  );

  const others: readonly [string, number, string][] = [
    ["MADV_RANDOM", uapi.MADV_RANDOM, "rr"],
    ["MADV_SEQUENTIAL", uapi.MADV_SEQUENTIAL, "sr"],
    ["MADV_DONTFORK", uapi.MADV_DONTFORK, "dc"],
    ["MADV_DONTDUMP", uapi.MADV_DONTDUMP, "dd"],
    ["MADV_WIPEONFORK", uapi.MADV_WIPEONFORK, "wf"],
    ["MADV_MERGEABLE", uapi.MADV_MERGEABLE, "mg"],
    ["MADV_NOHUGEPAGE", uapi.MADV_NOHUGEPAGE, "nh"],
  ];
  for (const [name, behavior, flag] of others) {
    TEST_F(window, `keeps ${name}, and is kept by it`, { differs: { base: UNKNOWN } }, (t) => {
      map(t, 0, 8);
      expect(advise(t, 0, 4, behavior)).to.equal(0);
      advise(t, 0, 8, MADV_NOMOVABLE);
      expect(advise(t, 4, 4, behavior)).to.equal(0);
      expect(landing(t, 0, 8)).to.equal("........");
      expect(vmFlags(t, 0)).to.include(flag);
      expect(ranges(t)).to.equal("0-8");
    });
  }
});

describe("MADV_NOMOVABLE: data are left alone", () => {
  for (const kind of ["anonymous", "memfd"] as const) {
    TEST_F(window, `${kind}: contents, pages and locks are as before`, (t) => {
      if (kind === "anonymous") map(t, 0, 4);
      else mapMemfd(t, 0, 4);
      touch(t, 0, 4, 7);
      const before = places(t, 0, 4);
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(places(t, 0, 4)).to.equal(before);
      for (let n = 0; n < 4; n++) expect(peek(t, n)).to.equal(7);
    });
  }

  TEST_F(window, "read-only and inaccessible memory stays so", (t) => {
    map(t, 0, 1, { prot: uapi.PROT_READ });
    map(t, 1, 1, { prot: uapi.PROT_NONE });
    advise(t, 0, 2, MADV_NOMOVABLE);
    expect(t.sys.store(at(0), 1)).to.deep.equal({ sig: "SIGSEGV", code: 2 });
    expect(t.sys.load(at(1))).to.deep.equal({ sig: "SIGSEGV", code: 2 });
  });

  TEST_F(window, "memory locked before it was advised stays where it is, and locked", (t) => {
    map(t, 0, 4);
    expect(t.sys.mlock(at(0), bytes(4))).to.equal(0);
    advise(t, 0, 4, MADV_NOMOVABLE);
    expect(places(t, 0, 4)).to.equal("CCCC");
    expect(vmFlags(t, 0)).to.include("lo");
  });

  TEST_F(
    window,
    "memory locked after it was advised is populated where a pin may be",
    { differs: { base: UNKNOWN } },
    (t) => {
      map(t, 0, 4);
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(t.sys.mlock(at(0), bytes(4))).to.equal(0);
      expect(places(t, 0, 4)).to.equal("....");
    },
  );
});

describe("process_madvise", () => {
  const allowed: readonly [string, number, number][] = [
    ["MADV_COLD", uapi.MADV_COLD, bytes(4)],
    ["MADV_PAGEOUT", uapi.MADV_PAGEOUT, bytes(4)],
    ["MADV_WILLNEED", uapi.MADV_WILLNEED, bytes(4)],
    ["MADV_NOMOVABLE", MADV_NOMOVABLE, -EINVAL],
    ["MADV_DONTNEED", uapi.MADV_DONTNEED, -EINVAL],
    ["MADV_DONTFORK", uapi.MADV_DONTFORK, -EINVAL],
    ["MADV_POPULATE_WRITE", uapi.MADV_POPULATE_WRITE, -EINVAL],
  ];
  for (const [name, behavior, expected] of allowed) {
    TEST_F(window, `${name} for another process: ${expected < 0 ? "EINVAL" : "the bytes advised"}`, (t) => {
      map(t, 0, 4);
      const child = t.fork();
      const pidfd = t.sys.pidfd_open(child.pid, 0);
      expect(t.sys.process_madvise(pidfd, [[at(0), bytes(4)]], behavior, 0)).to.equal(expected);
    });
  }

  TEST_F(window, "flags: EINVAL", (t) => {
    map(t, 0, 4);
    const pidfd = t.sys.pidfd_open(t.k.current.pid, 0);
    expect(t.sys.process_madvise(pidfd, [[at(0), bytes(4)]], uapi.MADV_COLD, 1)).to.equal(-EINVAL);
  });

  TEST_F(window, "a second range that is not mapped: the bytes of the first", (t) => {
    map(t, 0, 4);
    const vec = [
      [at(0), bytes(4)],
      [at(64), bytes(4)],
    ] as const;
    const pidfd = t.sys.pidfd_open(t.k.current.pid, 0);
    expect(t.sys.process_madvise(pidfd, vec, uapi.MADV_COLD, 0)).to.equal(bytes(4));
  });
});

/** A machine of 64 MiB, half of it CMA; the guest is a child, which the OOM killer may choose. */
const small = FIXTURE("small_host", { boot: { memory: 64 << 20, cma: 32 << 20 } });

describe("placement: a guest larger than the memory that is not CMA", () => {
  const populate = (t: Parameters<typeof landing>[0], advised: boolean): boolean => {
    const guest = t.fork();
    return t.as(guest, () => {
      map(t, 0, 10240);
      if (advised) advise(t, 0, 10240, MADV_NOMOVABLE);
      const ret = advise(t, 0, 10240, uapi.MADV_POPULATE_WRITE);
      return ret === 0 && guest.fatal_signal === 0;
    });
  };

  TEST_F(small, "not advised, 40 of 64 MiB: it is populated", (t) => {
    expect(populate(t, false)).to.equal(true);
  });

  const killed =
    "an advised guest that fits into memory is killed while it is populated, with half of the machine free (D10)";
  TEST_F(small, "advised, 40 of 64 MiB: it is populated", { differs: { patch: killed } }, (t) => {
    expect(populate(t, true)).to.equal(true);
  });

  TEST_F(small, "a thread of an advised guest finds its memory", (t) => {
    map(t, 0, 64);
    advise(t, 0, 64, MADV_NOMOVABLE);
    const thread = newThread(t);
    t.as(thread, () => touch(t, 0, 64, 3));
    expect(t.sys.mprotect(at(0), bytes(64), RW)).to.equal(0);
    expect(peek(t, 63)).to.equal(3);
  });
});
