// SPDX-License-Identifier: GPL-2.0-only
/**
 * What is told of a page on its way, and who waits for it: /proc/PID/smaps and pagemap, mincore(), move_pages(), pins. No
 * recording can catch one; the rules are those of fs/proc/task_mmu.c, mm/mincore.c, mm/gup.c and mm/migrate.c.
 */
import { expect, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_UNMERGEABLE, PROT_READ } from "../../uapi/mman-common.js";
import { mergeable, scan } from "./lib/ksm.js";
import { advise, at, bytes, frameOf, peek, type T } from "./lib/memory.js";
import {
  anonymous,
  boot,
  counted,
  FILE,
  move,
  pagemap,
  PAGES,
  shared,
  SWAP,
  TYPE_BITS,
  waits,
} from "./lib/migration.js";
import { movePages } from "./lib/numa.js";
import { newThread } from "./lib/tasks.js";
import { drawing } from "./lib/thp.js";

const COUNTS = ["Rss", "Pss", "Shared_Dirty", "Private_Dirty", "Referenced", "Swap", "SwapPss"];

describe("migration entries: pagemap", () => {
  for (const [fixture, file] of [
    [anonymous, 0n],
    [shared, FILE],
  ] as const) {
    TEST_F(fixture, "has the swap bit, the type of writable entries, and the frame that the page comes from", (t) => {
      const frame = BigInt(frameOf(t, 0));
      move(t, () => expect(pagemap(t, 0)).to.equal(SWAP | file | (frame << TYPE_BITS) | 30n));
      expect(pagemap(t, 0) >> 63n).to.equal(1n);
    });
  }

  TEST_F(anonymous, "tells a page that is this process's own and may not be written", (t) => {
    expect(t.sys.mprotect(at(0), bytes(PAGES), PROT_READ)).to.equal(0);
    const frame = BigInt(frameOf(t, 0));
    move(t, () => expect(pagemap(t, 0)).to.equal(SWAP | (frame << TYPE_BITS) | 29n));
  });

  TEST_F(anonymous, "tells one that others have too; both processes' records are alike", (t) => {
    const child = t.fork();
    const entry = SWAP | (BigInt(frameOf(t, 0)) << TYPE_BITS) | 28n;
    move(t, () => expect([pagemap(t, 0), pagemap(t, 0, child)]).to.deep.equal([entry, entry]));
  });
});

describe("migration entries: smaps", () => {
  TEST_F(anonymous, "counts the page as resident, not as swapped, and forgets that it was accessed", (t) => {
    expect(counted(t, ...COUNTS)).to.deep.equal([16, 16, 0, 16, 16, 0, 0]);
    move(t, () => expect(counted(t, ...COUNTS)).to.deep.equal([16, 16, 0, 16, 12, 0, 0]));
    expect(counted(t, ...COUNTS)).to.deep.equal([16, 16, 0, 16, 16, 0, 0]);
  });

  TEST_F(anonymous, "counts a page that two processes have as each one's own", (t) => {
    t.fork();
    expect(counted(t, ...COUNTS)).to.deep.equal([16, 8, 16, 0, 16, 0, 0]);
    move(t, () => expect(counted(t, ...COUNTS)).to.deep.equal([16, 10, 12, 4, 12, 0, 0]));
  });
});

describe("migration entries: system calls that look", () => {
  for (const fixture of [anonymous, shared]) {
    TEST_F(fixture, "mincore() says that the page is in memory", (t) => {
      const vec = new Uint8Array(PAGES);
      move(t, () => expect(t.sys.mincore(at(0), bytes(PAGES), vec)).to.equal(0));
      expect([...vec]).to.deep.equal([1, 1, 1, 1]);
    });

    TEST_F(fixture, "move_pages() that asks where it is learns that it is not there", (t) => {
      const thread = newThread(t);
      move(t, () => t.as(thread, () => expect(movePages(t, 0, PAGES, null)).to.equal("0 ENOENT 0 0 0")));
      expect(movePages(t, 0, PAGES, null)).to.equal("0 1 1 1 1");
    });
  }
});

/** What gets pages of the child's as get_user_pages() does, without an array to put them in. */
const GUP: readonly (readonly [string, (t: T) => number])[] = [
  ["MADV_POPULATE_READ", (t) => advise(t, 0, PAGES, MADV_POPULATE_READ)],
  ["MADV_POPULATE_WRITE", (t) => advise(t, 0, PAGES, MADV_POPULATE_WRITE)],
  ["mlock()", (t) => t.sys.mlock(at(0), bytes(PAGES))],
];

describe("migration entries: who waits", () => {
  for (const [name, act] of GUP) {
    TEST_F(anonymous, `get_user_pages() does, asked by ${name}, and gets the page where it has gone`, (t) => {
      const child = t.fork();
      let goOn = (): void => undefined;
      move(t, () => {
        goOn = waits(t, child, () => expect(act(t)).to.equal(0));
      });
      goOn();
      t.as(child, () => expect([0, 1, 2, 3].map((n) => peek(t, n))).to.deep.equal([1, 2, 3, 4]));
      const copied = name === "MADV_POPULATE_WRITE" || name === "mlock()";
      expect(drawing(t, 0, PAGES, child)).to.equal(copied ? "4a" : "4c");
    });
  }

  TEST("MADV_UNMERGEABLE does, so that it finds a KSM page whatever happens to it", (t) => {
    t.boot(boot);
    mergeable(t, 0, "xx");
    scan(t);
    const child = t.fork();
    const unmerge = (): void => void expect(advise(t, 0, 2, MADV_UNMERGEABLE)).to.equal(0);
    move(t, () => {
      expect(drawing(t, 0, 2, child)).to.equal("2w");
      expect(() => t.as(child, unmerge)).to.throw("migration_entry_wait: would wait");
      child.mm!.mmap_lock.writer = false;
    });
    expect(drawing(t, 0, 2, child)).to.equal("2k");
    t.as(child, unmerge);
    expect([drawing(t, 0, 2, child), drawing(t, 0, 2)]).to.deep.equal(["2a", "2k"]);
  });
});
