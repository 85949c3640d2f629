// SPDX-License-Identifier: GPL-2.0-only
/** Taking pages out of a zone: from this CPU's lists, or from the buddy lists (mm/page_alloc.c). */
import { KernelBug } from "../../include/linux/bug.js";
import { ALLOC_CMA, ALLOC_HIGHATOMIC, ALLOC_NON_BLOCK, ALLOC_OOM } from "../../include/linux/gfp.js";
import { type mem_section, PFN_SECTION_MASK, PFN_SECTION_SHIFT } from "../../include/linux/mem_map.js";
import {
  MIGRATE_CMA,
  MIGRATE_HIGHATOMIC,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  NR_LOWORDER_PCP_LISTS,
  NULL_PFN,
  PAGE_ALLOC_COSTLY_ORDER,
  ZONE_BOOSTED_WATERMARK,
  pageblock_order,
  type page_list,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_pcp } from "../../include/linux/page-flags.js";
import { NR_FREE_CMA_PAGES, NR_FREE_PAGES, PGALLOC_DMA } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_add_tail, list_del } from "../../lib/pagelist.js";
import { wakeup_kswapd } from "../vmscan.js";
import { __rmqueue_fallback } from "./fallback.js";
import { __mod_zone_freepage_state, __rmqueue_smallest, takeRun } from "./freelist.js";

/** Are blocks of this order kept in per-CPU lists? @kernel mm/page_alloc.c:pcp_allowed_order @fidelity mirrored */
export function pcp_allowed_order(k: Machine, order: number): boolean {
  return order <= PAGE_ALLOC_COSTLY_ORDER || (k.config.TRANSPARENT_HUGEPAGE && order === pageblock_order);
}

/** Which per-CPU list blocks of this type and order are on. @kernel mm/page_alloc.c:order_to_pindex @fidelity mirrored */
export function order_to_pindex(migratetype: number, order: number): number {
  if (order > PAGE_ALLOC_COSTLY_ORDER) return NR_LOWORDER_PCP_LISTS + (migratetype === MIGRATE_MOVABLE ? 1 : 0);
  return MIGRATE_PCPTYPES * order + migratetype;
}

/** Order of the blocks on a per-CPU list. @kernel mm/page_alloc.c:pindex_to_order @fidelity mirrored */
export function pindex_to_order(pindex: number): number {
  return pindex >= NR_LOWORDER_PCP_LISTS ? pageblock_order : (pindex / MIGRATE_PCPTYPES) | 0;
}

/**
 * Takes a block off a zone's buddy lists: from CMA first when more than half of what is free is CMA and the request may
 * use it; then its own type, then CMA, then the other types. The block's `index` says whose list it came from.
 * @kernel mm/page_alloc.c:__rmqueue
 * @fidelity mirrored
 */
export function __rmqueue(k: Machine, z: zone, order: number, migratetype: number, alloc_flags: number): number {
  const m = k.mem;
  if (alloc_flags & ALLOC_CMA && z.vm_stat[NR_FREE_CMA_PAGES]! > Math.trunc(z.vm_stat[NR_FREE_PAGES]! / 2)) {
    const pfn = __rmqueue_smallest(m, z, order, MIGRATE_CMA);
    if (pfn !== NULL_PFN) return pfn;
  }
  for (;;) {
    let pfn = __rmqueue_smallest(m, z, order, migratetype);
    if (pfn !== NULL_PFN) return pfn;
    if (alloc_flags & ALLOC_CMA) {
      pfn = __rmqueue_smallest(m, z, order, MIGRATE_CMA);
      if (pfn !== NULL_PFN) return pfn;
    }
    if (!__rmqueue_fallback(k, z, order, migratetype, alloc_flags)) return NULL_PFN;
  }
}

/** A page about to be handed out must be idle: else somebody wrote to it after it was freed. @kernel mm/page_alloc.c:check_new_page */
export function check_new_page(s: mem_section, i: number, pfn: number): void {
  if (s.refcount[i] !== 0 || s.mapcount[i] !== 0 || s.flags[i] !== 0 || s.mapping[i] !== 0) {
    const what = `flags ${s.flags[i]!.toString(16)}, ${s.refcount[i]!} references, mapped ${s.mapcount[i]!} times`;
    throw new KernelBug(`page ${pfn} is handed out while in use: ${what}, owner ${s.mapping[i]!}`);
  }
}

/** Puts a block at the tail of a per-CPU list; says how many came. */
function rmqueueOne(
  k: Machine,
  z: zone,
  order: number,
  _want: number,
  list: page_list,
  migratetype: number,
  alloc_flags: number,
): number {
  const pfn = __rmqueue(k, z, order, migratetype, alloc_flags);
  if (pfn === NULL_PFN) return 0;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  s.flags[i]! |= PG_pcp;
  list_add_tail(k.mem, list, pfn);
  if (s.index[i] === MIGRATE_CMA) z.vm_stat[NR_FREE_CMA_PAGES]! -= 1 << order;
  return 1;
}

