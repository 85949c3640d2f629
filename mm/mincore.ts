// SPDX-License-Identifier: GPL-2.0-only
/** mincore(): which pages of a range are in memory (mm/mincore.c). */
import { not_modelled } from "../include/linux/bug.js";
import { FMODE_WRITE } from "../include/linux/fs.js";
import { compound_head, page_test } from "../include/linux/mem_map.js";
import { is_vm_hugetlb_page, linear_page_index, vma_is_anonymous } from "../include/linux/mm.js";
import { _PAGE_MIGRATION, type vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../include/linux/mmap_lock.js";
import { PG_uptodate } from "../include/linux/page-flags.js";
import { offset_in_page, PAGE_SIZE, type ulong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { XA_MAX_INDEX, xa_is_value, xa_to_value } from "../lib/xarray.js";
import { GFP_USER } from "../include/linux/gfp.js";
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from "../uapi/errno.js";
import { non_swap_entry, type swp_entry_t } from "../include/linux/swapops.js";
import { find_vma } from "./mmap.js";
import { __free_pages, alloc_page } from "./page_alloc.js";
import { swap_cache_peek } from "./swap_state.js";
import { pmd_huge, pte_index, pte_none, pte_offset, pte_present } from "./pgtable.js";

/** Is the page of a slot in the swap cache, and ready? */
function mincore_swap(k: Machine, entry: swp_entry_t): number {
  if (non_swap_entry(entry)) return 0;
  const pfn = swap_cache_peek(k, entry);
  return pfn !== 0 && page_test(k.mem, compound_head(k.mem, pfn), PG_uptodate) ? 1 : 0;
}

/** Is a page of the file cached and ready? @kernel mm/mincore.c:mincore_page */
function mincore_page(k: Machine, vma: vm_area_struct, addr: number): number {
  if (vma.vm_file === null) return 0;
  const index = linear_page_index(vma, addr);
  const pfn = index > XA_MAX_INDEX ? 0 : vma.vm_file.f_mapping.i_pages.load(index);
  if (pfn === 0) return 0;
  if (xa_is_value(pfn)) return vma.vm_file.f_inode.shmem === null ? 0 : mincore_swap(k, xa_to_value(pfn));
  return page_test(k.mem, compound_head(k.mem, pfn), PG_uptodate) ? 1 : 0;
}

function mincore_pte(k: Machine, vma: vm_area_struct, addr: number): number {
  if (pmd_huge(vma.vm_mm, addr) !== undefined) return 1;
  const t = pte_offset(vma.vm_mm, addr);
  const i = pte_index(addr);
  if (t === undefined || pte_none(t, i)) return mincore_page(k, vma, addr);
  if (pte_present(t.flags[i]!) || t.flags[i]! & _PAGE_MIGRATION) return 1;
  return non_swap_entry(t.pfn[i]!) ? 1 : mincore_swap(k, t.pfn[i]!);
}

/** May the caller learn of the file's page cache? @kernel mm/mincore.c:can_do_mincore @fidelity simplified: no owners */
function can_do_mincore(vma: vm_area_struct): boolean {
  if (vma_is_anonymous(vma)) return true;
  if (vma.vm_file === null) return false;
  return vma.vm_file.f_inode.shmem !== null || (vma.vm_file.f_mode & FMODE_WRITE) !== 0 || vma.vm_file.f_inode.unlinked;
}

/** Does one VMA's part; how many pages, or -ENOMEM. @kernel mm/mincore.c:do_mincore */
function do_mincore(k: Machine, addr: number, pages: number, vec: Uint8Array): number {
  const vma = find_vma(k.current.mm!, addr);
  if (vma === undefined || addr < vma.vm_start) return -ENOMEM;
  const n = Math.min((vma.vm_end - addr) / PAGE_SIZE, pages);
  if (is_vm_hugetlb_page(vma)) not_modelled("mm/mincore.c: mincore_hugetlb");
  const all = !can_do_mincore(vma);
  for (let p = 0; p < n; p++) vec[p] = all ? 1 : mincore_pte(k, vma, addr + p * PAGE_SIZE);
  return n;
}

/**
 * Tells for each page of a range whether it is in memory, a byte (0 or 1) a page; what comes before an error is told.
 * @kernel mm/mincore.c:SYSCALL_DEFINE3(mincore)
 * @fidelity mirrored
 * @param start bytes; `len` bytes
 * @param vec filled as far as it goes; null is a bad address, without it nobody wants to know
 * @returns 0, -EINVAL (unaligned), -ENOMEM (outside of user space, or a hole), -EFAULT, -EAGAIN
 */
export function sys_mincore(k: Machine, start: ulong, len: ulong, vec: Uint8Array | null | undefined): number {
  if (offset_in_page(start) !== 0) return -EINVAL;
  if (start < 0 || len < 0 || start + len > k.arch.TASK_SIZE) return -ENOMEM;
  let pages = Math.ceil(len / PAGE_SIZE);
  const page = alloc_page(k, GFP_USER);
  if (page === 0) return -EAGAIN;
  const tmp = new Uint8Array(Math.min(pages, PAGE_SIZE));
  const mm = k.current.mm!;
  let retval = 0;
  for (let at = 0; pages > 0; at += retval, pages -= retval) {
    mmap_read_lock(mm);
    retval = do_mincore(k, start + at * PAGE_SIZE, Math.min(pages, PAGE_SIZE), tmp);
    mmap_read_unlock(mm);
    if (retval > 0 && vec === null) retval = -EFAULT;
    if (retval < 0) break;
    vec?.set(tmp.subarray(0, Math.max(0, Math.min(retval, vec.length - at))), Math.min(at, vec.length));
  }
  __free_pages(k, page, 0);
  return Math.min(retval, 0);
}
