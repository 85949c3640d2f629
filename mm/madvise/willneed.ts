// SPDX-License-Identifier: GPL-2.0-only
/** Reading from swap what will be needed (mm/madvise.c: the walks of MADV_WILLNEED). */
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { linear_page_index } from "../../include/linux/mm.js";
import { _PAGE_SWP, MM_SWAPENTS, type vm_area_struct } from "../../include/linux/mm_types.js";
import { non_swap_entry, type swp_entry_t } from "../../include/linux/swapops.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { xa_is_value, xa_to_value } from "../../lib/xarray.js";
import { end_swap_reads } from "../page_io.js";
import { next_pmd } from "../pagewalk.js";
import { pte_index } from "../pgtable.js";
import { lru_add_drain, put_page } from "../swap.js";
import { type policy_place, read_swap_cache_async } from "../swap_state.js";

/** Reads one slot into the swap cache. */
function read_slot(k: Machine, entry: swp_entry_t, at: policy_place | null): void {
  if (non_swap_entry(entry)) return;
  const pfn = read_swap_cache_async(k, entry, GFP_HIGHUSER_MOVABLE, at, false);
  if (pfn !== 0) put_page(k, pfn);
}

/**
 * Reads the pages of a VMA that are in swap.
 * @kernel mm/madvise.c:swapin_walk_pmd_entry
 * @fidelity mirrored: devices are done when this returns
 */
function swapin_walk(k: Machine, vma: vm_area_struct, start: number, end: number): void {
  const mm = vma.vm_mm;
  if (mm.rss_stat[MM_SWAPENTS] !== 0) {
    const last = Math.floor((end - 1) / PMD_SIZE);
    for (let key = next_pmd(mm, Math.floor(start / PMD_SIZE), last); key >= 0; key = next_pmd(mm, key + 1, last)) {
      const t = mm.pgd.pte.get(key);
      if (t === undefined) continue;
      const to = pte_index(Math.min(end, (key + 1) * PMD_SIZE) - 1);
      for (let i = pte_index(Math.max(start, key * PMD_SIZE)); i <= to; i++) {
        const address = key * PMD_SIZE + i * PAGE_SIZE;
        if (t.flags[i]! & _PAGE_SWP) read_slot(k, t.pfn[i]!, { vma, address });
      }
    }
  }
  end_swap_reads(k);
  lru_add_drain(k);
}

/**
 * Reads the pages of a shmem file that are in swap, where a VMA maps them (and the one behind).
 * @kernel mm/madvise.c:force_shm_swapin_readahead
 * @fidelity mirrored: devices are done when this returns
 */
function force_shm_swapin_readahead(k: Machine, vma: vm_area_struct, start: number, end: number): void {
  const { i_pages } = vma.vm_file!.f_mapping;
  const last = linear_page_index(vma, end + PAGE_SIZE - 1);
  i_pages.forEach(linear_page_index(vma, start), Math.min(last, 2 ** 32 - 1), (_index, value) => {
    if (xa_is_value(value)) read_slot(k, xa_to_value(value), null);
  });
  end_swap_reads(k);
  lru_add_drain(k);
}

/** Starts to read what of a range without a file, or of a shmem file, is in swap. */
export function read_swap_ahead(k: Machine, vma: vm_area_struct, start: number, end: number): void {
  if (vma.vm_file === null) swapin_walk(k, vma, start, end);
  else force_shm_swapin_readahead(k, vma, start, end);
}
