// SPDX-License-Identifier: GPL-2.0-only
/** Migration entries in page tables: waiting for them, and turning them back (mm/migrate.c: remove_migration_ptes). */
import { would_wait } from "../../include/linux/bug.js";
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { VM_LOCKED, VM_WRITE } from "../../include/linux/mm.js";
import {
  SWP_EXCLUSIVE,
  SWP_WRITE,
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  type mm_struct,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { PG_dirty, PG_tail } from "../../include/linux/page-flags.js";
import { RMAP_EXCLUSIVE, RMAP_NONE } from "../../include/linux/rmap.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { remove_migration_pmd } from "../huge_memory/migrate.js";
import { mlock_page_drain_local } from "../mlock.js";
import { type mapped_entry_visitor, page_vma_mapped_walk } from "../page_vma_mapped.js";
import { pte_index, pte_offset, vm_page_prot } from "../pgtable.js";
import { page_add_anon_rmap, page_add_file_rmap, rmap_walk } from "../rmap.js";

/** Entry flags for the page now, from those of the migration entry. */
export function restored_pte(vma: vm_area_struct, entry: number, dirty: boolean): number {
  let pte = vm_page_prot(vma) & (_PAGE_PRESENT | _PAGE_PROTNONE);
  pte |= entry & _PAGE_ACCESSED;
  if (dirty) pte |= entry & _PAGE_DIRTY;
  if (entry & SWP_WRITE && vm_flags_test(vma.vm_flags, VM_WRITE)) pte |= _PAGE_RW;
  return pte;
}

/**
 * Turns one migration entry into an entry for `dst`, which may be part of a huge page.
 * @kernel mm/migrate.c:remove_migration_pte
 * @fidelity simplified: no soft-dirty, no userfaultfd
 */
function remove_migration_pte(
  k: Machine,
  dst: number,
  vma: vm_area_struct,
  table: pte_table,
  i: number,
  address: number,
): boolean {
  const entry = table.flags[i]!;
  const s = k.mem.section(dst);
  const j = dst & PFN_SECTION_MASK;
  const head = s.flags[j]! & PG_tail ? s.private_[j]! & PFN_SECTION_MASK : j;
  s.addRefs(head, 1);
  const pte = restored_pte(vma, entry, (s.flags[head]! & PG_dirty) !== 0);
  if (k.mem.owners[s.mapping[j]!]?.is_anon === true) {
    page_add_anon_rmap(k, dst, vma, address, entry & (SWP_WRITE | SWP_EXCLUSIVE) ? RMAP_EXCLUSIVE : RMAP_NONE);
  } else page_add_file_rmap(k, dst, vma);
  table.pfn[i] = dst;
  table.flags[i] = pte;
  if (vm_flags_test(vma.vm_flags, VM_LOCKED)) mlock_page_drain_local(k);
  return true;
}

/** Turns the migration entries for a page into entries for the one that is so many page frames ahead of it. */
const remove_migration_entries: mapped_entry_visitor<number> = {
  pte: (k, page, vma, table, i, address, ahead) => remove_migration_pte(k, page + ahead, vma, table, i, address),
  huge(k, src, vma, pmd, address, ahead) {
    remove_migration_pmd(k, vma, address, pmd, src + ahead);
    return true;
  },
};

function remove_migration_one(k: Machine, dst: number, vma: vm_area_struct, address: number, src: number): boolean {
  return page_vma_mapped_walk(k, src, vma, address, true, remove_migration_entries, dst - src);
}

/**
 * Turns all migration entries for `src` into entries for `dst` (which may be the same page).
 * @kernel mm/migrate.c:remove_migration_ptes
 * @fidelity mirrored
 * @param src page frame that the entries name, or the head of a huge page; `dst` likewise
 */
export function remove_migration_ptes(k: Machine, src: number, dst: number): void {
  rmap_walk(k, dst, remove_migration_one, src);
}

/**
 * Waits until the page whose migration entry stands at an address has been migrated. Called with mmap_lock held.
 * @kernel mm/migrate.c:migration_entry_wait
 * @fidelity simplified: the wait is a yield point; whoever migrates must be done when it returns
 * @param address bytes
 */
export function migration_entry_wait(k: Machine, mm: mm_struct, address: number): void {
  const table = pte_offset(mm, address);
  const i = pte_index(address);
  if (table === undefined || !(table.flags[i]! & _PAGE_MIGRATION)) return;
  k.hooks.yieldPoint("migration_entry_wait", { address, pfn: table.pfn[i] });
  if (table.flags[i]! & _PAGE_MIGRATION) would_wait("migration_entry_wait");
}
