// SPDX-License-Identifier: GPL-2.0-only
/** The long-term pin: pin, move what must not be pinned where it is, pin again (mm/gup.c: __gup_longterm_locked). */
import { KernelBug } from "../../include/linux/bug.js";
import { GFP_USER, __GFP_NOWARN } from "../../include/linux/gfp.js";
import {
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
  folio_nr_pages,
  get_pageblock_migratetype,
  page_zone,
} from "../../include/linux/mem_map.js";
import { MIGRATE_SYNC, MR_LONGTERM_PIN } from "../../include/linux/migrate_mode.js";
import { FOLL_LONGTERM, FOLL_PIN } from "../../include/linux/mm.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import { MIGRATE_CMA, MIGRATE_ISOLATE, ZONE_MOVABLE, page_list, pageblock_order } from "../../include/linux/mmzone.js";
import { PG_lru, PG_swapbacked, PG_tail } from "../../include/linux/page-flags.js";
import { pin_failed, pin_report_of, type pin_failure_reason, type pin_report } from "../../include/linux/pin_report.js";
import { memalloc_pin_restore, memalloc_pin_save } from "../../include/linux/sched/mm.js";
import { NR_ISOLATED_ANON, NR_ISOLATED_FILE } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { list_add_tail, list_empty } from "../../lib/pagelist.js";
import { EAGAIN, EINTR, EINVAL, ENOMEM } from "../../uapi/errno.js";
import { alloc_migration_target, migrate_pages, putback_movable_pages } from "../migrate.js";
import { vma_lookup } from "../mmap.js";
import { folio_isolate_lru, lru_add_drain_all } from "../swap.js";
import { isolateRun } from "../swap/lruvec.js";
import { __mod_node_page_state } from "../vmstat.js";
import { __get_user_pages_locked, check_vma_flags } from "./faultin.js";
import type { page_array } from "./follow.js";
import { unpin_user_pages } from "./unpin.js";

/** Rounds after which the loop, which has no cap in the kernel, is held to be one that will never end. */
const SOFT_LOCKUP_ROUNDS = 1_000_000;

/**
 * May the page stay pinned where it is: neither CMA, nor isolated, nor in ZONE_MOVABLE?
 * @kernel include/linux/mm.h:is_longterm_pinnable_page
 * @fidelity simplified: no device memory
 */
export function is_longterm_pinnable_page(k: Machine, pfn: number): boolean {
  const mt = get_pageblock_migratetype(k.mem, pfn);
  if (mt === MIGRATE_CMA || mt === MIGRATE_ISOLATE) return false;
  if (pfn === k.zero_pfn) return true;
  return page_zone(k.mem, pfn).idx !== ZONE_MOVABLE;
}

/** The same for a whole pageblock, but for the zero page. */
function pageblock_is_pinnable(k: Machine, block: number): boolean {
  const mt = k.mem.pageblock_flags[block]!;
  if (mt === MIGRATE_CMA || mt === MIGRATE_ISOLATE) return false;
  return k.mem.zones[k.mem.pageblock_zone[block]!]!.idx !== ZONE_MOVABLE;
}

/**
 * Takes the pages (huge ones as a whole) that must move off their LRU lists and puts them on `movable_page_list`. One that cannot be taken
 * off is counted but not listed. The LRU batches of all CPUs are drained once, when a page off the LRU is met.
 * @kernel mm/gup.c:collect_longterm_unpinnable_pages
 * @fidelity simplified: no device memory, no hugetlb
 * @returns unpinnable pages, listed or not
 */
function collect_longterm_unpinnable_pages(
  k: Machine,
  movable_page_list: page_list,
  nr_pages: number,
  pages: page_array,
  off: number,
  report: pin_report,
): number {
  const m = k.mem;
  const runs = k.shortWays.isolate;
  let collected = 0;
  let drain_allow = true;
  let prev_folio = 0;
  let block = -1;
  let pinnable = true;
  for (let j = off; j < off + nr_pages; j++) {
    const page = pages[j]!;
    const of = m.sections[page >>> PFN_SECTION_SHIFT]!;
    const pfn = of.flags[page & PFN_SECTION_MASK]! & PG_tail ? of.private_[page & PFN_SECTION_MASK]! : page;
    if (pfn === prev_folio) continue;
    prev_folio = pfn;
    if (pfn >>> pageblock_order !== block) {
      block = pfn >>> pageblock_order;
      pinnable = pageblock_is_pinnable(k, block);
    }
    if (pinnable || is_longterm_pinnable_page(k, pfn)) continue;
    collected++;
    const s = m.sections[pfn >>> PFN_SECTION_SHIFT]!;
    const i = pfn & PFN_SECTION_MASK;
    if (k.fail_migrate.active) k.fail_migrate.begin_isolation(k, pfn);
    if (drain_allow && !(s.flags[i]! & PG_lru)) {
      lru_add_drain_all(k);
      drain_allow = false;
      report.drained++;
    }
    const run = runs && !k.fail_migrate.active ? isolateRun(k, pages, j, off + nr_pages, movable_page_list) : 0;
    if (run > 0) {
      collected += run - 1;
      j += run - 1;
      prev_folio = pages[j]!;
      continue;
    }
    if (!folio_isolate_lru(k, pfn)) {
      report.not_isolated = pfn;
      continue;
    }
    list_add_tail(m, movable_page_list, pfn);
    const item = s.flags[i]! & PG_swapbacked ? NR_ISOLATED_ANON : NR_ISOLATED_FILE;
    __mod_node_page_state(k.nodes[page_zone(m, pfn).node]!, item, folio_nr_pages(m, pfn));
  }
  return collected;
}

