// SPDX-License-Identifier: GPL-2.0-only
/** move_pages(2): each of some pages of a process goes to a node of its own (mm/migrate.c). */
import { compound_head, page_mapcount, page_zone } from "../../include/linux/mem_map.js";
import { FOLL_GET, vma_is_anonymous } from "../../include/linux/mm.js";
import { _PAGE_MIGRATION, _PAGE_SPECIAL, type mm_struct, type vm_area_struct } from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { page_list } from "../../include/linux/mmzone.js";
import { CAP_SYS_NICE } from "../../include/linux/sched.js";
import { type ulong } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { list_add_tail, list_empty } from "../../lib/pagelist.js";
import { EACCES, EBUSY, EFAULT, EINVAL, ENODEV, ENOENT, EPERM, ESRCH } from "../../uapi/errno.js";
import { MPOL_MF_MOVE, MPOL_MF_MOVE_ALL } from "../../uapi/mempolicy.js";
import { follow_page } from "../gup/follow.js";
import { do_move_pages_to_node } from "../mempolicy/migrate.js";
import { MAX_NUMNODES } from "../mempolicy/policy.js";
import { vma_migratable } from "../mempolicy/queue.js";
import { vma_lookup } from "../mmap.js";
import { nodes_with_memory } from "../page_alloc/nodes.js";
import { pmd_huge, pte_index, pte_none, pte_offset } from "../pgtable.js";
import { folio_isolate_lru, lru_cache_disable, lru_cache_enable, put_page } from "../swap.js";
import { mod_isolated } from "../vmstat.js";

/** Pages of which the kernel asks at a time where they are. */
const DO_PAGES_STAT_CHUNK_NR = 16;

/** An array of user space: it ends where that does, and null is a bad address. */
export type user_array = ArrayLike<number> | null;

/** Where the status of each page is written to; likewise. */
export type user_status = number[] | Int32Array | null;

/** What one call moves, and where it says how that went. */
interface move {
  readonly mm: mm_struct;
  readonly nr_pages: number;
  readonly status: user_status;
  readonly pagelist: page_list;
}

/** Writes a status; 0 or -EFAULT. Plain arrays take as much as there is to write. @kernel mm/migrate.c:store_status @fidelity mirrored */
function store_status(status: user_status, start: number, value: number, nr: number): number {
  for (let i = start; i < start + nr; i++) {
    if (status === null || (!Array.isArray(status) && i >= status.length)) return -EFAULT;
    status[i] = value;
  }
  return 0;
}

/** Is there nothing at an address that a look-up which skips special pages could find? Then -errno. @kernel mm/gup.c:no_page_table, follow_page_pte (FOLL_DUMP) */
function dump_refuses(vma: vm_area_struct, addr: number): number {
  const pmd = pmd_huge(vma.vm_mm, addr);
  if (pmd !== undefined) return pmd.flags & _PAGE_SPECIAL && !(pmd.flags & _PAGE_MIGRATION) ? -EFAULT : 0;
  const t = pte_offset(vma.vm_mm, addr);
  const i = pte_index(addr);
  if (t === undefined || pte_none(t, i)) {
    return vma_is_anonymous(vma) || vma.vm_ops?.fault === undefined ? -EFAULT : -ENOENT;
  }
  return t.flags[i]! & _PAGE_SPECIAL ? -EFAULT : 0;
}

/** The page at an address, with a reference; or -errno: -ENOENT where a fault would bring it. */
function follow_page_dump(k: Machine, vma: vm_area_struct, addr: number): number {
  const refused = dump_refuses(vma, addr);
  if (refused !== 0) return refused;
  const page = follow_page(k, vma, addr, FOLL_GET);
  return page === 0 ? -ENOENT : page;
}

/** Isolates a page for a node. 1: it did; 0: it is there already; -errno. */
function isolate_for(k: Machine, page: number, node: number, pagelist: page_list, migrate_all: boolean): number {
  if (page_zone(k.mem, page).node === node) return 0;
  if (page_mapcount(k.mem, page) > 1 && !migrate_all) return -EACCES;
  const head = compound_head(k.mem, page);
  if (!folio_isolate_lru(k, head)) return -EBUSY;
  list_add_tail(k.mem, pagelist, head);
  mod_isolated(k, head, 1);
  return 1;
}

/** @kernel mm/migrate.c:add_page_for_migration @fidelity mirrored (no hugetlb, no device memory) */
function add_page_for_migration(k: Machine, m: move, addr: number, node: number, migrate_all: boolean): number {
  mmap_read_lock(m.mm);
  const vma = vma_lookup(m.mm, addr);
  let err = -EFAULT;
  if (vma !== undefined && vma_migratable(vma)) {
    const page = follow_page_dump(k, vma, addr);
    err = page < 0 ? page : isolate_for(k, page, node, m.pagelist, migrate_all);
    if (page > 0) put_page(k, page);
  }
  mmap_read_unlock(m.mm);
  return err;
}

