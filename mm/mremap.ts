// SPDX-License-Identifier: GPL-2.0-only
/** Moving and resizing mappings (mm/mremap.c). Addresses and lengths are bytes. */
import { userfaultfd_forget } from "../fs/userfaultfd.js";
import { not_modelled } from "../include/linux/bug.js";
import {
  VM_ACCOUNT,
  VM_DONTEXPAND,
  VM_LOCKED,
  VM_LOCKED_MASK,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SHARED,
  is_vm_hugetlb_page,
  vma_is_anonymous,
} from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { PAGE_ALIGN, PAGE_SIZE, PMD_SIZE, offset_in_page, ulongLess, type ulong } from "../include/linux/types.js";
import { vm_flags_andnot, vm_flags_or, vm_flags_test } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EAGAIN, EFAULT, EINVAL, ENOMEM } from "../uapi/errno.js";
import {
  MADV_UNMERGEABLE,
  MAP_FIXED,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from "../uapi/mman-common.js";
import { ksm_madvise } from "./ksm.js";
import { mm_populate } from "./gup.js";
import {
  __vma_adjust,
  copy_vma,
  do_munmap,
  find_vma,
  find_vma_intersection,
  get_unmapped_area,
  may_expand_vm,
  mlock_future_check,
  split_vma,
  vm_stat_account,
  vma_lookup,
  vma_merge,
} from "./mmap.js";
import { move_huge_pmd } from "./huge_memory/pmd.js";
import { __split_huge_pmd } from "./huge_memory/split_pmd.js";
import { do_mas_munmap } from "./mmap/munmap.js";
import { next_pmd } from "./pagewalk.js";
import { pmd_alloc, pmd_clear, pmd_huge, pte_alloc, pte_index, pte_offset } from "./pgtable.js";
import { unlink_anon_vmas } from "./rmap.js";
import { __vm_enough_memory, vm_acct_memory, vm_unacct_memory } from "./util.js";

const SHARED_MAYSHARE = vm_flags_or(VM_SHARED, VM_MAYSHARE);
const NO_RESIZE = vm_flags_or(VM_DONTEXPAND, VM_PFNMAP);

/** Up to the next multiple of 2 MiB. */
function to_boundary(addr: number): number {
  return PMD_SIZE - (addr % PMD_SIZE);
}

/** Is there neither a table nor a huge entry at an address? */
function nothing_at(mm: mm_struct, addr: number): boolean {
  return pte_offset(mm, addr) === undefined && pmd_huge(mm, addr) === undefined;
}

/**
 * Moves the entries of `len` bytes from one place of an address space to another, a whole table where both are aligned.
 * @kernel mm/mremap.c:move_page_tables
 * @fidelity simplified: tables of entries, and entries and tables of 2 MiB move; no tables of 1 GiB at once
 * @returns bytes done: less than `len` when there was no memory for a table
 */
export function move_page_tables(
  k: Machine,
  vma: vm_area_struct,
  old_addr: number,
  new_vma: vm_area_struct,
  new_addr: number,
  len: number,
): number {
  if (len > 0 && is_vm_hugetlb_page(vma)) not_modelled("mm/hugetlb.c: move_hugetlb_page_tables");
  const mm = new_vma.vm_mm;
  const last = Math.floor((old_addr + len - 1) / PMD_SIZE);
  for (let done = 0; done < len;) {
    const from = old_addr + done;
    const to = new_addr + done;
    let table = pte_offset(mm, from);
    const huge = table === undefined && pmd_huge(mm, from) !== undefined;
    if (table === undefined && !huge) {
      const key = next_pmd(mm, Math.floor(from / PMD_SIZE), last);
      if (key < 0) break;
      done = key * PMD_SIZE - old_addr;
      continue;
    }
    const extent = Math.min(len - done, to_boundary(from), to_boundary(to));
    if (huge) {
      if (!pmd_alloc(k, mm, to)) return done;
      if (extent === PMD_SIZE && nothing_at(mm, to)) {
        move_huge_pmd(mm, from, to);
        done += extent;
        continue;
      }
      __split_huge_pmd(k, vma, from, false, 0);
      table = pte_offset(mm, from);
    }
    if (table === undefined) {
      done += extent;
      continue;
    }
    if (extent === PMD_SIZE && pte_offset(mm, to) === undefined) {
      if (!pmd_alloc(k, mm, to)) return done;
      pmd_clear(mm, Math.floor(from / PMD_SIZE));
      mm.pgd.pte.set(Math.floor(to / PMD_SIZE), table);
    } else {
      const fresh = pte_alloc(k, mm, to);
      if (fresh === null) return done;
      const n = extent / PAGE_SIZE;
      const at = pte_index(from);
      for (let i = at, j = pte_index(to); i < at + n; i++, j++) {
        if (table.flags[i] === 0 && table.pfn[i] === 0) continue;
        fresh.pfn[j] = table.pfn[i]!;
        fresh.flags[j] = table.flags[i]!;
        fresh.note(j, table.of(i));
        table.pfn[i] = 0;
        table.flags[i] = 0;
      }
    }
    done += extent;
  }
  return len;
}

/** A call of mremap on its way. */
interface remap {
  readonly flags: number;
  /** Has the new mapping to be populated, since it is locked? */
  locked: boolean;
}

/** Checks and splits before anything moves: 0 or -errno. */
function move_vma_prepare(k: Machine, vma: vm_area_struct, addr: number, len: number, flags: number): number {
  const mm = vma.vm_mm;
  const split_before = vma.vm_start !== addr;
  const split_after = vma.vm_end !== addr + len;
  if (mm.map_count >= k.config.max_map_count - 3) return -ENOMEM;
  let err = 0;
  if (split_before) err = vma.vm_ops?.may_split?.(k, vma, addr) ?? 0;
  if (!err && split_after) err = vma.vm_ops?.may_split?.(k, vma, addr + len) ?? 0;
  if (err) return err;
  err = ksm_madvise(k, vma, addr, addr + len, MADV_UNMERGEABLE, { vm_flags: vma.vm_flags });
  if (err) return err;
  if (flags & MREMAP_DONTUNMAP && vm_flags_test(vma.vm_flags, VM_LOCKED)) {
    if (split_before) err = split_vma(k, mm, vma, addr, 1);
    if (!err && split_after) err = split_vma(k, mm, vma, addr + len, 0);
  }
  return err;
}

/** The end of a move that leaves the old VMA in place, empty. */
function keep_old(k: Machine, vma: vm_area_struct, old_addr: number, old_len: number): void {
  vma.vm_flags = vm_flags_andnot(vma.vm_flags, VM_LOCKED_MASK);
  if (vma.vm_start !== old_addr || vma.vm_end !== old_addr + old_len) return;
  unlink_anon_vmas(k, vma);
  if (vma_is_anonymous(vma)) vma.vm_pgoff = vma.vm_start / PAGE_SIZE;
}

/**
 * Unmaps what was moved away. The rest of its VMA stays accounted, without what went having been: `account` says
 * whether the VMA was.
 */
function unmap_old(k: Machine, vma: vm_area_struct, old_addr: number, old_len: number, account: boolean): void {
  const mm = vma.vm_mm;
  let excess = 0;
  let split = false;
  if (account) {
    vma.vm_flags = vm_flags_andnot(vma.vm_flags, VM_ACCOUNT);
    excess = vma.vm_end - vma.vm_start - old_len;
    split = old_addr > vma.vm_start && old_addr + old_len < vma.vm_end;
  }
  if (do_munmap(k, mm, old_addr, old_len) < 0) {
    if (account) vm_acct_memory(k, old_len / PAGE_SIZE);
    excess = 0;
  }
  if (excess === 0) return;
  vma.vm_flags = vm_flags_or(vma.vm_flags, VM_ACCOUNT);
  if (!split) return;
  const tail = find_vma(mm, vma.vm_end)!;
  tail.vm_flags = vm_flags_or(tail.vm_flags, VM_ACCOUNT);
}

/**
 * Moves [old_addr, old_addr + old_len) of a VMA to a hole.
 * @kernel mm/mremap.c:move_vma
 * @fidelity mirrored
 * @returns new_addr, or -ENOMEM, or what the VMA's file says
 */
function move_vma(
  k: Machine,
  vma: vm_area_struct,
  old_addr: number,
  old_len: number,
  new_len: number,
  new_addr: number,
  r: remap,
): number {
  const mm = vma.vm_mm;
  const vm_flags = vma.vm_flags;
  const dontunmap = (r.flags & MREMAP_DONTUNMAP) !== 0;
  let err = move_vma_prepare(k, vma, old_addr, old_len, r.flags);
  if (err) return err;
  const account = vm_flags_test(vm_flags, VM_ACCOUNT);
  const to_account = (dontunmap ? new_len : new_len - old_len) / PAGE_SIZE;
  if (account && __vm_enough_memory(k, mm, to_account)) return -ENOMEM;
  const pgoff = vma.vm_pgoff + (old_addr - vma.vm_start) / PAGE_SIZE;
  const copied = copy_vma(k, vma, new_addr, new_len, pgoff, dontunmap);
  if (copied === null) {
    if (account) vm_unacct_memory(k, to_account);
    return -ENOMEM;
  }
  const { new_vma } = copied;
  vma = copied.vma;
  const moved = move_page_tables(k, vma, old_addr, new_vma, new_addr, old_len);
  err = moved < old_len ? -ENOMEM : (vma.vm_ops?.mremap?.(k, new_vma) ?? 0);
  let result = new_addr;
  if (!err) {
    userfaultfd_forget(new_vma);
  } else {
    move_page_tables(k, new_vma, new_addr, vma, old_addr, moved);
    vma = new_vma;
    old_len = new_len;
    old_addr = new_addr;
    result = err;
  }
  const flags_then = account && !dontunmap ? vm_flags_andnot(vma.vm_flags, VM_ACCOUNT) : vma.vm_flags;
  vm_stat_account(mm, flags_then, new_len / PAGE_SIZE);
  if (!err && dontunmap) {
    keep_old(k, vma, old_addr, old_len);
    return result;
  }
  unmap_old(k, vma, old_addr, old_len, account && !dontunmap);
  if (vm_flags_test(vm_flags, VM_LOCKED)) {
    mm.locked_vm += new_len / PAGE_SIZE;
    r.locked = true;
  }
  return result;
}

/**
 * The VMA at an address, if it may be resized so; -errno otherwise.
 * @kernel mm/mremap.c:vma_to_resize
 * @fidelity mirrored
 */
function vma_to_resize(
  k: Machine,
  addr: number,
  old_len: ulong,
  new_len: ulong,
  flags: number,
): vm_area_struct | number {
  const mm = k.current.mm!;
  const vma = vma_lookup(mm, addr);
  if (vma === undefined) return -EFAULT;
  if (old_len === 0 && !vm_flags_test(vma.vm_flags, SHARED_MAYSHARE)) return -EINVAL;
  if (flags & MREMAP_DONTUNMAP && vm_flags_test(vma.vm_flags, NO_RESIZE)) return -EINVAL;
  if (ulongLess(vma.vm_end - addr, old_len)) return -EFAULT;
  if (new_len === old_len) return vma;
  if (vm_flags_test(vma.vm_flags, NO_RESIZE)) return -EFAULT;
  // The length is a page count below 2^52, even where it is negative as a number here.
  const more = (new_len < 0 ? new_len + 2 ** 64 : new_len) - old_len;
  if (mlock_future_check(k, mm, vma.vm_flags, more)) return -EAGAIN;
  return may_expand_vm(k, mm, vma.vm_flags, Math.floor(more / PAGE_SIZE)) ? vma : -ENOMEM;
}

/** Does [a, a + a_len) meet [b, b + b_len), as unsigned 64-bit numbers? */
function overlap(a: ulong, a_len: ulong, b: ulong, b_len: ulong): boolean {
  return ulongLess(b, a + a_len) && ulongLess(a, b + b_len);
}

/**
 * mremap to a given place (MREMAP_FIXED), or away from one that stays (MREMAP_DONTUNMAP).
 * @kernel mm/mremap.c:mremap_to
 * @fidelity mirrored
 */
function mremap_to(k: Machine, addr: number, old_len: ulong, new_addr: ulong, new_len: ulong, r: remap): number {
  const mm = k.current.mm!;
  const { flags } = r;
  if (offset_in_page(new_addr)) return -EINVAL;
  const size = mm.task_size;
  if (ulongLess(size, new_len) || ulongLess(size - new_len, new_addr)) return -EINVAL;
  if (overlap(addr, old_len, new_addr, new_len)) return -EINVAL;
  if (mm.map_count + 2 >= k.config.max_map_count - 3) return -ENOMEM;
  if (flags & MREMAP_FIXED) {
    const ret = do_munmap(k, mm, new_addr, new_len);
    if (ret) return ret;
  }
  if (ulongLess(new_len, old_len)) {
    const ret = do_munmap(k, mm, addr + new_len, old_len - new_len);
    if (ret) return ret;
    old_len = new_len;
  }
  const vma = vma_to_resize(k, addr, old_len, new_len, flags);
  if (typeof vma === "number") return vma;
  if (flags & MREMAP_DONTUNMAP && !may_expand_vm(k, mm, vma.vm_flags, old_len / PAGE_SIZE)) return -ENOMEM;
  let map_flags = flags & MREMAP_FIXED ? MAP_FIXED : 0;
  if (vm_flags_test(vma.vm_flags, VM_MAYSHARE)) map_flags |= MAP_SHARED;
  const ret = get_unmapped_area(k, vma.vm_file, new_addr, new_len, map_flags);
  if (ret < 0) return ret;
  return move_vma(k, vma, addr, old_len, new_len, flags & MREMAP_FIXED ? new_addr : ret, r);
}

/** Is there room for `delta` bytes behind a VMA? @kernel mm/mremap.c:vma_expandable */
function vma_expandable(k: Machine, vma: vm_area_struct, delta: number): boolean {
  const end = vma.vm_end + delta;
  if (find_vma_intersection(vma.vm_mm, vma.vm_end, end) !== undefined) return false;
  return get_unmapped_area(k, null, vma.vm_start, end - vma.vm_start, MAP_FIXED) >= 0;
}

/** Grows the mapping that ends where the old range does: its address, or -ENOMEM. */
function expand_in_place(
  k: Machine,
  vma: vm_area_struct,
  addr: number,
  old_len: number,
  new_len: number,
  r: remap,
): number {
  const mm = vma.vm_mm;
  const pages = (new_len - old_len) / PAGE_SIZE;
  const start = addr + old_len;
  const end = addr + new_len;
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  if (vm_flags_test(vma.vm_flags, VM_ACCOUNT) && __vm_enough_memory(k, mm, pages)) return -ENOMEM;
  let grown: vm_area_struct | undefined = vma;
  if (vma.vm_ops?.close === undefined) {
    const { vm_flags, anon_vma, vm_file, vm_policy, vm_userfaultfd_ctx: ctx, anon_name } = vma;
    grown = vma_merge(k, mm, vma, start, end, vm_flags, anon_vma, vm_file, pgoff, vm_policy, ctx, anon_name);
  } else if (__vma_adjust(k, vma, vma.vm_start, end, vma.vm_pgoff, null, null)) {
    grown = undefined;
  }
  if (grown === undefined) {
    vm_unacct_memory(k, pages);
    return -ENOMEM;
  }
  vm_stat_account(mm, grown.vm_flags, pages);
  if (vm_flags_test(grown.vm_flags, VM_LOCKED)) {
    mm.locked_vm += pages;
    r.locked = true;
  }
  return addr;
}

/** Makes a mapping larger, where it is or elsewhere. */
function mremap_grow(k: Machine, addr: number, old_len: ulong, new_len: ulong, r: remap): number {
  const vma = vma_to_resize(k, addr, old_len, new_len, r.flags);
  if (typeof vma === "number") return vma;
  if (old_len === vma.vm_end - addr && new_len > 0 && vma_expandable(k, vma, new_len - old_len)) {
    return expand_in_place(k, vma, addr, old_len, new_len, r);
  }
  if (!(r.flags & MREMAP_MAYMOVE)) return -ENOMEM;
  const map_flags = vm_flags_test(vma.vm_flags, VM_MAYSHARE) ? MAP_SHARED : 0;
  const new_addr = get_unmapped_area(k, vma.vm_file, 0, new_len, map_flags);
  return new_addr < 0 ? new_addr : move_vma(k, vma, addr, old_len, new_len, new_addr, r);
}

/** The part of mremap(2) under mmap_lock, which is left as `downgraded` says. */
function mremap_locked(
  k: Machine,
  addr: ulong,
  old_len: ulong,
  new_len: ulong,
  new_addr: ulong,
  r: remap,
): { ret: number; downgraded: boolean } {
  const mm = k.current.mm!;
  const vma = addr < 0 ? undefined : vma_lookup(mm, addr);
  if (vma === undefined) return { ret: -EFAULT, downgraded: false };
  if (is_vm_hugetlb_page(vma)) not_modelled("mm/hugetlb.c: mremap of huge pages");
  if (r.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
    return { ret: mremap_to(k, addr, old_len, new_addr, new_len, r), downgraded: false };
  }
  if (ulongLess(old_len, new_len)) return { ret: mremap_grow(k, addr, old_len, new_len, r), downgraded: false };
  const retval = do_mas_munmap(k, mm, addr + new_len, old_len - new_len, true);
  if (retval < 0 && old_len !== new_len) return { ret: retval, downgraded: false };
  return { ret: addr, downgraded: retval === 1 };
}

/**
 * mremap(2).
 * @kernel mm/mremap.c:SYSCALL_DEFINE5(mremap)
 * @fidelity mirrored (no hugetlb, no userfaultfd)
 * @returns the address; -EINVAL (flags, alignment, overlap), -EFAULT (not mapped, across VMAs), -ENOMEM, -EAGAIN
 */
export function sys_mremap(
  k: Machine,
  addr: ulong,
  old_len: ulong,
  new_len: ulong,
  flags: number,
  new_addr: ulong,
): number {
  if (flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) return -EINVAL;
  if (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)) return -EINVAL;
  if (flags & MREMAP_DONTUNMAP && (!(flags & MREMAP_MAYMOVE) || old_len !== new_len)) return -EINVAL;
  if (offset_in_page(addr)) return -EINVAL;
  old_len = PAGE_ALIGN(old_len);
  new_len = PAGE_ALIGN(new_len);
  if (new_len === 0) return -EINVAL;
  const mm = k.current.mm!;
  const r: remap = { flags, locked: false };
  mmap_write_lock(mm);
  const { ret, downgraded } = mremap_locked(k, addr, old_len, new_len, new_addr, r);
  if (downgraded) mmap_read_unlock(mm);
  else mmap_write_unlock(mm);
  if (ret >= 0 && r.locked && new_len > old_len) mm_populate(k, ret + old_len, new_len - old_len);
  return ret;
}
