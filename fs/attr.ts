// SPDX-License-Identifier: GPL-2.0-only
/** Sizes of files (fs/attr.c). */
import type { inode } from "../include/linux/fs.js";
import { RLIMIT_FSIZE } from "../include/linux/sched.js";
import type { Machine } from "../include/machine.js";
import { EFBIG } from "../uapi/errno.js";

/**
 * May a file have this size?
 * @kernel fs/attr.c:inode_newsize_ok
 * @fidelity simplified: SIGXFSZ is ignored; no file is swapped to
 * @param offset bytes
 * @returns 0, or -EFBIG: it would grow beyond RLIMIT_FSIZE
 */
export function inode_newsize_ok(k: Machine, host: inode, offset: number): number {
  return host.i_size < offset && offset > k.current.rlim[RLIMIT_FSIZE]! ? -EFBIG : 0;
}
