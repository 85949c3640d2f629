// SPDX-License-Identifier: GPL-2.0-only
/** The page allocator's front: requests, zones, fast path (mm/page_alloc.c). The rest is in mm/page_alloc/. */
import { KernelBug, VM_BUG_ON } from "../include/linux/bug.js";
import {
  ALLOC_CMA,
  ALLOC_HIGHATOMIC,
  ALLOC_NOFRAGMENT,
  ALLOC_NO_WATERMARKS,
  ALLOC_WMARK_LOW,
  ALLOC_WMARK_MASK,
  __GFP_COMP,
  __GFP_KSWAPD_RECLAIM,
  __GFP_ZERO,
  gfp_migratetype,
  gfp_zone,
} from "../include/linux/gfp.js";
import {
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
  get_pageblock_migratetype,
  set_compound_mapcount,
  set_compound_pincount,
} from "../include/linux/mem_map.js";
import { MAX_ORDER, MIGRATE_CMA, MIGRATE_MOVABLE, NULL_PFN, ZONE_NORMAL, type zone } from "../include/linux/mmzone.js";
import type { policy_vma } from "../include/linux/mm_types.js";
import { PG_head, PG_tail } from "../include/linux/page-flags.js";
import { current_gfp_context } from "../include/linux/sched/mm.js";
import type { Machine } from "../include/machine.js";
import { should_fail_alloc_page } from "../lib/fault-inject.js";
import { alloc_pages_by_policy, vma_alloc_folio } from "./mempolicy/alloc.js";
import type { alloc_context } from "./page_alloc/context.js";
import { reserve_highatomic_pageblock } from "./page_alloc/fallback.js";
import { free_the_page } from "./page_alloc/free.js";
import { node_zonelist, zone_statistics } from "./page_alloc/nodes.js";
import { rmqueue } from "./page_alloc/rmqueue.js";
import { __alloc_pages_slowpath } from "./page_alloc/slowpath.js";
import { wmark_pages, zone_watermark_fast } from "./page_alloc/watermark.js";

export { drain_all_pages, drain_local_pages, free_unref_page, free_unref_page_list } from "./page_alloc/free.js";
export { zone_watermark_ok, zone_watermark_ok_safe } from "./page_alloc/watermark.js";

/** First byte of a page that was not asked to be zeroed. */
const JUNK = 0xaa;

/**
 * Makes one compound page of a block: the head knows the order, the tails their head.
 * @kernel mm/page_alloc.c:prep_compound_page
 * @fidelity mirrored
 */
export function prep_compound_page(k: Machine, pfn: number, order: number): void {
  const s = k.mem.section(pfn);
  s.flags[pfn & PFN_SECTION_MASK]! |= PG_head;
  s.setPrivate(pfn & PFN_SECTION_MASK, order);
  for (let p = pfn + 1; p < pfn + (1 << order); p++) {
    s.flags[p & PFN_SECTION_MASK]! |= PG_tail;
    s.setPrivate(p & PFN_SECTION_MASK, pfn);
  }
  set_compound_mapcount(k.mem, pfn, 0);
  set_compound_pincount(k.mem, pfn, 0);
}

/**
 * Readies a block for its new user: one reference, contents.
 * @kernel mm/page_alloc.c:prep_new_page
 * @fidelity simplified: no pfmemalloc mark, no KASAN
 */
export function prep_new_page(k: Machine, pfn: number, order: number, gfp_flags: number): void {
  const s = k.mem.sections[pfn >>> PFN_SECTION_SHIFT]!;
  const i = pfn & PFN_SECTION_MASK;
  const content = gfp_flags & __GFP_ZERO ? 0 : JUNK;
  s.setRefs(i, 1);
  s.index[i] = 0;
  s.content[i] = content;
  if (order === 0) return;
  s.content.fill(content, i, i + (1 << order));
  if (gfp_flags & __GFP_COMP) prep_compound_page(k, pfn, order);
}

/**
 * Tries each zone of a request in turn, as far as its watermark allows; {@link NULL_PFN} if none gives a block.
 * @kernel mm/page_alloc.c:get_page_from_freelist
 * @fidelity simplified: no cpusets, no dirty limits, no node_reclaim
 */
export function get_page_from_freelist(
  k: Machine,
  gfp_mask: number,
  order: number,
  alloc_flags: number,
  ac: alloc_context,
): number {
  for (;;) {
    const no_fallback = (alloc_flags & ALLOC_NOFRAGMENT) !== 0;
    let remote = false;
    for (let n = 0; n < ac.zonelist.length; n++) {
      const z = ac.zonelist[n]!;
      if (no_fallback && z.node !== ac.zonelist[0]!.node) {
        remote = true;
        break;
      }
      if ((alloc_flags & ALLOC_NO_WATERMARKS) === 0) {
        const mark = wmark_pages(z, alloc_flags & ALLOC_WMARK_MASK);
        if (!zone_watermark_fast(z, order, mark, ac.highest_zoneidx, alloc_flags, gfp_mask)) continue;
      }
      const pfn = rmqueue(k, z, order, alloc_flags, ac.migratetype);
      if (pfn === NULL_PFN) continue;
      if (k.nodes.length > 1) zone_statistics(k, ac.zonelist[0]!, z, 1);
      prep_new_page(k, pfn, order, gfp_mask);
      if (alloc_flags & ALLOC_HIGHATOMIC) reserve_highatomic_pageblock(k, pfn, z);
      return pfn;
    }
    if (!no_fallback && !remote) return NULL_PFN;
    alloc_flags &= ~ALLOC_NOFRAGMENT;
  }
}

