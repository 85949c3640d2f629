// SPDX-License-Identifier: GPL-2.0-only
/** Putting a new mapping in place (the mmap_region() of mm/mmap.c). */
import { fput, get_file } from "../../fs/file_table.js";
import { type file, mapping_map_writable, mapping_unmap_writable } from "../../include/linux/fs.js";
import {
  VM_ACCOUNT,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_NORESERVE,
  VM_SHARED,
  VM_SPECIAL,
  VM_WRITE,
  is_vm_hugetlb_page,
} from "../../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import {
  vm_flags_and,
  vm_flags_andnot,
  vm_flags_or,
  vm_flags_test,
  vm_flags_value,
  type vm_flags_t,
} from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";
import { khugepaged_enter_vma } from "../khugepaged.js";
import { find_vma, is_file_hugepages, may_expand_vm, vm_stat_account } from "../mmap.js";
import { shmem_zero_setup } from "../shmem.js";
import { __vm_enough_memory, vm_unacct_memory } from "../util.js";
import { vma_set_page_prot } from "../pgtable.js";
import { vm_area_alloc, vm_area_free } from "../vma_init.js";
import {
  can_vma_merge_after,
  can_vma_merge_before,
  is_shared_maywrite,
  vma_expand,
  vma_link,
  vma_merge,
} from "./merge.js";
import { do_munmap, unmap_region } from "./munmap.js";

const MASK_ACCOUNT = vm_flags_or(VM_NORESERVE, VM_SHARED, VM_WRITE);

/** Must the mapping be accounted for: private, writable, not MAP_NORESERVE? @kernel mm/mmap.c:accountable_mapping */
function accountable_mapping(f: file | null, flags: vm_flags_t): boolean {
  return !is_file_hugepages(f) && vm_flags_value(vm_flags_and(flags, MASK_ACCOUNT)) === vm_flags_value(VM_WRITE);
}

function count_vma_pages_range(mm: mm_struct, addr: number, end: number): number {
  let nr = 0;
  for (let vma = find_vma(mm, addr); vma !== undefined && vma.vm_start < end; vma = find_vma(mm, vma.vm_end)) {
    nr += (Math.min(end, vma.vm_end) - Math.max(addr, vma.vm_start)) / PAGE_SIZE;
  }
  return nr;
}

/** Makes a neighbour cover [addr, end) as well, or both neighbours one with it; undefined where neither can. */
function expand_neighbour(
  k: Machine,
  f: file | null,
  addr: number,
  end: number,
  flags: vm_flags_t,
  pgoff: number,
): vm_area_struct | undefined {
  const mm = k.current.mm!;
  const next = mm.mm_mt.find(addr);
  const prev = mm.mm_mt.find_before(addr);
  const pglen = (end - addr) / PAGE_SIZE;
  let vma: vm_area_struct | undefined;
  let start = addr;
  let last = end;
  let off = pgoff;
  if (
    next !== undefined &&
    next.vm_start === end &&
    next.vm_policy === null &&
    can_vma_merge_before(next, flags, null, f, pgoff + pglen, null, null)
  ) {
    last = next.vm_end;
    vma = next;
    off = next.vm_pgoff - pglen;
  }
  const av = vma === undefined ? null : vma.anon_vma;
  const ctx = vma === undefined ? null : vma.vm_userfaultfd_ctx;
  if (
    prev !== undefined &&
    prev.vm_end === addr &&
    prev.vm_policy === null &&
    can_vma_merge_after(prev, flags, av, f, pgoff, ctx, null)
  ) {
    start = prev.vm_start;
    vma = prev;
    off = prev.vm_pgoff;
  }
  if (vma === undefined || vma_expand(k, vma, start, last, off, next)) return undefined;
  khugepaged_enter_vma(k, vma, flags);
  return vma;
}

