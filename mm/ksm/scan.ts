// SPDX-License-Identifier: GPL-2.0-only
/** ksmd's scan: place by place through the address spaces that asked for it (mm/ksm.c). */
import { compound_head, page_test, PageAnon } from "../../include/linux/mem_map.js";
import { FOLL_GET, VM_MERGEABLE } from "../../include/linux/mm.js";
import { _PAGE_PRESENT, _PAGE_SPECIAL, type mm_struct, type vm_area_struct } from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { PG_head, PG_tail } from "../../include/linux/page-flags.js";
import { MMF_VM_MERGEABLE } from "../../include/linux/sched/coredump.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { folio_trylock, folio_unlock } from "../filemap.js";
import { follow_page } from "../gup/follow.js";
import { split_huge_page } from "../huge_memory/split.js";
import { find_vma } from "../mmap.js";
import { pmd_huge, pte_index, pte_offset, pte_present } from "../pgtable.js";
import { get_page, lru_add_drain_all, put_page } from "../swap.js";
import { find_mergeable_vma } from "./break.js";
import { try_to_merge_one_page, try_to_merge_two_pages, try_to_merge_with_ksm_page } from "./merge.js";
import {
  content_of,
  get_kpfn_nid,
  page_stable_node,
  remove_rmap_item_from_tree,
  stable_tree_append,
  stable_tree_insert,
  stable_tree_search,
} from "./stable.js";
import { type ksm_mm_slot, ksm_rmap_item, ksm_test_exit, type ksm_state, tree_of } from "./state.js";

/** Of a page's contents; that of zeroes is not 0, which is what an item has before its first. */
const calc_checksum = (k: Machine, page: number): number => content_of(k, page) + 1;
const ZERO_CHECKSUM = 1;

/** The anonymous page at an item's place, with a reference; 0 for none. @kernel mm/ksm.c:get_mergeable_page @fidelity mirrored */
function get_mergeable_page(k: Machine, item: ksm_rmap_item): number {
  mmap_read_lock(item.mm);
  const vma = find_mergeable_vma(item.mm, item.address);
  let page = vma === undefined ? 0 : follow_page(k, vma, item.address, FOLL_GET);
  if (page > 0 && !PageAnon(k.mem, page)) {
    put_page(k, page);
    page = 0;
  }
  mmap_read_unlock(item.mm);
  return Math.max(page, 0);
}

/**
 * Looks for another place with the contents of a page, or notes this one.
 * @kernel mm/ksm.c:unstable_tree_search_insert
 * @fidelity simplified: a place whose contents have changed since it was noted makes room for this one
 * @returns the other place, and its page with a reference
 */
function unstable_tree_search_insert(
  k: Machine,
  st: ksm_state,
  item: ksm_rmap_item,
  page: number,
): { readonly item: ksm_rmap_item; readonly page: number } | undefined {
  const nid = get_kpfn_nid(k, st, page);
  const tree = tree_of(st.unstable, nid);
  const content = content_of(k, page);
  const other = tree.get(content);
  if (other !== undefined) {
    const tree_page = get_mergeable_page(k, other);
    if (tree_page === 0) return undefined;
    if (tree_page === page) {
      put_page(k, tree_page);
      return undefined;
    }
    if (content_of(k, tree_page) === content) {
      if (get_kpfn_nid(k, st, tree_page) === nid) return { item: other, page: tree_page };
      put_page(k, tree_page);
      return undefined;
    }
    put_page(k, tree_page);
  }
  item.unstable = st.seqnr;
  item.content = content;
  item.nid = nid;
  tree.set(content, item);
  st.pages_unshared++;
  return undefined;
}

/** Puts the zero page in the place of a page of zeroes; true if that is done, or the place is gone. */
function merge_with_zero_page(k: Machine, item: ksm_rmap_item, page: number): boolean {
  mmap_read_lock(item.mm);
  const vma = find_mergeable_vma(item.mm, item.address);
  const err = vma === undefined ? 0 : try_to_merge_one_page(k, vma, page, k.zero_pfn);
  mmap_read_unlock(item.mm);
  return err === 0;
}

