// SPDX-License-Identifier: GPL-2.0-only
/** What an allocation does when no zone has pages above its watermark (mm/page_alloc.c). */
import {
  ALLOC_CPUSET,
  ALLOC_HIGHATOMIC,
  ALLOC_KSWAPD,
  ALLOC_MIN_RESERVE,
  ALLOC_NON_BLOCK,
  ALLOC_NO_WATERMARKS,
  ALLOC_OOM,
  ALLOC_WMARK_HIGH,
  ALLOC_WMARK_MIN,
  __GFP_ATOMIC,
  __GFP_DIRECT_RECLAIM,
  __GFP_HARDWALL,
  __GFP_HIGH,
  __GFP_IO,
  __GFP_KSWAPD_RECLAIM,
  __GFP_MEMALLOC,
  __GFP_NOFAIL,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_RETRY_MAYFAIL,
  __GFP_THISNODE,
} from "../../include/linux/gfp.js";
import { page_zone } from "../../include/linux/mem_map.js";
import { MIGRATE_MOVABLE, NULL_PFN, PAGE_ALLOC_COSTLY_ORDER, ZONE_NORMAL } from "../../include/linux/mmzone.js";
import { PF_MEMALLOC } from "../../include/linux/sched.js";
import { memalloc_noreclaim_restore, memalloc_noreclaim_save } from "../../include/linux/sched/mm.js";
import { COMPACTFAIL, COMPACTSTALL, COMPACTSUCCESS, NR_FREE_PAGES } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import {
  COMPACT_DEFERRED,
  COMPACT_SKIPPED,
  DEF_COMPACT_PRIORITY,
  INIT_COMPACT_PRIORITY,
  MIN_COMPACT_COSTLY_PRIORITY,
  MIN_COMPACT_PRIORITY,
  compaction_defer_reset,
  compaction_failed,
  compaction_made_progress,
  compaction_needs_reclaim,
  compaction_withdrawn,
  compaction_zonelist_suitable,
  try_to_compact_pages,
} from "../compaction.js";
import { out_of_memory, tsk_is_oom_victim } from "../oom_kill.js";
import { get_page_from_freelist, gfp_to_alloc_flags_cma } from "../page_alloc.js";
import { try_to_free_pages, wakeup_kswapd, zone_reclaimable_pages } from "../vmscan.js";
import { count_vm_event } from "../vmstat.js";
import type { alloc_context } from "./context.js";
import { unreserve_highatomic_pageblock } from "./fallback.js";
import { drain_all_pages } from "./free.js";
import { __zone_watermark_ok } from "./watermark.js";

const MAX_COMPACT_RETRIES = 16;
export const MAX_RECLAIM_RETRIES = 16;

/** Where one request stands in its retries. */
interface slowpath_state {
  alloc_flags: number;
  did_some_progress: number;
  no_progress_loops: number;
  compaction_retries: number;
  compact_priority: number;
  compact_result: number;
}

/**
 * How hard a request that sleeps, or must not, may try.
 * @kernel mm/page_alloc.c:gfp_to_alloc_flags
 * @fidelity mirrored: of the stable branch
 */
function gfp_to_alloc_flags(gfp_mask: number, order: number): number {
  let alloc_flags = ALLOC_WMARK_MIN | ALLOC_CPUSET | (gfp_mask & (__GFP_HIGH | __GFP_KSWAPD_RECLAIM));
  if ((gfp_mask & __GFP_DIRECT_RECLAIM) === 0) {
    if ((gfp_mask & __GFP_NOMEMALLOC) === 0) {
      alloc_flags |= ALLOC_NON_BLOCK;
      if (order > 0 && alloc_flags & ALLOC_MIN_RESERVE) alloc_flags |= ALLOC_HIGHATOMIC;
    }
    if (alloc_flags & ALLOC_MIN_RESERVE) alloc_flags &= ~ALLOC_CPUSET;
  }
  return gfp_to_alloc_flags_cma(gfp_mask, alloc_flags);
}

