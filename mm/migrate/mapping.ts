// SPDX-License-Identifier: GPL-2.0-only
/** Putting a page in another's place: mapping, flags, contents (mm/migrate.c: migrate_folio and what it calls). */
import { VM_BUG_ON, not_modelled } from "../../include/linux/bug.js";
import type { address_space } from "../../include/linux/fs.js";
import { page_zone, set_swap_entry, type mem_section } from "../../include/linux/mem_map.js";
import { MIGRATEPAGE_SUCCESS } from "../../include/linux/migrate.js";
import { MIGRATE_SYNC_NO_COPY } from "../../include/linux/migrate_mode.js";
import {
  PG_active,
  PG_dirty,
  PG_error,
  PG_head,
  PG_ksm,
  PG_locked,
  PG_mappedtodisk,
  PG_private,
  PG_reclaim,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_unevictable,
  PG_uptodate,
  PG_workingset,
  PG_writeback,
} from "../../include/linux/page-flags.js";
import { NR_FILE_PAGES, NR_SHMEM, NR_SWAPCACHE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { EAGAIN } from "../../uapi/errno.js";
import { folio_migrate_ksm } from "../ksm.js";
import { nr_pages } from "../swap/lruvec.js";
import { replace_in_swap_cache } from "../swap_state.js";
import { __mod_node_page_state } from "../vmstat.js";
import type { migrate_control } from "./attempt.js";

/** Flags that go over to the new page as they are. */
export const CARRIED = PG_error | PG_referenced | PG_uptodate | PG_workingset | PG_mappedtodisk | PG_reclaim;

/** References that an unmapped page has when only its cache and the migration hold it. @kernel mm/migrate.c:folio_expected_refs */
function folio_expected_refs(mapping: address_space | null, flags: number, nr: number): number {
  if (mapping === null && !(flags & PG_swapcache)) return 1;
  return flags & PG_private ? nr + 2 : nr + 1;
}

/** Moves a page's share of the node counters when its new frame is on another node. */
function move_node_stats(k: Machine, newfolio: number, folio: number, flags: number, nr: number): void {
  const old_node = k.nodes[page_zone(k.mem, folio).node]!;
  const new_node = k.nodes[page_zone(k.mem, newfolio).node]!;
  if (old_node === new_node) return;
  __mod_node_page_state(old_node, NR_FILE_PAGES, -nr);
  __mod_node_page_state(new_node, NR_FILE_PAGES, nr);
  if (flags & PG_swapcache) {
    __mod_node_page_state(old_node, NR_SWAPCACHE, -nr);
    __mod_node_page_state(new_node, NR_SWAPCACHE, nr);
  } else if (flags & PG_swapbacked) {
    __mod_node_page_state(old_node, NR_SHMEM, -nr);
    __mod_node_page_state(new_node, NR_SHMEM, nr);
  }
}

/** The part that both kinds of page share: the new page takes the old one's place. */
function take_over(s: mem_section, i: number, d: mem_section, j: number, nr: number): void {
  const swapbacked = s.flags[i]! & PG_swapbacked;
  for (let n = 0; n < nr; n++) {
    d.index[j + n] = s.index[i + n]!;
    d.setMapping(j + n, s.mapping[i + n]!);
    d.flags[j + n]! |= swapbacked;
  }
}

/**
 * Puts the new page in the old one's place in its mapping, if nobody else holds the old one: 1 reference for an
 * anonymous page, 2 for one of a page cache or the swap cache (513 for a huge one), 1 more with private data.
 * @kernel mm/migrate.c:folio_migrate_mapping
 * @fidelity simplified: dirty pages are not counted
 * @returns 0, or -EAGAIN for a reference too many
 */
function folio_migrate_mapping<T>(c: migrate_control<T>, mapping: address_space | null): number {
  const { k, src, s, i, dst, d, j } = c;
  const flags = s.flags[i]!;
  const nr = nr_pages(s, i);
  const expected_count = folio_expected_refs(mapping, flags, nr);
  if (s.refcount[i] !== expected_count) {
    c.attempt.unexpected(s.refcount[i]!, expected_count);
    return -EAGAIN;
  }
  take_over(s, i, d, j, nr);
  if (mapping === null && !(flags & PG_swapcache)) return MIGRATEPAGE_SUCCESS;
  d.addRefs(j, nr);
  if (flags & PG_dirty) {
    s.flags[i]! &= ~PG_dirty;
    d.flags[j]! |= PG_dirty;
  }
  if (mapping === null) replace_in_swap_cache(k, dst, src);
  else for (let n = 0; n < nr; n++) mapping.i_pages.store(s.index[i + n]!, dst + n);
  s.setRefs(i, expected_count - nr);
  if (k.nodes.length > 1) move_node_stats(k, dst, src, flags, nr);
  return MIGRATEPAGE_SUCCESS;
}

/**
 * Copies the flags that describe the contents, and moves those that describe the page's standing.
 * @kernel mm/migrate.c:folio_migrate_flags
 * @fidelity simplified: no NUMA hints, no idle tracking
 */
function folio_migrate_flags<T>(c: migrate_control<T>): void {
  const { k, src, s, i, dst, d, j } = c;
  const flags = s.flags[i]!;
  if (flags & PG_ksm) folio_migrate_ksm(k, dst, src);
  let moved = flags & (CARRIED | PG_dirty);
  if (flags & PG_active) {
    VM_BUG_ON((flags & PG_unevictable) !== 0, "a page both active and unevictable");
    moved |= PG_active;
  } else moved |= flags & PG_unevictable;
  s.flags[i] = flags & ~(PG_active | PG_unevictable | PG_private | PG_swapcache);
  if (!(flags & PG_head) || flags & PG_swapcache) set_swap_entry(k.mem, src, null);
  d.flags[j]! |= moved;
}

/** @kernel mm/util.c:folio_copy @fidelity mirrored: of the byte that is kept of each page */
function folio_copy(s: mem_section, i: number, d: mem_section, j: number, nr: number): void {
  for (let n = 0; n < nr; n++) d.content[j + n] = s.content[i + n]!;
}

/**
 * Migrates one page that has no private data: mapping, contents, flags. Both are locked.
 * @kernel mm/migrate.c:migrate_folio
 * @fidelity mirrored
 * @returns 0 or -EAGAIN
 */
function migrate_folio<T>(c: migrate_control<T>, mapping: address_space | null): number {
  const { s, i, d, j } = c;
  VM_BUG_ON((s.flags[i]! & PG_writeback) !== 0, "migrating a page under writeback");
  const rc = folio_migrate_mapping(c, mapping);
  if (rc !== MIGRATEPAGE_SUCCESS) return rc;
  if (c.mode !== MIGRATE_SYNC_NO_COPY) folio_copy(s, i, d, j, nr_pages(s, i));
  folio_migrate_flags(c);
  return MIGRATEPAGE_SUCCESS;
}

/**
 * Migrates one unmapped page by whatever its mapping has for that. Both are locked.
 * @kernel mm/migrate.c:move_to_new_folio
 * @fidelity simplified: every file system migrates as filemap_migrate_folio does; no movable pages off the LRU
 * @returns 0 or -errno
 */
export function move_to_new_folio<T>(c: migrate_control<T>): number {
  const { s, i } = c;
  VM_BUG_ON((s.flags[i]! & PG_locked) === 0, "migrating a page that is not locked");
  const owner = c.k.mem.owners[s.mapping[i]!];
  if (owner === undefined || owner.is_anon) return migrate_folio(c, null);
  if (s.flags[i]! & PG_private) not_modelled("mm/migrate.c: buffer_migrate_folio");
  const rc = migrate_folio(c, owner as address_space);
  if (rc === MIGRATEPAGE_SUCCESS) {
    const nr = nr_pages(s, i);
    for (let n = 0; n < nr; n++) s.setMapping(i + n, 0);
  }
  return rc;
}
