// SPDX-License-Identifier: GPL-2.0-only
/**
 * References to pages, and the LRU lists that they wait on (mm/swap.c). A page on its way between lists stands in a
 * per-CPU batch of {@link PAGEVEC_SIZE}, which holds a reference to it until the batch is drained.
 */
import { VM_BUG_ON } from "../include/linux/bug.js";
import {
  type mem_map,
  type mem_section,
  folio_mapped,
  page_owner_of,
  page_zone,
  PageAnon,
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
} from "../include/linux/mem_map.js";
import { VM_LOCKED, VM_SPECIAL } from "../include/linux/mm.js";
import type { anon_vma, vm_area_struct } from "../include/linux/mm_types.js";
import type { address_space } from "../include/linux/fs.js";
import type { zone } from "../include/linux/mmzone.js";
import type { Machine } from "../include/machine.js";
import {
  PG_active,
  PG_dirty,
  PG_head,
  PG_locked,
  PG_lru,
  PG_mlocked,
  PG_reclaim,
  PG_referenced,
  PG_swapbacked,
  PG_swapcache,
  PG_tail,
  PG_unevictable,
  PG_writeback,
} from "../include/linux/page-flags.js";
import {
  BATCH_ACTIVATE,
  BATCH_LRU_ADD,
  BATCH_LRU_DEACTIVATE,
  BATCH_LRU_DEACTIVATE_FILE,
  BATCH_LRU_LAZYFREE,
  BATCH_LRU_ROTATE,
  batch_call,
  PAGEVEC_SIZE,
} from "../include/linux/pagevec.js";
import { HPAGE_PMD_ORDER } from "../include/linux/types.js";
import { vm_flags_test } from "../include/linux/vm_flags.js";
import {
  NR_MLOCK,
  NR_ZONE_INACTIVE_ANON,
  PGACTIVATE,
  PGDEACTIVATE,
  PGLAZYFREE,
  PGROTATED,
  UNEVICTABLE_PGCLEARED,
  UNEVICTABLE_PGCULLED,
  UNEVICTABLE_PGRESCUED,
} from "../include/linux/vmstat.js";
import { list_add, list_move } from "../lib/pagelist.js";
import { free_transhuge_page } from "./huge_memory/deferred.js";
import { mlock_new_page, mlock_page_drain_local, need_mlock_page_drain } from "./mlock.js";
import { free_the_page, free_unref_page_list } from "./page_alloc/free.js";
import {
  activate_run,
  is_lru_run,
  lru_list,
  lruvec_add_folio,
  lruvec_del_folio,
  lruvecAddAll,
  nr_pages,
} from "./swap/lruvec.js";
import { count_vm_events } from "./vmstat.js";
import { workingset_activation } from "./workingset.js";

export { lruvec_add_folio, lruvec_del_folio } from "./swap/lruvec.js";

function __page_cache_release(k: Machine, s: mem_section, i: number, pfn: number): void {
  const flags = s.flags[i]!;
  if (flags & PG_lru) {
    lruvec_del_folio(k, pfn);
    s.flags[i]! &= ~(PG_lru | PG_active | PG_unevictable);
  }
  if (flags & PG_mlocked) {
    const nr = nr_pages(s, i);
    s.flags[i]! &= ~PG_mlocked;
    page_zone(k.mem, pfn).vm_stat[NR_MLOCK]! -= nr;
    k.vm_events[UNEVICTABLE_PGCLEARED]! += nr;
  }
}

/** Takes a reference to a page. @kernel include/linux/mm.h:get_page @fidelity mirrored */
export function get_page(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_tail) return get_page(k, s.private_[i]!);
  VM_BUG_ON(s.refcount[i]! <= 0, "get_page of a free page");
  s.addRefs(i, 1);
}

/** Frees a compound page. @kernel mm/page_alloc.c:destroy_large_folio @fidelity mirrored */
function destroy_large_folio(k: Machine, head: number, order: number): void {
  if (order === HPAGE_PMD_ORDER) free_transhuge_page(k, head);
  free_the_page(k, head, order);
}

/**
 * Drops a reference to a page and frees the page with the last one.
 * @kernel include/linux/mm.h:put_page, mm/swap.c:__folio_put
 * @fidelity mirrored
 */
