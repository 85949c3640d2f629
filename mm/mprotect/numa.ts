// SPDX-License-Identifier: GPL-2.0-only
/** Marking entries for NUMA hinting faults (mm/mprotect.c, MM_CP_PROT_NUMA). */
import { page_ref_count, page_test, page_zone, PageAnon } from "../../include/linux/mem_map.js";
import { VM_SHARED } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_MIGRATION,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SPECIAL,
  type huge_pmd,
  type pte_table,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { PG_dirty, PG_ksm, PG_swapbacked } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR, PMD_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { NUMA_HUGE_PTE_UPDATES, NUMA_PTE_UPDATES } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { __split_huge_pmd } from "../huge_memory/split_pmd.js";
import { is_cow_mapping } from "../memory/copy.js";
import { numa_node_id } from "../page_alloc/nodes.js";
import { next_pmd } from "../pagewalk.js";
import { pte_index, pte_modify, pte_present, pte_protnone } from "../pgtable.js";
import { count_vm_events } from "../vmstat.js";

const PAGE_NONE = _PAGE_PRESENT | _PAGE_PROTNONE | _PAGE_ACCESSED;

/** An entry that faults on the next access, and remembers that it was writable. @kernel include/linux/pgtable.h:pte_mk_savedwrite */
function hinting(flags: number): number {
  return pte_modify(flags, PAGE_NONE) | (flags & _PAGE_RW);
}

/** A migration entry that is writable no more. */
function without_write(k: Machine, pfn: number, flags: number): number {
  return (flags & ~(SWP_WRITE | SWP_EXCLUSIVE)) | (PageAnon(k.mem, pfn) ? SWP_EXCLUSIVE : 0);
}

/** Is it worth a fault to learn who uses the page? @kernel mm/mprotect.c:change_pte_range */
function wants_hint(k: Machine, pfn: number, cow: boolean, target_node: number): boolean {
  if (page_test(k.mem, pfn, PG_ksm)) return false;
  if (cow && page_ref_count(k.mem, pfn) !== 1) return false;
  if (!page_test(k.mem, pfn, PG_swapbacked) && page_test(k.mem, pfn, PG_dirty)) return false;
  return page_zone(k.mem, pfn).node !== target_node;
}

/** @kernel mm/mprotect.c:change_pte_range @fidelity mirrored: with MM_CP_PROT_NUMA */
function hint_pte_range(
  k: Machine,
  t: pte_table,
  from: number,
  to: number,
  vma: vm_area_struct,
  target_node: number,
): number {
  const cow = is_cow_mapping(vma);
  let pages = 0;
  for (let i = from; i < to; i++) {
    const flags = t.flags[i]!;
    const pfn = t.pfn[i]!;
    if (pte_present(flags)) {
      if (pte_protnone(flags) || flags & _PAGE_SPECIAL || !wants_hint(k, pfn, cow, target_node)) continue;
      t.flags[i] = hinting(flags);
      pages++;
    } else if (flags & _PAGE_MIGRATION && flags & SWP_WRITE) {
      t.flags[i] = without_write(k, pfn, flags);
      pages++;
    }
  }
  return pages;
}

/** @kernel mm/huge_memory.c:change_huge_pmd @fidelity mirrored: with MM_CP_PROT_NUMA */
function hint_huge_pmd(k: Machine, pmd: huge_pmd): number {
  if (pmd.flags & _PAGE_MIGRATION) {
    if (pmd.flags & SWP_WRITE) pmd.flags = without_write(k, pmd.pfn, pmd.flags);
    return 0;
  }
  if (k.arch.no_thp_migration === true || pmd.flags & _PAGE_SPECIAL || pte_protnone(pmd.flags)) return 0;
  pmd.flags = hinting(pmd.flags);
  return HPAGE_PMD_NR;
}

/**
 * Makes the next access to each page of a range fault, so that it shows which node needs the page. Left alone: pages of
 * private mappings that anybody else has a reference to, such as a pin; dirty ones of files; those of private mappings of a
 * process with one thread that are where it runs.
 * @kernel mm/mempolicy.c:change_prot_numa
 * @fidelity mirrored: no memory tiers
 * @param start bytes, in the VMA; `end` likewise
 * @returns pages marked
 */
export function change_prot_numa(k: Machine, vma: vm_area_struct, start: number, end: number): number {
  const mm = vma.vm_mm;
  const alone = !vm_flags_test(vma.vm_flags, VM_SHARED) && mm.mm_users === 1;
  const target_node = alone ? numa_node_id(k) : -1;
  const first = Math.floor(start / PMD_SIZE);
  const last = Math.floor((end - 1) / PMD_SIZE);
  let pages = 0;
  let huge = 0;
  for (let key = next_pmd(mm, first, last); key >= 0; key = next_pmd(mm, key + 1, last)) {
    const base = key * PMD_SIZE;
    const pmd = mm.pgd.huge.get(key);
    if (pmd !== undefined && start <= base && end >= base + PMD_SIZE) {
      const n = hint_huge_pmd(k, pmd);
      pages += n;
      huge += n / HPAGE_PMD_NR;
      continue;
    }
    if (pmd !== undefined) __split_huge_pmd(k, vma, base, false, 0);
    const t = mm.pgd.pte.get(key);
    if (t === undefined) continue;
    const to = key === last ? pte_index(end - 1) + 1 : PTRS_PER_PTE;
    pages += hint_pte_range(k, t, key === first ? pte_index(start) : 0, to, vma, target_node);
  }
  count_vm_events(k, NUMA_PTE_UPDATES, pages);
  count_vm_events(k, NUMA_HUGE_PTE_UPDATES, huge);
  return pages;
}
