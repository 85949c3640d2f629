// SPDX-License-Identifier: GPL-2.0-only
/**
 * User pages for the kernel: populate, references, pins (mm/gup.c of v6.1). The walk is in gup/faultin.ts, looking up
 * entries in gup/follow.ts, the long-term pin in gup/longterm.ts, letting go in gup/unpin.ts.
 */
import { VM_BUG_ON } from "../include/linux/bug.js";
import {
  FOLL_FORCE,
  FOLL_GET,
  FOLL_HWPOISON,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_REMOTE,
  FOLL_TOUCH,
  FOLL_WRITE,
  VM_IO,
  VM_LOCKONFAULT,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
  vma_is_accessible,
} from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_assert_locked, mmap_read_lock, mmap_read_unlock } from "../include/linux/mmap_lock.js";
import { PAGE_SIZE, offset_in_page } from "../include/linux/types.js";
import { vm_flags_or, vm_flags_test } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EINVAL } from "../uapi/errno.js";
import { find_vma_intersection } from "./mmap.js";
import { lru_add_drain } from "./swap.js";
import { __get_user_pages, __get_user_pages_locked, check_vma_flags, type gup_locked } from "./gup/faultin.js";
import type { page_array } from "./gup/follow.js";
import { __gup_longterm_locked } from "./gup/longterm.js";

export { fixup_user_fault, type gup_locked } from "./gup/faultin.js";
export { follow_page, type page_array } from "./gup/follow.js";
export { is_longterm_pinnable_page } from "./gup/longterm.js";
export { unpin_user_page, unpin_user_pages, unpin_user_pages_dirty_lock } from "./gup/unpin.js";

const VM_NOT_MEMORY = vm_flags_or(VM_IO, VM_PFNMAP);

function check_range(vma: vm_area_struct, start: number, end: number): void {
  VM_BUG_ON(offset_in_page(start) !== 0 || offset_in_page(end) !== 0, "populating parts of pages");
  VM_BUG_ON(start < vma.vm_start || end > vma.vm_end, "populating outside of the VMA");
  mmap_assert_locked(vma.vm_mm);
}

/**
 * Faults in a range of one VMA, for writing where that breaks copy-on-write; mlocks it if the VMA is VM_LOCKED.
 * @kernel mm/gup.c:populate_vma_page_range
 * @fidelity mirrored
 * @param start bytes, page-aligned, in the VMA; `end` likewise
 * @param locked not null: mmap_lock is held for reading and may be dropped, which it then says
 * @returns pages, 0 to try again, or -errno
 */
export function populate_vma_page_range(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  locked: gup_locked | null = null,
): number {
  const mm = vma.vm_mm;
  const nr_pages = (end - start) / PAGE_SIZE;
  check_range(vma, start, end);
  if (vm_flags_test(vma.vm_flags, VM_LOCKONFAULT)) return nr_pages;
  let gup_flags = FOLL_TOUCH;
  if (vm_flags_test(vma.vm_flags, VM_WRITE) && !vm_flags_test(vma.vm_flags, VM_SHARED)) gup_flags |= FOLL_WRITE;
  if (vma_is_accessible(vma)) gup_flags |= FOLL_FORCE;
  const ret = __get_user_pages(k, mm, start, nr_pages, gup_flags, null, 0, locked);
  lru_add_drain(k);
  return ret;
}

/**
 * Faults in a range of one VMA for reading or writing, as its permissions allow (MADV_POPULATE_READ/WRITE).
 * @kernel mm/gup.c:faultin_vma_page_range
 * @fidelity mirrored
 * @param start bytes, page-aligned, in the VMA; `end` likewise
 * @param locked as in {@link populate_vma_page_range}
 * @returns pages, 0 to try again, -EINVAL if the VMA does not allow it, -EFAULT, -ENOMEM, -EHWPOISON, -EINTR
 */
export function faultin_vma_page_range(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  write: boolean,
  locked: gup_locked | null = null,
): number {
  const mm = vma.vm_mm;
  const nr_pages = (end - start) / PAGE_SIZE;
  check_range(vma, start, end);
  let gup_flags = FOLL_TOUCH | FOLL_HWPOISON;
  if (write) gup_flags |= FOLL_WRITE;
  if (check_vma_flags(k, vma, gup_flags) !== 0) return -EINVAL;
  const ret = __get_user_pages(k, mm, start, nr_pages, gup_flags, null, 0, locked);
  lru_add_drain(k);
  return ret;
}

/**
 * Populates all VMAs in a range of the running task's address space. Called without mmap_lock.
 * @kernel mm/gup.c:__mm_populate
 * @fidelity mirrored
 * @param start bytes, page-aligned
 * @param len bytes
 * @param ignore_errors go on with the next VMA after an error
 * @returns 0 or -errno
 */
