// SPDX-License-Identifier: GPL-2.0-only
/**
 * The address space: looking up, mapping, unmapping (mm/mmap.c). Merging and splitting are in mmap/merge.ts, placement
 * in mmap/unmapped_area.ts, stacks in mmap/stack.ts, unmapping in mmap/munmap.ts, brk in mmap/brk.ts.
 */
import { FMODE_READ, FMODE_WRITE, type file, is_regular } from "../include/linux/fs.js";
import {
  VM_EXEC,
  VM_GROWSDOWN,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_SHARED,
  VM_STACK,
  VM_SYNC,
  VM_WRITE,
} from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_IPC_LOCK, RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK } from "../include/linux/sched.js";
import { PAGE_ALIGN, PAGE_ALIGN_DOWN, PAGE_SIZE, type ulong } from "../include/linux/types.js";
import {
  vm_flags,
  vm_flags_all,
  vm_flags_and,
  vm_flags_andnot,
  vm_flags_or,
  vm_flags_test,
  vm_flags_value,
  type vm_flags_t,
} from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EACCES, EAGAIN, EEXIST, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/mman-common.js";
import { mm_populate } from "./gup.js";
import { can_do_mlock } from "./mlock.js";
import { mmap_region } from "./mmap/region.js";
import { get_unmapped_area } from "./mmap/unmapped_area.js";
import { calc_vm_prot_bits, execute_only_pkey } from "./mprotect/pkeys.js";

export { do_brk_flags, sys_brk, vm_brk_flags } from "./mmap/brk.js";
export { copy_vma } from "./mmap/copy.js";
export {
  __split_vma,
  __vma_adjust,
  find_mergeable_anon_vma,
  split_vma,
  unlink_file_vma,
  vma_expand,
  vma_is_shared_maywrite,
  vma_link,
  vma_merge,
} from "./mmap/merge.js";
export { do_munmap, exit_mmap, insert_vm_struct, vm_munmap } from "./mmap/munmap.js";
export { mmap_region } from "./mmap/region.js";
export { expand_downwards, expand_stack, find_extend_vma_locked } from "./mmap/stack.js";
export { arch_pick_mmap_layout, get_unmapped_area, vm_start_gap } from "./mmap/unmapped_area.js";

const WRITE_SHARED = vm_flags_or(VM_WRITE, VM_SHARED);
const MAY_ALL = vm_flags_or(VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC);
const SHARED_MAYSHARE = vm_flags_or(VM_SHARED, VM_MAYSHARE);
const NO_FLAGS = vm_flags(0);
const MASK_EXEC = vm_flags_or(VM_EXEC, VM_WRITE, VM_STACK);
const MASK_DATA = vm_flags_or(VM_WRITE, VM_SHARED, VM_STACK);

/** Does `f` have, of the flags in `mask`, just `want`? */
function masked(f: vm_flags_t, mask: vm_flags_t, want: vm_flags_t): boolean {
  return vm_flags_value(vm_flags_and(f, mask)) === vm_flags_value(want);
}

/** Private, writable, no stack. @kernel mm/internal.h:is_data_mapping @fidelity mirrored */
export function is_data_mapping(flags: vm_flags_t): boolean {
  return masked(flags, MASK_DATA, VM_WRITE);
}

/**
 * The VMA that holds an address, or the next one above it.
 * @kernel mm/mmap.c:find_vma
 * @fidelity mirrored
 */
export function find_vma(mm: mm_struct, addr: number): vm_area_struct | undefined {
  return mm.mm_mt.find(addr);
}

/** What {@link find_vma_prev} finds. */
export interface vma_and_prev {
  vma: vm_area_struct | undefined;
  prev: vm_area_struct | undefined;
}

/**
 * The VMA that holds an address or the next one, and the one before that.
 * @kernel mm/mmap.c:find_vma_prev
 * @fidelity mirrored
 */
export function find_vma_prev(mm: mm_struct, addr: number): vma_and_prev {
  const vma = mm.mm_mt.find(addr);
  return { vma, prev: mm.mm_mt.find_before(vma === undefined || vma.vm_start > addr ? addr : vma.vm_start) };
}

