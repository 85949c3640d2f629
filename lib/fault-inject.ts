// SPDX-License-Identifier: GPL-2.0-only
/** Fault injection: the kernel's knobs (lib/fault-inject.c), and faults of migration that the field saw. */
import { __GFP_DIRECT_RECLAIM, __GFP_HIGHMEM, __GFP_NOFAIL } from "../include/linux/gfp.js";
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { PG_locked } from "../include/linux/page-flags.js";
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
  /** Failures injected since boot. */
  injected = 0;

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

  private fail(k: Machine): boolean {
    if (this.verbose > 0 && k.tracing) k.hooks.trace("fault_injected", { name: this.name, pid: k.current.pid });
    if (this.times !== -1 && this.times !== 0) this.times--;
    this.injected++;
    return true;
  }
}

/**
 * Is this page allocation to fail by injection?
 * @kernel mm/page_alloc.c:should_fail_alloc_page
 * @fidelity mirrored
 */
export function should_fail_alloc_page(k: Machine, gfp_mask: number, order: number): boolean {
  const attr = k.fail_page_alloc;
  if (order < attr.min_order) return false;
  if (gfp_mask & __GFP_NOFAIL) return false;
  if (attr.ignore_gfp_highmem && gfp_mask & __GFP_HIGHMEM) return false;
  if (attr.ignore_gfp_wait && gfp_mask & __GFP_DIRECT_RECLAIM) return false;
  return attr.should_fail(k, 2 ** order);
}

export type MigrateFaultKind = "reference" | "lock" | "isolate";

/** What is wrong with one page for as long as it lasts. */
export interface MigrateFaultRule {
  /** The page; or, without it, */
  readonly pfn?: number;
  /** which page, counted from 1 in the order in which they are first attempted. */
  readonly nth?: number;
  /**
   * reference: somebody holds a reference that the page cache and the page tables do not account for.
   * lock: somebody holds the page lock. isolate: somebody else has taken the page off its LRU list.
   */
  readonly kind: MigrateFaultKind;
  /** For how many attempts it lasts; it is gone when the next one starts. */
  readonly attempts: number;
}

/** A rule at work. */
class MigrateFault {
  readonly rule: MigrateFaultRule;
  /** Page frame that the rule has settled on, 0 while it waits for its nth page. */
  pfn: number;
  /** Attempts that it has spoilt. */
  used = 0;
  /** Does it hold its reference or lock now? */
  held = false;
  constructor(rule: MigrateFaultRule) {
    this.rule = rule;
    this.pfn = rule.pfn ?? 0;
  }
}

/**
 * Faults of page migration. A reference and a lock are real: the page's count is raised, its PG_locked is set, and
 * mm/migrate.ts finds that as it would in the kernel. Tests fill it with {@link add}, then {@link arm} it;
 * mm/migrate.ts calls {@link begin_attempt} before each attempt at a page, mm/gup.ts asks {@link isolate_fails}.
 */
export class MigrateFaults {
  private readonly faults: MigrateFault[] = [];
  /** Are there any rules? Guards the calls on hot paths. */
  active = false;
  private counting = false;
  /** Pages attempted since {@link arm}, in order, kept while a rule has an `nth`; isolation counts apart. */
  private readonly seen = new Map<number, number>();
  private readonly seenIsolate = new Map<number, number>();
  /** Attempts spoilt since boot. */
  injected = 0;
  /** mm/swap.ts:put_page, given by kernel/boot.ts, since lib/ knows nothing of mm/. */
  put_page: (k: Machine, pfn: number) => void = () => undefined;

  add(rule: MigrateFaultRule): this {
    this.faults.push(new MigrateFault(rule));
    this.active = true;
    this.counting ||= rule.nth !== undefined;
    return this;
  }

  /** From here on: the rules that name a page take hold of it, and `nth` counts anew. */
  arm(k: Machine): void {
    this.seen.clear();
    this.seenIsolate.clear();
    for (const f of this.faults) if (f.pfn !== 0 && f.used < f.rule.attempts) this.hold(k, f);
  }

  /**
   * An attempt at migrating a page starts: faults that have lasted long enough let go, others take hold.
   * @kernel none: called by mm/migrate.ts once for each attempt at a page
   */
  begin_attempt(k: Machine, pfn: number): void {
    const nth = this.ordinal(this.seen, pfn);
    for (const f of this.faults) {
      if (f.rule.kind === "isolate") continue;
      if (f.pfn === 0 && f.rule.nth === nth) f.pfn = pfn;
      if (f.pfn === pfn) this.step(k, f);
    }
  }

  /** Does taking this page off its LRU list fail now? Counts as one attempt. */
  isolate_fails(_k: Machine, pfn: number): boolean {
    if (!this.active) return false;
    const nth = this.ordinal(this.seenIsolate, pfn);
    for (const f of this.faults) {
      if (f.rule.kind !== "isolate") continue;
      if (f.pfn === 0 && f.rule.nth === nth) f.pfn = pfn;
      if (f.pfn !== pfn || f.used >= f.rule.attempts) continue;
      f.used++;
      this.injected++;
      return true;
    }
    return false;
  }

  /** Somebody sleeps until the page is unlocked: if a fault holds the lock, it lets go. Was it one? */
  wait_on_lock(k: Machine, pfn: number): boolean {
    for (const f of this.faults) {
      if (f.pfn !== pfn || f.rule.kind !== "lock" || !f.held) continue;
      this.letGo(k, f);
      f.used = f.rule.attempts;
      return true;
    }
    return false;
  }

  /** Temporary references that faults hold on a page now. */
  extraRefs(pfn: number): number {
    let n = 0;
    for (const f of this.faults) if (f.pfn === pfn && f.held && f.rule.kind === "reference") n++;
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
    if (f.held || f.rule.kind === "isolate") return;
    const s = k.mem.section(f.pfn);
    const i = f.pfn & PFN_SECTION_MASK;
    if (s.refcount[i] === 0) return;
    if (f.rule.kind === "reference") s.refcount[i]!++;
    else if (s.flags[i]! & PG_locked) return;
    else {
      s.flags[i]! |= PG_locked;
      s.refcount[i]!++;
    }
    f.held = true;
  }

  private letGo(k: Machine, f: MigrateFault): void {
    f.held = false;
    if (f.rule.kind === "lock") k.mem.section(f.pfn).flags[f.pfn & PFN_SECTION_MASK]! &= ~PG_locked;
    this.put_page(k, f.pfn);
  }
}
