// SPDX-License-Identifier: GPL-2.0-only
/** Caches that shrink under memory pressure (mm/vmscan.c: shrink_slab): those of mm/huge_memory.c and mm/workingset.c. */
import { HPAGE_PMD_NR } from "../../include/linux/types.js";
import { subsys_state } from "../../include/linux/subsys.js";
import type { Machine } from "../../include/machine.js";
import { thp_state_of } from "../huge_memory/deferred.js";
import { deferred_split_scan } from "../huge_memory/scan.js";
import { shrink_huge_zero_page_scan } from "../huge_memory/zero.js";
import { count_shadow_nodes, scan_shadow_nodes } from "../workingset.js";

const SHRINK_BATCH = 128;

/** @kernel include/linux/shrinker.h:shrinker */
interface shrinker {
  readonly name: string;
  /** What making one of them anew costs; 0: nothing. */
  readonly seeks: number;
  count_objects(k: Machine): number;
  /** What it freed; -1 to be asked no more for now. @kernel SHRINK_STOP */
  scan_objects(k: Machine, nr_to_scan: number): number;
}

const DEFAULT_SEEKS = 2;

/** In the order in which they register. */
const shrinkers: readonly shrinker[] = [
  {
    name: "huge_zero_page",
    seeks: DEFAULT_SEEKS,
    count_objects: (k) => (thp_state_of(k).huge_zero_refcount === 1 ? HPAGE_PMD_NR : 0),
    scan_objects: (k) => shrink_huge_zero_page_scan(k),
  },
  {
    name: "deferred_split",
    seeks: DEFAULT_SEEKS,
    count_objects: (k) => thp_state_of(k).split_queue.size,
    scan_objects(k, nr_to_scan) {
      const split = deferred_split_scan(k, nr_to_scan);
      return split === 0 && thp_state_of(k).split_queue.size === 0 ? -1 : split;
    },
  },
  { name: "workingset_shadow", seeks: 0, count_objects: count_shadow_nodes, scan_objects: scan_shadow_nodes },
];

/** Scans that earlier passes left for later, by shrinker. */
class deferred_scans {
  readonly nr = new Map<string, number>();
}

function deferred_of(k: Machine): Map<string, number> {
  return subsys_state(k, "mm/vmscan.c", () => new deferred_scans()).nr;
}

/** @kernel mm/vmscan.c:do_shrink_slab @fidelity mirrored */
function do_shrink_slab(k: Machine, s: shrinker, priority: number): number {
  const freeable = s.count_objects(k);
  if (freeable === 0) return 0;
  const deferred = deferred_of(k);
  const nr = deferred.get(s.name) ?? 0;
  const delta = s.seeks === 0 ? freeable >>> 1 : Math.floor(((freeable >>> priority) * 4) / s.seeks);
  let total_scan = Math.min((nr >>> priority) + delta, 2 * freeable);
  let scanned = 0;
  let freed = 0;
  while (total_scan >= SHRINK_BATCH || total_scan >= freeable) {
    const nr_to_scan = Math.min(SHRINK_BATCH, total_scan);
    const ret = s.scan_objects(k, nr_to_scan);
    if (ret < 0) break;
    freed += ret;
    total_scan -= nr_to_scan;
    scanned += nr_to_scan;
  }
  deferred.set(s.name, Math.min(Math.max(nr + delta - scanned, 0), 2 * freeable));
  return freed;
}

/**
 * Has the caches give back memory, the more the lower `priority` is; what they freed, in their own terms.
 * @kernel mm/vmscan.c:shrink_slab
 * @fidelity simplified: those of mm/huge_memory.c and mm/workingset.c; one node's are all nodes'
 */
export function shrink_slab(k: Machine, priority: number): number {
  let freed = 0;
  for (const s of shrinkers) freed += do_shrink_slab(k, s, priority);
  return freed;
}
