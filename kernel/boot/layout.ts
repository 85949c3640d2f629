// SPDX-License-Identifier: GPL-2.0-only
/** Zones of an x86-64 machine with so much memory, and everything in them free (arch/x86/mm/init.c, mm/page_alloc.c, mm/memblock.c). */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import {
  MAX_ORDER,
  MAX_ORDER_NR_PAGES,
  MIGRATE_CMA,
  MIGRATE_MOVABLE,
  ZONE_DMA,
  ZONE_DMA32,
  ZONE_MOVABLE,
  ZONE_NORMAL,
  pageblock_nr_pages,
  zone,
} from "../../include/linux/mmzone.js";
import { PG_reserved } from "../../include/linux/page-flags.js";
import { NR_VM_ZONE_STAT_ITEMS } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { cma_init_reserved_mem } from "../../mm/cma.js";
import { FPI_TO_TAIL, __free_one_page, __mod_zone_freepage_state, pristine_of } from "../../mm/page_alloc/freelist.js";
import { BootError } from "./options.js";

const DMA_END = 4096;
const DMA32_END = 1 << 20;
/** Machines of at least 16 MiB keep their first MiB to themselves, as a PC does. */
export const LOW_RESERVED = 256;
/** Of these, the page frames that are no memory: the EBDA's page, video memory and ROMs. */
const LOW_HOLE = 97;

/** Page frames [start, end) of each zone, by zone index; undefined where the machine has no such zone. */
type Ranges = ([number, number] | undefined)[];

/** Pages of ZONE_MOVABLE, which is at the top and takes from the highest zone alone. @kernel mm/page_alloc.c:find_zone_movable_pfns_for_nodes */
function movableStart(max_pfn: number, movablecore: number, ranges: Ranges): number {
  if (movablecore === 0) return max_pfn;
  const total = max_pfn - 1;
  const movable = Math.min(total, Math.ceil(movablecore / MAX_ORDER_NR_PAGES) * MAX_ORDER_NR_PAGES);
  if (movable === total) throw new BootError("movablecore leaves no memory for the kernel");
  const highest = ranges[ZONE_NORMAL] ?? ranges[ZONE_DMA32] ?? ranges[ZONE_DMA]!;
  const start = Math.max(1 + total - movable, highest[0]);
  return Math.ceil(start / MAX_ORDER_NR_PAGES) * MAX_ORDER_NR_PAGES;
}

/** Where zones lie in a machine of so many page frames. `movablecore` is pages. */
export function zoneRanges(max_pfn: number, movablecore: number): Ranges {
  const ranges: Ranges = [[1, Math.min(DMA_END, max_pfn)], undefined, undefined, undefined];
  if (max_pfn > DMA_END) ranges[ZONE_DMA32] = [DMA_END, Math.min(DMA32_END, max_pfn)];
  if (max_pfn > DMA32_END) ranges[ZONE_NORMAL] = [DMA32_END, max_pfn];
  const movable = movableStart(max_pfn, movablecore, ranges);
  if (movable >= max_pfn) return ranges;
  for (const i of [ZONE_DMA, ZONE_DMA32, ZONE_NORMAL]) {
    const r = ranges[i];
    if (r === undefined) continue;
    if (r[0] >= movable) ranges[i] = undefined;
    else if (r[1] > movable) r[1] = movable;
  }
  ranges[ZONE_MOVABLE] = [movable, max_pfn];
  return ranges;
}

/** Where the CMA area of so many pages goes: above 4 GiB if it fits there, else at the top. @kernel mm/cma.c:cma_declare_contiguous_nid */
function cmaBase(max_pfn: number, count: number): number {
  if (max_pfn >= DMA32_END + count) return DMA32_END;
  return Math.floor((max_pfn - count) / pageblock_nr_pages) * pageblock_nr_pages;
}

/** Puts a zone of these page frames into a machine. */
export function addZone(k: Machine, idx: number, start: number, end: number): zone {
  const z = new zone(idx, 0, start, end - start, NR_VM_ZONE_STAT_ITEMS);
  const at = k.zones.push(z) - 1;
  k.nodes[0]!.node_zones[idx] = z;
  const first = Math.floor(start / pageblock_nr_pages);
  const last = Math.ceil(end / pageblock_nr_pages);
  k.mem.pageblock_zone.fill(at, first, last);
  k.mem.pageblock_flags.fill(MIGRATE_MOVABLE, first, last);
  return z;
}

/** Frees [start, end) in blocks as large as they come, lowest last in no list's way. @kernel mm/memblock.c:__free_pages_memory */
export function freeRange(k: Machine, z: zone, start: number, end: number, migratetype: number): void {
  const ranges = pristine_of(z, migratetype);
  while (start < end) {
    let order = MAX_ORDER - 1;
    while (start % 2 ** order !== 0 || start + 2 ** order > end) order--;
    if (order === MAX_ORDER - 1 && !Object.isFrozen(ranges)) {
      const to = end - (end % MAX_ORDER_NR_PAGES);
      ranges.push({ from: start, to });
      z.free_area[order]!.nr_free += (to - start) / MAX_ORDER_NR_PAGES;
      __mod_zone_freepage_state(z, to - start, migratetype);
      start = to;
      continue;
    }
    __free_one_page(k.mem, start, z, order, migratetype, FPI_TO_TAIL);
    start += 2 ** order;
  }
}

/** These pages belong to the kernel for good. */
export function markUsed(k: Machine, from: number, to: number): void {
  for (let pfn = from; pfn < to && pfn < k.mem.max_pfn; pfn++) {
    const s = k.mem.section(pfn);
    s.flags[pfn & PFN_SECTION_MASK] = PG_reserved;
    s.refcount[pfn & PFN_SECTION_MASK] = 1;
  }
}

/** Lays out zones and CMA and frees all memory but the first pages. Sizes are pages. */
export function layOut(k: Machine, cma: number, movablecore: number): void {
  const { max_pfn } = k.mem;
  const count = Math.ceil(cma / pageblock_nr_pages) * pageblock_nr_pages;
  const base = count > 0 ? cmaBase(max_pfn, count) : max_pfn;
  const reserved = max_pfn >= DMA_END ? LOW_RESERVED : 2;
  if (base < reserved) throw new BootError(`the CMA area of ${count / 256} MiB does not fit into ${max_pfn / 256} MiB`);
  markUsed(k, 0, reserved);
  zoneRanges(max_pfn, movablecore).forEach((r, idx) => {
    if (r === undefined) return;
    const z = addZone(k, idx, r[0], r[1]);
    const from = Math.max(r[0], reserved);
    if (r[0] < reserved && reserved === LOW_RESERVED) z.present_pages -= LOW_HOLE;
    z.managed_pages = r[1] - from;
    const inside = base >= r[0] && base + count <= r[1];
    if (base < r[1] && base + count > r[0] && !inside) {
      throw new BootError(`the CMA area of ${count / 256} MiB would not lie in one zone`);
    }
    if (count === 0 || !inside) {
      freeRange(k, z, from, r[1], MIGRATE_MOVABLE);
      return;
    }
    cma_init_reserved_mem(k, z, base, count, "reserved");
    freeRange(k, z, from, base, MIGRATE_MOVABLE);
    freeRange(k, z, base, base + count, MIGRATE_CMA);
    freeRange(k, z, base + count, r[1], MIGRATE_MOVABLE);
  });
}
