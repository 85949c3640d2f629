// SPDX-License-Identifier: GPL-2.0-only
/** /proc/kpageflags and /proc/kpagecount: 64 bits a page frame, little-endian (fs/proc/page.c). */
import {
  compound_head,
  folio_mapped,
  PAGES_PER_SECTION,
  page_mapcount,
  page_zone,
  PageAnon,
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
} from "../../include/linux/mem_map.js";
import { MAX_ORDER } from "../../include/linux/mmzone.js";
import * as PG from "../../include/linux/page-flags.js";
import type { Machine } from "../../include/machine.js";
import { is_huge_zero_page } from "../../mm/huge_memory/zero.js";
import { free_block_at } from "../../mm/page_alloc/freelist.js";
import * as KPF from "../../uapi/kernel-page-flags.js";

const KPMSIZE = 8;
/** Values are two halves of 32 bits: the operators have no more. */
const HIGH = 32;

/** Flags that are shown as they are: bit of the lower half, PG_… */
const copied: readonly (readonly [number, number])[] = [
  [KPF.KPF_LOCKED, PG.PG_locked],
  [KPF.KPF_SLAB, PG.PG_slab],
  [KPF.KPF_ERROR, PG.PG_error],
  [KPF.KPF_DIRTY, PG.PG_dirty],
  [KPF.KPF_UPTODATE, PG.PG_uptodate],
  [KPF.KPF_WRITEBACK, PG.PG_writeback],
  [KPF.KPF_LRU, PG.PG_lru],
  [KPF.KPF_REFERENCED, PG.PG_referenced],
  [KPF.KPF_ACTIVE, PG.PG_active],
  [KPF.KPF_RECLAIM, PG.PG_reclaim],
  [KPF.KPF_SWAPCACHE, PG.PG_swapcache],
  [KPF.KPF_SWAPBACKED, PG.PG_swapbacked],
  [KPF.KPF_UNEVICTABLE, PG.PG_unevictable],
  [KPF.KPF_PGTABLE, PG.PG_table],
  [KPF.KPF_KSM, PG.PG_ksm],
  [KPF.KPF_COMPOUND_HEAD, PG.PG_head],
  [KPF.KPF_COMPOUND_TAIL, PG.PG_tail],
];
/** The same of the upper half. */
const copiedHigh: readonly (readonly [number, number])[] = [
  [KPF.KPF_RESERVED - HIGH, PG.PG_reserved],
  [KPF.KPF_MLOCKED - HIGH, PG.PG_mlocked],
  [KPF.KPF_MAPPEDTODISK - HIGH, PG.PG_mappedtodisk | PG.PG_anon_exclusive],
  [KPF.KPF_PRIVATE - HIGH, PG.PG_private],
  [KPF.KPF_OWNER_PRIVATE - HIGH, PG.PG_swapcache],
];

/** What of a tail's flags is its own: the model keeps a copy of some of the head's there. */
const TAIL_FLAGS = PG.PG_tail | PG.PG_anon_exclusive;

function copy_bits(flags: number, table: readonly (readonly [number, number])[]): number {
  let u = 0;
  for (const [bit, pg] of table) if (flags & pg) u |= 1 << bit;
  return u;
}

/** What being part of a huge page, or the zero page, adds. */
function thp_flags(k: Machine, pfn: number, flags: number): number {
  if ((flags & (PG.PG_head | PG.PG_tail)) === 0) return pfn === k.zero_pfn ? 1 << KPF.KPF_ZERO_PAGE : 0;
  const head = compound_head(k.mem, pfn);
  const head_flags = k.mem.section(head).flags[head & PFN_SECTION_MASK]!;
  if (head_flags & PG.PG_slab) return 1 << KPF.KPF_SLAB;
  if (head_flags & PG.PG_lru || PageAnon(k.mem, head)) return 1 << KPF.KPF_THP;
  return is_huge_zero_page(k, head) ? (1 << KPF.KPF_ZERO_PAGE) | (1 << KPF.KPF_THP) : 0;
}

