// SPDX-License-Identifier: GPL-2.0-only
/** Changing what a mapping may be used for (mm/mprotect.c). Addresses and lengths are bytes. */
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import {
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_HUGETLB,
  VM_LOCKED,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
} from "../include/linux/mm.js";
import {
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SPECIAL,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type pte_table,
  type vm_area_struct,
} from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { PG_anon_exclusive } from "../include/linux/page-flags.js";
import { PAGE_ALIGN, PAGE_SIZE, PMD_SIZE, offset_in_page, ulongLess, type ulong } from "../include/linux/types.js";
import {
  vm_flags,
  vm_flags_and,
  vm_flags_andnot,
  vm_flags_or,
  vm_flags_test,
  vm_flags_value,
  type vm_flags_t,
} from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EACCES, EINVAL, ENOMEM, ENOSPC } from "../uapi/errno.js";
import {
  PKEY_DISABLE_ACCESS,
  PKEY_DISABLE_WRITE,
  PROT_EXEC,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_READ,
  PROT_SEM,
  PROT_WRITE,
} from "../uapi/mman-common.js";
import { populate_vma_page_range } from "./gup.js";
import { change_huge_pmd } from "./huge_memory/pmd.js";
import { __split_huge_pmd } from "./huge_memory/split_pmd.js";
import { find_vma, may_expand_vm, split_vma, vm_stat_account, vma_merge, vma_wants_writenotify } from "./mmap.js";
import {
  arch_override_mprotect_pkey,
  arch_set_user_pkey_access,
  calc_vm_prot_bits,
  mm_pkey_alloc,
  mm_pkey_free,
  mm_pkey_is_allocated,
} from "./mprotect/pkeys.js";
import { next_pmd } from "./pagewalk.js";
import { pte_index, pte_modify, pte_present, vm_page_prot, vma_set_page_prot } from "./pgtable.js";
import { __vm_enough_memory, vm_unacct_memory } from "./util.js";

const NOT_CHARGED = vm_flags_or(VM_ACCOUNT, VM_WRITE, VM_HUGETLB, VM_SHARED, VM_NORESERVE);
const LOCKED_PRIVATE_RO = vm_flags_or(VM_WRITE, VM_SHARED, VM_LOCKED);

/** Can an entry become writable without a fault: dirty, and if private, of an exclusive page? */
function can_change_pte_writable(k: Machine, shared: boolean, pfn: number, flags: number): boolean {
  if (flags & _PAGE_PROTNONE || !(flags & _PAGE_DIRTY)) return false;
  if (shared) return true;
  if (flags & _PAGE_SPECIAL) return false;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  return (s.flags[i]! & PG_anon_exclusive) !== 0 && k.mem.owners[s.mapping[i]!]?.is_anon === true;
}

function change_pte_range(
  k: Machine,
  t: pte_table,
  from: number,
  to: number,
  newprot: number,
  try_writable: boolean,
  shared: boolean,
): number {
  let pages = 0;
  for (let i = from; i < to; i++) {
    const old = t.flags[i]!;
    if (pte_present(old)) {
      let flags = pte_modify(old, newprot);
      if (try_writable && !(flags & _PAGE_RW) && can_change_pte_writable(k, shared, t.pfn[i]!, flags)) {
        flags |= _PAGE_RW;
      }
      t.flags[i] = flags;
      pages++;
    } else if (old & _PAGE_MIGRATION && old & SWP_WRITE) {
      const s = k.mem.section(t.pfn[i]!);
      const anon = k.mem.owners[s.mapping[t.pfn[i]! & PFN_SECTION_MASK]!]?.is_anon === true;
      t.flags[i] = (old & ~(SWP_WRITE | SWP_EXCLUSIVE)) | (anon ? SWP_EXCLUSIVE : 0);
      pages++;
    }
  }
  return pages;
}

/**
 * Gives the entries of [start, end) of a VMA the permissions that its flags now say.
 * @kernel mm/mprotect.c:change_protection
 * @fidelity simplified: no NUMA hinting or userfaultfd
 * @param try_writable entries that need not fault may become writable
 * @returns pages changed
 */
