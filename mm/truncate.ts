// SPDX-License-Identifier: GPL-2.0-only
/** Taking pages out of page caches (mm/truncate.c). */
import { PAGEVEC_SIZE } from "../include/linux/pagevec.js";
import type { address_space } from "../include/linux/fs.js";
import { compound_head, folio_mapped, folio_nr_pages, PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { PG_dirty, PG_locked } from "../include/linux/page-flags.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { XA_MAX_INDEX, xa_is_value } from "../lib/xarray.js";
import { filemap_remove_folio, folio_trylock, folio_unlock } from "./filemap.js";
import { split_huge_page } from "./huge_memory/split.js";
import { unmap_mapping_pages, unmap_mapping_range } from "./memory/zap.js";
import { lru_add_drain, put_page, release_pages } from "./swap.js";
import { clear_shadows } from "./workingset.js";

/**
 * Unmaps a locked page, or a huge one by its head, from everywhere and takes it out of its cache.
 * @kernel mm/truncate.c:truncate_inode_folio
 * @fidelity mirrored
 */
export function truncate_inode_folio(k: Machine, mapping: address_space, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.mapping[i] !== mapping.owner_id) return;
  if (folio_mapped(k.mem, pfn)) unmap_mapping_pages(k, mapping, s.index[i]!, folio_nr_pages(k.mem, pfn), false);
  s.flags[i]! &= ~PG_dirty;
  filemap_remove_folio(k, pfn);
}

/**
 * Zeroes what lies in [start, end] (bytes of the file) of a locked page, or of a huge one by its head, which is split;
 * all of it: takes the page out. False when it could not be split, which is for huge ones only.
 * @kernel mm/truncate.c:truncate_inode_partial_folio
 * @fidelity simplified: of the contents, only a page's first byte is kept
 */
export function truncate_inode_partial_folio(
  k: Machine,
  mapping: address_space,
  pfn: number,
  start: number,
  end: number,
): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const pos = s.index[i]! * PAGE_SIZE;
  const nr = folio_nr_pages(k.mem, pfn);
  if (start <= pos && end >= pos + nr * PAGE_SIZE - 1) {
    truncate_inode_folio(k, mapping, pfn);
    return true;
  }
  for (let n = 0; n < nr; n++) {
    const at = pos + n * PAGE_SIZE;
    if (start <= at && end >= at) s.content[i + n] = 0;
  }
  if (nr === 1 || split_huge_page(k, pfn) === 0) return true;
  if (s.flags[i]! & PG_dirty) return false;
  truncate_inode_folio(k, mapping, pfn);
  return true;
}

/**
 * Takes the pages of [start, end) (page offsets) out of a cache but for those that are locked, and huge ones that reach
 * out of the range. `skip`: spares a page.
 * @kernel mm/truncate.c:truncate_inode_pages_range, mm/shmem.c:shmem_undo_range (first loop)
 * @fidelity mirrored
 */
export function truncate_unlocked(
  k: Machine,
  mapping: address_space,
  start: number,
  end: number,
  skip: (flags: number) => boolean,
): void {
  const xa = mapping.i_pages;
  const last = end - 1;
  let batch: number[] = [];
  let drained = false;
  const release = (): void => {
    if (!drained) lru_add_drain(k);
    drained = true;
    release_pages(k, batch);
    batch = [];
  };
  let to = start;
  for (let index = xa.find(start, last); index >= 0; index = to < last ? xa.find(to + 1, last) : -1) {
    to = index;
    const page = xa.load(index);
    if (xa_is_value(page)) continue;
    const pfn = compound_head(k.mem, page);
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    to = s.index[i]! + folio_nr_pages(k.mem, pfn) - 1;
    if (s.index[i]! < start || to > last || s.flags[i]! & PG_locked || skip(s.flags[i]!)) continue;
    s.addRefs(i, 1);
    folio_trylock(k, pfn);
    truncate_inode_folio(k, mapping, pfn);
    folio_unlock(k, pfn);
    batch.push(pfn);
    if (batch.length === PAGEVEC_SIZE) release();
  }
  if (batch.length > 0) release();
}

/**
 * Empties the page cache of a file from a byte offset on, or of a file that goes.
 * @kernel mm/truncate.c:truncate_inode_pages
 * @fidelity mirrored
 */
export function truncate_inode_pages(k: Machine, mapping: address_space, lstart: number): void {
  truncate_unlocked(k, mapping, Math.ceil(lstart / PAGE_SIZE), 2 ** 32, () => false);
  if (mapping.host.shmem === null) clear_shadows(k, mapping, Math.ceil(lstart / PAGE_SIZE), XA_MAX_INDEX);
  const pfn = mapping.i_pages.load(Math.floor(lstart / PAGE_SIZE));
  if (lstart % PAGE_SIZE === 0 || pfn === 0 || xa_is_value(pfn)) return;
  truncate_inode_partial_folio(k, mapping, pfn, lstart, Infinity);
}

/**
 * Unmaps and forgets what lies behind a file's new end.
 * @kernel mm/truncate.c:truncate_pagecache
 * @fidelity mirrored
 */
export function truncate_pagecache(k: Machine, mapping: address_space, newsize: number): void {
  const holebegin = Math.ceil(newsize / PAGE_SIZE) * PAGE_SIZE;
  unmap_mapping_range(k, mapping, holebegin, 0, true);
  truncate_inode_pages(k, mapping, newsize);
  unmap_mapping_range(k, mapping, holebegin, 0, true);
}

/** Drops a reference taken for looking at a page. */
export function put_entry(k: Machine, pfn: number): void {
  folio_unlock(k, pfn);
  put_page(k, pfn);
}
