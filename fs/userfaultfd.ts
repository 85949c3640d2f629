// SPDX-License-Identifier: GPL-2.0-only
/**
 * Userfaultfd as a property of VMAs: who watches a range, and how that splits and merges (fs/userfaultfd.c). A fault
 * that would be delivered is refused.
 */
import { not_modelled } from "../include/linux/bug.js";
import { anon_inode_getfile, type file_operations, FMODE_READ } from "../include/linux/fs.js";
import { VM_MAYWRITE, VM_UFFD_MINOR, VM_UFFD_MISSING, VM_UFFD_WP, vma_is_anonymous } from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_SYS_PTRACE } from "../include/linux/sched.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { vm_flags_andnot, vm_flags_or, vm_flags_test } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { find_vma, split_vma, vma_merge } from "../mm/mmap.js";
import { EBUSY, EFAULT, EINVAL, ENOMEM, EPERM } from "../uapi/errno.js";
import * as uapi from "../uapi/userfaultfd.js";
import { fd_install } from "./open.js";

const UFFD_FLAGS = vm_flags_or(VM_UFFD_MISSING, VM_UFFD_WP, VM_UFFD_MINOR);
const OPEN_FLAGS = uapi.UFFD_CLOEXEC | uapi.UFFD_NONBLOCK | uapi.UFFD_USER_MODE_ONLY;
const ALL_MODES = uapi.UFFDIO_REGISTER_MODE_MISSING | uapi.UFFDIO_REGISTER_MODE_WP | uapi.UFFDIO_REGISTER_MODE_MINOR;
/** Features that change nothing as long as no fault is delivered. */
const PASSIVE =
  uapi.UFFD_FEATURE_MISSING_HUGETLBFS |
  uapi.UFFD_FEATURE_MISSING_SHMEM |
  uapi.UFFD_FEATURE_THREAD_ID |
  uapi.UFFD_FEATURE_EXACT_ADDRESS;

/** All that ioctl() knows: the modelled ones, then WAKE, COPY, ZEROPAGE, WRITEPROTECT, CONTINUE. */
const COMMANDS: readonly number[] = [
  ...[uapi.UFFDIO_API, uapi.UFFDIO_REGISTER, uapi.UFFDIO_UNREGISTER],
  ...[0x8010aa02, 0xc028aa03, 0xc020aa04, 0xc018aa06, 0xc020aa07],
];

/** What a userfaultfd watches: the address space that opened it. */
interface userfaultfd_ctx {
  readonly mm: mm_struct;
  /** Has UFFDIO_API been called? */
  initialized: boolean;
}

/** A fault on memory that somebody watches. @kernel fs/userfaultfd.c:handle_userfault @fidelity stub */
export function handle_userfault(): never {
  return not_modelled("fs/userfaultfd.c: handle_userfault");
}

/** Takes the watcher from a VMA. @kernel fs/userfaultfd.c:dup_userfaultfd, mremap_userfaultfd_prep @fidelity simplified: no events */
export function userfaultfd_forget(vma: vm_area_struct): void {
  vma.vm_flags = vm_flags_andnot(vma.vm_flags, UFFD_FLAGS);
  vma.vm_userfaultfd_ctx = null;
}

function userfaultfd_api(k: Machine, ctx: userfaultfd_ctx, { api, features }: uapi.uffdio_api): number {
  if (api !== uapi.UFFD_API) return -EINVAL;
  if (features & uapi.UFFD_FEATURE_EVENT_FORK && !k.current.capabilities.has(CAP_SYS_PTRACE)) return -EPERM;
  if (features & ~uapi.UFFD_API_FEATURES || ctx.initialized) return -EINVAL;
  if (features & ~PASSIVE) not_modelled("fs/userfaultfd.c: events, write protection, SIGBUS");
  ctx.initialized = true;
  return 0;
}

/** Is it whole pages of the address space? @kernel fs/userfaultfd.c:validate_range */
function valid_range(mm: mm_struct, { start, len }: uapi.uffdio_range): boolean {
  if (start % PAGE_SIZE !== 0 || len % PAGE_SIZE !== 0 || len <= 0) return false;
  return start >= 0 && start < mm.task_size && len <= mm.task_size - start;
}

/** Can faults of a VMA be delivered? @kernel include/linux/userfaultfd_k.h:vma_can_userfault */
function vma_can_userfault(vma: vm_area_struct): boolean {
  return vma_is_anonymous(vma) || vma.vm_file?.f_inode.shmem != null;
}

/** Why a VMA cannot be watched by `ctx`, 0 if it can. */
function register_error(vma: vm_area_struct, ctx: userfaultfd_ctx): number {
  if (!vma_can_userfault(vma)) return -EINVAL;
  if (!vm_flags_test(vma.vm_flags, VM_MAYWRITE)) return -EPERM;
  return vma.vm_userfaultfd_ctx === null || vma.vm_userfaultfd_ctx === ctx ? 0 : -EBUSY;
}

/** Why a range cannot be watched, or no longer be, 0 if it can. */
function range_error(mm: mm_struct, start: number, end: number, why: (vma: vm_area_struct) => number): number {
  let vma = find_vma(mm, start);
  if (vma === undefined) return -ENOMEM;
  if (vma.vm_start >= end) return -EINVAL;
  for (; vma !== undefined && vma.vm_start < end; vma = find_vma(mm, vma.vm_end)) {
    const error = why(vma);
    if (error) return error;
  }
  return 0;
}

