// SPDX-License-Identifier: GPL-2.0-only
/** swapoff(2): bringing everything back (mm/swapfile.c: try_to_unuse and what it calls). */
import { fput } from "../../fs/file_table.js";
import { would_wait } from "../../include/linux/bug.js";
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { compound_head, page_test } from "../../include/linux/mem_map.js";
import { is_vm_hugetlb_page } from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_SWP,
  MM_ANONPAGES,
  MM_SWAPENTS,
  type mm_struct,
  type pte_table,
  SWP_EXCLUSIVE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { PG_uptodate } from "../../include/linux/page-flags.js";
import { RMAP_EXCLUSIVE, RMAP_NONE } from "../../include/linux/rmap.js";
import { CAP_SYS_ADMIN } from "../../include/linux/sched.js";
import {
  SWAP_HAS_CACHE,
  SWAP_MAP_BAD,
  SWP_WRITEOK,
  swap_state_of,
  type swap_info_struct,
} from "../../include/linux/swap.js";
import { make_swapin_error_entry, swp_entry, swp_type } from "../../include/linux/swapops.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { EINTR, EINVAL, ENOMEM, EPERM } from "../../uapi/errno.js";
import { folio_lock, folio_unlock } from "../filemap.js";
import { ksm_might_need_to_copy } from "../ksm.js";
import { end_swap_reads } from "../page_io.js";
import { next_pmd } from "../pagewalk.js";
import { pte_index, set_pte, set_pte_at, vm_page_prot } from "../pgtable.js";
import { page_add_anon_rmap, page_add_new_anon_rmap } from "../rmap.js";
import { shmem_unuse } from "../shmem/swap.js";
import { get_page, lru_cache_add_inactive_or_unevictable, put_page } from "../swap.js";
import { disable_swap_slots_cache, enable_swap_slots_cache } from "../swap_slots.js";
import { swap_cache_get, swap_cache_get_folio, swapin_readahead } from "../swap_state.js";
import { folio_free_swap, swap_free } from "../swapfile.js";
import { __vm_enough_memory, vm_unacct_memory } from "../util.js";
import { _enable_swap_info, open_swap } from "./swapon.js";

/** Maps the page of an entry again, or says that it is lost. @kernel mm/swapfile.c:unuse_pte @fidelity mirrored @returns 0, -ENOMEM */
function unuse_pte(k: Machine, vma: vm_area_struct, address: number, t: pte_table, i: number, cached: number): number {
  const pfn = ksm_might_need_to_copy(k, cached, vma, address);
  if (pfn === 0) return -ENOMEM;
  const entry = t.pfn[i]!;
  const rss = vma.vm_mm.rss_stat;
  rss[MM_SWAPENTS]!--;
  if (!page_test(k.mem, compound_head(k.mem, pfn), PG_uptodate)) {
    set_pte(t, i, make_swapin_error_entry(pfn), _PAGE_SWP);
  } else {
    rss[MM_ANONPAGES]!++;
    get_page(k, pfn);
    if (pfn === cached) {
      page_add_anon_rmap(k, pfn, vma, address, t.flags[i]! & SWP_EXCLUSIVE ? RMAP_EXCLUSIVE : RMAP_NONE);
    } else {
      page_add_new_anon_rmap(k, pfn, vma, address);
      lru_cache_add_inactive_or_unevictable(k, pfn, vma);
    }
    set_pte_at(k, t, i, pfn, vm_page_prot(vma) & ~_PAGE_ACCESSED);
  }
  swap_free(k, entry);
  if (pfn === cached) return 0;
  folio_unlock(k, pfn);
  put_page(k, pfn);
  return 0;
}

/** Brings back the pages of [addr, end) of a VMA, all in one table. 0 or -ENOMEM. @kernel mm/swapfile.c:unuse_pte_range */
function unuse_pte_range(
  k: Machine,
  vma: vm_area_struct,
  t: pte_table,
  addr: number,
  end: number,
  type: number,
): number {
  for (let address = addr; address < end; address += PAGE_SIZE) {
    const i = pte_index(address);
    const entry = t.pfn[i]!;
    if (!(t.flags[i]! & _PAGE_SWP) || swp_type(entry) !== type) continue;
    let pfn = swap_cache_get_folio(k, entry, vma, address);
    if (pfn === 0) pfn = swapin_readahead(k, entry, GFP_HIGHUSER_MOVABLE, { vma, address, table: t });
    end_swap_reads(k);
    if (pfn === 0) return -ENOMEM;
    folio_lock(k, pfn);
    const error = unuse_pte(k, vma, address, t, i, pfn);
    if (error === 0) folio_free_swap(k, compound_head(k.mem, pfn));
    folio_unlock(k, pfn);
    put_page(k, pfn);
    if (error !== 0) return error;
  }
  return 0;
}

