// SPDX-License-Identifier: GPL-2.0-only
/** Two nodes: how memory is laid out on them, where policies put pages, and what is counted. As asked of a 6.1 kernel. */
import { expect, FIXTURE, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_COLLAPSE, MAP_SHARED } from "../../uapi/mman-common.js";
import {
  MPOL_BIND,
  MPOL_DEFAULT,
  MPOL_F_ADDR,
  MPOL_F_MEMS_ALLOWED,
  MPOL_F_NODE,
  MPOL_F_RELATIVE_NODES,
  MPOL_F_STATIC_NODES,
  MPOL_INTERLEAVE,
  MPOL_LOCAL,
  MPOL_MF_MOVE,
  MPOL_MF_STRICT,
  MPOL_PREFERRED,
  MPOL_PREFERRED_MANY,
} from "../../uapi/mempolicy.js";
import { echo } from "./lib/files.js";
import { advise, at, bytes, frameOf, map, mapMemfd, memfd, peek, type T, touch } from "./lib/memory.js";
import { pageOut, RAMDISK, swapTo, swapUsed } from "./lib/swap.js";
import { HUGE, mapHuge } from "./lib/thp.js";
import { bind, CMA_NODES, MAXNODE, MOVABLE_NODES, movePages, NODE_0, NODE_1, nodePlaces, policy } from "./lib/numa.js";

const MIB = 1 << 20;
const ALL = NODE_0 | NODE_1;
const plain = FIXTURE("plain", { boot: { memory: 64 * MIB, nodes: 2, cpus: 2 } });
const cma = FIXTURE("cma", { boot: CMA_NODES });
const movable = FIXTURE("movable", { boot: MOVABLE_NODES });
const huge = FIXTURE("huge", { boot: { ...CMA_NODES, config: { thp_enabled: "madvise" } } });

/** Touches pages and says where they came to lie. */
function landing(t: T, page: number, pages: number): string {
  touch(t, page, pages);
  return nodePlaces(t, page, pages);
}

const set = (t: T, mode: number, nodes: number | null): number => t.sys.set_mempolicy(mode, nodes, MAXNODE);

/** Zones that there are, with their first page frame, by node. */
const zones = (t: T, o: object): string[] =>
  t.boot(o).k.zones.map((z) => `${String(z.node)} ${z.name} ${String(z.zone_start_pfn)}`);

describe("two nodes: layout", () => {
  TEST("ZONE_MOVABLE takes from both, as the kernel that was asked lays it out", (t) => {
    const ranges = zones(t, { memory: 512 * MIB, nodes: 2, movablecore: 128 * MIB });
    expect(ranges).to.deep.equal(["0 DMA 1", "0 DMA32 4096", "0 Movable 50176", "1 DMA32 65536", "1 Movable 114688"]);
    const uneven = zones(t, { memory: 512 * MIB, nodes: [192 * MIB, 320 * MIB], movablecore: 300 * MIB });
    expect(uneven).to.deep.equal(["0 DMA 1", "0 DMA32 4096", "0 Movable 27648", "1 DMA32 49152", "1 Movable 76800"]);
  });

  TEST("a CMA area lies at the top of the last node, or of one that has room for it", (t) => {
    const base = (nodes: readonly [number, number], area: number): number => {
      const memory = (nodes[0] + nodes[1]) * MIB;
      return t.boot({ memory, nodes: nodes.map((n) => n * MIB), cma: area * MIB }).k.cmaAreas[0]!.base_pfn / 256;
    };
    expect([base([256, 256], 64), base([256, 64], 128)]).to.deep.equal([448, 128]);
  });

  TEST("zones of a node are tried before those of the other; __GFP_THISNODE stays", (t) => {
    const { k } = t.boot({ memory: 64 * MIB, nodes: 2 });
    const names = (lists: (typeof k.zones)[]): string => lists[3]!.map((z) => `${String(z.node)}${z.name}`).join(" ");
    expect(k.nodes.map((n) => names(n.node_zonelists))).to.deep.equal(["0DMA32 0DMA 1DMA32", "1DMA32 0DMA32 0DMA"]);
    expect(k.nodes.map((n) => names(n.nofallback_zonelists))).to.deep.equal(["0DMA32 0DMA", "1DMA32"]);
  });

  TEST("what cannot be booted is said in one line", (t) => {
    const refusal = (o: object): string => {
      try {
        t.boot(o);
        return "booted";
      } catch (e) {
        return String(e);
      }
    };
    expect(refusal({ nodes: 3 })).to.equal("BootError: nodes must be 1 or 2, not 3");
    expect(refusal({ nodes: [4 * MIB, 5 * MIB] })).to.equal(
      "BootError: a node must be a multiple of 4 MiB, not 1280 pages",
    );
    expect(refusal({ memory: 6 * MIB, nodes: 2 })).to.match(/at least 8 MiB for two nodes/);
    expect(refusal({ memory: 9 * MIB, nodes: [4 * MIB, 4 * MIB] })).to.match(/2048 pages in all, and memory says 2304/);
  });
});

