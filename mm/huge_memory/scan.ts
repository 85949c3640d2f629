// SPDX-License-Identifier: GPL-2.0-only
/** What memory pressure does to huge pages (mm/huge_memory.c: its two shrinkers). */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import type { Machine } from "../../include/machine.js";
import { folio_trylock, folio_unlock } from "../filemap.js";
import { put_page } from "../swap.js";
import { thp_state_of } from "./deferred.js";
import { split_huge_page } from "./split.js";

/**
 * Splits up to `nr_to_scan` of the huge pages whose split was deferred; how many it split. Those that cannot be split
 * wait at the end of the queue.
 * @kernel mm/huge_memory.c:deferred_split_scan
 * @fidelity simplified: one queue for all nodes
 */
export function deferred_split_scan(k: Machine, nr_to_scan: number): number {
  const { split_queue } = thp_state_of(k);
  const list = [...split_queue].slice(0, nr_to_scan);
  for (const head of list) k.mem.section(head).addRefs(head & PFN_SECTION_MASK, 1);
  let split = 0;
  for (const head of list) {
    if (folio_trylock(k, head)) {
      if (split_huge_page(k, head) === 0) split++;
      folio_unlock(k, head);
    }
    if (split_queue.delete(head)) split_queue.add(head);
    put_page(k, head);
  }
  return split;
}
