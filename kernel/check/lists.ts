// SPDX-License-Identifier: GPL-2.0-only
/** Free lists, per-CPU lists and LRU lists: links, flags, and the counters that sum them up. */
import { page_zone, PFN_SECTION_MASK, type mem_section } from "../../include/linux/mem_map.js";
import {
  LRU_UNEVICTABLE,
  MAX_ORDER,
  MIGRATE_CMA,
  MIGRATE_ISOLATE,
  MIGRATE_TYPES,
  NULL_PFN,
  NR_LRU_LISTS,
  type page_list,
  type pglist_data,
  type zone,
} from "../../include/linux/mmzone.js";
import { PG_buddy, PG_head, PG_lru, PG_pcp } from "../../include/linux/page-flags.js";
import { NR_FREE_CMA_PAGES, NR_FREE_PAGES, NR_ZONE_INACTIVE_ANON } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { pindex_to_order } from "../../mm/page_alloc/rmqueue.js";
import type { Complaints, Ledger } from "./ledger.js";
import { buddy_order, free_list_type } from "../../mm/page_alloc/freelist.js";

type Visit = (pfn: number, s: mem_section, i: number) => void;

/** Walks a list: links both ways, length, no page twice. */
function walk(k: Machine, ledger: Ledger, bad: Complaints, name: () => string, l: page_list, visit: Visit): void {
  let prev = NULL_PFN;
  let n = 0;
  for (let pfn = l.head; pfn !== NULL_PFN; n++) {
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (!ledger.list(pfn)) return bad.add(`page ${String(pfn)} is on two lists, one of them ${name()}`);
    bad.unless(s.prevOf(i, pfn) === prev, () => `${name()}: page ${String(pfn)} does not point back`);
    visit(pfn, s, i);
    prev = pfn;
    pfn = s.nextOf(i, pfn);
  }
  bad.unless(l.tail === prev, () => `${name()}: the tail is not the last page`);
  bad.unless(l.nr === n, () => `${name()} holds ${String(n)} blocks, counted ${String(l.nr)}`);
}

function rangePages(ranges: readonly { from: number; to: number }[]): number {
  return ranges.reduce((n, r) => n + r.to - r.from, 0);
}

/** Blocks of one order of a zone; returns their pages by migratetype. */
function checkFreeArea(k: Machine, ledger: Ledger, bad: Complaints, z: zone, order: number, sums: number[]): void {
  const area = z.free_area[order]!;
  let blocks = 0;
  for (let mt = 0; mt < MIGRATE_TYPES; mt++) {
    const list = area.free_list[mt]!;
    if (list.head === NULL_PFN && list.nr === 0) continue;
    const name = (): string => `free list ${z.name}/${String(order)}/${String(mt)}`;
    walk(k, ledger, bad, name, list, (pfn, s, i) => {
      const fits = (s.flags[i]! & PG_buddy) !== 0 && buddy_order(s, i) === order && free_list_type(s, i) === mt;
      bad.unless(fits, () => `${name()}: page ${String(pfn)} is not marked as a free block of it`);
      bad.unless(page_zone(k.mem, pfn) === z, () => `${name()}: page ${String(pfn)} is of another zone`);
      bad.unless((pfn & ((1 << order) - 1)) === 0, () => `${name()}: block ${String(pfn)} is not aligned`);
    });
    blocks += list.nr;
    sums[mt]! += list.nr * 2 ** order;
  }
  if (order === MAX_ORDER - 1) blocks += (rangePages(z.pristine) + rangePages(z.pristine_cma)) / 2 ** order;
  const named = (): string => `zone ${z.name}, order ${String(order)}: ${String(blocks)} free blocks`;
  bad.unless(area.nr_free === blocks, () => `${named()}, nr_free ${String(area.nr_free)}`);
}

/** A zone's free lists against nr_free_pages and nr_free_cma, and its per-CPU lists. Returns its free pages, those included. */
export function checkZone(k: Machine, ledger: Ledger, bad: Complaints, z: zone): number {
  const sums = new Array<number>(MIGRATE_TYPES).fill(0);
  for (let order = 0; order < MAX_ORDER; order++) checkFreeArea(k, ledger, bad, z, order, sums);
  const cma = sums[MIGRATE_CMA]! + rangePages(z.pristine_cma);
  const isolated = sums[MIGRATE_ISOLATE]!;
  const free = sums.reduce((a, b) => a + b, 0) - isolated + rangePages(z.pristine) + rangePages(z.pristine_cma);
  const nr_free = z.vm_stat[NR_FREE_PAGES]!;
  const nr_free_cma = z.vm_stat[NR_FREE_CMA_PAGES]!;
  bad.unless(nr_free === free, () => `zone ${z.name}: nr_free_pages ${String(nr_free)}, lists hold ${String(free)}`);
  bad.unless(
    nr_free_cma === cma,
    () => `zone ${z.name}: nr_free_cma ${String(nr_free_cma)}, lists hold ${String(cma)}`,
  );
  let stock = 0;
  z.pageset.forEach((pcp, cpu) => {
    let count = 0;
    pcp.lists.forEach((list, pindex) => {
      const name = (): string => `per-CPU list ${z.name}/cpu${String(cpu)}/${String(pindex)}`;
      walk(k, ledger, bad, name, list, (pfn, s, i) => {
        bad.unless((s.flags[i]! & PG_pcp) !== 0, () => `${name()}: page ${String(pfn)} is not marked as on it`);
      });
      count += list.nr * 2 ** pindex_to_order(pindex);
    });
    bad.unless(
      pcp.count === count,
      () => `${z.name}/cpu${String(cpu)}: ${String(count)} pages, counted ${String(pcp.count)}`,
    );
    stock += count;
  });
  return free + isolated + stock;
}

/** A node's LRU lists against its and its zones' counters. */
export function checkLru(k: Machine, ledger: Ledger, bad: Complaints, node: pglist_data): void {
  const byZone = k.zones.map(() => new Array<number>(NR_LRU_LISTS).fill(0));
  for (let lru = 0; lru < LRU_UNEVICTABLE; lru++) {
    const name = (): string => `LRU list ${String(lru)} of node ${String(node.node_id)}`;
    let pages = 0;
    walk(k, ledger, bad, name, node.__lruvec.lists[lru]!, (pfn, s, i) => {
      const nr = s.flags[i]! & PG_head ? 2 ** s.private_[i]! : 1;
      bad.unless((s.flags[i]! & PG_lru) !== 0, () => `${name()}: page ${String(pfn)} has no PG_lru`);
      byZone[k.mem.zones.indexOf(page_zone(k.mem, pfn))]![lru]! += nr;
      pages += nr;
    });
    const counted = node.vm_stat[lru]!;
    bad.unless(counted === pages, () => `${name()} holds ${String(pages)} pages, counted ${String(counted)}`);
  }
  k.zones.forEach((z, at) => {
    if (z.node !== node.node_id) return;
    for (let lru = 0; lru < LRU_UNEVICTABLE; lru++) {
      const counted = z.vm_stat[NR_ZONE_INACTIVE_ANON + lru]!;
      const pages = byZone[at]![lru]!;
      bad.unless(
        counted === pages,
        () => `LRU ${String(lru)} of ${z.name}: ${String(pages)} pages, counted ${String(counted)}`,
      );
    }
  });
}