describe("two nodes: policies of mappings", () => {
  TEST_F(cma, "each mode; a range by the page's place, a task's own without one", (t) => {
    map(t, 0, 40);
    expect(bind(t, 0, 8, MPOL_BIND, NODE_1)).to.equal(0);
    expect(bind(t, 8, 8, MPOL_INTERLEAVE, ALL)).to.equal(0);
    expect(bind(t, 16, 8, MPOL_PREFERRED, NODE_1)).to.equal(0);
    expect(bind(t, 24, 8, MPOL_PREFERRED_MANY, NODE_1)).to.equal(0);
    expect(landing(t, 0, 40)).to.equal("BBBBBBBB" + "0B0B0B0B" + "BBBBBBBB" + "BBBBBBBB" + "00000000");
    expect(policy(t, MPOL_F_ADDR, 8)).to.equal("3:11");
    expect([8, 9].map((n) => policy(t, MPOL_F_ADDR | MPOL_F_NODE, n))).to.deep.equal(["0:11", "1:11"]);
  });

  TEST_F(movable, "ZONE_MOVABLE of the node", (t) => {
    map(t, 0, 8);
    expect(bind(t, 4, 4, MPOL_BIND, NODE_1)).to.equal(0);
    expect(landing(t, 0, 8)).to.equal("MMMM" + "NNNN");
  });

  TEST_F(plain, "bound memory does not come from elsewhere, preferred memory does", (t) => {
    const pages = t.k.nodes[1]!.node_zones[1]!.managed_pages;
    map(t, 0, pages);
    expect(bind(t, 0, pages, MPOL_PREFERRED, NODE_1)).to.equal(0);
    const places = landing(t, 0, pages);
    expect([places.slice(0, 3), places.slice(-3)]).to.deep.equal(["111", "000"]);
    map(t, pages, 8);
    expect(bind(t, pages, 8, MPOL_BIND, NODE_1)).to.equal(0);
    touch(t, pages, 1);
    expect(nodePlaces(t, pages, 1)).to.equal("1");
  });

  TEST_F(cma, "copies on write and pages from swap go where the mapping says", (t) => {
    map(t, 0, 8);
    touch(t, 0, 8);
    expect(bind(t, 0, 8, MPOL_BIND, NODE_1)).to.equal(0);
    t.inChild(() => expect(landing(t, 0, 4)).to.equal("BBBB"));
    swapTo(t, RAMDISK);
    pageOut(t, 4, 4);
    for (let n = 4; n < 8; n++) expect(peek(t, n)).to.equal(1);
    expect(nodePlaces(t, 0, 8)).to.equal("0000" + "BBBB");
  });

  TEST_F(huge, "huge pages: bound, interleaved as they come, never of another node", (t) => {
    mapHuge(t, 0, 3 * HUGE);
    expect(bind(t, 0, HUGE, MPOL_BIND, NODE_1)).to.equal(0);
    expect(bind(t, HUGE, 2 * HUGE, MPOL_INTERLEAVE, ALL)).to.equal(0);
    for (const n of [0, 1, 2]) touch(t, n * HUGE, 1);
    expect([0, 1, 2].map((n) => nodePlaces(t, n * HUGE + 100, 1)).join("")).to.match(/^B(B0|0B)$/);
  });

  TEST_F(huge, "collapsed memory goes to the node that has most of it", (t) => {
    map(t, 0, HUGE);
    touch(t, 0, HUGE);
    expect(movePages(t, 0, 200, 1).startsWith("0 1 1")).to.equal(true);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(nodePlaces(t, 0, 1) + nodePlaces(t, 511, 1)).to.equal("00");
    map(t, HUGE, HUGE);
    touch(t, HUGE, HUGE);
    expect(movePages(t, HUGE, 300, 1).startsWith("0 1 1")).to.equal(true);
    expect(advise(t, HUGE, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(nodePlaces(t, HUGE, 1) + nodePlaces(t, HUGE + 511, 1)).to.equal("BB");
  });
});

describe("two nodes: policies of files", () => {
  TEST_F(cma, "a memfd keeps what its mappings were given: for fallocate() and other mappings as well", (t) => {
    const fd = mapMemfd(t, 0, 16);
    expect(bind(t, 0, 8, MPOL_BIND, NODE_1)).to.equal(0);
    expect(bind(t, 4, 2, MPOL_BIND, NODE_0)).to.equal(0);
    expect([0, 4, 6, 8].map((n) => policy(t, MPOL_F_ADDR, n))).to.deep.equal(["2:10", "2:1", "2:10", "0:0"]);
    expect(t.sys.munmap(at(0), bytes(16))).to.equal(0);
    expect(t.sys.fallocate(fd, 0, 0, bytes(16))).to.equal(0);
    map(t, 100, 16, { flags: MAP_SHARED, fd });
    expect(policy(t, MPOL_F_ADDR, 106)).to.equal("2:10");
    for (let n = 100; n < 116; n++) peek(t, n);
    expect(nodePlaces(t, 100, 16)).to.equal("BBBB00BB" + "00000000");
  });

  TEST_F(cma, "the default takes it away again", (t) => {
    mapMemfd(t, 0, 8);
    expect(bind(t, 0, 8, MPOL_BIND, NODE_1)).to.equal(0);
    expect(bind(t, 2, 4, MPOL_DEFAULT, null)).to.equal(0);
    expect(landing(t, 0, 8)).to.equal("BB0000BB");
  });
});

describe("two nodes: policies of tasks", () => {
  TEST_F(cma, "interleaving takes turns, and says whose is next; children take it over", (t) => {
    expect(set(t, MPOL_INTERLEAVE, ALL)).to.equal(0);
    expect([policy(t), policy(t, MPOL_F_NODE)]).to.deep.equal(["3:11", "0:11"]);
    map(t, 0, 8);
    // page tables take turns, too
    expect(landing(t, 0, 8)).to.match(/^(0B){4}$|^(B0){4}$/);
    t.inChild(() => expect(policy(t)).to.equal("3:11"));
  });

  TEST_F(cma, "bound; what get_mempolicy() tells of each", (t) => {
    expect(set(t, MPOL_BIND, NODE_1)).to.equal(0);
    map(t, 0, 4);
    expect([landing(t, 0, 4), policy(t), policy(t, MPOL_F_ADDR, 0)]).to.deep.equal(["BBBB", "2:10", "0:0"]);
    expect([set(t, MPOL_PREFERRED, null), policy(t)]).to.deep.equal([0, "4:0"]);
    expect([set(t, MPOL_LOCAL, null), policy(t)]).to.deep.equal([0, "4:0"]);
    expect([set(t, MPOL_DEFAULT, null), policy(t)]).to.deep.equal([0, "0:0"]);
    expect(policy(t, MPOL_F_MEMS_ALLOWED)).to.equal("0:11");
    expect([set(t, MPOL_BIND | MPOL_F_STATIC_NODES, 6), policy(t)]).to.deep.equal([0, "32770:110"]);
    expect([set(t, MPOL_BIND | MPOL_F_RELATIVE_NODES, 4), policy(t)]).to.deep.equal([0, "16386:100"]);
    map(t, 4, 4);
    expect(landing(t, 4, 4)).to.equal("0000");
  });

  TEST_F(plain, "without one, pages come from the node of the CPU", (t) => {
    map(t, 0, 8);
    touch(t, 0, 4);
    t.k.cpu = 1;
    touch(t, 4, 4);
    expect(nodePlaces(t, 0, 8)).to.equal("0000" + "1111");
  });
});

/** NUMA events since the machine booted, all zones together, by name. */
function numaEvents(t: T): Record<string, number> {
  const lines = t.kernel.vmstat_show(t.k).matchAll(/^numa_(\w+) (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, name, n]) => [name!, Number(n)]));
}

