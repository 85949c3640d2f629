// SPDX-License-Identifier: GPL-2.0-only
/**
 * NUMA balancing: a scan takes access away, and the next one is a fault that moves the page to the node that uses it. A 6.1
 * kernel with the RFC and NUMA balancing was asked which mappings that happens to, and where their pages go.
 *
 *   CPU 0  touches  000000    CPU 1  scans, reads  BBBBBB   of node 1, in CMA;  advised:  111111
 */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MPOL_BIND, MPOL_F_NUMA_BALANCING, MPOL_INTERLEAVE, MPOL_PREFERRED } from "../../uapi/mempolicy.js";
import { MADV_NOMOVABLE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import { advise, at, bytes, frameOf, map, mapMemfd, peek, type T, touch, UNKNOWN } from "./lib/memory.js";
import { bind, CMA_NODES, NODE_0, NODE_1, nodePlaces } from "./lib/numa.js";
import { openFile } from "./lib/tasks.js";
import { HUGE, mapHuge } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const MIB = 1 << 20;
/** As many as a CPU's batch of new pages, which holds references to them until it is full. */
const PAGES = 15;
const ALL = NODE_0 | NODE_1;
const BALANCED = MPOL_BIND | MPOL_F_NUMA_BALANCING;
const config = { NUMA_BALANCING: true, thp_enabled: "madvise" } as const;
const boot = { ...CMA_NODES, cpus: 2, config };
const bare = FIXTURE("bare", { boot });
const off = FIXTURE("switched_off", { boot: { ...CMA_NODES, cpus: 2 } });
const small = FIXTURE("small", { boot: { memory: 72 * MIB, nodes: [64 * MIB, 8 * MIB], cpus: 2, config } });

const places = (c: string, pages = PAGES): string => c.repeat(pages);

/** Private pages of the first node, each with contents of its own. */
function populate(t: T, page = 0): void {
  map(t, page, PAGES);
  for (let n = 0; n < PAGES; n++) touch(t, page + n, 1, n + 1);
}

/** Scans the running task's memory from the other node's CPU; pages marked. */
function scan(t: T): number {
  t.k.cpu = 1;
  return t.kernel.task_numa_work(t.k);
}

/** Reads pages; each has the contents that populate() gave it. */
function readAll(t: T, page = 0): void {
  for (let n = 0; n < PAGES; n++) expect(peek(t, page + n)).to.equal(n + 1);
}

/** Counters of hinting, as /proc/vmstat shows them: marked, huge ones of these, faults, those of the own node, moved. */
function hints(t: T): string {
  const names = ["pte_updates", "huge_pte_updates", "hint_faults", "hint_faults_local", "pages_migrated"];
  const text = t.kernel.vmstat_show(t.k);
  return names.map((name) => new RegExp(`^numa_${name} (\\d+)$`, "m").exec(text)?.[1] ?? "-").join(" ");
}

describe("NUMA hinting: what is marked, and moved", () => {
  TEST_F(bare, "pages of the other node come here, one fault each, and can be written again", (t) => {
    populate(t);
    expect([scan(t), scan(t)]).to.deep.equal([PAGES, 0]);
    readAll(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("B"));
    touch(t, 0, PAGES, 7);
    expect(hints(t)).to.equal("15 0 15 0 15");
  });

  TEST_F(bare, "pages that are where the only thread runs are not marked", (t) => {
    populate(t);
    expect(t.kernel.task_numa_work(t.k)).to.equal(0);
  });

  TEST_F(bare, "back on the first node, a fault is local, and the page stays", (t) => {
    populate(t);
    expect(scan(t)).to.equal(PAGES);
    t.k.cpu = 0;
    readAll(t);
    expect([hints(t), nodePlaces(t, 0, PAGES)]).to.deep.equal(["15 0 15 15 0", places("0")]);
  });

  TEST_F(off, "switched off: nothing, and no counters", (t) => {
    populate(t);
    expect([scan(t), hints(t)]).to.deep.equal([0, "- - - - -"]);
  });

  TEST_F(bare, "the zero page, read-only files, and what has no access: not marked", (t) => {
    map(t, 0, PAGES);
    for (let n = 0; n < PAGES; n++) peek(t, n);
    map(t, 32, PAGES, { flags: MAP_SHARED, fd: openFile(t, PAGES), prot: PROT_READ });
    peek(t, 32);
    populate(t, 64);
    expect(t.sys.mprotect(at(64), bytes(PAGES), 0)).to.equal(0);
    expect(scan(t)).to.equal(0);
  });

  TEST_F(bare, "read-only memory stays so", (t) => {
    populate(t);
    expect(t.sys.mprotect(at(0), bytes(PAGES), PROT_READ)).to.equal(0);
    expect(scan(t)).to.equal(PAGES);
    readAll(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("B"));
    expect(t.sys.store(at(0), 1)).to.deep.equal({ sig: "SIGSEGV", code: 2 });
  });

  TEST_F(bare, "mprotect() takes the mark away", (t) => {
    populate(t);
    expect(scan(t)).to.equal(PAGES);
    expect(t.sys.mprotect(at(0), bytes(PAGES), PROT_READ)).to.equal(0);
    readAll(t);
    expect([hints(t), nodePlaces(t, 0, PAGES)]).to.deep.equal(["15 0 0 0 0", places("0")]);
  });

  TEST_F(bare, "private pages that a child has, too: not marked until it is gone", (t) => {
    populate(t);
    const child = t.fork();
    expect(scan(t)).to.equal(0);
    t.as(child, () => t.sys.exit(0));
    expect(scan(t)).to.equal(PAGES);
  });

  TEST_F(bare, "huge pages move as a whole", (t) => {
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1, 9);
    t.sys.mlock(at(0), bytes(HUGE));
    expect(scan(t)).to.equal(HUGE);
    expect([peek(t, 0), nodePlaces(t, 510, 2)]).to.deep.equal([9, "BB"]);
    expect(hints(t)).to.equal("512 1 1 0 512");
  });

  TEST_F(small, "a node that is nearly full takes none", (t) => {
    populate(t);
    const hog = t.k.nodes[1]!.node_zones[1]!.managed_pages;
    map(t, 64, hog);
    expect(bind(t, 64, hog, MPOL_PREFERRED, NODE_1)).to.equal(0);
    touch(t, 64, hog);
    expect(scan(t)).to.equal(PAGES);
    readAll(t);
    expect([hints(t), nodePlaces(t, 0, PAGES)]).to.deep.equal(["15 0 15 0 0", places("0")]);
  });
});

