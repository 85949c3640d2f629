// SPDX-License-Identifier: GPL-2.0-only
/** Giving pages back: checks, per-CPU lists and their draining (mm/page_alloc.c). */
import { KernelBug, VM_BUG_ON } from "../../include/linux/bug.js";
import {
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
  compound_mapcount,
  compound_pincount,
  page_zone,
  type mem_map,
} from "../../include/linux/mem_map.js";
import {
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  MIGRATE_PCPTYPES,
  NR_PCP_LISTS,
  NULL_PFN,
  PAGE_ALLOC_COSTLY_ORDER,
  ZONE_RECLAIM_ACTIVE,
  pageblock_nr_pages,
  pageblock_order,
  type page_list,
  type per_cpu_pages,
  type zone,
} from "../../include/linux/mmzone.js";
import {
  PAGE_FLAGS_CHECK_AT_FREE,
  PG_buddy,
  PG_head,
  PG_mlocked,
  PG_pcp,
  PG_tail,
} from "../../include/linux/page-flags.js";
import { NR_MLOCK, PGFREE, UNEVICTABLE_PGCLEARED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_add, list_del, list_del_run } from "../../lib/pagelist.js";
import { FPI_NONE, __free_one_page } from "./freelist.js";
import { order_to_pindex, pcp_allowed_order, pindex_to_order } from "./rmqueue.js";

/** CONFIG_PCP_BATCH_SCALE_MAX of the stable branch. */
const PCP_BATCH_SCALE_MAX = 5;

/** Why a page must not be freed, in words. @kernel mm/page_alloc.c:page_bad_reason */
function bad_page(k: Machine, pfn: number): never {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  let why = `flags ${(s.flags[i]! & PAGE_FLAGS_CHECK_AT_FREE).toString(16)} are set`;
  if (s.flags[i]! & (PG_buddy | PG_pcp)) why = "it is free already";
  else if (s.mapcount[i] !== 0) why = `it is mapped ${s.mapcount[i]!} times`;
  else if (s.refcount[i] !== 0) why = `${s.refcount[i]!} references are left`;
  else if (s.mapping[i] !== 0) why = "it still belongs to a file";
  throw new KernelBug(`bad page ${pfn} is freed: ${why}`);
}

function free_tail_pages(k: Machine, pfn: number, order: number, compound: boolean): void {
  const s = k.mem.section(pfn);
  if (compound) {
    VM_BUG_ON(compound_mapcount(k.mem, pfn) !== 0, `huge page ${pfn} is freed, but mapped`);
    VM_BUG_ON(compound_pincount(k.mem, pfn) !== 0, `huge page ${pfn} is freed, but pinned`);
  }
  for (let p = pfn + 1; p < pfn + (1 << order); p++) {
    const i = p & PFN_SECTION_MASK;
    if (compound) {
      if ((s.flags[i]! & PG_tail) === 0 || s.private_[i] !== pfn) {
        throw new KernelBug(`page ${p} is freed, but not as a tail of ${pfn}`);
      }
      s.flags[i]! &= ~PG_tail;
    }
    if (s.mapcount[i] !== 0 || s.refcount[i] !== 0 || s.flags[i]! & (PAGE_FLAGS_CHECK_AT_FREE | PG_buddy | PG_pcp)) {
      bad_page(k, p);
    }
    s.flags[i] = 0;
    s.setPrivate(i, 0);
    s.setMapping(i, 0);
    s.index[i] = 0;
  }
}

/**
 * Checks that nobody uses a block any more and wipes what its pages say of themselves.
 * @kernel mm/page_alloc.c:free_pages_prepare
 * @fidelity simplified: a bad page throws rather than being leaked
 */
export function free_pages_prepare(k: Machine, pfn: number, order: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const flags = s.flags[i]!;
  if (flags & PG_tail) throw new KernelBug(`page ${pfn} is freed, but is the tail of a compound page`);
  if (flags & PG_mlocked) {
    const nr = 1 << order;
    s.flags[i] = flags & ~PG_mlocked;
    page_zone(k.mem, pfn).vm_stat[NR_MLOCK]! -= nr;
    k.vm_events[UNEVICTABLE_PGCLEARED]! += nr;
  }
  if (order !== 0) {
    const compound = (flags & PG_head) !== 0;
    VM_BUG_ON(compound && s.private_[i] !== order, `compound page ${pfn} is freed with another order`);
    free_tail_pages(k, pfn, order, compound);
  }
  const mapping = s.mapping[i]!;
  if (mapping !== 0 && k.mem.owners[mapping]?.is_anon !== false) s.setMapping(i, 0);
  if (
    s.mapcount[i] !== 0 ||
    s.refcount[i] !== 0 ||
    s.mapping[i] !== 0 ||
    s.flags[i]! & (PAGE_FLAGS_CHECK_AT_FREE | PG_buddy | PG_pcp)
  ) {
    bad_page(k, pfn);
  }
  s.flags[i] = 0;
  s.setPrivate(i, 0);
}