/** Merges two places that share contents, or splits the huge page that both lie in. */
function merge_unstable(k: Machine, st: ksm_state, item: ksm_rmap_item, page: number): void {
  const other = unstable_tree_search_insert(k, st, item, page);
  if (other === undefined) return;
  const merged = try_to_merge_two_pages(k, st, item, page, other.item, other.page);
  const huge = page_test(k.mem, page, PG_head | PG_tail);
  const split = huge && compound_head(k.mem, page) === compound_head(k.mem, other.page);
  put_page(k, other.page);
  if (merged) {
    const node = stable_tree_insert(k, st, page);
    stable_tree_append(st, other.item, node);
    stable_tree_append(st, item, node);
  } else if (split && folio_trylock(k, page)) {
    split_huge_page(k, page);
    folio_unlock(k, compound_head(k.mem, page));
  }
}

/**
 * Merges a page with a KSM page of its contents; or, if it has not changed since the last scan, with another such page.
 * @kernel mm/ksm.c:cmp_and_merge_page
 * @fidelity simplified: as stable_tree_search and unstable_tree_search_insert
 */
export function cmp_and_merge_page(k: Machine, st: ksm_state, page: number, item: ksm_rmap_item): void {
  const node = page_stable_node(k, page);
  if (node !== null && item.head === node) return;
  const kpage = stable_tree_search(k, st, page);
  remove_rmap_item_from_tree(k, st, item);
  if (kpage < 0) return;
  if (kpage > 0) {
    if (try_to_merge_with_ksm_page(k, st, item, page, kpage) === 0) {
      stable_tree_append(st, item, page_stable_node(k, kpage)!);
    }
    put_page(k, kpage);
    return;
  }
  const checksum = calc_checksum(k, page);
  if (item.oldchecksum !== checksum) {
    item.oldchecksum = checksum;
    return;
  }
  if (st.use_zero_pages && checksum === ZERO_CHECKSUM && merge_with_zero_page(k, item, page)) return;
  merge_unstable(k, st, item, page);
}

/** Forgets the items of a slot from `from` on. @kernel mm/ksm.c:remove_trailing_rmap_items @fidelity mirrored */
export function remove_trailing_rmap_items(k: Machine, st: ksm_state, slot: ksm_mm_slot, from: number): void {
  for (const item of slot.rmap_list.slice(from)) remove_rmap_item_from_tree(k, st, item);
  st.rmap_items -= slot.rmap_list.length - from;
  slot.rmap_list.length = from;
}

/** The item of an address, at the cursor; items of lower addresses there are past. @kernel mm/ksm.c:get_next_rmap_item */
function get_next_rmap_item(k: Machine, st: ksm_state, slot: ksm_mm_slot, addr: number): ksm_rmap_item {
  const list = slot.rmap_list;
  let past = st.rmap_at;
  while (past < list.length && list[past]!.address < addr) remove_rmap_item_from_tree(k, st, list[past++]!);
  list.splice(st.rmap_at, past - st.rmap_at);
  st.rmap_items -= past - st.rmap_at;
  const there = list[st.rmap_at];
  if (there?.address === addr) return there;
  const item = new ksm_rmap_item(slot.mm, addr);
  list.splice(st.rmap_at, 0, item);
  st.rmap_items++;
  return item;
}

