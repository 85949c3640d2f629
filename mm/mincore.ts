// SPDX-License-Identifier: GPL-2.0-only
/** mincore(): which pages of a range are in memory (mm/mincore.c). */
import { not_modelled } from "../include/linux/bug.js";
import { FMODE_WRITE } from "../include/linux/fs.js";
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { is_vm_hugetlb_page, linear_page_index, vma_is_anonymous } from "../include/linux/mm.js";
import { _PAGE_MIGRATION, type vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../include/linux/mmap_lock.js";
import { PG_uptodate } from "../include/linux/page-flags.js";
import { offset_in_page, PAGE_SIZE, type ulong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { xa_is_value } from "../lib/xarray.js";
import { GFP_USER } from "../include/linux/gfp.js";
import { EAGAIN, EINVAL, ENOMEM } from "../uapi/errno.js";
import { find_vma } from "./mmap.js";
import { __free_pages, alloc_page } from "./page_alloc.js";
import { pte_index, pte_none, pte_offset, pte_present } from "./pgtable.js";

/** Is a page of the file cached and ready? @kernel mm/mincore.c:mincore_page */
function mincore_page(k: Machine, vma: vm_area_struct, addr: number): number {
  if (vma.vm_file === null) return 0;
  const pfn = vma.vm_file.f_mapping.i_pages.load(linear_page_index(vma, addr));
  if (pfn === 0) return 0;
  if (xa_is_value(pfn)) return 0;
  return k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! & PG_uptodate ? 1 : 0;
}

function mincore_pte(k: Machine, vma: vm_area_struct, addr: number): number {
  const t = pte_offset(vma.vm_mm, addr);
  const i = pte_index(addr);
  if (t === undefined || pte_none(t, i)) return mincore_page(k, vma, addr);
  if (pte_present(t.flags[i]!) || t.flags[i]! & _PAGE_MIGRATION) return 1;
  return not_modelled("mm/mincore.c: mincore_pte_range of a swap entry");
}

/** May the caller learn of the file's page cache? @kernel mm/mincore.c:can_do_mincore @fidelity simplified: no owners */
function can_do_mincore(vma: vm_area_struct): boolean {
  if (vma_is_anonymous(vma)) return true;
  if (vma.vm_file === null) return false;
  return vma.vm_file.f_inode.shmem !== null || (vma.vm_file.f_mode & FMODE_WRITE) !== 0 || vma.vm_file.deleted;
}

/** Does one VMA's part; how many pages, or -ENOMEM. @kernel mm/mincore.c:do_mincore */
function do_mincore(k: Machine, addr: number, pages: number, vec: Uint8Array, at: number): number {
  const vma = find_vma(k.current.mm!, addr);
  if (vma === undefined || addr < vma.vm_start) return -ENOMEM;
  const n = Math.min((vma.vm_end - addr) / PAGE_SIZE, pages);
  if (is_vm_hugetlb_page(vma)) not_modelled("mm/mincore.c: mincore_hugetlb");
  const all = !can_do_mincore(vma);
  for (let p = 0; p < n; p++) vec[at + p] = all ? 1 : mincore_pte(k, vma, addr + p * PAGE_SIZE);
  return n;
}

/**
 * Tells for each page of a range whether it is in memory.
 * @kernel mm/mincore.c:mincore
 * @fidelity mirrored
 * @param start bytes; `len` bytes
 * @returns a byte (0 or 1) for each page, or -EINVAL (unaligned), -ENOMEM (outside of user space, or a hole), -EAGAIN
 */
export function sys_mincore(k: Machine, start: ulong, len: ulong): Uint8Array | number {
  if (offset_in_page(start) !== 0) return -EINVAL;
  const max = k.arch.TASK_SIZE;
  if (start < 0 || len < 0 || start + len > max) return -ENOMEM;
  let pages = Math.ceil(len / PAGE_SIZE);
  const tmp = alloc_page(k, GFP_USER);
  if (tmp === 0) return -EAGAIN;
  const vec = new Uint8Array(pages);
  let at = 0;
  let retval = 0;
  const mm = k.current.mm!;
  while (pages > 0) {
    mmap_read_lock(mm);
    retval = do_mincore(k, start, Math.min(pages, PAGE_SIZE), vec, at);
    mmap_read_unlock(mm);
    if (retval <= 0) break;
    pages -= retval;
    at += retval;
    start += retval * PAGE_SIZE;
    retval = 0;
  }
  __free_pages(k, tmp, 0);
  return retval < 0 ? retval : vec;
}
