// SPDX-License-Identifier: GPL-2.0-only
/**
 * Memory policies: mbind(), set_mempolicy(), get_mempolicy() (mm/mempolicy.c). What policies are made of is in
 * mempolicy/policy.ts, how they allocate in mempolicy/alloc.ts, moving pages in mempolicy/queue.ts and mempolicy/migrate.ts.
 */
import { GFP_HIGHUSER_MOVABLE, GFP_TRANSHUGE, __GFP_RETRY_MAYFAIL } from "../include/linux/gfp.js";
import { compound_order, page_zone } from "../include/linux/mem_map.js";
import { type mempolicy, mpol_equal } from "../include/linux/mempolicy.js";
import { MR_MEMPOLICY_MBIND, MIGRATE_SYNC } from "../include/linux/migrate_mode.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { page_list } from "../include/linux/mmzone.js";
import { CAP_SYS_NICE } from "../include/linux/sched.js";
import { PAGE_ALIGN, PAGE_SIZE, offset_in_page, ulongLess, type ulong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { list_empty } from "../lib/pagelist.js";
import { EFAULT, EINVAL, EIO, EPERM } from "../uapi/errno.js";
import {
  MPOL_DEFAULT,
  MPOL_F_ADDR,
  MPOL_F_MEMS_ALLOWED,
  MPOL_F_NODE,
  MPOL_INTERLEAVE,
  MPOL_LOCAL,
  MPOL_MF_MOVE_ALL,
  MPOL_MF_STRICT,
} from "../uapi/mempolicy.js";
import { get_user_pages_unlocked } from "./gup.js";
import { __get_vma_policy, next_node_in, vma_alloc_folio } from "./mempolicy/alloc.js";
import {
  MAX_NUMNODES,
  MPOL_MODE_FLAGS,
  get_nodes,
  mpol_new,
  mpol_set_nodemask,
  sanitize_mpol_flags,
} from "./mempolicy/policy.js";
import { MF_MOVES, MF_VALID, queue_pages_range } from "./mempolicy/queue.js";
import { migrate_pages, putback_movable_pages } from "./migrate.js";
import { find_vma, split_vma, vma_lookup, vma_merge } from "./mmap.js";
import { nodes_with_memory } from "./page_alloc/nodes.js";
import { page_address_in_vma } from "./rmap.js";
import { lru_cache_disable, lru_cache_enable, put_page } from "./swap.js";

/** The VMA before the one being worked on. */
interface walk {
  prev: vm_area_struct | undefined;
}

/** Gives a VMA a policy, and what it maps if policies belong to that. @kernel mm/mempolicy.c:vma_replace_policy @fidelity mirrored */
function vma_replace_policy(vma: vm_area_struct, policy: mempolicy | null): void {
  vma.vm_ops?.set_policy?.(vma, policy);
  vma.vm_policy = policy;
}

/** Gives what [start, end) has of a VMA a policy. 0 or -ENOMEM. @kernel mm/mempolicy.c:mbind_range @fidelity mirrored */
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
  vma_replace_policy(w.prev, policy);
  return 0;
}

/** Gives all VMAs of a range a policy. 0 or -ENOMEM. */
function mbind_vmas(k: Machine, mm: mm_struct, start: number, end: number, policy: mempolicy | null): number {
  const first = find_vma(mm, start)!;
  const w: walk = { prev: mm.mm_mt.find_before(first.vm_start) };
  let next: number;
  for (let vma: vm_area_struct | undefined = first; vma !== undefined && vma.vm_start < end; vma = find_vma(mm, next)) {
    next = vma.vm_end;
    const error = mbind_range(k, vma, w, start, end, policy);
    if (error) return error;
  }
  return 0;
}

/**
 * A target by the policy of the VMA that maps the page, the first one from `start` on.
 * @kernel mm/mempolicy.c:new_page
 * @fidelity mirrored
 */