/** The VMA that holds an address. @kernel include/linux/mm.h:vma_lookup @fidelity mirrored */
export function vma_lookup(mm: mm_struct, addr: number): vm_area_struct | undefined {
  const vma = mm.mm_mt.find(addr);
  return vma !== undefined && vma.vm_start <= addr ? vma : undefined;
}

/** The first VMA that has something of [start, end). @kernel mm/mmap.c:find_vma_intersection @fidelity mirrored */
export function find_vma_intersection(mm: mm_struct, start: number, end: number): vm_area_struct | undefined {
  const vma = mm.mm_mt.find(start);
  return vma !== undefined && vma.vm_start < end ? vma : undefined;
}

/**
 * The VMA at an address, a stack being grown to it; mmap_lock is held for reading.
 * @kernel mm/mmap.c:find_extend_vma_locked (v6.1: find_extend_vma)
 * @fidelity mirrored
 */
export { find_extend_vma_locked as find_extend_vma } from "./mmap/stack.js";

/**
 * May an address space have `npages` more?
 * @kernel mm/mmap.c:may_expand_vm
 * @fidelity mirrored
 */
export function may_expand_vm(k: Machine, mm: mm_struct, flags: vm_flags_t, npages: number): boolean {
  const { rlim, rlim_max } = k.current;
  if (mm.total_vm + npages > Math.floor(rlim[RLIMIT_AS]! / PAGE_SIZE)) return false;
  if (!is_data_mapping(flags)) return true;
  const data = mm.data_vm + npages;
  if (data <= Math.floor(rlim[RLIMIT_DATA]! / PAGE_SIZE)) return true;
  return rlim[RLIMIT_DATA] === 0 && data <= Math.floor(rlim_max[RLIMIT_DATA]! / PAGE_SIZE);
}

/** Counts pages of mappings by kind. @kernel mm/mmap.c:vm_stat_account @fidelity mirrored */
export function vm_stat_account(mm: mm_struct, flags: vm_flags_t, npages: number): void {
  mm.total_vm += npages;
  if (masked(flags, MASK_EXEC, VM_EXEC)) mm.exec_vm += npages;
  else if (vm_flags_test(flags, VM_STACK)) mm.stack_vm += npages;
  else if (is_data_mapping(flags)) mm.data_vm += npages;
}

/**
 * May `len` bytes more be locked, if `flags` say that they will be? 0 or -EAGAIN.
 * @kernel mm/mmap.c:mlock_future_check
 * @fidelity mirrored
 */
export function mlock_future_check(k: Machine, mm: mm_struct, flags: vm_flags_t, len: number): number {
  if (!vm_flags_test(flags, VM_LOCKED)) return 0;
  const locked = Math.floor(len / PAGE_SIZE) + mm.locked_vm;
  const limit = Math.floor(k.current.rlim[RLIMIT_MEMLOCK]! / PAGE_SIZE);
  return locked > limit && !k.current.capabilities.has(CAP_IPC_LOCK) ? -EAGAIN : 0;
}

/**
 * Does a shared mapping want to hear of the first write to each page?
 * @kernel mm/mmap.c:vma_wants_writenotify
 * @fidelity simplified: no soft-dirty, no userfaultfd write protection; only shmem and devices do no writeback
 */
export function vma_wants_writenotify(_k: Machine, vma: vm_area_struct): boolean {
  if (!vm_flags_all(vma.vm_flags, WRITE_SHARED)) return false;
  if (vma.vm_ops?.page_mkwrite !== undefined) return true;
  return false;
}

/** How a mapping came out: its address or -errno, and how many bytes of it to populate. */
export interface mapped {
  addr: number;
  populate: number;
}

function failed(error: number): mapped {
  return { addr: error, populate: 0 };
}

const MAP_HUGE_2MB = 21 << 26;
const MAP_HUGE_1GB = 30 << 26;
const LEGACY_MAP_MASK =
  uapi.MAP_SHARED |
  uapi.MAP_PRIVATE |
  uapi.MAP_FIXED |
  uapi.MAP_ANONYMOUS |
  uapi.MAP_DENYWRITE |
  uapi.MAP_EXECUTABLE |
  uapi.MAP_UNINITIALIZED |
  uapi.MAP_GROWSDOWN |
  uapi.MAP_LOCKED |
  uapi.MAP_NORESERVE |
  uapi.MAP_POPULATE |
  uapi.MAP_NONBLOCK |
  uapi.MAP_STACK |
  uapi.MAP_HUGETLB |
  uapi.MAP_32BIT |
  (MAP_HUGE_2MB | MAP_HUGE_1GB);

