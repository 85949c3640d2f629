// SPDX-License-Identifier: GPL-2.0-only
/** Allocating by memory policies, where there is more than one node (mm/mempolicy.c). */
import {
  __GFP_COMP,
  __GFP_DIRECT_RECLAIM,
  __GFP_NOFAIL,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_THISNODE,
  gfp_zone,
} from "../../include/linux/gfp.js";
import { page_zone } from "../../include/linux/mem_map.js";
import type { mempolicy } from "../../include/linux/mempolicy.js";
import type { policy_vma } from "../../include/linux/mm_types.js";
import { ZONE_MOVABLE, ZONE_NORMAL } from "../../include/linux/mmzone.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { NUMA_INTERLEAVE_HIT } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import {
  MPOL_BIND,
  MPOL_F_MOF,
  MPOL_F_MORON,
  MPOL_INTERLEAVE,
  MPOL_PREFERRED,
  MPOL_PREFERRED_MANY,
} from "../../uapi/mempolicy.js";
import { __alloc_pages } from "../page_alloc.js";
import { numa_node_id } from "../page_alloc/nodes.js";

/** The lowest node of a set. @kernel include/linux/nodemask.h:first_node */
export function first_node(nodes: number): number {
  return 31 - Math.clz32(nodes & -nodes);
}

/** The next node of a set after `node`, the first one after the last. @kernel lib/nodemask.c:next_node_in */
export function next_node_in(node: number, nodes: number): number {
  const after = node >= 31 ? 0 : nodes & ~((2 << node) - 1);
  return first_node(after === 0 ? nodes : after);
}

/** @kernel include/linux/nodemask.h:nodes_weight */
export function nodes_weight(nodes: number): number {
  let n = 0;
  for (; nodes !== 0; nodes &= nodes - 1) n++;
  return n;
}

/** This node, for who has said nothing; NUMA balancing may move its pages. @kernel mm/mempolicy.c:preferred_node_policy */
function preferred_node_policy(nid: number): mempolicy {
  return { mode: MPOL_PREFERRED, flags: MPOL_F_MOF | MPOL_F_MORON, nodes: 1 << nid, user_nodemask: 0n };
}

/** The policy of the running task. @kernel mm/mempolicy.c:get_task_policy @fidelity mirrored */
export function get_task_policy(k: Machine): mempolicy {
  return k.current.mempolicy ?? preferred_node_policy(numa_node_id(k));
}

/** The policy of a VMA at an address, null for none of its own. @kernel mm/mempolicy.c:__get_vma_policy @fidelity mirrored */
export function __get_vma_policy(vma: policy_vma, addr: number): mempolicy | null {
  return vma.vm_ops?.get_policy === undefined ? vma.vm_policy : vma.vm_ops.get_policy(vma, addr);
}

/** The policy that counts at an address of a VMA. @kernel mm/mempolicy.c:get_vma_policy @fidelity mirrored */
export function get_vma_policy(k: Machine, vma: policy_vma, addr: number): mempolicy {
  return __get_vma_policy(vma, addr) ?? get_task_policy(k);
}

/**
 * Is the policy to decide where a request goes that may use zones up to this one? Only for the highest zone that is not
 * ZONE_MOVABLE, or that one itself where the policy has no other.
 * @kernel mm/mempolicy.c:apply_policy_zone
 * @fidelity mirrored
 */
function apply_policy_zone(k: Machine, policy: mempolicy, zone: number): boolean {
  let policy_zone = 0;
  let ordinary = false;
  for (const z of k.zones) {
    if (z.managed_pages === 0 || z.idx > ZONE_NORMAL) continue;
    policy_zone = Math.max(policy_zone, z.idx);
    ordinary ||= (policy.nodes & (1 << z.node)) !== 0;
  }
  return zone >= (ordinary ? policy_zone : ZONE_MOVABLE);
}

/** The nodes that a policy keeps a request to, 0 for any. @kernel mm/mempolicy.c:policy_nodemask @fidelity mirrored */
function policy_nodemask(k: Machine, gfp: number, policy: mempolicy): number {
  if (policy.mode === MPOL_BIND && apply_policy_zone(k, policy, gfp_zone(gfp))) return policy.nodes;
  return policy.mode === MPOL_PREFERRED_MANY ? policy.nodes : 0;
}

/** The node to begin with, `nd` unless the policy prefers one. @kernel mm/mempolicy.c:policy_node @fidelity simplified: no home_node */
function policy_node(policy: mempolicy, nd: number): number {
  return policy.mode === MPOL_PREFERRED ? first_node(policy.nodes) : nd;
}