function new_page(k: Machine, page: number, start: number): number {
  const mm = k.current.mm!;
  const order = compound_order(k.mem, page);
  const gfp = order > 0 ? GFP_TRANSHUGE : GFP_HIGHUSER_MOVABLE | __GFP_RETRY_MAYFAIL;
  for (let vma = find_vma(mm, start); vma !== undefined; vma = find_vma(mm, vma.vm_end)) {
    const address = page_address_in_vma(k, page, vma);
    if (address >= 0) return vma_alloc_folio(k, gfp, order, vma, address, order > 0);
  }
  return vma_alloc_folio(k, gfp, order, null, 0, order > 0);
}

/** What mbind() is to do, once it is clear that it can be done. */
interface mbind_work {
  readonly start: number;
  readonly end: number;
  /** The nodes that it names, a bit each, as far as the machine could have them. */
  readonly nmask: number;
  readonly policy: mempolicy | null;
  readonly flags: number;
}

/** The part of mbind(2) under mmap_lock. */
function mbind_locked(k: Machine, { start, end, nmask, policy, flags }: mbind_work): number {
  const mm = k.current.mm!;
  const pagelist = new page_list();
  const discontig_ok = policy === null;
  const ret = queue_pages_range(k, mm, { pagelist, flags, nmask, invert: true, discontig_ok, start, end });
  let err = ret < 0 ? ret : mbind_vmas(k, mm, start, end, policy);
  let nr_failed = 0;
  if (!list_empty(pagelist)) {
    if (err === 0) nr_failed = migrate_pages(k, pagelist, new_page, null, start, MIGRATE_SYNC, MR_MEMPOLICY_MBIND);
    if (err !== 0 || nr_failed !== 0) putback_movable_pages(k, pagelist);
  }
  if (err === 0 && (ret > 0 || nr_failed !== 0) && flags & MPOL_MF_STRICT) err = -EIO;
  return err;
}

/**
 * mbind(2): where the memory of a range is to come from, and with MPOL_MF_MOVE… where what is there is to go.
 * @kernel mm/mempolicy.c:kernel_mbind, do_mbind
 * @fidelity mirrored: of 6.1.192, which goes on behind a page that cannot be moved
 * @param start bytes; `len` bytes
 * @param nmask nodes, a bit each, of which the lower `maxnode` - 1 count; null for none
 * @returns 0, -EINVAL, -EPERM (MPOL_MF_MOVE_ALL without CAP_SYS_NICE), -EFAULT (holes), -ENOMEM, -EIO (MPOL_MF_STRICT:
 *   pages lie elsewhere, or could not be moved)
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
  const said = sanitize_mpol_flags(mode);
  if (typeof said === "number") return said;
  const nodes = get_nodes(nmask, maxnode);
  if (typeof nodes === "number") return nodes;
  if (flags & ~MF_VALID) return -EINVAL;
  if (flags & MPOL_MF_MOVE_ALL && !k.current.capabilities.has(CAP_SYS_NICE)) return -EPERM;
  if (offset_in_page(start)) return -EINVAL;
  if (said.mode === MPOL_DEFAULT) flags &= ~MPOL_MF_STRICT;
  const end = start + PAGE_ALIGN(len);
  if (ulongLess(end, start)) return -EINVAL;
  if (end === start) return 0;
  const made = mpol_new(said, nodes);
  if (typeof made === "number") return made;
  const mm = k.current.mm!;
  const moves = (flags & MF_MOVES) !== 0;
  if (moves) lru_cache_disable(k);
  mmap_write_lock(mm);
  const policy = mpol_set_nodemask(k, made, nodes);
  // An end above 2^63 is above every mapping.
  const work = { start, end: end < 0 ? Infinity : end, nmask: Number(BigInt.asUintN(31, nodes)), flags };
  const error = typeof policy === "number" ? policy : mbind_locked(k, { ...work, policy });
  mmap_write_unlock(mm);
  if (moves) lru_cache_enable(k);
  return error;
}

/**
 * set_mempolicy(2): where the memory of a task is to come from, unless a mapping says otherwise.
 * @kernel mm/mempolicy.c:kernel_set_mempolicy, do_set_mempolicy
 * @fidelity mirrored (no cpusets)
 * @returns 0 or -EINVAL
 */