export function change_protection(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  try_writable: boolean,
): number {
  const mm = vma.vm_mm;
  const newprot = vm_page_prot(vma);
  const shared = vm_flags_test(vma.vm_flags, VM_SHARED);
  const first = Math.floor(start / PMD_SIZE);
  const last = Math.floor((end - 1) / PMD_SIZE);
  let pages = 0;
  for (let key = next_pmd(mm, first, last); key >= 0; key = next_pmd(mm, key + 1, last)) {
    const huge = mm.pgd.huge.size === 0 ? undefined : mm.pgd.huge.get(key);
    if (huge !== undefined) {
      const base = key * PMD_SIZE;
      if (start <= base && end >= base + PMD_SIZE) {
        pages += change_huge_pmd(k, vma, huge, newprot);
        continue;
      }
      __split_huge_pmd(k, vma, base, false, 0);
      if (!mm.pgd.pte.has(key)) continue;
    }
    const from = key === first ? pte_index(start) : 0;
    const to = key === last ? pte_index(end - 1) + 1 : 512;
    pages += change_pte_range(k, mm.pgd.pte.get(key)!, from, to, newprot, try_writable, shared);
  }
  return pages;
}

/** Where mprotect is in its walk. */
interface walk {
  /** The VMA before the one that comes next; afterwards the one that was changed. */
  prev: vm_area_struct | undefined;
}

/** Merges, or splits so that one VMA covers just [start, end): that one becomes `w.prev`. 0 or -ENOMEM. */
function isolate_range(
  k: Machine,
  vma: vm_area_struct,
  w: walk,
  start: number,
  end: number,
  newflags: vm_flags_t,
): number {
  const mm = vma.vm_mm;
  const pgoff = vma.vm_pgoff + (start - vma.vm_start) / PAGE_SIZE;
  const { anon_vma, vm_file, vm_policy, vm_userfaultfd_ctx: ctx, anon_name } = vma;
  w.prev = vma_merge(k, mm, w.prev, start, end, newflags, anon_vma, vm_file, pgoff, vm_policy, ctx, anon_name);
  if (w.prev !== undefined) return 0;
  w.prev = vma;
  let error = 0;
  if (start !== vma.vm_start) error = split_vma(k, mm, vma, start, 1);
  if (error === 0 && end !== vma.vm_end) error = split_vma(k, mm, vma, end, 0);
  return error;
}

/**
 * Gives [start, end) of a VMA new flags.
 * @kernel mm/mprotect.c:mprotect_fixup
 * @fidelity mirrored (no pfn_modify_allowed)
 * @returns 0 or -ENOMEM
 */
export function mprotect_fixup(
  k: Machine,
  vma: vm_area_struct,
  w: walk,
  start: number,
  end: number,
  newflags: vm_flags_t,
): number {
  const mm = vma.vm_mm;
  const oldflags = vma.vm_flags;
  const nrpages = (end - start) / PAGE_SIZE;
  if (vm_flags_value(newflags) === vm_flags_value(oldflags)) {
    w.prev = vma;
    return 0;
  }
  let charged = 0;
  if (vm_flags_test(newflags, VM_WRITE)) {
    if (!may_expand_vm(k, mm, newflags, nrpages) && may_expand_vm(k, mm, oldflags, nrpages)) return -ENOMEM;
    if (!vm_flags_test(oldflags, NOT_CHARGED)) {
      if (__vm_enough_memory(k, mm, nrpages)) return -ENOMEM;
      charged = nrpages;
      newflags = vm_flags_or(newflags, VM_ACCOUNT);
    }
  }
  const error = isolate_range(k, vma, w, start, end, newflags);
  if (error) {
    vm_unacct_memory(k, charged);
    return error;
  }
  vma = w.prev!;
  vma.vm_flags = newflags;
  vma_set_page_prot(k, vma);
  const shared = vm_flags_test(newflags, VM_SHARED);
  const try_writable = shared ? vma_wants_writenotify(k, vma) : vm_flags_test(newflags, VM_WRITE);
  change_protection(k, vma, start, end, try_writable);
  const was = vm_flags_value(vm_flags_and(oldflags, LOCKED_PRIVATE_RO));
  if (was === vm_flags_value(VM_LOCKED) && vm_flags_test(newflags, VM_WRITE)) {
    populate_vma_page_range(k, vma, start, end);
  }
  vm_stat_account(mm, oldflags, -nrpages);
  vm_stat_account(mm, newflags, nrpages);
  return 0;
}

/** Flags of a VMA after mprotect, or -EACCES, -EINVAL. */
function new_flags(k: Machine, vma: vm_area_struct, prot: number, pkey: number): vm_flags_t | number {
  const key = arch_override_mprotect_pkey(k, vma, prot, pkey);
  const kept = vm_flags_andnot(vma.vm_flags, vm_flags_or(VM_ACCESS_FLAGS, k.arch.VM_ARCH_CLEAR));
  const newflags = vm_flags_or(calc_vm_prot_bits(k, prot, key), kept);
  // The permissions that a VMA may have stand four bits above those that it has.
  const may = vm_flags((vm_flags_value(vm_flags_and(newflags, MAY_FLAGS)) >>> 4) & 7);
  if (vm_flags_test(vm_flags_andnot(newflags, may), VM_ACCESS_FLAGS)) return -EACCES;
  if (k.arch.arch_validate_flags?.(newflags) === false) return -EINVAL;
  return newflags;
}

