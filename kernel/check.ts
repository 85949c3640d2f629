// SPDX-License-Identifier: GPL-2.0-only
/** The machine's invariants, checked after every test: each broken one in words, none if all hold. */
import type { address_space } from "../include/linux/fs.js";
import { compound_pincount, PFN_SECTION_MASK, PFN_SECTION_SHIFT, type mem_section } from "../include/linux/mem_map.js";
import { GUP_PIN_COUNTING_BIAS } from "../include/linux/mm.js";
import {
  PG_buddy,
  PG_head,
  PG_lru,
  PG_mlocked,
  PG_pcp,
  PG_reserved,
  PG_tail,
  PG_unevictable,
} from "../include/linux/page-flags.js";
import {
  NR_FILE_PAGES,
  NR_FOLL_PIN_ACQUIRED,
  NR_FOLL_PIN_RELEASED,
  NR_MLOCK,
  NR_SWAPCACHE,
} from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { swap_state_of } from "../include/linux/swap.js";
import { non_swap_entry } from "../include/linux/swapops.js";
import { xa_is_value, xa_to_value } from "../lib/xarray.js";
import { mlock_batch_pfn } from "../mm/mlock/batch.js";
import { radix_tree_node_cachep } from "../mm/slub.js";
import { lru_add_drain_all } from "../mm/swap.js";
import { checkDeferred, checkHuge } from "./check/huge.js";
import { Complaints, Ledger, type SectionLedger } from "./check/ledger.js";
import { checkLru, checkZone } from "./check/lists.js";
import { checkSwap } from "./check/swap.js";
import { checkCommitted, checkLinks, checkMm, checkPageTables, liveMms, VmaSums } from "./check/vmas.js";
import { checkShadowNodes } from "./check/workingset.js";
import { do_exit } from "./exit.js";

/** What the pages of a machine come to. */
interface Census {
  /** Pages in page tables, address spaces, page caches, batches, slabs, and pinned ones. */
  known: number;
  free: number;
  pins: number;
  mlocked: number;
  unevictable: number;
  /** Pages in page caches. */
  cached: number;
}

/** As the machine was when it was checked first, which is when it has booted. */
class Baseline {
  /** Pages that the kernel itself holds. */
  readonly held: number;
  readonly files: number;
  constructor(held: number, files: number) {
    this.held = held;
    this.files = files;
  }
}

const KEY = "kernel/check.ts";

/** References that per-CPU batches of the LRU and of mlock hold. */
function countBatches(k: Machine, ledger: Ledger): void {
  for (const cpu of k.fbatches) {
    for (const batch of Object.values(cpu) as number[][]) for (const pfn of batch) ledger.ref(pfn);
  }
  for (const batch of k.mlock_batch) for (const entry of batch) ledger.ref(mlock_batch_pfn(entry));
}

/** References of page caches; returns their pages. */
function countCaches(k: Machine, ledger: Ledger, bad: Complaints): number {
  let all = 0;
  for (const owner of k.mem.owners) {
    if (owner === undefined || owner.is_anon) continue;
    const mapping = owner as address_space;
    let n = 0;
    let swapped = 0;
    if (mapping.i_pages.size > 0) {
      mapping.i_pages.forEach(0, 0xffffffff, (index, entry) => {
        if (xa_is_value(entry)) {
          if (mapping.host.shmem === null || non_swap_entry(xa_to_value(entry))) return;
          swapped++;
          ledger.swappedFiles.add(xa_to_value(entry));
          return;
        }
        n++;
        ledger.ref(entry);
        const s = k.mem.section(entry);
        const i = entry & PFN_SECTION_MASK;
        const named = s.mapping[i] === mapping.owner_id && s.index[i] === index;
        bad.unless(named, () => `page ${String(entry)} is in a page cache at ${String(index)} that it does not name`);
      });
    }
    bad.unless(
      mapping.nrpages === n,
      () => `a page cache holds ${String(n)} pages, nrpages is ${String(mapping.nrpages)}`,
    );
    const said = mapping.host.shmem?.swapped ?? 0;
    bad.unless(said === swapped, () => `a file has ${swapped} pages in swap, says ${said}`);
    all += n;
  }
  return all;
}

