// SPDX-License-Identifier: GPL-2.0-only
/**
 * What the calls on nodes refuse, and in which order. A 6.1 kernel on two nodes was asked for each row but those of a kernel
 * without NUMA and of a process without memory. mbind() on one node is in mbind.test.ts.
 */
import { CAP_SYS_NICE } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EFAULT, EINVAL, EIO, ENODEV, ENOSYS, EPERM, ESRCH } from "../../uapi/errno.js";
import {
  MPOL_BIND,
  MPOL_DEFAULT,
  MPOL_F_ADDR,
  MPOL_F_MEMS_ALLOWED,
  MPOL_F_NODE,
  MPOL_F_NUMA_BALANCING,
  MPOL_F_RELATIVE_NODES,
  MPOL_F_STATIC_NODES,
  MPOL_INTERLEAVE,
  MPOL_LOCAL,
  MPOL_MF_MOVE,
  MPOL_MF_MOVE_ALL,
  MPOL_MF_STRICT,
  MPOL_PREFERRED,
} from "../../uapi/mempolicy.js";
import { drop, errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { at, bytes, map, memfd, peek, type T, touch } from "./lib/memory.js";
import { atYield } from "./lib/tasks.js";
import { bind, CMA_NODES, MAXNODE, migratePages, movePages, NODE_0, NODE_1, policy } from "./lib/numa.js";

const nodes = FIXTURE("two_nodes", {
  boot: CMA_NODES,
  setup(t) {
    map(t, 0, 8);
    touch(t, 0, 4);
  },
});

const BOTH = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;
const NOBODY = 9999;
const withoutNice = (t: T, call: () => number): number => (drop(t, CAP_SYS_NICE), call());
const withoutNuma = (t: T, call: () => number): number => ((t.k.config.NUMA = false), call());

describe("mbind on two nodes", () => {
  errnoTable("mbind", nodes, [
    ["strict: pages lie elsewhere", (t) => bind(t, 0, 8, MPOL_BIND, NODE_1, MPOL_MF_STRICT), EIO],
    ["strict: they lie there", (t) => bind(t, 0, 8, MPOL_BIND, NODE_0, MPOL_MF_STRICT), 0],
    ["strict: any node is fine", (t) => bind(t, 0, 8, MPOL_INTERLEAVE, NODE_0 | NODE_1, MPOL_MF_STRICT), 0],
    ["strict, by default: nobody looks", (t) => bind(t, 0, 8, MPOL_DEFAULT, null, MPOL_MF_STRICT), 0],
    ["only a node that there is not", (t) => bind(t, 0, 8, MPOL_BIND, 4), EINVAL],
    ["a hole, before pages that lie elsewhere", (t) => bind(t, 0, 9, MPOL_BIND, NODE_1, MPOL_MF_STRICT), EFAULT],
    [
      "to move all, without the right",
      (t) => withoutNice(t, () => bind(t, 0, 8, MPOL_BIND, NODE_1, MPOL_MF_MOVE_ALL)),
      EPERM,
    ],
  ]);

  TEST_F(nodes, "EIO: the policy stays what it was", (t) => {
    expect(bind(t, 0, 8, MPOL_BIND, NODE_1, MPOL_MF_STRICT)).to.equal(-EIO);
    expect(policy(t, MPOL_F_ADDR, 0)).to.equal("0:0");
  });
});

const set = (t: T, mode: number, mask: number | null, maxnode = MAXNODE): number =>
  t.sys.set_mempolicy(mode, mask, maxnode);

const setRows: readonly ErrnoRow[] = [
  ["a mode that there is not, before too many nodes", (t) => set(t, 6, 1, 40000), EINVAL],
  ["static and relative nodes at once", (t) => set(t, MPOL_BIND | BOTH, 1), EINVAL],
  ["balancing of what is not bound", (t) => set(t, MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING, 1), EINVAL],
  ["more nodes than a page has bits", (t) => set(t, MPOL_BIND, 1, 40000), EINVAL],
  ["room for no nodes at all", (t) => set(t, MPOL_BIND, 1, 0), EINVAL],
  ["nodes cut off", (t) => set(t, MPOL_BIND, 1, 1), EINVAL],
  ["nodes for the default", (t) => set(t, MPOL_DEFAULT, 1), EINVAL],
  ["nodes for the local one", (t) => set(t, MPOL_LOCAL, 1), EINVAL],
  ["static and local", (t) => set(t, MPOL_LOCAL | MPOL_F_STATIC_NODES, null), EINVAL],
  ["static and preferred, without nodes", (t) => set(t, MPOL_PREFERRED | MPOL_F_STATIC_NODES, null), EINVAL],
  ["no nodes to bind to", (t) => set(t, MPOL_BIND, null), EINVAL],
  ["a node that there is not", (t) => set(t, MPOL_BIND, 4), EINVAL],
  ["the same, relative to those that there are", (t) => set(t, MPOL_BIND | MPOL_F_RELATIVE_NODES, 4), 0],
  ["one that there is, and one that there is not", (t) => set(t, MPOL_BIND | MPOL_F_STATIC_NODES, 6), 0],
  ["bound and balanced", (t) => set(t, MPOL_BIND | MPOL_F_NUMA_BALANCING, 1), 0],
  ["a kernel without NUMA", (t) => withoutNuma(t, () => set(t, MPOL_BIND, 1)), ENOSYS],
];

const get = (t: T, flags: number, page?: number, maxnode = MAXNODE): number =>
  t.sys.get_mempolicy({ value: 0 }, { value: 0n }, maxnode, page === undefined ? 0 : at(page), flags);

const getRows: readonly ErrnoRow[] = [
  ["room for fewer nodes than there are, before unknown flags", (t) => get(t, 8, undefined, 1), EINVAL],
  ["unknown flags", (t) => get(t, 8), EINVAL],
  ["allowed nodes, and a page's", (t) => get(t, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE), EINVAL],
  ["nothing mapped", (t) => get(t, MPOL_F_ADDR, 100), EFAULT],
  ["nothing mapped at no address", (t) => get(t, MPOL_F_ADDR), EFAULT],
  ["an address that nobody asked about", (t) => get(t, 0, 0), EINVAL],
  ["which node is next, without interleaving", (t) => get(t, MPOL_F_NODE), EINVAL],
  ["more room than a page has bits", (t) => get(t, 0, undefined, 40000), EINVAL],
  ["nobody wants the nodes", (t) => t.sys.get_mempolicy({ value: 0 }, null, 0, 0, 0), 0],
  ["nobody wants anything", (t) => t.sys.get_mempolicy(null, null, 0, 0, 0), 0],
  ["a kernel without NUMA", (t) => withoutNuma(t, () => get(t, 0)), ENOSYS],
];

const migrateRows: readonly ErrnoRow[] = [
  ["more nodes than a page has bits, before nobody", (t) => t.sys.migrate_pages(NOBODY, 40000, 1, 2), EINVAL],
  ["nobody, before no nodes", (t) => migratePages(t, NODE_0, 0, NOBODY), ESRCH],
  ["no nodes to go to", (t) => migratePages(t, NODE_0, 0), EINVAL],
  ["nodes cut off", (t) => t.sys.migrate_pages(0, 1, NODE_0, NODE_1), EINVAL],
  ["only a node that there is not", (t) => migratePages(t, NODE_0, 4), EINVAL],
  ["the same without the right", (t) => withoutNice(t, () => migratePages(t, NODE_0, 4)), EPERM],
  ["one of two that there is not, without the right", (t) => withoutNice(t, () => migratePages(t, NODE_0, 6)), EPERM],
  ["one of two that there is not", (t) => migratePages(t, NODE_0, 6), 0],
  ["from nowhere", (t) => migratePages(t, 0, NODE_1), 0],
  ["from a node that there is not", (t) => migratePages(t, 4, NODE_0), 0],
  ["all to where they are", (t) => migratePages(t, NODE_0 | NODE_1, NODE_0 | NODE_1), 0],
  ["a kernel without NUMA", (t) => withoutNuma(t, () => migratePages(t, NODE_0, NODE_1)), ENOSYS],
];

/** move_pages() of the first four pages to the second node, but for what `over` says. */
function move(
  t: T,
  over: { pid?: number; node?: number; flags?: number; pages?: null; nodes?: number[] } = {},
): number {
  const pages = over.pages === null ? null : [0, 1, 2, 3].map(at);
  const targets = over.nodes ?? [0, 1, 2, 3].map(() => over.node ?? 1);
  return t.sys.move_pages(over.pid ?? 0, 4, pages, targets, [], over.flags ?? MPOL_MF_MOVE);
}

const moveRows: readonly ErrnoRow[] = [
  ["an unknown flag, before no right", (t) => withoutNice(t, () => move(t, { flags: MPOL_MF_MOVE_ALL | 8 })), EINVAL],
  ["strict is none that it knows", (t) => move(t, { flags: MPOL_MF_STRICT }), EINVAL],
  ["all, without the right, before nobody", (t) => withoutNice(t, () => move(t, { flags: 4, pid: NOBODY })), EPERM],
  ["nobody, before no such node", (t) => move(t, { pid: NOBODY, node: 2 }), ESRCH],
  ["no pages, before no such node", (t) => move(t, { pages: null, node: 2 }), EFAULT],
  ["no nodes", (t) => move(t, { nodes: [] }), EFAULT],
  ["a node that there is not", (t) => move(t, { node: 2 }), ENODEV],
  ["the last that there could be", (t) => move(t, { node: 63 }), ENODEV],
  ["one behind that", (t) => move(t, { node: 64 }), ENODEV],
  ["a negative node", (t) => move(t, { node: -1 }), ENODEV],
  ["nowhere to tell of it", (t) => t.sys.move_pages(0, 1, [at(0)], [1], null, MPOL_MF_MOVE), EFAULT],
  ["nowhere to tell where it is", (t) => t.sys.move_pages(0, 1, [at(0)], null, null, 0), EFAULT],
  ["nothing to do", (t) => t.sys.move_pages(0, 0, null, null, null, 0), 0],
  ["without a flag", (t) => move(t, { flags: 0 }), 0],
  ["a kernel without NUMA", (t) => withoutNuma(t, () => move(t)), ENOSYS],
];

describe("set_mempolicy", () => {
  errnoTable("set_mempolicy", nodes, setRows);
});
describe("get_mempolicy", () => {
  errnoTable("get_mempolicy", nodes, getRows);
});
describe("migrate_pages", () => {
  errnoTable("migrate_pages", nodes, migrateRows);

  TEST_F(nodes, "EINVAL: a process that has no memory any more", (t) => {
    const child = t.fork();
    t.as(child, () => t.sys.exit(0));
    t.k.tasks.set(child.pid, child);
    expect([migratePages(t, NODE_0, NODE_1, child.pid), move(t, { pid: child.pid })]).to.deep.equal([-EINVAL, -EINVAL]);
    t.k.tasks.delete(child.pid);
  });
});

describe("move_pages", () => {
  errnoTable("move_pages", nodes, moveRows);

  TEST_F(nodes, "status: moved; never touched, as the zero page, is EFAULT; nothing mapped, too", (t) => {
    peek(t, 4);
    expect(movePages(t, 2, 4, 1)).to.equal("0 1 1 EFAULT EFAULT");
    expect(movePages(t, 7, 2, 1)).to.equal("0 EFAULT EFAULT");
    expect(movePages(t, 0, 4, null)).to.equal("0 0 0 1 1");
  });

  TEST_F(nodes, "status: what of a file is not there is ENOENT, what another maps too EACCES", (t) => {
    const fd = memfd(t, 4);
    map(t, 16, 4, { flags: 1, fd });
    touch(t, 16, 2);
    map(t, 32, 4, { flags: 1, fd });
    peek(t, 32);
    expect(movePages(t, 16, 4, 1)).to.equal("0 EACCES EACCES ENOENT ENOENT");
    expect(movePages(t, 16, 4, 1, MPOL_MF_MOVE_ALL)).to.equal("0 1 1 ENOENT ENOENT");
  });

  TEST_F(nodes, "status: EACCES for what a child has as well", (t) => {
    t.inChild(() => expect(movePages(t, 0, 2, 1)).to.equal("0 EACCES EACCES"));
    expect(movePages(t, 0, 2, 1)).to.equal("0 1 1");
  });

  TEST_F(nodes, "the pages before a node that there is not are moved, and their status says so", (t) => {
    const status = [-1, -1, -1];
    expect(t.sys.move_pages(0, 3, [0, 1, 2].map(at), [1, 1, 5], status, MPOL_MF_MOVE)).to.equal(-ENODEV);
    expect([movePages(t, 0, 3, null), status]).to.deep.equal(["0 1 1 0", [1, 1, -1]]);
  });

  TEST_F(nodes, "each to a node of its own", (t) => {
    const status: number[] = [];
    expect(t.sys.move_pages(0, 4, [0, 1, 2, 3].map(at), [0, 1, 0, 1], status, MPOL_MF_MOVE)).to.equal(0);
    expect(status).to.deep.equal([0, 1, 0, 1]);
  });

  TEST_F(nodes, "of another process", (t) => {
    const child = t.fork();
    t.as(child, () => expect(t.sys.munmap(at(0), bytes(8))).to.equal(0));
    const status: number[] = [];
    const parent = t.k.current.pid;
    t.as(child, () => expect(t.sys.move_pages(parent, 1, [at(1)], [1], status, MPOL_MF_MOVE)).to.equal(0));
    expect([status, movePages(t, 0, 2, null)]).to.deep.equal([[1], "0 0 1"]);
    t.as(child, () => t.sys.exit(0));
  });

  TEST_F(nodes, "of another process that ends while they move: its memory stays until then", (t) => {
    const child = t.fork();
    t.as(child, () => expect(t.sys.munmap(at(0), bytes(8))).to.equal(0));
    t.as(child, () => {
      map(t, 64, 4);
      touch(t, 64, 4);
    });
    expect(t.kernel.meminfo(t.k).AnonPages).to.equal(32);
    const met = atYield(t, "migrate_pages", () => t.as(child, () => t.sys.exit(0)));
    const status: number[] = [];
    const addrs = [64, 65, 66, 67].map(at);
    expect(t.sys.move_pages(child.pid, 4, addrs, [1, 1, 1, 1], status, MPOL_MF_MOVE)).to.equal(0);
    expect([met.count, status]).to.deep.equal([1, [1, 1, 1, 1]]);
    expect(t.kernel.meminfo(t.k).AnonPages).to.equal(16);
  });
});
