// SPDX-License-Identifier: GPL-2.0-only
/** Swap: what swap_map says of each slot, against everything that has one; the swap cache; the counts of free slots. */
import { compound_head, page_test, swap_entry_of } from "../../include/linux/mem_map.js";
import { PG_swapcache } from "../../include/linux/page-flags.js";
import {
  SWAP_HAS_CACHE,
  SWAP_MAP_SHMEM,
  SWP_USED,
  SWP_WRITEOK,
  type swap_info_struct,
  type swap_state,
  swap_state_of,
} from "../../include/linux/swap.js";
import { swp_entry } from "../../include/linux/swapops.js";
import { NR_SWAPCACHE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value } from "../../lib/xarray.js";
import type { Complaints, Ledger } from "./ledger.js";

/** The swap cache's pages of one area, by offset; each is held by it. Shadows stand where a page is in swap, or was; `ahead`: slots that CPUs keep. */
function cachedPages(
  k: Machine,
  ledger: Ledger,
  bad: Complaints,
  si: swap_info_struct,
  ahead: ReadonlySet<number>,
): Map<number, number> {
  const pages = new Map<number, number>();
  for (const space of si.spaces) {
    const before = pages.size;
    space.i_pages.forEach(0, si.max, (offset, pfn) => {
      if (xa_is_value(pfn)) {
        const out = (si.swap_map[offset]! & ~SWAP_HAS_CACHE) !== 0 || ahead.has(swp_entry(si.type, offset));
        bad.unless(out, () => `a shadow stands at slot ${String(offset)}, which is free`);
        return;
      }
      pages.set(offset, pfn);
      ledger.ref(pfn);
      const flagged = page_test(k.mem, compound_head(k.mem, pfn), PG_swapcache);
      const named = flagged && swap_entry_of(k.mem, pfn) === swp_entry(si.type, offset);
      bad.unless(named, () => `page ${String(pfn)} is in the swap cache at ${String(offset)} that it does not name`);
    });
    const n = pages.size - before;
    bad.unless(space.nrpages === n, () => `a swap cache holds ${String(n)} pages, nrpages is ${String(space.nrpages)}`);
  }
  return pages;
}

/** What swap_map should say of a slot. */
function expectedUsage(ledger: Ledger, entry: number, cached: boolean): number {
  const count = ledger.swappedFiles.has(entry) ? SWAP_MAP_SHMEM : (ledger.swapped.get(entry) ?? 0);
  return cached ? count | SWAP_HAS_CACHE : count;
}

/** One area; answers how many pages of it the swap cache has. */
function checkArea(k: Machine, ledger: Ledger, bad: Complaints, st: swap_state, si: swap_info_struct): number {
  const ahead = new Set(st.swp_slots.flatMap(({ slots, slots_ret }) => [...slots, ...slots_ret]));
  const pages = cachedPages(k, ledger, bad, si, ahead);
  const c = si.cluster_info;
  const clusters = new Uint16Array(c?.count.length ?? 0);
  let inuse = 0;
  for (let offset = 1; offset < si.max; offset++) {
    const entry = swp_entry(si.type, offset);
    const usage = si.swap_map[offset]!;
    const expected = expectedUsage(ledger, entry, pages.has(offset) || ahead.has(entry));
    bad.unless(
      usage === expected,
      () => `swap slot ${String(offset)}: swap_map has ${usage}, holders make ${expected}`,
    );
    const inRange = offset >= si.lowest_bit && offset <= si.highest_bit;
    bad.unless(usage !== 0 || inRange, () => `swap slot ${String(offset)} is free outside of lowest_bit … highest_bit`);
    if (usage === 0) continue;
    inuse++;
    if (c !== null) clusters[Math.floor(offset / c.size)]!++;
  }
  bad.unless(si.inuse_pages === inuse, () => `inuse_pages is ${si.inuse_pages}, slots in use are ${inuse}`);
  if (c !== null) {
    clusters[0]!++;
    clusters[clusters.length - 1]! += clusters.length * c.size - si.max;
    const same = clusters.every((n, i) => n === c.count[i]);
    bad.unless(same, () => "clusters of a swap area count other slots than are in use");
    const whole = [...c.huge].every(
      (huge, i) => huge === 0 || pages.get(i * c.size) === pages.get((i + 1) * c.size - 1)! - c.size + 1,
    );
    bad.unless(whole, () => "a cluster is said to be a huge page's that is not in the swap cache");
  }
  return pages.size;
}

/** All areas. The page tables and page caches have been counted before. */
export function checkSwap(k: Machine, ledger: Ledger, bad: Complaints): void {
  const st = swap_state_of(k);
  let [free, total, cached] = [0, 0, 0];
  for (const si of st.swap_info) {
    if (!(si.flags & SWP_USED)) continue;
    cached += checkArea(k, ledger, bad, st, si);
    if (!(si.flags & SWP_WRITEOK)) continue;
    total += si.pages;
    free += si.pages - si.inuse_pages;
  }
  const stat = k.nodes.reduce((n, node) => n + node.vm_stat[NR_SWAPCACHE]!, 0);
  bad.unless(stat === cached, () => `nr_swapcached is ${stat}, swap caches hold ${cached}`);
  bad.unless(st.nr_swap_pages === free, () => `nr_swap_pages is ${st.nr_swap_pages}, free slots are ${free}`);
  bad.unless(st.total_swap_pages === total, () => `total_swap_pages is ${st.total_swap_pages}, areas have ${total}`);
  bad.unless(st.reads.length + st.writes.length === 0, () => "a device still reads or writes when the call is over");
}