/** Moves what has been isolated; those pages' status is the node. @kernel mm/migrate.c:move_pages_and_store_status @fidelity mirrored */
function move_pages_and_store_status(k: Machine, m: move, node: number, start: number, i: number): number {
  if (list_empty(m.pagelist)) return 0;
  const err = do_move_pages_to_node(k, m.pagelist, node);
  if (err !== 0) return err > 0 ? err + m.nr_pages - i : err;
  return store_status(m.status, start, node, i - start);
}

/** The node that is asked for, or the -errno that ends the call. */
function wanted_node(k: Machine, pages: user_array, nodes: ArrayLike<number>, i: number): number {
  const node = nodes[i];
  if (pages?.[i] === undefined || node === undefined) return -EFAULT;
  if (node < 0 || node >= MAX_NUMNODES || !(BigInt(nodes_with_memory(k)) & (1n << BigInt(node)))) return -ENODEV;
  return node;
}

/**
 * Moves pages, those for one node at a time.
 * @kernel mm/migrate.c:do_pages_move
 * @fidelity mirrored (no cpusets)
 */
function do_pages_move(k: Machine, m: move, pages: user_array, nodes: ArrayLike<number>, migrate_all: boolean): number {
  let current_node = -1;
  let start = 0;
  let i = 0;
  let err = 0;
  for (; i < m.nr_pages; i++) {
    const node = wanted_node(k, pages, nodes, i);
    err = Math.min(node, 0);
    if (err !== 0) break;
    if (current_node !== node) {
      if (current_node !== -1) err = move_pages_and_store_status(k, m, current_node, start, i);
      if (err !== 0) return err;
      start = i;
      current_node = node;
    }
    err = add_page_for_migration(k, m, pages![i]!, node, migrate_all);
    if (err > 0) continue;
    err = store_status(m.status, i, err || node, 1);
    if (err !== 0) break;
    err = move_pages_and_store_status(k, m, node, start, i);
    if (err !== 0) return err > 0 ? err - 1 : err;
    current_node = -1;
  }
  const err1 = move_pages_and_store_status(k, m, current_node, start, i);
  return err >= 0 ? err1 : err;
}

/** Which node a page is on, or -errno. */
function page_status(k: Machine, mm: mm_struct, addr: number): number {
  const vma = vma_lookup(mm, addr);
  const page = vma === undefined ? -EFAULT : follow_page_dump(k, vma, addr);
  if (page < 0) return page;
  const { node } = page_zone(k.mem, page);
  put_page(k, page);
  return node;
}

/** Tells where pages are. @kernel mm/migrate.c:do_pages_stat @fidelity mirrored (no device memory) */
function do_pages_stat(k: Machine, m: move, pages: user_array): number {
  for (let first = 0; first < m.nr_pages; first += DO_PAGES_STAT_CHUNK_NR) {
    const end = Math.min(first + DO_PAGES_STAT_CHUNK_NR, m.nr_pages);
    if (pages === null || pages.length < end) return -EFAULT;
    mmap_read_lock(m.mm);
    const found = Array.from({ length: end - first }, (_none, n) => page_status(k, m.mm, pages[first + n]!));
    mmap_read_unlock(m.mm);
    for (let i = first; i < end; i++) if (store_status(m.status, i, found[i - first]!, 1) !== 0) return -EFAULT;
  }
  return 0;
}

/**
 * move_pages(2): moves pages to nodes, or where `nodes` is null tells which nodes they are on.
 * @kernel mm/migrate.c:kernel_move_pages
 * @fidelity simplified: any task may look at any other; follows 6.1.192
 * @param pages addresses; the array ends where user memory does, null is a bad address
 * @param nodes a node for each; null: none is to be moved
 * @param status receives the node of each page, or -ENOENT (not there), -EFAULT (nothing mapped, or the zero page), -EACCES
 *   (others map it), -EBUSY (not on the LRU)
 * @returns 0; pages not moved, with those not tried; -EINVAL, -EPERM (MPOL_MF_MOVE_ALL without CAP_SYS_NICE), -ESRCH, -EFAULT,
 *   -ENODEV (no such node), -ENOMEM
 */
export function sys_move_pages(
  k: Machine,
  pid: number,
  nr_pages: number,
  pages: readonly ulong[] | null,
  nodes: user_array,
  status: user_status,
  flags: number,
): number {
  if (flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)) return -EINVAL;
  if (flags & MPOL_MF_MOVE_ALL && !k.current.capabilities.has(CAP_SYS_NICE)) return -EPERM;
  const task = pid === 0 ? k.current : k.tasks.get(pid);
  if (task === undefined) return -ESRCH;
  if (task.mm === null) return -EINVAL;
  const m: move = { mm: task.mm, nr_pages, status, pagelist: new page_list() };
  if (nodes === null) return do_pages_stat(k, m, pages);
  lru_cache_disable(k);
  const err = do_pages_move(k, m, pages, nodes, (flags & MPOL_MF_MOVE_ALL) !== 0);
  lru_cache_enable(k);
  return err;
}