/** @kernel include/linux/mman.h:calc_vm_flag_bits */
function calc_vm_flag_bits(k: Machine, f: file | null, flags: number): vm_flags_t {
  let bits = k.arch.arch_calc_vm_flag_bits?.(flags, f !== null && f.f_inode.shmem !== null) ?? NO_FLAGS;
  if (flags & uapi.MAP_GROWSDOWN) bits = vm_flags_or(bits, VM_GROWSDOWN);
  if (flags & uapi.MAP_LOCKED) bits = vm_flags_or(bits, VM_LOCKED);
  if (flags & uapi.MAP_SYNC) bits = vm_flags_or(bits, VM_SYNC);
  return bits;
}

/** The checks of do_mmap() on what kind of mapping of a file is wanted: the flags that it gets, or -errno. */
function file_vm_flags(f: file, prot: number, flags: number, bits: vm_flags_t): vm_flags_t | number {
  let type = flags & uapi.MAP_TYPE;
  if (type === uapi.MAP_SHARED) {
    flags &= LEGACY_MAP_MASK;
    type = uapi.MAP_SHARED_VALIDATE;
  }
  if (type === uapi.MAP_SHARED_VALIDATE) {
    if (flags & ~LEGACY_MAP_MASK & ~uapi.MAP_SHARED_VALIDATE) return -EOPNOTSUPP;
    if (prot & uapi.PROT_WRITE && !(f.f_mode & FMODE_WRITE)) return -EACCES;
    bits = vm_flags_or(bits, VM_SHARED, VM_MAYSHARE);
    if (!(f.f_mode & FMODE_WRITE)) bits = vm_flags_andnot(bits, vm_flags_or(VM_MAYWRITE, VM_SHARED));
    else if (is_readonly_sealed(f, bits)) bits = vm_flags_andnot(bits, VM_MAYWRITE);
  } else if (type !== uapi.MAP_PRIVATE) {
    return -EINVAL;
  }
  if (!(f.f_mode & FMODE_READ)) return -EACCES;
  if (f.f_op.mmap === undefined) return -ENODEV;
  return vm_flags_test(bits, VM_GROWSDOWN) ? -EINVAL : bits;
}

const F_SEAL_WRITE = 0x0008;
const F_SEAL_FUTURE_WRITE = 0x0010;

