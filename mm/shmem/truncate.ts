// SPDX-License-Identifier: GPL-2.0-only
/** Shmem files that shrink, get holes, or go (mm/shmem.c). */
import type { address_space, inode } from "../../include/linux/fs.js";
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { PG_dirty, PG_locked, PG_uptodate } from "../../include/linux/page-flags.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value } from "../../lib/xarray.js";
import { EPERM } from "../../uapi/errno.js";
import { F_SEAL_GROW, F_SEAL_SHRINK } from "../../uapi/memfd.js";
import { filemap_lock_entry, folio_lock, folio_unlock } from "../filemap.js";
import { unmap_mapping_range } from "../memory/zap.js";
import { shmem_noreserve, shmem_reacct_size, shmem_recalc_inode, shmem_unacct_size } from "../shmem.js";
import { put_page } from "../swap.js";
import { truncate_inode_folio, truncate_inode_partial_folio, truncate_unlocked } from "../truncate.js";

const NOTHING = (): boolean => false;
const UPTODATE = (flags: number): boolean => (flags & PG_uptodate) !== 0;

/** Zeroes the part of the page around `pos` that lies in [lstart, lend]. */
function zero_partial(k: Machine, mapping: address_space, pos: number, lstart: number, lend: number): void {
  const index = Math.floor(pos / PAGE_SIZE);
  if (index >= 2 ** 32) return;
  const pfn = filemap_lock_entry(k, mapping, index);
  if (pfn === 0 || xa_is_value(pfn)) return;
  k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! |= PG_dirty;
  truncate_inode_partial_folio(k, mapping, pfn, lstart, lend);
  folio_unlock(k, pfn);
  put_page(k, pfn);
}

/** Waits for the pages that were locked the first time. */
function truncate_locked(k: Machine, mapping: address_space, start: number, end: number, unfalloc: boolean): void {
  const xa = mapping.i_pages;
  for (let index = xa.find(start, end - 1); index >= 0; index = index < end - 1 ? xa.find(index + 1, end - 1) : -1) {
    const pfn = xa.load(index);
    if (xa_is_value(pfn)) continue;
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (unfalloc && s.flags[i]! & PG_uptodate && !(s.flags[i]! & PG_locked)) continue;
    s.refcount[i]!++;
    folio_lock(k, pfn);
    if (!unfalloc || !(s.flags[i]! & PG_uptodate)) truncate_inode_folio(k, mapping, pfn);
    folio_unlock(k, pfn);
    put_page(k, pfn);
  }
}

/**
 * Takes what lies in [lstart, lend] (bytes; lend -1: to the end) out of a file's cache, zeroing parts of pages. With
 * `unfalloc`, only the pages that a failed fallocate added.
 * @kernel mm/shmem.c:shmem_undo_range
 * @fidelity mirrored (order 0, no swap)
 */
export function shmem_undo_range(k: Machine, host: inode, lstart: number, lend: number, unfalloc: boolean): void {
  const mapping = host.i_mapping;
  const start = Math.ceil(lstart / PAGE_SIZE);
  const end = lend === -1 ? 2 ** 32 : Math.min(Math.floor((lend + 1) / PAGE_SIZE), 2 ** 32);
  if (start < end) truncate_unlocked(k, mapping, start, end, unfalloc ? UPTODATE : NOTHING);
  if (!unfalloc) {
    const last = lend === -1 ? Infinity : lend;
    zero_partial(k, mapping, lstart, lstart, last);
    if (lend !== -1 && Math.floor(lstart / PAGE_SIZE) !== Math.floor(lend / PAGE_SIZE)) {
      zero_partial(k, mapping, lend, lstart, last);
    }
  }
  if (start < end) truncate_locked(k, mapping, start, end, unfalloc);
  shmem_recalc_inode(k, host);
}

/** @kernel mm/shmem.c:shmem_truncate_range @fidelity mirrored */
export function shmem_truncate_range(k: Machine, host: inode, lstart: number, lend: number): void {
  shmem_undo_range(k, host, lstart, lend, false);
}

/**
 * Gives a shmem file a new size in bytes; what lies behind it is unmapped, private copies too. 0, -EPERM where a seal
 * forbids it, -ENOMEM where growth cannot be promised.
 * @kernel mm/shmem.c:shmem_setattr (ATTR_SIZE)
 * @fidelity mirrored
 */
export function shmem_truncate(k: Machine, host: inode, newsize: number): number {
  const info = host.shmem!;
  const oldsize = host.i_size;
  if ((newsize < oldsize && info.seals & F_SEAL_SHRINK) || (newsize > oldsize && info.seals & F_SEAL_GROW)) {
    return -EPERM;
  }
  if (newsize !== oldsize) {
    const error = shmem_reacct_size(k, shmem_noreserve(info), oldsize, newsize);
    if (error !== 0) return error;
    host.i_size = newsize;
  }
  if (newsize > oldsize) return 0;
  const holebegin = Math.ceil(newsize / PAGE_SIZE) * PAGE_SIZE;
  if (oldsize > holebegin) unmap_mapping_range(k, host.i_mapping, holebegin, 0, true);
  if (info.alloced !== 0) shmem_truncate_range(k, host, newsize, -1);
  if (oldsize > holebegin) unmap_mapping_range(k, host.i_mapping, holebegin, 0, true);
  return 0;
}

/** Empties a file that nobody has open or mapped any more. @kernel mm/shmem.c:shmem_evict_inode @fidelity mirrored */
export function shmem_evict_inode(k: Machine, host: inode): void {
  shmem_unacct_size(k, shmem_noreserve(host.shmem!), host.i_size);
  host.i_size = 0;
  shmem_truncate_range(k, host, 0, -1);
  k.mem.unregister(host.i_mapping);
}