/**
 * Gives [start, end) a watcher or takes it away, VMA by VMA. The kernel looks for a merge with the page offset of the
 * VMA's start, so that a part of one only ever splits.
 */
function set_ctx(k: Machine, mm: mm_struct, start: number, end: number, ctx: userfaultfd_ctx | null): number {
  let vma = find_vma(mm, start);
  let prev = vma !== undefined && vma.vm_start < start ? vma : mm.mm_mt.find_before(start);
  for (; vma !== undefined && vma.vm_start < end; vma = find_vma(mm, vma.vm_end)) {
    if (vma.vm_userfaultfd_ctx !== ctx) {
      const from = Math.max(start, vma.vm_start);
      const to = Math.min(end, vma.vm_end);
      const rest = vm_flags_andnot(vma.vm_flags, UFFD_FLAGS);
      const flags = ctx === null ? rest : vm_flags_or(rest, VM_UFFD_MISSING);
      const { anon_vma, vm_file, vm_pgoff, vm_policy, anon_name } = vma;
      const merged = vma_merge(k, mm, prev, from, to, flags, anon_vma, vm_file, vm_pgoff, vm_policy, ctx, anon_name);
      if (merged === undefined) {
        let error = vma.vm_start < from ? split_vma(k, mm, vma, from, 1) : 0;
        if (error === 0 && vma.vm_end > to) error = split_vma(k, mm, vma, to, 0);
        if (error) return error;
      }
      vma = merged ?? vma;
      vma.vm_flags = flags;
      vma.vm_userfaultfd_ctx = ctx;
    }
    prev = vma;
  }
  return 0;
}

/** Changes who watches a range, if nothing in it is against that: 0 or -errno. */
function change_range(
  k: Machine,
  ctx: userfaultfd_ctx,
  range: uapi.uffdio_range,
  to: userfaultfd_ctx | null,
  why: (vma: vm_area_struct) => number,
): number {
  const { mm } = ctx;
  if (!valid_range(mm, range)) return -EINVAL;
  if (mm.mm_users === 0) return -ENOMEM;
  const end = range.start + range.len;
  mmap_write_lock(mm);
  const error = range_error(mm, range.start, end, why) || set_ctx(k, mm, range.start, end, to);
  mmap_write_unlock(mm);
  return error;
}

function userfaultfd_register(k: Machine, ctx: userfaultfd_ctx, { mode, range }: uapi.uffdio_register): number {
  if (mode === 0 || mode & ~ALL_MODES) return -EINVAL;
  if (mode !== uapi.UFFDIO_REGISTER_MODE_MISSING) not_modelled("fs/userfaultfd.c: write protection, minor faults");
  return change_range(k, ctx, range, ctx, (vma) => register_error(vma, ctx));
}

const userfaultfd_fops: file_operations = {
  name: "userfaultfd_fops",
  read(_k, f) {
    const { initialized } = f.private_data as userfaultfd_ctx;
    return initialized ? not_modelled("fs/userfaultfd.c: userfaultfd_read") : -EINVAL;
  },
  unlocked_ioctl(k, f, cmd, arg) {
    const ctx = f.private_data as userfaultfd_ctx;
    cmd = cmd >>> 0;
    if (cmd !== uapi.UFFDIO_API && !ctx.initialized) return -EINVAL;
    if (!COMMANDS.includes(cmd)) return -EINVAL;
    if (typeof arg !== "object" || arg === null) return -EFAULT;
    switch (cmd) {
      case uapi.UFFDIO_API:
        return userfaultfd_api(k, ctx, arg as uapi.uffdio_api);
      case uapi.UFFDIO_REGISTER:
        return userfaultfd_register(k, ctx, arg as uapi.uffdio_register);
      case uapi.UFFDIO_UNREGISTER:
        return change_range(k, ctx, arg as uapi.uffdio_range, null, (vma) => (vma_can_userfault(vma) ? 0 : -EINVAL));
      default:
        return not_modelled("fs/userfaultfd.c: pages from user space");
    }
  },
  release(k, f) {
    const ctx = f.private_data as userfaultfd_ctx;
    const { mm } = ctx;
    if (mm.mm_users === 0) return;
    mmap_write_lock(mm);
    let next: number;
    for (let vma = find_vma(mm, 0); vma !== undefined; vma = find_vma(mm, next)) {
      next = vma.vm_end;
      if (vma.vm_userfaultfd_ctx === ctx) set_ctx(k, mm, vma.vm_start, vma.vm_end, null);
    }
    mmap_write_unlock(mm);
  },
};

/**
 * userfaultfd(2): a file that watches faults of the running process.
 * @kernel fs/userfaultfd.c:SYSCALL_DEFINE1(userfaultfd)
 * @fidelity simplified: what it watches, for missing pages only; not what becomes of a fault
 * @returns a descriptor, or -EPERM, -EINVAL, -EMFILE
 */
export function sys_userfaultfd(k: Machine, flags: number): number {
  if (!(flags & uapi.UFFD_USER_MODE_ONLY) && !k.current.capabilities.has(CAP_SYS_PTRACE)) return -EPERM;
  if (flags & ~OPEN_FLAGS) return -EINVAL;
  const ctx: userfaultfd_ctx = { mm: k.current.mm!, initialized: false };
  return fd_install(k, anon_inode_getfile(k, "[userfaultfd]", userfaultfd_fops, ctx, FMODE_READ));
}
