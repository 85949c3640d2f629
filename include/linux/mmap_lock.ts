// SPDX-License-Identifier: GPL-2.0-only
/**
 * The lock over an address space (include/linux/mmap_lock.h). Nothing waits in the model: a task that would have to
 * wait is a schedule that cannot happen, or a lock that somebody forgot, and throws.
 */
import { VM_BUG_ON, would_wait } from "./bug.js";
import type { mm_struct } from "./mm_types.js";

export function mmap_read_lock(mm: mm_struct): void {
  if (mm.mmap_lock.writer) would_wait("mmap_lock, held by a writer");
  mm.mmap_lock.readers++;
}

export function mmap_read_trylock(mm: mm_struct): boolean {
  if (mm.mmap_lock.writer) return false;
  mm.mmap_lock.readers++;
  return true;
}

export function mmap_read_unlock(mm: mm_struct): void {
  VM_BUG_ON(mm.mmap_lock.readers === 0, "mmap_lock: read-unlocked, but nobody reads");
  mm.mmap_lock.readers--;
}

export function mmap_write_lock(mm: mm_struct): void {
  if (mm.mmap_lock.writer || mm.mmap_lock.readers !== 0) would_wait("mmap_lock, for writing");
  mm.mmap_lock.writer = true;
}

export function mmap_write_trylock(mm: mm_struct): boolean {
  if (mm.mmap_lock.writer || mm.mmap_lock.readers !== 0) return false;
  mm.mmap_lock.writer = true;
  return true;
}

export function mmap_write_unlock(mm: mm_struct): void {
  VM_BUG_ON(!mm.mmap_lock.writer, "mmap_lock: write-unlocked, but nobody writes");
  mm.mmap_lock.writer = false;
}

export function mmap_write_downgrade(mm: mm_struct): void {
  mmap_write_unlock(mm);
  mm.mmap_lock.readers++;
}

export function mmap_assert_locked(mm: mm_struct): void {
  VM_BUG_ON(!mm.mmap_lock.writer && mm.mmap_lock.readers === 0, "mmap_lock is not held");
}

export function mmap_assert_write_locked(mm: mm_struct): void {
  VM_BUG_ON(!mm.mmap_lock.writer, "mmap_lock is not held for writing");
}
