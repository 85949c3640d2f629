// SPDX-License-Identifier: GPL-2.0-only
/** msync(2) (mm/msync.c). */
import { fput, get_file } from "../fs/file_table.js";
import { vfs_fsync } from "../fs/open.js";
import { VM_LOCKED, VM_SHARED } from "../include/linux/mm.js";
import { mmap_read_lock, mmap_read_unlock } from "../include/linux/mmap_lock.js";
import { PAGE_ALIGN, offset_in_page, ulongLess, type ulong } from "../include/linux/types.js";
import { vm_flags_test } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { EBUSY, EINVAL, ENOMEM } from "../uapi/errno.js";
import { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from "../uapi/mman-common.js";
import { find_vma } from "./mmap.js";

/**
 * Writes back what a range maps of files.
 * @kernel mm/msync.c:SYSCALL_DEFINE3(msync)
 * @fidelity simplified: nothing is ever written back, since no file has a disk behind it
 * @param start bytes; `len` bytes
 * @returns 0, -EINVAL (flags, alignment, a file that cannot be synced), -ENOMEM (holes, wrapping), -EBUSY (locked memory
 *   cannot be invalidated)
 */
export function sys_msync(k: Machine, start: ulong, len: ulong, flags: number): number {
  if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) return -EINVAL;
  if (offset_in_page(start)) return -EINVAL;
  if (flags & MS_ASYNC && flags & MS_SYNC) return -EINVAL;
  const end = start + PAGE_ALIGN(len);
  if (ulongLess(end, start)) return -ENOMEM;
  if (end === start) return 0;
  if (start < 0) return -ENOMEM;
  return msync_range(k, start, end < 0 ? Infinity : end, flags);
}

function msync_range(k: Machine, start: number, end: number, flags: number): number {
  const mm = k.current.mm!;
  let unmapped_error = 0;
  const done = (error: number): number => {
    mmap_read_unlock(mm);
    return error;
  };
  mmap_read_lock(mm);
  for (;;) {
    const vma = find_vma(mm, start);
    if (vma === undefined) return done(-ENOMEM);
    if (start < vma.vm_start) {
      if (flags === MS_ASYNC) return done(-ENOMEM);
      start = vma.vm_start;
      if (start >= end) return done(-ENOMEM);
      unmapped_error = -ENOMEM;
    }
    if (flags & MS_INVALIDATE && vm_flags_test(vma.vm_flags, VM_LOCKED)) return done(-EBUSY);
    start = vma.vm_end;
    const f = vma.vm_file;
    if (flags & MS_SYNC && f !== null && vm_flags_test(vma.vm_flags, VM_SHARED)) {
      get_file(f);
      mmap_read_unlock(mm);
      k.hooks.yieldPoint("msync", { mm });
      const error = vfs_fsync(f);
      fput(k, f);
      if (error || start >= end) return error || unmapped_error;
      mmap_read_lock(mm);
    } else if (start >= end) {
      return done(unmapped_error);
    }
  }
}