/** What they rose by. */
function counted(t: T, run: () => void): Record<string, number> {
  const before = numaEvents(t);
  run();
  return Object.fromEntries(Object.entries(numaEvents(t)).map(([name, n]) => [name, n - before[name]!]));
}

describe("two nodes: counters", () => {
  TEST_F(plain, "hits, of this node and of the other; interleaving", (t) => {
    map(t, 0, 32);
    touch(t, 0, 1);
    const none = { hit: 0, miss: 0, foreign: 0, interleave: 0, local: 0, other: 0 };
    expect(counted(t, () => touch(t, 1, 7))).to.deep.equal({ ...none, hit: 7, local: 7 });
    expect(bind(t, 8, 8, MPOL_BIND, NODE_1)).to.equal(0);
    expect(counted(t, () => touch(t, 8, 8))).to.deep.equal({ ...none, hit: 8, other: 8 });
    expect(bind(t, 16, 8, MPOL_INTERLEAVE, ALL)).to.equal(0);
    expect(counted(t, () => touch(t, 16, 8))).to.deep.equal({ ...none, hit: 8, interleave: 8, local: 4, other: 4 });
  });

  TEST_F(plain, "a miss of the one is foreign to the other", (t) => {
    const pages = t.k.nodes[1]!.node_zones[1]!.managed_pages;
    map(t, 0, pages);
    expect(bind(t, 0, pages, MPOL_PREFERRED, NODE_1)).to.equal(0);
    const events = counted(t, () => touch(t, 0, pages));
    expect(events["miss"]).to.be.above(0);
    expect(events["foreign"]).to.equal(events["miss"]);
    expect(t.k.nodes[0]!.node_zones[1]!.vm_numa_event[1]).to.equal(events["miss"]);
  });

  TEST_F(plain, "zoneinfo shows each node's zones, and buddyinfo those that there are", (t) => {
    const headings = t.kernel
      .zoneinfo_show(t.k)
      .match(/^Node \d, zone +\w+/gm)!
      .map((line) => line.replace(/ +/g, " "));
    const four = ["DMA", "DMA32", "Normal", "Movable"];
    expect(headings).to.deep.equal([0, 1].flatMap((nid) => four.map((name) => `Node ${String(nid)}, zone ${name}`)));
    const blocks = t.kernel
      .frag_show(t.k)
      .match(/^Node \d, zone +\w+/gm)!
      .map((line) => line.replace(/ +/g, " "));
    expect(blocks).to.deep.equal(["Node 0, zone DMA", "Node 0, zone DMA32", "Node 1, zone DMA32"]);
  });
});

