// SPDX-License-Identifier: GPL-2.0-only
/** References to open files (fs/file_table.c). */
import type { file } from "../include/linux/fs.js";
import type { Machine } from "../include/machine.js";

/** Takes a reference to a file. @kernel include/linux/fs.h:get_file @fidelity mirrored */
export function get_file(f: file): file {
  f.f_count++;
  return f;
}

/**
 * Drops a reference to a file; the last one releases it.
 * @kernel fs/file_table.c:fput
 * @fidelity simplified: released at once, not when the task returns to user space
 */
export function fput(k: Machine, f: file): void {
  if (--f.f_count === 0) f.f_op.release?.(k, f);
}