export function put_page(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_tail) return put_page(k, s.private_[i]!);
  const ref = s.addRefs(i, -1);
  if (ref > 0) return;
  VM_BUG_ON(ref < 0, "put_page of a free page");
  __page_cache_release(k, s, i, pfn);
  if (s.flags[i]! & PG_head) destroy_large_folio(k, pfn, s.private_[i]!);
  else free_the_page(k, pfn, 0);
}

/**
 * Drops one reference to each page of an array and frees together those that had no other, the last of them first.
 * @kernel mm/swap.c:release_pages
 * @fidelity mirrored
 */
export function release_pages(k: Machine, pfns: readonly number[]): void {
  const free: number[] = [];
  for (const page of pfns) {
    let pfn = page;
    let s = k.mem.section(pfn);
    let i = pfn & PFN_SECTION_MASK;
    if (s.flags[i]! & PG_tail) {
      pfn = s.private_[i]!;
      s = k.mem.section(pfn);
      i = pfn & PFN_SECTION_MASK;
    }
    const ref = s.addRefs(i, -1);
    if (ref > 0) continue;
    VM_BUG_ON(ref < 0, "release_pages of a free page");
    __page_cache_release(k, s, i, pfn);
    if (s.flags[i]! & PG_head) destroy_large_folio(k, pfn, s.private_[i]!);
    else free.push(pfn);
  }
  if (free.length > 0) free_unref_page_list(k, free.reverse());
}

/** Is a page's place an evictable list? @kernel mm/internal.h:folio_evictable */
export function folio_evictable(m: mem_map, pfn: number): boolean {
  const s = m.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_mlocked) return false;
  const owner = page_owner_of(m, pfn) as anon_vma | address_space | undefined;
  return owner === undefined || owner.is_anon || !owner.unevictable;
}

function lru_add_fn(k: Machine, pfn: number, s: mem_section, i: number): void {
  const was_unevictable = (s.flags[i]! & PG_unevictable) !== 0;
  if (was_unevictable) s.flags[i]! &= ~PG_unevictable;
  if (folio_evictable(k.mem, pfn)) {
    if (was_unevictable) count_vm_events(k, UNEVICTABLE_PGRESCUED, nr_pages(s, i));
  } else {
    s.flags[i] = (s.flags[i]! & ~PG_active) | PG_unevictable;
    s.setPrev(i, 0, 0);
    if (!was_unevictable) count_vm_events(k, UNEVICTABLE_PGCULLED, nr_pages(s, i));
  }
  lruvec_add_folio(k, pfn);
}

function lru_move_tail_fn(k: Machine, pfn: number, s: mem_section, i: number): void {
  if (s.flags[i]! & PG_unevictable) return;
  lruvec_del_folio(k, pfn);
  s.flags[i]! &= ~PG_active;
  lruvec_add_folio(k, pfn, true);
  count_vm_events(k, PGROTATED, nr_pages(s, i));
}

function folio_activate_fn(k: Machine, pfn: number, s: mem_section, i: number): void {
  const flags = s.flags[i]!;
  if (flags & (PG_active | PG_unevictable)) return;
  const from = lru_list(flags);
  const nr = nr_pages(s, i);
  const z = page_zone(k.mem, pfn);
  const node = k.nodes[z.node]!;
  node.vm_stat[from]! -= nr;
  node.vm_stat[from + 1]! += nr;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + from]! -= nr;
  z.vm_stat[NR_ZONE_INACTIVE_ANON + from + 1]! += nr;
  list_move(k.mem, node.__lruvec.lists[from]!, node.__lruvec.lists[from + 1]!, pfn);
  s.flags[i] = flags | PG_active;
  k.vm_events[PGACTIVATE]! += nr;
}

function lru_deactivate_file_fn(k: Machine, pfn: number, s: mem_section, i: number): void {
  const active = (s.flags[i]! & PG_active) !== 0;
  if (s.flags[i]! & PG_unevictable || folio_mapped(k.mem, pfn)) return;
  lruvec_del_folio(k, pfn);
  s.flags[i]! &= ~(PG_active | PG_referenced);
  if (s.flags[i]! & (PG_writeback | PG_dirty)) {
    lruvec_add_folio(k, pfn);
    s.flags[i]! |= PG_reclaim;
  } else {
    lruvec_add_folio(k, pfn, true);
    count_vm_events(k, PGROTATED, nr_pages(s, i));
  }
  if (active) count_vm_events(k, PGDEACTIVATE, nr_pages(s, i));
}

