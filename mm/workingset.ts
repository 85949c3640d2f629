// SPDX-License-Identifier: GPL-2.0-only
/**
 * Refaults (mm/workingset.c): where a page was that reclaim took away stays a shadow, which says how much its node had
 * aged by then. Who comes back soon enough, by the pages that aged the node since, is active at once.
 *
 * A shadow is a value entry, of 31 bits here: whether the page was part of the working set, its node, and 29 bits of the
 * age. The kernel's has 56 of them, or 30 where a word has 32 bits, and counts in steps of 2^bucket_order pages, which is 1
 * on any machine that can be booted here.
 */
import type { address_space } from "../include/linux/fs.js";
import { type mem_section, page_zone, PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import type { pglist_data } from "../include/linux/mmzone.js";
import { PG_active, PG_swapbacked, PG_workingset } from "../include/linux/page-flags.js";
import { subsys_state } from "../include/linux/subsys.js";
import { get_nr_swap_pages } from "../include/linux/swap.js";
import {
  NR_ACTIVE_ANON,
  NR_ACTIVE_FILE,
  NR_INACTIVE_ANON,
  NR_INACTIVE_FILE,
  WORKINGSET_ACTIVATE_BASE,
  WORKINGSET_NODERECLAIM,
  WORKINGSET_NODES,
  WORKINGSET_REFAULT_BASE,
  WORKINGSET_RESTORE_BASE,
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { XA_CHUNK_SHIFT, xa_is_value, xa_mk_value, xa_to_value, type xarray } from "../lib/xarray.js";
import { radix_tree_node_free } from "./slub.js";
import { lru_note_cost, nr_pages } from "./swap/lruvec.js";

const WORKINGSET_SHIFT = 1;
const NODES_SHIFT = 1;
const EVICTION_SHIFT = WORKINGSET_SHIFT + NODES_SHIFT;
const EVICTION_MASK = 2 ** (31 - EVICTION_SHIFT) - 1;

function pack_shadow(node: pglist_data, eviction: number, workingset: boolean): number {
  const of = (node.node_id << WORKINGSET_SHIFT) | (workingset ? 1 : 0);
  return xa_mk_value(((eviction & EVICTION_MASK) << EVICTION_SHIFT) | of);
}

/** What a shadow says: of which node the page was, how old that was then, and whether the page was of its working set. */
function unpack_shadow(k: Machine, shadow: number): { node: pglist_data; eviction: number; workingset: boolean } {
  const entry = xa_to_value(shadow);
  return {
    node: k.nodes[(entry >>> WORKINGSET_SHIFT) & ((1 << NODES_SHIFT) - 1)]!,
    eviction: entry >>> EVICTION_SHIFT,
    workingset: (entry & 1) !== 0,
  };
}

/** A node ages by so many pages: each eviction and each activation moves the others towards the end of their list. @kernel mm/workingset.c:workingset_age_nonresident @fidelity mirrored */
export function workingset_age_nonresident(node: pglist_data, nr: number): void {
  node.__lruvec.nonresident_age += nr;
}

/**
 * Notes that a page, or a huge one by its head, is taken from memory.
 * @kernel mm/workingset.c:workingset_eviction
 * @fidelity mirrored (no memory control groups); 29 bits of the age
 * @returns the shadow that is to stand in its place
 */
export function workingset_eviction(k: Machine, pfn: number): number {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const node = k.nodes[page_zone(k.mem, pfn).node]!;
  const eviction = node.__lruvec.nonresident_age;
  workingset_age_nonresident(node, nr_pages(s, i));
  return pack_shadow(node, eviction, (s.flags[i]! & PG_workingset) !== 0);
}

/** A page was used again and is to be active. @kernel mm/workingset.c:workingset_activation @fidelity mirrored */
export function workingset_activation(k: Machine, pfn: number, s: mem_section, i: number): void {
  const node = k.nodes.length === 1 ? k.nodes[0]! : k.nodes[page_zone(k.mem, pfn).node]!;
  workingset_age_nonresident(node, nr_pages(s, i));
}

/** Pages that compete with one that comes back, all that swap or a file can take; `file`: 1 for one of a file's. */
function workingset_size(k: Machine, node: pglist_data, file: 0 | 1): number {
  const stat = node.vm_stat;
  let size = stat[NR_ACTIVE_FILE]! + (file ? 0 : stat[NR_INACTIVE_FILE]!);
  if (get_nr_swap_pages(k) > 0) size += stat[NR_ACTIVE_ANON]! + (file ? stat[NR_INACTIVE_ANON]! : 0);
  return size;
}

/**
 * A new page, on no list yet, takes the place of one that left `shadow`: it is active if that was not long ago.
 * @kernel mm/workingset.c:workingset_refault
 * @fidelity mirrored (no memory control groups)
 */
export function workingset_refault(k: Machine, pfn: number, shadow: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const file = s.flags[i]! & PG_swapbacked ? 0 : 1;
  const { node, eviction, workingset } = unpack_shadow(k, shadow);
  const distance = (node.__lruvec.nonresident_age - eviction) & EVICTION_MASK;
  const nr = nr_pages(s, i);
  node.vm_stat[WORKINGSET_REFAULT_BASE + file]! += nr;
  if (distance > workingset_size(k, node, file)) return;
  s.flags[i]! |= PG_active;
  workingset_age_nonresident(node, nr);
  node.vm_stat[WORKINGSET_ACTIVATE_BASE + file]! += nr;
  if (!workingset) return;
  s.flags[i]! |= PG_workingset;
  lru_note_cost(k.nodes[page_zone(k.mem, pfn).node]!, file, nr);
  node.vm_stat[WORKINGSET_RESTORE_BASE + file]! += nr;
}

/** A node of a page cache's index, by its first index. */
interface xa_node {
  readonly mapping: address_space;
  readonly first: number;
}

class shadow_state {
  /** Index nodes of files' page caches that hold shadows alone; those that came to first. @kernel mm/workingset.c:shadow_nodes */
  readonly shadow_nodes = new Map<string, xa_node>();
}

/** The index nodes that {@link workingset_update_node} keeps. */
export function shadow_nodes(k: Machine): Map<string, xa_node> {
  return subsys_state(k, "mm/workingset.c", () => new shadow_state()).shadow_nodes;
}

const CHUNK = 1 << XA_CHUNK_SHIFT;

/** Does a node of an index hold shadows and nothing else? */
export function only_shadows(xa: xarray, first: number): boolean {
  if (xa.nodes === 0) return false;
  let shadows = 0;
  for (let index = first; index < first + CHUNK; index++) {
    const entry = xa.load(index);
    if (xa_is_value(entry)) shadows++;
    else if (entry !== 0) return false;
  }
  return shadows > 0;
}

/**
 * What stands at an index of a file's page cache has changed: notes whether its node holds shadows alone now.
 * @kernel mm/workingset.c:workingset_update_node
 * @fidelity simplified: all nodes count with the first node of memory
 */
export function workingset_update_node(k: Machine, mapping: address_space, index: number): void {
  const nodes = shadow_nodes(k);
  if (nodes.size === 0 && mapping.i_pages.size === mapping.nrpages) return;
  const first = index - (index % CHUNK);
  const key = `${mapping.owner_id}:${first}`;
  const only = only_shadows(mapping.i_pages, first);
  if (only === nodes.has(key)) return;
  k.nodes[0]!.vm_stat[WORKINGSET_NODES]! += only ? 1 : -1;
  if (only) nodes.set(key, { mapping, first });
  else nodes.delete(key);
}

/** Takes shadows of [start, end] out of a file's page cache. */
export function clear_shadows(k: Machine, mapping: address_space, start: number, end: number): void {
  const xa = mapping.i_pages;
  if (xa.size === mapping.nrpages) return;
  const before = xa.nodes;
  xa.forEach(start, end, (index, entry) => {
    if (!xa_is_value(entry)) return;
    xa.erase(index);
    workingset_update_node(k, mapping, index);
  });
  if (xa.nodes < before) radix_tree_node_free(k, before - xa.nodes);
}

/** How many index nodes with shadows alone are more than pays. @kernel mm/workingset.c:count_shadow_nodes @fidelity mirrored (no memory control groups) */
export function count_shadow_nodes(k: Machine): number {
  const pages = k.nodes.reduce(
    (n, { node_zones }) => n + node_zones.reduce((m, z) => m + (z?.present_pages ?? 0), 0),
    0,
  );
  return Math.max(shadow_nodes(k).size - (pages >>> (XA_CHUNK_SHIFT - 3)), 0);
}

/** Empties the oldest of those nodes; how many. @kernel mm/workingset.c:scan_shadow_nodes, shadow_lru_isolate @fidelity mirrored */
export function scan_shadow_nodes(k: Machine, nr_to_scan: number): number {
  const oldest = [...shadow_nodes(k).values()].slice(0, nr_to_scan);
  for (const { mapping, first } of oldest) clear_shadows(k, mapping, first, first + CHUNK - 1);
  k.nodes[0]!.vm_stat[WORKINGSET_NODERECLAIM]! += oldest.length;
  return oldest.length;
}