/** What repeated calls of {@link rmqueueOne} put there as long as they go on in one block: their short way. */
function rmqueueRun(
  k: Machine,
  z: zone,
  order: number,
  want: number,
  list: page_list,
  migratetype: number,
  alloc_flags: number,
): number {
  const m = k.mem;
  const stat = z.vm_stat;
  const take = (mt: number, most: number): number => {
    const n = takeRun(m, z, order, mt, most, list);
    if (mt === MIGRATE_CMA) stat[NR_FREE_CMA_PAGES]! -= n << order;
    return n;
  };
  const over_half = stat[NR_FREE_CMA_PAGES]! - Math.trunc(stat[NR_FREE_PAGES]! / 2);
  if (alloc_flags & ALLOC_CMA && over_half > 0) {
    const n = take(MIGRATE_CMA, Math.min(want, Math.ceil(over_half / (1 << order))));
    if (n > 0) return n;
  }
  for (;;) {
    const n = take(migratetype, want);
    if (n > 0) return n;
    if (alloc_flags & ALLOC_CMA) {
      const of_cma = take(MIGRATE_CMA, want);
      if (of_cma > 0) return of_cma;
    }
    if (!__rmqueue_fallback(k, z, order, migratetype, alloc_flags)) return 0;
  }
}

/**
 * Fills a per-CPU list with up to `count` blocks; says how many came. The counters of free CMA pages run ahead of those
 * of free pages meanwhile, as they do in the kernel, which shifts its "over half is CMA" rule by part of a batch.
 * @kernel mm/page_alloc.c:rmqueue_bulk
 * @fidelity mirrored
 */
function rmqueue_bulk(
  k: Machine,
  z: zone,
  order: number,
  count: number,
  list: page_list,
  migratetype: number,
  alloc_flags: number,
): number {
  const more = k.shortWays.refill ? rmqueueRun : rmqueueOne;
  let i = 0;
  while (i < count) {
    const n = more(k, z, order, count - i, list, migratetype, alloc_flags);
    if (n === 0) break;
    i += n;
  }
  z.vm_stat[NR_FREE_PAGES]! -= i << order;
  return i;
}

/**
 * Takes a block off this CPU's list, which is filled from the buddy lists when it is empty.
 * @kernel mm/page_alloc.c:rmqueue_pcplist
 * @fidelity simplified: nobody else holds the list's lock
 */
export function rmqueue_pcplist(k: Machine, z: zone, order: number, migratetype: number, alloc_flags: number): number {
  const pcp = z.pageset[k.cpu]!;
  pcp.free_factor >>= 1;
  const list = pcp.lists[order_to_pindex(migratetype, order)]!;
  if (list.head === NULL_PFN) {
    let batch = pcp.batch;
    if (batch > 1) batch = Math.max(batch >> order, 2);
    pcp.count += rmqueue_bulk(k, z, order, batch, list, migratetype, alloc_flags) << order;
    if (list.head === NULL_PFN) return NULL_PFN;
  }
  const pfn = list.head;
  list_del(k.mem, list, pfn);
  k.mem.sections[pfn >>> PFN_SECTION_SHIFT]!.flags[pfn & PFN_SECTION_MASK]! &= ~PG_pcp;
  pcp.count -= 1 << order;
  k.vm_events[PGALLOC_DMA + z.idx]! += 1 << order;
  return pfn;
}

/**
 * Takes a block straight off the buddy lists.
 * @kernel mm/page_alloc.c:rmqueue_buddy
 * @fidelity simplified: no NUMA statistics
 */
function rmqueue_buddy(k: Machine, z: zone, order: number, alloc_flags: number, migratetype: number): number {
  let pfn = NULL_PFN;
  if (alloc_flags & ALLOC_HIGHATOMIC) pfn = __rmqueue_smallest(k.mem, z, order, MIGRATE_HIGHATOMIC);
  if (pfn === NULL_PFN) {
    pfn = __rmqueue(k, z, order, migratetype, alloc_flags);
    if (pfn === NULL_PFN && alloc_flags & (ALLOC_OOM | ALLOC_NON_BLOCK)) {
      pfn = __rmqueue_smallest(k.mem, z, order, MIGRATE_HIGHATOMIC);
    }
    if (pfn === NULL_PFN) return NULL_PFN;
  }
  __mod_zone_freepage_state(z, -(1 << order), k.mem.section(pfn).index[pfn & PFN_SECTION_MASK]!);
  k.vm_events[PGALLOC_DMA + z.idx]! += 1 << order;
  return pfn;
}

/**
 * Takes a block out of one zone; {@link NULL_PFN} if there is none. Movable requests that may not use CMA stay off the
 * per-CPU list of movable pages, which may hold CMA pages.
 * @kernel mm/page_alloc.c:rmqueue
 * @fidelity mirrored
 */
export function rmqueue(k: Machine, z: zone, order: number, alloc_flags: number, migratetype: number): number {
  let pfn = NULL_PFN;
  if (pcp_allowed_order(k, order) && (alloc_flags & ALLOC_CMA || migratetype !== MIGRATE_MOVABLE)) {
    pfn = rmqueue_pcplist(k, z, order, migratetype, alloc_flags);
  }
  if (pfn === NULL_PFN) pfn = rmqueue_buddy(k, z, order, alloc_flags, migratetype);
  if (z.flags & ZONE_BOOSTED_WATERMARK) {
    z.flags &= ~ZONE_BOOSTED_WATERMARK;
    wakeup_kswapd(k, z, 0, 0, z.idx);
  }
  if (pfn !== NULL_PFN) {
    const end = pfn + (1 << order);
    const s = k.mem.sections[pfn >>> PFN_SECTION_SHIFT]!;
    for (let p = pfn; p < end; p++) check_new_page(s, p & PFN_SECTION_MASK, p);
  }
  return pfn;
}
