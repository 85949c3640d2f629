// SPDX-License-Identifier: GPL-2.0-only
/** Slab pages, as far as the memory under a page cache's index needs them (mm/slub.c, cache radix_tree_node). */
import {
  __GFP_DIRECT_RECLAIM,
  __GFP_NOMEMALLOC,
  __GFP_NORETRY,
  __GFP_NOWARN,
  __GFP_RECLAIM,
} from "../include/linux/gfp.js";
import { __GFP_COMP, __GFP_RECLAIMABLE, GFP_NOWAIT } from "../include/linux/gfp.js";
import { page_clear, page_set, page_zone } from "../include/linux/mem_map.js";
import { PG_slab } from "../include/linux/page-flags.js";
import { NR_SLAB_RECLAIMABLE } from "../include/linux/vmstat.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import { __free_pages, alloc_pages } from "./page_alloc.js";
import { __mod_node_page_state } from "./vmstat.js";

const SLAB_ORDER = 2;
/** Objects of 576 bytes in an order-2 slab, and in the single page that is taken when there is none. */
const OBJECTS = 28;
const OBJECTS_MIN = 7;
/** Slabs without objects that a node keeps. @kernel mm/slub.c:set_min_partial */
const MIN_PARTIAL = 5;

/** A cache of objects; which object lies in which slab is not kept. */
export class kmem_cache {
  /** Slabs by page frame of their head, newest last, and the order of each. */
  readonly slabs: number[] = [];
  readonly orders: number[] = [];
  /** Objects that the slabs hold, and how many of them are in use. */
  capacity = 0;
  inuse = 0;
  /** Of these, objects that have been freed and whose grace period has not ended. */
  rcu = 0;
}

/** The cache of page-cache index nodes. */
export function radix_tree_node_cachep(k: Machine): kmem_cache {
  return subsys_state(k, "mm/slub.c", () => new kmem_cache());
}

/** @kernel mm/slab.h:account_slab @fidelity simplified: in pages, without cgroups */
function account_slab(k: Machine, pfn: number, pages: number): void {
  __mod_node_page_state(k.nodes[page_zone(k.mem, pfn).node]!, NR_SLAB_RECLAIMABLE, pages);
}

function allocate_slab(k: Machine, c: kmem_cache, flags: number): boolean {
  let gfp = flags | __GFP_NOWARN | __GFP_NORETRY | __GFP_COMP | __GFP_RECLAIMABLE;
  if (gfp & __GFP_DIRECT_RECLAIM) gfp = (gfp | __GFP_NOMEMALLOC) & ~__GFP_RECLAIM;
  let order = SLAB_ORDER;
  let pfn = alloc_pages(k, gfp, order);
  if (pfn === 0) {
    order = 0;
    pfn = alloc_pages(k, flags | __GFP_RECLAIMABLE, order);
    if (pfn === 0) return false;
  }
  page_set(k.mem, pfn, PG_slab);
  account_slab(k, pfn, 1 << order);
  c.slabs.push(pfn);
  c.orders.push(order);
  c.capacity += order === 0 ? OBJECTS_MIN : OBJECTS;
  return true;
}

/**
 * Takes `n` index nodes; false when there is no memory, and then none is taken.
 * @kernel mm/slub.c:kmem_cache_alloc_lru, lib/xarray.c:xas_alloc
 * @fidelity simplified: objects have no place; a slab is taken when those there are full
 */
export function radix_tree_node_alloc(k: Machine, n: number, gfp: number): boolean {
  const c = radix_tree_node_cachep(k);
  while (c.inuse + n > c.capacity) {
    if (!allocate_slab(k, c, GFP_NOWAIT | __GFP_NOWARN) && !allocate_slab(k, c, gfp)) return false;
  }
  c.inuse += n;
  return true;
}

/** Index nodes freed while a grace period lasts: a guess, with which free pages after a guest's end are as often recorded. */
const GRACE_PERIOD = 8;

/**
 * Gives back `n` index nodes, after a grace period.
 * @kernel lib/xarray.c:xa_node_free
 * @fidelity simplified: it ends once so many more are freed, at the latest with the system call
 */
export function radix_tree_node_free(k: Machine, n: number): void {
  const c = radix_tree_node_cachep(k);
  c.rcu += n;
  if (c.rcu > GRACE_PERIOD) radix_tree_node_rcu_free(k, c, c.rcu - GRACE_PERIOD);
}

/** Ends all grace periods under way, as the time between two system calls does. */
export function rcuBarrier(k: Machine): void {
  const c = radix_tree_node_cachep(k);
  if (c.rcu > 0) radix_tree_node_rcu_free(k, c, c.rcu);
}

/**
 * Frees `n` index nodes whose grace period has ended, and slabs once more than a node's minimum are empty.
 * @kernel lib/radix-tree.c:radix_tree_node_rcu_free, mm/slub.c:kmem_cache_free
 * @fidelity simplified: the newest slabs are taken to be the empty ones
 */
function radix_tree_node_rcu_free(k: Machine, c: kmem_cache, n: number): void {
  c.rcu -= n;
  c.inuse -= n;
  while (c.capacity - c.inuse > OBJECTS * (MIN_PARTIAL + 1)) {
    const pfn = c.slabs.pop()!;
    const order = c.orders.pop()!;
    c.capacity -= order === 0 ? OBJECTS_MIN : OBJECTS;
    page_clear(k.mem, pfn, PG_slab);
    account_slab(k, pfn, -(1 << order));
    __free_pages(k, pfn, order);
  }
}
