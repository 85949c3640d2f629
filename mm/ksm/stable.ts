// SPDX-License-Identifier: GPL-2.0-only
/** The stable tree: KSM pages by their contents, and who shares them (mm/ksm.c). */
import { not_modelled, VM_BUG_ON } from "../../include/linux/bug.js";
import { page_owner_of, page_test, page_zone, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { PG_anon_exclusive, PG_ksm, PG_locked } from "../../include/linux/page-flags.js";
import type { Machine } from "../../include/machine.js";
import { EBUSY } from "../../uapi/errno.js";
import { put_anon_vma } from "../rmap.js";
import { get_page, put_page } from "../swap.js";
import {
  type ksm_rmap_item,
  ksm_stable_node,
  ksm_stable_node_chain,
  type ksm_state,
  ksm_state_of,
  tree_of,
} from "./state.js";

/** Contents of a page: all that is kept of them. */
export function content_of(k: Machine, pfn: number): number {
  return k.mem.section(pfn).content[pfn & PFN_SECTION_MASK]!;
}

/** Which tree a page belongs to. @kernel mm/ksm.c:get_kpfn_nid @fidelity mirrored */
export function get_kpfn_nid(k: Machine, st: ksm_state, kpfn: number): number {
  return st.merge_across_nodes ? 0 : page_zone(k.mem, kpfn).node;
}

/** The stable node of a KSM page; null of any other, and while it has none. @kernel mm/ksm.c:page_stable_node */
export function page_stable_node(k: Machine, pfn: number): ksm_stable_node | null {
  if (!page_test(k.mem, pfn, PG_ksm)) return null;
  const node = page_owner_of(k.mem, pfn) as ksm_stable_node;
  return node === ksm_state_of(k).no_node ? null : node;
}

/** Makes a page a KSM page of this node, or of none yet. @kernel mm/ksm.c:set_page_stable_node @fidelity mirrored */
export function set_page_stable_node(k: Machine, pfn: number, node: ksm_stable_node | null): void {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON((s.flags[i]! & PG_anon_exclusive) !== 0, "an exclusive page becomes a KSM page");
  s.flags[i]! |= PG_ksm;
  s.setMapping(i, (node ?? ksm_state_of(k).no_node).owner_id);
}

function stable_node_dup_del(st: ksm_state, node: ksm_stable_node): void {
  if (node.chain === null) {
    tree_of(st.stable, node.nid).delete(node.content);
    return;
  }
  node.chain.dups.splice(node.chain.dups.indexOf(node), 1);
  node.chain = null;
  st.stable_node_dups--;
}

/** Forgets who shares a page, and its node. @kernel mm/ksm.c:remove_node_from_stable_tree @fidelity mirrored */
export function remove_node_from_stable_tree(k: Machine, st: ksm_state, node: ksm_stable_node): void {
  node.hlist.forEach((item, i) => {
    if (i < node.hlist.length - 1) st.pages_sharing--;
    else st.pages_shared--;
    put_anon_vma(k, item.anon_vma!);
    item.anon_vma = null;
    item.head = null;
  });
  node.hlist.length = 0;
  stable_node_dup_del(st, node);
  k.mem.unregister(node);
}

/**
 * The page of a stable node, with a reference; 0 if it has been freed: then the node is gone, too.
 * @kernel mm/ksm.c:get_ksm_page
 * @fidelity mirrored
 */
export function get_ksm_page(k: Machine, st: ksm_state, node: ksm_stable_node): number {
  const s = k.mem.section(node.kpfn);
  const i = node.kpfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_ksm && s.mapping[i] === node.owner_id && s.refcount[i]! > 0) {
    get_page(k, node.kpfn);
    return node.kpfn;
  }
  remove_node_from_stable_tree(k, st, node);
  return 0;
}

