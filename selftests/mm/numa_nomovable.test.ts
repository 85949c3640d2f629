// SPDX-License-Identifier: GPL-2.0-only
/**
 * What becomes of the advice on two nodes. An advised guest's own faults take no movable page, on whichever node its policy
 * wants them. A call that moves its pages to the other node asks for movable targets, as for anybody's: they land in CMA or
 * ZONE_MOVABLE there, and a long-term pin has to move them once more. The posted patch was asked, too: a 6.1 kernel with it
 * does the same for move_pages(), migrate_pages() and mbind().
 *
 *   node 0  ........  advised, populated        node 1  BBBBBBBB  move_pages()      node 1  ........  pinned
 */
import { expect, FIXTURE, type Fixture, TEST_F } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import { MPOL_BIND, MPOL_INTERLEAVE, MPOL_MF_MOVE } from "../../uapi/mempolicy.js";
import { MADV_NOMOVABLE, MAP_SHARED } from "../../uapi/mman-common.js";
import { advise, frameOf, map, mapMemfd, peek, type T, touch, UNKNOWN } from "./lib/memory.js";
import { bind, CMA_NODES, migratePages, MOVABLE_NODES, movePages, NODE_0, NODE_1, nodePlaces } from "./lib/numa.js";
import { events } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const PAGES = 8;
const OTHER_NODE = "1".repeat(PAGES);

/** A way to the second node: the call, and what it may be called in a verdict. */
interface Way {
  readonly call: string;
  readonly go: (t: T) => void;
}

const MOVE_PAGES: Way = {
  call: "move_pages()",
  go: (t) => expect(movePages(t, 0, PAGES, 1)).to.equal("0" + " 1".repeat(PAGES)),
};
const MIGRATE_PAGES: Way = {
  call: "migrate_pages()",
  go: (t) => expect(migratePages(t, NODE_0, NODE_1)).to.equal(0),
};
const MBIND: Way = {
  call: "mbind()",
  go: (t) => expect(bind(t, 0, PAGES, MPOL_BIND, NODE_1, MPOL_MF_MOVE)).to.equal(0),
};
const WAYS = [MOVE_PAGES, MIGRATE_PAGES, MBIND];

/** An advised guest on the first node. On base, the advice is not known. */
function advisedGuest(t: T): undefined {
  map(t, 0, PAGES);
  advise(t, 0, PAGES, MADV_NOMOVABLE);
  touch(t, 0, PAGES);
  return undefined;
}

const cma = FIXTURE("cma", { boot: CMA_NODES, setup: advisedGuest });
const movable = FIXTURE("movable", { boot: MOVABLE_NODES, setup: advisedGuest });
const empty = FIXTURE("empty", { boot: CMA_NODES });

const moved = (t: T): number => events(t, "pgmigrate_success")["pgmigrate_success"]!;

/** What a pin of the guest moves, and where its pages are then. */
function pinned(t: T): [result: number, moved: number, places: string] {
  const before = moved(t);
  const result = mapDma(t, openContainer(t), 0, PAGES);
  return [result, moved(t) - before, nodePlaces(t, 0, PAGES)];
}

describe("advice on two nodes: the guest's own faults", () => {
  TEST_F(empty, "bound to a node: there, outside of CMA", { differs: { base: UNKNOWN } }, (t) => {
    map(t, 0, PAGES);
    bind(t, 0, PAGES, MPOL_BIND, NODE_1);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    touch(t, 0, PAGES);
    expect(nodePlaces(t, 0, PAGES)).to.equal(OTHER_NODE);
    expect(pinned(t)).to.deep.equal([0, 0, OTHER_NODE]);
  });

  TEST_F(empty, "not advised: in CMA, until a pin moves them within the node", (t) => {
    map(t, 0, PAGES);
    bind(t, 0, PAGES, MPOL_BIND, NODE_1);
    touch(t, 0, PAGES);
    expect(nodePlaces(t, 0, PAGES)).to.equal("B".repeat(PAGES));
    expect(pinned(t)).to.deep.equal([0, PAGES, OTHER_NODE]);
  });

  TEST_F(empty, "a memfd, interleaved", { differs: { base: UNKNOWN } }, (t) => {
    mapMemfd(t, 0, PAGES);
    bind(t, 0, PAGES, MPOL_INTERLEAVE, NODE_0 | NODE_1);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    touch(t, 0, PAGES);
    expect(nodePlaces(t, 0, PAGES)).to.match(/^((01)*|(10)*)$/);
  });
});

