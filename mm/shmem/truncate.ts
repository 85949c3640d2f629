// SPDX-License-Identifier: GPL-2.0-only
/** Shmem files that shrink, get holes, or go (mm/shmem.c). */
import type { address_space, inode } from "../../include/linux/fs.js";
import { compound_head, folio_nr_pages, page_test, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { PG_dirty, PG_head, PG_locked, PG_uptodate } from "../../include/linux/page-flags.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value } from "../../lib/xarray.js";
import { EPERM } from "../../uapi/errno.js";
import { F_SEAL_GROW, F_SEAL_SHRINK } from "../../uapi/memfd.js";
import { filemap_lock_entry, folio_lock, folio_unlock } from "../filemap.js";
import { unmap_mapping_range } from "../memory/zap.js";
import {
  SGP_READ,
  shmem_get_folio,
  shmem_noreserve,
  shmem_reacct_size,
  shmem_recalc_inode,
  shmem_unacct_size,
} from "../shmem.js";
import { put_page } from "../swap.js";
import { shmem_free_swaps } from "./swap.js";
import { truncate_inode_folio, truncate_inode_partial_folio, truncate_unlocked } from "../truncate.js";

const NOTHING = (): boolean => false;
const UPTODATE = (flags: number): boolean => (flags & PG_uptodate) !== 0;

/** Pages [start, end) of a file that are still to go. */
interface range {
  start: number;
  end: number;
}

/**
 * Zeroes the part of the page (or huge page) around `pos` that lies in [lstart, lend]. One that cannot be split stays,
 * and `r` shrinks so as to leave it out.
 * @returns the page offset behind it, -1 where there is none
 */
function zero_partial(
  k: Machine,
  mapping: address_space,
  pos: number,
  lstart: number,
  lend: number,
  r: range,
  first: boolean,
): number {
  const index = Math.floor(pos / PAGE_SIZE);
  if (index >= 2 ** 32) return -1;
  let page = filemap_lock_entry(k, mapping, index);
  if (xa_is_value(page)) page = shmem_get_folio(k, mapping.host, index, SGP_READ);
  if (page <= 0) return -1;
  const head = compound_head(k.mem, page);
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  const from = s.index[i]!;
  const next = from + folio_nr_pages(k.mem, head);
  s.flags[i]! |= PG_dirty;
  if (!truncate_inode_partial_folio(k, mapping, head, lstart, lend)) {
    if (first) r.start = next;
    if (!first || lend < next * PAGE_SIZE) r.end = from;
  }
  folio_unlock(k, head);
  put_page(k, head);
  return next;
}

/** Both ends of a range. */
function zero_partials(k: Machine, mapping: address_space, lstart: number, lend: number, r: range): void {
  const next = zero_partial(k, mapping, lstart, lstart, lend, r, true);
  let same = Math.floor(lstart / PAGE_SIZE) === Math.floor(lend / PAGE_SIZE);
  if (next >= 0) same = lend < next * PAGE_SIZE;
  if (!same && lend !== Infinity) zero_partial(k, mapping, lend, lstart, lend, r, false);
}

/** Takes one locked page, or what of a huge one lies in [lstart, lend], out. True: a huge one was split for that. */
function truncate_one(k: Machine, mapping: address_space, head: number, lstart: number, lend: number): boolean {
  if (!page_test(k.mem, head, PG_head)) {
    truncate_inode_folio(k, mapping, head);
    return false;
  }
  return truncate_inode_partial_folio(k, mapping, head, lstart, lend) && !page_test(k.mem, head, PG_head);
}

/** Waits for the pages that were locked the first time; huge ones that reach out of the range are split. */
function truncate_locked(
  k: Machine,
  mapping: address_space,
  { start, end }: range,
  lstart: number,
  lend: number,
  unfalloc: boolean,
): void {
  const xa = mapping.i_pages;
  let to = start;
  for (let index = xa.find(start, end - 1); index >= 0; index = to < end - 1 ? xa.find(to + 1, end - 1) : -1) {
    to = index;
    const page = xa.load(index);
    if (xa_is_value(page)) continue;
    const head = compound_head(k.mem, page);
    const s = k.mem.section(head);
    const i = head & PFN_SECTION_MASK;
    to = s.index[i]! + folio_nr_pages(k.mem, head) - 1;
    if (unfalloc && s.flags[i]! & PG_uptodate && !(s.flags[i]! & PG_locked)) continue;
    s.addRefs(i, 1);
    folio_lock(k, head);
    const goes = !unfalloc || !(s.flags[i]! & PG_uptodate);
    if (goes && truncate_one(k, mapping, head, lstart, lend)) to = start - 1;
    folio_unlock(k, head);
    put_page(k, head);
  }
}

/**
 * Takes what lies in [lstart, lend] (bytes; lend -1: to the end) out of a file's cache, zeroing parts of pages. With
 * `unfalloc`, only the pages that a failed fallocate added.
 * @kernel mm/shmem.c:shmem_undo_range
 * @fidelity mirrored: what is in swap goes first
 */
export function shmem_undo_range(k: Machine, host: inode, lstart: number, lend: number, unfalloc: boolean): void {
  const mapping = host.i_mapping;
  const info = host.shmem!;
  const last = lend === -1 ? Infinity : lend;
  const r: range = {
    start: Math.ceil(lstart / PAGE_SIZE),
    end: Math.min(Math.floor((last + 1) / PAGE_SIZE), 2 ** 32),
  };
  if (info.fallocend > r.start && info.fallocend <= r.end && !unfalloc) info.fallocend = r.start;
  if (r.start < r.end && !unfalloc) shmem_free_swaps(k, host, r.start, r.end);
  if (r.start < r.end) truncate_unlocked(k, mapping, r.start, r.end, unfalloc ? UPTODATE : NOTHING);
  if (!unfalloc) zero_partials(k, mapping, lstart, last, r);
  if (r.start < r.end) truncate_locked(k, mapping, r, lstart, last, unfalloc);
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
