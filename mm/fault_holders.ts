// SPDX-License-Identifier: GPL-2.0-only
/**
 * What can be in the way of a migration, each by what somebody does to the page in the kernel: no part of the kernel
 * itself, but made of its functions. lib/fault-inject.ts says when.
 */
import { get_pageblock_migratetype, page_test, PageAnon, PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { MIGRATE_CMA, MIGRATE_ISOLATE, pageblock_nr_pages, pageblock_order } from "../include/linux/mmzone.js";
import {
  PG_active,
  PG_dirty,
  PG_locked,
  PG_lru,
  PG_mlocked,
  PG_swapbacked,
  PG_writeback,
} from "../include/linux/page-flags.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import type { MigrateHolder, MigrateHolders } from "../lib/fault-inject.js";
import { folio_trylock, folio_unlock } from "./filemap.js";
import { mlock_batch_pfn, mlock_folio, mlock_page_drain_local, munlock_page } from "./mlock/batch.js";
import { set_migratetype_isolate, unset_migratetype_isolate } from "./page_isolation.js";
import {
  deactivate_page,
  folio_activate,
  folio_isolate_lru,
  folio_putback_lru,
  get_page,
  lru_add_drain_cpu,
  put_page,
} from "./swap.js";
import { mod_isolated } from "./vmstat.js";

/** Runs a step on another CPU. */
function onCpu<T>(k: Machine, cpu: number, step: () => T): T {
  const before = k.cpu;
  k.cpu = cpu;
  try {
    return step();
  } finally {
    k.cpu = before;
  }
}

/** A concurrent get_user_pages_fast: takes its reference before it looks whether the entry is still the same. */
const reference: MigrateHolder = {
  reference: true,
  isolates: false,
  take(k, pfn) {
    get_page(k, pfn);
    return true;
  },
  release: put_page,
};

/** A drop of page caches, which has looked the page up and is not done with it: invalidate_mapping_pages. */
const page_cache_drop: MigrateHolder = {
  ...reference,
  take(k, pfn) {
    const mapping = k.mem.section(pfn).mapping[pfn & PFN_SECTION_MASK]!;
    if (mapping === 0 || PageAnon(k.mem, pfn)) return false;
    get_page(k, pfn);
    return true;
  },
};

/** A use of the page on another CPU, or advice that it is not used: it stands in that CPU's batch until this is drained. */
const lru_batch: MigrateHolder = {
  reference: false,
  isolates: false,
  take(k, pfn, cpu) {
    const active = page_test(k.mem, pfn, PG_active);
    const batches = k.fbatches[cpu]!;
    onCpu(k, cpu, () => {
      if (active) deactivate_page(k, pfn);
      else folio_activate(k, pfn);
    });
    return (active ? batches.lru_deactivate : batches.activate).includes(pfn);
  },
  release(k, _pfn, cpu) {
    onCpu(k, cpu, () => {
      lru_add_drain_cpu(k, cpu);
    });
  },
};

/** An mlock() on another CPU, undone when that CPU has drained its batch, if the page is the one that it was. */
const mlock_batch: MigrateHolder = {
  reference: false,
  isolates: false,
  take(k, pfn, cpu) {
    onCpu(k, cpu, () => {
      mlock_folio(k, pfn);
    });
    return k.mlock_batch[cpu]!.some((entry) => mlock_batch_pfn(entry) === pfn);
  },
  release(k, pfn, cpu) {
    onCpu(k, cpu, () => {
      mlock_page_drain_local(k);
      if (!page_test(k.mem, pfn, PG_mlocked)) return;
      munlock_page(k, pfn);
      mlock_page_drain_local(k);
    });
  },
};

/** Somebody works on the page: a fault on it, a write to the file. */
const lock: MigrateHolder = {
  reference: true,
  isolates: false,
  take(k, pfn) {
    if (!folio_trylock(k, pfn)) return false;
    get_page(k, pfn);
    return true;
  },
  release(k, pfn) {
    folio_unlock(k, pfn);
    put_page(k, pfn);
  },
};

/** The page, of a file that lies on a disk, is on its way there. */
const writeback: MigrateHolder = {
  reference: false,
  isolates: false,
  take(k, pfn) {
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (s.flags[i]! & (PG_locked | PG_writeback | PG_swapbacked) || s.mapping[i] === 0) return false;
    s.flags[i] = (s.flags[i]! & ~PG_dirty) | PG_writeback;
    return true;
  },
  release(k, pfn) {
    k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! &= ~PG_writeback;
  },
};

/** Reclaim or compaction on another CPU has taken the page off its list. */
const isolate: MigrateHolder = {
  reference: true,
  isolates: true,
  take(k, pfn) {
    if (!folio_isolate_lru(k, pfn)) return false;
    mod_isolated(k, pfn, 1);
    return true;
  },
  release(k, pfn, cpu) {
    mod_isolated(k, pfn, -1);
    onCpu(k, cpu, () => {
      folio_putback_lru(k, pfn);
    });
  },
};

const CMA_ALLOCS = "mm/fault_holders.ts: cma_alloc";

/** How many of these faults are in each pageblock. */
function cmaAllocs(k: Machine): Map<number, number> {
  return subsys_state(k, CMA_ALLOCS, () => new Map<number, number>());
}

/** cma_alloc() empties the pageblock: it is out of circulation, and the page is off its list to be moved. */
const cma_alloc: MigrateHolder = {
  reference: true,
  isolates: true,
  take(k, pfn) {
    const block = pfn >>> pageblock_order;
    const mt = get_pageblock_migratetype(k.mem, pfn);
    if ((mt !== MIGRATE_CMA && mt !== MIGRATE_ISOLATE) || !page_test(k.mem, pfn, PG_lru)) return false;
    const there = cmaAllocs(k).get(block) ?? 0;
    const start = block << pageblock_order;
    const end = start + pageblock_nr_pages;
    if (there === 0 && set_migratetype_isolate(k, start, MIGRATE_CMA, 0, start, end) !== 0) return false;
    cmaAllocs(k).set(block, there + 1);
    return isolate.take(k, pfn, 0);
  },
  release(k, pfn, cpu) {
    const block = pfn >>> pageblock_order;
    const left = cmaAllocs(k).get(block)! - 1;
    cmaAllocs(k).set(block, left);
    isolate.release(k, pfn, cpu);
    if (left === 0) unset_migratetype_isolate(k, block << pageblock_order, MIGRATE_CMA);
  },
};

/** The migrating task's next page allocation fails, as fail-nth in procfs says it. */
const alloc: MigrateHolder = {
  reference: false,
  isolates: false,
  take(k) {
    k.current.fail_nth = 1;
    return true;
  },
  release(k) {
    k.current.fail_nth = 0;
  },
};

export const migrate_holders: MigrateHolders = {
  reference,
  page_cache_drop,
  lru_batch,
  mlock_batch,
  lock,
  writeback,
  isolate,
  cma_alloc,
  alloc,
};
