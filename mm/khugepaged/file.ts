// SPDX-License-Identifier: GPL-2.0-only
/** Making a huge page of a shmem file's small ones (mm/khugepaged.c: hpage_collapse_scan_file, collapse_file). */
import type { address_space, file } from "../../include/linux/fs.js";
import {
  compound_head,
  compound_order,
  page_clear,
  page_mapcount,
  page_ref_count,
  page_test,
  PFN_SECTION_MASK,
} from "../../include/linux/mem_map.js";
import { linear_page_index } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { mmap_write_trylock, mmap_write_unlock } from "../../include/linux/mmap_lock.js";
import {
  PG_active,
  PG_dirty,
  PG_head,
  PG_locked,
  PG_lru,
  PG_private,
  PG_swapbacked,
  PG_tail,
  PG_unevictable,
  PG_uptodate,
} from "../../include/linux/page-flags.js";
import { TTU_BATCH_FLUSH, TTU_IGNORE_MLOCK } from "../../include/linux/rmap.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { THP_SCAN_EXCEED_NONE_PTE, THP_SCAN_EXCEED_SWAP_PTE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value } from "../../lib/xarray.js";
import { filemap_lock_entry, folio_trylock, folio_unlock, replace_by_huge_page } from "../filemap.js";
import { hugepage_vma_check } from "../huge_memory/policy.js";
import { khugepaged_add_pte_mapped_thp } from "../khugepaged.js";
import { do_set_pmd } from "../memory/fault.js";
import { mm_counter_file } from "../memory/zap.js";
import { vma_lookup } from "../mmap.js";
import { pmd_clear, pte_free, pte_none, pte_offset, pte_present } from "../pgtable.js";
import { page_remove_rmap, try_to_unmap } from "../rmap.js";
import { set_compound_flag } from "../rmap/compound.js";
import { SGP_NOALLOC, shmem_get_folio } from "../shmem.js";
import { shmem_charge, shmem_uncharge } from "../shmem/huge.js";
import { folio_add_lru, folio_isolate_lru, folio_putback_lru, get_page, put_page } from "../swap.js";
import { count_vm_event } from "../vmstat.js";
import {
  alloc_charge_hpage,
  type collapse_control,
  count_node,
  find_pmd_or_thp_or_none,
  type scan_result,
} from "./control.js";

/** What a huge page that is there already means for the 2 MiB at a page offset. */
function compound_result(k: Machine, page: number, start: number): scan_result {
  const head = compound_head(k.mem, page);
  const index = k.mem.section(head).index[head & PFN_SECTION_MASK];
  return compound_order(k.mem, head) === HPAGE_PMD_ORDER && index === start ? "pte_mapped_hugepage" : "page_compound";
}

/** One cached page of a scan; undefined where it does not speak against collapsing. */
function scan_page(k: Machine, cc: collapse_control, page: number, start: number): scan_result | undefined {
  if (page_test(k.mem, page, PG_head | PG_tail)) return compound_result(k, page, start);
  count_node(k, cc, page);
  if (!page_test(k.mem, page, PG_lru)) return "page_lru";
  const private_ref = page_test(k.mem, page, PG_private) ? 1 : 0;
  return page_ref_count(k.mem, page) === 1 + page_mapcount(k.mem, page) + private_ref ? undefined : "page_count";
}

/**
 * Looks whether 512 pages of a shmem file can become a huge page, and if so collapses them. Without mmap_lock.
 * @kernel mm/khugepaged.c:hpage_collapse_scan_file
 * @fidelity mirrored
 * @param start page offset, a multiple of 512
 */
