// SPDX-License-Identifier: GPL-2.0-only
/** Making a huge page of anonymous small ones (mm/khugepaged.c: hpage_collapse_scan_pmd, collapse_huge_page). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import {
  compound_head,
  folio_mapcount,
  folio_nr_pages,
  page_mapcount,
  page_ref_count,
  page_test,
  PageAnon,
  PFN_SECTION_MASK,
} from "../../include/linux/mem_map.js";
import {
  _PAGE_ACCESSED,
  _PAGE_RW,
  _PAGE_SPECIAL,
  FAULT_FLAG_ALLOW_RETRY,
  huge_pmd,
  MM_ANONPAGES,
  type mm_struct,
  type pte_table,
  type vm_area_struct,
  VM_FAULT_ERROR,
  VM_FAULT_RETRY,
} from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from "../../include/linux/mmap_lock.js";
import {
  PG_head,
  PG_locked,
  PG_lru,
  PG_referenced,
  PG_swapcache,
  PG_tail,
  PG_uptodate,
} from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import {
  THP_SCAN_EXCEED_NONE_PTE,
  THP_SCAN_EXCEED_SHARED_PTE,
  THP_SCAN_EXCEED_SWAP_PTE,
} from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { folio_trylock, folio_unlock } from "../filemap.js";
import { anon_huge_prot } from "../huge_memory/fault.js";
import { make_vmf } from "../memory.js";
import { do_swap_page } from "../memory/swapin.js";
import { pmd_clear, pte_clear, pte_none, pte_offset, pte_present, set_pmd_at } from "../pgtable.js";
import { page_add_new_anon_rmap, page_remove_rmap } from "../rmap.js";
import {
  folio_isolate_lru,
  folio_putback_lru,
  lru_add_drain,
  lru_cache_add_inactive_or_unevictable,
  put_page,
} from "../swap.js";
import { free_swap_cache } from "../swap_state.js";
import { count_vm_event, mod_isolated } from "../vmstat.js";
import {
  alloc_charge_hpage,
  type collapse_control,
  count_node,
  find_pmd_or_thp_or_none,
  hugepage_vma_revalidate,
  type mmap_locked,
  type scan_result,
} from "./control.js";

/** Do only its mappings hold a page? @kernel mm/khugepaged.c:is_refcount_suitable @fidelity mirrored */
function is_refcount_suitable(k: Machine, head: number): boolean {
  const cache = page_test(k.mem, head, PG_swapcache) ? folio_nr_pages(k.mem, head) : 0;
  return page_ref_count(k.mem, head) === folio_mapcount(k.mem, head) + cache;
}

/** What a scan has counted so far. */
class pte_counts {
  none_or_zero = 0;
  shared = 0;
  unmapped = 0;
  referenced = 0;
  writable = false;
}

/** One more empty entry: may there be so many? */
function count_none(k: Machine, cc: collapse_control, n: pte_counts): scan_result | undefined {
  n.none_or_zero++;
  if (!cc.is_khugepaged || n.none_or_zero <= (k.config.khugepaged_max_ptes_none ?? HPAGE_PMD_NR - 1)) return undefined;
  count_vm_event(k, THP_SCAN_EXCEED_NONE_PTE);
  return "exceed_none_pte";
}

/** One more page that others map as well: may there be so many? */
function count_shared(k: Machine, cc: collapse_control, n: pte_counts, page: number): scan_result | undefined {
  if (page_mapcount(k.mem, page) <= 1) return undefined;
  n.shared++;
  if (!cc.is_khugepaged || n.shared <= (k.config.khugepaged_max_ptes_shared ?? HPAGE_PMD_NR / 2)) return undefined;
  count_vm_event(k, THP_SCAN_EXCEED_SHARED_PTE);
  return "exceed_shared_pte";
}

function count_swap(k: Machine, cc: collapse_control, n: pte_counts): scan_result | undefined {
  n.unmapped++;
  if (!cc.is_khugepaged || n.unmapped <= (k.config.khugepaged_max_ptes_swap ?? HPAGE_PMD_NR / 8)) return undefined;
  count_vm_event(k, THP_SCAN_EXCEED_SWAP_PTE);
  return "exceed_swap_pte";
}

