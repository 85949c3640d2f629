// SPDX-License-Identifier: GPL-2.0-only
/** Which node a page should be on, now that it shows who uses it (mm/mempolicy.c: mpol_misplaced). */
import { page_zone } from "../../include/linux/mem_map.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { MPOL_F_MOF } from "../../uapi/mempolicy.js";
import { numa_node_id } from "../page_alloc/nodes.js";
import { get_task_policy, get_vma_policy } from "./alloc.js";

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

/**
 * The node that a page should be on that this CPU uses, or NUMA_NO_NODE if it is there or may stay.
 * @kernel mm/mempolicy.c:mpol_misplaced, kernel/sched/fair.c:should_numa_migrate_memory
 * @fidelity simplified: a page goes to whoever faults on it, as in the first scans of a process that alone uses it: who used
 *   it before is not kept, nor groups of tasks. Two policies have MPOL_F_MOF, as nobody may ask for MPOL_MF_LAZY, and both
 *   have MPOL_F_MORON: the default one, and MPOL_BIND with MPOL_F_NUMA_BALANCING
 * @param addr bytes
 */
export function mpol_misplaced(k: Machine, page: number, vma: vm_area_struct, addr: number): number {
  const pol = get_vma_policy(k, vma, addr);
  const thisnid = numa_node_id(k);
  if (!(pol.flags & MPOL_F_MOF) || !(pol.nodes & (1 << thisnid))) return NUMA_NO_NODE;
  return page_zone(k.mem, page).node === thisnid ? NUMA_NO_NODE : thisnid;
}