export function hpage_collapse_scan_file(
  k: Machine,
  mm: mm_struct,
  addr: number,
  f: file,
  start: number,
  cc: collapse_control,
): scan_result {
  const xa = f.f_mapping.i_pages;
  const last = start + HPAGE_PMD_NR - 1;
  const max_swap = cc.is_khugepaged ? (k.config.khugepaged_max_ptes_swap ?? HPAGE_PMD_NR / 8) : HPAGE_PMD_NR;
  let present = 0;
  let swap = 0;
  cc.node_load = [];
  for (let index = xa.find(start, last); index >= 0; index = index < last ? xa.find(index + 1, last) : -1) {
    const page = xa.load(index);
    if (xa_is_value(page)) {
      if (++swap <= max_swap) continue;
      count_vm_event(k, THP_SCAN_EXCEED_SWAP_PTE);
      return "exceed_swap_pte";
    }
    const result = scan_page(k, cc, page, start);
    if (result !== undefined) return result;
    present++;
  }
  if (cc.is_khugepaged && present < HPAGE_PMD_NR - (k.config.khugepaged_max_ptes_none ?? HPAGE_PMD_NR - 1)) {
    count_vm_event(k, THP_SCAN_EXCEED_NONE_PTE);
    return "exceed_none_pte";
  }
  return collapse_file(k, mm, addr, f, start, cc);
}

/** A collapse of a file's pages on its way: what it has taken so far. */
interface taken {
  /** Pages locked, isolated, unmapped, and held by us, the cache and the isolation. */
  readonly pages: number[];
  /** Holes that were charged to the file. */
  holes: number;
}

/** A cached page, locked and referenced, read from swap where it is there; or why not. */
function lock_cached(k: Machine, mapping: address_space, index: number, page: number): number | scan_result {
  if (xa_is_value(page) || !page_test(k.mem, compound_head(k.mem, page), PG_uptodate)) {
    const got = shmem_get_folio(k, mapping.host, index, SGP_NOALLOC);
    return got < 0 ? "fail" : got;
  }
  if (!folio_trylock(k, page)) return "page_lock";
  get_page(k, page);
  return page;
}

/** Takes a locked, referenced page off the LRU and out of all page tables; undefined when that is done. */
function take_page(k: Machine, mapping: address_space, page: number, start: number): scan_result | undefined {
  if (page_test(k.mem, page, PG_head | PG_tail)) return compound_result(k, page, start);
  if (k.mem.section(page).mapping[page & PFN_SECTION_MASK] !== mapping.owner_id) return "truncated";
  if (!folio_isolate_lru(k, page)) return "del_page_lru";
  if (page_mapcount(k.mem, page) > 0) try_to_unmap(k, page, TTU_IGNORE_MLOCK | TTU_BATCH_FLUSH);
  if (page_ref_count(k.mem, page) === 3) return undefined;
  folio_putback_lru(k, page);
  return "page_count";
}

/** Takes one offset of the file: its page, or a promise for a hole. */
function take_index(
  k: Machine,
  mapping: address_space,
  index: number,
  start: number,
  t: taken,
): scan_result | undefined {
  const xa = mapping.i_pages;
  const cached = xa.load(index);
  if (cached === 0) {
    if (index === start && xa.find(index, start + HPAGE_PMD_NR - 1) < 0) return "truncated";
    if (!shmem_charge(k, mapping.host, 1)) return "fail";
    t.holes++;
    return undefined;
  }
  const page = lock_cached(k, mapping, index, cached);
  if (typeof page === "string") return page;
  const result = take_page(k, mapping, page, start);
  if (result === undefined) {
    t.pages.push(page);
    return undefined;
  }
  folio_unlock(k, page);
  put_page(k, page);
  return result;
}

/** Puts everything back as it was. */
function give_back(k: Machine, mapping: address_space, t: taken): void {
  if (t.holes > 0) {
    mapping.nrpages -= t.holes;
    shmem_uncharge(k, mapping.host, t.holes);
  }
  for (const page of t.pages) {
    put_page(k, page);
    folio_unlock(k, page);
    folio_putback_lru(k, page);
  }
}