describe("mbind() that moves", () => {
  TEST_F(cma, "to where the policy says; strict as well", (t) => {
    map(t, 0, 8);
    touch(t, 0, 8);
    expect(bind(t, 0, 8, MPOL_BIND, NODE_1, MPOL_MF_MOVE | MPOL_MF_STRICT)).to.equal(0);
    expect(nodePlaces(t, 0, 8)).to.equal("BBBBBBBB");
    expect(bind(t, 0, 8, MPOL_INTERLEAVE, ALL, MPOL_MF_MOVE)).to.equal(0);
    expect(nodePlaces(t, 0, 8)).to.equal("BBBBBBBB");
    expect(bind(t, 0, 8, MPOL_DEFAULT, null, MPOL_MF_MOVE)).to.equal(0);
    expect([nodePlaces(t, 0, 8), peek(t, 7)]).to.deep.equal(["00000000", 1]);
  });

  TEST_F(cma, "pages of a memfd, as far as the policy goes", (t) => {
    const fd = memfd(t, 8);
    map(t, 0, 8, { flags: MAP_SHARED, fd });
    touch(t, 0, 8);
    expect(bind(t, 0, 4, MPOL_BIND, NODE_1, MPOL_MF_MOVE)).to.equal(0);
    expect(nodePlaces(t, 0, 8)).to.equal("BBBB" + "0000");
  });
});

const small = FIXTURE("small", { boot: { memory: 40 * MIB, nodes: [32 * MIB, 8 * MIB] } });

describe("two nodes: reclaim", () => {
  TEST_F(small, "more than a node has, bound to it: swapped out from there, and nothing of the other node", (t) => {
    swapTo(t, { pages: 2048, rotational: false, synchronous: true });
    map(t, 0, 2300);
    touch(t, 0, 200);
    expect(bind(t, 200, 2100, MPOL_BIND, NODE_1)).to.equal(0);
    touch(t, 200, 2100);
    expect(nodePlaces(t, 0, 200)).to.equal("0".repeat(200));
    const guest = nodePlaces(t, 200, 2100);
    expect([guest.includes("0"), guest.includes("-"), guest.includes("1")]).to.deep.equal([false, true, true]);
    expect(swapUsed(t)).to.be.above(0);
  });

  TEST_F(small, "preferred: the other node has the rest, nothing is swapped out", (t) => {
    swapTo(t, { pages: 2048, rotational: false, synchronous: true });
    map(t, 0, 2100);
    expect(bind(t, 0, 2100, MPOL_PREFERRED, NODE_1)).to.equal(0);
    touch(t, 0, 2100);
    expect([nodePlaces(t, 0, 2100).includes("-"), swapUsed(t)]).to.deep.equal([false, 0]);
  });
});

const offline = FIXTURE("offline", { boot: { memory: 128 * MIB, nodes: 2, config: { memory_block_size: 4 * MIB } } });

describe("two nodes: a memory block goes offline", () => {
  TEST_F(offline, "its pages go to the other node", (t) => {
    map(t, 0, 512);
    touch(t, 0, 512);
    const block = Math.floor(frameOf(t, 511) / 1024);
    expect(echo(t, "offline", `/sys/devices/system/memory/memory${String(block)}/state`)).to.equal(0);
    expect(movePages(t, 511, 1, null)).to.equal("0 1");
  });
});