/** One entry of a scan; undefined where it does not speak against collapsing. */
function scan_pte(k: Machine, cc: collapse_control, n: pte_counts, t: pte_table, i: number): scan_result | undefined {
  const flags = t.flags[i]!;
  const page = t.pfn[i]!;
  if (pte_none(t, i) || page === k.zero_pfn) return count_none(k, cc, n);
  if (!pte_present(flags)) return count_swap(k, cc, n);
  if (flags & _PAGE_RW) n.writable = true;
  if (flags & _PAGE_SPECIAL) return "page_null";
  const shared = count_shared(k, cc, n, page);
  if (shared !== undefined) return shared;
  const head = compound_head(k.mem, page);
  count_node(k, cc, head);
  if (!page_test(k.mem, head, PG_lru)) return "page_lru";
  if (page_test(k.mem, head, PG_locked)) return "page_lock";
  if (!PageAnon(k.mem, head)) return "page_anon";
  if (!is_refcount_suitable(k, head)) return "page_count";
  if (flags & _PAGE_ACCESSED || page_test(k.mem, head, PG_referenced)) n.referenced++;
  return undefined;
}

/**
 * Looks whether the 512 entries at an address can become a huge page, and if so collapses them.
 * @kernel mm/khugepaged.c:hpage_collapse_scan_pmd
 * @fidelity mirrored (no userfaultfd)
 * @param lock mmap_lock is held for reading; it is not once a collapse was tried
 */
export function hpage_collapse_scan_pmd(
  k: Machine,
  mm: mm_struct,
  address: number,
  lock: mmap_locked,
  cc: collapse_control,
): scan_result {
  const found = find_pmd_or_thp_or_none(mm, address);
  if (found !== "succeed") return found;
  cc.node_load = [];
  const n = new pte_counts();
  const t = pte_offset(mm, address)!;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const result = scan_pte(k, cc, n, t, i);
    if (result !== undefined) return result;
  }
  if (!n.writable) return "page_ro";
  const idle = n.referenced === 0 || (n.unmapped > 0 && n.referenced < HPAGE_PMD_NR / 2);
  if (cc.is_khugepaged && idle) return "lack_referenced_page";
  lock.locked = false;
  return collapse_huge_page(k, mm, address, n.unmapped, cc);
}

/** Gives a page, or huge page by its head, back to the LRU. @kernel mm/khugepaged.c:release_pte_page @fidelity mirrored */
function release_pte_page(k: Machine, head: number): void {
  mod_isolated(k, head, -1);
  folio_unlock(k, head);
  folio_putback_lru(k, head);
}

function is_part(k: Machine, page: number): boolean {
  return page_test(k.mem, page, PG_head | PG_tail);
}

/** Locks a page, or the huge page that it is part of, and takes it off the LRU; undefined once it is done. */
function isolate_page(k: Machine, page: number, compound: Set<number>): scan_result | undefined {
  const head = compound_head(k.mem, page);
  if (compound.has(head)) return undefined;
  if (!folio_trylock(k, head)) return "page_lock";
  let result: scan_result | undefined;
  if (!is_refcount_suitable(k, head)) result = "page_count";
  else if (!folio_isolate_lru(k, head)) result = "del_page_lru";
  if (result !== undefined) {
    folio_unlock(k, head);
    return result;
  }
  mod_isolated(k, head, 1);
  if (is_part(k, head)) compound.add(head);
  return undefined;
}

function isolate_pte(
  k: Machine,
  cc: collapse_control,
  n: pte_counts,
  t: pte_table,
  i: number,
  compound: Set<number>,
): scan_result | undefined {
  const flags = t.flags[i]!;
  const page = t.pfn[i]!;
  if (pte_none(t, i) || (pte_present(flags) && page === k.zero_pfn)) return count_none(k, cc, n);
  if (!pte_present(flags)) return "pte_non_present";
  if (flags & _PAGE_SPECIAL) return "page_null";
  VM_BUG_ON(!PageAnon(k.mem, page), "a page of a file in anonymous memory");
  const shared = count_shared(k, cc, n, page);
  if (shared !== undefined) return shared;
  const result = isolate_page(k, page, compound);
  if (result !== undefined) return result;
  const head = compound_head(k.mem, page);
  if (flags & _PAGE_ACCESSED || page_test(k.mem, head, PG_referenced)) n.referenced++;
  if (flags & _PAGE_RW) n.writable = true;
  return undefined;
}

/** Takes all pages of a table off the LRU, locked; or none. @kernel __collapse_huge_page_isolate @fidelity mirrored */
function isolate_table(k: Machine, cc: collapse_control, t: pte_table, compound: Set<number>): scan_result {
  const n = new pte_counts();
  let result: scan_result | undefined;
  let i = 0;
  for (; i < HPAGE_PMD_NR; i++) {
    result = isolate_pte(k, cc, n, t, i, compound);
    if (result !== undefined) break;
  }
  if (result === undefined && !n.writable) result = "page_ro";
  if (result === undefined && cc.is_khugepaged && n.referenced === 0) result = "lack_referenced_page";
  if (result === undefined) return "succeed";
  while (--i >= 0) {
    const page = t.pfn[i]!;
    if (!pte_none(t, i) && page !== k.zero_pfn && !is_part(k, page)) release_pte_page(k, page);
  }
  for (const head of compound) release_pte_page(k, head);
  return result;
}