/** What alloc_migration_target is told for a long-term pin. */
const longterm_target = { nid: -1, gfp_mask: GFP_USER | __GFP_NOWARN } as const;

/**
 * Lets go of all the pins and moves the listed pages away.
 * @kernel mm/gup.c:migrate_longterm_unpinnable_pages
 * @fidelity simplified: no device memory
 * @returns -EAGAIN if all listed pages moved; -ENOMEM whatever else migrate_pages() said
 */
function migrate_longterm_unpinnable_pages(
  k: Machine,
  movable_page_list: page_list,
  nr_pages: number,
  pages: page_array,
  off: number,
): number {
  unpin_user_pages(k, pages, nr_pages, off);
  let ret = -EAGAIN;
  if (!list_empty(movable_page_list)) {
    pin_report_of(k).migrates(k.vm_events);
    const left = migrate_pages(
      k,
      movable_page_list,
      alloc_migration_target,
      null,
      longterm_target,
      MIGRATE_SYNC,
      MR_LONGTERM_PIN,
    );
    if (left !== 0) {
      ret = -ENOMEM;
      pin_report_of(k).migration_failed(k.vm_events);
    }
  }
  putback_movable_pages(k, movable_page_list);
  return ret;
}

/**
 * May all of these pinned pages stay? If not, all pins are dropped and those that must move are moved.
 * @kernel mm/gup.c:check_and_migrate_movable_pages
 * @fidelity mirrored
 * @returns 0: all pinned; -EAGAIN: pin again; -ENOMEM: one could not be moved; pins are gone in both
 */
export function check_and_migrate_movable_pages(k: Machine, nr_pages: number, pages: page_array, off: number): number {
  const report = pin_report_of(k);
  const movable_page_list = new page_list();
  const collected = collect_longterm_unpinnable_pages(k, movable_page_list, nr_pages, pages, off, report);
  if (collected === 0) return 0;
  report.collected += collected;
  report.isolated += movable_page_list.nr;
  return migrate_longterm_unpinnable_pages(k, movable_page_list, nr_pages, pages, off);
}

/** Says why the first page of a range could not be had. */
function report_no_pages(k: Machine, mm: mm_struct, ret: number, address: number, gup_flags: number): void {
  let reason: pin_failure_reason = "fault failed";
  if (ret === -EINTR) reason = "fatal signal";
  else if (ret !== -ENOMEM) {
    const vma = vma_lookup(mm, address);
    if (vma === undefined) reason = "no VMA";
    else if (check_vma_flags(k, vma, gup_flags) !== 0) reason = "VMA refuses";
  }
  pin_failed(k, reason, -ret, 0, { address });
}

/**
 * References or pins, and for FOLL_LONGTERM the loop that ends when every page is where it may stay. It has no cap.
 * @kernel mm/gup.c:__gup_longterm_locked
 * @fidelity mirrored
 * @param start bytes
 * @param nr_pages pages
 * @returns pages, or -errno: -ENOMEM if a page could not be moved
 */
export function __gup_longterm_locked(
  k: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  pages: page_array | null,
  off: number,
  gup_flags: number,
): number {
  if (!(gup_flags & FOLL_LONGTERM)) {
    return __get_user_pages_locked(k, mm, start, nr_pages, pages, off, null, gup_flags);
  }
  if (!(gup_flags & FOLL_PIN) || pages === null) return -EINVAL;
  const report = pin_report_of(k);
  if (!report.whole) report.begin();
  let round = 0;
  const flags = memalloc_pin_save(k);
  let nr_pinned_pages: number;
  let rc: number;
  do {
    report.round = ++round;
    report.rounds++;
    if (round > SOFT_LOCKUP_ROUNDS) throw new KernelBug("soft lockup: a long-term pin that never ends");
    k.hooks.yieldPoint("__gup_longterm_locked", { address: start, round });
    nr_pinned_pages = __get_user_pages_locked(k, mm, start, nr_pages, pages, off, null, gup_flags);
    if (nr_pinned_pages <= 0) {
      rc = nr_pinned_pages;
      if (rc < 0) report_no_pages(k, mm, rc, start, gup_flags);
      break;
    }
    rc = check_and_migrate_movable_pages(k, nr_pinned_pages, pages, off);
  } while (rc === -EAGAIN);
  report.round = 0;
  memalloc_pin_restore(k, flags);
  return rc !== 0 ? rc : nr_pinned_pages;
}
