// SPDX-License-Identifier: GPL-2.0-only
/**
 * Memory policies of VMAs on a machine of one node (mm/mempolicy.c). Every policy that can be set there allows that
 * node, so none of them decides where a page goes; but VMAs that differ in theirs do not merge.
 */
import { not_modelled } from "../include/linux/bug.js";
import { type mempolicy, mpol_equal } from "../include/linux/mempolicy.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_SYS_NICE } from "../include/linux/sched.js";
import { PAGE_ALIGN, PAGE_SIZE, offset_in_page, ulongLess, type ulong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { EFAULT, EINVAL, EPERM } from "../uapi/errno.js";
import {
  MPOL_BIND,
  MPOL_DEFAULT,
  MPOL_F_NUMA_BALANCING,
  MPOL_F_RELATIVE_NODES,
  MPOL_F_STATIC_NODES,
  MPOL_LOCAL,
  MPOL_MAX,
  MPOL_MF_MOVE,
  MPOL_MF_MOVE_ALL,
  MPOL_MF_STRICT,
  MPOL_PREFERRED,
} from "../uapi/mempolicy.js";
import { find_vma, split_vma, vma_merge } from "./mmap.js";
import { lru_cache_disable, lru_cache_enable } from "./swap.js";

const MPOL_MODE_FLAGS = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;
const USER_NODEMASK = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;
const MF_VALID = MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL;
const NODES_SHIFT = 6n;
/** The node that there is. */
const NODE_0 = 1n;

/** Are a mode and the flags in it what there is? @kernel mm/mempolicy.c:sanitize_mpol_flags */
function sanitize_mpol_flags(mode: number, flags: number): boolean {
  if (mode < 0 || mode >= MPOL_MAX || (flags & USER_NODEMASK) === USER_NODEMASK) return false;
  return !(flags & MPOL_F_NUMA_BALANCING) || mode === MPOL_BIND;
}

/** A set of nodes from user space, or -EINVAL. @kernel mm/mempolicy.c:get_nodes */
function get_nodes(nmask: bigint | null, maxnode: number): bigint | number {
  if (maxnode === 1 || nmask === null) return 0n;
  if (maxnode === 0 || maxnode - 1 > PAGE_SIZE * 8) return -EINVAL;
  const nodes = BigInt.asUintN(maxnode - 1, nmask);
  return nodes >> (1n << NODES_SHIFT) === 0n ? nodes : -EINVAL;
}

/**
 * A policy, null for the default, or -EINVAL.
 * @kernel mm/mempolicy.c:mpol_new, mpol_set_nodemask
 */
function mpol_new(mode: number, flags: number, nodes: bigint): mempolicy | null | number {
  const empty = nodes === 0n;
  if (mode === MPOL_DEFAULT) return empty ? null : -EINVAL;
  if (mode === MPOL_PREFERRED && empty) mode = MPOL_LOCAL;
  if (mode === MPOL_LOCAL) {
    return empty && !(flags & USER_NODEMASK) ? { mode, flags, nodes: 0n, user_nodemask: 0n } : -EINVAL;
  }
  if (empty || (!(flags & MPOL_F_RELATIVE_NODES) && !(nodes & NODE_0))) return -EINVAL;
  return { mode, flags, nodes: NODE_0, user_nodemask: flags & USER_NODEMASK ? nodes : 0n };
}

/** Is something mapped in [start, end), and with `whole` all of it? @kernel mm/mempolicy.c:queue_pages_range */
function range_mapped(mm: mm_struct, start: ulong, end: ulong, whole: boolean): boolean {
  let vma = start < 0 ? undefined : find_vma(mm, start);
  if (vma === undefined || vma.vm_start >= end) return false;
  if (!whole) return true;
  if (vma.vm_start > start) return false;
  while (vma.vm_end < end) {
    const next = find_vma(mm, vma.vm_end);
    if (next === undefined || next.vm_start > vma.vm_end) return false;
    vma = next;
  }
  return true;
}

/** The VMA before the one being worked on. */
interface walk {
  prev: vm_area_struct | undefined;
}

/** Gives what [start, end) has of a VMA a policy. 0 or -ENOMEM. @kernel mm/mempolicy.c:mbind_range */
function mbind_range(
  k: Machine,
  vma: vm_area_struct,
  w: walk,
  start: number,
  end: number,
  policy: mempolicy | null,
): number {
  const mm = vma.vm_mm;
  if (start > vma.vm_start) w.prev = vma;
  const from = Math.max(start, vma.vm_start);
  const to = Math.min(end, vma.vm_end);
  if (mpol_equal(vma.vm_policy, policy)) {
    w.prev = vma;
    return 0;
  }
  const pgoff = vma.vm_pgoff + (from - vma.vm_start) / PAGE_SIZE;
  const { vm_flags, anon_vma, vm_file, vm_userfaultfd_ctx: ctx, anon_name } = vma;
  const merged = vma_merge(k, mm, w.prev, from, to, vm_flags, anon_vma, vm_file, pgoff, policy, ctx, anon_name);
  if (merged === undefined) {
    let error = vma.vm_start === from ? 0 : split_vma(k, mm, vma, from, 1);
    if (error === 0 && vma.vm_end !== to) error = split_vma(k, mm, vma, to, 0);
    if (error) return error;
  }
  w.prev = merged ?? vma;
  w.prev.vm_policy = policy;
  return 0;
}

/** The part of mbind(2) under mmap_lock. */
function mbind_locked(k: Machine, start: ulong, end: ulong, policy: mempolicy | null): number {
  const mm = k.current.mm!;
  // An end above 2^63 is above every mapping.
  const last = end < 0 ? Infinity : end;
  if (!range_mapped(mm, start, last, policy !== null)) return -EFAULT;
  const first = find_vma(mm, start)!;
  const w: walk = { prev: mm.mm_mt.find_before(first.vm_start) };
  let next: number;
  for (
    let vma: vm_area_struct | undefined = first;
    vma !== undefined && vma.vm_start < last;
    vma = find_vma(mm, next)
  ) {
    next = vma.vm_end;
    const error = mbind_range(k, vma, w, start, last, policy);
    if (error) return error;
  }
  return 0;
}

/**
 * mbind(2): where the memory of a range is to come from.
 * @kernel mm/mempolicy.c:kernel_mbind, do_mbind
 * @fidelity simplified: one node. Pages are all on it; to move them within it, for a set of nodes without it, is refused
 * @param start bytes; `len` bytes
 * @param nmask nodes, a bit each, of which the lower `maxnode` - 1 count; null for none
 * @returns 0, -EINVAL, -EPERM (MPOL_MF_MOVE_ALL without CAP_SYS_NICE), -EFAULT (holes), -ENOMEM
 */
export function sys_mbind(
  k: Machine,
  start: ulong,
  len: ulong,
  mode: number,
  nmask: bigint | null,
  maxnode: number,
  flags: number,
): number {
  const mode_flags = mode & MPOL_MODE_FLAGS;
  mode &= ~MPOL_MODE_FLAGS;
  if (!sanitize_mpol_flags(mode, mode_flags)) return -EINVAL;
  const nodes = get_nodes(nmask, maxnode);
  if (typeof nodes === "number") return nodes;
  if (flags & ~MF_VALID) return -EINVAL;
  if (flags & MPOL_MF_MOVE_ALL && !k.current.capabilities.has(CAP_SYS_NICE)) return -EPERM;
  if (offset_in_page(start)) return -EINVAL;
  const end = start + PAGE_ALIGN(len);
  if (ulongLess(end, start)) return -EINVAL;
  if (end === start) return 0;
  const policy = mpol_new(mode, mode_flags, nodes);
  if (typeof policy === "number") return policy;
  const looks = mode === MPOL_DEFAULT ? flags & ~MPOL_MF_STRICT : flags;
  if (looks && !(nodes & NODE_0)) not_modelled("mm/mempolicy.c: pages that are to be moved within their node");
  const mm = k.current.mm!;
  const moves = (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)) !== 0;
  if (moves) lru_cache_disable(k);
  mmap_write_lock(mm);
  const error = mbind_locked(k, start, end, policy);
  mmap_write_unlock(mm);
  if (moves) lru_cache_enable(k);
  return error;
}
