// SPDX-License-Identifier: GPL-2.0-only
/** Where a request goes on a machine with several nodes, and how that is counted (mm/page_alloc.c, include/linux/gfp.h). */
import { __GFP_THISNODE, gfp_zone } from "../../include/linux/gfp.js";
import type { zone } from "../../include/linux/mmzone.js";
import { NUMA_FOREIGN, NUMA_HIT, NUMA_LOCAL, NUMA_MISS, NUMA_OTHER } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";

/** The node of the CPU that runs. @kernel include/linux/topology.h:numa_node_id @fidelity mirrored */
export function numa_node_id(k: Machine): number {
  return k.cpu_node[k.cpu]!;
}

/** Nodes that have memory, a bit each. @kernel include/linux/nodemask.h:node_states[N_MEMORY] */
export function nodes_with_memory(k: Machine): number {
  let nodes = 0;
  for (const n of k.nodes)
    if (n.node_zones.some((z) => z !== undefined && z.present_pages > 0)) nodes |= 1 << n.node_id;
  return nodes;
}

/**
 * The zones that a request may use, best first.
 * @kernel include/linux/gfp.h:node_zonelist, include/linux/mmzone.h:first_zones_zonelist
 * @fidelity mirrored
 * @param nodemask nodes that the pages may be on; 0 for any
 */
export function node_zonelist(k: Machine, gfp: number, nid: number, nodemask: number): readonly zone[] {
  const node = k.nodes[nid]!;
  const lists = gfp & __GFP_THISNODE ? node.nofallback_zonelists : node.node_zonelists;
  const list = lists[gfp_zone(gfp)]!;
  return nodemask === 0 ? list : list.filter((z) => nodemask & (1 << z.node));
}

/**
 * Counts `n` requests that a zone met: for the node that was preferred or not, and by where the CPU is.
 * @kernel mm/page_alloc.c:zone_statistics
 * @fidelity mirrored; on machines of one node nothing is counted
 */
export function zone_statistics(k: Machine, preferred_zone: zone, z: zone, n: number): void {
  if (z.node === preferred_zone.node) {
    z.vm_numa_event[NUMA_HIT]! += n;
  } else {
    z.vm_numa_event[NUMA_MISS]! += n;
    preferred_zone.vm_numa_event[NUMA_FOREIGN]! += n;
  }
  z.vm_numa_event[z.node === numa_node_id(k) ? NUMA_LOCAL : NUMA_OTHER]! += n;
}