/** Which reserves the task may use whatever it asks for. @kernel mm/page_alloc.c:__gfp_pfmemalloc_flags @fidelity mirrored */
function __gfp_pfmemalloc_flags(k: Machine, gfp_mask: number): number {
  if (gfp_mask & __GFP_NOMEMALLOC) return 0;
  if (gfp_mask & __GFP_MEMALLOC) return ALLOC_NO_WATERMARKS;
  if (k.current.flags & PF_MEMALLOC) return ALLOC_NO_WATERMARKS;
  return tsk_is_oom_victim(k.current) ? ALLOC_OOM : 0;
}

function wake_all_kswapds(k: Machine, order: number, gfp_mask: number, ac: alloc_context): void {
  let last_node = -1;
  for (const z of ac.zonelist) {
    if (z.managed_pages === 0 || z.node === last_node) continue;
    wakeup_kswapd(k, z, gfp_mask, order, ac.highest_zoneidx);
    last_node = z.node;
  }
}

/** @kernel mm/page_alloc.c:__alloc_pages_direct_compact @fidelity mirrored */
function __alloc_pages_direct_compact(
  k: Machine,
  gfp_mask: number,
  order: number,
  ac: alloc_context,
  prio: number,
  st: slowpath_state,
): number {
  if (order === 0) return NULL_PFN;
  const noreclaim_flag = memalloc_noreclaim_save(k);
  st.compact_result = try_to_compact_pages(k, gfp_mask, order, st.alloc_flags, ac, prio);
  memalloc_noreclaim_restore(k, noreclaim_flag);
  if (st.compact_result === COMPACT_SKIPPED) return NULL_PFN;
  count_vm_event(k, COMPACTSTALL);
  const pfn = get_page_from_freelist(k, gfp_mask, order, st.alloc_flags, ac);
  if (pfn !== NULL_PFN) {
    compaction_defer_reset(page_zone(k.mem, pfn), order, true);
    count_vm_event(k, COMPACTSUCCESS);
    return pfn;
  }
  count_vm_event(k, COMPACTFAIL);
  return NULL_PFN;
}

/** @kernel mm/page_alloc.c:__alloc_pages_direct_reclaim @fidelity mirrored */
function __alloc_pages_direct_reclaim(
  k: Machine,
  gfp_mask: number,
  order: number,
  ac: alloc_context,
  st: slowpath_state,
): number {
  const noreclaim_flag = memalloc_noreclaim_save(k);
  st.did_some_progress = try_to_free_pages(k, ac, order, gfp_mask);
  memalloc_noreclaim_restore(k, noreclaim_flag);
  if (st.did_some_progress === 0) return NULL_PFN;
  for (let drained = false; ; drained = true) {
    const pfn = get_page_from_freelist(k, gfp_mask, order, st.alloc_flags, ac);
    if (pfn !== NULL_PFN || drained) return pfn;
    unreserve_highatomic_pageblock(k, ac, false);
    drain_all_pages(k, null);
  }
}

/**
 * Is it worth reclaiming again? Not after 16 times without progress, nor if all that can be reclaimed would not do.
 * @kernel mm/page_alloc.c:should_reclaim_retry
 * @fidelity mirrored
 */
function should_reclaim_retry(k: Machine, order: number, ac: alloc_context, st: slowpath_state): boolean {
  if (st.did_some_progress > 0 && order <= PAGE_ALLOC_COSTLY_ORDER) st.no_progress_loops = 0;
  else st.no_progress_loops++;
  if (st.no_progress_loops <= MAX_RECLAIM_RETRIES) {
    for (const z of ac.zonelist) {
      const available = zone_reclaimable_pages(k, z) + z.vm_stat[NR_FREE_PAGES]!;
      const min = z._watermark[0]! + z.watermark_boost;
      if (__zone_watermark_ok(z, order, min, ac.highest_zoneidx, st.alloc_flags, available)) return true;
    }
  }
  return unreserve_highatomic_pageblock(k, ac, true);
}

