// SPDX-License-Identifier: GPL-2.0-only
/**
 * What stopped a pin: no part of the kernel, where the caller sees an errno and nothing else. mm/gup.ts, mm/migrate.ts
 * and drivers/vfio write it as they go; the harness reads it.
 */
import { subsys_state } from "./subsys.js";
import type { KernelCall } from "../../lib/call_log.js";
import type { PageHolder } from "../../mm/page_holders.js";
import type { Machine } from "../machine.js";
import { get_pageblock_migratetype, page_zone } from "./mem_map.js";
import { migratetype_names } from "./mmzone.js";
import { NR_VM_EVENT_ITEMS, vm_event_names } from "./vmstat.js";

/** Why a page could not be migrated, or a pin not be had. */
export type pin_failure_reason =
  | "no target page"
  | "unexpected reference"
  | "page lock"
  | "target lock"
  | "writeback"
  | "not isolated"
  | "still mapped"
  | "huge page not split"
  | "not supported"
  | "fault failed"
  | "no VMA"
  | "VMA refuses"
  | "fatal signal"
  | "RLIMIT_MEMLOCK"
  | "other";

/** One failure: what, where, when. */
export interface pin_failure {
  readonly reason: pin_failure_reason;
  /** Positive errno that the step gave: EAGAIN for a page that ten passes did not move. */
  readonly errno: number;
  /** Page frame that could not be moved; 0 where no page was to blame. */
  readonly pfn: number;
  /** Name of its zone, and of its pageblock's migratetype; empty without a page. */
  readonly zone: string;
  readonly pageblock: string;
  /** Its references, and how many migration had expected; 0 without a page. */
  readonly refcount: number;
  readonly expected: number;
  /** Pass of migrate_pages() that gave up, from 1; 0 where it was not that. */
  readonly pass: number;
  /** Which round of the pin loop it was, from 1; 0 outside of it. */
  readonly round: number;
  /** User address at which the pin stopped; -1 where a page is named instead. */
  readonly address: number;
  /** The entry into the kernel that failed; null outside of any. */
  readonly call: KernelCall | null;
  /** Who held the page, or its lock, when it could not be moved; who failed the allocation of its target. */
  readonly holders: readonly PageHolder[];
  /** Events of /proc/vmstat that the migration which failed has moved, by name. */
  counters: Readonly<Record<string, number>>;
}

/** The last long-term pin of the machine. */
export class pin_report {
  /** Calls of the long-term pin since boot. */
  calls = 0;
  /** The round that the pin loop is in, from 1; 0 outside of it. */
  round = 0;
  /** Rounds of the loop (pin, check, migrate) that the last call took. */
  rounds = 0;
  /** Pages that the last call found unpinnable, could take off the LRU, and moved; summed over its rounds. */
  collected = 0;
  isolated = 0;
  migrated = 0;
  /** Times that the last call drained all LRU batches. */
  drained = 0;
  /** Pages that a later pass moved although an earlier one of the last call could not. */
  retried = 0;
  /** What stopped the last call; null if nothing did. */
  first: pin_failure | null = null;
  /** Several calls make one pin (a whole VFIO mapping): all but `first` adds up over them. */
  whole = false;
  /** Times that the kernel would have warned of a page pinned where it must not stay, since boot. */
  warnings = 0;
  /** The last page that was not to be had off its LRU list; 0 for none since boot. */
  not_isolated = 0;
  /** Events as the last migration found them. */
  private readonly before = new Float64Array(NR_VM_EVENT_ITEMS);

  /** A new long-term pin starts. */
  begin(): void {
    this.calls++;
    this.round = 0;
    this.rounds = 0;
    this.collected = 0;
    this.isolated = 0;
    this.migrated = 0;
    this.drained = 0;
    this.retried = 0;
    this.first = null;
  }

  /** A migration for the pin starts. */
  migrates(events: Float64Array): void {
    this.before.set(events);
  }

  /** It has ended, and the first failure of the pin is one of its pages, unless counters are known already. */
  migration_failed(events: Float64Array): void {
    const { first } = this;
    if (first === null || Object.keys(first.counters).length > 0) return;
    const counters: Record<string, number> = {};
    vm_event_names.forEach((name, i) => {
      const n = events[i]! - this.before[i]!;
      if (n !== 0) counters[name] = n;
    });
    first.counters = counters;
  }
}

const key = "pin_report";

/** The machine's report on its last long-term pin. */
export function pin_report_of(k: Machine): pin_report {
  return subsys_state(k, key, () => new pin_report());
}

/** Notes a failure, if it is the first of this pin. `pfn` 0: no page to blame, `address` says where. */
export function pin_failed(
  k: Machine,
  reason: pin_failure_reason,
  errno: number,
  pfn: number,
  more: {
    refcount?: number;
    expected?: number;
    pass?: number;
    address?: number;
    holders?: readonly PageHolder[];
  },
): void {
  const report = pin_report_of(k);
  if (report.first !== null) return;
  report.first = {
    reason,
    errno,
    pfn,
    zone: pfn === 0 ? "" : page_zone(k.mem, pfn).name,
    pageblock: pfn === 0 ? "" : migratetype_names[get_pageblock_migratetype(k.mem, pfn)]!,
    refcount: more.refcount ?? 0,
    expected: more.expected ?? 0,
    pass: more.pass ?? 0,
    round: report.round,
    address: more.address ?? -1,
    call: k.calls.find(k.calls.now),
    holders: more.holders ?? [],
    counters: {},
  };
}
