// SPDX-License-Identifier: GPL-2.0-only
/** VMAs, address spaces and tasks: how they are made, copied and freed (kernel/fork.c). */
import { maple_tree } from "../lib/maple_tree.js";
import { get_file } from "../fs/file_table.js";
import { userfaultfd_forget } from "../fs/userfaultfd.js";
import { mapping_allow_writable, type file } from "../include/linux/fs.js";
import {
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_LOCKED_MASK,
  VM_NOHUGEPAGE,
  VM_WIPEONFORK,
  vma_pages,
} from "../include/linux/mm.js";
import { mm_struct, type vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { RLIMIT_STACK, task_struct } from "../include/linux/sched.js";
import { MMF_DISABLE_THP } from "../include/linux/sched/coredump.js";
import { PAGE_ALIGN } from "../include/linux/types.js";
import { vm_flags_and, vm_flags_andnot, vm_flags_test } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { khugepaged_exit, khugepaged_fork } from "../mm/khugepaged.js";
import { ksm_exit, ksm_fork } from "../mm/ksm.js";
import { mm_put_huge_zero_page } from "../mm/huge_memory/zero.js";
import { copy_page_range } from "../mm/memory.js";
import { exit_mmap, vm_stat_account } from "../mm/mmap.js";
import { vma_is_shared_maywrite } from "../mm/mmap/merge.js";
import { arch_pick_mmap_layout } from "../mm/mmap/unmapped_area.js";
import { pgd_alloc } from "../mm/pgtable.js";
import { anon_vma_fork } from "../mm/rmap.js";
import { __vm_enough_memory, vm_unacct_memory } from "../mm/util.js";
import { vm_area_dup, vm_area_free } from "../mm/vma_init.js";
import { EINTR, ENOMEM } from "../uapi/errno.js";

export { vm_area_alloc, vm_area_dup, vm_area_free } from "../mm/vma_init.js";

export interface clone_args {
  /** Share the address space: a thread. */
  readonly CLONE_VM?: boolean;
  /** Share the table of open files. */
  readonly CLONE_FILES?: boolean;
  /** Same thread group. */
  readonly CLONE_THREAD?: boolean;
}

/** Bytes that a program without sections of its own would take below its heap. */
const PROGRAM_SIZE = 1 << 20;

/**
 * An empty address space with its top-level page table; null when there is no memory for that.
 * @kernel kernel/fork.c:mm_alloc, mm_init
 * @fidelity simplified: laid out as execve would, without randomisation
 */
export function mm_alloc(k: Machine): mm_struct | null {
  const mm = new mm_struct(new maple_tree<vm_area_struct>());
  mm.task_size = k.arch.TASK_SIZE;
  mm.start_brk = mm.brk = PAGE_ALIGN(Math.floor(mm.task_size / 3) * 2) + PROGRAM_SIZE;
  // The first address space of a machine is made before there is a running task.
  const task = k.current as task_struct | undefined;
  arch_pick_mmap_layout(k, mm, task?.rlim[RLIMIT_STACK] ?? 8 << 20);
  if (task?.mm) inherit(mm, task.mm);
  return pgd_alloc(k, mm) ? mm : null;
}

function inherit(mm: mm_struct, from: mm_struct): void {
  mm.flags = from.flags & MMF_DISABLE_THP;
  mm.def_flags = vm_flags_and(from.def_flags, VM_NOHUGEPAGE);
}

/**
 * Copies an address space: every VMA but those of MADV_DONTFORK, with their page tables.
 * @kernel kernel/fork.c:dup_mmap
 * @fidelity mirrored
 * @returns 0, -ENOMEM, -EINTR when a fatal signal is pending
 */
export function dup_mmap(k: Machine, mm: mm_struct, oldmm: mm_struct): number {
  mmap_write_lock(oldmm);
  mmap_write_lock(mm);
  mm.total_vm = oldmm.total_vm;
  mm.data_vm = oldmm.data_vm;
  mm.exec_vm = oldmm.exec_vm;
  mm.stack_vm = oldmm.stack_vm;
  ksm_fork(k, mm, oldmm);
  khugepaged_fork(k, mm, oldmm);
  let retval = 0;
  for (const mpnt of oldmm.mm_mt) {
    if (vm_flags_test(mpnt.vm_flags, VM_DONTCOPY)) {
      vm_stat_account(mm, mpnt.vm_flags, -vma_pages(mpnt));
      continue;
    }
    retval = k.current.fatal_signal ? -EINTR : dup_vma(k, mm, oldmm, mpnt);
    if (retval) break;
  }
  mmap_write_unlock(mm);
  mmap_write_unlock(oldmm);
  return retval;
}

function dup_vma(k: Machine, mm: mm_struct, oldmm: mm_struct, mpnt: vm_area_struct): number {
  let charge = 0;
  if (vm_flags_test(mpnt.vm_flags, VM_ACCOUNT)) {
    charge = vma_pages(mpnt);
    if (__vm_enough_memory(k, oldmm, charge)) return -ENOMEM;
  }
  const tmp = vm_area_dup(k, mpnt);
  tmp.vm_mm = mm;
  userfaultfd_forget(tmp);
  if (vm_flags_test(tmp.vm_flags, VM_WIPEONFORK)) {
    tmp.anon_vma = null;
  } else if (anon_vma_fork(k, tmp, mpnt)) {
    vm_area_free(k, tmp);
    vm_unacct_memory(k, charge);
    return -ENOMEM;
  }
  tmp.vm_flags = vm_flags_andnot(tmp.vm_flags, VM_LOCKED_MASK);
  mm.mm_mt.insert(tmp);
  mm.map_count++;
  tmp.vm_ops?.open?.(k, tmp);
  if (tmp.vm_file !== null) {
    const mapping = get_file(tmp.vm_file).f_mapping;
    if (vma_is_shared_maywrite(tmp)) mapping_allow_writable(mapping);
    mapping.i_mmap.add(tmp);
  }
  return vm_flags_test(tmp.vm_flags, VM_WIPEONFORK) ? 0 : copy_page_range(k, tmp, mpnt);
}

function dup_mm(k: Machine, oldmm: mm_struct): mm_struct | null {
  const mm = new mm_struct(new maple_tree<vm_area_struct>());
  for (const field of layout_fields) mm[field] = oldmm[field];
  mm.mmap_legacy = oldmm.mmap_legacy;
  inherit(mm, oldmm);
  if (!pgd_alloc(k, mm)) return null;
  if (dup_mmap(k, mm, oldmm) === 0) return mm;
  mmput(k, mm);
  return null;
}

const layout_fields = [
  ...(["mmap_base", "mmap_legacy_base", "task_size", "start_code", "end_code", "start_data", "end_data"] as const),
  ...(["start_brk", "brk", "start_stack", "pkey_allocation_map", "execute_only_pkey"] as const),
] as const;

/** Takes a reference to an address space. @kernel include/linux/sched/mm.h:mmget @fidelity mirrored */
export function mmget(mm: mm_struct): void {
  mm.mm_users++;
}

/**
 * Drops a reference to an address space; the last one takes it down.
 * @kernel kernel/fork.c:mmput
 * @fidelity mirrored
 */
export function mmput(k: Machine, mm: mm_struct): void {
  if (--mm.mm_users > 0) return;
  ksm_exit(k, mm);
  khugepaged_exit(k, mm);
  exit_mmap(k, mm);
  mm_put_huge_zero_page(k, mm);
}

function dup_fd(files: Map<number, file>): Map<number, file> {
  const copy = new Map(files);
  for (const f of copy.values()) get_file(f);
  return copy;
}

/**
 * Makes a child or a thread of a task, ready to run. Its PF_ flags are the parent's, as in the kernel.
 * @kernel kernel/fork.c:copy_process
 * @fidelity simplified: address space, files, limits and capabilities only
 * @returns the new task, or -ENOMEM
 */
export function copy_process(k: Machine, parent: task_struct, clone: clone_args): task_struct | number {
  const pid = k.next_pid++;
  let mm = parent.mm;
  if (mm !== null) {
    if (clone.CLONE_VM) {
      mmget(mm);
    } else {
      mm = dup_mm(k, mm);
      if (mm === null) return -ENOMEM;
    }
  }
  const p = new task_struct(pid, clone.CLONE_THREAD ? parent.tgid : pid, parent.comm, mm);
  p.flags = parent.flags;
  p.pkru = parent.pkru;
  p.mempolicy = parent.mempolicy;
  p.il_prev = parent.il_prev;
  p.make_it_fail = parent.make_it_fail;
  p.files = clone.CLONE_FILES ? parent.files : dup_fd(parent.files);
  p.rlim = clone.CLONE_THREAD ? parent.rlim : [...parent.rlim];
  p.rlim_max = clone.CLONE_THREAD ? parent.rlim_max : [...parent.rlim_max];
  p.capabilities = new Set(parent.capabilities);
  k.tasks.set(pid, p);
  return p;
}
