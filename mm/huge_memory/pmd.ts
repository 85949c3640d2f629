// SPDX-License-Identifier: GPL-2.0-only
/** What is done to whole huge entries: zapped, protected, moved, copied, looked up (mm/huge_memory.c). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { folio_mapcount, page_clear, page_set, page_test, PageAnon } from "../../include/linux/mem_map.js";
import {
  FOLL_FORCE,
  FOLL_PIN,
  FOLL_TOUCH,
  FOLL_WRITE,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  VM_WRITE,
  vma_is_anonymous,
} from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  _PAGE_SPECIAL,
  type huge_pmd,
  MM_ANONPAGES,
  type mm_struct,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { PG_anon_exclusive, PG_dirty } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EAGAIN, EMLINK, ENOMEM } from "../../uapi/errno.js";
import { folio_trylock, folio_unlock } from "../filemap.js";
import { gup_can_follow_protnone, gup_must_unshare, try_grab_page } from "../gup/follow.js";
import { mlock_folio, munlock_page } from "../mlock.js";
import { mm_counter_file } from "../memory/zap.js";
import { type mmu_gather, tlb_remove_page } from "../mmu_gather.js";
import {
  free_table_page,
  pmd_alloc,
  pte_alloc_page,
  pte_modify,
  pte_protnone,
  pte_write,
  set_pmd_at,
  touched,
} from "../pgtable.js";
import { page_remove_rmap, page_try_dup_anon_rmap } from "../rmap.js";
import { get_page, mark_page_lazyfree, put_page } from "../swap.js";
import { map_huge_pmd } from "./fault.js";
import { split_huge_page } from "./split.js";
import { __split_huge_pmd } from "./split_pmd.js";
import { mm_get_huge_zero_page } from "./zero.js";

const SHAREABLE = vm_flags_or(VM_MAYSHARE, VM_SHARED);

/** Frees the table that waited with an entry. */
function zap_deposited_table(k: Machine, mm: mm_struct, pmd: huge_pmd): void {
  if (pmd.deposit === 0) return;
  free_table_page(k, pmd.deposit, true);
  mm.pgtables_bytes -= PAGE_SIZE;
}

/**
 * Takes a huge entry out of an address space; its page's reference goes to the gather.
 * @kernel mm/huge_memory.c:zap_huge_pmd
 * @fidelity mirrored
 */
export function zap_huge_pmd(k: Machine, tlb: mmu_gather, vma: vm_area_struct, key: number, pmd: huge_pmd): void {
  const { mm } = tlb;
  mm.pgd.huge.delete(key);
  zap_deposited_table(k, mm, pmd);
  if (pmd.flags & _PAGE_SPECIAL && !(pmd.flags & _PAGE_MIGRATION)) return;
  const page = pmd.pfn;
  const present = !(pmd.flags & _PAGE_MIGRATION);
  if (present) page_remove_rmap(k, page, vma, true);
  if (PageAnon(k.mem, page)) {
    mm.rss_stat[MM_ANONPAGES]! -= HPAGE_PMD_NR;
  } else {
    mm.rss_stat[mm_counter_file(k, page)]! -= HPAGE_PMD_NR;
    if (present && pmd.flags & _PAGE_DIRTY) page_set(k.mem, page, PG_dirty);
  }
  if (present) tlb_remove_page(k, tlb, page);
}

/**
 * Gives a huge entry the permissions of `newprot`; pages changed.
 * @kernel mm/huge_memory.c:change_huge_pmd
 * @fidelity mirrored (no NUMA hinting, no userfaultfd)
 */
export function change_huge_pmd(k: Machine, vma: vm_area_struct, pmd: huge_pmd, newprot: number): number {
  if (pmd.flags & _PAGE_MIGRATION) {
    if (pmd.flags & SWP_WRITE) {
      pmd.flags = (pmd.flags & ~SWP_WRITE) | (PageAnon(k.mem, pmd.pfn) ? SWP_EXCLUSIVE : 0);
    }
    return 1;
  }
  pmd.flags = pte_modify(pmd.flags, newprot);
  VM_BUG_ON(vma_is_anonymous(vma) && (pmd.flags & _PAGE_RW) !== 0, "mprotect made a huge entry writable");
  return HPAGE_PMD_NR;
}

/** Moves a huge entry to an address where nothing is. @kernel mm/huge_memory.c:move_huge_pmd @fidelity mirrored */
export function move_huge_pmd(mm: mm_struct, old_addr: number, new_addr: number): void {
  const pmd = mm.pgd.huge.get(old_addr / PMD_SIZE)!;
  mm.pgd.huge.delete(old_addr / PMD_SIZE);
  set_pmd_at(mm, new_addr, pmd);
}

/** Copies a migration entry, which becomes read-only on both sides. */
function copy_migration_pmd(k: Machine, dst_vma: vm_area_struct, addr: number, pmd: huge_pmd, pgtable: number): void {
  pmd.flags &= ~(SWP_WRITE | SWP_EXCLUSIVE);
  dst_vma.vm_mm.rss_stat[MM_ANONPAGES]! += HPAGE_PMD_NR;
  map_huge_pmd(k, dst_vma, addr, pmd.pfn, pmd.flags, pgtable);
}