/** Is this a shared, read-only mapping of a memfd that is sealed against writing? @kernel include/linux/memfd.h */
function is_readonly_sealed(f: file, bits: vm_flags_t): boolean {
  const seals = f.f_inode.shmem?.seals ?? 0;
  return (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0 && masked(bits, WRITE_SHARED, VM_SHARED);
}

/**
 * Is the end of the mapping an offset that the file can have? Those of regular files are signed.
 * @kernel mm/mmap.c:file_mmap_ok
 */
function file_mmap_ok(f: file, pgoff: number, len: number): boolean {
  const pages = is_regular(f) || is_file_hugepages(f) ? 2 ** 51 : 2 ** 52;
  return pgoff <= pages - 1 - len / PAGE_SIZE;
}

/** A hint below vm.mmap_min_addr is raised to it. @kernel mm/mmap.c:round_hint_to_min */
function round_hint_to_min(k: Machine, hint: ulong): ulong {
  const at = PAGE_ALIGN_DOWN(hint);
  return at > 0 && at < k.config.mmap_min_addr ? PAGE_ALIGN(k.config.mmap_min_addr) : at;
}

/** Address of the new mapping, after everything that can be refused before it is known what is to be mapped. */
function mmap_address(k: Machine, f: file | null, addr: ulong, len: number, flags: number): number {
  const mm = k.current.mm!;
  if (!(flags & uapi.MAP_FIXED)) addr = round_hint_to_min(k, addr);
  if (len === 0) return -ENOMEM;
  if (mm.map_count > k.config.max_map_count) return -ENOMEM;
  addr = get_unmapped_area(k, f, addr, len, flags);
  if (addr >= 0 && flags & uapi.MAP_FIXED_NOREPLACE && find_vma_intersection(mm, addr, addr + len)) return -EEXIST;
  return addr;
}

/**
 * Maps a file or anonymous memory into the running task's address space; mmap_lock is held for writing.
 * @kernel mm/mmap.c:do_mmap
 * @fidelity simplified: no swap files, append-only files, noexec mounts or READ_IMPLIES_EXEC
 * @param addr hint or address, bytes; `len` bytes; `pgoff` pages
 * @returns the address, or -EINVAL, -ENOMEM, -EEXIST, -EPERM, -EAGAIN, -EOVERFLOW, -EACCES, -ENODEV, -EOPNOTSUPP
 */
export function do_mmap(
  k: Machine,
  f: file | null,
  addr: ulong,
  len: ulong,
  prot: number,
  flags: number,
  pgoff: number,
): mapped {
  const mm = k.current.mm!;
  if (len === 0) return failed(-EINVAL);
  if (flags & uapi.MAP_FIXED_NOREPLACE) flags |= uapi.MAP_FIXED;
  len = PAGE_ALIGN(len);
  addr = mmap_address(k, f, addr, len, flags);
  if (addr < 0) return failed(addr);
  const pkey = prot === uapi.PROT_EXEC ? Math.max(0, execute_only_pkey(k, mm)) : 0;
  let bits = vm_flags_or(calc_vm_prot_bits(k, prot, pkey), calc_vm_flag_bits(k, f, flags));
  bits = vm_flags_or(bits, mm.def_flags, MAY_ALL);
  if (flags & uapi.MAP_LOCKED && !can_do_mlock(k)) return failed(-EPERM);
  if (mlock_future_check(k, mm, bits, len)) return failed(-EAGAIN);
  if (f !== null) {
    if (!file_mmap_ok(f, pgoff, len)) return failed(-EOVERFLOW);
    const checked = file_vm_flags(f, prot, flags, bits);
    if (typeof checked === "number" && checked < 0) return failed(checked);
    bits = checked as vm_flags_t;
  } else if ((flags & uapi.MAP_TYPE) === uapi.MAP_SHARED) {
    if (vm_flags_test(bits, VM_GROWSDOWN)) return failed(-EINVAL);
    pgoff = 0;
    bits = vm_flags_or(bits, SHARED_MAYSHARE);
  } else if ((flags & uapi.MAP_TYPE) === uapi.MAP_PRIVATE) {
    pgoff = addr / PAGE_SIZE;
  } else {
    return failed(-EINVAL);
  }
  if (flags & uapi.MAP_NORESERVE && (k.config.overcommit_memory !== uapi.OVERCOMMIT_NEVER || is_file_hugepages(f))) {
    bits = vm_flags_or(bits, VM_NORESERVE);
  }
  addr = mmap_region(k, f, addr, len, bits, pgoff);
  const wanted = (flags & (uapi.MAP_POPULATE | uapi.MAP_NONBLOCK)) === uapi.MAP_POPULATE;
  return { addr, populate: addr >= 0 && (wanted || vm_flags_test(bits, VM_LOCKED)) ? len : 0 };
}

/** @kernel include/linux/hugetlb.h:is_file_hugepages */
export function is_file_hugepages(f: file | null): boolean {
  return f !== null && f.f_op.name === "hugetlbfs";
}

/**
 * do_mmap() under mmap_lock, then what is to be populated.
 * @kernel mm/util.c:vm_mmap_pgoff
 * @fidelity mirrored
 * @returns the address or -errno
 */
export function vm_mmap_pgoff(
  k: Machine,
  f: file | null,
  addr: ulong,
  len: ulong,
  prot: number,
  flags: number,
  pgoff: number,
): number {
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  const ret = do_mmap(k, f, addr, len, prot, flags, pgoff);
  mmap_write_unlock(mm);
  if (ret.populate) mm_populate(k, ret.addr, ret.populate);
  return ret.addr;
}
