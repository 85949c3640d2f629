// SPDX-License-Identifier: GPL-2.0-only
/**
 * Page migration (mm/migrate.c of v6.1: one page at a time, ten passes). One page's way is in migrate/move.ts, its
 * mapping and flags in migrate/mapping.ts, page table entries in migrate/ptes.ts.
 */
import { GFP_TRANSHUGE, __GFP_COMP, __GFP_HIGHMEM, __GFP_RECLAIM } from "../include/linux/gfp.js";
import { PFN_SECTION_MASK, compound_order, page_zone } from "../include/linux/mem_map.js";
import {
  MIGRATEPAGE_SUCCESS,
  type free_page_t,
  type migration_target_control,
  type new_page_t,
} from "../include/linux/migrate.js";
import { MR_LONGTERM_PIN, MR_NUMA_MISPLACED, migrate_reason_names } from "../include/linux/migrate_mode.js";
import { NULL_PFN, ZONE_MOVABLE, page_list, type zone } from "../include/linux/mmzone.js";
import { PG_head } from "../include/linux/page-flags.js";
import { pin_failed, pin_report_of, type pin_failure_reason } from "../include/linux/pin_report.js";
import {
  PGMIGRATE_FAIL,
  PGMIGRATE_SUCCESS,
  THP_MIGRATION_FAIL,
  THP_MIGRATION_SPLIT,
  THP_MIGRATION_SUCCESS,
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { list_add_tail, list_del, list_empty, list_first, list_move_tail, list_next } from "../lib/pagelist.js";
import { EAGAIN, ENOMEM, ENOSYS } from "../uapi/errno.js";
import { mayMoveAhead, moveAhead } from "./migrate/ahead.js";
import { migrate_control } from "./migrate/attempt.js";
import { try_split_thp } from "./migrate/thp.js";
import { unmap_and_move } from "./migrate/move.js";
import { __alloc_pages } from "./page_alloc.js";
import type { PageHolder } from "./page_holders.js";
import { folio_putback_lru } from "./swap.js";
import { nr_pages } from "./swap/lruvec.js";
import { count_vm_events, mod_isolated } from "./vmstat.js";

export { migration_entry_wait, remove_migration_ptes } from "./migrate/ptes.js";

/** Passes over the list that migrate_pages() makes at most. */
const NR_MIGRATE_PASSES = 10;

/**
 * Puts isolated pages back where they were taken from.
 * @kernel mm/migrate.c:putback_movable_pages
 * @fidelity simplified: LRU pages only
 */
export function putback_movable_pages(k: Machine, l: page_list): void {
  for (let page = list_first(l); page !== NULL_PFN; page = list_first(l)) {
    list_del(k.mem, l, page);
    mod_isolated(k, page, -1);
    folio_putback_lru(k, page);
  }
}

/**
 * Allocates a target as the caller of migrate_pages() wished; of the same order as the page.
 * @kernel mm/migrate.c:alloc_migration_target
 * @fidelity simplified: no hugetlb
 * @returns page frame, or 0
 */
export function alloc_migration_target(k: Machine, page: number, mtc: migration_target_control): number {
  const zone = page_zone(k.mem, page);
  const nid = mtc.nid < 0 ? zone.node : mtc.nid;
  const order = compound_order(k.mem, page);
  return __alloc_pages(k, target_gfp(mtc, order, zone), order, nid, mtc.nmask);
}

/** What a target of this order for a page of this zone is asked for with. */
function target_gfp(mtc: migration_target_control, order: number, zone: zone): number {
  let { gfp_mask } = mtc;
  if (order > 0) gfp_mask = (gfp_mask & ~__GFP_RECLAIM) | GFP_TRANSHUGE;
  if (zone.idx === ZONE_MOVABLE) gfp_mask |= __GFP_HIGHMEM;
  return gfp_mask | __GFP_COMP;
}

/** What one call of migrate_pages() counts. */
class migrate_pages_stats {
  retry = 1;
  thp_retry = 1;
  nr_failed = 0;
  /** In base pages, as nr_retry_pages and nr_succeeded. */
  nr_failed_pages = 0;
  nr_retry_pages = 0;
  nr_succeeded = 0;
  nr_thp_succeeded = 0;
  nr_thp_failed = 0;
  nr_thp_split = 0;
  /** Second round, over the pages of THPs that were split: each THP has been counted already. */
  no_subpage_counting = false;
  pass = 0;
  /** First page that this pass could not move, why, and with how many references. */
  again = 0;
  again_reason: pin_failure_reason = "other";
  again_refcount = 0;
  again_expected = 0;
  /** Who was in its way, in the last pass. */
  again_holders: readonly PageHolder[] = [];
}

/** Moves all pages of one list to the head of another. @kernel include/linux/list.h:list_splice_init */
function list_splice_init(k: Machine, list: page_list, head: page_list): void {
  const m = k.mem;
  if (list.head === NULL_PFN) return;
  m.section(list.tail).setNext(list.tail & PFN_SECTION_MASK, list.tail, head.head);
  if (head.head === NULL_PFN) head.tail = list.tail;
  else m.section(head.head).setPrev(head.head & PFN_SECTION_MASK, head.head, list.tail);
  head.head = list.head;
  head.nr += list.nr;
  list.head = NULL_PFN;
  list.tail = NULL_PFN;
  list.nr = 0;
}

/** Notes the first page that a pass has to leave for the next. */
function note_again<T>(c: migrate_control<T>, st: migrate_pages_stats, page: number): void {
  if (st.again !== 0) return;
  st.again = page;
  st.again_reason = c.attempt.reason;
  st.again_refcount = c.attempt.refcount;
  st.again_expected = c.attempt.expected;
  if (st.pass === NR_MIGRATE_PASSES - 1 && c.reason === MR_LONGTERM_PIN)
    st.again_holders = c.attempt.holders(c.k, page);
}

/** Reports a page that a long-term pin could not move. */
function note_failed<T>(c: migrate_control<T>, st: migrate_pages_stats, page: number, rc: number): void {
  if (c.reason !== MR_LONGTERM_PIN) return;
  const { reason, refcount, expected } = c.attempt;
  const holders = c.attempt.holders(c.k, page);
  pin_failed(c.k, reason, -rc, page, { refcount, expected, pass: st.pass + 1, holders });
}

/**
 * Counts the outcome of one attempt, and says where the page goes now.
 * @returns the -errno that the call ends with, or 0: it goes on
 */
function migrate_pages_result<T>(
  c: migrate_control<T>,
  st: migrate_pages_stats,
  from: page_list,
  page: number,
  rc: number,
  is_thp: boolean,
  nr_subpages: number,
): number {
  const { k } = c;
  const nosplit = c.reason === MR_NUMA_MISPLACED;
  switch (rc) {
    case -ENOSYS:
      if (is_thp) {
        st.nr_thp_failed++;
        if (try_split_thp(k, page, from, c.thp_split_pages) === 0) {
          st.nr_thp_split++;
          break;
        }
      } else if (!st.no_subpage_counting) {
        st.nr_failed++;
      }
      st.nr_failed_pages += nr_subpages;
      list_move_tail(k.mem, from, c.ret_pages, page);
      note_failed(c, st, page, rc);
      break;
    case -ENOMEM:
      if (is_thp) {
        st.nr_thp_failed++;
        if (!nosplit) {
          const split = try_split_thp(k, page, from, c.thp_split_pages);
          if (split === 0) {
            st.nr_thp_split++;
            break;
          }
          c.attempt.not_split(k, page, split);
        }
      } else if (!st.no_subpage_counting) {
        st.nr_failed++;
      }
      st.nr_failed_pages += nr_subpages + st.nr_retry_pages;
      list_splice_init(k, c.thp_split_pages, from);
      st.nr_thp_failed += st.thp_retry;
      note_failed(c, st, page, rc);
      return rc;
    case -EAGAIN:
      if (is_thp) st.thp_retry++;
      else if (!st.no_subpage_counting) st.retry++;
      st.nr_retry_pages += nr_subpages;
      note_again(c, st, page);
      break;
    case MIGRATEPAGE_SUCCESS:
      st.nr_succeeded += nr_subpages;
      if (is_thp) st.nr_thp_succeeded++;
      if (st.pass > 0 && c.reason === MR_LONGTERM_PIN) pin_report_of(k).retried += nr_subpages;
      break;
    default:
      if (is_thp) st.nr_thp_failed++;
      else if (!st.no_subpage_counting) st.nr_failed++;
      st.nr_failed_pages += nr_subpages;
      note_failed(c, st, page, rc);
      break;
  }
  return 0;
}

/** Goes on by the short way, as far as that goes, behind a page that has been moved; returns the next page. */
function goAhead<T>(c: migrate_control<T>, st: migrate_pages_stats, from: page_list, page: number): number {
  const { nr } = from;
  for (let at = NULL_PFN; page !== NULL_PFN && page !== at;) {
    at = page;
    page = moveAhead(c, from, page, target_gfp(c.priv as migration_target_control, 0, page_zone(c.k.mem, page)));
  }
  st.nr_succeeded += nr - from.nr;
  if (st.pass > 0) pin_report_of(c.k).retried += nr - from.nr;
  return page;
}

/**
 * Up to ten passes over the list; each takes on what the one before had to leave.
 * @returns the -errno that the call ends with, or 0
 */
function migrate_passes<T>(c: migrate_control<T>, st: migrate_pages_stats, from: page_list): number {
  const { k } = c;
  const ahead = mayMoveAhead(c) && (c.get_new_page as unknown) === alloc_migration_target;
  for (st.pass = 0; st.pass < NR_MIGRATE_PASSES && (st.retry !== 0 || st.thp_retry !== 0); st.pass++) {
    st.retry = 0;
    st.thp_retry = 0;
    st.nr_retry_pages = 0;
    st.again = 0;
    k.hooks.yieldPoint("migrate_pages", { pass: st.pass, pages: from.nr, reason: c.reason });
    let page2: number;
    for (let page = list_first(from); page !== NULL_PFN; page = page2) {
      page2 = list_next(k.mem, page);
      const s = k.mem.section(page);
      const is_thp = (s.flags[page & PFN_SECTION_MASK]! & PG_head) !== 0;
      const nr_subpages = nr_pages(s, page & PFN_SECTION_MASK);
      const rc = unmap_and_move(c, from, page, st.pass > 2);
      if (k.tracing)
        k.hooks.trace("mm_migrate_page", {
          page,
          pass: st.pass,
          rc,
          reason: migrate_reason_names[c.reason],
          why: rc === MIGRATEPAGE_SUCCESS ? "" : c.attempt.reason,
        });
      const end = migrate_pages_result(c, st, from, page, rc, is_thp, nr_subpages);
      if (end !== 0) return end;
      if (ahead && rc === MIGRATEPAGE_SUCCESS && page2 !== NULL_PFN) page2 = goAhead(c, st, from, page2);
    }
  }
  return 0;
}

/** Adds a call's counts to the machine's events. */
function count_migrations<T>(c: migrate_control<T>, st: migrate_pages_stats): void {
  const { k } = c;
  count_vm_events(k, PGMIGRATE_SUCCESS, st.nr_succeeded);
  count_vm_events(k, PGMIGRATE_FAIL, st.nr_failed_pages);
  count_vm_events(k, THP_MIGRATION_SUCCESS, st.nr_thp_succeeded);
  count_vm_events(k, THP_MIGRATION_FAIL, st.nr_thp_failed);
  count_vm_events(k, THP_MIGRATION_SPLIT, st.nr_thp_split);
  if (c.reason === MR_LONGTERM_PIN) pin_report_of(k).migrated += st.nr_succeeded;
  if (!k.tracing) return;
  k.hooks.trace("mm_migrate_pages", {
    succeeded: st.nr_succeeded,
    failed: st.nr_failed_pages,
    thp_succeeded: st.nr_thp_succeeded,
    thp_failed: st.nr_thp_failed,
    thp_split: st.nr_thp_split,
    mode: c.mode,
    reason: migrate_reason_names[c.reason],
  });
}

/**
 * Moves isolated pages to others. What could not be moved is left on the list; the caller puts it back.
 * @kernel mm/migrate.c:migrate_pages
 * @fidelity mirrored: v6.1, one page at a time
 * @param from isolated pages
 * @param get_new_page allocates a target; 0 ends the call with -ENOMEM
 * @param put_new_page takes back a target that was not used; null for put_page
 * @param ret_succeeded receives the base pages moved
 * @returns pages (THPs count 1) not moved, 0 if the list is empty at the end, or -ENOMEM
 */
export function migrate_pages<T>(
  k: Machine,
  from: page_list,
  get_new_page: new_page_t<T>,
  put_new_page: free_page_t<T> | null,
  priv: T,
  mode: number,
  reason: number,
  ret_succeeded?: { n: number },
): number {
  const c = new migrate_control(k, get_new_page, put_new_page, priv, mode, reason);
  const st = new migrate_pages_stats();
  if (k.tracing) k.hooks.trace("mm_migrate_pages_start", { mode, reason: migrate_reason_names[reason] });
  let rc = migrate_passes(c, st, from);
  if (rc === 0) {
    st.nr_failed += st.retry;
    st.nr_thp_failed += st.thp_retry;
    st.nr_failed_pages += st.nr_retry_pages;
    if (st.again !== 0 && reason === MR_LONGTERM_PIN) {
      const { again_refcount: refcount, again_expected, again_holders: holders, pass } = st;
      pin_failed(k, st.again_reason, EAGAIN, st.again, { refcount, expected: again_expected, holders, pass });
    }
    if (!list_empty(c.thp_split_pages)) {
      list_splice_init(k, from, c.ret_pages);
      list_splice_init(k, c.thp_split_pages, from);
      st.no_subpage_counting = true;
      st.retry = 1;
      rc = migrate_passes(c, st, from);
      if (rc === 0) {
        st.nr_failed += st.retry;
        st.nr_thp_failed += st.thp_retry;
        st.nr_failed_pages += st.nr_retry_pages;
      }
    }
  }
  if (rc === 0) rc = st.nr_failed + st.nr_thp_failed;
  list_splice_init(k, c.ret_pages, from);
  if (list_empty(from)) rc = 0;
  count_migrations(c, st);
  if (ret_succeeded !== undefined) ret_succeeded.n = st.nr_succeeded;
  return rc;
}

/** Makes a list of page frames of an array: for callers that isolated pages one by one. */
export function page_list_of(k: Machine, pages: Iterable<number>): page_list {
  const l = new page_list();
  for (const pfn of pages) list_add_tail(k.mem, l, pfn);
  return l;
}