/** May a request use CMA? Only a movable one. @kernel mm/page_alloc.c:gfp_to_alloc_flags_cma @fidelity mirrored */
export function gfp_to_alloc_flags_cma(gfp_mask: number, alloc_flags: number): number {
  return gfp_migratetype(gfp_mask) === MIGRATE_MOVABLE ? alloc_flags | ALLOC_CMA : alloc_flags;
}

/**
 * On machines with ZONE_NORMAL the first attempt rather goes to ZONE_DMA32 than mix types in a pageblock.
 * @kernel mm/page_alloc.c:alloc_flags_nofragment
 * @fidelity mirrored
 */
export function alloc_flags_nofragment(k: Machine, ac: alloc_context, gfp_mask: number): number {
  const alloc_flags = gfp_mask & __GFP_KSWAPD_RECLAIM;
  const z = ac.zonelist[0]!;
  if (z.idx !== ZONE_NORMAL) return alloc_flags;
  const below = k.nodes[z.node]!.node_zones[ZONE_NORMAL - 1];
  if (k.nodes.length > 1 && (below === undefined || below.present_pages === 0)) return alloc_flags;
  return alloc_flags | ALLOC_NOFRAGMENT;
}

/**
 * Allocates 2^order pages that lie together. Returns the first page frame, with one reference, or 0.
 * @kernel mm/page_alloc.c:__alloc_pages
 * @fidelity simplified: no memcg charge, no cpusets
 * @param nodemask nodes, a bit each, that the pages may be on; 0 for any
 */
export function __alloc_pages(k: Machine, gfp: number, order: number, preferred_nid = 0, nodemask = 0): number {
  if (order >= MAX_ORDER) return NULL_PFN;
  gfp = current_gfp_context(k, gfp);
  const highest_zoneidx = gfp_zone(gfp);
  let zonelist: readonly zone[] = k.nodes[preferred_nid]!.node_zonelists[highest_zoneidx]!;
  if (k.nodes.length > 1) zonelist = node_zonelist(k, gfp, preferred_nid, nodemask);
  const ac: alloc_context = { zonelist, highest_zoneidx, migratetype: gfp_migratetype(gfp) };
  if (should_fail_alloc_page(k, gfp, order)) return NULL_PFN;
  if (zonelist.length === 0) return NULL_PFN;
  const alloc_flags = gfp_to_alloc_flags_cma(gfp, ALLOC_WMARK_LOW) | alloc_flags_nofragment(k, ac, gfp);
  let pfn = get_page_from_freelist(k, gfp, order, alloc_flags, ac);
  if (pfn === NULL_PFN) pfn = __alloc_pages_slowpath(k, gfp, order, ac);
  if (k.tracing) {
    k.hooks.trace("mm_page_alloc", { pfn, order, migratetype: ac.migratetype, gfp_flags: gfp });
  }
  return pfn;
}

/**
 * Allocates as the task's policy says, or for want of one from this node.
 * @kernel mm/mempolicy.c:alloc_pages
 * @fidelity mirrored
 */
export function alloc_pages(k: Machine, gfp: number, order: number): number {
  return k.nodes.length === 1 ? __alloc_pages(k, gfp, order, 0) : alloc_pages_by_policy(k, gfp, order);
}

/** Allocates one page. @kernel include/linux/gfp.h:alloc_page @fidelity mirrored */
export function alloc_page(k: Machine, gfp: number): number {
  return k.nodes.length === 1 ? __alloc_pages(k, gfp, 0, 0) : alloc_pages_by_policy(k, gfp, 0);
}

/**
 * Allocates one page for an address of a VMA, by the policy of the VMA.
 * @kernel include/linux/gfp.h:alloc_page_vma
 * @fidelity mirrored
 */
export function alloc_page_vma(k: Machine, gfp: number, vma: policy_vma, addr: number): number {
  return k.nodes.length === 1 ? __alloc_pages(k, gfp, 0, 0) : vma_alloc_folio(k, gfp, 0, vma, addr, false);
}

/**
 * Drops a reference to a block and frees it if that was the last; a tail left over by somebody else's reference is freed
 * apart from the rest.
 * @kernel mm/page_alloc.c:__free_pages
 * @fidelity mirrored
 */
export function __free_pages(k: Machine, pfn: number, order: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.refcount[i]! <= 0) throw new KernelBug(`page ${pfn} is freed with ${s.refcount[i]!} references`);
  const head = (s.flags[i]! & PG_head) !== 0;
  if (s.addRefs(i, -1) === 0) free_the_page(k, pfn, order);
  else if (!head) while (order-- > 0) free_the_page(k, pfn + (1 << order), order);
}

/**
 * Makes 2^order pages of one block that is not compound, each with a reference of its own.
 * @kernel mm/page_alloc.c:split_page
 * @fidelity mirrored
 */
export function split_page(k: Machine, pfn: number, order: number): void {
  const s = k.mem.section(pfn);
  VM_BUG_ON((s.flags[pfn & PFN_SECTION_MASK]! & (PG_head | PG_tail)) !== 0, `compound page ${pfn} is split_page()d`);
  VM_BUG_ON(s.refcount[pfn & PFN_SECTION_MASK] === 0, `free page ${pfn} is split_page()d`);
  for (let p = pfn + 1; p < pfn + (1 << order); p++) s.setRefs(p & PFN_SECTION_MASK, 1);
}

/** Is the page in a pageblock of the contiguous memory allocator? @kernel include/linux/mmzone.h:is_migrate_cma_page @fidelity mirrored */
export function is_migrate_cma_page(k: Machine, pfn: number): boolean {
  return get_pageblock_migratetype(k.mem, pfn) === MIGRATE_CMA;
}
