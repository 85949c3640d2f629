// SPDX-License-Identifier: GPL-2.0-only
/** Huge migration entries: made, waited for, and turned back (mm/huge_memory.c, mm/migrate.c). */
import { VM_BUG_ON, would_wait } from "../../include/linux/bug.js";
import { page_test, PageAnon } from "../../include/linux/mem_map.js";
import { VM_LOCKED, VM_WRITE } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  type huge_pmd,
  type mm_struct,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { PG_anon_exclusive, PG_dirty } from "../../include/linux/page-flags.js";
import { RMAP_COMPOUND, RMAP_EXCLUSIVE } from "../../include/linux/rmap.js";
import { PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { mlock_page_drain_local } from "../mlock.js";
import { set_page_dirty } from "../page-writeback.js";
import { pmd_huge, vm_page_prot } from "../pgtable.js";
import { page_add_anon_rmap, page_add_file_rmap, page_remove_rmap, page_try_share_anon_rmap } from "../rmap.js";
import { get_page, put_page } from "../swap.js";

/**
 * Puts a migration entry in a present huge entry's place; false where a pin forbids that.
 * @kernel mm/huge_memory.c:set_pmd_migration_entry
 * @fidelity mirrored (no userfaultfd, no soft-dirty)
 */
export function set_pmd_migration_entry(k: Machine, vma: vm_area_struct, pmd: huge_pmd): boolean {
  const page = pmd.pfn;
  const old = pmd.flags;
  const exclusive = PageAnon(k.mem, page) && page_test(k.mem, page, PG_anon_exclusive);
  if (exclusive && !page_try_share_anon_rmap(k, page)) return false;
  if (old & _PAGE_DIRTY) set_page_dirty(k, page);
  let entry = _PAGE_MIGRATION | (old & (_PAGE_ACCESSED | _PAGE_DIRTY));
  if (old & _PAGE_RW) entry |= SWP_WRITE;
  else if (exclusive) entry |= SWP_EXCLUSIVE;
  pmd.flags = entry;
  page_remove_rmap(k, page, vma, true);
  put_page(k, page);
  return true;
}

/**
 * Turns a huge migration entry into an entry for `dst`, the head of a huge page.
 * @kernel mm/huge_memory.c:remove_migration_pmd
 * @fidelity mirrored (no userfaultfd, no soft-dirty)
 */
export function remove_migration_pmd(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  pmd: huge_pmd,
  dst: number,
): void {
  const entry = pmd.flags;
  get_page(k, dst);
  let flags = vm_page_prot(vma) & ~(_PAGE_RW | _PAGE_ACCESSED);
  flags |= entry & _PAGE_ACCESSED;
  if (page_test(k.mem, dst, PG_dirty)) flags |= entry & _PAGE_DIRTY;
  if (entry & SWP_WRITE && vm_flags_test(vma.vm_flags, VM_WRITE)) flags |= _PAGE_RW;
  if (PageAnon(k.mem, dst)) {
    const exclusive = entry & (SWP_WRITE | SWP_EXCLUSIVE) ? RMAP_EXCLUSIVE : 0;
    page_add_anon_rmap(k, dst, vma, Math.floor(address / PMD_SIZE) * PMD_SIZE, RMAP_COMPOUND | exclusive);
    VM_BUG_ON((flags & _PAGE_RW) !== 0 && exclusive === 0, "a writable huge entry of a page that is not exclusive");
  } else {
    page_add_file_rmap(k, dst, vma, true);
  }
  pmd.pfn = dst;
  pmd.flags = flags;
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_page_drain_local(k);
}

/**
 * Waits until the huge page whose migration entry stands at an address has been migrated; mmap_lock is held.
 * @kernel mm/migrate.c:pmd_migration_entry_wait
 * @fidelity simplified: the wait is a yield point; whoever migrates must be done when it returns
 */
export function pmd_migration_entry_wait(k: Machine, mm: mm_struct, address: number): void {
  const pmd = pmd_huge(mm, address);
  if (pmd === undefined || !(pmd.flags & _PAGE_MIGRATION)) return;
  k.hooks.yieldPoint("migration_entry_wait", { address, pfn: pmd.pfn });
  const now = pmd_huge(mm, address);
  if (now !== undefined && now.flags & _PAGE_MIGRATION) would_wait("migration_entry_wait");
}
