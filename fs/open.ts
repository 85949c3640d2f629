// SPDX-License-Identifier: GPL-2.0-only
/** Opening by path, and what the virtual file system checks before a file is asked (fs/open.c, fs/sync.c). */
import { not_modelled } from "../include/linux/bug.js";
import {
  file,
  type file_operations,
  FMODE_READ,
  FMODE_WRITE,
  inode,
  is_regular,
  S_IFBLK,
  S_IFREG,
} from "../include/linux/fs.js";
import { RLIMIT_NOFILE } from "../include/linux/sched.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import {
  EACCES,
  EBADF,
  EEXIST,
  EFAULT,
  EFBIG,
  EINVAL,
  EMFILE,
  ENODEV,
  ENOENT,
  ENOTDIR,
  EOPNOTSUPP,
} from "../uapi/errno.js";

const FALLOC_FL_SUPPORTED_MASK = 0x7f & ~0x04;
const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_COLLAPSE_RANGE = 0x08;
const FALLOC_FL_ZERO_RANGE = 0x10;
const FALLOC_FL_INSERT_RANGE = 0x20;
const FALLOC_FL_UNSHARE_RANGE = 0x40;

/** Is it a combination of FALLOC_FL_ flags that may be? */
function mode_error(mode: number): number {
  if (mode & ~FALLOC_FL_SUPPORTED_MASK) return -EOPNOTSUPP;
  const punch = (mode & FALLOC_FL_PUNCH_HOLE) !== 0;
  if (punch && mode & FALLOC_FL_ZERO_RANGE) return -EOPNOTSUPP;
  if (punch && !(mode & FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP;
  if (mode & FALLOC_FL_COLLAPSE_RANGE && mode & ~FALLOC_FL_COLLAPSE_RANGE) return -EINVAL;
  if (mode & FALLOC_FL_INSERT_RANGE && mode & ~FALLOC_FL_INSERT_RANGE) return -EINVAL;
  if (mode & FALLOC_FL_UNSHARE_RANGE && mode & ~(FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE)) return -EINVAL;
  return 0;
}

/**
 * Allocates space of a file, or takes it away.
 * @kernel fs/open.c:vfs_fallocate
 * @fidelity mirrored (regular files and devices)
 * @param offset bytes; `len` bytes; `too_far`: the range ends behind the last byte that a file can have
 * @returns 0, -EINVAL, -EOPNOTSUPP, -EBADF (not open for writing), -ENODEV (a device), -EFBIG, what the file says
 */
export function vfs_fallocate(k: Machine, f: file, mode: number, offset: number, len: number, too_far = false): number {
  if (offset < 0 || len <= 0) return -EINVAL;
  const error = mode_error(mode);
  if (error) return error;
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_inode.i_mode !== S_IFREG && f.f_inode.i_mode !== S_IFBLK) return -ENODEV;
  if (too_far) return -EFBIG;
  return f.f_op.fallocate?.(k, f, mode, offset, len) ?? -EOPNOTSUPP;
}

/**
 * Writes a file back.
 * @kernel fs/sync.c:vfs_fsync_range
 * @fidelity simplified: nothing to write
 * @returns 0, or -EINVAL for what cannot be written back
 */
export function vfs_fsync(f: file): number {
  return is_regular(f) ? 0 : -EINVAL;
}

/** Opens what a path names, for the running task: a device's file, or -errno. `mode`: FMODE_ bits. */
export type opener = (k: Machine, path: string, mode: number) => file | number;

/** The paths that can be opened on a machine. */
export class path_table {
  readonly nodes = new Map<string, opener>();
}

const SUBSYS = "fs/open.c";

/** The machine's paths; a driver adds its own here when the machine is made. */
export function paths_of(k: Machine): Map<string, opener> {
  return subsys_state(k, SUBSYS, () => new path_table()).nodes;
}

/**
 * The running task's lowest free descriptor.
 * @kernel fs/file.c:get_unused_fd_flags
 * @fidelity mirrored
 * @returns the descriptor or -EMFILE (none below RLIMIT_NOFILE)
 */
export function get_unused_fd_flags(k: Machine): number {
  const { files, rlim } = k.current;
  let fd = 0;
  while (files.has(fd)) fd++;
  return fd < rlim[RLIMIT_NOFILE]! ? fd : -EMFILE;
}

/**
 * Gives a file the running task's lowest free descriptor.
 * @kernel fs/file.c:get_unused_fd_flags, fd_install
 * @fidelity mirrored
 * @returns the descriptor or -EMFILE
 */
export function fd_install(k: Machine, f: file): number {
  const fd = get_unused_fd_flags(k);
  if (fd >= 0) k.current.files.set(fd, f);
  return fd;
}

/**
 * Opens a file of sysfs, which is one of text: for what it can.
 * @kernel fs/kernfs/file.c:kernfs_fop_open
 * @fidelity mirrored
 * @returns the file, or -EACCES
 */
export function kernfs_fop_open(f_op: file_operations): opener {
  return (k, path, mode) => {
    if (mode & FMODE_WRITE && f_op.write === undefined) return -EACCES;
    if (mode & FMODE_READ && f_op.read === undefined) return -EACCES;
    return new file(path, new inode(k.next_ino++, 0), f_op, mode);
  };
}

const O_ACCMODE = 3;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_DIRECTORY = 0o200000;
const O_PATH = 0o10000000;

/** Opens a path. @kernel fs/open.c:file_open_name @fidelity simplified: as do_sys_open @returns the file, or -errno */
export function open_path(k: Machine, path: string, mode: number): file | number {
  return paths_of(k).get(path)?.(k, path, mode) ?? -ENOENT;
}

/** What is against opening a path with these flags, if anything is: -errno or 0. Nothing is made or cut. */
function flags_error(k: Machine, path: string, flags: number): number {
  const exists = paths_of(k).has(path);
  if (flags & O_PATH || (flags & O_CREAT && !exists) || (flags & O_TRUNC && exists)) {
    return not_modelled("fs/open.c: O_PATH, O_TRUNC, or O_CREAT of a new file");
  }
  if (!exists) return -ENOENT;
  if (flags & O_CREAT && flags & O_EXCL) return -EEXIST;
  return flags & O_DIRECTORY ? -ENOTDIR : 0;
}

/**
 * Opens a path for the running task.
 * @kernel fs/open.c:do_sys_openat2
 * @fidelity simplified: paths that the machine knows, each open to everybody
 * @param path null is a bad address
 * @param flags O_RDONLY, O_WRONLY, O_RDWR, 3 for none of them; others than O_CREAT, O_EXCL and O_DIRECTORY are ignored
 * @returns the descriptor; -EFAULT, -ENOENT, -EMFILE, -EEXIST, -ENOTDIR, what the file says
 */
export function do_sys_open(k: Machine, path: string | null, flags: number): number {
  if (path === null) return -EFAULT;
  if (path === "") return -ENOENT;
  const fd = get_unused_fd_flags(k);
  if (fd < 0) return fd;
  const error = flags_error(k, path, flags);
  if (error) return error;
  const f = open_path(k, path, (flags + 1) & O_ACCMODE);
  if (typeof f === "number") return f;
  k.current.files.set(fd, f);
  return fd;
}