/**
 * Copies a huge entry to a child's VMA, write-protecting both sides.
 * @kernel mm/huge_memory.c:copy_huge_pmd
 * @fidelity mirrored
 * @returns 0; -ENOMEM; -EAGAIN: the page may be pinned, so the entry was split for the small entries to be copied
 */
export function copy_huge_pmd(
  k: Machine,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  addr: number,
  pmd: huge_pmd,
): number {
  if (!vma_is_anonymous(dst_vma)) return 0;
  const dst_mm = dst_vma.vm_mm;
  if (!pmd_alloc(k, dst_mm, addr)) return -ENOMEM;
  const pgtable = pte_alloc_page(k);
  if (pgtable === 0) return -ENOMEM;
  if (pmd.flags & _PAGE_MIGRATION) {
    copy_migration_pmd(k, dst_vma, addr, pmd, pgtable);
    return 0;
  }
  if (pmd.flags & _PAGE_SPECIAL) {
    mm_get_huge_zero_page(k, dst_mm);
  } else {
    get_page(k, pmd.pfn);
    if (!page_try_dup_anon_rmap(k, pmd.pfn, true, src_vma)) {
      put_page(k, pmd.pfn);
      free_table_page(k, pgtable, true);
      __split_huge_pmd(k, src_vma, addr, false, 0);
      return -EAGAIN;
    }
    dst_mm.rss_stat[MM_ANONPAGES]! += HPAGE_PMD_NR;
  }
  pmd.flags &= ~_PAGE_RW;
  map_huge_pmd(k, dst_vma, addr, pmd.pfn, pmd.flags & ~_PAGE_ACCESSED, pgtable);
  return 0;
}

/**
 * MADV_FREE on [addr, next) of a huge entry. False: small entries are to be looked at, if there are any now.
 * @kernel mm/huge_memory.c:madvise_free_huge_pmd
 * @fidelity mirrored
 */
export function madvise_free_huge_pmd(k: Machine, pmd: huge_pmd, addr: number, next: number): boolean {
  if (pmd.flags & (_PAGE_SPECIAL | _PAGE_MIGRATION)) return false;
  const page = pmd.pfn;
  if (folio_mapcount(k.mem, page) !== 1 || !folio_trylock(k, page)) return false;
  if (next - addr !== PMD_SIZE) {
    get_page(k, page);
    split_huge_page(k, page);
    folio_unlock(k, page);
    put_page(k, page);
    return false;
  }
  page_clear(k.mem, page, PG_dirty);
  folio_unlock(k, page);
  pmd.flags &= ~(_PAGE_ACCESSED | _PAGE_DIRTY);
  mark_page_lazyfree(k, page);
  return true;
}

/** Counts or uncounts a huge entry of a VMA that is being locked or unlocked. @kernel mm/mlock.c:mlock_pte_range */
export function mlock_huge_pmd(k: Machine, vma: vm_area_struct, pmd: huge_pmd): void {
  if (pmd.flags & (_PAGE_SPECIAL | _PAGE_MIGRATION)) return;
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_folio(k, pmd.pfn);
  else munlock_page(k, pmd.pfn);
}

/** @kernel mm/huge_memory.c:can_follow_write_pmd @fidelity mirrored (no soft-dirty, no userfaultfd) */
function can_follow_write_pmd(k: Machine, pmd: huge_pmd, vma: vm_area_struct, flags: number): boolean {
  if (pte_write(pmd.flags)) return true;
  if (!(flags & FOLL_FORCE) || vm_flags_test(vma.vm_flags, SHAREABLE)) return false;
  if (!vm_flags_test(vma.vm_flags, VM_MAYWRITE) || vm_flags_test(vma.vm_flags, VM_WRITE)) return false;
  return PageAnon(k.mem, pmd.pfn) && page_test(k.mem, pmd.pfn, PG_anon_exclusive);
}

/**
 * The page that a present huge entry maps at an address, with the reference or pin that `flags` ask for.
 * @kernel mm/huge_memory.c:follow_trans_huge_pmd
 * @fidelity mirrored (no core dumps)
 * @returns page frame; 0 if a fault is needed; -EMLINK if unsharing is; -ENOMEM
 */
export function follow_trans_huge_pmd(
  k: Machine,
  vma: vm_area_struct,
  addr: number,
  pmd: huge_pmd,
  flags: number,
): number {
  const page = pmd.pfn;
  if (flags & FOLL_WRITE && !can_follow_write_pmd(k, pmd, vma, flags)) return 0;
  if (pte_protnone(pmd.flags) && !gup_can_follow_protnone(flags)) return 0;
  if (!pte_write(pmd.flags) && gup_must_unshare(k, flags, page)) return -EMLINK;
  const shared = PageAnon(k.mem, page) && !page_test(k.mem, page, PG_anon_exclusive);
  VM_BUG_ON((flags & FOLL_PIN) !== 0 && shared, "pinning a huge page that is not exclusive");
  if (!try_grab_page(k, page, flags)) return -ENOMEM;
  if (flags & FOLL_TOUCH) pmd.flags = touched(k, pmd.flags, (flags & FOLL_WRITE) !== 0);
  return page + Math.floor((addr % PMD_SIZE) / PAGE_SIZE);
}