/** A VMA of its own for the range, or -errno; nothing is left of it then. A file may have it merged after all. */
function new_mapping(
  k: Machine,
  f: file | null,
  addr: number,
  end: number,
  flags: vm_flags_t,
  pgoff: number,
): vm_area_struct | number {
  const mm = k.current.mm!;
  const vma = vm_area_alloc(k, mm, addr, end, flags, pgoff);
  let error = 0;
  if (f !== null) {
    const prev = mm.mm_mt.find_before(addr);
    vma.vm_file = get_file(f);
    error = f.f_op.mmap!(k, f, vma);
    if (error) {
      fput(k, f);
      vma.vm_file = null;
      unmap_region(k, mm, [vma], prev, mm.mm_mt.find(addr), addr, end);
    } else if (vm_flags_value(flags) !== vm_flags_value(vma.vm_flags) && prev !== undefined) {
      const merged = vma_merge(k, mm, prev, addr, end, vma.vm_flags, null, vma.vm_file, vma.vm_pgoff, null, null, null);
      if (merged !== undefined) {
        fput(k, f);
        vm_area_free(k, vma);
        return merged;
      }
    }
  } else if (vm_flags_test(flags, VM_SHARED)) {
    error = shmem_zero_setup(k, vma);
  }
  if (error) {
    vm_area_free(k, vma);
    return error;
  }
  vma_set_page_prot(k, vma);
  vma_link(mm, vma);
  khugepaged_enter_vma(k, vma, vma.vm_flags);
  return vma;
}

/** Promises the memory of a private writable mapping. Its pages, 0 where none are accounted, or -ENOMEM. */
function charge(k: Machine, f: file | null, flags: vm_flags_t, len: number): number {
  if (!accountable_mapping(f, flags)) return 0;
  return __vm_enough_memory(k, k.current.mm, len / PAGE_SIZE) ? -ENOMEM : len / PAGE_SIZE;
}

function __mmap_region(
  k: Machine,
  f: file | null,
  addr: number,
  len: number,
  flags: vm_flags_t,
  pgoff: number,
): number {
  const mm = k.current.mm!;
  const pages = len / PAGE_SIZE;
  const end = addr + len;
  if (!may_expand_vm(k, mm, flags, pages)) {
    if (!may_expand_vm(k, mm, flags, pages - count_vma_pages_range(mm, addr, end))) return -ENOMEM;
  }
  if (do_munmap(k, mm, addr, len)) return -ENOMEM;
  const charged = charge(k, f, flags, len);
  if (charged < 0) return charged;
  if (charged) flags = vm_flags_or(flags, VM_ACCOUNT);
  let vma = vm_flags_test(flags, VM_SPECIAL) ? undefined : expand_neighbour(k, f, addr, end, flags, pgoff);
  if (vma === undefined) {
    const made = new_mapping(k, f, addr, end, flags, pgoff);
    if (typeof made === "number") {
      vm_unacct_memory(k, charged);
      return made;
    }
    vma = made;
    flags = vma.vm_flags;
  }
  vm_stat_account(mm, flags, pages);
  if (vm_flags_test(flags, VM_LOCKED)) {
    if (vm_flags_test(flags, VM_SPECIAL) || is_vm_hugetlb_page(vma)) {
      vma.vm_flags = vm_flags_andnot(vma.vm_flags, VM_LOCKED_MASK);
    } else {
      mm.locked_vm += pages;
    }
  }
  return addr;
}

/**
 * Puts a mapping into the running task's address space in place of what is there; arguments are checked.
 * @kernel mm/mmap.c:mmap_region
 * @fidelity mirrored
 * @returns the address, or -EINVAL (flags that the architecture refuses), -EPERM (sealed), -ENOMEM, the file's error
 */
export function mmap_region(
  k: Machine,
  f: file | null,
  addr: number,
  len: number,
  flags: vm_flags_t,
  pgoff: number,
): number {
  if (k.arch.arch_validate_flags?.(flags) === false) return -EINVAL;
  const writable = f !== null && is_shared_maywrite(flags);
  if (writable) {
    const error = mapping_map_writable(f.f_mapping);
    if (error) return error;
  }
  const ret = __mmap_region(k, f, addr, len, flags, pgoff);
  if (writable) mapping_unmap_writable(f.f_mapping);
  return ret;
}