/** One page that is in use: its counts against what is known to hold it. */
function checkPage(k: Machine, bad: Complaints, pfn: number, s: mem_section, l: SectionLedger, census: Census): void {
  const i = pfn & PFN_SECTION_MASK;
  const refs = l.refs[i]!;
  const maps = l.maps[i]!;
  if (s.mapcount[i] !== maps)
    bad.add(`page ${String(pfn)}: mapcount ${String(s.mapcount[i])}, mapped by ${String(maps)}`);
  const flags = s.flags[i]!;
  const nr = flags & PG_head ? 2 ** s.private_[i]! : 1;
  if (flags & PG_mlocked) census.mlocked += nr;
  if ((flags & (PG_lru | PG_unevictable)) === (PG_lru | PG_unevictable)) census.unevictable += nr;
  if (flags & PG_lru && !(flags & PG_unevictable) && l.listed[i] === 0)
    bad.add(`page ${String(pfn)} has PG_lru but is on no list`);
  const count = s.refcount[i]! - k.fail_migrate.extraRefs(pfn);
  const bias = flags & PG_head ? 1 : GUP_PIN_COUNTING_BIAS;
  const pins = flags & PG_head ? compound_pincount(k.mem, pfn) : Math.max(0, Math.floor((count - refs) / bias));
  census.pins += pins;
  const unknown = count - refs - pins * bias;
  if (refs === 0 && pins === 0) return;
  census.known += nr;
  if (unknown !== 0) {
    const held = `${String(refs)} holders${pins > 0 ? ` and ${String(pins)} pins` : ""}`;
    bad.add(`page ${String(pfn)}: refcount ${String(s.refcount[i])}, but ${held} are known`);
  }
}

/** Every page whose metadata exists. */
function checkPages(k: Machine, ledger: Ledger, bad: Complaints, census: Census): void {
  k.mem.sections.forEach((s, nr) => {
    if (s === undefined) return;
    const l = ledger.section(nr);
    const base = nr << PFN_SECTION_SHIFT;
    for (let i = 0; i < s.refcount.length; i++) {
      const flags = s.flags[i]!;
      if (s.refcount[i] !== 0 && !(flags & (PG_buddy | PG_pcp | PG_reserved))) {
        checkPage(k, bad, base + i, s, l, census);
      } else if (l.refs[i] !== 0 && !(flags & (PG_tail | PG_reserved))) {
        bad.add(`page ${String(base + i)} is free, but ${String(l.refs[i])} hold it`);
      } else if (s.refcount[i] !== 0 && flags & (PG_buddy | PG_pcp)) {
        bad.add(`page ${String(base + i)} is free, with ${String(s.refcount[i])} references`);
      } else if (s.mapcount[i] !== l.maps[i]!) {
        bad.add(`page ${String(base + i)}: mapcount ${String(s.mapcount[i])}, mapped by ${String(l.maps[i])}`);
      }
    }
  });
}

function sum(k: Machine, item: number): number {
  return k.nodes.reduce((n, node) => n + node.vm_stat[item]!, 0);
}

function checkCounters(k: Machine, bad: Complaints, census: Census): void {
  const pins = sum(k, NR_FOLL_PIN_ACQUIRED) - sum(k, NR_FOLL_PIN_RELEASED);
  const mlocked = k.zones.reduce((n, z) => n + z.vm_stat[NR_MLOCK]!, 0);
  const pages = sum(k, NR_FILE_PAGES) - sum(k, NR_SWAPCACHE);
  bad.unless(pins === census.pins, () => `nr_foll_pin says ${String(pins)} pins, pages have ${String(census.pins)}`);
  bad.unless(mlocked === census.mlocked, () => `nr_mlock is ${String(mlocked)}, pages are ${String(census.mlocked)}`);
  bad.unless(
    pages === census.cached,
    () => `nr_file_pages is ${String(pages)}, page caches hold ${String(census.cached)}`,
  );
}

