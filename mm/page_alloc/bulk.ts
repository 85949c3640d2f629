// SPDX-License-Identifier: GPL-2.0-only
/** Many single pages at once (mm/page_alloc.c:__alloc_pages_bulk). */
import { ALLOC_WMARK_LOW, ALLOC_WMARK_MASK, gfp_migratetype, gfp_zone } from "../../include/linux/gfp.js";
import { NULL_PFN } from "../../include/linux/mmzone.js";
import { current_gfp_context } from "../../include/linux/sched/mm.js";
import type { Machine } from "../../include/machine.js";
import { should_fail_alloc_page } from "../../lib/fault-inject.js";
import { __alloc_pages, alloc_flags_nofragment, gfp_to_alloc_flags_cma, prep_new_page } from "../page_alloc.js";
import type { alloc_context } from "./context.js";
import { node_zonelist, numa_node_id, zone_statistics } from "./nodes.js";
import { rmqueue_pcplist } from "./rmqueue.js";
import { wmark_pages, zone_watermark_fast } from "./watermark.js";

/**
 * Adds up to `nr_pages` pages to `pages`: from the per-CPU list of the first zone that can spare them all, or else one
 * page the ordinary way. Injection is asked once for all of them.
 * @kernel mm/page_alloc.c:__alloc_pages_bulk
 * @fidelity simplified: from this node, whatever the task's memory policy; every page halves the per-CPU list's free_factor; no memcg charge, no cpusets, no page_owner
 * @returns how many it added; 0 if injection or want of memory let the request fail
 */
export function __alloc_pages_bulk(k: Machine, gfp: number, nr_pages: number, pages: number[]): number {
  if (nr_pages <= 0) return 0;
  const alone = (): number => {
    const pfn = __alloc_pages(k, gfp, 0, numa_node_id(k));
    if (pfn === NULL_PFN) return 0;
    pages.push(pfn);
    return 1;
  };
  if (nr_pages === 1) return alone();
  const mask = current_gfp_context(k, gfp);
  const highest_zoneidx = gfp_zone(mask);
  const zonelist = node_zonelist(k, mask, numa_node_id(k), 0);
  const ac: alloc_context = { zonelist, highest_zoneidx, migratetype: gfp_migratetype(mask) };
  if (should_fail_alloc_page(k, mask, 0)) return 0;
  const alloc_flags = gfp_to_alloc_flags_cma(mask, ALLOC_WMARK_LOW) | alloc_flags_nofragment(k, ac, mask);
  const idx = zonelist[0]?.idx ?? 0;
  const zone = zonelist.find((z) => {
    const mark = wmark_pages(z, alloc_flags & ALLOC_WMARK_MASK) + nr_pages;
    return zone_watermark_fast(z, 0, mark, idx, alloc_flags, mask);
  });
  if (zone === undefined) return alone();
  let added = 0;
  for (; added < nr_pages; added++) {
    const pfn = rmqueue_pcplist(k, zone, 0, ac.migratetype, alloc_flags);
    if (pfn === NULL_PFN) break;
    prep_new_page(k, pfn, 0, mask);
    pages.push(pfn);
  }
  if (k.nodes.length > 1 && added > 0) zone_statistics(k, zonelist[0]!, zone, added);
  return added === 0 ? alone() : added;
}