describe("NUMA hinting: policies", () => {
  TEST_F(bare, "bound or interleaved memory is left alone, unless it is to be balanced", (t) => {
    populate(t);
    for (const mode of [MPOL_BIND, MPOL_INTERLEAVE]) {
      expect(bind(t, 0, PAGES, mode, ALL)).to.equal(0);
      expect(scan(t)).to.equal(0);
    }
    expect(bind(t, 0, PAGES, BALANCED, ALL)).to.equal(0);
    expect(scan(t)).to.equal(PAGES);
    readAll(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("B"));
  });

  TEST_F(bare, "balanced on the first node alone: faults, but nothing moves", (t) => {
    populate(t);
    expect(bind(t, 0, PAGES, BALANCED, NODE_0)).to.equal(0);
    expect(scan(t)).to.equal(PAGES);
    readAll(t);
    expect([hints(t), nodePlaces(t, 0, PAGES)]).to.deep.equal(["15 0 15 0 0", places("0")]);
  });

  TEST_F(bare, "a memfd is left alone, unless its own policy says otherwise", (t) => {
    mapMemfd(t, 0, PAGES);
    for (let n = 0; n < PAGES; n++) touch(t, n, 1, n + 1);
    expect(scan(t)).to.equal(0);
    expect(bind(t, 0, PAGES, BALANCED, ALL)).to.equal(0);
    expect(scan(t)).to.equal(PAGES);
    readAll(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("B"));
  });
});

describe("NUMA hinting: pins", () => {
  TEST_F(bare, "private pages that are pinned are not marked", (t) => {
    populate(t);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    expect([scan(t), nodePlaces(t, 0, PAGES)]).to.deep.equal([0, places("0")]);
  });

  TEST_F(bare, "a memfd's are, again and again, and never move", (t) => {
    mapMemfd(t, 0, PAGES);
    expect(bind(t, 0, PAGES, BALANCED, ALL)).to.equal(0);
    for (let n = 0; n < PAGES; n++) touch(t, n, 1, n + 1);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    const before = frameOf(t, 3);
    for (const round of [1, 2]) {
      expect(scan(t)).to.equal(PAGES);
      readAll(t);
      expect(hints(t)).to.equal(`${String(15 * round)} 0 ${String(15 * round)} 0 0`);
    }
    expect([nodePlaces(t, 0, PAGES), frameOf(t, 3)]).to.deep.equal([places("0"), before]);
  });
});

const ELSEWHERE =
  "a NUMA hinting fault of another process that maps the memfd moves pages of advised memory into CMA: the advice belongs to a mapping (D7)";

/** A memfd of the first node, advised where the running task maps it; a child maps it without, scans it and reads it. */
function childFaults(t: T): void {
  const fd = mapMemfd(t, 0, PAGES);
  expect(bind(t, 0, PAGES, BALANCED, ALL)).to.equal(0);
  advise(t, 0, PAGES, MADV_NOMOVABLE);
  for (let n = 0; n < PAGES; n++) touch(t, n, 1, n + 1);
  t.inChild(() => {
    t.sys.munmap(at(0), bytes(PAGES));
    map(t, 100, PAGES, { flags: MAP_SHARED, fd });
    readAll(t, 100);
    expect(scan(t)).to.equal(PAGES);
    readAll(t, 100);
  });
  t.k.cpu = 0;
  readAll(t);
}

describe("NUMA hinting: what it does to the advice", () => {
  TEST_F(bare, "the guest's own fault takes no movable page there either", { differs: { base: UNKNOWN } }, (t) => {
    populate(t);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    expect(scan(t)).to.equal(PAGES);
    readAll(t);
    expect([hints(t), nodePlaces(t, 0, PAGES)]).to.deep.equal(["15 0 15 0 15", places("1")]);
  });

  TEST_F(bare, "another's fault: still outside of CMA", { differs: { base: UNKNOWN, patch: ELSEWHERE } }, (t) => {
    childFaults(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("1"));
  });

  TEST_F(bare, "another's fault: a pin moves them once more, within their node", (t) => {
    childFaults(t);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("B"));
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    expect(nodePlaces(t, 0, PAGES)).to.equal(places("1"));
  });

  TEST_F(bare, "a long-term pin faults on marked pages itself, and takes no movable page, advised or not", (t) => {
    populate(t);
    expect(scan(t)).to.equal(PAGES);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    expect(/^pgmigrate_success (\d+)$/m.exec(t.kernel.vmstat_show(t.k))![1]).to.equal(String(PAGES));
    expect([hints(t), nodePlaces(t, 0, PAGES)]).to.deep.equal(["15 0 15 0 15", places("1")]);
  });
});