/** How many pages at the tail of a per-CPU list, up to `most`, one pageblock has one behind the other, the tail first. */
function runAtTail(m: mem_map, tail: number, most: number): number {
  const s = m.sections[tail >>> PFN_SECTION_SHIFT]!;
  const i = tail & PFN_SECTION_MASK;
  const end = Math.min(most, pageblock_nr_pages - (tail & (pageblock_nr_pages - 1)));
  let n = 1;
  while (n < end && s.prevOf(i + n - 1, tail + n - 1) === tail + n && s.index[i + n] === s.index[i]) n++;
  return n;
}

/**
 * Takes such a run off its list, and does what {@link __free_one_page} does to one page after the other. Of an aligned block of
 * them each merges with those before it and with nothing else until the block is whole, so it is given back whole.
 */
function freeRun(m: mem_map, list: page_list, pfn: number, n: number, z: zone): void {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const mt = s.index[i]!;
  list_del_run(m, list, pfn, n);
  for (let at = i; at < i + n; at++) s.flags[at]! &= ~PG_pcp;
  for (const end = pfn + n; pfn < end;) {
    const fits = 31 - Math.clz32(end - pfn);
    const order = pfn & ((1 << fits) - 1) ? 31 - Math.clz32(pfn & -pfn) : fits;
    __free_one_page(m, pfn, z, order, mt, FPI_NONE);
    pfn += 1 << order;
  }
}

/**
 * Gives `count` pages of a CPU's lists back to the buddy lists, list by list in turn from `pindex` on.
 * @kernel mm/page_alloc.c:free_pcppages_bulk
 * @fidelity mirrored
 */
export function free_pcppages_bulk(k: Machine, z: zone, count: number, pcp: per_cpu_pages, pindex: number): void {
  const m = k.mem;
  let min_pindex = 0;
  let max_pindex = NR_PCP_LISTS - 1;
  count = Math.min(pcp.count, count);
  pindex = pindex - 1;
  const isolated_pageblocks = z.nr_isolate_pageblock !== 0;
  const runs = k.shortWays.free && !isolated_pageblocks;
  while (count > 0) {
    let list;
    for (;;) {
      if (++pindex > max_pindex) pindex = min_pindex;
      list = pcp.lists[pindex]!;
      if (list.head !== NULL_PFN) break;
      if (pindex === max_pindex) max_pindex--;
      if (pindex === min_pindex) min_pindex++;
    }
    const order = pindex_to_order(pindex);
    do {
      const pfn = list.tail;
      const n = runs && order === 0 ? runAtTail(m, pfn, count) : 1;
      count -= n << order;
      pcp.count -= n << order;
      if (n > 1) {
        freeRun(m, list, pfn, n, z);
        continue;
      }
      const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
      const i = pfn & PFN_SECTION_MASK;
      list_del(m, list, pfn);
      s.flags[i]! &= ~PG_pcp;
      const mt = isolated_pageblocks ? m.pageblock_flags[pfn >>> pageblock_order]! : s.index[i]!;
      __free_one_page(m, pfn, z, order, mt, FPI_NONE);
    } while (count > 0 && list.head !== NULL_PFN);
  }
}

/** @kernel mm/page_alloc.c:nr_pcp_free @fidelity mirrored: as in the stable branch, with a ceiling on the doubling */
function nr_pcp_free(pcp: per_cpu_pages, high: number, batch: number, free_high: boolean): number {
  if (free_high) return pcp.count;
  if (high < batch) return 1;
  const max_nr_free = high - batch;
  const min_nr_free = batch;
  batch <<= pcp.free_factor;
  if (batch < max_nr_free && pcp.free_factor < PCP_BATCH_SCALE_MAX) pcp.free_factor++;
  return batch <= min_nr_free ? min_nr_free : Math.min(batch, max_nr_free);
}

/** How many pages a CPU's lists may have. @kernel mm/page_alloc.c:nr_pcp_high @fidelity mirrored */
export function nr_pcp_high(pcp: per_cpu_pages, z: zone, free_high: boolean): number {
  const high = pcp.high;
  if (high === 0 || free_high) return 0;
  return z.flags & ZONE_RECLAIM_ACTIVE ? Math.min(pcp.batch << 2, high) : high;
}

/**
 * Puts a freed block on a CPU's list, and if that grows too long, some of it back to the buddy lists.
 * @kernel mm/page_alloc.c:free_unref_page_commit
 * @fidelity mirrored
 */
