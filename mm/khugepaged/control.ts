// SPDX-License-Identifier: GPL-2.0-only
/** What a collapse comes to, and what both kinds of it need (mm/khugepaged.c). */
import { GFP_TRANSHUGE } from "../../include/linux/gfp.js";
import { page_zone } from "../../include/linux/mem_map.js";
import { vma_is_anonymous } from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { HPAGE_PMD_ORDER } from "../../include/linux/types.js";
import { THP_COLLAPSE_ALLOC, THP_COLLAPSE_ALLOC_FAILED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { EAGAIN, EINVAL, ENOMEM } from "../../uapi/errno.js";
import { hugepage_vma_check, transhuge_vma_suitable } from "../huge_memory/policy.js";
import { find_vma } from "../mmap.js";
import { __alloc_pages } from "../page_alloc.js";
import { pmd_huge, pte_offset, pte_present, PUD_SIZE } from "../pgtable.js";
import { count_vm_event } from "../vmstat.js";

/** @kernel mm/khugepaged.c:scan_result */
export type scan_result =
  | "fail"
  | "succeed"
  | "pmd_null"
  | "pmd_none"
  | "pmd_mapped"
  | "exceed_none_pte"
  | "exceed_swap_pte"
  | "exceed_shared_pte"
  | "pte_non_present"
  | "pte_mapped_hugepage"
  | "page_ro"
  | "lack_referenced_page"
  | "page_null"
  | "page_count"
  | "page_lru"
  | "page_lock"
  | "page_anon"
  | "page_compound"
  | "any_process"
  | "vma_null"
  | "vma_check"
  | "address_range"
  | "del_page_lru"
  | "alloc_huge_page_fail"
  | "truncated";

/** One collapse on its way. @kernel mm/khugepaged.c:collapse_control */
export class collapse_control {
  /** khugepaged obeys sysfs and its limits; MADV_COLLAPSE does not. */
  readonly is_khugepaged: boolean;
  /** Pages seen on each node. */
  node_load: number[] = [];
  constructor(is_khugepaged: boolean) {
    this.is_khugepaged = is_khugepaged;
  }
}

/** Does the caller still hold mmap_lock? */
export interface mmap_locked {
  locked: boolean;
}

/** Counts a page for the choice of the node. */
export function count_node(k: Machine, cc: collapse_control, pfn: number): void {
  const { node } = page_zone(k.mem, pfn);
  cc.node_load[node] = (cc.node_load[node] ?? 0) + 1;
}

/** The node that most pages are on. @kernel mm/khugepaged.c:hpage_collapse_find_target_node */
function target_node(k: Machine, cc: collapse_control): number {
  let best = 0;
  for (let n = 1; n < k.nodes.length; n++) if ((cc.node_load[n] ?? 0) > (cc.node_load[best] ?? 0)) best = n;
  return best;
}

/** All nodes that have as many: the huge page may be on no other. @kernel mm/khugepaged.c:collapse_control.alloc_nmask */
function alloc_nmask(k: Machine, cc: collapse_control): number {
  const most = cc.node_load[target_node(k, cc)] ?? 0;
  return k.nodes.reduce((mask, { node_id }) => mask | ((cc.node_load[node_id] ?? 0) === most ? 1 << node_id : 0), 0);
}

/**
 * Allocates the huge page; 0 when there is none.
 * @kernel mm/khugepaged.c:alloc_charge_hpage
 * @fidelity simplified: khugepaged may defragment, as is the default; no memory cgroups
 */
export function alloc_charge_hpage(k: Machine, cc: collapse_control): number {
  const page = __alloc_pages(k, GFP_TRANSHUGE, HPAGE_PMD_ORDER, target_node(k, cc), alloc_nmask(k, cc));
  count_vm_event(k, page === 0 ? THP_COLLAPSE_ALLOC_FAILED : THP_COLLAPSE_ALLOC);
  return page;
}

/**
 * The VMA at an address, if it still may have a huge page there; otherwise why not.
 * @kernel mm/khugepaged.c:hugepage_vma_revalidate
 * @fidelity mirrored
 */
export function hugepage_vma_revalidate(
  k: Machine,
  mm: mm_struct,
  address: number,
  expect_anon: boolean,
  cc: collapse_control,
): vm_area_struct | scan_result {
  if (mm.mm_users === 0) return "any_process";
  const vma = find_vma(mm, address);
  if (vma === undefined) return "vma_null";
  if (!transhuge_vma_suitable(vma, address)) return "address_range";
  if (!hugepage_vma_check(k, vma, vma.vm_flags, { enforce_sysfs: cc.is_khugepaged })) return "vma_check";
  if (expect_anon && (vma.anon_vma === null || !vma_is_anonymous(vma))) return "page_anon";
  return vma;
}

/**
 * What is at an address: a table of entries ("succeed"), a huge entry, nothing, or not even the tables above.
 * @kernel mm/khugepaged.c:find_pmd_or_thp_or_none
 * @fidelity mirrored: of the stable branch
 */
export function find_pmd_or_thp_or_none(mm: mm_struct, address: number): scan_result {
  if (!mm.pgd.pmd.has(Math.floor(address / PUD_SIZE))) return "pmd_null";
  const pmd = pmd_huge(mm, address);
  if (pmd !== undefined) return pte_present(pmd.flags) ? "pmd_mapped" : "pmd_null";
  return pte_offset(mm, address) === undefined ? "pmd_none" : "succeed";
}

/** What MADV_COLLAPSE says of a failure. @kernel mm/khugepaged.c:madvise_collapse_errno @fidelity mirrored */
export function madvise_collapse_errno(r: scan_result): number {
  switch (r) {
    case "alloc_huge_page_fail":
      return -ENOMEM;
    case "page_count":
    case "page_lock":
    case "page_lru":
    case "del_page_lru":
      return -EAGAIN;
    default:
      return -EINVAL;
  }
}
