// SPDX-License-Identifier: GPL-2.0-only
/** Fault injection: the kernel's knobs (lib/fault-inject.c), and faults of migration that the field saw. */
import { __GFP_DIRECT_RECLAIM, __GFP_HIGHMEM, __GFP_NOFAIL } from "../include/linux/gfp.js";
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import type { Machine } from "../include/machine.js";

/** One facility's knobs, as its folder in debugfs shows them; defaults are the kernel's: it never fails. */
export class FaultAttr {
  readonly name: string;
  /** Percent; may be fractional here, which the kernel's is not. */
  probability = 0;
  /** Only every interval-th candidate may fail. */
  interval = 1;
  /** How many failures at most; -1 for no limit. */
  times = 1;
  /** Bytes (pages, for fail_page_alloc) that must be asked for before anything fails. */
  space = 0;
  /** Only tasks whose make_it_fail is set. */
  task_filter = false;
  /** 0 says nothing of a failure; otherwise it is traced. */
  verbose = 2;
  /** fail_page_alloc: requests of lower order never fail. */
  min_order = 1;
  /** fail_page_alloc: requests that may wait never fail. Named ignore-gfp-wait in debugfs. */
  ignore_gfp_wait = true;
  /** fail_page_alloc: requests that may use high memory, as user pages, never fail. */
  ignore_gfp_highmem = true;
  /** Candidates seen, for `interval`. */
  count = 0;
  /** Failures injected since boot, and the entry into the kernel that met the last. */
  injected = 0;
  call = 0;

  constructor(name: string) {
    this.name = name;
  }

  /**
   * Is this call to fail? `size` counts against `space`.
   * @kernel lib/fault-inject.c:should_fail_ex
   * @fidelity simplified: no stack-trace filter; probability may be fractional
   */
  should_fail(k: Machine, size: number): boolean {
    const task = k.current;
    if (task.fail_nth !== 0) {
      if (--task.fail_nth !== 0) return false;
      return this.fail(k);
    }
    if (this.probability === 0) return false;
    if (this.task_filter && !task.make_it_fail) return false;
    if (this.times === 0) return false;
    if (this.space > size) {
      this.space -= size;
      return false;
    }
    if (this.interval > 1) {
      this.count++;
      if (this.count % this.interval !== 0) return false;
    }
    if (this.probability <= k.prng.float() * 100) return false;
    return this.fail(k);
  }

  /** Can any call fail as the knobs stand, or be counted as one that could? */
  mayFail(k: Machine): boolean {
    return this.probability !== 0 || k.current.fail_nth !== 0;
  }

  private fail(k: Machine): boolean {
    if (this.verbose > 0 && k.tracing) k.hooks.trace("fault_injected", { name: this.name, pid: k.current.pid });
    if (this.times !== -1 && this.times !== 0) this.times--;
    this.injected++;
    this.call = k.calls.now;
    return true;
  }
}

/** Is this page allocation one of those that injection is about? */
export function mayFailAllocPage(k: Machine, gfp_mask: number, order: number): boolean {
  const attr = k.fail_page_alloc;
  if (order < attr.min_order) return false;
  if (gfp_mask & __GFP_NOFAIL) return false;
  if (attr.ignore_gfp_highmem && gfp_mask & __GFP_HIGHMEM) return false;
  return !(attr.ignore_gfp_wait && gfp_mask & __GFP_DIRECT_RECLAIM);
}

/**
 * Is this page allocation to fail by injection?
 * @kernel mm/page_alloc.c:should_fail_alloc_page
 * @fidelity mirrored
 */
export function should_fail_alloc_page(k: Machine, gfp_mask: number, order: number): boolean {
  return mayFailAllocPage(k, gfp_mask, order) && k.fail_page_alloc.should_fail(k, 2 ** order);
}

/** How somebody else gets in the way of a page that is to be migrated: mm/fault_holders.ts has what each does. */
export type MigrateFaultKind =
  | "reference"
  | "page_cache_drop"
  | "lru_batch"
  | "mlock_batch"
  | "lock"
  | "writeback"
  | "isolate"
  | "cma_alloc"
  | "alloc";

/** One way to be in the way of a page. */
export interface MigrateHolder {
  /** Does it hold a reference that no list, batch or table accounts for? */
  readonly reference: boolean;
  /** Does it keep a page from being taken off its LRU list, rather than from being moved? */
  readonly isolates: boolean;
  /** Gets in the way, if it can now; false where it cannot. `cpu` is where it runs, if not where the migration does. */
  take(k: Machine, pfn: number, cpu: number): boolean;
  /** Lets go: of what was taken, whatever has become of the page. */
  release(k: Machine, pfn: number, cpu: number): void;
}

export type MigrateHolders = Readonly<Record<MigrateFaultKind, MigrateHolder>>;

/** What is wrong with one page for as long as it lasts. */
export interface MigrateFaultRule {
  /** The page; or, without it, */
  readonly pfn?: number;
  /** which page, counted from 1 in the order in which they are first attempted. */
  readonly nth?: number;
  readonly kind: MigrateFaultKind;
  /** For how many attempts it lasts; it is gone when the next one starts. */
  readonly attempts: number;
}