/** A call takes the guest's pages to the other node: where they land, and what a pin does then. */
function movedBy(fixture: Fixture<undefined, unknown>, place: string, name: string, { call, go }: Way): void {
  const why = `${call} moves pages of advised memory into CMA or ZONE_MOVABLE of another node: it does not go through a fault (D7)`;
  TEST_F(fixture, `${call}: still outside of ${name}`, { differs: { base: UNKNOWN, patch: why } }, (t) => {
    go(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(OTHER_NODE);
  });

  TEST_F(fixture, `${call}: a pin moves all of them once more`, (t) => {
    go(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(place.repeat(PAGES));
    expect(pinned(t)).to.deep.equal([0, PAGES, OTHER_NODE]);
    expect(peek(t, 0)).to.equal(1);
  });

  TEST_F(fixture, `${call}: and fails if somebody holds one for longer than it tries`, (t) => {
    go(t);
    const held = frameOf(t, 3);
    t.k.fail_migrate.add({ pfn: held, kind: "reference", attempts: 20 }).arm(t.k);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(-ENOMEM);
    expect(nodePlaces(t, 3, 1)).to.equal(place);
  });
}

describe("advice on two nodes: calls that move pages", () => {
  for (const way of WAYS) {
    movedBy(cma, "B", "CMA", way);
    movedBy(movable, "N", "ZONE_MOVABLE", way);
  }

  TEST_F(cma, "advice once they have been moved helps no more than elsewhere", (t) => {
    MOVE_PAGES.go(t);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    touch(t, 0, PAGES, 2);
    expect(nodePlaces(t, 0, PAGES)).to.equal("B".repeat(PAGES));
  });

  TEST_F(cma, "another process moves them, which never heard of the advice", (t) => {
    const guest = t.k.current.pid;
    const manager = t.fork();
    t.as(manager, () => t.sys.munmap(0, 2 ** 47 - 4096));
    t.as(manager, () => expect(migratePages(t, NODE_0, NODE_1, guest)).to.equal(0));
    t.as(manager, () => t.sys.exit(0));
    expect(nodePlaces(t, 0, PAGES)).to.equal("B".repeat(PAGES));
    expect(pinned(t)).to.deep.equal([0, PAGES, OTHER_NODE]);
  });
});

describe("advice on two nodes: once the guest is pinned", () => {
  TEST_F(cma, "move_pages() counts those that it could not move, and says nothing of them", (t) => {
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    const before = nodePlaces(t, 0, PAGES);
    expect(movePages(t, 0, PAGES, 1)).to.equal(`${String(PAGES)}${" ?".repeat(PAGES)}`);
    expect(migratePages(t, NODE_0, NODE_1)).to.equal(PAGES);
    expect(nodePlaces(t, 0, PAGES)).to.equal(before);
  });

  TEST_F(cma, "its memfd's pages stay for every mapping", (t) => {
    const fd = mapMemfd(t, 100, PAGES);
    touch(t, 100, PAGES);
    expect(mapDma(t, openContainer(t), 100, PAGES)).to.equal(0);
    map(t, 200, PAGES, { flags: MAP_SHARED, fd });
    expect(bind(t, 200, PAGES, MPOL_BIND, NODE_1, MPOL_MF_MOVE)).to.equal(0);
    for (let n = 200; n < 200 + PAGES; n++) peek(t, n);
    expect(nodePlaces(t, 200, PAGES)).to.equal("0".repeat(PAGES));
  });
});
