// SPDX-License-Identifier: GPL-2.0-only
/** Taking a memory block offline, by moving away all that is in it (mm/memory_hotplug.c); online: memory_hotplug/online.ts. */
import { KernelBug } from "../include/linux/bug.js";
import { GFP_USER, __GFP_MOVABLE, __GFP_RETRY_MAYFAIL } from "../include/linux/gfp.js";
import {
  PAGES_PER_SECTION,
  PFN_SECTION_MASK,
  compound_head,
  folio_nr_pages,
  page_ref_count,
  page_test,
  page_zone,
} from "../include/linux/mem_map.js";
import { memory_blocks_of, pfn_to_online_page } from "../include/linux/memory_hotplug.js";
import { MIGRATE_SYNC, MR_MEMORY_HOTPLUG } from "../include/linux/migrate_mode.js";
import { MIGRATE_MOVABLE, page_list, pageblock_nr_pages, type zone } from "../include/linux/mmzone.js";
import { PG_buddy, PG_head, PG_lru, PG_reserved, PG_swapbacked } from "../include/linux/page-flags.js";
import { NR_ISOLATED_ANON, NR_ISOLATED_FILE } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { list_add_tail, list_empty, list_first, list_pages } from "../lib/pagelist.js";
import { EINTR, EINVAL, ENOENT } from "../uapi/errno.js";
import { init_per_zone_wmark_min } from "./memory_hotplug/online.js";
import { alloc_migration_target, migrate_pages, putback_movable_pages } from "./migrate.js";
import { buddy_order, del_page_from_free_list } from "./page_alloc/freelist.js";
import { nodes_with_memory } from "./page_alloc/nodes.js";
import { build_zonelists, zone_pcp_disable, zone_pcp_enable } from "./page_alloc/setup.js";
import {
  MEMORY_OFFLINE,
  REPORT_FAILURE,
  start_isolate_page_range,
  test_pages_isolated,
  undo_isolate_page_range,
} from "./page_isolation.js";
import { folio_isolate_lru, lru_cache_disable, lru_cache_enable } from "./swap.js";
import { __mod_node_page_state } from "./vmstat.js";

/** Rounds after which the loop, which has no cap in the kernel, is held to be one that will never end. */
const SOFT_LOCKUP_ROUNDS = 10_000;

/**
 * The first page of [start, end) that can be moved.
 * @kernel mm/memory_hotplug.c:scan_movable_pages
 * @fidelity simplified: LRU pages only
 * @returns page frame, or -ENOENT
 */
function scan_movable_pages(k: Machine, start: number, end: number): number {
  for (let pfn = start; pfn < end; pfn++) {
    const s = k.mem.section(pfn);
    const flags = s.flags[pfn & PFN_SECTION_MASK]!;
    if (flags & PG_buddy) pfn += (1 << buddy_order(s, pfn & PFN_SECTION_MASK)) - 1;
    else if (page_test(k.mem, compound_head(k.mem, pfn), PG_lru)) return pfn;
  }
  return -ENOENT;
}

/** Takes the pages of [start, end) off the LRU lists; each counts as one isolated page, a huge one as well. */
function isolate_range(k: Machine, start: number, end: number, source: page_list): void {
  for (let pfn = start; pfn < end; pfn++) {
    const page = pfn;
    if (page_test(k.mem, page, PG_head)) pfn += folio_nr_pages(k.mem, page) - 1;
    if (page_ref_count(k.mem, page) === 0) continue;
    if (!page_test(k.mem, page, PG_lru) || !folio_isolate_lru(k, page)) {
      k.hooks.trace("dump_page", { pfn: page, reason: "isolation failed" });
      continue;
    }
    list_add_tail(k.mem, source, page);
    const item = page_test(k.mem, page, PG_swapbacked) ? NR_ISOLATED_ANON : NR_ISOLATED_FILE;
    __mod_node_page_state(k.nodes[page_zone(k.mem, page).node]!, item, 1);
  }
}

/**
 * Moves what can be moved of [start_pfn, end_pfn) to anywhere else, on another node if there is one: CMA and ZONE_MOVABLE
 * included.
 * @kernel mm/memory_hotplug.c:do_migrate_range
 * @fidelity simplified: LRU pages only
 */
function do_migrate_range(k: Machine, start_pfn: number, end_pfn: number): void {
  const source = new page_list();
  isolate_range(k, start_pfn, end_pfn, source);
  if (list_empty(source)) return;
  const nid = page_zone(k.mem, list_first(source)).node;
  const others = nodes_with_memory(k) & ~(1 << nid);
  const mtc = { nid, nmask: others || 1 << nid, gfp_mask: GFP_USER | __GFP_MOVABLE | __GFP_RETRY_MAYFAIL };
  const ret = migrate_pages(k, source, alloc_migration_target, null, mtc, MIGRATE_SYNC, MR_MEMORY_HOTPLUG);
  if (ret === 0) return;
  for (const pfn of list_pages(k.mem, source)) k.hooks.trace("dump_page", { pfn, ret, reason: "migration failure" });
  putback_movable_pages(k, source);
}