export function __mm_populate(k: Machine, start: number, len: number, ignore_errors: boolean): number {
  const mm = k.current.mm!;
  const end = start + len;
  const locked: gup_locked = { locked: false };
  let vma: vm_area_struct | undefined;
  let ret = 0;
  let nend: number;
  for (let nstart = start; nstart < end; nstart = nend) {
    if (!locked.locked) {
      k.hooks.yieldPoint("__mm_populate", { address: nstart });
      locked.locked = true;
      mmap_read_lock(mm);
      vma = find_vma_intersection(mm, nstart, end);
    } else if (nstart >= vma!.vm_end) vma = find_vma_intersection(mm, vma!.vm_end, end);
    if (vma === undefined) break;
    nend = Math.min(end, vma.vm_end);
    if (vm_flags_test(vma.vm_flags, VM_NOT_MEMORY)) continue;
    if (nstart < vma.vm_start) nstart = vma.vm_start;
    ret = populate_vma_page_range(k, vma, nstart, nend, locked);
    if (ret < 0) {
      if (!ignore_errors) break;
      ret = 0;
      continue;
    }
    nend = nstart + ret * PAGE_SIZE;
    ret = 0;
  }
  if (locked.locked) mmap_read_unlock(mm);
  return ret;
}

/**
 * Populates a range as far as that goes, and says nothing of errors (MAP_POPULATE, MAP_LOCKED, brk).
 * @kernel include/linux/mm.h:mm_populate
 * @fidelity mirrored
 */
export function mm_populate(k: Machine, addr: number, len: number): void {
  __mm_populate(k, addr, len, true);
}

/** FOLL_PIN and FOLL_LONGTERM are not for get_user_pages' callers. @kernel mm/gup.c:is_valid_gup_flags */
function is_valid_gup_flags(gup_flags: number): boolean {
  return (gup_flags & (FOLL_PIN | FOLL_LONGTERM)) === 0;
}

/**
 * References on the pages of the running task's [start, start + nr_pages). Called with mmap_lock held.
 * @kernel mm/gup.c:get_user_pages
 * @fidelity simplified: no vmas array
 * @param start bytes
 * @param nr_pages pages
 * @returns pages, or -errno if there are none; -EINVAL for FOLL_PIN or FOLL_LONGTERM
 */
export function get_user_pages(
  k: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: page_array | null,
  off = 0,
): number {
  if (!is_valid_gup_flags(gup_flags)) return -EINVAL;
  return __gup_longterm_locked(k, k.current.mm!, start, nr_pages, pages, off, gup_flags | FOLL_TOUCH);
}

/**
 * {@link get_user_pages} that takes mmap_lock itself and may drop it on the way.
 * @kernel mm/gup.c:get_user_pages_unlocked
 * @fidelity mirrored
 */
export function get_user_pages_unlocked(
  k: Machine,
  start: number,
  nr_pages: number,
  pages: page_array,
  gup_flags: number,
): number {
  if (gup_flags & FOLL_LONGTERM) return -EINVAL;
  const mm = k.current.mm!;
  const locked: gup_locked = { locked: true };
  mmap_read_lock(mm);
  const ret = __get_user_pages_locked(k, mm, start, nr_pages, pages, 0, locked, gup_flags | FOLL_TOUCH);
  if (locked.locked) mmap_read_unlock(mm);
  return ret;
}

/**
 * Pins pages of the running task. Called with mmap_lock held.
 * @kernel mm/gup.c:pin_user_pages
 * @fidelity simplified: no vmas array
 * @param start bytes
 * @param nr_pages pages
 * @param pages receives page frames from index `off` on
 * @returns pages, or -errno if there are none
 */
export function pin_user_pages(
  k: Machine,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: page_array,
  off = 0,
): number {
  if (gup_flags & FOLL_GET) return -EINVAL;
  return __gup_longterm_locked(k, k.current.mm!, start, nr_pages, pages, off, gup_flags | FOLL_PIN);
}

/**
 * Pins pages of any address space. Called with its mmap_lock held.
 * @kernel mm/gup.c:pin_user_pages_remote
 * @fidelity simplified: no vmas array
 * @returns as {@link pin_user_pages}; -EINVAL for FOLL_LONGTERM with `locked`
 */
export function pin_user_pages_remote(
  k: Machine,
  mm: mm_struct,
  start: number,
  nr_pages: number,
  gup_flags: number,
  pages: page_array,
  off = 0,
  locked: gup_locked | null = null,
): number {
  if (gup_flags & FOLL_GET) return -EINVAL;
  const flags = gup_flags | FOLL_PIN | FOLL_TOUCH | FOLL_REMOTE;
  if (gup_flags & FOLL_LONGTERM) {
    if (locked !== null) return -EINVAL;
    return __gup_longterm_locked(k, mm, start, nr_pages, pages, off, flags);
  }
  return __get_user_pages_locked(k, mm, start, nr_pages, pages, off, locked, flags);
}