function lru_deactivate_fn(k: Machine, pfn: number, s: mem_section, i: number): void {
  if (s.flags[i]! & PG_unevictable || !(s.flags[i]! & PG_active)) return;
  lruvec_del_folio(k, pfn);
  s.flags[i]! &= ~(PG_active | PG_referenced);
  lruvec_add_folio(k, pfn);
  k.vm_events[PGDEACTIVATE]! += nr_pages(s, i);
}

function lru_lazyfree_fn(k: Machine, pfn: number, s: mem_section, i: number): void {
  const flags = s.flags[i]!;
  if (!PageAnon(k.mem, pfn) || !(flags & PG_swapbacked) || flags & (PG_swapcache | PG_unevictable)) return;
  lruvec_del_folio(k, pfn);
  s.flags[i]! &= ~(PG_active | PG_referenced | PG_swapbacked);
  lruvec_add_folio(k, pfn);
  k.vm_events[PGLAZYFREE]! += nr_pages(s, i);
}

/** What {@link lru_add_fn} does, with a short way for ordinary pages. */
function lru_add_one(k: Machine, pfn: number, s: mem_section, i: number): void {
  const m = k.mem;
  const flags = s.flags[i]!;
  const owner = m.owners[s.mapping[i]!] as anon_vma | address_space | undefined;
  const plain = owner === undefined || owner.is_anon || !owner.unevictable;
  if (plain && !(flags & (PG_unevictable | PG_mlocked | PG_head))) {
    const lru = (flags & PG_swapbacked ? 0 : 2) + (flags & PG_active ? 1 : 0);
    const z = page_zone(m, pfn);
    const node = k.nodes[z.node]!;
    node.vm_stat[lru]!++;
    z.vm_stat[NR_ZONE_INACTIVE_ANON + lru]!++;
    list_add(m, node.__lruvec.lists[lru]!, pfn);
  } else {
    lru_add_fn(k, pfn, s, i);
  }
  s.flags[i]! |= PG_lru;
}

type move_fn_t = typeof lru_add_fn;

/** Takes all out of a batch and keeps its room, which `length = 0` would give back and the next page take anew. */
function emptied(batch: number[]): void {
  while (batch.length > 0) batch.pop();
}

/** Moves a batch's pages where they belong and drops the batch's references. @kernel mm/swap.c:folio_batch_move_lru */
function folio_batch_move_lru(k: Machine, batch: number[], move_fn: move_fn_t): void {
  const n = batch.length;
  if (k.shortWays.activate && move_fn === folio_activate_fn && is_lru_run(k, batch)) {
    activate_run(k, batch);
    emptied(batch);
    return;
  }
  const adding = move_fn === lru_add_fn;
  let last: number[] | undefined;
  for (let b = 0; b < n; b++) {
    const pfn = batch[b]!;
    const s = k.mem.sections[pfn >>> PFN_SECTION_SHIFT]!;
    const i = pfn & PFN_SECTION_MASK;
    if (adding) lru_add_one(k, pfn, s, i);
    else if (s.flags[i]! & PG_lru) {
      s.flags[i]! &= ~PG_lru;
      move_fn(k, pfn, s, i);
      s.flags[i]! |= PG_lru;
    }
    const refs = s.refcount[i]!;
    if (refs > 1) s.setRefs(i, refs - 1);
    else (last ??= []).push(pfn);
  }
  emptied(batch);
  if (last !== undefined) release_pages(k, last);
}

function folio_batch_add_and_move(k: Machine, batch: number[], which: number, pfn: number, move_fn: move_fn_t): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  batch_add_and_move(k, batch, which, pfn, move_fn, s, i);
}

/** The same where the page's metadata is at hand. */
function batch_add_and_move(
  k: Machine,
  batch: number[],
  which: number,
  pfn: number,
  move_fn: move_fn_t,
  s: mem_section,
  i: number,
): void {
  s.addRefs(i, 1);
  k.batch_calls[k.cpu]![batch_call(which, batch.length)] = k.calls.now;
  batch.push(pfn);
  if (batch.length < PAGEVEC_SIZE && !(s.flags[i]! & PG_head) && !lru_cache_disabled(k)) return;
  folio_batch_move_lru(k, batch, move_fn);
}

/**
 * Queues a page for its LRU list; the batch holds a reference until it is drained.
 * @kernel mm/swap.c:folio_add_lru
 * @fidelity mirrored
 */
