// SPDX-License-Identifier: GPL-2.0-only
/** Huge pages of shmem files: which offsets may have one, and what becomes of their places in the cache (mm/shmem.c). */
import type { inode } from "../../include/linux/fs.js";
import {
  __GFP_FS,
  __GFP_IO,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIM,
  GFP_ZONEMASK,
} from "../../include/linux/gfp.js";
import { VM_HUGEPAGE, VM_NOHUGEPAGE } from "../../include/linux/mm.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { MMF_DISABLE_THP } from "../../include/linux/sched/coredump.js";
import { HPAGE_PMD_NR, PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import { THP_FILE_FALLBACK } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { vma_alloc_hugepage } from "../huge_memory/policy.js";
import { shmem_inode_acct_block, shmem_inode_unacct_blocks, shmem_recalc_inode } from "../shmem.js";
import { shmem_pseudo_place } from "./policy.js";
import { count_vm_event } from "../vmstat.js";

/**
 * Is a page of a shmem file to be part of a huge page? `force`: whatever sysfs says, short of "deny".
 * @kernel mm/shmem.c:shmem_is_huge
 * @fidelity mirrored: files of the kernel's own mount, as memfds are
 * @param vma that faults, or null for a system call on the file
 */
export function shmem_is_huge(
  k: Machine,
  vma: vm_area_struct | null,
  host: inode,
  index: number,
  force: boolean,
): boolean {
  if (!k.config.TRANSPARENT_HUGEPAGE) return false;
  if (vma !== null && (vm_flags_test(vma.vm_flags, VM_NOHUGEPAGE) || vma.vm_mm.flags & MMF_DISABLE_THP)) return false;
  const enabled = k.config.shmem_enabled ?? "never";
  if (enabled === "deny") return false;
  if (force || enabled === "force" || enabled === "always") return true;
  if (enabled === "never") return false;
  if (enabled === "within_size") {
    const end = Math.floor((index + 1 + HPAGE_PMD_NR - 1) / HPAGE_PMD_NR) * HPAGE_PMD_NR;
    if (Math.ceil(host.i_size / PAGE_SIZE) >= end) return true;
  }
  return vma !== null && vm_flags_test(vma.vm_flags, VM_HUGEPAGE);
}

/**
 * How to allocate a huge page without going beyond what a small one's request allows.
 * @kernel mm/shmem.c:limit_gfp_mask
 * @fidelity mirrored
 */
export function limit_gfp_mask(huge_gfp: number, limit_gfp: number): number {
  const allowflags = __GFP_IO | __GFP_FS | __GFP_RECLAIM;
  const denyflags = __GFP_NOWARN | __GFP_NORETRY;
  return (
    (huge_gfp & ~(allowflags | GFP_ZONEMASK)) |
    (limit_gfp & (GFP_ZONEMASK | denyflags)) |
    (huge_gfp & limit_gfp & allowflags)
  );
}

/** A huge page for an offset of a file around which nothing is yet, or 0. @kernel mm/shmem.c:shmem_alloc_hugefolio */
export function shmem_alloc_hugefolio(k: Machine, host: inode, index: number, gfp: number): number {
  const hindex = index - (index % HPAGE_PMD_NR);
  if (host.i_mapping.i_pages.find(hindex, hindex + HPAGE_PMD_NR - 1) >= 0) return 0;
  const at = shmem_pseudo_place(k, host, hindex);
  const page = vma_alloc_hugepage(k, gfp, at?.vma ?? null, 0);
  if (page === 0) count_vm_event(k, THP_FILE_FALLBACK);
  return page;
}

/** Charges a file for pages that come otherwise; false where they cannot be promised. @kernel mm/shmem.c:shmem_charge */
export function shmem_charge(k: Machine, host: inode, pages: number): boolean {
  if (!shmem_inode_acct_block(k, host.shmem!, pages)) return false;
  host.i_mapping.nrpages += pages;
  host.shmem!.alloced += pages;
  shmem_recalc_inode(k, host);
  return true;
}

/** Uncharges pages that have left the cache otherwise. @kernel mm/shmem.c:shmem_uncharge @fidelity mirrored */
export function shmem_uncharge(k: Machine, host: inode, pages: number): void {
  host.shmem!.alloced -= pages;
  shmem_recalc_inode(k, host);
  shmem_inode_unacct_blocks(k, host.shmem!, pages);
}
