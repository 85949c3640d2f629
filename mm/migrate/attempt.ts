// SPDX-License-Identifier: GPL-2.0-only
/** A call of migrate_pages(), and notes on its attempt at one page: what it reports of those that it could not move. */
import {
  folio_mapcount,
  folio_nr_pages,
  type mem_section,
  page_ref_count,
  PageAnon,
  PFN_SECTION_MASK,
} from "../../include/linux/mem_map.js";
import type { free_page_t, new_page_t } from "../../include/linux/migrate.js";
import { page_list } from "../../include/linux/mmzone.js";
import type { pin_failure_reason } from "../../include/linux/pin_report.js";
import type { Machine } from "../../include/machine.js";
import { ENOMEM } from "../../uapi/errno.js";
import { failingAllocation, pageHolders, type PageHolder } from "../page_holders.js";

/** Why the last attempt at a page failed; meaningful only right after it did. */
export class migrate_attempt {
  reason: pin_failure_reason = "other";
  refcount = 0;
  expected = 0;
  /** Of the last attempt without a target: was that failure injected? And failures injected until then. */
  private injected = false;
  private injections: number;

  constructor(k: Machine) {
    this.injections = k.fail_page_alloc.injected;
  }

  /** No target was to be had. */
  no_target(k: Machine): void {
    this.fails("no target page");
    const { injected } = k.fail_page_alloc;
    this.injected = injected !== this.injections;
    this.injections = injected;
  }

  /** Who was in the way of the attempt, as long as nothing else has run since. */
  holders(k: Machine, page: number): PageHolder[] {
    if (this.reason === "no target page") return [failingAllocation(k, this.injected)];
    const holders = pageHolders(k, page, true);
    return this.reason === "huge page not split" ? [failingAllocation(k, this.injected), ...holders] : holders;
  }

  /** The attempt fails for a reason other than a reference. */
  fails(reason: pin_failure_reason): void {
    this.reason = reason;
    this.refcount = 0;
    this.expected = 0;
  }

  /** There was no target for a huge page, and it could not be split. With what references, and how many were due. */
  not_split(k: Machine, head: number, error: number): void {
    this.fails(error === -ENOMEM ? "no target page" : "huge page not split");
    this.refcount = page_ref_count(k.mem, head);
    this.expected = folio_mapcount(k.mem, head) + (PageAnon(k.mem, head) ? 1 : 1 + folio_nr_pages(k.mem, head));
  }

  /** The attempt fails for a reference that nobody accounts for. */
  unexpected(refcount: number, expected: number): void {
    this.reason = "unexpected reference";
    this.refcount = refcount;
    this.expected = expected;
  }
}

/** One call of migrate_pages(): what it was asked for, the page that it is at, and where pages go that it gives up. */
export class migrate_control<T> {
  readonly k: Machine;
  readonly get_new_page: new_page_t<T>;
  readonly put_new_page: free_page_t<T> | null;
  readonly priv: T;
  readonly mode: number;
  readonly reason: number;
  /** Pages given up for good. */
  readonly ret_pages = new page_list();
  /** Pages of THPs that were split. */
  readonly thp_split_pages = new page_list();
  /** Have others had their chance to meet a migration entry? */
  met = false;
  readonly attempt: migrate_attempt;
  /** Room for pages of one pageblock that move together, and for their targets; once there are such. */
  together: { readonly from: Uint32Array; readonly to: Uint32Array } | null = null;
  /** The page that is being moved, its target once there is one, and where the metadata of each is. */
  src = 0;
  s!: mem_section;
  i = 0;
  dst = 0;
  d!: mem_section;
  j = 0;

  constructor(
    k: Machine,
    get_new_page: new_page_t<T>,
    put_new_page: free_page_t<T> | null,
    priv: T,
    mode: number,
    reason: number,
  ) {
    this.k = k;
    this.get_new_page = get_new_page;
    this.put_new_page = put_new_page;
    this.priv = priv;
    this.mode = mode;
    this.reason = reason;
    this.attempt = new migrate_attempt(k);
  }

  /** Goes on to another page. */
  from(src: number): void {
    this.src = src;
    this.s = this.k.mem.section(src);
    this.i = src & PFN_SECTION_MASK;
  }

  /** The page's target has been had. */
  to(dst: number): void {
    this.dst = dst;
    this.d = this.k.mem.section(dst);
    this.j = dst & PFN_SECTION_MASK;
  }
}