export function folio_add_lru(k: Machine, pfn: number): void {
  folio_batch_add_and_move(k, k.fbatches[k.cpu]!.lru_add, BATCH_LRU_ADD, pfn, lru_add_fn);
}

/** Does the same to ordinary new pages of one zone that are all alike, one after the other: full batches go straight on. */
export function folioAddLruAll(k: Machine, zone: zone, pages: Uint32Array, at: number, n: number): void {
  const batch = k.fbatches[k.cpu]!.lru_add;
  let direct = 0;
  if (batch.length + n >= PAGEVEC_SIZE) {
    direct = n - ((batch.length + n) % PAGEVEC_SIZE);
    folio_batch_move_lru(k, batch, lru_add_fn);
    lruvecAddAll(k, zone, pages, at, direct);
  }
  for (let j = at + direct; j < at + n; j++) folio_add_lru(k, pages[j]!);
}

/**
 * Queues a page that is being mapped in a VMA: with the mlocked ones where the VMA is locked.
 * @kernel mm/swap.c:folio_add_lru_vma
 * @fidelity mirrored
 */
export function lru_cache_add_inactive_or_unevictable(k: Machine, pfn: number, vma: vm_area_struct): void {
  if (vm_flags_test(vma.vm_flags, VM_LOCKED) && !vm_flags_test(vma.vm_flags, VM_SPECIAL)) mlock_new_page(k, pfn);
  else folio_add_lru(k, pfn);
}

/** Queues a page for the active list. @kernel mm/swap.c:folio_activate @fidelity mirrored */
export function folio_activate(k: Machine, pfn: number): void {
  const flags = k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]!;
  if ((flags & (PG_lru | PG_active | PG_unevictable)) !== PG_lru) return;
  folio_batch_add_and_move(k, k.fbatches[k.cpu]!.activate, BATCH_ACTIVATE, pfn, folio_activate_fn);
}

/**
 * Notes a use of a page: first referenced, then active.
 * @kernel mm/swap.c:folio_mark_accessed
 * @fidelity mirrored
 */
export function mark_page_accessed(k: Machine, pfn: number): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const flags = s.flags[i]!;
  if (!(flags & PG_referenced)) {
    s.flags[i]! |= PG_referenced;
    return;
  }
  if (flags & (PG_unevictable | PG_active)) return;
  if (flags & PG_lru) batch_add_and_move(k, k.fbatches[k.cpu]!.activate, BATCH_ACTIVATE, pfn, folio_activate_fn, s, i);
  else if (k.fbatches[k.cpu]!.lru_add.includes(pfn)) s.flags[i]! |= PG_active;
  s.flags[i]! &= ~PG_referenced;
  workingset_activation(k, pfn, s, i);
}

/** Moves a page to the inactive list's end after its end of writeback. @kernel mm/swap.c:folio_rotate_reclaimable */
export function folio_rotate_reclaimable(k: Machine, pfn: number): void {
  const flags = k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]!;
  if (!(flags & PG_lru) || flags & (PG_locked | PG_dirty | PG_unevictable)) return;
  folio_batch_add_and_move(k, k.fbatches[k.cpu]!.lru_rotate, BATCH_LRU_ROTATE, pfn, lru_move_tail_fn);
}

/** Queues a page of a file for the inactive list. @kernel mm/swap.c:deactivate_file_folio @fidelity mirrored */
export function deactivate_file_folio(k: Machine, pfn: number): void {
  if (k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! & PG_unevictable) return;
  folio_batch_add_and_move(
    k,
    k.fbatches[k.cpu]!.lru_deactivate_file,
    BATCH_LRU_DEACTIVATE_FILE,
    pfn,
    lru_deactivate_file_fn,
  );
}

/** Queues an active page for the inactive list (MADV_COLD). @kernel mm/swap.c:deactivate_page @fidelity mirrored */
export function deactivate_page(k: Machine, pfn: number): void {
  const flags = k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]!;
  if ((flags & (PG_lru | PG_active | PG_unevictable)) !== (PG_lru | PG_active)) return;
  folio_batch_add_and_move(k, k.fbatches[k.cpu]!.lru_deactivate, BATCH_LRU_DEACTIVATE, pfn, lru_deactivate_fn);
}

