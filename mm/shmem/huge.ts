// SPDX-License-Identifier: GPL-2.0-only
/** Huge pages of shmem files: which offsets may have one, and what becomes of their places in the cache (mm/shmem.c). */
import type { inode } from "../../include/linux/fs.js";
import { VM_HUGEPAGE, VM_NOHUGEPAGE } from "../../include/linux/mm.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { MMF_DISABLE_THP } from "../../include/linux/sched/coredump.js";
import { HPAGE_PMD_NR, PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { shmem_inode_unacct_blocks, shmem_recalc_inode } from "../shmem.js";

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

/** Uncharges pages that have left the cache otherwise. @kernel mm/shmem.c:shmem_uncharge @fidelity mirrored */
export function shmem_uncharge(k: Machine, host: inode, pages: number): void {
  host.shmem!.alloced -= pages;
  shmem_recalc_inode(k, host);
  shmem_inode_unacct_blocks(k, host.shmem!, pages);
}
