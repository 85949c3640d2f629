// SPDX-License-Identifier: GPL-2.0-only
/** Reading and writing of open files (fs/read_write.c): a byte of a file of pages, or the whole of one of text. */
import { not_modelled } from "../include/linux/bug.js";
import { type file, FMODE_READ, FMODE_WRITE, S_IFBLK } from "../include/linux/fs.js";
import { RLIMIT_FSIZE } from "../include/linux/sched.js";
import type { Machine } from "../include/machine.js";
import { shmem_pread, shmem_pwrite } from "../mm/shmem.js";
import { EBADF, EFBIG, EINVAL, ESPIPE } from "../uapi/errno.js";

/** Has it bytes at positions that the model does not know: an ordinary file's, or a disk's? */
function has_bytes(f: file): boolean {
  return f.f_op.name === "generic_file_operations" || f.f_inode.i_mode === S_IFBLK;
}

/**
 * Writes a byte.
 * @kernel fs/read_write.c:ksys_pwrite64, generic_write_check_limits
 * @fidelity simplified: one byte, of shmem; SIGXFSZ is ignored
 * @param pos bytes; `last`: it is the last position that there is
 * @returns 1, or -EINVAL, -EBADF, -ESPIPE, -EFBIG, what the file says
 */
export function ksys_pwrite64(k: Machine, fd: number, value: number, pos: number, last: boolean): number {
  if (pos < 0) return -EINVAL;
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  if (!f.seekable) return -ESPIPE;
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (has_bytes(f) || f.f_op.write !== undefined) return not_modelled(`fs/read_write.c: pwrite of ${f.f_op.name}`);
  if (f.f_inode.shmem === null || last) return -EINVAL;
  if (pos >= k.current.rlim[RLIMIT_FSIZE]!) return -EFBIG;
  return shmem_pwrite(k, f, pos, value);
}

/**
 * Reads a byte.
 * @kernel fs/read_write.c:ksys_pread64
 * @fidelity simplified: one byte, of shmem
 * @param pos bytes; `last`: it is the last position that there is
 * @returns 0 … 255, 256 at the end of the file, or -EINVAL, -EBADF, -ESPIPE, what the file says
 */
export function ksys_pread64(k: Machine, fd: number, pos: number, last: boolean): number {
  if (pos < 0) return -EINVAL;
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  if (!f.seekable) return -ESPIPE;
  if (!(f.f_mode & FMODE_READ)) return -EBADF;
  if (has_bytes(f) || f.f_op.read !== undefined) return not_modelled(`fs/read_write.c: pread of ${f.f_op.name}`);
  if (f.f_inode.shmem === null || last) return -EINVAL;
  return shmem_pread(k, f, pos);
}

/**
 * Writes a text to a file that takes commands.
 * @kernel fs/read_write.c:ksys_write
 * @fidelity simplified: from its start
 * @returns its length, or -EBADF, -EINVAL, what the file says
 */
export function ksys_write(k: Machine, fd: number, text: string): number {
  const f = k.current.files.get(fd);
  if (f === undefined || !(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_op.write !== undefined) return f.f_op.write(k, f, text);
  return has_bytes(f) || f.f_inode.shmem !== null ? not_modelled(`fs/read_write.c: write of ${f.f_op.name}`) : -EINVAL;
}

/**
 * Reads such a file whole.
 * @kernel fs/read_write.c:ksys_read
 * @fidelity simplified: from its start
 * @returns its text, or -EBADF, -EINVAL, what the file says
 */
export function ksys_read(k: Machine, fd: number): string | number {
  const f = k.current.files.get(fd);
  if (f === undefined || !(f.f_mode & FMODE_READ)) return -EBADF;
  if (f.f_op.read !== undefined) return f.f_op.read(k, f);
  return has_bytes(f) || f.f_inode.shmem !== null ? not_modelled(`fs/read_write.c: read of ${f.f_op.name}`) : -EINVAL;
}
