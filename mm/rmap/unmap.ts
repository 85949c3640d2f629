// SPDX-License-Identifier: GPL-2.0-only
/** Reverse-map walks that change the entries they find (mm/rmap.c: try_to_unmap, try_to_migrate, folio_mkclean). */
import { not_modelled, VM_BUG_ON } from "../../include/linux/bug.js";
import { page_owner_of, PageAnon, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_LOCKED, VM_SHARED } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  MM_ANONPAGES,
  type pte_table,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { PG_anon_exclusive, PG_dirty, PG_swapbacked, PG_swapcache } from "../../include/linux/page-flags.js";
import { TTU_IGNORE_MLOCK } from "../../include/linux/rmap.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { mlock_page_drain_local } from "../mlock.js";
import { mm_counter } from "../memory/zap.js";
import { pte_clear, pte_index, pte_offset, pte_present, set_pte } from "../pgtable.js";
import { mlock_vma_page, page_remove_rmap, page_try_share_anon_rmap, rmap_walk } from "../rmap.js";
import { put_page } from "../swap.js";

/** Table whose entry maps this very page at an address, or undefined. @kernel mm/page_vma_mapped.c */
function mapped_table(vma: vm_area_struct, address: number, pfn: number): pte_table | undefined {
  const t = pte_offset(vma.vm_mm, address);
  if (t === undefined) return undefined;
  const i = pte_index(address);
  return t.pfn[i] === pfn && pte_present(t.flags[i]!) ? t : undefined;
}

/** Is a MADV_FREE page still nobody's but its mappings' and the isolator's, and clean? */
function lazyfree_discardable(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  return s.refcount[i] === 1 + s.mapcount[i]! && !(s.flags[i]! & PG_dirty);
}

function try_to_unmap_one(k: Machine, pfn: number, vma: vm_area_struct, address: number, flags: number): boolean {
  const t = mapped_table(vma, address, pfn);
  if (t === undefined) return true;
  if (!(flags & TTU_IGNORE_MLOCK) && vm_flags_test(vma.vm_flags, VM_LOCKED)) {
    mlock_vma_page(k, pfn, vma);
    return false;
  }
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const ptei = pte_index(address);
  const pteval = t.flags[ptei]!;
  pte_clear(t, ptei);
  if (pteval & _PAGE_DIRTY) s.flags[i]! |= PG_dirty;
  if (PageAnon(k.mem, pfn)) {
    if (s.flags[i]! & PG_swapbacked) {
      VM_BUG_ON(!(s.flags[i]! & PG_swapcache), "unmapping an anonymous page that has no swap entry");
      not_modelled("mm/rmap.c: try_to_unmap_one of a swap-cache page");
    }
    if (!lazyfree_discardable(k, pfn)) {
      set_pte(t, ptei, pfn, pteval);
      s.flags[i]! |= PG_swapbacked;
      return false;
    }
    vma.vm_mm.rss_stat[MM_ANONPAGES]!--;
  } else {
    vma.vm_mm.rss_stat[mm_counter(k, pfn)]!--;
  }
  page_remove_rmap(k, pfn, vma);
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_page_drain_local(k);
  put_page(k, pfn);
  return true;
}

/**
 * Takes all mappings of a locked page away; true when none is left. `flags`: TTU_….
 * @kernel mm/rmap.c:try_to_unmap
 * @fidelity simplified: pages of files and those of MADV_FREE; swap-out is not modelled
 */
export function try_to_unmap(k: Machine, pfn: number, flags: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  rmap_walk(k, pfn, (vma, address) => try_to_unmap_one(k, pfn, vma, address, flags) && s.mapcount[i]! > 0);
  return s.mapcount[i] === 0;
}

function try_to_migrate_one(k: Machine, pfn: number, vma: vm_area_struct, address: number): boolean {
  const t = mapped_table(vma, address, pfn);
  if (t === undefined) return true;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const ptei = pte_index(address);
  const pteval = t.flags[ptei]!;
  const anon = PageAnon(k.mem, pfn);
  const exclusive = anon && (s.flags[i]! & PG_anon_exclusive) !== 0;
  pte_clear(t, ptei);
  if (pteval & _PAGE_DIRTY) s.flags[i]! |= PG_dirty;
  VM_BUG_ON((pteval & _PAGE_RW) !== 0 && anon && !exclusive, "writable entry of a page that is not exclusive");
  if (exclusive && !page_try_share_anon_rmap(k, pfn)) {
    set_pte(t, ptei, pfn, pteval);
    return false;
  }
  let entry = _PAGE_MIGRATION | (pteval & (_PAGE_ACCESSED | _PAGE_DIRTY));
  if (pteval & _PAGE_RW) entry |= SWP_WRITE;
  else if (exclusive) entry |= SWP_EXCLUSIVE;
  set_pte(t, ptei, pfn, entry);
  page_remove_rmap(k, pfn, vma);
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_page_drain_local(k);
  put_page(k, pfn);
  return true;
}

/**
 * Replaces all mappings of a locked page by migration entries; true when none is left.
 * @kernel mm/rmap.c:try_to_migrate
 * @fidelity mirrored (order 0)
 */
export function try_to_migrate(k: Machine, pfn: number, _flags: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  rmap_walk(k, pfn, (vma, address) => try_to_migrate_one(k, pfn, vma, address) && s.mapcount[i]! > 0);
  return s.mapcount[i] === 0;
}

/**
 * Makes the shared mappings of a file's page clean and write-protected; how many were not.
 * @kernel mm/rmap.c:folio_mkclean
 * @fidelity mirrored (order 0)
 */
export function page_mkclean(k: Machine, pfn: number): number {
  let cleaned = 0;
  const owner = page_owner_of(k.mem, pfn);
  if (owner === undefined || owner.is_anon) return 0;
  rmap_walk(k, pfn, (vma, address) => {
    if (!vm_flags_test(vma.vm_flags, VM_SHARED)) return true;
    const t = mapped_table(vma, address, pfn);
    const ptei = pte_index(address);
    if (t === undefined || !(t.flags[ptei]! & (_PAGE_DIRTY | _PAGE_RW))) return true;
    t.flags[ptei]! &= ~(_PAGE_DIRTY | _PAGE_RW);
    cleaned++;
    return true;
  });
  return cleaned;
}

/**
 * How many mappings were used since the last look; -1 where a locked VMA maps the page, which then is mlocked.
 * @kernel mm/rmap.c:folio_referenced
 * @fidelity simplified: the VMA flags are reduced to that -1
 */
export function folio_referenced(k: Machine, pfn: number): number {
  let referenced = 0;
  rmap_walk(k, pfn, (vma, address) => {
    const t = mapped_table(vma, address, pfn);
    if (t === undefined) return true;
    if (vm_flags_test(vma.vm_flags, VM_LOCKED)) {
      mlock_vma_page(k, pfn, vma);
      referenced = -1;
      return false;
    }
    const ptei = pte_index(address);
    if (t.flags[ptei]! & _PAGE_ACCESSED) {
      t.flags[ptei]! &= ~_PAGE_ACCESSED;
      referenced++;
    }
    return true;
  });
  return referenced;
}
