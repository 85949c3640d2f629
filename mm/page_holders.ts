// SPDX-License-Identifier: GPL-2.0-only
/**
 * Who holds a page: no part of the kernel, where nobody can tell. Worked out when it is asked, from what points to the
 * page, so that holding costs nothing but a note of the entry into the kernel that put a page in a batch.
 */
import type { address_space } from "../include/linux/fs.js";
import {
  compound_pincount,
  folio_mapcount,
  folio_nr_pages,
  page_owner_of,
  page_ref_count,
  page_test,
  PageAnon,
  PFN_SECTION_MASK,
} from "../include/linux/mem_map.js";
import { GUP_PIN_COUNTING_BIAS } from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { BATCH_MLOCK, batch_call, lru_batch_names } from "../include/linux/pagevec.js";
import { PG_head, PG_locked, PG_private, PG_swapcache, PG_writeback } from "../include/linux/page-flags.js";
import { pin_failed, type pin_failure_reason } from "../include/linux/pin_report.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import type { KernelCall } from "../lib/call_log.js";
import type { MigrateFaultKind } from "../lib/fault-inject.js";
import { mlock_batch_pfn } from "./mlock/batch.js";
import { type mapped_entry_visitor, page_vma_mapped_walk } from "./page_vma_mapped.js";
import { rmap_walk } from "./rmap.js";
import { swap_cache_call } from "./swap_state.js";

/** What can be in the way of a page. */
export type PageHolderKind =
  | "page table"
  | "page cache"
  | "swap cache"
  | "private data"
  | "isolated by the migration"
  | "LRU batch"
  | "mlock batch"
  | "pin"
  | "get_user_pages_fast"
  | "page cache drop"
  | "page lock"
  | "writeback"
  | "isolation"
  | "CMA allocation"
  | "failing allocation"
  | "sleeping call"
  | "unknown";

/** One of those who hold a page. */
export interface PageHolder {
  readonly kind: PageHolderKind;
  /** References; 0 for a lock, writeback, or an allocation that failed. */
  readonly refs: number;
  /** Has migration reckoned with it? */
  readonly expected: boolean;
  /** Where: a CPU and its batch, tasks and addresses; may be empty. */
  readonly detail: string;
  /** The entry into the kernel at which it came; null where that is not kept, or was outside of any. */
  readonly call: KernelCall | null;
}

/** How the report names what is injected. The batches are found as batches. */
const INJECTED: Readonly<Partial<Record<MigrateFaultKind, PageHolderKind>>> = {
  reference: "get_user_pages_fast",
  page_cache_drop: "page cache drop",
  lock: "page lock",
  writeback: "writeback",
  isolate: "isolation",
  cma_alloc: "CMA allocation",
};

/** Mappings that are named. */
const MOST_NAMED = 4;

const PIN_OWNERS = "mm/page_holders.ts: who pins";

/** Says of `nr` pages which long-term pins of one owner are on them: how many, where, since which entry into the kernel. */
export type PinFinder = (pfn: number, nr: number) => readonly { refs: number; detail: string; call: number }[];

/** Who can be asked about pins; an owner of pins adds itself. */
export function pinFinders(k: Machine): Set<PinFinder> {
  return subsys_state(k, PIN_OWNERS, () => new Set<PinFinder>());
}

const expected = (kind: PageHolderKind, refs: number, detail = "", call: KernelCall | null = null): PageHolder => {
  return { kind, refs, expected: true, detail, call };
};

function pidOf(k: Machine, mm: mm_struct): string {
  for (const task of k.tasks.values()) if (task.mm === mm) return String(task.pid);
  return "?";
}

/** Entries that map a page, by the entry into the kernel that made them: how many, and where the first are. */
type Mappings = Map<number, { refs: number; readonly places: string[] }>;

function addMapping(k: Machine, vma: vm_area_struct, address: number, call: number, all: Mappings): boolean {
  const one = all.get(call) ?? { refs: 0, places: [] };
  all.set(call, one);
  if (one.refs++ < MOST_NAMED) one.places.push(`task ${pidOf(k, vma.vm_mm)} at 0x${address.toString(16)}`);
  return true;
}

const addedMappings: mapped_entry_visitor<Mappings> = {
  pte: (k, _page, vma, table, i, address, all) => addMapping(k, vma, address, table.of(i), all),
  huge: (k, _pfn, vma, pmd, address, all) => addMapping(k, vma, address, pmd.call, all),
};

function addMappings(k: Machine, pfn: number, vma: vm_area_struct, address: number, all: Mappings): boolean {
  return page_vma_mapped_walk(k, pfn, vma, address, false, addedMappings, all);
}

/** Page tables that map the page, by task and address, together where one call mapped them. */
function mappings(k: Machine, pfn: number): PageHolder[] {
  if (folio_mapcount(k.mem, pfn) === 0) return [];
  const all: Mappings = new Map();
  rmap_walk(k, pfn, addMappings, all);
  return [...all].map(([call, { refs, places }]) => {
    const more = refs > places.length ? ` and ${String(refs - places.length)} more` : "";
    return expected("page table", refs, `${places.join(", ")}${more}`, k.calls.find(call));
  });
}

