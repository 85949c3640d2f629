// SPDX-License-Identifier: GPL-2.0-only
/**
 * What others meet while a huge page is split: nothing is mapped then, and of an anonymous one each part has a migration
 * entry (`w`), until all of them are mapped again (mm/huge_memory.c: unmap_folio, remap_page).
 */
import { type BootOptions, expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_COLD,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_POPULATE_WRITE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
} from "../../uapi/mman-common.js";
import { advise, at, bytes, frameOf, peek, type T, touch } from "./lib/memory.js";
import { counted, type Meeting, meets, pagemap, SWAP, TYPE_BITS, waits } from "./lib/migration.js";
import { migratePages, movePages, NODE_0, NODE_1 } from "./lib/numa.js";
import { atYield, newThread } from "./lib/tasks.js";
import { drawing, events, failHugeAllocations, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

const SOME = [0, 9, 10, 511];
const ELSEWHERE = 4 * HUGE;

/** One huge page of which page n holds n modulo 251, for some n. */
function fill(t: T): undefined {
  mapHuge(t, 0, HUGE);
  for (const n of SOME) touch(t, n, 1, n % 251);
  expect(drawing(t, 0, HUGE)).to.equal("512T");
}

function expectContents(t: T, pages = SOME): void {
  expect(pages.map((n) => peek(t, n))).to.deep.equal(pages.map((n) => n % 251));
}

const huge = FIXTURE("thp_page", {
  boot: THP_BOOT,
  setup: (t) => {
    fill(t);
    return newThread(t);
  },
});

/** Splits the page: MADV_COLD of a part of it. `meanwhile` runs in between. */
function split(t: T, meanwhile: () => void): void {
  const met = atYield(t, "split_huge_page_to_list", meanwhile);
  expect(advise(t, 10, 1, MADV_COLD)).to.equal(0);
  expect([met.count, events(t, "thp_split_page")]).to.deep.equal([1, { thp_split_page: 1 }]);
}

describe("thp: a split under way, seen by another thread", () => {
  //  T…T ──► w…w ──► a…a
  TEST_F(huge, "each page has a migration entry, and an access waits until the page is mapped again", (t) => {
    const first = frameOf(t, 0);
    let goOn = (): void => undefined;
    split(t, () => {
      expect(drawing(t, 0, HUGE)).to.equal("512w");
      goOn = waits(t, t.self, () => touch(t, 9, 1, 99));
    });
    goOn();
    expect(drawing(t, 0, HUGE)).to.equal("512a");
    expect([peek(t, 9), frameOf(t, 511)]).to.deep.equal([99, first + 511]);
    expectContents(t, [0, 10, 511]);
  });

  TEST_F(
    huge,
    "pagemap and smaps show pages on their way, none of them swapped and none huge; mincore() says all are there",
    (t) => {
      const first = BigInt(frameOf(t, 0));
      const vec = new Uint8Array(HUGE);
      expect(counted(t, "Rss", "AnonHugePages", "Swap")).to.deep.equal([2048, 2048, 0]);
      split(t, () => {
        const [head, tail] = [first, first + 511n].map((frame) => SWAP | (frame << TYPE_BITS) | 30n);
        expect([pagemap(t, 0), pagemap(t, 511)]).to.deep.equal([head, tail]);
        expect(counted(t, "Rss", "AnonHugePages", "Swap", "Private_Dirty")).to.deep.equal([2048, 0, 0, 2048]);
        t.as(t.self, () => expect(t.sys.mincore(at(0), bytes(HUGE), vec)).to.equal(0));
        t.as(t.self, () => expect(movePages(t, 9, 2, null)).to.equal("0 ENOENT ENOENT"));
      });
      expect(vec.every((there) => there === 1)).to.equal(true);
      expect(movePages(t, 9, 2, null)).to.equal("0 0 0");
    },
  );

  TEST_F(huge, "get_user_pages() waits, and gets small pages", (t) => {
    let goOn = (): void => undefined;
    split(t, () => {
      goOn = waits(t, t.self, () => expect(advise(t, 0, HUGE, MADV_POPULATE_WRITE)).to.equal(0));
    });
    goOn();
    expect(drawing(t, 0, HUGE)).to.equal("512a");
    expectContents(t);
  });

  TEST_F(huge, "MADV_DONTNEED takes pages away, which are free once the others are mapped again", (t) => {
    const old = frameOf(t, 0);
    split(t, () => {
      t.as(t.self, () => expect(advise(t, 0, 10, MADV_DONTNEED)).to.equal(0));
      expect(drawing(t, 0, HUGE)).to.equal("10- 502w");
    });
    expect(drawing(t, 0, HUGE)).to.equal("10- 502a");
    expect(t.k.mem.section(old).refcount[old & 0xfff]).to.equal(0);
    expectContents(t, [10, 511]);
  });

  TEST_F(huge, "MADV_DONTNEED of all of it leaves nothing to map, and the page is split all the same", (t) => {
    split(t, () => t.as(t.self, () => expect(advise(t, 0, HUGE, MADV_DONTNEED)).to.equal(0)));
    expect(drawing(t, 0, HUGE)).to.equal("512-");
  });

  TEST_F(huge, "MADV_FREE leaves the entries alone", (t) => {
    split(t, () => {
      t.as(t.self, () => expect(advise(t, 0, HUGE, MADV_FREE)).to.equal(0));
      expect(drawing(t, 0, HUGE)).to.equal("512w");
    });
    expectContents(t);
  });
});

const nodes: BootOptions = { ...THP_BOOT, nodes: 2 };
const family = FIXTURE("thp_family", {
  boot: nodes,
  setup: (t) => {
    fill(t);
    return t.fork();
  },
});

/** Moves the page, which two processes map, to the other node: for want of a huge target it is split. */
function moveInParts(t: T, meanwhile: () => void): void {
  failHugeAllocations(t);
  const met = atYield(t, "split_huge_page_to_list", meanwhile);
  expect(migratePages(t, NODE_0, NODE_1)).to.equal(0);
  expect([met.count, events(t, "thp_split_page")]).to.deep.equal([1, { thp_split_page: 1 }]);
}

const ROWS: readonly Meeting[] = [
  ["munmap() takes entries away", (t) => t.sys.munmap(at(0), bytes(10)), "10- 502w", "10- 502c", "10a 502c"],
  ["PROT_NONE has them come back so", (t) => t.sys.mprotect(at(0), bytes(HUGE), PROT_NONE), "512w", "512c", "512c"],
  [
    "mremap() moves them",
    (t) => (t.sys.mremap(at(0), bytes(2), bytes(2), MREMAP_MAYMOVE | MREMAP_FIXED, at(ELSEWHERE)) > 0 ? 0 : -1),
    "2- 510w",
    "2- 510c",
    "512c",
  ],
];

describe("thp: a split under way, in another process", () => {
  for (const row of ROWS) {
    const [name] = row;
    TEST_F(family, name, (t) => {
      meets(t, t.self, HUGE, "512w", moveInParts, row);
      expectContents(t);
      if (name.startsWith("mremap")) t.as(t.self, () => expect(peek(t, ELSEWHERE + 1)).to.equal(0));
    });
  }

  TEST_F(family, "fork() copies them, and the copy may not be written without being copied", (t) => {
    let grandchild = t.self;
    moveInParts(t, () => {
      t.as(t.self, () => (grandchild = t.fork()));
      expect(drawing(t, 0, HUGE, grandchild)).to.equal("512w");
    });
    expect(drawing(t, 0, HUGE, grandchild)).to.equal("512c");
    t.as(grandchild, () => touch(t, 9, 1, 99));
    expectContents(t);
  });

  TEST_F(family, "exit() leaves the page to the one that is left", (t) => {
    moveInParts(t, () => t.as(t.self, () => t.sys.exit(0)));
    expect(drawing(t, 0, HUGE)).to.equal("512a");
    expectContents(t);
  });
});

describe("thp: a huge page on its way to another node", () => {
  //  T…T ──► w…w ──► T…T
  TEST_F(family, "has one entry, which smaps counts as huge and pagemap and mincore() show a page at a time", (t) => {
    const first = BigInt(frameOf(t, 0));
    const vec = new Uint8Array(HUGE);
    const met = atYield(t, "remove_migration_ptes", () => {
      expect(drawing(t, 0, HUGE)).to.equal("512w");
      expect([pagemap(t, 0), pagemap(t, 511)]).to.deep.equal(
        [first, first + 511n].map((frame) => SWAP | (frame << TYPE_BITS) | 28n),
      );
      expect(counted(t, "Rss", "AnonHugePages", "Swap", "Private_Dirty")).to.deep.equal([2048, 2048, 0, 2048]);
      expect(t.smaps().find((row) => row.start === at(0))?.AnonHugePages).to.equal(2048);
      t.as(t.self, () => expect(t.sys.mincore(at(0), bytes(HUGE), vec)).to.equal(0));
      t.as(t.self, () => expect(movePages(t, 9, 1, null)).to.equal("0 ENOENT"));
    });
    expect(migratePages(t, NODE_0, NODE_1)).to.equal(0);
    expect([met.count, drawing(t, 0, HUGE)]).to.deep.equal([1, "512T"]);
    expect(vec.every((there) => there === 1)).to.equal(true);
    expectContents(t);
  });
});
