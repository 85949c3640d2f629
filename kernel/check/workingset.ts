// SPDX-License-Identifier: GPL-2.0-only
/** Index nodes of page caches that are said to hold shadows alone, against what they hold. */
import { WORKINGSET_NODES } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { global_node_page_state } from "../../mm/vmstat.js";
import { only_shadows, shadow_nodes } from "../../mm/workingset.js";
import type { Complaints } from "./ledger.js";

/** Of all files. */
export function checkShadowNodes(k: Machine, bad: Complaints): void {
  const nodes = shadow_nodes(k);
  for (const { mapping, first } of nodes.values()) {
    const there = k.mem.owners.includes(mapping) && only_shadows(mapping.i_pages, first);
    bad.unless(there, () => `the index node at ${first} of file ${mapping.host.i_ino} does not hold shadows alone`);
  }
  const stat = global_node_page_state(k, WORKINGSET_NODES);
  bad.unless(stat === nodes.size, () => `workingset_nodes is ${stat}, nodes are ${nodes.size}`);
}
