// SPDX-License-Identifier: GPL-2.0-only
/** Putting one page in the place of another of the same contents (mm/ksm.c). */
import { VM_BUG_ON } from "../../include/linux/bug.js";
import {
  compound_head,
  page_mapcount,
  page_ref_count,
  page_set,
  PageAnon,
  PFN_SECTION_MASK,
} from "../../include/linux/mem_map.js";
import {
  _PAGE_DIRTY,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SPECIAL,
  MM_ANONPAGES,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { PG_anon_exclusive, PG_dirty, PG_head, PG_swapcache, PG_tail } from "../../include/linux/page-flags.js";
import type { Machine } from "../../include/machine.js";
import { EFAULT } from "../../uapi/errno.js";
import { folio_trylock, folio_unlock } from "../filemap.js";
import { split_huge_page } from "../huge_memory/split.js";
import { set_page_dirty } from "../page-writeback.js";
import { pte_index, pte_offset, pte_present, set_pte_at, vm_page_prot } from "../pgtable.js";
import {
  page_add_anon_rmap,
  page_address_in_vma,
  page_remove_rmap,
  page_try_share_anon_rmap,
  RMAP_NONE,
} from "../rmap.js";
import { get_page, mark_page_accessed, put_page } from "../swap.js";
import { break_cow, find_mergeable_vma } from "./break.js";
import { content_of, remove_rmap_item_from_tree, set_page_stable_node } from "./stable.js";
import type { ksm_rmap_item, ksm_state } from "./state.js";

/** Where a page is mapped in a VMA: table and place. */
interface mapped_at {
  readonly table: pte_table;
  readonly i: number;
  readonly address: number;
}

/** The entry of an anonymous page in a VMA that its own offset leads to. @kernel mm/page_vma_mapped.c:page_vma_mapped_walk */
function entry_of(k: Machine, vma: vm_area_struct, page: number): mapped_at | undefined {
  const address = page_address_in_vma(k, page, vma);
  const table = address < 0 ? undefined : pte_offset(vma.vm_mm, address);
  if (table === undefined) return undefined;
  const at = pte_index(address);
  return table.pfn[at] === page && pte_present(table.flags[at]!) ? { table, i: at, address } : undefined;
}

/**
 * Makes a page's entry read-only and clean, if nobody but its mappings and the caller has a reference.
 * @kernel mm/ksm.c:write_protect_page
 * @fidelity mirrored
 * @returns where it is mapped, undefined where it must stay as it is
 */
function write_protect_page(k: Machine, vma: vm_area_struct, page: number): mapped_at | undefined {
  const at = entry_of(k, vma, page);
  if (at === undefined) return undefined;
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  const pte = at.table.flags[at.i]!;
  const anon_exclusive = (s.flags[i]! & PG_anon_exclusive) !== 0;
  if (!(pte & (_PAGE_RW | _PAGE_DIRTY)) && !anon_exclusive) return at;
  const swapped = s.flags[i]! & PG_swapcache ? 1 : 0;
  if (page_mapcount(k.mem, page) + 1 + swapped !== page_ref_count(k.mem, page)) return undefined;
  if (anon_exclusive && !page_try_share_anon_rmap(k, page)) return undefined;
  if (pte & _PAGE_DIRTY) set_page_dirty(k, page);
  at.table.flags[at.i] = pte & ~(_PAGE_DIRTY | (pte & _PAGE_PROTNONE ? 0 : _PAGE_RW));
  return at;
}

/**
 * Maps `kpage`, or the zero page, where `page` was.
 * @kernel mm/ksm.c:replace_page
 * @fidelity mirrored
 */
function replace_page(k: Machine, vma: vm_area_struct, page: number, kpage: number, at: mapped_at): void {
  let prot = vm_page_prot(vma);
  if (kpage === k.zero_pfn) {
    prot |= _PAGE_SPECIAL;
    vma.vm_mm.rss_stat[MM_ANONPAGES]!--;
  } else {
    get_page(k, kpage);
    page_add_anon_rmap(k, kpage, vma, at.address, RMAP_NONE);
  }
  set_pte_at(k, at.table, at.i, kpage, prot);
  page_remove_rmap(k, page, vma);
  put_page(k, page);
}

/**
 * Makes `page` a KSM page (`kpage` 0), or puts `kpage` in its place. The caller has a reference to both.
 * @kernel mm/ksm.c:try_to_merge_one_page
 * @fidelity mirrored
 * @returns 0 or -EFAULT
 */
export function try_to_merge_one_page(k: Machine, vma: vm_area_struct, page: number, kpage: number): number {
  if (page === kpage) return 0;
  if (!PageAnon(k.mem, page) || !folio_trylock(k, page)) return -EFAULT;
  let err = -EFAULT;
  const s = k.mem.section(page);
  const i = page & PFN_SECTION_MASK;
  const small = !(s.flags[i]! & (PG_head | PG_tail)) || split_huge_page(k, page) === 0;
  const at = small ? write_protect_page(k, vma, page) : undefined;
  if (at !== undefined && kpage === 0) {
    set_page_stable_node(k, page, null);
    mark_page_accessed(k, page);
    page_set(k.mem, page, PG_dirty);
    err = 0;
  } else if (at !== undefined && content_of(k, page) === content_of(k, kpage)) {
    VM_BUG_ON(
      (k.mem.section(kpage).flags[kpage & PFN_SECTION_MASK]! & PG_anon_exclusive) !== 0,
      "a KSM page is exclusive",
    );
    replace_page(k, vma, page, kpage, at);
    err = 0;
  }
  folio_unlock(k, compound_head(k.mem, page));
  return err;
}

/** The same for the page of an rmap item, whose anon_vma is then held. @kernel mm/ksm.c:try_to_merge_with_ksm_page @fidelity mirrored */
export function try_to_merge_with_ksm_page(
  k: Machine,
  st: ksm_state,
  item: ksm_rmap_item,
  page: number,
  kpage: number,
): number {
  mmap_read_lock(item.mm);
  const vma = find_mergeable_vma(item.mm, item.address);
  const err = vma === undefined ? -EFAULT : try_to_merge_one_page(k, vma, page, kpage);
  if (err === 0) {
    remove_rmap_item_from_tree(k, st, item);
    item.anon_vma = vma!.anon_vma;
    item.anon_vma!.refcount++;
  }
  mmap_read_unlock(item.mm);
  return err;
}

/**
 * Makes a KSM page of `page`, and puts it in the place of `tree_page`.
 * @kernel mm/ksm.c:try_to_merge_two_pages
 * @fidelity mirrored
 * @returns whether it worked
 */
export function try_to_merge_two_pages(
  k: Machine,
  st: ksm_state,
  item: ksm_rmap_item,
  page: number,
  tree_item: ksm_rmap_item,
  tree_page: number,
): boolean {
  if (try_to_merge_with_ksm_page(k, st, item, page, 0) !== 0) return false;
  if (try_to_merge_with_ksm_page(k, st, tree_item, tree_page, page) === 0) return true;
  break_cow(k, item);
  return false;
}
