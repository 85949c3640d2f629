// SPDX-License-Identifier: GPL-2.0-only
/** Memory policies of shmem files, which belong to ranges of the file (mm/shmem.c). */
import type { inode } from "../../include/linux/fs.js";
import type { mempolicy } from "../../include/linux/mempolicy.js";
import { vma_pages } from "../../include/linux/mm.js";
import type { policy_vma, vm_area_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { mpol_shared_policy_lookup, shared_policy_replace } from "../mempolicy/shared.js";
import type { policy_place } from "../swap_state.js";

/** Gives the part of the file that a VMA maps a policy. @kernel mm/shmem.c:shmem_set_policy @fidelity mirrored */
export function shmem_set_policy(vma: vm_area_struct, policy: mempolicy | null): void {
  const info = vma.vm_file!.f_inode.shmem!;
  info.policies = shared_policy_replace(info.policies, vma.vm_pgoff, vma.vm_pgoff + vma_pages(vma), policy);
}

/** @kernel mm/shmem.c:shmem_get_policy @fidelity mirrored */
export function shmem_get_policy(vma: policy_vma, addr: number): mempolicy | null {
  const index = Math.floor((addr - vma.vm_start) / PAGE_SIZE) + vma.vm_pgoff;
  return mpol_shared_policy_lookup(vma.vm_file!.f_inode.shmem!.policies, index);
}

/**
 * Whose policy a page of a file is allocated by, whoever asks for it: interleaving begins at another node for each file.
 * Null on machines of one node.
 * @kernel mm/shmem.c:shmem_pseudo_vma_init
 * @fidelity mirrored
 */
export function shmem_pseudo_place(k: Machine, host: inode, index: number): policy_place | null {
  if (k.nodes.length === 1) return null;
  const vm_policy = mpol_shared_policy_lookup(host.shmem!.policies, index);
  const vma = { vm_policy, vm_pgoff: index + host.i_ino, vm_start: 0, vm_ops: null, vm_file: null };
  return { vma, address: 0 };
}
