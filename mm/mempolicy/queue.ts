// SPDX-License-Identifier: GPL-2.0-only
/** Finding the pages of a range that lie on the wrong node, and isolating them to be moved (mm/mempolicy.c). */
import { PFN_SECTION_MASK, compound_head, page_mapcount, page_zone } from "../../include/linux/mem_map.js";
import { is_vm_hugetlb_page, VM_IO, VM_PFNMAP } from "../../include/linux/mm.js";
import {
  _PAGE_MIGRATION,
  _PAGE_SPECIAL,
  type huge_pmd,
  type mm_struct,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import type { page_list } from "../../include/linux/mmzone.js";
import { PG_reserved } from "../../include/linux/page-flags.js";
import { PMD_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";
import { vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { list_add_tail } from "../../lib/pagelist.js";
import { EFAULT, EIO } from "../../uapi/errno.js";
import { MPOL_MF_MOVE, MPOL_MF_MOVE_ALL, MPOL_MF_STRICT } from "../../uapi/mempolicy.js";
import { find_vma } from "../mmap.js";
import { next_pmd } from "../pagewalk.js";
import { pte_index, pte_present } from "../pgtable.js";
import { folio_isolate_lru } from "../swap.js";
import { mod_isolated } from "../vmstat.js";

export const MF_VALID = MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL;
export const MF_MOVES = MPOL_MF_MOVE | MPOL_MF_MOVE_ALL;
const NOT_MEMORY = vm_flags_or(VM_IO, VM_PFNMAP);

/** What to look for in a range. */
export interface queue_pages {
  /** Receives the pages, isolated. */
  readonly pagelist: page_list;
  /** MPOL_MF_… */
  readonly flags: number;
  /** Nodes, a bit each, and whether pages on these are wanted or pages on any other. */
  readonly nmask: number;
  readonly invert: boolean;
  /** May there be holes? */
  readonly discontig_ok: boolean;
  /** The range, bytes. */
  readonly start: number;
  readonly end: number;
}

/** How a walk goes. */
interface walk {
  first: vm_area_struct | undefined;
  has_unmovable: boolean;
}

/** Can pages of the mapping be moved to another node? @kernel mm/mempolicy.c:vma_migratable @fidelity mirrored: every file may use the highest zone */
export function vma_migratable(vma: vm_area_struct): boolean {
  return !vm_flags_test(vma.vm_flags, NOT_MEMORY) && !is_vm_hugetlb_page(vma);
}

/** Isolates a page that nobody else maps, or any. False: it cannot be, and that is an error. @kernel mm/mempolicy.c:migrate_folio_add @fidelity mirrored */
function migrate_folio_add(k: Machine, qp: queue_pages, head: number): boolean {
  if (!(qp.flags & MPOL_MF_MOVE_ALL) && page_mapcount(k.mem, head) !== 1) return true;
  if (!folio_isolate_lru(k, head)) return !(qp.flags & MPOL_MF_STRICT);
  list_add_tail(k.mem, qp.pagelist, head);
  mod_isolated(k, head, 1);
  return true;
}

function queue_pages_required(k: Machine, qp: queue_pages, pfn: number): boolean {
  const on = (qp.nmask & (1 << page_zone(k.mem, pfn).node)) !== 0;
  return on !== qp.invert;
}

/** @kernel mm/mempolicy.c:queue_folios_pmd @fidelity mirrored */
function queue_folios_pmd(k: Machine, qp: queue_pages, w: walk, vma: vm_area_struct, pmd: huge_pmd): number {
  if (pmd.flags & _PAGE_MIGRATION) return -EIO;
  if (pmd.flags & _PAGE_SPECIAL || !queue_pages_required(k, qp, pmd.pfn)) return 0;
  if (!(qp.flags & MF_MOVES)) return -EIO;
  if (!vma_migratable(vma) || !migrate_folio_add(k, qp, pmd.pfn)) w.has_unmovable = true;
  return 0;
}

/** The entries [from, to) of one table. @kernel mm/mempolicy.c:queue_folios_pte_range @fidelity mirrored: of 6.1.192 */
function queue_folios_pte_range(
  k: Machine,
  qp: queue_pages,
  w: walk,
  vma: vm_area_struct,
  key: number,
  from: number,
  to: number,
): number {
  const t = vma.vm_mm.pgd.pte.get(key)!;
  for (let i = from; i < to; i++) {
    const flags = t.flags[i]!;
    if (!pte_present(flags) || flags & _PAGE_SPECIAL) continue;
    const head = compound_head(k.mem, t.pfn[i]!);
    if (k.mem.section(head).flags[head & PFN_SECTION_MASK]! & PG_reserved) continue;
    if (!queue_pages_required(k, qp, head)) continue;
    if (!(qp.flags & MF_MOVES)) return -EIO;
    if (!vma_migratable(vma)) w.has_unmovable = true;
    if (!migrate_folio_add(k, qp, head)) w.has_unmovable = true;
  }
  return 0;
}

/** Walks the tables of [start, end) of a VMA. 0 or -EIO. */
function walk_vma(k: Machine, qp: queue_pages, w: walk, vma: vm_area_struct, start: number, end: number): number {
  const { pgd } = vma.vm_mm;
  const first = Math.floor(start / PMD_SIZE);
  const last = Math.floor((end - 1) / PMD_SIZE);
  for (let key = next_pmd(vma.vm_mm, first, last); key >= 0; key = next_pmd(vma.vm_mm, key + 1, last)) {
    const huge = pgd.huge.get(key);
    const from = key === first ? pte_index(start) : 0;
    const to = key === last ? pte_index(end - 1) + 1 : PTRS_PER_PTE;
    const err =
      huge === undefined ? queue_folios_pte_range(k, qp, w, vma, key, from, to) : queue_folios_pmd(k, qp, w, vma, huge);
    if (err !== 0) return err;
  }
  return 0;
}

/** Are there holes that must not be, or (1) is there nothing to look at? @kernel mm/mempolicy.c:queue_pages_test_walk @fidelity mirrored */
function queue_pages_test_walk(qp: queue_pages, w: walk, vma: vm_area_struct): number {
  if (w.first === undefined) {
    w.first = vma;
    if (!qp.discontig_ok && qp.start < vma.vm_start) return -EFAULT;
  }
  if (!qp.discontig_ok && vma.vm_end < qp.end) {
    const next = find_vma(vma.vm_mm, vma.vm_end);
    if (next === undefined || vma.vm_end < next.vm_start) return -EFAULT;
  }
  if (!vma_migratable(vma) && !(qp.flags & MPOL_MF_STRICT)) return 1;
  return qp.flags & MF_VALID ? 0 : 1;
}

/**
 * Isolates the pages of a range that lie where they should not, or with neither MPOL_MF_MOVE nor MPOL_MF_MOVE_ALL says if
 * there are any.
 * @kernel mm/mempolicy.c:queue_pages_range
 * @fidelity mirrored
 * @returns 0; 1: pages cannot be moved that should be; -EIO: there are such pages, and nobody asked to move them; -EFAULT: holes
 */
export function queue_pages_range(k: Machine, mm: mm_struct, qp: queue_pages): number {
  const w: walk = { first: undefined, has_unmovable: false };
  let err = 0;
  let at = qp.start;
  while (err >= 0 && at >= 0 && at < qp.end) {
    const vma = find_vma(mm, at);
    if (vma === undefined || vma.vm_start >= qp.end) break;
    const from = Math.max(at, vma.vm_start);
    at = vma.vm_end;
    err = queue_pages_test_walk(qp, w, vma);
    if (err === 0) err = walk_vma(k, qp, w, vma, from, Math.min(vma.vm_end, qp.end));
  }
  if (w.has_unmovable) return 1;
  return w.first === undefined ? -EFAULT : Math.min(err, 0);
}