/** @kernel mm/page_alloc.c:should_compact_retry @fidelity mirrored */
function should_compact_retry(k: Machine, order: number, ac: alloc_context, st: slowpath_state): boolean {
  if (order === 0 || k.current.fatal_signal !== 0) return false;
  let max_retries = MAX_COMPACT_RETRIES;
  if (compaction_made_progress(st.compact_result)) st.compaction_retries++;
  if (!compaction_failed(st.compact_result)) {
    if (compaction_needs_reclaim(st.compact_result)) return compaction_zonelist_suitable(k, ac, order, st.alloc_flags);
    if (!compaction_withdrawn(st.compact_result)) {
      if (order > PAGE_ALLOC_COSTLY_ORDER) max_retries = Math.floor(max_retries / 4);
      if (st.compaction_retries <= max_retries) return true;
    }
  }
  const min_priority = order > PAGE_ALLOC_COSTLY_ORDER ? MIN_COMPACT_COSTLY_PRIORITY : MIN_COMPACT_PRIORITY;
  if (st.compact_priority <= min_priority) return false;
  st.compact_priority--;
  st.compaction_retries = 0;
  return true;
}

/** @kernel mm/page_alloc.c:__alloc_pages_may_oom @fidelity simplified: nobody else holds oom_lock */
function __alloc_pages_may_oom(
  k: Machine,
  gfp_mask: number,
  order: number,
  ac: alloc_context,
  st: slowpath_state,
): number {
  st.did_some_progress = 0;
  const gfp = (gfp_mask | __GFP_HARDWALL) & ~__GFP_DIRECT_RECLAIM;
  const pfn = get_page_from_freelist(k, gfp, order, ALLOC_WMARK_HIGH | ALLOC_CPUSET, ac);
  if (pfn !== NULL_PFN) return pfn;
  if (order > PAGE_ALLOC_COSTLY_ORDER) return NULL_PFN;
  if (gfp_mask & (__GFP_RETRY_MAYFAIL | __GFP_THISNODE)) return NULL_PFN;
  if (ac.highest_zoneidx < ZONE_NORMAL) return NULL_PFN;
  if (out_of_memory(k, gfp_mask, order) || gfp_mask & __GFP_NOFAIL) {
    st.did_some_progress = 1;
    if (gfp_mask & __GFP_NOFAIL) return get_page_from_freelist(k, gfp_mask, order, ALLOC_NO_WATERMARKS, ac);
  }
  return NULL_PFN;
}

/** What a pass of the slow path came to: a page, or what to do next. */
const RETRY = -1;
const NOPAGE = -2;

/** Reclaim, compact, and at the end kill: one round. */
function slowpath_round(k: Machine, gfp_mask: number, order: number, ac: alloc_context, st: slowpath_state): number {
  const reserve_flags = __gfp_pfmemalloc_flags(k, gfp_mask);
  if (reserve_flags !== 0) {
    st.alloc_flags = gfp_to_alloc_flags_cma(gfp_mask, reserve_flags) | (st.alloc_flags & ALLOC_KSWAPD);
  }
  let pfn = get_page_from_freelist(k, gfp_mask, order, st.alloc_flags, ac);
  if (pfn !== NULL_PFN) return pfn;
  if ((gfp_mask & __GFP_DIRECT_RECLAIM) === 0) return NOPAGE;
  if (k.current.flags & PF_MEMALLOC) return NOPAGE;
  k.hooks.yieldPoint("__alloc_pages_direct_reclaim", { order, gfp_mask });
  pfn = __alloc_pages_direct_reclaim(k, gfp_mask, order, ac, st);
  if (pfn !== NULL_PFN) return pfn;
  pfn = __alloc_pages_direct_compact(k, gfp_mask, order, ac, st.compact_priority, st);
  if (pfn !== NULL_PFN) return pfn;
  const can_compact = (gfp_mask & __GFP_IO) !== 0;
  const costly_order = order > PAGE_ALLOC_COSTLY_ORDER;
  if (gfp_mask & __GFP_NORETRY) return NOPAGE;
  if (costly_order && (!can_compact || (gfp_mask & __GFP_RETRY_MAYFAIL) === 0)) return NOPAGE;
  if (should_reclaim_retry(k, order, ac, st)) return RETRY;
  if (st.did_some_progress > 0 && can_compact && should_compact_retry(k, order, ac, st)) return RETRY;
  pfn = __alloc_pages_may_oom(k, gfp_mask, order, ac, st);
  if (pfn !== NULL_PFN) return pfn;
  if (tsk_is_oom_victim(k.current) && (st.alloc_flags & ALLOC_OOM || gfp_mask & __GFP_NOMEMALLOC)) return NOPAGE;
  if (st.did_some_progress === 0) return NOPAGE;
  st.no_progress_loops = 0;
  return RETRY;
}

