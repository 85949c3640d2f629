// SPDX-License-Identifier: GPL-2.0-only
/** Reverse-map walks that change the entries they find (mm/rmap.c: try_to_unmap, try_to_migrate, folio_mkclean). */
import { not_modelled, VM_BUG_ON } from "../../include/linux/bug.js";
import {
  compound_head,
  folio_mapcount,
  folio_mapped,
  page_owner_of,
  page_test,
  PageAnon,
  PFN_SECTION_MASK,
  swap_entry_of,
} from "../../include/linux/mem_map.js";
import { VM_LOCKED, VM_SHARED } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  _PAGE_SWP,
  MM_ANONPAGES,
  MM_SWAPENTS,
  type pte_table,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import {
  PG_anon_exclusive,
  PG_dirty,
  PG_head,
  PG_swapbacked,
  PG_swapcache,
  PG_tail,
} from "../../include/linux/page-flags.js";
import { TTU_IGNORE_MLOCK, TTU_SPLIT_HUGE_PMD } from "../../include/linux/rmap.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { set_pmd_migration_entry } from "../huge_memory/migrate.js";
import { __split_huge_pmd } from "../huge_memory/split_pmd.js";
import { mlock_page_drain_local } from "../mlock.js";
import { mm_counter } from "../memory/zap.js";
import { type mapped_entry_visitor, page_vma_mapped_walk } from "../page_vma_mapped.js";
import { pte_clear, set_pte } from "../pgtable.js";
import { mlock_vma_page, page_remove_rmap, page_try_share_anon_rmap, rmap_walk } from "../rmap.js";
import { put_page } from "../swap.js";
import { swap_duplicate, swap_free } from "../swapfile.js";

/** Is a MADV_FREE page still nobody's but its mappings' and the isolator's, and clean? */
function lazyfree_discardable(k: Machine, head: number): boolean {
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  return s.refcount[i] === 1 + folio_mapcount(k.mem, head) && !(s.flags[i]! & PG_dirty);
}

/** Puts the slot of a swap-cache page in the place of one entry; false where that must stay, for a pin or the like. */
function swap_out_pte(
  k: Machine,
  page: number,
  vma: vm_area_struct,
  t: pte_table,
  ptei: number,
  pteval: number,
): boolean {
  const entry = swap_entry_of(k.mem, page);
  const exclusive = page_test(k.mem, page, PG_anon_exclusive);
  let taken = swap_duplicate(k, entry) === 0;
  if (taken && exclusive && !page_try_share_anon_rmap(k, page)) {
    swap_free(k, entry);
    taken = false;
  }
  if (!taken) {
    set_pte(t, ptei, page, pteval);
    return false;
  }
  vma.vm_mm.rss_stat[MM_ANONPAGES]!--;
  vma.vm_mm.rss_stat[MM_SWAPENTS]!++;
  set_pte(t, ptei, entry, exclusive ? _PAGE_SWP | SWP_EXCLUSIVE : _PAGE_SWP);
  return true;
}

/** Takes one entry of a page, or of a part of a huge page, away; false where it must stay. */
function unmap_pte(k: Machine, page: number, vma: vm_area_struct, t: pte_table, ptei: number): boolean {
  const head = compound_head(k.mem, page);
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  const pteval = t.flags[ptei]!;
  pte_clear(t, ptei);
  if (pteval & _PAGE_DIRTY) s.flags[i]! |= PG_dirty;
  if (PageAnon(k.mem, head)) {
    if (s.flags[i]! & PG_swapbacked) {
      VM_BUG_ON(!(s.flags[i]! & PG_swapcache), "unmapping an anonymous page that has no swap entry");
      if (!swap_out_pte(k, page, vma, t, ptei, pteval)) return false;
    } else if (!lazyfree_discardable(k, head)) {
      set_pte(t, ptei, page, pteval);
      s.flags[i]! |= PG_swapbacked;
      return false;
    } else {
      vma.vm_mm.rss_stat[MM_ANONPAGES]!--;
    }
  } else {
    vma.vm_mm.rss_stat[mm_counter(k, head)]!--;
  }
  page_remove_rmap(k, page, vma);
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_page_drain_local(k);
  put_page(k, page);
  return true;
}

