// SPDX-License-Identifier: GPL-2.0-only
/** mbind(): what it refuses and in which order. What it does to mappings is in vma_merge_conditions.test.ts. */
import { CAP_SYS_NICE } from "../../include/linux/sched.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM } from "../../uapi/errno.js";
import {
  MPOL_BIND,
  MPOL_DEFAULT,
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
import { at, bytes, map, ranges, type T, touch } from "./lib/memory.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
    touch(t, 0, 8);
  },
});

interface Args {
  readonly len?: number;
  readonly addr?: number;
  readonly nodes?: number | bigint | null;
  readonly maxnode?: number;
  readonly flags?: number;
}

function mbind(t: T, mode: number, o: Args = {}): number {
  const nodes = o.nodes === undefined ? 1 : o.nodes;
  return t.sys.mbind(o.addr ?? at(0), o.len ?? bytes(2), mode, nodes, o.maxnode ?? 65, o.flags ?? 0);
}

const BAD_FLAG = 8;
const BOTH = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;

const rows: readonly ErrnoRow[] = [
  ["a mode that there is not, before no right to move", (t) => mbind(t, 6, { flags: MPOL_MF_MOVE_ALL }), EINVAL],
  ["a negative mode", (t) => mbind(t, -1), EINVAL],
  ["static and relative nodes at once", (t) => mbind(t, MPOL_BIND | BOTH), EINVAL],
  ["balancing of what is not bound", (t) => mbind(t, MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING), EINVAL],
  ["more nodes than a page has bits", (t) => mbind(t, MPOL_BIND, { maxnode: 32770 }), EINVAL],
  [
    "a node above those that are supported",
    (t) => mbind(t, MPOL_BIND, { nodes: 1n | (1n << 64n), maxnode: 66 }),
    EINVAL,
  ],
  [
    "an unknown flag, before no right to move all",
    (t) => {
      drop(t, CAP_SYS_NICE);
      return mbind(t, MPOL_BIND, { flags: BAD_FLAG | MPOL_MF_MOVE_ALL });
    },
    EINVAL,
  ],
  [
    "no right to move all, before misaligned",
    (t) => {
      drop(t, CAP_SYS_NICE);
      return mbind(t, MPOL_BIND, { addr: at(0) + 1, flags: MPOL_MF_MOVE_ALL });
    },
    EPERM,
  ],
  ["misaligned, before no length", (t) => mbind(t, MPOL_BIND, { addr: at(0) + 1, len: 0 }), EINVAL],
  ["a range beyond 2^64", (t) => mbind(t, MPOL_BIND, { len: -4096 }), EINVAL],
  ["no length, before no nodes", (t) => mbind(t, MPOL_BIND, { len: 0, nodes: null }), 0],
  ["a length that wraps to nothing", (t) => mbind(t, MPOL_BIND, { len: -1, nodes: null }), 0],
  ["nodes for the default, before nothing mapped", (t) => mbind(t, MPOL_DEFAULT, { addr: at(100) }), EINVAL],
  ["nodes for the local one", (t) => mbind(t, MPOL_LOCAL), EINVAL],
  ["no nodes, before nothing mapped", (t) => mbind(t, MPOL_BIND, { addr: at(100), nodes: null }), EINVAL],
  ["no nodes, preferred and static", (t) => mbind(t, MPOL_PREFERRED | MPOL_F_STATIC_NODES, { nodes: null }), EINVAL],
  [
    "only nodes that there are not, before nothing mapped",
    (t) => mbind(t, MPOL_BIND, { addr: at(100), nodes: 2 }),
    EINVAL,
  ],
  ["nodes cut off by maxnode", (t) => mbind(t, MPOL_BIND, { nodes: 3, maxnode: 1 }), EINVAL],
  ["nothing mapped", (t) => mbind(t, MPOL_BIND, { addr: at(100) }), EFAULT],
  ["nothing mapped, by default", (t) => mbind(t, MPOL_DEFAULT, { addr: at(100), nodes: null }), EFAULT],
  ["a hole in front", (t) => mbind(t, MPOL_BIND, { addr: at(-1) }), EFAULT],
  ["a hole behind", (t) => mbind(t, MPOL_BIND, { len: bytes(9) }), EFAULT],
  ["a hole behind, by default", (t) => mbind(t, MPOL_DEFAULT, { len: bytes(9), nodes: null }), 0],
  [
    "too many mappings",
    (t) => {
      t.k.config.max_map_count = t.k.current.mm!.map_count;
      return mbind(t, MPOL_BIND);
    },
    ENOMEM,
  ],
  ["no nodes, preferred: local", (t) => mbind(t, MPOL_PREFERRED, { nodes: null }), 0],
  ["relative nodes that there are not", (t) => mbind(t, MPOL_BIND | MPOL_F_RELATIVE_NODES, { nodes: 2 }), 0],
  [
    "to check and to move what lies where it should",
    (t) => mbind(t, MPOL_BIND, { flags: MPOL_MF_STRICT | MPOL_MF_MOVE }),
    0,
  ],
  [
    "a kernel without NUMA",
    (t) => {
      t.k.config.NUMA = false;
      return mbind(t, 6);
    },
    ENOSYS,
  ],
];

describe("mbind: refused", () => {
  errnoTable("mbind", eight, rows);

  TEST_F(eight, "a hole: nothing is bound", (t) => {
    expect(mbind(t, MPOL_BIND, { addr: at(4), len: bytes(8) })).to.equal(-EFAULT);
    expect(ranges(t)).to.equal("0-8");
  });
});