/**
 * Wakes kswapd, reclaims, compacts and at last kills until the request can be met or has to fail; 0 if it fails.
 * @kernel mm/page_alloc.c:__alloc_pages_slowpath
 * @fidelity simplified: no cpusets, no memory hotplug; kswapd, which has run when it was woken, runs again before each
 *   round but the first, where the kernel would find it awake
 */
export function __alloc_pages_slowpath(k: Machine, gfp_mask: number, order: number, ac: alloc_context): number {
  const can_direct_reclaim = (gfp_mask & __GFP_DIRECT_RECLAIM) !== 0;
  if (can_direct_reclaim) gfp_mask &= ~__GFP_ATOMIC;
  const costly_order = order > PAGE_ALLOC_COSTLY_ORDER;
  const st: slowpath_state = {
    alloc_flags: gfp_to_alloc_flags(gfp_mask, order),
    did_some_progress: 0,
    no_progress_loops: 0,
    compaction_retries: 0,
    compact_priority: DEF_COMPACT_PRIORITY,
    compact_result: COMPACT_SKIPPED,
  };
  if (st.alloc_flags & ALLOC_KSWAPD) wake_all_kswapds(k, order, gfp_mask, ac);
  let pfn = get_page_from_freelist(k, gfp_mask, order, st.alloc_flags, ac);
  if (pfn !== NULL_PFN) return pfn;

  const can_compact = (gfp_mask & __GFP_IO) !== 0;
  const compact_first = costly_order || (order > 0 && ac.migratetype !== MIGRATE_MOVABLE);
  let give_up = false;
  if (can_direct_reclaim && can_compact && compact_first && __gfp_pfmemalloc_flags(k, gfp_mask) === 0) {
    pfn = __alloc_pages_direct_compact(k, gfp_mask, order, ac, INIT_COMPACT_PRIORITY, st);
    if (pfn !== NULL_PFN) return pfn;
    if (costly_order && gfp_mask & __GFP_NORETRY) {
      give_up = st.compact_result === COMPACT_SKIPPED || st.compact_result === COMPACT_DEFERRED;
      give_up ||= (gfp_mask & __GFP_THISNODE) !== 0;
      st.compact_priority = INIT_COMPACT_PRIORITY;
    }
  }
  for (;;) {
    const r = give_up ? NOPAGE : slowpath_round(k, gfp_mask, order, ac, st);
    if (r > 0) return r;
    if (r === RETRY) {
      if (st.alloc_flags & ALLOC_KSWAPD) wake_all_kswapds(k, order, gfp_mask, ac);
      continue;
    }
    if ((gfp_mask & __GFP_NOFAIL) === 0 || !can_direct_reclaim) return NULL_PFN;
    pfn = get_page_from_freelist(k, gfp_mask, order, ALLOC_MIN_RESERVE, ac);
    if (pfn !== NULL_PFN) return pfn;
    give_up = false;
  }
}