export function sys_set_mempolicy(k: Machine, mode: number, nmask: bigint | null, maxnode: number): number {
  const said = sanitize_mpol_flags(mode);
  if (typeof said === "number") return said;
  const nodes = get_nodes(nmask, maxnode);
  if (typeof nodes === "number") return nodes;
  const made = mpol_new(said, nodes);
  if (typeof made === "number") return made;
  const policy = mpol_set_nodemask(k, made, nodes);
  if (typeof policy === "number") return policy;
  k.current.mempolicy = policy;
  if (policy?.mode === MPOL_INTERLEAVE) k.current.il_prev = MAX_NUMNODES - 1;
  return 0;
}

/** Where get_mempolicy() writes to. */
export interface user_out<V> {
  value: V;
}

/** What get_mempolicy() found. */
interface got_policy {
  readonly mode: number;
  readonly nodes: bigint;
}

/** The node of the page at an address, which is faulted in; or -errno. @kernel mm/mempolicy.c:lookup_node @fidelity mirrored */
function lookup_node(k: Machine, addr: number): number {
  const pages: number[] = [];
  const ret = get_user_pages_unlocked(k, addr - offset_in_page(addr), 1, pages, 0);
  if (ret <= 0) return ret;
  put_page(k, pages[0]!);
  return page_zone(k.mem, pages[0]!).node;
}

/** What a policy is to user space. */
function shown(policy: mempolicy | null): got_policy {
  if (policy === null) return { mode: MPOL_DEFAULT, nodes: 0n };
  const nodes = policy.flags & MPOL_MODE_FLAGS ? policy.user_nodemask : BigInt(policy.nodes);
  return { mode: policy.mode | (policy.flags & MPOL_MODE_FLAGS), nodes: policy.mode === MPOL_LOCAL ? 0n : nodes };
}

/** @kernel mm/mempolicy.c:do_get_mempolicy @fidelity mirrored */
function do_get_mempolicy(k: Machine, addr: ulong, flags: number): got_policy | number {
  const { mm, mempolicy: own, il_prev } = k.current;
  if (flags & ~(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED)) return -EINVAL;
  if (flags & MPOL_F_MEMS_ALLOWED) {
    return flags & (MPOL_F_NODE | MPOL_F_ADDR) ? -EINVAL : { mode: 0, nodes: BigInt(nodes_with_memory(k)) };
  }
  if (!(flags & MPOL_F_ADDR)) {
    if (addr !== 0) return -EINVAL;
    if (!(flags & MPOL_F_NODE)) return shown(own);
    if (own?.mode !== MPOL_INTERLEAVE) return -EINVAL;
    return { mode: next_node_in(il_prev, own.nodes), nodes: shown(own).nodes };
  }
  mmap_read_lock(mm!);
  const vma = addr < 0 ? undefined : vma_lookup(mm!, addr);
  const policy = vma === undefined ? null : __get_vma_policy(vma, addr);
  mmap_read_unlock(mm!);
  if (vma === undefined) return -EFAULT;
  if (!(flags & MPOL_F_NODE)) return shown(policy);
  const node = lookup_node(k, addr);
  return node < 0 ? node : { mode: node, nodes: shown(policy).nodes };
}

/**
 * get_mempolicy(2): the task's policy, or an address's; which node is next, or which an address's page is on; or the nodes
 * that the task may use.
 * @kernel mm/mempolicy.c:kernel_get_mempolicy
 * @fidelity mirrored
 * @param mode receives the mode or node; null: nobody wants it
 * @param nmask receives nodes, a bit each; null likewise
 * @param maxnode how many nodes it has room for
 * @returns 0, -EINVAL, -EFAULT (nothing is mapped at the address)
 */
export function sys_get_mempolicy(
  k: Machine,
  mode: user_out<number> | null,
  nmask: user_out<bigint> | null,
  maxnode: number,
  addr: ulong,
  flags: number,
): number {
  if (nmask !== null && maxnode >= 0 && maxnode < k.nodes.length) return -EINVAL;
  const got = do_get_mempolicy(k, addr, flags);
  if (typeof got === "number") return got;
  if (mode !== null) mode.value = got.mode;
  if (nmask === null) return 0;
  const room = Math.ceil((maxnode - 1) / 64) * 8;
  if (maxnode < 0 || room > PAGE_SIZE) return -EINVAL;
  if (room > 0) nmask.value = got.nodes;
  return 0;
}
