// SPDX-License-Identifier: GPL-2.0-only
/** Promised memory under vm.overcommit_memory 0, 1 and 2, and the limits RLIMIT_AS and RLIMIT_DATA. */
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EFAULT, EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import {
  MAP_NORESERVE,
  MAP_SHARED,
  OVERCOMMIT_ALWAYS,
  OVERCOMMIT_GUESS,
  OVERCOMMIT_NEVER,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { drop, errnoTable } from "./lib/errnos.js";
import { ANON, at, bytes, map, memfd, RW, SHARED_ANON, type T } from "./lib/memory.js";

const window = FIXTURE("window");

/** CommitLimit and Committed_AS of /proc/meminfo, in pages. */
function meminfo(t: T): { limit: number; committed: number; total: number } {
  const { CommitLimit, Committed_AS, MemTotal } = t.kernel.meminfo(t.k);
  return { limit: CommitLimit / 4, committed: Committed_AS / 4, total: MemTotal / 4 };
}

/** Maps so many pages somewhere: "ok" or the errno. */
function tryMap(t: T, pages: number, o: { prot?: number; flags?: number; fd?: number } = {}): string {
  const ret = t.sys.mmap(0, bytes(pages), o.prot ?? RW, o.flags ?? ANON, o.fd ?? -1, 0);
  return ret >= 0 ? "ok" : String(ret);
}
const REFUSED = String(-ENOMEM);

/** Memory is never overcommitted; nothing is kept back, and there are so many pages to promise. */
function strict(t: T, pages: number): void {
  Object.assign(t.k.config, {
    overcommit_memory: OVERCOMMIT_NEVER,
    overcommit_kbytes: (meminfo(t).committed + pages) * 4,
    admin_reserve_kbytes: 0,
    user_reserve_kbytes: 0,
  });
}

describe("overcommit_memory 0", () => {
  TEST_F(window, "one mapping may have as much as there is memory, and so may the next", (t) => {
    expect(t.k.config.overcommit_memory).to.equal(OVERCOMMIT_GUESS);
    const { total } = meminfo(t);
    expect([tryMap(t, total), tryMap(t, total), tryMap(t, total + 1)]).to.deep.equal(["ok", "ok", REFUSED]);
  });

  TEST_F(window, "what needs no memory of its own may have more", (t) => {
    const pages = meminfo(t).total + 1;
    expect(tryMap(t, pages, { prot: PROT_READ }), "read-only").to.equal("ok");
    expect(tryMap(t, pages, { flags: ANON | MAP_NORESERVE }), "MAP_NORESERVE").to.equal("ok");
    expect(tryMap(t, pages, { flags: SHARED_ANON }), "shared memory is promised when it is made").to.equal(REFUSED);
    expect(tryMap(t, pages, { flags: SHARED_ANON | MAP_NORESERVE })).to.equal("ok");
  });
});

describe("overcommit_memory 1", () => {
  TEST_F(window, "everything is promised", (t) => {
    t.k.config.overcommit_memory = OVERCOMMIT_ALWAYS;
    const { total, committed } = meminfo(t);
    expect([tryMap(t, 100 * total), tryMap(t, 100 * total)]).to.deep.equal(["ok", "ok"]);
    expect(meminfo(t).committed).to.equal(committed + 200 * total);
  });
});

describe("overcommit_memory 2", () => {
  TEST_F(window, "the limit is a share of memory, or a number of KiB", (t) => {
    const { total, limit } = meminfo(t);
    expect(limit).to.equal(Math.floor(total / 2));
    t.k.config.overcommit_ratio = 80;
    expect(meminfo(t).limit).to.equal(Math.floor((total * 80) / 100));
    t.k.config.overcommit_kbytes = 4000;
    expect(meminfo(t).limit).to.equal(1000);
  });

  TEST_F(window, "all but the last page of the limit", (t) => {
    strict(t, 100);
    expect([tryMap(t, 100), tryMap(t, 99), tryMap(t, 1)]).to.deep.equal([REFUSED, "ok", REFUSED]);
  });

  TEST_F(window, "MAP_NORESERVE is no help, read-only memory is free", (t) => {
    strict(t, 100);
    expect(tryMap(t, 100, { flags: ANON | MAP_NORESERVE })).to.equal(REFUSED);
    expect(tryMap(t, 100, { prot: PROT_READ })).to.equal("ok");
    expect(tryMap(t, 100, { flags: MAP_SHARED, fd: memfd(t, 50) })).to.equal("ok");
  });

  TEST_F(window, "without CAP_SYS_ADMIN something is kept back for the administrator", (t) => {
    strict(t, 100);
    t.k.config.admin_reserve_kbytes = 40;
    expect(tryMap(t, 95)).to.equal("ok");
    t.sys.munmap(t.smaps().find((row) => row.end - row.start === bytes(95))!.start, bytes(95));
    drop(t, CAP_SYS_ADMIN);
    expect([tryMap(t, 95), tryMap(t, 89)]).to.deep.equal([REFUSED, "ok"]);
  });

  TEST_F(window, "a 32nd of a process is kept back, up to vm.user_reserve_kbytes", (t) => {
    map(t, 0, 640, { prot: PROT_READ });
    strict(t, 100);
    t.k.config.user_reserve_kbytes = 1 << 20;
    expect([tryMap(t, 80), tryMap(t, 79)]).to.deep.equal([REFUSED, "ok"]);
    strict(t, 100);
    t.k.config.user_reserve_kbytes = 40;
    expect([tryMap(t, 90), tryMap(t, 89)]).to.deep.equal([REFUSED, "ok"]);
  });

  TEST_F(window, "fork promises everything again", (t) => {
    map(t, 0, 64);
    strict(t, 64);
    expect(t.sys.fork()).to.equal(-ENOMEM);
    strict(t, 65);
    expect(t.sys.fork()).to.be.above(0);
  });

  TEST_F(window, "munmap gives it back, MAP_FIXED before it asks", (t) => {
    strict(t, 101);
    map(t, 0, 100);
    map(t, 0, 100);
    expect(tryMap(t, 1)).to.equal(REFUSED);
    t.sys.munmap(at(0), bytes(50));
    expect(tryMap(t, 50)).to.equal("ok");
  });

  TEST_F(window, "MAP_FIXED that is refused has unmapped already", (t) => {
    strict(t, 51);
    map(t, 0, 50);
    expect(t.sys.mmap(at(0), bytes(60), RW, ANON | 0x10, -1, 0)).to.equal(-ENOMEM);
    expect(t.sys.load(at(0))).to.deep.equal({ sig: "SIGSEGV", code: 1 });
  });
});

describe("limits of an address space", () => {
  TEST_F(window, "RLIMIT_AS counts everything", (t) => {
    t.sys.setrlimit(RLIMIT_AS, bytes(t.k.current.mm!.total_vm + 8) + 4095);
    expect([tryMap(t, 9, { prot: PROT_READ }), tryMap(t, 8, { prot: PROT_READ })]).to.deep.equal([REFUSED, "ok"]);
  });

  TEST_F(window, "RLIMIT_AS: what MAP_FIXED replaces does not count twice", (t) => {
    map(t, 0, 8);
    t.sys.setrlimit(RLIMIT_AS, bytes(t.k.current.mm!.total_vm));
    map(t, 0, 8, { prot: PROT_READ });
    expect(t.sys.mmap(at(0), bytes(9), RW, ANON | 0x10, -1, 0)).to.equal(-ENOMEM);
  });

  TEST_F(window, "RLIMIT_DATA counts private writable memory", (t) => {
    t.sys.setrlimit(RLIMIT_DATA, bytes(t.k.current.mm!.data_vm + 8));
    expect(tryMap(t, 9, { prot: PROT_READ })).to.equal("ok");
    expect(tryMap(t, 9, { flags: SHARED_ANON })).to.equal("ok");
    expect([tryMap(t, 9), tryMap(t, 8), tryMap(t, 1)]).to.deep.equal([REFUSED, "ok", REFUSED]);
  });

  TEST_F(window, "a soft RLIMIT_DATA of 0 is the hard one", (t) => {
    t.sys.setrlimit(RLIMIT_DATA, { rlim_cur: 0, rlim_max: bytes(t.k.current.mm!.data_vm + 8) });
    expect([tryMap(t, 9), tryMap(t, 8)]).to.deep.equal([REFUSED, "ok"]);
  });

  errnoTable("setrlimit", window, [
    ["a bad address, before no such limit", (t) => t.sys.setrlimit(99, null), EFAULT],
    ["no such limit, before soft above hard", (t) => t.sys.setrlimit(16, { rlim_cur: 2, rlim_max: 1 }), EINVAL],
    ["a negative limit's number", (t) => t.sys.setrlimit(-1, 1), EINVAL],
    [
      "more descriptors than fs.nr_open",
      (t) => t.sys.setrlimit(RLIMIT_NOFILE, { rlim_cur: 2, rlim_max: 2 ** 20 + 1 }),
      EPERM,
    ],
    ["descriptors without end", (t) => t.sys.setrlimit(RLIMIT_NOFILE, { rlim_cur: 2, rlim_max: -1 }), EPERM],
    ["as many as fs.nr_open", (t) => t.sys.setrlimit(RLIMIT_NOFILE, { rlim_cur: 2, rlim_max: 2 ** 20 }), 0],
    ["no such limit", (t) => t.sys.setrlimit(16, 1), EINVAL],
    ["soft above hard", (t) => t.sys.setrlimit(RLIMIT_AS, { rlim_cur: 2, rlim_max: 1 }), EINVAL],
    [
      "a higher hard limit without CAP_SYS_RESOURCE",
      (t) => {
        t.sys.setrlimit(RLIMIT_AS, { rlim_cur: 1, rlim_max: 2 ** 40 });
        drop(t, CAP_SYS_RESOURCE);
        return t.sys.setrlimit(RLIMIT_AS, { rlim_cur: 1, rlim_max: 2 ** 41 });
      },
      EPERM,
    ],
    [
      "a lower one is anybody's to set",
      (t) => {
        drop(t, CAP_SYS_RESOURCE);
        return t.sys.setrlimit(RLIMIT_AS, { rlim_cur: 2 ** 40, rlim_max: 2 ** 40 });
      },
      0,
    ],
  ]);
});
