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

/** Page frames [start, end). */
type Range = readonly [start: number, end: number];

/** Page frames of each zone of a node, by zone index; undefined where the node has no such zone. */
type Ranges = (Range | undefined)[];

/** Page frames of each zone, wherever they are. @kernel mm/page_alloc.c:arch_zone_lowest_possible_pfn */
function archZones(max_pfn: number): Ranges {
  const ranges: Ranges = [[1, Math.min(DMA_END, max_pfn)], undefined, undefined, undefined];
  if (max_pfn > DMA_END) ranges[ZONE_DMA32] = [DMA_END, Math.min(DMA32_END, max_pfn)];
  if (max_pfn > DMA32_END) ranges[ZONE_NORMAL] = [DMA32_END, max_pfn];
  return ranges;
}

/** Where ZONE_MOVABLE begins on each node: the rest, which the kernel may use, is spread as evenly as it goes. */
class MovablePlan {
  private readonly memory: readonly (readonly Range[])[];
  /** Lowest page frame that may be movable. */
  private readonly usable_startpfn: number;
  private required_kernelcore: number;
  readonly zone_movable_pfn: number[];

  constructor(memory: readonly (readonly Range[])[], usable_startpfn: number, kernelcore: number) {
    this.memory = memory;
    this.usable_startpfn = usable_startpfn;
    this.required_kernelcore = kernelcore;
    this.zone_movable_pfn = memory.map(() => 0);
    for (let nodes = memory.length; ;) {
      let share = Math.floor(kernelcore / nodes);
      for (let nid = 0; nid < memory.length; nid++) {
        if (this.required_kernelcore < share) share = Math.floor(this.required_kernelcore / nodes);
        this.take(nid, share);
      }
      nodes--;
      kernelcore = this.required_kernelcore;
      if (nodes === 0 || kernelcore <= nodes) break;
    }
  }

  /** Gives the kernel so many pages of a node, lowest first, and pages that cannot be movable whatever it asks for. */
  private take(nid: number, remaining: number): void {
    for (const [from, end] of this.memory[nid]!) {
      let start = Math.max(from, this.zone_movable_pfn[nid]!);
      if (start >= end) continue;
      if (start < this.usable_startpfn) {
        const kernel = Math.min(end, this.usable_startpfn) - start;
        remaining -= Math.min(kernel, remaining);
        this.required_kernelcore -= Math.min(kernel, this.required_kernelcore);
        start += kernel;
      }
      const size = Math.min(end - start, remaining);
      this.zone_movable_pfn[nid] = start + size;
      this.required_kernelcore -= Math.min(this.required_kernelcore, size);
      remaining -= size;
      if (remaining === 0 && start < end) break;
    }
  }
}

/** First page frame of each node's ZONE_MOVABLE, the end of the node for none. @kernel mm/page_alloc.c:find_zone_movable_pfns_for_nodes */
function movableStarts(nodes: readonly Range[], movablecore: number, zones: Ranges): number[] {
  if (movablecore === 0) return nodes.map(([, end]) => end);
  const hole: Range = [LOW_RESERVED - LOW_HOLE, LOW_RESERVED];
  const memory = nodes.map(([start, end]): Range[] =>
    start < hole[0] && end >= DMA_END
      ? [
          [start, hole[0]],
          [hole[1], end],
        ]
      : [[start, end]],
  );
  const total = memory.flat().reduce((n, [start, end]) => n + end - start, 0);
  const movable = Math.ceil(movablecore / MAX_ORDER_NR_PAGES) * MAX_ORDER_NR_PAGES;
  if (movable >= total) throw new BootError("movablecore leaves no memory for the kernel");
  const highest = zones[ZONE_NORMAL] ?? zones[ZONE_DMA32] ?? zones[ZONE_DMA]!;
  const plan = new MovablePlan(memory, highest[0], total - movable);
  return nodes.map(([, end], nid) => {
    const start = Math.ceil(plan.zone_movable_pfn[nid]! / MAX_ORDER_NR_PAGES) * MAX_ORDER_NR_PAGES;
    return Math.min(start, end);
  });
}