/** Caches that have the page, and its private data. */
function caches(k: Machine, pfn: number): PageHolder[] {
  const holders: PageHolder[] = [];
  const nr = folio_nr_pages(k.mem, pfn);
  const owner = page_owner_of(k.mem, pfn);
  if (owner !== undefined && !PageAnon(k.mem, pfn)) {
    const { host, i_pages } = owner as address_space;
    const index = k.mem.section(pfn).index[pfn & PFN_SECTION_MASK]!;
    const call = k.calls.find(i_pages.noted(index));
    holders.push(expected("page cache", nr, `inode ${String(host.i_ino)}`, call));
  }
  if (page_test(k.mem, pfn, PG_swapcache)) {
    holders.push(expected("swap cache", nr, "", k.calls.find(swap_cache_call(k, pfn))));
  }
  if (!page_test(k.mem, pfn, PG_head) && page_test(k.mem, pfn, PG_private)) holders.push(expected("private data", 1));
  return holders;
}

/** Batches of all CPUs that the page stands in, once for each place. */
function batches(k: Machine, pfn: number): PageHolder[] {
  const holders: PageHolder[] = [];
  const add = (kind: PageHolderKind, cpu: number, name: string, which: number, place: number): void => {
    const call = k.calls.find(k.batch_calls[cpu]![batch_call(which, place)]!);
    holders.push({ kind, refs: 1, expected: false, detail: `CPU ${String(cpu)}${name}`, call });
  };
  for (let cpu = 0; cpu < k.nr_cpus; cpu++) {
    lru_batch_names.forEach((name, which) => {
      k.fbatches[cpu]![name].forEach((one, place) => {
        if (one === pfn) add("LRU batch", cpu, `, ${name}`, which, place);
      });
    });
    k.mlock_batch[cpu]!.forEach((entry, place) => {
      if (mlock_batch_pfn(entry) === pfn) add("mlock batch", cpu, "", BATCH_MLOCK, place);
    });
  }
  return holders;
}

/** What is injected, but for what stands in a batch; and the lock and writeback, if somebody else has them. */
function injectedAndLocks(k: Machine, pfn: number): PageHolder[] {
  const holders: PageHolder[] = [];
  for (const { kind, cpu, call, refs } of k.fail_migrate.holdersOf(pfn)) {
    const name = INJECTED[kind];
    const detail = `CPU ${String(cpu)}`;
    if (name !== undefined) holders.push({ kind: name, refs, expected: false, detail, call: k.calls.find(call) });
  }
  for (const [flag, kind] of [
    [PG_locked, "page lock"],
    [PG_writeback, "writeback"],
  ] as const) {
    if (!page_test(k.mem, pfn, flag) || holders.some((one) => one.kind === kind)) continue;
    holders.push({ kind, refs: 0, expected: false, detail: "", call: null });
  }
  return holders;
}

const refsOf = (holders: readonly PageHolder[]): number => holders.reduce((n, one) => n + one.refs, 0);

/** Pins: those that an owner owns up to, the others together. `left` is what nobody else accounts for. */
function pins(k: Machine, pfn: number, left: number): PageHolder[] {
  const huge = page_test(k.mem, pfn, PG_head);
  const bias = huge ? 1 : GUP_PIN_COUNTING_BIAS;
  const count = huge ? compound_pincount(k.mem, pfn) : Math.max(0, Math.floor(left / bias));
  if (count === 0) return [];
  const holders: PageHolder[] = [];
  let unowned = count;
  for (const find of pinFinders(k)) {
    for (const { refs, detail, call } of find(pfn, folio_nr_pages(k.mem, pfn))) {
      unowned -= refs;
      holders.push({ kind: "pin", refs: refs * bias, expected: false, detail, call: k.calls.find(call) });
    }
  }
  if (unowned > 0) holders.push({ kind: "pin", refs: unowned * bias, expected: false, detail: "", call: null });
  return holders;
}

/** What nobody else accounts for: a call has it that sleeps while another runs. Named, where there is but one. */
function sleepers(k: Machine, refs: number): PageHolder {
  const calls = k.calls.waiting.map((nr) => k.calls.find(nr)!);
  if (calls.length === 1) return { kind: "sleeping call", refs, expected: false, detail: "", call: calls[0]! };
  const each = calls.map(({ nr, name, pid }) => `call ${String(nr)}, ${name} of task ${String(pid)}, sleeps`);
  return { kind: "unknown", refs, expected: false, detail: each.join("; "), call: null };
}

/**
 * Everyone who holds a page, or (by its head) a huge page, with as many references in all as it has.
 * @param isolated the caller has taken it off its LRU list, and so holds one reference
 */
export function pageHolders(k: Machine, pfn: number, isolated = false): PageHolder[] {
  const holders = [
    ...mappings(k, pfn),
    ...caches(k, pfn),
    ...(isolated ? [expected("isolated by the migration", 1)] : []),
    ...batches(k, pfn),
    ...injectedAndLocks(k, pfn),
  ];
  const count = page_ref_count(k.mem, pfn);
  holders.push(...pins(k, pfn, count - refsOf(holders)));
  const left = count - refsOf(holders);
  if (left > 0) holders.push(sleepers(k, left));
  return holders;
}

/** The allocation that has just failed: by injection, if `injected` says that the last one was. */
export function failingAllocation(k: Machine, injected: boolean): PageHolder {
  const detail = injected ? "injected" : "no memory";
  const nr = injected ? k.fail_page_alloc.call : k.calls.now;
  return { kind: "failing allocation", refs: 0, expected: false, detail, call: k.calls.find(nr) };
}

/** Reports a pin that goes round or sleeps for ever, for this page. For whoever has to end it. */
export function pinStuck(k: Machine, reason: pin_failure_reason, pfn: number): void {
  const holders = pageHolders(k, pfn, reason !== "not isolated");
  pin_failed(k, reason, 0, pfn, { refcount: page_ref_count(k.mem, pfn), holders });
}
