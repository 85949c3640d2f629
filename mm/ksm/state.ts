// SPDX-License-Identifier: GPL-2.0-only
/** What ksmd keeps: address spaces to scan, rmap items, the two trees, and the knobs of sysfs (mm/ksm.c). */
import type { page_owner } from "../../include/linux/mem_map.js";
import type { anon_vma, mm_struct } from "../../include/linux/mm_types.js";
import type { task_struct } from "../../include/linux/sched.js";
import { subsys_state } from "../../include/linux/subsys.js";
import type { Machine } from "../../include/machine.js";

export const KSM_RUN_STOP = 0;
export const KSM_RUN_MERGE = 1;
export const KSM_RUN_UNMERGE = 2;

/** A place that ksmd looks at: one page of an address space. @kernel mm/ksm.c:ksm_rmap_item */
export class ksm_rmap_item {
  readonly mm: mm_struct;
  /** Bytes. */
  readonly address: number;
  oldchecksum = 0;
  /** In the unstable tree: the scan that put it there, -1 otherwise; and by what it is found there. */
  unstable = -1;
  content = 0;
  nid = 0;
  /** On the list of a stable node: that node, and the anon_vma of the place, which is held. */
  head: ksm_stable_node | null = null;
  anon_vma: anon_vma | null = null;
  constructor(mm: mm_struct, address: number) {
    this.mm = mm;
    this.address = address;
  }
}

/** A KSM page, which names it as its owner. It holds no reference to it. @kernel mm/ksm.c:ksm_stable_node */
export class ksm_stable_node implements page_owner {
  owner_id = 0;
  readonly is_anon = true;
  kpfn: number;
  readonly nid: number;
  /** What the page contains, and will as long as it is a KSM page. */
  readonly content: number;
  /** Who shares it, newest first. */
  readonly hlist: ksm_rmap_item[] = [];
  /** The chain that it is on, if there is more than one page of these contents. */
  chain: ksm_stable_node_chain | null = null;
  constructor(kpfn: number, nid: number, content: number) {
    this.kpfn = kpfn;
    this.nid = nid;
    this.content = content;
  }
}

/** Pages of the same contents: more places share them than one page may be shared by. */
export class ksm_stable_node_chain {
  readonly dups: ksm_stable_node[] = [];
  /** When stale ones were looked for last, in milliseconds of ksmd's sleep. */
  chain_prune_time: number;
  constructor(now: number) {
    this.chain_prune_time = now;
  }
}

/** An address space that ksmd scans. @kernel mm/ksm.c:ksm_mm_slot */
export class ksm_mm_slot {
  readonly mm: mm_struct;
  /** By ascending address. */
  readonly rmap_list: ksm_rmap_item[] = [];
  constructor(mm: mm_struct) {
    this.mm = mm;
  }
}

/** Nodes by contents, for each node of memory. */
type trees<T> = Map<number, Map<number, T>>;

export class ksm_state {
  readonly slots: ksm_mm_slot[] = [];
  /** The cursor (ksm_scan): null stands for the head of the list. */
  mm_slot: ksm_mm_slot | null = null;
  address = 0;
  /** Place in the slot's rmap_list. */
  rmap_at = 0;
  seqnr = 0;
  readonly stable: trees<ksm_stable_node | ksm_stable_node_chain> = new Map();
  readonly unstable: trees<ksm_rmap_item> = new Map();
  pages_shared = 0;
  pages_sharing = 0;
  pages_unshared = 0;
  rmap_items = 0;
  stable_node_chains = 0;
  stable_node_dups = 0;
  run = KSM_RUN_STOP;
  pages_to_scan = 100;
  sleep_millisecs = 20;
  max_page_sharing = 256;
  merge_across_nodes = 1;
  use_zero_pages = 0;
  stable_node_chains_prune_millisecs = 2000;
  /** Milliseconds that ksmd has slept: all the time that there is. */
  now = 0;
  task: task_struct | null = null;
  /** Owner of a KSM page that has no stable node yet, or no longer. */
  readonly no_node = new ksm_stable_node(0, 0, 0);
}

function make_ksm_state(k: Machine): ksm_state {
  const state = new ksm_state();
  k.mem.register(state.no_node);
  return state;
}

export function ksm_state_of(k: Machine): ksm_state {
  return subsys_state(k, "mm/ksm.c", make_ksm_state);
}

/** The tree of a node of memory. */
export function tree_of<T>(t: trees<T>, nid: number): Map<number, T> {
  let tree = t.get(nid);
  if (tree === undefined) {
    tree = new Map<number, T>();
    t.set(nid, tree);
  }
  return tree;
}

/** Has the address space been, or is it being, taken down? @kernel mm/ksm.c:ksm_test_exit @fidelity mirrored */
export function ksm_test_exit(mm: mm_struct): boolean {
  return mm.mm_users === 0;
}
