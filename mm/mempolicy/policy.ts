// SPDX-License-Identifier: GPL-2.0-only
/** What user space says of a memory policy, and the policy that comes of it (mm/mempolicy.c). */
import type { mempolicy } from "../../include/linux/mempolicy.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL } from "../../uapi/errno.js";
import {
  MPOL_BIND,
  MPOL_DEFAULT,
  MPOL_F_MOF,
  MPOL_F_MORON,
  MPOL_F_NUMA_BALANCING,
  MPOL_F_RELATIVE_NODES,
  MPOL_F_STATIC_NODES,
  MPOL_LOCAL,
  MPOL_MAX,
  MPOL_PREFERRED,
} from "../../uapi/mempolicy.js";
import { nodes_with_memory } from "../page_alloc/nodes.js";
import { first_node, nodes_weight } from "./alloc.js";

export const MPOL_MODE_FLAGS = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;
const USER_NODEMASK = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;
/** Nodes that the kernel could have. @kernel CONFIG_NODES_SHIFT */
export const MAX_NUMNODES = 64;

/** A mode and the flags that came with it, apart. */
export interface mode_and_flags {
  readonly mode: number;
  readonly flags: number;
}

/** Takes a mode and its flags apart; -EINVAL where they are not what there is. @kernel mm/mempolicy.c:sanitize_mpol_flags @fidelity mirrored */
export function sanitize_mpol_flags(arg: number): mode_and_flags | number {
  const flags = arg & MPOL_MODE_FLAGS;
  const mode = arg & ~MPOL_MODE_FLAGS;
  if (mode < 0 || mode >= MPOL_MAX || (flags & USER_NODEMASK) === USER_NODEMASK) return -EINVAL;
  if (!(flags & MPOL_F_NUMA_BALANCING)) return { mode, flags };
  return mode === MPOL_BIND ? { mode, flags: flags | MPOL_F_MOF | MPOL_F_MORON } : -EINVAL;
}

/** A set of nodes from user space, or -EINVAL. @kernel mm/mempolicy.c:get_nodes @fidelity mirrored */
export function get_nodes(nmask: bigint | null, maxnode: number): bigint | number {
  if (maxnode === 1 || nmask === null) return 0n;
  if (maxnode === 0 || maxnode - 1 > PAGE_SIZE * 8) return -EINVAL;
  const nodes = BigInt.asUintN(maxnode - 1, nmask);
  return nodes >> BigInt(MAX_NUMNODES) === 0n ? nodes : -EINVAL;
}

/** The policy as far as it does not depend on which nodes there are; null for the default, or -EINVAL. @kernel mm/mempolicy.c:mpol_new @fidelity mirrored */
export function mpol_new({ mode, flags }: mode_and_flags, nodes: bigint): mode_and_flags | null | number {
  const empty = nodes === 0n;
  if (mode === MPOL_DEFAULT) return empty ? null : -EINVAL;
  if (mode === MPOL_PREFERRED && empty) return flags & USER_NODEMASK ? -EINVAL : { mode: MPOL_LOCAL, flags };
  if (mode === MPOL_LOCAL) return empty && !(flags & USER_NODEMASK) ? { mode, flags } : -EINVAL;
  return empty ? -EINVAL : { mode, flags };
}

/** Numbers of the nodes of a set that may have any node. */
export function node_numbers(nodes: bigint): number[] {
  const out: number[] = [];
  for (let n = 0; nodes >> BigInt(n) !== 0n; n++) if ((nodes >> BigInt(n)) & 1n) out.push(n);
  return out;
}

/** The n-th nodes of those that there are, for each n of a set, folded to as many as there are. @kernel mm/mempolicy.c:mpol_relative_nodemask @fidelity mirrored */
function mpol_relative_nodemask(nodes: bigint, there: number): number {
  const place = node_numbers(BigInt(there));
  const weight = nodes_weight(there);
  return node_numbers(nodes).reduce((mask, n) => mask | (1 << place[n % weight]!), 0);
}

/** Completes a policy with the nodes that there are; -EINVAL if it names none of those. @kernel mm/mempolicy.c:mpol_set_nodemask @fidelity simplified: no cpusets */
export function mpol_set_nodemask(k: Machine, made: mode_and_flags | null, nodes: bigint): mempolicy | null | number {
  if (made === null) return null;
  const { mode, flags } = made;
  const user_nodemask = flags & MPOL_MODE_FLAGS ? nodes : 0n;
  if (mode === MPOL_LOCAL) return { mode, flags, nodes: 0, user_nodemask: 0n };
  const there = nodes_with_memory(k);
  const relative = (flags & MPOL_F_RELATIVE_NODES) !== 0;
  const mask = relative ? mpol_relative_nodemask(nodes, there) : Number(nodes & BigInt(there));
  if (mask === 0) return -EINVAL;
  return { mode, flags, nodes: mode === MPOL_PREFERRED ? 1 << first_node(mask) : mask, user_nodemask };
}