function free_unref_page_commit(
  k: Machine,
  z: zone,
  pcp: per_cpu_pages,
  pfn: number,
  migratetype: number,
  order: number,
): void {
  k.vm_events[PGFREE]! += 1 << order;
  const pindex = order_to_pindex(migratetype, order);
  list_add(k.mem, pcp.lists[pindex]!, pfn);
  k.mem.sections[pfn >>> PFN_SECTION_SHIFT]!.flags[pfn & PFN_SECTION_MASK]! |= PG_pcp;
  pcp.count += 1 << order;
  const free_high = pcp.free_factor !== 0 && order !== 0 && order <= PAGE_ALLOC_COSTLY_ORDER;
  const high = nr_pcp_high(pcp, z, free_high);
  if (pcp.count >= high) free_pcppages_bulk(k, z, nr_pcp_free(pcp, high, pcp.batch, free_high), pcp, pindex);
}

/** @kernel mm/page_alloc.c:free_one_page @fidelity mirrored */
export function free_one_page(k: Machine, z: zone, pfn: number, order: number, mt: number, fpi_flags: number): void {
  const migratetype = z.nr_isolate_pageblock !== 0 ? k.mem.pageblock_flags[pfn >>> pageblock_order]! : mt;
  __free_one_page(k.mem, pfn, z, order, migratetype, fpi_flags);
}

/**
 * Gives a block back straight to the buddy lists.
 * @kernel mm/page_alloc.c:__free_pages_ok
 * @fidelity mirrored
 */
export function __free_pages_ok(k: Machine, pfn: number, order: number, fpi_flags: number): void {
  free_pages_prepare(k, pfn, order);
  const migratetype = k.mem.pageblock_flags[pfn >>> pageblock_order]!;
  free_one_page(k, page_zone(k.mem, pfn), pfn, order, migratetype, fpi_flags);
  k.vm_events[PGFREE]! += 1 << order;
}

/**
 * Frees a block whose last reference has gone, of an order that per-CPU lists keep.
 * @kernel mm/page_alloc.c:free_unref_page
 * @fidelity mirrored
 */
export function free_unref_page(k: Machine, pfn: number, order: number): void {
  free_pages_prepare(k, pfn, order);
  const m = k.mem;
  let migratetype = m.pageblock_flags[pfn >>> pageblock_order]!;
  const z = m.zones[m.pageblock_zone[pfn >>> pageblock_order]!]!;
  m.sections[pfn >>> PFN_SECTION_SHIFT]!.index[pfn & PFN_SECTION_MASK] = migratetype;
  if (migratetype >= MIGRATE_PCPTYPES) {
    if (migratetype === MIGRATE_ISOLATE) {
      free_one_page(k, z, pfn, order, migratetype, FPI_NONE);
      return;
    }
    migratetype = MIGRATE_MOVABLE;
  }
  free_unref_page_commit(k, z, z.pageset[k.cpu]!, pfn, migratetype, order);
}

/**
 * Frees many order-0 pages whose last references have gone, in the order given.
 * @kernel mm/page_alloc.c:free_unref_page_list
 * @fidelity mirrored
 */
export function free_unref_page_list(k: Machine, pfns: readonly number[]): void {
  for (let n = 0; n < pfns.length; n++) free_unref_page(k, pfns[n]!, 0);
}

/** Frees by order: through the per-CPU lists where they take it. @kernel mm/page_alloc.c:free_the_page @fidelity mirrored */
export function free_the_page(k: Machine, pfn: number, order: number): void {
  if (pcp_allowed_order(k, order)) free_unref_page(k, pfn, order);
  else __free_pages_ok(k, pfn, order, FPI_NONE);
}

/** @kernel mm/page_alloc.c:drain_pages_zone @fidelity mirrored: as in the stable branch, a few batches at a time */
function drain_pages_zone(k: Machine, cpu: number, z: zone): void {
  const pcp = z.pageset[cpu]!;
  while (pcp.count > 0) {
    free_pcppages_bulk(k, z, Math.min(pcp.count, pcp.batch << PCP_BATCH_SCALE_MAX), pcp, 0);
  }
}

/**
 * Gives this CPU's stock of free pages back to the buddy lists, of one zone or (null) of all.
 * @kernel mm/page_alloc.c:drain_local_pages
 * @fidelity mirrored
 */
export function drain_local_pages(k: Machine, zone: zone | null): void {
  for (const z of zone === null ? k.zones : [zone]) drain_pages_zone(k, k.cpu, z);
}

/**
 * The same for every CPU.
 * @kernel mm/page_alloc.c:drain_all_pages
 * @fidelity mirrored
 */
export function drain_all_pages(k: Machine, zone: zone | null): void {
  for (let cpu = 0; cpu < k.nr_cpus; cpu++) {
    for (const z of zone === null ? k.zones : [zone]) drain_pages_zone(k, cpu, z);
  }
}