/**
 * Takes a block's pages, which are free and isolated, out of the buddy lists.
 * @kernel mm/page_alloc.c:__offline_isolated_pages
 * @fidelity simplified: offline pages show as reserved
 */
function __offline_isolated_pages(k: Machine, z: zone, start_pfn: number, end_pfn: number): void {
  for (let pfn = start_pfn; pfn < end_pfn;) {
    const s = k.mem.section(pfn);
    const order = buddy_order(s, pfn & PFN_SECTION_MASK);
    del_page_from_free_list(k.mem, z, pfn, order);
    pfn += 1 << order;
  }
  for (let pfn = start_pfn; pfn < end_pfn; pfn += PAGES_PER_SECTION) {
    const s = k.mem.section(pfn);
    const from = pfn & PFN_SECTION_MASK;
    s.flags.fill(PG_reserved, from, from + end_pfn - pfn);
    for (let i = from; i < from + end_pfn - pfn; i++) s.setRefs(i, 1);
  }
}

/** Moves and looks again until the block is empty; 0, or the -errno that ends it. */
function empty_range(k: Machine, start_pfn: number, end_pfn: number): number {
  for (let round = 0; ;) {
    for (let pfn = start_pfn; ;) {
      if (k.current.fatal_signal !== 0) return -EINTR;
      if (++round > SOFT_LOCKUP_ROUNDS) throw new KernelBug("soft lockup: a memory block that never gets empty");
      k.hooks.yieldPoint("offline_pages", { start_pfn, round });
      pfn = scan_movable_pages(k, pfn, end_pfn);
      if (pfn < 0) break;
      do_migrate_range(k, pfn, end_pfn);
    }
    if (test_pages_isolated(k, start_pfn, end_pfn) === 0) return 0;
  }
}

/** Lowest or highest page frame of [start, end) that is online and of the zone, by memory block; -1 for none. */
function edge_of_zone(k: Machine, z: zone, start: number, end: number, highest: boolean): number {
  for (let n = 0; n < end - start; n += pageblock_nr_pages) {
    const pfn = highest ? end - 1 - n : start + n;
    if (pfn_to_online_page(k, pfn) && page_zone(k.mem, pfn) === z) return pfn;
  }
  return -1;
}

/** Gives up a zone's end that lies offline. @kernel mm/memory_hotplug.c:shrink_zone_span @fidelity mirrored */
function shrink_zone_span(k: Machine, z: zone, start_pfn: number, end_pfn: number): void {
  const end = z.zone_start_pfn + z.spanned_pages;
  const first = z.zone_start_pfn === start_pfn ? edge_of_zone(k, z, end_pfn, end, false) : z.zone_start_pfn;
  const last = first >= 0 && end === end_pfn ? edge_of_zone(k, z, first, start_pfn, true) : end - 1;
  z.zone_start_pfn = Math.max(first, 0);
  z.spanned_pages = first < 0 || last < 0 ? 0 : last + 1 - first;
}

/** Puts the block's pages out of the counts of what the machine has. */
function account_offline(k: Machine, z: zone, start_pfn: number, nr_pages: number): void {
  z.managed_pages -= nr_pages;
  z.present_pages -= nr_pages;
  k.totalram_pages -= nr_pages;
  init_per_zone_wmark_min(k);
  if (z.present_pages === 0) build_zonelists(k);
  memory_blocks_of(k).nr_offline++;
  shrink_zone_span(k, z, start_pfn, start_pfn + nr_pages);
}

/**
 * Empties a memory block and takes it out of use. Pages that cannot be moved now are tried again for ever: only a signal
 * or a page that can never move ends it.
 * @kernel mm/memory_hotplug.c:offline_pages
 * @fidelity simplified: no hugetlb, nobody is notified; a loop without end throws
 * @returns 0; -EINVAL (holes in it, or several zones), -EBUSY (an unmovable page, or CMA), -EINTR
 */
export function offline_pages(k: Machine, start_pfn: number, nr_pages: number, z: zone): number {
  const end_pfn = start_pfn + nr_pages;
  if (start_pfn === 0 || end_pfn > k.mem.max_pfn) return -EINVAL;
  if (page_zone(k.mem, start_pfn) !== z || page_zone(k.mem, end_pfn - 1) !== z) return -EINVAL;
  const pcp = zone_pcp_disable(k, z);
  lru_cache_disable(k);
  let ret = start_isolate_page_range(k, start_pfn, end_pfn, MIGRATE_MOVABLE, MEMORY_OFFLINE | REPORT_FAILURE);
  if (ret === 0) {
    ret = empty_range(k, start_pfn, end_pfn);
    if (ret !== 0) {
      undo_isolate_page_range(k, start_pfn, end_pfn, MIGRATE_MOVABLE);
    } else {
      __offline_isolated_pages(k, z, start_pfn, end_pfn);
      z.nr_isolate_pageblock -= nr_pages / pageblock_nr_pages;
    }
  }
  lru_cache_enable(k);
  zone_pcp_enable(z, pcp);
  if (ret === 0) account_offline(k, z, start_pfn, nr_pages);
  return ret;
}