/** A rule at work. */
class MigrateFault {
  readonly rule: MigrateFaultRule;
  readonly holder: MigrateHolder;
  /** CPU on which the holder runs: each fault has one of its own as far as there are some. */
  readonly cpu: number;
  /** Page frame that the rule has settled on, 0 while it waits for its nth page. */
  pfn: number;
  /** Attempts that it has spoilt. */
  used = 0;
  /** Is it in the way now, and since which entry into the kernel? */
  held = false;
  call = 0;
  constructor(rule: MigrateFaultRule, holder: MigrateHolder, cpu: number) {
    this.rule = rule;
    this.holder = holder;
    this.cpu = cpu;
    this.pfn = rule.pfn ?? 0;
  }
}

/**
 * Faults of page migration. Each is real: a raised count, a lock taken, a page in another CPU's batch, which
 * mm/migrate.ts finds as it would in the kernel. Tests fill it with {@link add}, then {@link arm} it; mm/migrate.ts calls
 * {@link begin_attempt} before each attempt at a page, mm/gup.ts {@link begin_isolation} before each at taking it off its list.
 */
export class MigrateFaults {
  private readonly faults: MigrateFault[] = [];
  private readonly holders: MigrateHolders;
  private readonly cpus: number;
  /** Are there any rules? Guards the calls on hot paths. */
  active = false;
  private counting = false;
  /** Pages attempted since {@link arm}, in order, kept while a rule has an `nth`; isolation counts apart. */
  private readonly seen = new Map<number, number>();
  private readonly seenIsolate = new Map<number, number>();
  /** Attempts spoilt since boot. */
  injected = 0;

  constructor(holders: MigrateHolders, cpus: number) {
    this.holders = holders;
    this.cpus = cpus;
  }

  add(rule: MigrateFaultRule): this {
    const others = Math.max(1, this.cpus - 1);
    const cpu = this.cpus - 1 - (this.faults.length % others);
    this.faults.push(new MigrateFault(rule, this.holders[rule.kind], cpu));
    this.active = true;
    this.counting ||= rule.nth !== undefined;
    return this;
  }

  /** From here on: the rules that name a page take hold of it, but for failing allocations, and `nth` counts anew. */
  arm(k: Machine): void {
    this.seen.clear();
    this.seenIsolate.clear();
    for (const f of this.faults) {
      if (f.pfn !== 0 && f.used < f.rule.attempts && f.rule.kind !== "alloc") this.hold(k, f);
    }
  }

  /**
   * An attempt at migrating a page starts: faults that have lasted long enough let go, others take hold.
   * @kernel none: called by mm/migrate.ts once for each attempt at a page
   */
  begin_attempt(k: Machine, pfn: number): void {
    this.begin(k, pfn, false, this.ordinal(this.seen, pfn));
  }

  /** The same for an attempt at taking a page off its LRU list. */
  begin_isolation(k: Machine, pfn: number): void {
    this.begin(k, pfn, true, this.ordinal(this.seenIsolate, pfn));
  }

  /** Somebody sleeps for a page: a fault of this kind that it waits for comes to its end, unless it has none. */
  wait_on(k: Machine, pfn: number, kind: MigrateFaultKind): void {
    const f = this.faults.find((one) => one.pfn === pfn && one.rule.kind === kind && one.held);
    if (f === undefined || f.rule.attempts === Infinity) return;
    this.letGo(k, f);
    f.used = f.rule.attempts;
  }

  /** What is in the way of a page now: what sort, on which CPU, since which entry into the kernel, with a reference or none. */
  holdersOf(pfn: number): { kind: MigrateFaultKind; cpu: number; call: number; refs: number }[] {
    return this.faults
      .filter((f) => f.pfn === pfn && f.held)
      .map(({ rule, cpu, call, holder }) => ({ kind: rule.kind, cpu, call, refs: holder.reference ? 1 : 0 }));
  }

  /** References that faults hold on a page now and that nothing else accounts for. */
  extraRefs(pfn: number): number {
    let n = 0;
    for (const f of this.faults) if (f.pfn === pfn && f.held && f.holder.reference) n++;
    return n;
  }

  /** Everything held is let go, as happens by itself after a while; the rules are forgotten. */
  clear(k: Machine): void {
    for (const f of this.faults) if (f.held) this.letGo(k, f);
    this.faults.length = 0;
    this.active = false;
    this.counting = false;
    this.seen.clear();
    this.seenIsolate.clear();
  }

  private ordinal(seen: Map<number, number>, pfn: number): number {
    if (!this.counting) return 0;
    let nth = seen.get(pfn);
    if (nth === undefined) seen.set(pfn, (nth = seen.size + 1));
    return nth;
  }

  private begin(k: Machine, pfn: number, isolation: boolean, nth: number): void {
    for (const f of this.faults) {
      if (f.holder.isolates !== isolation) continue;
      if (f.pfn === 0 && f.rule.nth === nth) f.pfn = pfn;
      if (f.pfn === pfn) this.step(k, f);
    }
  }

  private step(k: Machine, f: MigrateFault): void {
    if (f.used >= f.rule.attempts) {
      if (f.held) this.letGo(k, f);
      return;
    }
    if (!f.held) this.hold(k, f);
    if (!f.held) return;
    f.used++;
    this.injected++;
  }

  private hold(k: Machine, f: MigrateFault): void {
    if (f.held || k.mem.section(f.pfn).refcount[f.pfn & PFN_SECTION_MASK] === 0) return;
    f.held = f.holder.take(k, f.pfn, f.cpu);
    f.call = k.calls.now;
  }

  private letGo(k: Machine, f: MigrateFault): void {
    f.held = false;
    f.holder.release(k, f.pfn, f.cpu);
  }
}
