// SPDX-License-Identifier: GPL-2.0-only
/** Moving the page of a NUMA hinting fault to the node that uses it (mm/migrate.c). */
import {
  GFP_HIGHUSER_MOVABLE,
  GFP_TRANSHUGE_LIGHT,
  __GFP_COMP,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIM,
  __GFP_THISNODE,
} from "../../include/linux/gfp.js";
import {
  compound_order,
  folio_mapcount,
  folio_nr_pages,
  page_mapcount,
  page_test,
} from "../../include/linux/mem_map.js";
import { VM_EXEC } from "../../include/linux/mm.js";
import { MIGRATE_ASYNC, MR_NUMA_MISPLACED } from "../../include/linux/migrate_mode.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { WMARK_HIGH, ZONE_MOVABLE, type pglist_data } from "../../include/linux/mmzone.js";
import { PG_dirty, PG_swapbacked } from "../../include/linux/page-flags.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { NUMA_PAGE_MIGRATE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_empty } from "../../lib/pagelist.js";
import { migrate_pages, page_list_of, putback_movable_pages } from "../migrate.js";
import { __alloc_pages } from "../page_alloc.js";
import { wmark_pages, zone_watermark_ok } from "../page_alloc/watermark.js";
import { folio_isolate_lru, put_page } from "../swap.js";
import { count_vm_events, mod_isolated } from "../vmstat.js";

/** Has a node so much that it stays above its high watermark? @kernel mm/migrate.c:migrate_balanced_pgdat @fidelity mirrored */
function migrate_balanced_pgdat(node: pglist_data, nr_pages: number): boolean {
  return node.node_zones.some((z) => {
    if (z === undefined || z.managed_pages === 0) return false;
    return zone_watermark_ok(z, 0, wmark_pages(z, WMARK_HIGH) + nr_pages, ZONE_MOVABLE, 0);
  });
}

/** A target on the node alone, only if that has one at once. @kernel mm/migrate.c:alloc_misplaced_dst_page @fidelity mirrored */
function alloc_misplaced_dst_page(k: Machine, page: number, nid: number): number {
  const order = compound_order(k.mem, page);
  const light = (GFP_HIGHUSER_MOVABLE | __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN) & ~__GFP_RECLAIM;
  const gfp = order > 0 ? GFP_TRANSHUGE_LIGHT : light;
  return __alloc_pages(k, gfp | __GFP_THISNODE | __GFP_COMP, order, nid);
}

/** Takes a page off the LRU, whose reference of the caller is given up then. @kernel mm/migrate.c:numamigrate_isolate_page @fidelity mirrored: no memory tiers */
function numamigrate_isolate_page(k: Machine, node: pglist_data, page: number): boolean {
  if (compound_order(k.mem, page) > 0 && folio_mapcount(k.mem, page) > 1) return false;
  if (!migrate_balanced_pgdat(node, folio_nr_pages(k.mem, page))) return false;
  if (!folio_isolate_lru(k, page)) return false;
  mod_isolated(k, page, 1);
  put_page(k, page);
  return true;
}

/** May a page not be moved, or is it not worth it? */
function stays(k: Machine, page: number, vma: vm_area_struct): boolean {
  if (page_test(k.mem, page, PG_swapbacked)) return false;
  if (page_mapcount(k.mem, page) !== 1 && vm_flags_test(vma.vm_flags, VM_EXEC)) return true;
  return page_test(k.mem, page, PG_dirty);
}

/**
 * Moves a page to a node, if that goes without waiting. The caller's reference goes in either case.
 * @kernel mm/migrate.c:migrate_misplaced_page
 * @fidelity mirrored: v6.1; no memory tiers
 * @param page page frame, or head of a huge page
 * @returns whether it has moved
 */
export function migrate_misplaced_page(k: Machine, page: number, vma: vm_area_struct, node: number): boolean {
  if (stays(k, page, vma) || !numamigrate_isolate_page(k, k.nodes[node]!, page)) {
    put_page(k, page);
    return false;
  }
  const pages = page_list_of(k, [page]);
  const succeeded = { n: 0 };
  const left = migrate_pages(
    k,
    pages,
    alloc_misplaced_dst_page,
    null,
    node,
    MIGRATE_ASYNC,
    MR_NUMA_MISPLACED,
    succeeded,
  );
  if (!list_empty(pages)) putback_movable_pages(k, pages);
  count_vm_events(k, NUMA_PAGE_MIGRATE, succeeded.n);
  return left === 0;
}