/** Where the zones of a node lie whose movable memory begins at `movable`. */
function zoneRanges([start, end]: Range, movable: number, zones: Ranges): Ranges {
  const cut = zones.map((r): Range | undefined => {
    const from = Math.max(r?.[0] ?? end, start);
    const to = Math.min(r?.[1] ?? 0, movable);
    return from < to ? [from, to] : undefined;
  });
  if (movable < end) cut[ZONE_MOVABLE] = [movable, end];
  return cut;
}

/** Where the CMA area of so many pages goes: above 4 GiB if it fits there, else at the top. @kernel mm/cma.c:cma_declare_contiguous_nid */
function cmaBase(nodes: readonly Range[], count: number): number {
  if (nodes.at(-1)![1] >= DMA32_END + count) {
    for (const [start, end] of nodes) {
      const base = Math.max(start, DMA32_END);
      if (base + count <= end) return base;
    }
  }
  const bases = nodes.map(([, end]) => Math.floor((end - count) / pageblock_nr_pages) * pageblock_nr_pages);
  return bases.findLast((base, nid) => base >= nodes[nid]![0]) ?? bases.at(-1)!;
}

/** Puts a zone of these page frames into a machine. */
export function addZone(k: Machine, idx: number, start: number, end: number, nid = 0): zone {
  const z = new zone(idx, nid, start, end - start, NR_VM_ZONE_STAT_ITEMS);
  const at = k.zones.push(z) - 1;
  k.nodes[nid]!.node_zones[idx] = z;
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
    s.setRefs(pfn & PFN_SECTION_MASK, 1);
  }
}

/** Makes a zone and frees what of it is neither reserved nor the CMA area, [base, base + count). */
function layOutZone(k: Machine, idx: number, nid: number, [start, end]: Range, reserved: number, cma: Range): void {
  const z = addZone(k, idx, start, end, nid);
  const from = Math.max(start, reserved);
  if (start < reserved && reserved === LOW_RESERVED) z.present_pages -= LOW_HOLE;
  z.managed_pages = end - from;
  const [base, last] = cma;
  const inside = base >= start && last <= end;
  if (base < end && last > start && !inside) {
    throw new BootError(`the CMA area of ${(last - base) / 256} MiB would not lie in one zone`);
  }
  if (last === base || !inside) {
    freeRange(k, z, from, end, MIGRATE_MOVABLE);
    return;
  }
  cma_init_reserved_mem(k, z, base, last - base, "reserved");
  freeRange(k, z, from, base, MIGRATE_MOVABLE);
  freeRange(k, z, base, last, MIGRATE_CMA);
  freeRange(k, z, last, end, MIGRATE_MOVABLE);
}

/** Lays out nodes, zones and CMA and frees all memory but the first pages. Sizes are pages, `nodes` those of each node. */
export function layOut(k: Machine, cma: number, movablecore: number, nodes: readonly number[]): void {
  const { max_pfn } = k.mem;
  const spans: Range[] = [];
  for (const pages of nodes) {
    const start = spans.at(-1)?.[1] ?? 0;
    spans.push([start, start + pages]);
  }
  const count = Math.ceil(cma / pageblock_nr_pages) * pageblock_nr_pages;
  const base = count > 0 ? cmaBase(spans, count) : max_pfn;
  const reserved = max_pfn >= DMA_END ? LOW_RESERVED : 2;
  if (base < reserved) throw new BootError(`the CMA area of ${count / 256} MiB does not fit into ${max_pfn / 256} MiB`);
  markUsed(k, 0, reserved);
  const zones = archZones(max_pfn);
  spans[0] = [1, spans[0]![1]];
  const movable = movableStarts(spans, movablecore, zones);
  spans.forEach((span, nid) => {
    zoneRanges(span, movable[nid]!, zones).forEach((r, idx) => {
      if (r !== undefined) layOutZone(k, idx, nid, r, reserved, [base, base + count]);
    });
  });
}