function inspect(k: Machine, bad: Complaints): Census {
  const ledger = new Ledger(k.mem);
  const census: Census = { known: 0, free: 0, pins: 0, mlocked: 0, unevictable: 0, cached: 0 };
  for (const z of k.zones) bad.during(`zone ${z.name}`, () => (census.free += checkZone(k, ledger, bad, z)));
  for (const node of k.nodes) bad.during("LRU", () => checkLru(k, ledger, bad, node));
  const sums = new VmaSums();
  for (const [mm, users] of liveMms(k)) {
    bad.during("address space", () => checkMm(k, bad, mm, users, sums));
    bad.during("page tables", () => checkPageTables(k, ledger, bad, mm));
  }
  bad.during("links", () => checkLinks(k, bad, sums));
  bad.during("accounting", () => checkCommitted(k, bad, sums));
  countBatches(k, ledger);
  bad.during("huge pages", () => {
    checkHuge(k, ledger, bad);
    checkDeferred(k, ledger, bad);
  });
  census.cached = countCaches(k, ledger, bad);
  bad.during("swap", () => checkSwap(k, ledger, bad));
  bad.during("workingset", () => checkShadowNodes(k, bad));
  for (const pfn of radix_tree_node_cachep(k).slabs) ledger.ref(pfn);
  for (const { bitmap, base_pfn } of k.cmaAreas) {
    for (let at = bitmap.indexOf(1); at >= 0; at = bitmap.indexOf(1, at + 1)) ledger.ref(base_pfn + at);
  }
  checkPages(k, ledger, bad, census);
  checkCounters(k, bad, census);
  ledger.close();
  return census;
}

function baselineOf(k: Machine, census: Census): Baseline {
  let baseline = k.subsys.get(KEY) as Baseline | undefined;
  if (baseline === undefined) {
    baseline = new Baseline(heldByKernel(k, census), openFiles(k));
    k.subsys.set(KEY, baseline);
  }
  return baseline;
}

/** Managed pages that are neither free nor known to be held by anything. */
function heldByKernel(k: Machine, census: Census): number {
  return k.zones.reduce((n, z) => n + z.managed_pages, 0) - census.free - census.known;
}

/** Files of shared memory that exist. */
function openFiles(k: Machine): number {
  return k.mem.owners.filter((o) => o !== undefined && !o.is_anon && (o as address_space).host.shmem !== null).length;
}

/** What a machine's first check noted, for another that was booted in the same way and so need not be checked yet. */
export function checkedBaseline(k: Machine): object | undefined {
  return k.subsys.get(KEY);
}

/** Gives a machine that has just booted the {@link checkedBaseline} of its like. */
export function adoptBaseline(k: Machine, baseline: object): void {
  k.subsys.set(KEY, baseline);
}

/**
 * Checks a machine between two system calls. The first call notes what the kernel holds, for {@link checkExit}.
 * @kernel none
 * @returns what is broken, a line each
 */
export function checkMachine(k: Machine): string[] {
  const bad = new Complaints();
  const census = inspect(k, bad);
  baselineOf(k, census);
  return bad.all();
}

/**
 * Ends every task of a machine and checks what is left: all pages back but the kernel's own and the page cache, no
 * pins, nothing promised, no file of shared memory.
 * @kernel none
 * @returns what is broken, a line each
 */
export function checkExit(k: Machine): string[] {
  const bad = new Complaints();
  const baseline = k.subsys.get(KEY) as Baseline | undefined;
  k.fail_migrate.clear(k);
  bad.during("exit", () => {
    for (const task of [...k.tasks.values()]) do_exit(k, task);
    lru_add_drain_all(k);
  });
  const census = inspect(k, bad);
  bad.unless(census.pins === 0, () => `${String(census.pins)} pins are left`);
  const lost = swap_state_of(k).lost_promises;
  bad.unless(k.vm_committed_as === lost, () => `vm_committed_as is ${String(k.vm_committed_as)}`);
  if (baseline === undefined) return bad.all();
  const held = heldByKernel(k, census) - baseline.held;
  bad.unless(held === 0, () => `${String(held)} pages are lost: nothing holds them, and they are not free`);
  const files = openFiles(k) - baseline.files;
  bad.unless(files === 0, () => `${String(files)} files of shared memory are left`);
  return bad.all();
}
