// SPDX-License-Identifier: GPL-2.0-only
/** Which VMAs may hold huge pages, and collapsing on request (mm/khugepaged.c, mm/huge_memory.c:hugepage_vma_check). */
import { not_modelled, VM_BUG_ON } from "../include/linux/bug.js";
import { page_mapcount, page_ref_count, page_test, PageAnon } from "../include/linux/mem_map.js";
import { vma_is_anonymous } from "../include/linux/mm.js";
import { _PAGE_RW, _PAGE_SPECIAL, type vm_area_struct } from "../include/linux/mm_types.js";
import { PG_locked, PG_lru, PG_swapcache } from "../include/linux/page-flags.js";
import { MMF_VM_HUGEPAGE } from "../include/linux/sched/coredump.js";
import { PMD_SIZE, PTRS_PER_PTE } from "../include/linux/types.js";
import type { vm_flags_t } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EAGAIN, EINVAL } from "../uapi/errno.js";
import { hugepage_flags_enabled, hugepage_vma_check } from "./huge_memory/policy.js";
import { pte_none, pte_offset, pte_present } from "./pgtable.js";
import { lru_add_drain_all } from "./swap.js";

/**
 * Puts an address space on khugepaged's list when one of its VMAs can hold huge pages.
 * @kernel mm/khugepaged.c:khugepaged_enter_vma
 * @fidelity simplified: only the MMF_VM_HUGEPAGE flag; khugepaged does not run
 */
export function khugepaged_enter_vma(k: Machine, vma: vm_area_struct, flags: vm_flags_t): void {
  if (vma.vm_mm.flags & MMF_VM_HUGEPAGE || !hugepage_flags_enabled(k)) return;
  if (hugepage_vma_check(k, vma, flags, { enforce_sysfs: true })) vma.vm_mm.flags |= MMF_VM_HUGEPAGE;
}

/** The outcomes of a scan that MADV_COLLAPSE tells apart; {@link SCAN_OTHER} ends it, the others go on. */
const SCAN_AGAIN = -EAGAIN;
const SCAN_LEAVE = -EINVAL;
const SCAN_OTHER = 1;

/** One page of a scan: 0, or one of the SCAN_ outcomes. @kernel mm/khugepaged.c:hpage_collapse_scan_pmd */
function scan_page(k: Machine, pfn: number): number {
  const m = k.mem;
  if (!page_test(m, pfn, PG_lru) || page_test(m, pfn, PG_locked)) return SCAN_AGAIN;
  if (!PageAnon(m, pfn)) return SCAN_OTHER;
  const expected = page_mapcount(m, pfn) + (page_test(m, pfn, PG_swapcache) ? 1 : 0);
  return page_ref_count(m, pfn) === expected ? 0 : SCAN_AGAIN;
}

function scan_pmd(k: Machine, vma: vm_area_struct, addr: number): number {
  const table = pte_offset(vma.vm_mm, addr);
  if (table === undefined) return SCAN_LEAVE;
  let writable = false;
  for (let i = 0; i < PTRS_PER_PTE; i++) {
    const flags = table.flags[i]!;
    if (pte_none(table, i) || !pte_present(flags) || flags & _PAGE_SPECIAL) continue;
    writable ||= (flags & _PAGE_RW) !== 0;
    const result = scan_page(k, table.pfn[i]!);
    if (result) return result;
  }
  if (!writable) return SCAN_LEAVE;
  return not_modelled("mm/khugepaged.c: collapse_huge_page");
}

/**
 * MADV_COLLAPSE on [start, end) of one VMA.
 * @kernel mm/khugepaged.c:madvise_collapse
 * @fidelity simplified: says exactly what it would refuse; where a huge page would come of it, it is not modelled
 * @returns 0, -EINVAL, -EAGAIN
 */
export function madvise_collapse(k: Machine, vma: vm_area_struct, start: number, end: number): number {
  VM_BUG_ON(vma.vm_start > start || vma.vm_end < end, "madvise_collapse: outside of the VMA");
  if (!hugepage_vma_check(k, vma, vma.vm_flags, {})) return -EINVAL;
  lru_add_drain_all(k);
  const hstart = Math.ceil(start / PMD_SIZE) * PMD_SIZE;
  const hend = Math.floor(end / PMD_SIZE) * PMD_SIZE;
  let last_fail = -EINVAL;
  for (let addr = hstart; addr < hend; addr += PMD_SIZE) {
    if (!vma_is_anonymous(vma)) not_modelled("mm/khugepaged.c: collapse_file");
    const result = scan_pmd(k, vma, addr);
    last_fail = result === SCAN_AGAIN ? -EAGAIN : -EINVAL;
    if (result === SCAN_OTHER) break;
  }
  return hstart === hend ? 0 : last_fail;
}
