// SPDX-License-Identifier: GPL-2.0-only
/** Opening by path, and what the virtual file system checks before a file is asked (fs/open.c, fs/sync.c). */
import { FMODE_READ, FMODE_WRITE, type file, is_regular } from "../include/linux/fs.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import { EBADF, EINVAL, EMFILE, ENODEV, ENOENT, EOPNOTSUPP } from "../uapi/errno.js";

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
 * @param offset bytes; `len` bytes
 * @returns 0, -EINVAL, -EOPNOTSUPP, -EBADF (not open for writing), -ENODEV (a device), what the file says
 */
export function vfs_fallocate(k: Machine, f: file, mode: number, offset: number, len: number): number {
  if (offset < 0 || len <= 0) return -EINVAL;
  const error = mode_error(mode);
  if (error) return error;
  if (!(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_op.fallocate === undefined) return f.f_op.name === "generic_file_operations" ? -EOPNOTSUPP : -ENODEV;
  return f.f_op.fallocate(k, f, mode, offset, len);
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
 * Gives a file the running task's lowest free descriptor.
 * @kernel fs/file.c:get_unused_fd_flags, fd_install
 * @fidelity simplified: RLIMIT_NOFILE is 1024
 * @returns the descriptor or -EMFILE
 */
export function fd_install(k: Machine, f: file): number {
  const { files } = k.current;
  for (let fd = 0; fd < 1024; fd++) {
    if (files.has(fd)) continue;
    files.set(fd, f);
    return fd;
  }
  return -EMFILE;
}

const O_ACCMODE = 3;
const O_WRONLY = 1;
const O_RDWR = 2;

/** Opens a path. @kernel fs/open.c:file_open_name @fidelity simplified: as do_sys_open @returns the file, or -errno */
export function open_path(k: Machine, path: string, mode: number): file | number {
  return paths_of(k).get(path)?.(k, path, mode) ?? -ENOENT;
}

/**
 * Opens a path for the running task.
 * @kernel fs/open.c:do_sys_open
 * @fidelity simplified: paths that the machine knows, each open to everybody
 * @param flags O_RDONLY, O_WRONLY, O_RDWR; others are ignored
 * @returns the descriptor; -ENOENT, -EINVAL, -EMFILE
 */
export function do_sys_open(k: Machine, path: string, flags: number): number {
  if (!paths_of(k).has(path)) return -ENOENT;
  const access = flags & O_ACCMODE;
  if (access === O_ACCMODE) return -EINVAL;
  const mode = access === O_RDWR ? FMODE_READ | FMODE_WRITE : access === O_WRONLY ? FMODE_WRITE : FMODE_READ;
  const f = open_path(k, path, mode);
  return typeof f === "number" ? f : fd_install(k, f);
}