/** @kernel mm/swapfile.c:unuse_vma @fidelity mirrored */
function unuse_vma(k: Machine, vma: vm_area_struct, type: number): number {
  const mm = vma.vm_mm;
  const last = Math.floor((vma.vm_end - 1) / PMD_SIZE);
  for (let key = next_pmd(mm, Math.floor(vma.vm_start / PMD_SIZE), last); key >= 0; key = next_pmd(mm, key + 1, last)) {
    const t = mm.pgd.pte.get(key);
    if (t === undefined) continue;
    const addr = Math.max(vma.vm_start, key * PMD_SIZE);
    const error = unuse_pte_range(k, vma, t, addr, Math.min(vma.vm_end, (key + 1) * PMD_SIZE), type);
    if (error) return error;
  }
  return 0;
}

/** @kernel mm/swapfile.c:unuse_mm @fidelity mirrored */
function unuse_mm(k: Machine, mm: mm_struct, type: number): number {
  mmap_read_lock(mm);
  let error = 0;
  for (const vma of mm.mm_mt) {
    if (vma.anon_vma === null || is_vm_hugetlb_page(vma)) continue;
    error = unuse_vma(k, vma, type);
    if (error) break;
  }
  mmap_read_unlock(mm);
  return error;
}

/** Takes pages out of the swap cache that nothing else has. */
function unuse_cache(k: Machine, si: swap_info_struct): void {
  for (let offset = 1; offset < si.max && si.inuse_pages > 0; offset++) {
    const usage = si.swap_map[offset]!;
    if (usage === 0 || (usage & ~SWAP_HAS_CACHE) === SWAP_MAP_BAD) continue;
    const page = swap_cache_get(k, swp_entry(si.type, offset));
    if (page === 0) continue;
    const pfn = compound_head(k.mem, page);
    folio_lock(k, pfn);
    folio_free_swap(k, pfn);
    folio_unlock(k, pfn);
    put_page(k, pfn);
  }
}

/**
 * Brings everything back that lies in an area.
 * @kernel mm/swapfile.c:try_to_unuse
 * @fidelity simplified: address spaces in the order of their tasks
 * @returns 0, -ENOMEM, -EINTR
 */
function try_to_unuse(k: Machine, si: swap_info_struct): number {
  for (let pass = 0; si.inuse_pages > 0; pass++) {
    if (pass > 2) would_wait("swapoff: slots that only a task under way can give back");
    let error = shmem_unuse(k, si.type);
    if (error) return error;
    const mms = new Set([...k.tasks.values()].map((task) => task.mm).filter((mm) => mm !== null));
    for (const mm of mms) {
      if (si.inuse_pages === 0 || k.current.fatal_signal !== 0) break;
      error = unuse_mm(k, mm, si.type);
      if (error) return error;
    }
    unuse_cache(k, si);
    if (si.inuse_pages > 0 && k.current.fatal_signal !== 0) return -EINTR;
  }
  return 0;
}

/** No slot of the area is given out any more; areas of later priorities move up. */
function disable_swap_info(k: Machine, si: swap_info_struct): void {
  const st = swap_state_of(k);
  st.swap_avail_head = st.swap_avail_head.filter((other) => other !== si);
  const n = st.swap_active_head.indexOf(si);
  if (si.prio < 0) {
    for (const other of st.swap_active_head.slice(n + 1)) other.prio++;
    st.least_priority++;
  }
  st.swap_active_head.splice(n, 1);
  st.nr_swap_pages -= si.pages;
  st.total_swap_pages -= si.pages;
  si.flags &= ~SWP_WRITEOK;
}

/** The area on the device that a path names, or -errno. */
function find_area(k: Machine, specialfile: string | null): swap_info_struct | number {
  const victim = open_swap(k, specialfile);
  if (typeof victim === "number") return victim;
  const si = swap_state_of(k).swap_active_head.find((area) => area.swap_file!.f_mapping === victim.f_mapping);
  fput(k, victim);
  return si ?? -EINVAL;
}

/**
 * Swaps to a device no more, and brings back all that lies there.
 * @kernel mm/swapfile.c:SYSCALL_DEFINE1(swapoff)
 * @fidelity mirrored
 * @param specialfile path of a device; null is a bad address
 * @returns 0; -EPERM (no CAP_SYS_ADMIN); -EFAULT; -ENOENT; -EINVAL (not swapped to); -ENOMEM (what is promised or swapped
 *   out would not fit into memory): then it is swapped to as before; -EINTR
 */
export function sys_swapoff(k: Machine, specialfile: string | null): number {
  if (!k.current.capabilities.has(CAP_SYS_ADMIN)) return -EPERM;
  const si = find_area(k, specialfile);
  if (typeof si === "number") return si;
  if (__vm_enough_memory(k, k.current.mm, si.pages) !== 0) return -ENOMEM;
  vm_unacct_memory(k, si.pages);
  disable_swap_info(k, si);
  disable_swap_slots_cache(k);
  const error = try_to_unuse(k, si);
  if (error) {
    if (si.prio < 0) si.prio = --swap_state_of(k).least_priority;
    _enable_swap_info(k, si);
    enable_swap_slots_cache(k);
    return error;
  }
  enable_swap_slots_cache(k);
  if (si.bdev!.rotational) swap_state_of(k).nr_rotate_swap--;
  fput(k, si.swap_file!);
  si.swap_file = null;
  si.bdev = null;
  si.max = 0;
  si.flags = 0;
  si.swap_map = new Uint16Array(0);
  si.cluster_info = null;
  si.spaces = [];
  return 0;
}