/**
 * Flags of one page in the words of user space, as [lower 32 bits, upper 32 bits]. Free pages are {@link kpageflags_read}'s
 * affair.
 * @kernel fs/proc/page.c:stable_page_flags
 * @fidelity simplified: no hwpoison, offline, idle and uncached pages, which the model has none of
 */
function stable_page_flags(k: Machine, pfn: number): [number, number] {
  const raw = k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]!;
  const flags = raw & PG.PG_tail ? raw & TAIL_FLAGS : raw;
  let u = copy_bits(flags, copied) | thp_flags(k, pfn, flags);
  if (!(flags & (PG.PG_slab | PG.PG_table)) && folio_mapped(k.mem, compound_head(k.mem, pfn))) u |= 1 << KPF.KPF_MMAP;
  if (PageAnon(k.mem, pfn)) u |= 1 << KPF.KPF_ANON;
  return [u, copy_bits(flags, copiedHigh)];
}

/** Page frames that the two files have records of: whole sections. @kernel fs/proc/page.c:get_max_dump_pfn */
export function max_dump_pfn(k: Machine): number {
  return Math.ceil(k.mem.max_pfn / PAGES_PER_SECTION) * PAGES_PER_SECTION;
}

/** The page frame behind the free block that `pfn` lies in; 0 if it lies in none. */
function free_until(k: Machine, pfn: number): number {
  const z = page_zone(k.mem, pfn);
  for (let order = 0; order < MAX_ORDER; order++) {
    const start = pfn - (pfn % 2 ** order);
    const block = free_block_at(k.mem, z, start);
    if (block !== undefined && start + 2 ** block.order > pfn) return start + 2 ** block.order;
  }
  return 0;
}

/**
 * Records of the page frames [from, to).
 * @kernel fs/proc/page.c:kpageflags_read
 * @fidelity simplified: memory that the machine lacks is reserved, never absent (KPF_NOPAGE)
 */
export function kpageflags_read(k: Machine, from: number, to: number): Uint8Array {
  const end = Math.min(to, max_dump_pfn(k));
  const out = new DataView(new ArrayBuffer(Math.max(end - from, 0) * KPMSIZE));
  let free = 0;
  for (let pfn = from; pfn < end; pfn++) {
    const at = (pfn - from) * KPMSIZE;
    if (pfn >= k.mem.max_pfn) {
      out.setUint32(at + 4, 1 << (KPF.KPF_RESERVED - HIGH), true);
      continue;
    }
    const s = k.mem.sections[pfn >>> PFN_SECTION_SHIFT];
    if (pfn >= free && (s === undefined || s.refcount[pfn & PFN_SECTION_MASK] === 0)) free = free_until(k, pfn);
    if (pfn < free) {
      out.setUint32(at, 1 << KPF.KPF_BUDDY, true);
      continue;
    }
    const [low, high] = stable_page_flags(k, pfn);
    out.setUint32(at, low, true);
    out.setUint32(at + 4, high, true);
  }
  return new Uint8Array(out.buffer);
}

/**
 * How often each of the page frames [from, to) is mapped.
 * @kernel fs/proc/page.c:kpagecount_read
 * @fidelity mirrored
 */
export function kpagecount_read(k: Machine, from: number, to: number): Uint8Array {
  const end = Math.min(to, max_dump_pfn(k));
  const out = new DataView(new ArrayBuffer(Math.max(end - from, 0) * KPMSIZE));
  for (let pfn = from; pfn < Math.min(end, k.mem.max_pfn); pfn++) {
    const s = k.mem.sections[pfn >>> PFN_SECTION_SHIFT];
    if (s === undefined || s.flags[pfn & PFN_SECTION_MASK]! & (PG.PG_slab | PG.PG_table | PG.PG_buddy)) continue;
    out.setUint32((pfn - from) * KPMSIZE, page_mapcount(k.mem, pfn), true);
  }
  return new Uint8Array(out.buffer);
}