/** The next address in a VMA that maps an anonymous page, and the page; undefined for none. @kernel mm/ksm.c:ksm_next_page_pmd_entry */
function next_page(k: Machine, vma: vm_area_struct, from: number): { addr: number; page: number } | undefined {
  for (let addr = from; addr < vma.vm_end;) {
    const pmd = pmd_huge(vma.vm_mm, addr);
    const table = pmd === undefined ? pte_offset(vma.vm_mm, addr) : undefined;
    if (table !== undefined) {
      const i = pte_index(addr);
      const flags = table.flags[i]!;
      const page = table.pfn[i]!;
      if (pte_present(flags) && !(flags & _PAGE_SPECIAL) && PageAnon(k.mem, page)) return { addr, page };
      addr += PAGE_SIZE;
      continue;
    }
    const mapped = pmd !== undefined && (pmd.flags & (_PAGE_PRESENT | _PAGE_SPECIAL)) === _PAGE_PRESENT;
    if (mapped && PageAnon(k.mem, pmd.pfn)) return { addr, page: pmd.pfn + (addr % PMD_SIZE) / PAGE_SIZE };
    addr = (Math.floor(addr / PMD_SIZE) + 1) * PMD_SIZE;
  }
  return undefined;
}

/** A place to look at; its page has a reference. */
interface next_item {
  readonly item: ksm_rmap_item;
  readonly page: number;
}

/** Goes on through one address space; undefined at its end. */
function next_in_mm(k: Machine, st: ksm_state, slot: ksm_mm_slot): next_item | undefined {
  const { mm } = slot;
  if (ksm_test_exit(mm)) {
    st.address = 0;
    st.rmap_at = 0;
    return undefined;
  }
  for (let vma = find_vma(mm, st.address); vma !== undefined; vma = find_vma(mm, vma.vm_end)) {
    if (!vm_flags_test(vma.vm_flags, VM_MERGEABLE)) continue;
    st.address = Math.max(st.address, vma.vm_start);
    const found = vma.anon_vma === null ? undefined : next_page(k, vma, st.address);
    if (found === undefined) {
      st.address = vma.vm_end;
      continue;
    }
    get_page(k, found.page);
    const item = get_next_rmap_item(k, st, slot, found.addr);
    st.rmap_at++;
    st.address = found.addr + PAGE_SIZE;
    return { item, page: found.page };
  }
  return undefined;
}

/** Takes an address space off the list. */
export function drop_slot(st: ksm_state, slot: ksm_mm_slot): void {
  st.slots.splice(st.slots.indexOf(slot), 1);
  slot.mm.flags &= ~MMF_VM_MERGEABLE;
}

/** The cursor goes to a slot, or (null) to the head of the list. */
export function move_cursor(st: ksm_state, to: ksm_mm_slot | null): void {
  st.mm_slot = to;
  st.address = 0;
  st.rmap_at = 0;
}

/**
 * The next place to look at, with its page; undefined once all have been: then the scan is over.
 * @kernel mm/ksm.c:scan_get_next_rmap_item
 * @fidelity mirrored
 */
function scan_get_next_rmap_item(k: Machine, st: ksm_state): next_item | undefined {
  if (st.slots.length === 0) return undefined;
  if (st.mm_slot === null) {
    lru_add_drain_all(k);
    st.unstable.clear();
    move_cursor(st, st.slots[0]!);
  }
  while (st.mm_slot !== null) {
    const slot: ksm_mm_slot = st.mm_slot;
    const { mm }: { mm: mm_struct } = slot;
    mmap_read_lock(mm);
    const next = next_in_mm(k, st, slot);
    if (next === undefined) remove_trailing_rmap_items(k, st, slot, st.rmap_at);
    mmap_read_unlock(mm);
    if (next !== undefined) return next;
    const none = st.address === 0;
    move_cursor(st, st.slots[st.slots.indexOf(slot) + 1] ?? null);
    if (none) drop_slot(st, slot);
  }
  st.seqnr++;
  return undefined;
}

/**
 * Looks at up to so many pages, or to the end of the scan.
 * @kernel mm/ksm.c:ksm_do_scan
 * @fidelity mirrored
 */
export function ksm_do_scan(k: Machine, st: ksm_state, scan_npages: number): void {
  for (; scan_npages > 0; scan_npages--) {
    const next = scan_get_next_rmap_item(k, st);
    if (next === undefined) return;
    cmp_and_merge_page(k, st, next.page, next.item);
    put_page(k, next.page);
  }
}
