// SPDX-License-Identifier: GPL-2.0-only
/** Which mappings may have huge pages, and how hard to try for one (mm/huge_memory.c, include/linux/huge_mm.h). */
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_KSWAPD_RECLAIM,
  __GFP_NORETRY,
  __GFP_THISNODE,
  GFP_TRANSHUGE,
  GFP_TRANSHUGE_LIGHT,
} from "../../include/linux/gfp.js";
import {
  VM_GROWSDOWN,
  VM_HUGEPAGE,
  VM_NO_KHUGEPAGED,
  VM_NOHUGEPAGE,
  VM_STACK_INCOMPLETE_SETUP,
  vma_is_anonymous,
} from "../../include/linux/mm.js";
import type { policy_vma, vm_area_struct } from "../../include/linux/mm_types.js";
import { MMF_DISABLE_THP } from "../../include/linux/sched/coredump.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_all, vm_flags_test, type vm_flags_t } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { vma_alloc_folio } from "../mempolicy/alloc.js";
import { alloc_pages } from "../page_alloc.js";
import { shmem_is_huge } from "../shmem/huge.js";

/** /sys/kernel/mm/transparent_hugepage/enabled. */
export function thp_enabled(k: Machine): "always" | "madvise" | "never" {
  return k.config.TRANSPARENT_HUGEPAGE ? (k.config.thp_enabled ?? "never") : "never";
}

/** Does sysfs allow huge pages to some anonymous memory? @kernel include/linux/huge_mm.h:hugepage_flags_enabled */
export function hugepage_flags_enabled(k: Machine): boolean {
  return thp_enabled(k) !== "never";
}

/**
 * Does a huge page fit a VMA around an address: inside of it, and aligned in its file?
 * @kernel include/linux/huge_mm.h:transhuge_vma_suitable
 * @fidelity mirrored
 */
export function transhuge_vma_suitable(vma: vm_area_struct, addr: number): boolean {
  if (!vma_is_anonymous(vma) && (vma.vm_start / PAGE_SIZE - vma.vm_pgoff) % HPAGE_PMD_NR !== 0) return false;
  const haddr = Math.floor(addr / PMD_SIZE) * PMD_SIZE;
  return haddr >= vma.vm_start && haddr + PMD_SIZE <= vma.vm_end;
}

/** Is it a stack that execve() is still setting up? @kernel include/linux/mm.h:vma_is_temporary_stack */
function vma_is_temporary_stack(vma: vm_area_struct): boolean {
  return vm_flags_test(vma.vm_flags, VM_GROWSDOWN) && vm_flags_all(vma.vm_flags, VM_STACK_INCOMPLETE_SETUP);
}

/** For whom {@link hugepage_vma_check} asks: a fault, khugepaged, MADV_COLLAPSE (whatever sysfs says), or smaps. */
export interface hugepage_asker {
  readonly smaps?: boolean;
  readonly in_pf?: boolean;
  readonly enforce_sysfs?: boolean;
}

/**
 * May a VMA with these flags have huge pages?
 * @kernel mm/huge_memory.c:hugepage_vma_check
 * @fidelity mirrored (no DAX, no huge pages of read-only files)
 */
export function hugepage_vma_check(
  k: Machine,
  vma: vm_area_struct,
  flags: vm_flags_t,
  { smaps = false, in_pf = false, enforce_sysfs = false }: hugepage_asker,
): boolean {
  if (!k.config.TRANSPARENT_HUGEPAGE) return false;
  if (vm_flags_test(flags, VM_NOHUGEPAGE) || vma.vm_mm.flags & MMF_DISABLE_THP) return false;
  if (vm_flags_test(flags, VM_NO_KHUGEPAGED)) return false;
  if (!in_pf && !transhuge_vma_suitable(vma, vma.vm_end - PMD_SIZE)) return false;
  const host = vma.vm_file?.f_inode;
  if (!in_pf && host !== undefined && host.shmem !== null) {
    return shmem_is_huge(k, vma, host, vma.vm_pgoff, !enforce_sysfs);
  }
  if (enforce_sysfs) {
    const enabled = thp_enabled(k);
    if (enabled === "never" || (enabled === "madvise" && !vm_flags_test(flags, VM_HUGEPAGE))) return false;
  }
  if (!vma_is_anonymous(vma) || vma_is_temporary_stack(vma)) return false;
  return vma.anon_vma !== null || smaps || in_pf;
}

/**
 * How a fault in a VMA (null: a page of a file, for nobody's advice) allocates a huge page: whether it may reclaim and
 * compact, or leaves that to kswapd, or only takes what is there.
 * @kernel mm/huge_memory.c:vma_thp_gfp_mask
 * @fidelity mirrored
 */
export function vma_thp_gfp_mask(k: Machine, vma: vm_area_struct | null): number {
  const advised = vma !== null && vm_flags_test(vma.vm_flags, VM_HUGEPAGE);
  switch (k.config.thp_defrag ?? "madvise") {
    case "always":
      return GFP_TRANSHUGE | (advised ? 0 : __GFP_NORETRY);
    case "defer":
      return GFP_TRANSHUGE_LIGHT | __GFP_KSWAPD_RECLAIM;
    case "defer+madvise":
      return GFP_TRANSHUGE_LIGHT | (advised ? __GFP_DIRECT_RECLAIM : __GFP_KSWAPD_RECLAIM);
    case "madvise":
      return GFP_TRANSHUGE_LIGHT | (advised ? __GFP_DIRECT_RECLAIM : 0);
    case "never":
      return GFP_TRANSHUGE_LIGHT;
  }
}

/**
 * Allocates a huge page for user memory: with CONFIG_NUMA first from this node only, without trying hard, then as
 * `gfp` says if it may reclaim. 0 when there is none.
 * @kernel mm/mempolicy.c:vma_alloc_folio
 * @fidelity mirrored: of order 9
 * @param vma whose policy counts at `addr`; null where there is one node
 */
export function vma_alloc_hugepage(k: Machine, gfp: number, vma: policy_vma | null, addr: number): number {
  if (k.nodes.length > 1) return vma_alloc_folio(k, gfp, HPAGE_PMD_ORDER, vma, addr, true);
  if (!k.config.NUMA) return alloc_pages(k, gfp, HPAGE_PMD_ORDER);
  const page = alloc_pages(k, gfp | __GFP_THISNODE | __GFP_NORETRY, HPAGE_PMD_ORDER);
  return page !== 0 || !(gfp & __GFP_DIRECT_RECLAIM) ? page : alloc_pages(k, gfp, HPAGE_PMD_ORDER);
}