/** Takes turns for a task. @kernel mm/mempolicy.c:interleave_nodes @fidelity mirrored */
function interleave_nodes(k: Machine, policy: mempolicy): number {
  k.current.il_prev = next_node_in(k.current.il_prev, policy.nodes);
  return k.current.il_prev;
}

/** The n-th node of an interleaving policy, all over again behind the last. @kernel mm/mempolicy.c:offset_il_node @fidelity mirrored */
function offset_il_node(policy: mempolicy, n: number): number {
  let nid = first_node(policy.nodes);
  for (let left = n % nodes_weight(policy.nodes); left > 0; left--) nid = next_node_in(nid, policy.nodes);
  return nid;
}

/** @kernel mm/mempolicy.c:interleave_nid @fidelity mirrored */
function interleave_nid(policy: mempolicy, vma: policy_vma, addr: number, order: number): number {
  const off = Math.floor(vma.vm_pgoff / 2 ** order) + Math.floor((addr - vma.vm_start) / (PAGE_SIZE * 2 ** order));
  return offset_il_node(policy, off);
}

/** @kernel mm/mempolicy.c:alloc_page_interleave @fidelity mirrored */
function alloc_page_interleave(k: Machine, gfp: number, order: number, nid: number): number {
  const page = __alloc_pages(k, gfp, order, nid);
  if (page === 0) return 0;
  const z = page_zone(k.mem, page);
  if (z.node === nid) z.vm_numa_event[NUMA_INTERLEAVE_HIT]!++;
  return page;
}

/** Tries the preferred nodes without reclaiming, and then all. @kernel mm/mempolicy.c:alloc_pages_preferred_many @fidelity mirrored */
function alloc_pages_preferred_many(k: Machine, gfp: number, order: number, nid: number, nodes: number): number {
  const preferred_gfp = (gfp | __GFP_NOWARN) & ~(__GFP_DIRECT_RECLAIM | __GFP_NOFAIL);
  return __alloc_pages(k, preferred_gfp, order, nid, nodes) || __alloc_pages(k, gfp, order, nid);
}

/** As the policy says, wherever in memory it is for. */
function alloc_by(k: Machine, gfp: number, order: number, policy: mempolicy): number {
  const node = policy_node(policy, numa_node_id(k));
  if (policy.mode === MPOL_PREFERRED_MANY) return alloc_pages_preferred_many(k, gfp, order, node, policy.nodes);
  return __alloc_pages(k, gfp, order, node, policy_nodemask(k, gfp, policy));
}

/**
 * Allocates as the task's policy says.
 * @kernel mm/mempolicy.c:alloc_pages
 * @fidelity mirrored
 */
export function alloc_pages_by_policy(k: Machine, gfp: number, order: number): number {
  if (gfp & __GFP_THISNODE) return __alloc_pages(k, gfp, order, numa_node_id(k));
  const policy = get_task_policy(k);
  if (policy.mode !== MPOL_INTERLEAVE) return alloc_by(k, gfp, order, policy);
  return alloc_page_interleave(k, gfp, order, interleave_nodes(k, policy));
}

/** From the preferred node alone, without reclaiming; then, where the request may reclaim, from others too. */
function alloc_hugepage(k: Machine, gfp: number, order: number, node: number, nodemask: number): number {
  const page = __alloc_pages(k, gfp | __GFP_THISNODE | __GFP_NORETRY, order, node);
  return page !== 0 || !(gfp & __GFP_DIRECT_RECLAIM) ? page : __alloc_pages(k, gfp, order, node, nodemask);
}

/**
 * Allocates for an address of a VMA, or of no VMA's (null).
 * @kernel mm/mempolicy.c:vma_alloc_folio
 * @fidelity mirrored
 * @param addr bytes
 * @param hugepage rather have none than one from another node than the preferred one
 * @returns page frame, or 0
 */
export function vma_alloc_folio(
  k: Machine,
  gfp: number,
  order: number,
  vma: policy_vma | null,
  addr: number,
  hugepage: boolean,
): number {
  const policy = vma === null ? get_task_policy(k) : get_vma_policy(k, vma, addr);
  gfp |= order > 0 ? __GFP_COMP : 0;
  if (policy.mode === MPOL_INTERLEAVE) {
    const nid = vma === null ? interleave_nodes(k, policy) : interleave_nid(policy, vma, addr, order);
    return alloc_page_interleave(k, gfp, order, nid);
  }
  if (hugepage && policy.mode !== MPOL_PREFERRED_MANY) {
    const node = policy_node(policy, numa_node_id(k));
    const nodemask = policy_nodemask(k, gfp, policy);
    if (nodemask === 0 || nodemask & (1 << node)) return alloc_hugepage(k, gfp, order, node, nodemask);
  }
  return alloc_by(k, gfp, order, policy);
}