/** @kernel mm/khugepaged.c:__collapse_huge_page_copy @fidelity mirrored */
function __collapse_huge_page_copy(
  k: Machine,
  vma: vm_area_struct,
  t: pte_table,
  hpage: number,
  compound: Set<number>,
): void {
  const to = k.mem.section(hpage).content;
  const base = hpage & PFN_SECTION_MASK;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const src = t.pfn[i]!;
    if (pte_none(t, i) || src === k.zero_pfn) {
      to[base + i] = 0;
      vma.vm_mm.rss_stat[MM_ANONPAGES]!++;
      pte_clear(t, i);
      continue;
    }
    to[base + i] = k.mem.section(src).content[src & PFN_SECTION_MASK]!;
    if (!is_part(k, src)) release_pte_page(k, src);
    pte_clear(t, i);
    page_remove_rmap(k, src, vma);
    free_swap_cache(k, src);
    put_page(k, src);
  }
  for (const head of compound) release_pte_page(k, head);
}

/**
 * Brings back what is in swap, and waits for entries on their way; mmap_lock has been dropped if that does not succeed.
 * @kernel mm/khugepaged.c:__collapse_huge_page_swapin
 * @fidelity mirrored
 */
function __collapse_huge_page_swapin(k: Machine, vma: vm_area_struct, address: number): scan_result {
  const mm = vma.vm_mm;
  const t = pte_offset(mm, address)!;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    if (pte_none(t, i) || pte_present(t.flags[i]!)) continue;
    const vmf = make_vmf(vma, address + i * PAGE_SIZE, FAULT_FLAG_ALLOW_RETRY, t);
    const ret = do_swap_page(k, vmf);
    if (ret & VM_FAULT_RETRY) return "page_lock";
    if (ret & VM_FAULT_ERROR) {
      mmap_read_unlock(mm);
      return "fail";
    }
  }
  lru_add_drain(k);
  return "succeed";
}

/** The collapse itself, under mmap_lock for writing. */
function collapse_locked(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  hpage: number,
  cc: collapse_control,
): scan_result {
  const mm = vma.vm_mm;
  const t = pte_offset(mm, address)!;
  const compound = new Set<number>();
  const result = isolate_table(k, cc, t, compound);
  if (result !== "succeed") return result;
  __collapse_huge_page_copy(k, vma, t, hpage, compound);
  k.mem.section(hpage).flags[hpage & PFN_SECTION_MASK]! |= PG_uptodate;
  pmd_clear(mm, address / PMD_SIZE);
  page_add_new_anon_rmap(k, hpage, vma, address);
  lru_cache_add_inactive_or_unevictable(k, hpage, vma);
  set_pmd_at(mm, address, new huge_pmd(hpage, anon_huge_prot(vma), t.page, k.calls.now));
  return "succeed";
}

/** Is the VMA, and is the table, still as it must be? The VMA, or why not. */
function revalidate(k: Machine, mm: mm_struct, address: number, cc: collapse_control): vm_area_struct | scan_result {
  const vma = hugepage_vma_revalidate(k, mm, address, true, cc);
  if (typeof vma === "string") return vma;
  const found = find_pmd_or_thp_or_none(mm, address);
  return found === "succeed" ? vma : found;
}

/**
 * Allocates a huge page, without mmap_lock, and moves the contents of 512 small ones to it, with mmap_lock held for
 * writing. mmap_lock is held for reading at first, and not at the end.
 * @kernel mm/khugepaged.c:collapse_huge_page
 * @fidelity mirrored
 */
function collapse_huge_page(
  k: Machine,
  mm: mm_struct,
  address: number,
  unmapped: number,
  cc: collapse_control,
): scan_result {
  mmap_read_unlock(mm);
  const hpage = alloc_charge_hpage(k, cc);
  k.hooks.yieldPoint("collapse_huge_page", { address, mm });
  if (hpage === 0) return "alloc_huge_page_fail";
  mmap_read_lock(mm);
  let vma = revalidate(k, mm, address, cc);
  let result: scan_result = typeof vma === "string" ? vma : "succeed";
  if (typeof vma !== "string" && unmapped > 0) result = __collapse_huge_page_swapin(k, vma, address);
  if (typeof vma === "string" || result === "succeed") mmap_read_unlock(mm);
  if (result === "succeed") {
    mmap_write_lock(mm);
    vma = revalidate(k, mm, address, cc);
    result = typeof vma === "string" ? vma : collapse_locked(k, vma, address, hpage, cc);
    mmap_write_unlock(mm);
  }
  if (result !== "succeed") put_page(k, hpage);
  return result;
}