/** Queues an anonymous page for the list of those that MADV_FREE gave up. @kernel mm/swap.c:mark_page_lazyfree */
export function mark_page_lazyfree(k: Machine, pfn: number): void {
  const flags = k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]!;
  if ((flags & (PG_lru | PG_swapbacked | PG_swapcache | PG_unevictable)) !== (PG_lru | PG_swapbacked)) return;
  if (!PageAnon(k.mem, pfn)) return;
  folio_batch_add_and_move(k, k.fbatches[k.cpu]!.lru_lazyfree, BATCH_LRU_LAZYFREE, pfn, lru_lazyfree_fn);
}

/** Empties one CPU's batches onto the LRU lists. @kernel mm/swap.c:lru_add_drain_cpu @fidelity mirrored */
export function lru_add_drain_cpu(k: Machine, cpu: number): void {
  const b = k.fbatches[cpu]!;
  if (b.lru_add.length > 0) folio_batch_move_lru(k, b.lru_add, lru_add_fn);
  if (b.lru_rotate.length > 0) folio_batch_move_lru(k, b.lru_rotate, lru_move_tail_fn);
  if (b.lru_deactivate_file.length > 0) folio_batch_move_lru(k, b.lru_deactivate_file, lru_deactivate_file_fn);
  if (b.lru_deactivate.length > 0) folio_batch_move_lru(k, b.lru_deactivate, lru_deactivate_fn);
  if (b.lru_lazyfree.length > 0) folio_batch_move_lru(k, b.lru_lazyfree, lru_lazyfree_fn);
  if (b.activate.length > 0) folio_batch_move_lru(k, b.activate, folio_activate_fn);
}

/** Empties the running CPU's batches. @kernel mm/swap.c:lru_add_drain @fidelity mirrored */
export function lru_add_drain(k: Machine): void {
  lru_add_drain_cpu(k, k.cpu);
  mlock_page_drain_local(k);
}

export function cpu_needs_drain(k: Machine, cpu: number): boolean {
  const b = k.fbatches[cpu]!;
  return (
    b.lru_add.length +
      b.lru_rotate.length +
      b.lru_deactivate_file.length +
      b.lru_deactivate.length +
      b.lru_lazyfree.length +
      b.activate.length >
      0 || need_mlock_page_drain(k, cpu)
  );
}

function __lru_add_drain_all(k: Machine): void {
  const self = k.cpu;
  for (let cpu = 0; cpu < k.nr_cpus; cpu++) {
    if (!cpu_needs_drain(k, cpu)) continue;
    k.cpu = cpu;
    lru_add_drain(k);
  }
  k.cpu = self;
}

/**
 * Empties all CPUs' batches; sleeps until each has done so.
 * @kernel mm/swap.c:lru_add_drain_all
 * @fidelity simplified: no generation count, since no two drains overlap
 */
export function lru_add_drain_all(k: Machine): void {
  k.hooks.yieldPoint("lru_add_drain_all", {});
  __lru_add_drain_all(k);
}

/** Do batches pass pages straight on? @kernel include/linux/swap.h:lru_cache_disabled */
export function lru_cache_disabled(k: Machine): boolean {
  return (k.lru_disable_count ?? 0) !== 0;
}

/** Drains all batches and keeps them empty until {@link lru_cache_enable}. @kernel mm/swap.c:lru_cache_disable */
export function lru_cache_disable(k: Machine): void {
  k.lru_disable_count = (k.lru_disable_count ?? 0) + 1;
  __lru_add_drain_all(k);
}

/** @kernel include/linux/swap.h:lru_cache_enable */
export function lru_cache_enable(k: Machine): void {
  k.lru_disable_count = (k.lru_disable_count ?? 0) - 1;
}

/**
 * Takes a page off its LRU list for the caller, who gets a reference; false where it was on none.
 * @kernel mm/vmscan.c:folio_isolate_lru
 * @fidelity mirrored
 */
export function folio_isolate_lru(k: Machine, pfn: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON(s.refcount[i] === 0, "folio_isolate_lru of a free page");
  if (!(s.flags[i]! & PG_lru)) return false;
  s.flags[i]! &= ~PG_lru;
  s.addRefs(i, 1);
  lruvec_del_folio(k, pfn);
  return true;
}

/** Puts an isolated page back and drops the isolation's reference. @kernel mm/vmscan.c:folio_putback_lru */
export function folio_putback_lru(k: Machine, pfn: number): void {
  folio_add_lru(k, pfn);
  put_page(k, pfn);
}
