// SPDX-License-Identifier: GPL-2.0-only
/** What huge entries count on their pages (mm/rmap.c: the compound halves of page_add_*_rmap and page_remove_rmap). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import {
  compound_mapcount,
  page_clear,
  page_set,
  page_test,
  page_zone,
  PageAnon,
  PFN_SECTION_MASK,
  set_compound_mapcount,
} from "../../include/linux/mem_map.js";
import { PG_double_map, PG_swapbacked } from "../../include/linux/page-flags.js";
import { HPAGE_PMD_NR } from "../../include/linux/types.js";
import { NR_ANON_MAPPED, NR_ANON_THPS, NR_FILE_MAPPED, NR_SHMEM_PMDMAPPED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { deferred_split_huge_page } from "../huge_memory/deferred.js";

function mod_node_stat(k: Machine, head: number, item: number, n: number): void {
  k.nodes[page_zone(k.mem, head).node]!.vm_stat[item]! += n;
}

/**
 * Names the owner in all pages of a huge page: tails say what their head says, so that each can be looked at alone.
 * `index`: page offset of the head.
 */
export function set_compound_mapping(k: Machine, head: number, owner_id: number, index: number): void {
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  for (let n = 0; n < HPAGE_PMD_NR; n++) {
    s.setMapping(i + n, owner_id);
    s.index[i + n] = index + n;
  }
}

/** Sets a flag on all pages of a huge page: of those that are looked for on tails. */
export function set_compound_flag(k: Machine, head: number, flag: number): void {
  const { flags } = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  for (let n = i; n < i + HPAGE_PMD_NR; n++) flags[n]! |= flag;
}

/** Adds `by` to the mapcount of every page of a huge page; says how many that made mapped, or left unmapped. */
function mod_subpages(k: Machine, head: number, by: 1 | -1): number {
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  let changed = 0;
  for (let n = i; n < i + HPAGE_PMD_NR; n++) {
    const now = s.addMaps(n, by);
    VM_BUG_ON(now < 0, "a part of a huge page is unmapped more often than mapped");
    if (now === (by === 1 ? 1 : 0)) changed++;
  }
  return changed;
}

/** Counts the first huge entry of a new anonymous page; its owner is set by the caller. */
export function add_new_anon_compound(k: Machine, head: number): void {
  set_compound_flag(k, head, PG_swapbacked);
  set_compound_mapcount(k.mem, head, 1);
  mod_node_stat(k, head, NR_ANON_THPS, HPAGE_PMD_NR);
  mod_node_stat(k, head, NR_ANON_MAPPED, HPAGE_PMD_NR);
}

/** Counts one more huge entry of an anonymous page; true for the first. */
export function add_anon_compound(k: Machine, head: number): boolean {
  const n = compound_mapcount(k.mem, head);
  set_compound_mapcount(k.mem, head, n + 1);
  if (n > 0) return false;
  mod_node_stat(k, head, NR_ANON_THPS, HPAGE_PMD_NR);
  mod_node_stat(k, head, NR_ANON_MAPPED, HPAGE_PMD_NR);
  return true;
}

/** Counts one more huge entry of a file's page, which each of its pages counts too. */
export function add_file_compound(k: Machine, head: number): void {
  const nr = mod_subpages(k, head, 1);
  const n = compound_mapcount(k.mem, head);
  set_compound_mapcount(k.mem, head, n + 1);
  if (n === 0) {
    if (nr === HPAGE_PMD_NR) page_clear(k.mem, head, PG_double_map);
    mod_node_stat(k, head, NR_SHMEM_PMDMAPPED, HPAGE_PMD_NR);
  }
  if (nr > 0) mod_node_stat(k, head, NR_FILE_MAPPED, nr);
}

function remove_file_compound(k: Machine, head: number): void {
  const nr = mod_subpages(k, head, -1);
  const n = compound_mapcount(k.mem, head) - 1;
  set_compound_mapcount(k.mem, head, n);
  if (n === 0) mod_node_stat(k, head, NR_SHMEM_PMDMAPPED, -HPAGE_PMD_NR);
  if (nr > 0) mod_node_stat(k, head, NR_FILE_MAPPED, -nr);
}

/** @kernel mm/rmap.c:page_remove_anon_compound_rmap @fidelity mirrored */
function page_remove_anon_compound_rmap(k: Machine, head: number): void {
  const n = compound_mapcount(k.mem, head) - 1;
  set_compound_mapcount(k.mem, head, n);
  if (n > 0) return;
  mod_node_stat(k, head, NR_ANON_THPS, -HPAGE_PMD_NR);
  let nr = HPAGE_PMD_NR;
  if (page_test(k.mem, head, PG_double_map)) {
    page_clear(k.mem, head, PG_double_map);
    nr = mod_subpages(k, head, -1);
    if (nr > 0 && nr < HPAGE_PMD_NR) deferred_split_huge_page(k, head);
  }
  mod_node_stat(k, head, NR_ANON_MAPPED, -nr);
}

/** Takes one huge entry from a page. */
export function remove_compound(k: Machine, head: number): void {
  VM_BUG_ON(compound_mapcount(k.mem, head) === 0, "page_remove_rmap of a huge page without huge entries");
  if (PageAnon(k.mem, head)) page_remove_anon_compound_rmap(k, head);
  else remove_file_compound(k, head);
}

/**
 * A huge entry of an anonymous page becomes a table of entries: what it counted, the pages count.
 * @kernel mm/huge_memory.c:__split_huge_pmd_locked
 */
export function split_compound_mapping(k: Machine, head: number): void {
  const m = k.mem;
  mod_subpages(k, head, 1);
  const n = compound_mapcount(m, head);
  if (n > 1 && !page_test(m, head, PG_double_map)) {
    page_set(m, head, PG_double_map);
    mod_subpages(k, head, 1);
  }
  set_compound_mapcount(m, head, n - 1);
  if (n > 1) return;
  mod_node_stat(k, head, NR_ANON_THPS, -HPAGE_PMD_NR);
  if (!page_test(m, head, PG_double_map)) return;
  page_clear(m, head, PG_double_map);
  mod_subpages(k, head, -1);
}
