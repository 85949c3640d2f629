// SPDX-License-Identifier: GPL-2.0-only
/** Where mmap() puts a mapping that has no fixed place, and how stacks grow. */
import { RLIMIT_AS, RLIMIT_STACK } from "../../include/linux/sched.js";
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { EEXIST, ENOMEM } from "../../uapi/errno.js";
import {
  MAP_32BIT,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  OVERCOMMIT_NEVER,
  PROT_NONE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { limitLocked } from "./lib/errnos.js";
import { ANON, at, bytes, map, ranges, RW, type T, vmFlags } from "./lib/memory.js";

const GAP = 256;
const MIB = 1 << 20;
const SEGV = { sig: "SIGSEGV", code: 1 };

const topdown = FIXTURE("top_down");
const bottomup = FIXTURE("bottom_up", { boot: { config: { legacy_va_layout: true } } });
const layout = FIXTURE<undefined, { legacy: boolean }>("layout", {
  setup(t, { legacy }) {
    if (legacy) t.boot({ config: { legacy_va_layout: true } });
    return undefined;
  },
});
FIXTURE_VARIANT(layout, "top_down", { legacy: false });
FIXTURE_VARIANT(layout, "bottom_up", { legacy: true });

function mmap(t: T, pages: number, hint = 0, flags = 0): number {
  return t.sys.mmap(hint, bytes(pages), RW, ANON | flags, -1, 0);
}

describe("mmap: top-down", () => {
  TEST_F(topdown, "the first is below the stack's room, each further one below the last", (t) => {
    const first = mmap(t, 4);
    expect(first + bytes(4)).to.equal(t.k.arch.TASK_SIZE - 128 * MIB);
    expect(mmap(t, 2)).to.equal(first - bytes(2));
  });

  TEST_F(topdown, "the highest hole that is large enough", (t) => {
    const top = mmap(t, 16);
    mmap(t, 4);
    t.sys.munmap(top + bytes(10), bytes(2));
    t.sys.munmap(top + bytes(4), bytes(3));
    expect(mmap(t, 3)).to.equal(top + bytes(4));
    expect(mmap(t, 1)).to.equal(top + bytes(11));
  });

  TEST_F(topdown, "above the base when there is no room below", (t) => {
    const base = t.k.current.mm!.mmap_base;
    t.sys.mmap(bytes(1), base - bytes(1), PROT_NONE, ANON | MAP_FIXED, -1, 0);
    expect(mmap(t, 4)).to.equal(base);
  });
});

describe("mmap: bottom-up, as with vm.legacy_va_layout", () => {
  TEST_F(bottomup, "the first is at a third, each further one above the last", (t) => {
    const first = mmap(t, 4);
    expect(first).to.equal(Math.ceil(Math.floor(t.k.arch.TASK_SIZE / 3) / 4096) * 4096);
    expect(mmap(t, 2)).to.equal(first + bytes(4));
  });

  TEST_F(bottomup, "the lowest hole that is large enough", (t) => {
    const first = mmap(t, 16);
    t.sys.munmap(first + bytes(2), bytes(1));
    t.sys.munmap(first + bytes(8), bytes(4));
    expect(mmap(t, 3)).to.equal(first + bytes(8));
    expect(mmap(t, 1)).to.equal(first + bytes(2));
  });

  TEST_F(bottomup, "a child is laid out as its parent", (t) => {
    const first = mmap(t, 4);
    t.inChild(() => expect(mmap(t, 1)).to.equal(first + bytes(4)));
  });
});

describe("mmap: hints", () => {
  TEST_F(layout, "a place that is free is taken", (t) => {
    expect(mmap(t, 4, at(0))).to.equal(at(0));
    expect(mmap(t, 4, at(4))).to.equal(at(4));
  });

  TEST_F(layout, "one that is not free is not looked for nearby", (t) => {
    map(t, 2, 1);
    expect(mmap(t, 4, at(0))).to.be.above(2 ** 40);
  });

  TEST_F(layout, "one within a page is rounded down", (t) => {
    expect(mmap(t, 1, at(3) + 4095)).to.equal(at(3));
  });

  TEST_F(layout, "one below vm.mmap_min_addr is raised to it", (t) => {
    expect(mmap(t, 1, 4096)).to.equal(t.k.config.mmap_min_addr);
  });

  TEST_F(layout, "one in the kernel's half, or too near to the end", (t) => {
    expect(mmap(t, 1, -4096)).to.be.within(2 ** 40, 2 ** 47);
    expect(mmap(t, 4, 2 ** 47 - bytes(4))).to.be.within(2 ** 40, 2 ** 47 - bytes(5));
    expect(mmap(t, 4, 2 ** 47 - bytes(5))).to.equal(2 ** 47 - bytes(5));
  });

  TEST_F(layout, "MAP_32BIT: from 1 GiB up, and no further than 2 GiB", (t) => {
    expect(mmap(t, 1, 0, MAP_32BIT)).to.equal(2 ** 30);
    expect(mmap(t, 1, 2 ** 31 - 4096, MAP_32BIT)).to.equal(2 ** 31 - 4096);
    expect(mmap(t, 1, 2 ** 31, MAP_32BIT)).to.equal(2 ** 30 + 4096);
    expect(mmap(t, 2 ** 18, 0, MAP_32BIT)).to.equal(-ENOMEM);
  });

  TEST_F(layout, "MAP_FIXED_NOREPLACE: what touches is no obstacle, one page too many is", (t) => {
    map(t, 4, 1);
    expect(mmap(t, 4, at(0), MAP_FIXED_NOREPLACE)).to.equal(at(0));
    expect(mmap(t, 1, at(3), MAP_FIXED_NOREPLACE)).to.equal(-EEXIST);
  });

  TEST_F(layout, "a hint in a stack's guard gap is not taken", (t) => {
    map(t, 1000, 1, { flags: ANON | MAP_GROWSDOWN });
    expect(mmap(t, 1, at(1000 - GAP))).to.be.above(2 ** 40);
    expect(mmap(t, 1, at(1000 - GAP - 1))).to.equal(at(1000 - GAP - 1));
  });
});

/** A stack of two pages at page 1000 of the window. */
const stack = FIXTURE("stack", {
  setup(t) {
    map(t, 1000, 2, { flags: ANON | MAP_GROWSDOWN });
  },
});

describe("stacks", () => {
  TEST_F(stack, "grow to the page that is touched", (t) => {
    expect(t.sys.store(at(990), 42)).to.deep.equal({ val: 42 });
    expect(ranges(t)).to.equal("990-1002");
    expect(t.k.current.mm!.stack_vm).to.equal(12);
    expect(vmFlags(t, 990)).to.deep.equal(["rd", "wr", "mr", "mw", "me", "gd", "ac"]);
  });

  TEST_F(stack, "keep a gap to what can be accessed below", (t) => {
    map(t, 500, 1, { prot: PROT_READ });
    expect(t.sys.load(at(501 + GAP - 1))).to.deep.equal(SEGV);
    expect(t.sys.load(at(501 + GAP))).to.deep.equal({ val: 0 });
  });

  TEST_F(stack, "keep none to what cannot, nor to another stack", (t) => {
    map(t, 900, 1, { prot: PROT_NONE });
    expect(t.sys.load(at(901))).to.deep.equal({ val: 0 });
    map(t, 700, 1, { flags: ANON | MAP_GROWSDOWN });
    t.sys.munmap(at(900), bytes(1));
    expect(t.sys.load(at(701))).to.deep.equal({ val: 0 });
    expect(ranges(t), "and do not merge with it").to.equal("700-701 701-1002");
  });

  TEST_F(stack, "do not grow below vm.mmap_min_addr", (t) => {
    const low = t.k.config.mmap_min_addr;
    t.sys.mmap(low + bytes(2), bytes(1), RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    expect(t.sys.load(low)).to.deep.equal({ val: 0 });
    expect(t.sys.load(low - 4096)).to.deep.equal(SEGV);
  });

  const limits: readonly [string, (t: T) => void][] = [
    ["RLIMIT_STACK", (t) => void t.sys.setrlimit(RLIMIT_STACK, bytes(11))],
    ["RLIMIT_AS", (t) => void t.sys.setrlimit(RLIMIT_AS, bytes(t.k.current.mm!.total_vm + 9))],
    [
      "RLIMIT_MEMLOCK, when locked",
      (t) => {
        t.sys.mlock(at(1000), bytes(2));
        limitLocked(t, 11);
      },
    ],
    [
      "what may be promised",
      (t) => {
        Object.assign(t.k.config, { overcommit_memory: OVERCOMMIT_NEVER, admin_reserve_kbytes: 0 });
        t.k.config.overcommit_kbytes = t.kernel.meminfo(t.k).Committed_AS + 10 * 4;
      },
    ],
  ];
  for (const [title, limit] of limits) {
    TEST_F(stack, `grow no further than ${title} allows`, (t) => {
      limit(t);
      expect(t.sys.load(at(990))).to.deep.equal(SEGV);
      expect(ranges(t)).to.equal("1000-1002");
      expect(t.sys.load(at(991))).to.deep.equal({ val: 0 });
    });
  }

  TEST_F(stack, "a locked one grows locked", (t) => {
    t.sys.mlock(at(1000), bytes(2));
    t.sys.store(at(998), 1);
    expect(t.k.current.mm!.locked_vm).to.equal(4);
  });
});