const unmapped_entries: mapped_entry_visitor<number> = {
  pte(k, page, vma, t, i, _address, flags) {
    if (!stays_mlocked(vma, flags)) return unmap_pte(k, page, vma, t, i);
    mlock_vma_page(k, page, vma);
    return false;
  },
  huge(k, pfn, vma, _pmd, _address, flags) {
    VM_BUG_ON(!stays_mlocked(vma, flags), "try_to_unmap of a huge page that is not to be split");
    mlock_vma_page(k, pfn, vma, true);
    return false;
  },
};

function stays_mlocked(vma: vm_area_struct, flags: number): boolean {
  return !(flags & TTU_IGNORE_MLOCK) && vm_flags_test(vma.vm_flags, VM_LOCKED);
}

function try_to_unmap_one(k: Machine, pfn: number, vma: vm_area_struct, address: number, flags: number): boolean {
  if (flags & TTU_SPLIT_HUGE_PMD) __split_huge_pmd(k, vma, address, false, pfn);
  return page_vma_mapped_walk(k, pfn, vma, address, false, unmapped_entries, flags) && folio_mapped(k.mem, pfn);
}

/**
 * Takes all mappings of a locked page (or huge page, by its head) away; true when none is left. `flags`: TTU_….
 * @kernel mm/rmap.c:try_to_unmap
 * @fidelity mirrored (no hardware poison)
 */
export function try_to_unmap(k: Machine, pfn: number, flags: number): boolean {
  rmap_walk(k, pfn, try_to_unmap_one, flags);
  return !folio_mapped(k.mem, pfn);
}

/** Puts a migration entry in the place of one entry; false where a pin forbids that. */
function migrate_pte(k: Machine, page: number, vma: vm_area_struct, t: pte_table, ptei: number): boolean {
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  const pteval = t.flags[ptei]!;
  const anon = k.mem.owners[s.mapping[i]!]?.is_anon === true;
  const exclusive = anon && (s.flags[i]! & PG_anon_exclusive) !== 0;
  pte_clear(t, ptei);
  if (pteval & _PAGE_DIRTY) s.flags[compound_head(k.mem, page) & PFN_SECTION_MASK]! |= PG_dirty;
  VM_BUG_ON((pteval & _PAGE_RW) !== 0 && anon && !exclusive, "writable entry of a page that is not exclusive");
  if (exclusive && !page_try_share_anon_rmap(k, page)) {
    set_pte(t, ptei, page, pteval);
    return false;
  }
  let entry = _PAGE_MIGRATION | (pteval & (_PAGE_ACCESSED | _PAGE_DIRTY));
  if (pteval & _PAGE_RW) entry |= SWP_WRITE;
  else if (exclusive) entry |= SWP_EXCLUSIVE;
  set_pte(t, ptei, page, entry);
  page_remove_rmap(k, page, vma);
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_page_drain_local(k);
  put_page(k, page);
  return true;
}

const migrated_entries: mapped_entry_visitor<null> = {
  pte: (k, page, vma, t, i) => migrate_pte(k, page, vma, t, i),
  huge: (k, _pfn, vma, pmd) => set_pmd_migration_entry(k, vma, pmd),
};

function try_to_migrate_one(k: Machine, pfn: number, vma: vm_area_struct, address: number, flags: number): boolean {
  if (flags & TTU_SPLIT_HUGE_PMD) __split_huge_pmd(k, vma, address, true, pfn);
  return page_vma_mapped_walk(k, pfn, vma, address, false, migrated_entries, null) && folio_mapped(k.mem, pfn);
}

/**
 * Replaces all mappings of a locked page (or huge page, by its head) by migration entries; true when none is left.
 * @kernel mm/rmap.c:try_to_migrate
 * @fidelity mirrored
 * @param flags TTU_…: with TTU_SPLIT_HUGE_PMD huge entries become tables of migration entries
 */
