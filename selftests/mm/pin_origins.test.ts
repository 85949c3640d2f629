// SPDX-License-Identifier: GPL-2.0-only
/** At which call each holder of a page took its reference: page tables, page and swap cache, pins of calls that go on. */
import { attributionWords, holderWords } from "../../harness/attribution.js";
import { expect, FIXTURE, TEST, TEST_F } from "../../harness/kselftest/index.js";
import type { task_struct } from "../../include/linux/sched.js";
import { PMD_SIZE } from "../../include/linux/types.js";
import { ENOMEM } from "../../uapi/errno.js";
import { type gup_test, PIN_BASIC_TEST, PIN_LONGTERM_BENCHMARK } from "../../uapi/gup_test.js";
import {
  MADV_COLLAPSE,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_PAGEOUT,
  MADV_POPULATE_WRITE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from "../../uapi/mman-common.js";
import { advise, at, bytes, CMA_BOOT, frameOf, map, mapMemfd, memfd, type T, touch } from "./lib/memory.js";
import { incore, SSD, swapTo } from "./lib/swap.js";
import { HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const HELD_BY_MIGRATION = "isolated by the migration";

/** Makes calls and answers the number of the last. */
function after(t: T, calls: () => unknown): number {
  calls();
  return t.k.calls.made;
}

/** Who holds the page at a page of the window, in words, as JSON keeps it. */
function origins(t: T, page = 0, task?: task_struct): string[] {
  const holders = t.kernel.pageHolders(t.k, frameOf(t, page, task));
  expect(JSON.parse(JSON.stringify(holders))).to.deep.equal(holders);
  return holders.filter(({ kind }) => kind !== "LRU batch").map(holderWords);
}

const table = (call: number, how: string, page = 0, pid = 1): string =>
  `page table (task ${pid} at 0x${at(page).toString(16)}) since call ${call}, ${how}`;

function cache(t: T, fd: number, call: number, how: string): string {
  const { i_ino } = t.k.current.files.get(fd)!.f_inode;
  return `page cache (inode ${i_ino}) since call ${call}, ${how}`;
}

describe("origins: page tables", () => {
  TEST("two faults, and populate of what they left", (t) => {
    map(t, 0, 4);
    const faults = [2, 1].map((page) => after(t, () => touch(t, page, 1)));
    const populate = after(t, () => advise(t, 0, 4, MADV_POPULATE_WRITE));
    const found = [0, 1, 2, 3].map((page) => origins(t, page));
    expect(found).to.deep.equal([
      [table(populate, "madvise of task 1", 0)],
      [table(faults[1]!, "page fault of task 1", 1)],
      [table(faults[0]!, "page fault of task 1", 2)],
      [table(populate, "madvise of task 1", 3)],
    ]);
  });

  TEST("a page that was dropped and faulted in again: the second fault", (t) => {
    map(t, 0, 2);
    const first = after(t, () => touch(t, 0, 2)) - 1;
    advise(t, 1, 1, MADV_DONTNEED);
    const second = after(t, () => touch(t, 1, 1));
    expect(origins(t, 0)).to.deep.equal([table(first, "page fault of task 1")]);
    expect(origins(t, 1)).to.deep.equal([table(second, "page fault of task 1", 1)]);
  });

  TEST("fork: the parent's by its fault, the child's by fork; a write after it, by the write", (t) => {
    map(t, 0, 2);
    const fault = after(t, () => touch(t, 0, 1));
    const child = t.fork();
    const fork = t.k.calls.made;
    const both = [table(fault, "page fault of task 1"), table(fork, "fork of task 1", 0, child.pid)];
    expect(origins(t)).to.deep.equal(both);
    expect(origins(t, 0, child)).to.deep.equal(both);
    const write = after(t, () => t.as(child, () => touch(t, 0, 1)));
    const how = `page fault of task ${child.pid}`;
    expect(origins(t, 0, child)).to.deep.equal([table(write, how, 0, child.pid)]);
    expect(origins(t)).to.deep.equal(both.slice(0, 1));
    t.as(child, () => t.sys.exit(0));
  });

  for (const [what, pages, to] of [
    ["single entries", 2, 9],
    ["a table of 2 MiB", PMD_SIZE / 4096, PMD_SIZE / 4096],
  ] as const) {
    TEST(`mremap keeps them: ${what}`, (t) => {
      map(t, 0, pages);
      const fault = after(t, () => touch(t, 1, 1));
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      expect(t.sys.mremap(at(0), bytes(pages), bytes(pages), flags, at(to))).to.equal(at(to));
      expect(origins(t, to + 1)).to.deep.equal([table(fault, "page fault of task 1", to + 1)]);
    });
  }

  TEST("a huge page: the fault, also once it is mapped by small entries; MADV_COLLAPSE", { boot: THP_BOOT }, (t) => {
    mapHuge(t, 0, HUGE);
    const fault = after(t, () => touch(t, 0, 1));
    expect(origins(t)).to.deep.equal([table(fault, "page fault of task 1")]);
    t.sys.mprotect(at(0), bytes(1), 0);
    const others = `0x${at(1).toString(16)}, task 1 at 0x${at(2).toString(16)}, task 1 at 0x${at(3).toString(16)}`;
    expect(origins(t)).to.include(
      `page table (task 1 at 0x${at(0).toString(16)}, task 1 at ${others} and 508 more) since call ${fault}, page fault of task 1`,
    );
    map(t, HUGE, HUGE);
    touch(t, HUGE, 2);
    advise(t, HUGE, HUGE, MADV_HUGEPAGE);
    const collapse = after(t, () => advise(t, HUGE, HUGE, MADV_COLLAPSE));
    expect(origins(t, HUGE)).to.deep.equal([table(collapse, "madvise of task 1", HUGE)]);
  });
});

describe("origins: page and swap cache", () => {
  TEST("write(), fallocate() and a fault add pages; a second process maps one of them", (t) => {
    const fd = mapMemfd(t, 0, 3);
    const write = after(t, () => t.sys.pwrite(fd, 7, 0));
    const fallocate = after(t, () => t.sys.fallocate(fd, 0, bytes(1), bytes(1)));
    const fault = after(t, () => touch(t, 2, 1));
    const uses = [0, 1].map((page) => after(t, () => touch(t, page, 1)));
    const how = "page fault of task 1";
    expect(origins(t, 0)).to.deep.equal([table(uses[0]!, how), cache(t, fd, write, "pwrite of task 1")]);
    expect(origins(t, 1)).to.deep.equal([table(uses[1]!, how, 1), cache(t, fd, fallocate, "fallocate of task 1")]);
    expect(origins(t, 2)).to.deep.equal([table(fault, how, 2), cache(t, fd, fault, how)]);

    const child = t.fork();
    const other = after(t, () => t.as(child, () => touch(t, 1, 1)));
    expect(origins(t, 1)).to.deep.equal([
      table(uses[1]!, how, 1),
      table(other, `page fault of task ${child.pid}`, 1, child.pid),
      cache(t, fd, fallocate, "fallocate of task 1"),
    ]);
    t.as(child, () => t.sys.exit(0));
  });

  TEST("a second mapping of a memfd in the same process, whose cache a hole was punched in", (t) => {
    const fd = memfd(t, 2);
    for (const page of [0, 8]) map(t, page, 2, { flags: MAP_SHARED, fd });
    touch(t, 0, 2);
    t.sys.fallocate(fd, 3, 0, bytes(1));
    const again = after(t, () => touch(t, 8, 1));
    const mapped = after(t, () => touch(t, 0, 1));
    const how = "page fault of task 1";
    expect(origins(t)).to.deep.equal([table(mapped, how), table(again, how, 8), cache(t, fd, again, how)]);
  });

  TEST("the swap cache: the call that put the page out; what maps it again: the fault", (t) => {
    swapTo(t, SSD);
    map(t, 0, 1);
    touch(t, 0, 1);
    let out = 0;
    for (let n = 0; n < 3; n++) {
      advise(t, 0, 1, MADV_PAGEOUT);
      if (out === 0 && frameOf(t, 0) === 0) out = t.k.calls.made;
    }
    expect([incore(t, 0, 1), out > 0]).to.deep.equal(["1", true]);
    const fault = after(t, () => t.sys.load(at(0)));
    expect(origins(t)).to.deep.equal([
      table(fault, "page fault of task 1"),
      `swap cache since call ${out}, madvise of task 1`,
    ]);
  });

  TEST("a page that migrates keeps both: it is where it may be pinned now", { boot: CMA_BOOT }, (t) => {
    const fd = mapMemfd(t, 0, 2);
    const write = after(t, () => t.sys.pwrite(fd, 7, 0));
    const fault = after(t, () => touch(t, 0, 2)) - 1;
    advise(t, 0, 2, MADV_POPULATE_WRITE);
    const before = frameOf(t, 0);
    const pin = after(t, () => mapDma(t, openContainer(t), 0, 2));
    expect(frameOf(t, 0)).to.not.equal(before);
    expect(origins(t)).to.deep.equal([
      table(fault, "page fault of task 1"),
      cache(t, fd, write, "pwrite of task 1"),
      `pin (VFIO mapping of task 1 at iova 0x0) since call ${pin}, ioctl of task 1`,
    ]);
  });
});

/** Two pages of memfd in CMA; the second is not there yet, so that who pins both sleeps with a pin on the first. */
const half = FIXTURE("half", {
  boot: CMA_BOOT,
  setup(t) {
    mapMemfd(t, 0, 2);
    for (let n = 0; n < 2; n++) advise(t, 0, 1, MADV_POPULATE_WRITE);
    return t.sys.open("/sys/kernel/debug/gup_test", 2);
  },
});

/** Pins pages 0 and 1 and lets them go again; `each` so many at a time. */
function pinBoth(t: T, fd: number, command: number, each: number): number {
  const arg: gup_test = {
    get_delta_usec: 0,
    put_delta_usec: 0,
    addr: at(0),
    size: bytes(2),
    nr_pages_per_call: each,
    gup_flags: 1,
    test_flags: 0,
  };
  return t.sys.ioctl(fd, command, arg);
}

/** Runs something as a task while somebody else allocates a page, where it may sleep: once the pin has its array. */
function whileAllocating(t: T, task: task_struct, run: () => void): void {
  let allocations = 0;
  t.k.tracing = true;
  t.k.hooks.trace = (event) => {
    if (event !== "mm_page_alloc" || allocations++ === 0) return;
    t.k.tracing = false;
    t.as(task, run);
  };
}

describe("origins: pins of calls that go on", () => {
  for (const each of [1, 2]) {
    TEST_F(half, `a pin that faults, ${each} a call: another's long-term pin fails for it, and names it`, (t) => {
      const child = t.fork();
      const pfn = frameOf(t, 0);
      let text = "";
      whileAllocating(t, child, () => {
        expect(mapDma(t, openContainer(t), 0, 1)).to.equal(-ENOMEM);
        const failure = t.kernel.pin_report_of(t.k).first!;
        expect([failure.reason, failure.pfn]).to.deep.equal(["unexpected reference", pfn]);
        text = attributionWords(failure, -ENOMEM);
      });
      const pin = after(t, () => pinBoth(t, t.self, PIN_BASIC_TEST, each));
      // the child's calls, open and ioctl, came after it
      expect(text).to.include(
        `; by pin (of a call that goes on) since call ${pin - 2}, ioctl of task 1; beside page table`,
      );
      expect(text).to.include(HELD_BY_MIGRATION);
      expect(t.kernel.pageHolders(t.k, frameOf(t, 0)).some(({ kind }) => kind === "pin")).to.equal(false);
      t.as(child, () => t.sys.exit(0));
    });
  }

  TEST_F(half, "of two that sleep, each its own", (t) => {
    const child = t.fork();
    const seen: string[][] = [];
    const third = t.fork();
    t.as(child, () => touch(t, 0, 1));
    const nested = t.k.calls.made + 1;
    whileAllocating(t, child, () => {
      whileAllocating(t, third, () => seen.push(origins(t, 0, child)));
      pinBoth(t, t.self, PIN_BASIC_TEST, 2);
    });
    pinBoth(t, t.self, PIN_BASIC_TEST, 2);
    expect(seen[0]!.filter((words) => words.startsWith("pin"))).to.deep.equal([
      `pin (of a call that goes on) since call ${nested}, ioctl of task 1`,
      `pin (of a call that goes on) since call ${nested + 1}, ioctl of task ${child.pid}`,
    ]);
    for (const task of [child, third]) t.as(task, () => t.sys.exit(0));
  });

  TEST("VFIO, what it has pinned and not mapped yet", (t) => {
    mapMemfd(t, 0, 514);
    advise(t, 0, 513, MADV_POPULATE_WRITE);
    const container = openContainer(t);
    const seen: string[][] = [];
    let allocations = 0;
    t.k.tracing = true;
    t.k.hooks.trace = (event) => {
      if (event === "mm_page_alloc" && allocations++ > 0) seen.push(origins(t, 0));
    };
    const pin = after(t, () => mapDma(t, container, 0, 514));
    t.k.tracing = false;
    expect(seen[0]).to.include(`pin (VFIO mapping of task 1 at iova 0x0) since call ${pin}, ioctl of task 1`);
  });

  TEST_F(half, "a long-term pin has let go of all before it sleeps", (t) => {
    advise(t, 1, 1, MADV_POPULATE_WRITE);
    const seen: string[] = [];
    t.k.hooks.yieldPoint = (point) => {
      if (point === "migrate_pages") seen.push(...origins(t, 0));
      return undefined;
    };
    pinBoth(t, t.self, PIN_LONGTERM_BENCHMARK, 2);
    expect(seen.length).to.be.above(0);
    expect(seen.filter((words) => words.startsWith("pin"))).to.deep.equal([]);
  });
});