/** Takes an item out of whichever tree it is in. @kernel mm/ksm.c:remove_rmap_item_from_tree @fidelity mirrored */
export function remove_rmap_item_from_tree(k: Machine, st: ksm_state, item: ksm_rmap_item): void {
  const node = item.head;
  if (node !== null) {
    const page = get_ksm_page(k, st, node);
    if (page === 0) return;
    put_page(k, page);
    node.hlist.splice(node.hlist.indexOf(item), 1);
    if (node.hlist.length > 0) st.pages_sharing--;
    else st.pages_shared--;
    put_anon_vma(k, item.anon_vma!);
    item.anon_vma = null;
    item.head = null;
  } else if (item.unstable >= 0) {
    const tree = tree_of(st.unstable, item.nid);
    if (item.unstable === st.seqnr && tree.get(item.content) === item) tree.delete(item.content);
    st.pages_unshared--;
    item.unstable = -1;
  }
}

/** May `offset` + 1 more share the page, and does anybody yet? @kernel mm/ksm.c:__is_page_sharing_candidate */
export function is_page_sharing_candidate(st: ksm_state, node: ksm_stable_node, offset = 0): boolean {
  return node.hlist.length > 0 && node.hlist.length + offset < st.max_page_sharing;
}

/** What a search by contents finds. */
interface found_node {
  /** A node that more may share; null if all are full. */
  readonly dup: ksm_stable_node | null;
  /** A page of these contents, with a reference. */
  readonly page: number;
}

/** @kernel mm/ksm.c:stable_node_dup @fidelity mirrored; time is what ksmd has slept */
function stable_node_dup(
  k: Machine,
  st: ksm_state,
  tree: Map<number, ksm_stable_node | ksm_stable_node_chain>,
  chain: ksm_stable_node_chain,
  may_prune: boolean,
): found_node {
  const prune = may_prune && st.now >= chain.chain_prune_time + st.stable_node_chains_prune_millisecs;
  if (prune) chain.chain_prune_time = st.now;
  let dup: ksm_stable_node | null = null;
  let page = 0;
  for (const one of [...chain.dups]) {
    const got = get_ksm_page(k, st, one);
    if (got === 0) continue;
    if (is_page_sharing_candidate(st, one) && (dup === null || one.hlist.length > dup.hlist.length)) {
      if (page !== 0) put_page(k, page);
      [dup, page] = [one, got];
      if (!prune) break;
    } else put_page(k, got);
  }
  if (dup === null) return { dup, page };
  if (prune && chain.dups.length === 1) {
    dup.chain = null;
    tree.set(dup.content, dup);
    st.stable_node_chains--;
    st.stable_node_dups--;
  } else if (chain.dups[0] !== dup && is_page_sharing_candidate(st, dup, 1)) {
    chain.dups.splice(chain.dups.indexOf(dup), 1);
    chain.dups.unshift(dup);
  }
  return { dup, page };
}

/**
 * Looks for these contents; undefined if no page has them.
 * @kernel mm/ksm.c:chain_prune, chain, stable_node_dup_any
 * @fidelity simplified: nodes of other contents, which a search of the kernel's tree passes, are not looked at
 */
function chain_lookup(
  k: Machine,
  st: ksm_state,
  tree: Map<number, ksm_stable_node | ksm_stable_node_chain>,
  content: number,
  prune: boolean,
): found_node | undefined {
  for (let entry = tree.get(content); entry !== undefined; entry = tree.get(content)) {
    let found: found_node = { dup: null, page: 0 };
    if (entry instanceof ksm_stable_node_chain) found = stable_node_dup(k, st, tree, entry, prune);
    else if (is_page_sharing_candidate(st, entry)) found = { dup: entry, page: get_ksm_page(k, st, entry) };
    if (found.dup === null) {
      const any = entry instanceof ksm_stable_node_chain ? entry.dups[0] : entry;
      if (any === undefined) {
        tree.delete(content);
        st.stable_node_chains--;
        continue;
      }
      found = { dup: null, page: get_ksm_page(k, st, any) };
    }
    if (found.page !== 0) return found;
  }
  return undefined;
}