const MAY_FLAGS = vm_flags(vm_flags_value(VM_ACCESS_FLAGS) * 16);

function mprotect_walk(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  prot: number,
  pkey: number,
): number {
  const mm = vma.vm_mm;
  const w: walk = { prev: start > vma.vm_start ? vma : mm.mm_mt.find_before(vma.vm_start) };
  for (let nstart = start; ;) {
    const newflags = new_flags(k, vma, prot, pkey);
    if (typeof newflags === "number" && newflags < 0) return newflags;
    const tmp = Math.min(vma.vm_end, end);
    const error = mprotect_fixup(k, vma, w, nstart, tmp, newflags as vm_flags_t);
    if (error) return error;
    nstart = Math.max(tmp, w.prev!.vm_end);
    if (nstart >= end) return 0;
    const next = find_vma(mm, w.prev!.vm_end);
    if (next === undefined || next.vm_start !== nstart) return -ENOMEM;
    vma = next;
  }
}

/** The range that PROT_GROWSDOWN stretches, checked: where to begin, or -errno. */
function mprotect_start(vma: vm_area_struct, start: number, end: number, grows: number): number {
  if (grows & PROT_GROWSDOWN) {
    if (vma.vm_start >= end) return -ENOMEM;
    return vm_flags_test(vma.vm_flags, VM_GROWSDOWN) ? vma.vm_start : -EINVAL;
  }
  if (vma.vm_start > start) return -ENOMEM;
  return grows & PROT_GROWSUP ? -EINVAL : start;
}

/**
 * mprotect(2), and with a key pkey_mprotect(2).
 * @kernel mm/mprotect.c:do_mprotect_pkey
 * @fidelity simplified: no READ_IMPLIES_EXEC, no vm_ops->mprotect
 * @param pkey protection key, -1 for mprotect
 * @returns 0, -EINVAL (unaligned, unknown protection, key not allocated), -ENOMEM (holes, limits), -EACCES
 */
export function do_mprotect_pkey(k: Machine, start: ulong, len: ulong, prot: number, pkey: number): number {
  const mm = k.current.mm!;
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return -EINVAL;
  if (offset_in_page(start)) return -EINVAL;
  if (len === 0) return 0;
  const end = start + PAGE_ALIGN(len);
  if (!ulongLess(start, end)) return -ENOMEM;
  if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) return -EINVAL;
  mmap_write_lock(mm);
  const error = mprotect_locked(k, start, end, prot, pkey, grows);
  mmap_write_unlock(mm);
  return error;
}

function mprotect_locked(k: Machine, start: ulong, end: ulong, prot: number, pkey: number, grows: number): number {
  const mm = k.current.mm!;
  if (pkey !== -1 && !mm_pkey_is_allocated(k, mm, pkey)) return -EINVAL;
  const vma = start < 0 ? undefined : find_vma(mm, start);
  if (vma === undefined) return -ENOMEM;
  // An end above 2^63 is above every mapping: the walk ends at the first hole.
  const last = end < 0 ? Infinity : end;
  const from = mprotect_start(vma, start, last, grows);
  return from < 0 ? from : mprotect_walk(k, vma, from, last, prot, pkey);
}

/**
 * pkey_alloc(2).
 * @kernel mm/mprotect.c:SYSCALL_DEFINE2(pkey_alloc)
 * @fidelity mirrored
 * @returns the key, -EINVAL, -ENOSPC
 */
export function sys_pkey_alloc(k: Machine, flags: number, rights: number): number {
  if (flags !== 0 || rights & ~(PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE)) return -EINVAL;
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  const pkey = mm_pkey_alloc(k, mm);
  if (pkey >= 0) arch_set_user_pkey_access(k, pkey, rights);
  mmap_write_unlock(mm);
  return pkey < 0 ? -ENOSPC : pkey;
}

/**
 * pkey_free(2): VMAs that have the key keep it.
 * @kernel mm/mprotect.c:SYSCALL_DEFINE1(pkey_free)
 * @fidelity mirrored
 * @returns 0 or -EINVAL
 */
export function sys_pkey_free(k: Machine, pkey: number): number {
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  const ret = mm_pkey_free(k, mm, pkey);
  mmap_write_unlock(mm);
  return ret;
}
