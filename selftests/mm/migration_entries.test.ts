// SPDX-License-Identifier: GPL-2.0-only
/**
 * What others meet while a page moves: its migration entry (`w`), between the move and the page's being mapped again.
 * One task has all pages of its memory moved to the other node; another acts when the first of them is on its way.
 */
import { expect, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_DONTNEED,
  MADV_FREE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { advise, at, bytes, frameOf, peek, touch } from "./lib/memory.js";
import { anonymous, type Meeting, meets, move, PAGES, shared, waits } from "./lib/migration.js";
import { migratePages, NODE_0, NODE_1 } from "./lib/numa.js";
import { atYield, newThread } from "./lib/tasks.js";
import { drawing } from "./lib/thp.js";

const ELSEWHERE = 100;

describe("migration entries: a fault", () => {
  for (const [fixture, what] of [
    [anonymous, "a"],
    [shared, "f"],
  ] as const) {
    //  w 2 3 4 : the fault waits ──► 1 2 3 4, elsewhere
    TEST_F(fixture, "waits until the page has moved, and then has its contents", (t) => {
      const thread = newThread(t);
      let goOn = (): void => undefined;
      move(t, () => {
        expect(drawing(t, 0, PAGES)).to.equal(`1w 3${what}`);
        goOn = waits(t, thread, () => touch(t, 0, 1, 99));
        t.as(thread, () => expect(peek(t, 1), "its neighbour").to.equal(2));
      });
      expect(peek(t, 0)).to.equal(1);
      goOn();
      expect(drawing(t, 0, PAGES)).to.equal(`4${what}`);
      expect([0, 1, 2, 3].map((n) => peek(t, n))).to.deep.equal([99, 2, 3, 4]);
    });
  }
});

const ROWS: readonly Meeting[] = [
  ["MADV_DONTNEED takes it away", (t) => advise(t, 0, 1, MADV_DONTNEED), "1- 3c", "1- 3c", "1a 3c"],
  ["MADV_FREE leaves it alone", (t) => advise(t, 0, 1, MADV_FREE), "1w 3c", "4c", "4c"],
  ["munmap() takes it away", (t) => t.sys.munmap(at(0), bytes(1)), "1- 3c", "1- 3c", "1a 3c"],
  ["mprotect() has it come back so", (t) => t.sys.mprotect(at(0), bytes(4), PROT_READ), "1w 3c", "4c", "4c"],
  ["PROT_NONE has it come back so", (t) => t.sys.mprotect(at(0), bytes(4), PROT_NONE), "1w 3c", "4c", "4c"],
  [
    "mremap() moves it",
    (t) => (t.sys.mremap(at(0), bytes(1), bytes(1), MREMAP_MAYMOVE | MREMAP_FIXED, at(ELSEWHERE)) > 0 ? 0 : -1),
    "1- 3c",
    "1- 3c",
    "4c",
  ],
];

describe("migration entries: another process's", () => {
  for (const row of ROWS) {
    const [name] = row;
    TEST_F(anonymous, name, (t) => {
      const child = t.fork();
      meets(t, child, PAGES, "1w 3c", move, row);
      expect([0, 1, 2, 3].map((n) => peek(t, n))).to.deep.equal([1, 2, 3, 4]);
      if (name.startsWith("mremap")) t.as(child, () => expect(peek(t, ELSEWHERE)).to.equal(1));
      if (name.startsWith("PROT_NONE")) t.as(child, () => expect(t.sys.load(at(0))).to.include({ sig: "SIGSEGV" }));
      if (name.startsWith("mprotect")) t.as(child, () => expect(t.sys.store(at(0), 9)).to.include({ sig: "SIGSEGV" }));
    });
  }

  //  parent w 2 3 4 ──► its child w 2 3 4 ──► both 1 2 3 4
  TEST_F(anonymous, "fork() copies it, and neither may write to the page without copying it", (t) => {
    const child = t.fork();
    let grandchild = child;
    move(t, () => {
      t.as(child, () => (grandchild = t.fork()));
      expect(drawing(t, 0, PAGES, grandchild)).to.equal("1w 3c");
    });
    expect(drawing(t, 0, PAGES, grandchild)).to.equal("4c");
    t.as(grandchild, () => touch(t, 0, 1, 99));
    t.as(child, () => expect(peek(t, 0)).to.equal(1));
    expect(peek(t, 0)).to.equal(1);
  });

  TEST_F(anonymous, "exit() of the only other process that maps it leaves the page to the one that is left", (t) => {
    const child = t.fork();
    move(t, () => t.as(child, () => t.sys.exit(0)));
    expect(drawing(t, 0, PAGES)).to.equal("4a");
    expect([0, 1, 2, 3].map((n) => peek(t, n))).to.deep.equal([1, 2, 3, 4]);
  });

  TEST_F(anonymous, "when nobody maps the page any more, it is freed once it has moved", (t) => {
    const thread = newThread(t);
    const old = frameOf(t, 0);
    const met = atYield(t, "remove_migration_ptes", () => {
      t.as(thread, () => expect(advise(t, 0, PAGES, MADV_DONTNEED)).to.equal(0));
    });
    expect(migratePages(t, NODE_0, NODE_1)).to.equal(0);
    expect(met.count).to.equal(1);
    expect(drawing(t, 0, PAGES)).to.equal("4-");
    expect(t.k.mem.section(old).refcount[old & 0xfff]).to.equal(0);
  });
});