export function try_to_migrate(k: Machine, pfn: number, flags: number): boolean {
  rmap_walk(k, pfn, try_to_migrate_one, flags);
  return !folio_mapped(k.mem, pfn);
}

interface mkclean_arg {
  cleaned: number;
}

const cleaned_entries: mapped_entry_visitor<mkclean_arg> = {
  pte(_k, _page, _vma, t, i, _address, arg) {
    if (!(t.flags[i]! & (_PAGE_DIRTY | _PAGE_RW))) return true;
    t.flags[i]! &= ~(_PAGE_DIRTY | _PAGE_RW);
    arg.cleaned++;
    return true;
  },
  huge: () => true,
};

function page_mkclean_one(k: Machine, pfn: number, vma: vm_area_struct, address: number, arg: mkclean_arg): boolean {
  if (!vm_flags_test(vma.vm_flags, VM_SHARED)) return true;
  return page_vma_mapped_walk(k, pfn, vma, address, false, cleaned_entries, arg);
}

/**
 * Makes the shared mappings of a file's page clean and write-protected; how many were not.
 * @kernel mm/rmap.c:folio_mkclean
 * @fidelity mirrored (order 0: shmem is never written back)
 */
export function page_mkclean(k: Machine, pfn: number): number {
  const arg: mkclean_arg = { cleaned: 0 };
  const owner = page_owner_of(k.mem, pfn);
  if (owner === undefined || owner.is_anon) return 0;
  if (page_test(k.mem, pfn, PG_head)) not_modelled("mm/rmap.c: folio_mkclean of a huge page");
  rmap_walk(k, pfn, page_mkclean_one, arg);
  return arg.cleaned;
}

interface folio_referenced_arg {
  referenced: number;
}

/** Notes that the page stays where it is for an mlock; ends the walk. */
function referenced_locked(
  k: Machine,
  page: number,
  vma: vm_area_struct,
  arg: folio_referenced_arg,
  huge: boolean,
): false {
  mlock_vma_page(k, page, vma, huge);
  arg.referenced = -1;
  return false;
}

const referenced_entries: mapped_entry_visitor<folio_referenced_arg> = {
  pte(k, page, vma, t, i, _address, arg) {
    const part = page_test(k.mem, page, PG_head | PG_tail);
    if (!part && vm_flags_test(vma.vm_flags, VM_LOCKED)) return referenced_locked(k, page, vma, arg, false);
    if (t.flags[i]! & _PAGE_ACCESSED) {
      t.flags[i]! &= ~_PAGE_ACCESSED;
      arg.referenced++;
    }
    return true;
  },
  huge(k, pfn, vma, pmd, _address, arg) {
    if (vm_flags_test(vma.vm_flags, VM_LOCKED)) return referenced_locked(k, pfn, vma, arg, true);
    if (pmd.flags & _PAGE_ACCESSED) {
      pmd.flags &= ~_PAGE_ACCESSED;
      arg.referenced++;
    }
    return true;
  },
};

function folio_referenced_one(
  k: Machine,
  pfn: number,
  vma: vm_area_struct,
  address: number,
  arg: folio_referenced_arg,
): boolean {
  const before = arg.referenced;
  const more = page_vma_mapped_walk(k, pfn, vma, address, false, referenced_entries, arg);
  if (arg.referenced > before) arg.referenced = before + 1;
  return more;
}

/**
 * How many VMAs used their mappings since the last look; -1 where a locked VMA maps the page, which then is mlocked.
 * @kernel mm/rmap.c:folio_referenced
 * @fidelity simplified: the VMA flags are reduced to that -1
 */
export function folio_referenced(k: Machine, pfn: number): number {
  const arg: folio_referenced_arg = { referenced: 0 };
  rmap_walk(k, pfn, folio_referenced_one, arg);
  return arg.referenced;
}