/** Copies the contents of the small pages, which are out of the cache, and frees them. */
function copy_and_free(k: Machine, hpage: number, t: taken): void {
  const to = k.mem.section(hpage);
  const i = hpage & PFN_SECTION_MASK;
  to.content.fill(0, i, i + HPAGE_PMD_NR);
  for (const page of t.pages) {
    const s = k.mem.section(page);
    const j = page & PFN_SECTION_MASK;
    to.content[i + (s.index[j]! % HPAGE_PMD_NR)] = s.content[j]!;
    s.setMapping(j, 0);
    s.setRefs(j, 1);
    page_clear(k.mem, page, PG_active | PG_unevictable);
    folio_unlock(k, page);
    put_page(k, page);
  }
  to.flags[i]! |= PG_uptodate | PG_dirty;
}

/**
 * Puts a huge page into a shmem file's cache in the place of 512 small ones and holes.
 * @kernel mm/khugepaged.c:collapse_file
 * @fidelity simplified: the cache changes when all pages are taken, not one by one; no swap, shmem only
 */
function collapse_file(
  k: Machine,
  mm: mm_struct,
  addr: number,
  f: file,
  start: number,
  cc: collapse_control,
): scan_result {
  const mapping = f.f_mapping;
  const hpage = alloc_charge_hpage(k, cc);
  k.hooks.yieldPoint("collapse_file", { address: addr, index: start });
  if (hpage === 0) return "alloc_huge_page_fail";
  const t: taken = { pages: [], holes: 0 };
  let result: scan_result | undefined;
  for (let n = 0; n < HPAGE_PMD_NR && result === undefined; n++) result = take_index(k, mapping, start + n, start, t);
  if (result !== undefined) {
    give_back(k, mapping, t);
    put_page(k, hpage);
    return result;
  }
  k.mem.section(hpage).flags[hpage & PFN_SECTION_MASK]! |= PG_locked;
  set_compound_flag(k, hpage, PG_swapbacked);
  replace_by_huge_page(k, mapping, start, hpage, t.holes);
  copy_and_free(k, hpage, t);
  folio_add_lru(k, hpage);
  const retracted = retract_page_tables(k, mapping, start, mm, addr, hpage, cc);
  folio_unlock(k, hpage);
  return retracted;
}

/** Frees a table in which nothing is left. @kernel mm/khugepaged.c:collapse_and_free_pmd @fidelity mirrored */
function collapse_and_free_pmd(k: Machine, mm: mm_struct, addr: number): void {
  const table = pte_offset(mm, addr)!;
  pmd_clear(mm, addr / PMD_SIZE);
  mm.pgtables_bytes -= PAGE_SIZE;
  pte_free(k, table);
}

/** Maps a huge page where nothing is. @kernel mm/khugepaged.c:set_huge_pmd @fidelity mirrored */
function set_huge_pmd(k: Machine, vma: vm_area_struct, addr: number, hpage: number): scan_result {
  if (do_set_pmd(k, { vma, address: addr, flags: 0 }, hpage) !== 0) return "fail";
  get_page(k, hpage);
  return "succeed";
}

/** Takes the page tables of one mapping away, or leaves that to somebody else. */
function retract_one(
  k: Machine,
  vma: vm_area_struct,
  addr: number,
  is_target: boolean,
  hpage: number,
  cc: collapse_control,
): scan_result {
  const mm = vma.vm_mm;
  const found = find_pmd_or_thp_or_none(mm, addr);
  if (found !== "succeed") return found;
  if ((!cc.is_khugepaged && !is_target) || !mmap_write_trylock(mm)) return "pte_mapped_hugepage";
  let result: scan_result = "any_process";
  if (mm.mm_users > 0) {
    collapse_and_free_pmd(k, mm, addr);
    result = !cc.is_khugepaged && is_target ? set_huge_pmd(k, vma, addr, hpage) : "succeed";
  }
  mmap_write_unlock(mm);
  return result;
}

