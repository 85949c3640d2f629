// SPDX-License-Identifier: GPL-2.0-only
/** Giving places that share a KSM page pages of their own again (mm/ksm.c). */
import { page_test } from "../../include/linux/mem_map.js";
import { FOLL_GET, FOLL_MIGRATION, FOLL_REMOTE, VM_MERGEABLE } from "../../include/linux/mm.js";
import {
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_WRITE,
  type mm_struct,
  type vm_area_struct,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  VM_FAULT_WRITE,
} from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { PG_ksm } from "../../include/linux/page-flags.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINTR, ENOMEM } from "../../uapi/errno.js";
import { follow_page } from "../gup/follow.js";
import { handle_mm_fault } from "../memory.js";
import { vma_lookup } from "../mmap.js";
import { put_anon_vma } from "../rmap.js";
import { put_page } from "../swap.js";
import { ksm_test_exit, type ksm_rmap_item } from "./state.js";

const DONE = VM_FAULT_WRITE | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_OOM;

/** The VMA at an address, if its pages may be merged. @kernel mm/ksm.c:find_mergeable_vma @fidelity mirrored */
export function find_mergeable_vma(mm: mm_struct, addr: number): vm_area_struct | undefined {
  if (ksm_test_exit(mm)) return undefined;
  const vma = vma_lookup(mm, addr);
  return vma !== undefined && vm_flags_test(vma.vm_flags, VM_MERGEABLE) && vma.anon_vma !== null ? vma : undefined;
}

/**
 * Has a fault copy the KSM page at an address, if there is one: an ordinary write fault, so that its page comes from
 * where any fault's page on this VMA does.
 * @kernel mm/ksm.c:break_ksm
 * @fidelity mirrored
 * @returns 0 or -ENOMEM
 */
export function break_ksm(k: Machine, vma: vm_area_struct, addr: number): number {
  let ret = 0;
  do {
    const page = follow_page(k, vma, addr, FOLL_GET | FOLL_MIGRATION | FOLL_REMOTE);
    if (page <= 0) break;
    ret = VM_FAULT_WRITE;
    if (page_test(k.mem, page, PG_ksm)) ret = handle_mm_fault(k, vma, addr, FAULT_FLAG_WRITE | FAULT_FLAG_REMOTE);
    put_page(k, page);
  } while ((ret & DONE) === 0);
  return ret & VM_FAULT_OOM ? -ENOMEM : 0;
}

/** Undoes the merging of one place. @kernel mm/ksm.c:break_cow @fidelity mirrored */
export function break_cow(k: Machine, item: ksm_rmap_item): void {
  put_anon_vma(k, item.anon_vma!);
  item.anon_vma = null;
  mmap_read_lock(item.mm);
  const vma = find_mergeable_vma(item.mm, item.address);
  if (vma !== undefined) break_ksm(k, vma, item.address);
  mmap_read_unlock(item.mm);
}

/**
 * Undoes the merging of a range of a VMA, in bytes.
 * @kernel mm/ksm.c:unmerge_ksm_pages
 * @fidelity mirrored
 * @returns 0, -ENOMEM, -EINTR for a task that is to die
 */
export function unmerge_ksm_pages(k: Machine, vma: vm_area_struct, start: number, end: number): number {
  let err = 0;
  for (let addr = start; addr < end && err === 0; addr += PAGE_SIZE) {
    if (ksm_test_exit(vma.vm_mm)) break;
    err = k.current.fatal_signal ? -EINTR : break_ksm(k, vma, addr);
  }
  return err;
}
