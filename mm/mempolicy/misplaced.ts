// SPDX-License-Identifier: GPL-2.0-only
/** Which node a page should be on, now that it shows who uses it (mm/mempolicy.c: mpol_misplaced). */
import { GFP_HIGHUSER } from "../../include/linux/gfp.js";
import { page_zone } from "../../include/linux/mem_map.js";
import type { mempolicy } from "../../include/linux/mempolicy.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import {
  MPOL_BIND,
  MPOL_F_MOF,
  MPOL_F_MORON,
  MPOL_INTERLEAVE,
  MPOL_LOCAL,
  MPOL_PREFERRED,
  MPOL_PREFERRED_MANY,
} from "../../uapi/mempolicy.js";
import { node_zonelist, numa_node_id } from "../page_alloc/nodes.js";
import { first_node, get_task_policy, get_vma_policy, offset_il_node } from "./alloc.js";

/** No node: the page may stay. */
export const NUMA_NO_NODE = -1;

/**
 * May pages of a mapping be moved on a fault? Those of files only if their own policy says so.
 * @kernel mm/mempolicy.c:vma_policy_mof
 * @fidelity mirrored
 */
export function vma_policy_mof(k: Machine, vma: vm_area_struct): boolean {
  if (vma.vm_ops?.get_policy !== undefined) {
    return ((vma.vm_ops.get_policy(vma, vma.vm_start)?.flags ?? 0) & MPOL_F_MOF) !== 0;
  }
  return ((vma.vm_policy ?? get_task_policy(k)).flags & MPOL_F_MOF) !== 0;
}

/** The node of a policy that is nearest to this one. */
function nearest_node(k: Machine, pol: mempolicy, thisnid: number): number {
  return node_zonelist(k, GFP_HIGHUSER, thisnid, pol.nodes)[0]?.node ?? NUMA_NO_NODE;
}

/** The node that a policy has for a page, NUMA_NO_NODE where it may stay. */
function node_of_policy(k: Machine, pol: mempolicy, curnid: number, thisnid: number, pgoff: number): number {
  const allowed = (nid: number): boolean => (pol.nodes & (1 << nid)) !== 0;
  switch (pol.mode) {
    case MPOL_INTERLEAVE:
      return offset_il_node(pol, pgoff);
    case MPOL_PREFERRED:
      return allowed(curnid) ? NUMA_NO_NODE : first_node(pol.nodes);
    case MPOL_LOCAL:
      return thisnid;
    case MPOL_BIND:
      if (pol.flags & MPOL_F_MORON) return allowed(thisnid) ? thisnid : NUMA_NO_NODE;
      return allowed(curnid) ? NUMA_NO_NODE : nearest_node(k, pol, thisnid);
    case MPOL_PREFERRED_MANY:
      return allowed(curnid) ? NUMA_NO_NODE : nearest_node(k, pol, thisnid);
    default:
      return NUMA_NO_NODE;
  }
}

/**
 * The node that a page should be on that this CPU uses, or NUMA_NO_NODE if it is there or may stay.
 * @kernel mm/mempolicy.c:mpol_misplaced, kernel/sched/fair.c:should_numa_migrate_memory
 * @fidelity simplified: a page goes to whoever faults on it, as in the first scans of a process that alone uses it: who used
 *   it before is not kept, nor groups of tasks
 * @param addr bytes
 */
export function mpol_misplaced(k: Machine, page: number, vma: vm_area_struct, addr: number): number {
  const pol = get_vma_policy(k, vma, addr);
  if (!(pol.flags & MPOL_F_MOF)) return NUMA_NO_NODE;
  const curnid = page_zone(k.mem, page).node;
  const thisnid = numa_node_id(k);
  const pgoff = vma.vm_pgoff + Math.floor((addr - vma.vm_start) / PAGE_SIZE);
  let polnid = node_of_policy(k, pol, curnid, thisnid, pgoff);
  if (polnid !== NUMA_NO_NODE && pol.flags & MPOL_F_MORON) polnid = thisnid;
  return polnid === curnid ? NUMA_NO_NODE : polnid;
}