/**
 * Takes the empty page tables over a new huge page away, so that faults map it as a whole; MADV_COLLAPSE's own gets it at
 * once. What it could do for the caller's own mapping.
 * @kernel mm/khugepaged.c:retract_page_tables
 * @fidelity mirrored
 */
function retract_page_tables(
  k: Machine,
  mapping: address_space,
  pgoff: number,
  target_mm: mm_struct,
  target_addr: number,
  hpage: number,
  cc: collapse_control,
): scan_result {
  let target_result: scan_result = "fail";
  for (const vma of mapping.i_mmap) {
    const addr = vma.vm_start + (pgoff - vma.vm_pgoff) * PAGE_SIZE;
    if (addr < vma.vm_start || addr >= vma.vm_end) continue;
    const is_target = vma.vm_mm === target_mm && addr === target_addr;
    let result: scan_result;
    if (vma.anon_vma !== null) result = "page_anon";
    else if (addr % PMD_SIZE !== 0 || vma.vm_end < addr + PMD_SIZE) result = "vma_check";
    else result = retract_one(k, vma, addr, is_target, hpage, cc);
    if (is_target) target_result = result;
    else if (result === "pte_mapped_hugepage") khugepaged_add_pte_mapped_thp(k, vma.vm_mm, addr);
  }
  return target_result;
}

/** Takes the small entries of a huge page out of its table; false, and none, where another page stands there. */
function remove_ptes(k: Machine, vma: vm_area_struct, haddr: number, hpage: number): scan_result | undefined {
  const t = pte_offset(vma.vm_mm, haddr)!;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    if (pte_none(t, i)) continue;
    if (!pte_present(t.flags[i]!)) return "pte_non_present";
    if (t.pfn[i] !== hpage + i) return "fail";
  }
  let count = 0;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    if (pte_none(t, i)) continue;
    page_remove_rmap(k, hpage + i, vma);
    count++;
  }
  k.mem.section(hpage).addRefs(hpage & PFN_SECTION_MASK, -count);
  vma.vm_mm.rss_stat[mm_counter_file(k, hpage)]! -= count;
  return undefined;
}

/** The same with the huge page found, locked and referenced. */
function collapse_mapped(
  k: Machine,
  vma: vm_area_struct,
  haddr: number,
  hpage: number,
  found: scan_result,
  install_pmd: boolean,
): scan_result {
  if (!page_test(k.mem, hpage, PG_head)) return "fail";
  if (found === "succeed") {
    const result = remove_ptes(k, vma, haddr, hpage);
    if (result !== undefined) return result;
    collapse_and_free_pmd(k, vma.vm_mm, haddr);
  } else if (found !== "pmd_none") {
    return found;
  }
  return install_pmd ? set_huge_pmd(k, vma, haddr, hpage) : "succeed";
}

/**
 * Takes the small entries that map a file's huge page away, and with `install_pmd` maps it as a whole. mmap_lock is held
 * for writing.
 * @kernel mm/khugepaged.c:collapse_pte_mapped_thp
 * @fidelity mirrored
 */
export function collapse_pte_mapped_thp(k: Machine, mm: mm_struct, addr: number, install_pmd: boolean): scan_result {
  const vma = vma_lookup(mm, addr);
  const found = find_pmd_or_thp_or_none(mm, addr);
  if (found === "pmd_mapped") return found;
  if (vma?.vm_file == null || vma.vm_start > addr || vma.vm_end < addr + PMD_SIZE) return "vma_check";
  if (!hugepage_vma_check(k, vma, vma.vm_flags, {})) return "vma_check";
  const hpage = filemap_lock_entry(k, vma.vm_file.f_mapping, linear_page_index(vma, addr));
  if (hpage === 0 || xa_is_value(hpage)) return "page_null";
  const result = collapse_mapped(k, vma, addr, hpage, found, install_pmd);
  folio_unlock(k, hpage);
  put_page(k, hpage);
  return result;
}