/**
 * The KSM page with the contents of a page, with a reference: itself, if it is one (of a fork, say). 0 for none, or none
 * that more may share.
 * @kernel mm/ksm.c:stable_tree_search
 * @fidelity simplified: as chain_lookup; KSM pages stay on their node of memory while merge_across_nodes is 0
 * @returns page frame, 0, -EBUSY for a locked one
 */
export function stable_tree_search(k: Machine, st: ksm_state, page: number): number {
  const node = page_stable_node(k, page);
  if (node !== null) {
    if (get_kpfn_nid(k, st, page) !== node.nid) not_modelled("mm/ksm.c: a KSM page that migrated to another node");
    get_page(k, page);
    return page;
  }
  const tree = tree_of(st.stable, get_kpfn_nid(k, st, page));
  const found = chain_lookup(k, st, tree, content_of(k, page), true);
  if (found === undefined) return 0;
  if (found.dup === null || page_test(k.mem, found.page, PG_locked)) {
    put_page(k, found.page);
    return found.dup === null ? 0 : -EBUSY;
  }
  return found.page;
}

/** Makes a stable node for a new KSM page. @kernel mm/ksm.c:stable_tree_insert @fidelity as chain_lookup; nodes take no memory */
export function stable_tree_insert(k: Machine, st: ksm_state, kpage: number): ksm_stable_node {
  const content = content_of(k, kpage);
  const nid = get_kpfn_nid(k, st, kpage);
  const tree = tree_of(st.stable, nid);
  const found = chain_lookup(k, st, tree, content, false);
  if (found !== undefined) put_page(k, found.page);
  const node = new ksm_stable_node(kpage, nid, content);
  k.mem.register(node);
  set_page_stable_node(k, kpage, node);
  let entry = tree.get(content);
  if (entry === undefined) {
    tree.set(content, node);
    return node;
  }
  if (entry instanceof ksm_stable_node) {
    const chain = new ksm_stable_node_chain(st.now);
    st.stable_node_chains++;
    add_dup(st, chain, entry);
    tree.set(content, chain);
    entry = chain;
  }
  add_dup(st, entry, node);
  return node;
}

function add_dup(st: ksm_state, chain: ksm_stable_node_chain, node: ksm_stable_node): void {
  chain.dups.unshift(node);
  node.chain = chain;
  st.stable_node_dups++;
}

/** Notes that a place shares a KSM page. @kernel mm/ksm.c:stable_tree_append @fidelity mirrored */
export function stable_tree_append(st: ksm_state, item: ksm_rmap_item, node: ksm_stable_node): void {
  if (node.hlist.length > 0) st.pages_sharing++;
  else st.pages_shared++;
  node.hlist.unshift(item);
  item.head = node;
}

/**
 * Forgets all KSM pages that nobody maps any more.
 * @kernel mm/ksm.c:remove_all_stable_nodes
 * @fidelity mirrored
 * @returns 0, or -EBUSY where one is still mapped
 */
export function remove_all_stable_nodes(k: Machine, st: ksm_state): number {
  let err = 0;
  for (const tree of st.stable.values()) {
    for (const [content, entry] of [...tree]) {
      const nodes = entry instanceof ksm_stable_node_chain ? [...entry.dups] : [entry];
      for (const node of nodes) err = remove_stable_node(k, st, node) || err;
      if (entry instanceof ksm_stable_node_chain && entry.dups.length === 0) {
        tree.delete(content);
        st.stable_node_chains--;
      }
    }
  }
  return err;
}

function remove_stable_node(k: Machine, st: ksm_state, node: ksm_stable_node): number {
  const page = get_ksm_page(k, st, node);
  if (page === 0) return 0;
  const mapped = k.mem.section(page).mapcount[page & PFN_SECTION_MASK]! > 0;
  if (!mapped) {
    set_page_stable_node(k, page, null);
    remove_node_from_stable_tree(k, st, node);
  }
  put_page(k, page);
  return mapped ? -EBUSY : 0;
}
