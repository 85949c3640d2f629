// SPDX-License-Identifier: GPL-2.0-only
/** Single pages taken or freed one after the other, where it is certain beforehand which they are, or where they go. No part of the kernel. */
import { ALLOC_WMARK_LOW, ALLOC_WMARK_MASK, gfp_migratetype, gfp_zone } from "../../include/linux/gfp.js";
import {
  get_pageblock_migratetype,
  page_zone,
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
} from "../../include/linux/mem_map.js";
import {
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  NULL_PFN,
  type page_list,
  ZONE_BOOSTED_WATERMARK,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_pcp } from "../../include/linux/page-flags.js";
import { current_gfp_context } from "../../include/linux/sched/mm.js";
import { PGALLOC_DMA, PGFREE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { mayFailAllocPage } from "../../lib/fault-inject.js";
import { list_add_all, list_cut_head } from "../../lib/pagelist.js";
import { alloc_flags_nofragment, gfp_to_alloc_flags_cma } from "../page_alloc.js";
import type { alloc_context } from "./context.js";
import { nr_pcp_high } from "./free.js";
import { check_new_page, order_to_pindex } from "./rmqueue.js";
import { wmark_pages, zone_watermark_fast } from "./watermark.js";

/** The per-CPU list that the next requests for single pages are served from, for as long as it has any. */
export interface PcpSource {
  readonly zone: zone;
  readonly list: page_list;
}

/**
 * Where alloc_page would find its pages: what decides that (watermarks, the zone, the list) does not change until that list
 * is empty. Null where a request could do more than take a page off it, or another node could be asked.
 */
export function pcpSource(k: Machine, gfp_mask: number): PcpSource | null {
  const gfp = current_gfp_context(k, gfp_mask);
  if (k.nodes.length > 1 || k.tracing) return null;
  if (k.fail_page_alloc.mayFail(k) && mayFailAllocPage(k, gfp, 0)) return null;
  const highest_zoneidx = gfp_zone(gfp);
  const migratetype = gfp_migratetype(gfp);
  const ac: alloc_context = { zonelist: k.nodes[0]!.node_zonelists[highest_zoneidx]!, highest_zoneidx, migratetype };
  if (ac.zonelist.length === 0) return null;
  const alloc_flags = gfp_to_alloc_flags_cma(gfp, ALLOC_WMARK_LOW) | alloc_flags_nofragment(k, ac, gfp);
  for (const zone of ac.zonelist) {
    const mark = wmark_pages(zone, alloc_flags & ALLOC_WMARK_MASK);
    if (!zone_watermark_fast(zone, 0, mark, highest_zoneidx, alloc_flags, gfp)) continue;
    const list = zone.pageset[k.cpu]!.lists[order_to_pindex(migratetype, 0)]!;
    if (list.head === NULL_PFN || zone.flags & ZONE_BOOSTED_WATERMARK) return null;
    return { zone, list };
  }
  return null;
}

/**
 * The next `n` pages of a source, whose list has so many, in the order in which alloc_page would return them: they come to
 * stand in `pages` from `at` on. Their references, their index and their contents are the caller's to set.
 */
export function takePages(k: Machine, from: PcpSource, n: number, pages: Uint32Array, at: number): void {
  const { list, zone } = from;
  const end = at + n;
  let pfn = list.head;
  for (let j = at; j < end;) {
    const nr = pfn >>> PFN_SECTION_SHIFT;
    const s = k.mem.sections[nr]!;
    const { flags } = s;
    for (; j < end && pfn >>> PFN_SECTION_SHIFT === nr; j++) {
      const i = pfn & PFN_SECTION_MASK;
      pages[j] = pfn;
      flags[i]! &= ~PG_pcp;
      check_new_page(s, i, pfn);
      pfn = s.nextOf(i, pfn);
      s.unlink(i);
    }
  }
  list_cut_head(k.mem, list, pfn, n);
  const pcp = zone.pageset[k.cpu]!;
  pcp.free_factor >>= Math.min(n, 31);
  pcp.count -= n;
  k.vm_events[PGALLOC_DMA + zone.idx]! += n;
}

/** The per-CPU list that single pages of one pageblock are freed to, and the type that it keeps of them. */
export interface PcpSink {
  readonly zone: zone;
  readonly list: page_list;
  readonly migratetype: number;
}

/** Where a page is freed to with its last reference; null for straight to the buddy lists. */
export function pcpSink(k: Machine, pfn: number): PcpSink | null {
  const zone = page_zone(k.mem, pfn);
  const migratetype = get_pageblock_migratetype(k.mem, pfn);
  if (migratetype === MIGRATE_ISOLATE) return null;
  const pindex = order_to_pindex(migratetype < MIGRATE_PCPTYPES ? migratetype : MIGRATE_MOVABLE, 0);
  return { zone, list: zone.pageset[k.cpu]!.lists[pindex]!, migratetype };
}

/**
 * How many pages can go to `to`, before each of which one is taken from `from`, until this CPU has so many that it gives some
 * back to the buddy lists. None where those that are freed would be taken again.
 */
export function roomIn(k: Machine, to: PcpSink, from: PcpSource): number {
  if (to.list === from.list) return 0;
  const pcp = to.zone.pageset[k.cpu]!;
  const room = nr_pcp_high(pcp, to.zone, false) - 1 - pcp.count;
  if (to.zone !== from.zone) return Math.max(0, room);
  return room < 0 ? 0 : from.list.nr;
}

/** Frees the first `n` of these pages, of one pageblock, on no list, and with one reference left, in their order. */
export function freePages(k: Machine, to: PcpSink, pages: Uint32Array, n: number): void {
  const s = k.mem.section(pages[0]!);
  for (let p = 0; p < n; p++) {
    const i = pages[p]! & PFN_SECTION_MASK;
    s.flags[i] = PG_pcp;
    s.index[i] = to.migratetype;
    s.setRefs(i, 0);
    s.setMaps(i, 0);
    s.setMapping(i, 0);
    s.setPrivate(i, 0);
    s.unlink(i);
  }
  list_add_all(k.mem, to.list, pages, 0, n);
  to.zone.pageset[k.cpu]!.count += n;
  k.vm_events[PGFREE]! += n;
}
