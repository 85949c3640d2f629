// SPDX-License-Identifier: GPL-2.0-only
/** migrate_pages(2): all pages of a process on some nodes go to others (mm/mempolicy.c). */
import { GFP_HIGHUSER_MOVABLE, __GFP_THISNODE } from "../../include/linux/gfp.js";
import { MIGRATE_SYNC, MR_SYSCALL } from "../../include/linux/migrate_mode.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { page_list } from "../../include/linux/mmzone.js";
import { CAP_SYS_NICE } from "../../include/linux/sched.js";
import type { Machine } from "../../include/machine.js";
import { list_empty } from "../../lib/pagelist.js";
import { EINVAL, EPERM, ESRCH } from "../../uapi/errno.js";
import { MPOL_MF_MOVE, MPOL_MF_MOVE_ALL } from "../../uapi/mempolicy.js";
import { alloc_migration_target, migrate_pages, putback_movable_pages } from "../migrate.js";
import { find_vma } from "../mmap.js";
import { nodes_with_memory } from "../page_alloc/nodes.js";
import { lru_cache_disable, lru_cache_enable } from "../swap.js";
import { get_nodes, node_numbers } from "./policy.js";
import { queue_pages_range } from "./queue.js";

/**
 * Moves pages to a node: what cannot be moved goes back to where it was.
 * @kernel mm/migrate.c:do_move_pages_to_node, mm/mempolicy.c:migrate_to_node
 * @fidelity mirrored
 * @param pagelist isolated pages; empty afterwards
 * @returns pages not moved, or -ENOMEM
 */
export function do_move_pages_to_node(k: Machine, pagelist: page_list, nid: number): number {
  const mtc = { nid, gfp_mask: GFP_HIGHUSER_MOVABLE | __GFP_THISNODE };
  const err = migrate_pages(k, pagelist, alloc_migration_target, null, mtc, MIGRATE_SYNC, MR_SYSCALL);
  if (err !== 0) putback_movable_pages(k, pagelist);
  return err;
}

/** Pages that did not go from one node to another, or -ENOMEM. @kernel mm/mempolicy.c:migrate_to_node @fidelity mirrored */
function migrate_to_node(k: Machine, mm: mm_struct, source: number, dest: number, flags: number): number {
  const first = find_vma(mm, 0);
  if (first === undefined || source >= k.nodes.length) return 0;
  const pagelist = new page_list();
  const range = { start: first.vm_start, end: mm.task_size, discontig_ok: true };
  queue_pages_range(k, mm, { pagelist, flags, nmask: 1 << source, invert: false, ...range });
  return list_empty(pagelist) ? 0 : do_move_pages_to_node(k, pagelist, dest);
}

/** A source and where its pages go. */
interface pair {
  readonly source: number;
  readonly dest: number;
}

/**
 * The next pair of nodes: rather one whose destination nothing is to leave any more.
 * @param left sources that are left
 */
function next_pair(left: readonly number[], from: readonly number[], to: readonly number[]): pair | undefined {
  let found: pair | undefined;
  for (const source of left) {
    if (from.length !== to.length && to.includes(source)) continue;
    const dest = to[from.indexOf(source) % to.length]!;
    if (dest === source) continue;
    found = { source, dest };
    if (!left.includes(dest)) break;
  }
  return found;
}

/**
 * Moves the pages of a process from nodes to nodes, keeping them apart as they are as far as it goes.
 * @kernel mm/mempolicy.c:do_migrate_pages
 * @fidelity mirrored
 * @param from numbers of nodes, ascending; `to` likewise, not empty
 * @param flags MPOL_MF_MOVE or MPOL_MF_MOVE_ALL
 * @returns pages that could not be moved, or -ENOMEM
 */
function do_migrate_pages(
  k: Machine,
  mm: mm_struct,
  from: readonly number[],
  to: readonly number[],
  flags: number,
): number {
  let busy = 0;
  let left = from;
  lru_cache_disable(k);
  mmap_read_lock(mm);
  for (let next = next_pair(left, from, to); next !== undefined; next = next_pair(left, from, to)) {
    const { source, dest } = next;
    left = left.filter((n) => n !== source);
    const err = migrate_to_node(k, mm, source, dest, flags);
    busy = err < 0 ? err : busy + err;
    if (err < 0) break;
  }
  mmap_read_unlock(mm);
  lru_cache_enable(k);
  return busy;
}

/**
 * migrate_pages(2).
 * @kernel mm/mempolicy.c:kernel_migrate_pages
 * @fidelity simplified: any task may look at any other; no cpusets
 * @param old_nodes nodes, a bit each, of which the lower `maxnode` - 1 count; null for none; `new_nodes` likewise
 * @returns pages that could not be moved, or -EINVAL (no such nodes, no memory of its own), -ESRCH, -EPERM (nodes that the
 *   process may not use, without CAP_SYS_NICE), -ENOMEM
 */
export function sys_migrate_pages(
  k: Machine,
  pid: number,
  maxnode: number,
  old_nodes: bigint | null,
  new_nodes: bigint | null,
): number {
  const from = get_nodes(old_nodes, maxnode);
  if (typeof from === "number") return from;
  const to = get_nodes(new_nodes, maxnode);
  if (typeof to === "number") return to;
  const task = pid === 0 ? k.current : k.tasks.get(pid);
  if (task === undefined) return -ESRCH;
  const allowed = BigInt(nodes_with_memory(k));
  const nice = k.current.capabilities.has(CAP_SYS_NICE);
  if ((to & ~allowed) !== 0n && !nice) return -EPERM;
  const dest = node_numbers(to & allowed);
  if (dest.length === 0 || task.mm === null) return -EINVAL;
  return do_migrate_pages(k, task.mm, node_numbers(from), dest, nice ? MPOL_MF_MOVE_ALL : MPOL_MF_MOVE);
}
