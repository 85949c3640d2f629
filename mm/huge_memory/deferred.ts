// SPDX-License-Identifier: GPL-2.0-only
/** Huge pages of which only parts are mapped: they wait here to be split under pressure (mm/huge_memory.c). */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { PG_swapcache } from "../../include/linux/page-flags.js";
import { THP_DEFERRED_SPLIT_PAGE } from "../../include/linux/vmstat.js";
import { subsys_state } from "../../include/linux/subsys.js";
import type { Machine } from "../../include/machine.js";
import { count_vm_event } from "../vmstat.js";

const SUBSYS = "mm/huge_memory.c";

/** What mm/huge_memory.c keeps in global variables. */
export class thp_state {
  /** Head of the huge zero page, 0 while there is none. */
  huge_zero_pfn = 0;
  /** One for each address space that uses it, and one for itself. */
  huge_zero_refcount = 0;
  /** Heads whose split is deferred, oldest first. */
  readonly split_queue = new Set<number>();
}

export function thp_state_of(k: Machine): thp_state {
  return subsys_state(k, SUBSYS, () => new thp_state());
}

/**
 * Queues a huge page of which a part is not mapped any more.
 * @kernel mm/huge_memory.c:deferred_split_huge_page
 * @fidelity simplified: one queue for all nodes, no memory cgroups
 */
export function deferred_split_huge_page(k: Machine, head: number): void {
  if (k.mem.section(head).flags[head & PFN_SECTION_MASK]! & PG_swapcache) return;
  const { split_queue } = thp_state_of(k);
  if (split_queue.has(head)) return;
  count_vm_event(k, THP_DEFERRED_SPLIT_PAGE);
  split_queue.add(head);
}

/**
 * Takes a huge page whose last reference has gone off the queue, before it is freed.
 * @kernel mm/huge_memory.c:free_transhuge_page
 * @fidelity mirrored: the freeing is the caller's
 */
export function free_transhuge_page(k: Machine, head: number): void {
  thp_state_of(k).split_queue.delete(head);
}
