// SPDX-License-Identifier: GPL-2.0-only
/** Keeping a range of pageblocks from being allocated while it is emptied (mm/page_isolation.c). */
import {
  PFN_SECTION_MASK,
  get_pageblock_migratetype,
  page_zone,
  set_pageblock_migratetype,
} from "../include/linux/mem_map.js";
import { MIGRATE_ISOLATE } from "../include/linux/mmzone.js";
import { PG_buddy } from "../include/linux/page-flags.js";
import type { Machine } from "../include/machine.js";
import { EBUSY } from "../uapi/errno.js";
import { move_freepages_block } from "./page_alloc/fallback.js";
import { __mod_zone_freepage_state } from "./page_alloc/freelist.js";

/**
 * Takes a pageblock out of circulation; its free pages no longer count as free.
 * @kernel mm/page_isolation.c:set_migratetype_isolate
 * @fidelity simplified: what cannot be moved is found when it is to be moved
 * @returns 0, -EBUSY if it is isolated already
 */
export function set_migratetype_isolate(k: Machine, pfn: number): number {
  const z = page_zone(k.mem, pfn);
  const mt = get_pageblock_migratetype(k.mem, pfn);
  if (mt === MIGRATE_ISOLATE) return -EBUSY;
  set_pageblock_migratetype(k.mem, pfn, MIGRATE_ISOLATE);
  z.nr_isolate_pageblock++;
  const moved = move_freepages_block(k, z, pfn, MIGRATE_ISOLATE);
  __mod_zone_freepage_state(z, -moved.free, mt);
  return 0;
}

/**
 * Puts a pageblock back into circulation, as one of this type.
 * @kernel mm/page_isolation.c:unset_migratetype_isolate
 * @fidelity simplified: free blocks are not merged across the pageblock's ends
 */
export function unset_migratetype_isolate(k: Machine, pfn: number, migratetype: number): void {
  const z = page_zone(k.mem, pfn);
  if (get_pageblock_migratetype(k.mem, pfn) !== MIGRATE_ISOLATE) return;
  const moved = move_freepages_block(k, z, pfn, migratetype);
  __mod_zone_freepage_state(z, moved.free, migratetype);
  set_pageblock_migratetype(k.mem, pfn, migratetype);
  z.nr_isolate_pageblock--;
}

/** Are all pages of [start, end) free? @kernel mm/page_isolation.c:test_pages_isolated @fidelity mirrored */
export function test_pages_isolated(k: Machine, start: number, end: number): number {
  for (let pfn = start; pfn < end;) {
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if ((s.flags[i]! & PG_buddy) === 0) return -EBUSY;
    pfn += 1 << s.private_[i]!;
  }
  return 0;
}
