// SPDX-License-Identifier: GPL-2.0-only
/** System calls on open files. */
import { fput, get_file } from "../../fs/file_table.js";
import { inode_newsize_ok } from "../../fs/attr.js";
import { sys_fcntl } from "../../fs/fcntl.js";
import { do_sys_open, fd_install, vfs_fallocate } from "../../fs/open.js";
import { ksys_pread64, ksys_pwrite64, ksys_read, ksys_write } from "../../fs/read_write.js";
import { sys_userfaultfd } from "../../fs/userfaultfd.js";
import { type file, FMODE_WRITE, inode_lock, inode_unlock, is_regular } from "../../include/linux/fs.js";
import { RLIMIT_NOFILE } from "../../include/linux/sched.js";
import { toULong, type ulong } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { memfd_create } from "../../mm/memfd.js";
import { shmem_truncate } from "../../mm/shmem.js";
import { sys_swapoff, sys_swapon } from "../../mm/swapfile.js";
import { truncate_pagecache } from "../../mm/truncate.js";
import { EBADF, EINVAL, ENOTTY } from "../../uapi/errno.js";
import { type Arg, int } from "./memory.js";

/** A file of sysfs or debugfs, which has no size. */
function is_text(f: file): boolean {
  return f.f_inode.shmem === null && f.f_op.mmap === undefined;
}

/** @kernel fs/open.c:do_sys_ftruncate */
function ftruncate(k: Machine, fd: number, length: ulong): number {
  if (length < 0) return -EINVAL;
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  if (!is_regular(f) || !(f.f_mode & FMODE_WRITE)) return -EINVAL;
  inode_lock(f.f_inode);
  const error = do_truncate(k, f, length);
  inode_unlock(f.f_inode);
  return error;
}

function do_truncate(k: Machine, f: file, length: number): number {
  const too_long = inode_newsize_ok(k, f.f_inode, length);
  if (too_long) return too_long;
  if (is_text(f)) return 0;
  if (f.f_inode.shmem !== null) return shmem_truncate(k, f.f_inode, length);
  const old = f.f_inode.i_size;
  f.f_inode.i_size = length;
  if (length < old) truncate_pagecache(k, f.f_mapping, length);
  return 0;
}

/** The last position of a file: the largest number that a loff_t holds. */
const MAX_LFS_FILESIZE = (1n << 63n) - 1n;

/** A position as C takes it, exactly. */
function loff_t(x: Arg): bigint {
  return BigInt.asIntN(64, BigInt(x));
}

/** @kernel fs/open.c:ksys_fallocate */
function fallocate(k: Machine, fd: number, mode: number, offset: Arg, len: Arg): number {
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  const too_far = loff_t(offset) + loff_t(len) > MAX_LFS_FILESIZE;
  return vfs_fallocate(k, f, mode, toULong(offset), toULong(len), too_far);
}

function is_last(pos: Arg): boolean {
  return loff_t(pos) === MAX_LFS_FILESIZE;
}

/** @kernel fs/ioctl.c:SYSCALL_DEFINE3(ioctl) */
function ioctl(k: Machine, fd: number, cmd: number, arg: unknown): number {
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  return f.f_op.unlocked_ioctl?.(k, f, cmd, arg) ?? -ENOTTY;
}

function close(k: Machine, fd: number): number {
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  k.current.files.delete(fd);
  fput(k, f);
  return 0;
}

/** @kernel fs/file.c:ksys_dup3 */
function dup2(k: Machine, oldfd: number, newfd: number): number {
  const f = k.current.files.get(oldfd);
  if (f === undefined || newfd < 0) return -EBADF;
  if (oldfd === newfd) return newfd;
  if (newfd >= k.current.rlim[RLIMIT_NOFILE]!) return -EBADF;
  get_file(f);
  close(k, newfd);
  k.current.files.set(newfd, f);
  return newfd;
}

function dup(k: Machine, fd: number): number {
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  const ret = fd_install(k, f);
  if (ret >= 0) get_file(f);
  return ret;
}

/** The system calls on files, run by k.current; each returns 0 or more, or -errno. */
export function file_calls(k: Machine) {
  return {
    /** `name`: null is a bad address. */
    memfd_create: (name: string | null, flags: Arg): number => memfd_create(k, name, int(flags)),
    ftruncate: (fd: Arg, length: Arg): number => ftruncate(k, int(fd), toULong(length)),
    fallocate: (fd: Arg, mode: Arg, offset: Arg, len: Arg): number => fallocate(k, int(fd), int(mode), offset, len),
    /** Writes one byte; returns 1. */
    pwrite: (fd: Arg, value: number, pos: Arg): number =>
      ksys_pwrite64(k, int(fd), value & 0xff, toULong(pos), is_last(pos)),
    /** Reads one byte and returns it: 0 … 255, and 256 at the end of the file. */
    pread: (fd: Arg, pos: Arg): number => ksys_pread64(k, int(fd), toULong(pos), is_last(pos)),
    /** Writes a text to a file of sysfs or debugfs; its length, or -errno. */
    write: (fd: Arg, text: string): number => ksys_write(k, int(fd), text),
    /** Reads a file of sysfs or debugfs whole; its text, or -errno. */
    read: (fd: Arg): string | number => ksys_read(k, int(fd)),
    fcntl: (fd: Arg, cmd: Arg, arg: Arg): number => sys_fcntl(k, int(fd), int(cmd), toULong(arg)),
    /** Opens a path that kernel/devices.ts or a test has made known; null is a bad address. */
    open: (path: string | null, flags: Arg): number => do_sys_open(k, path, int(flags)),
    /** `path`: null is a bad address. */
    swapon: (path: string | null, flags: Arg): number => sys_swapon(k, path, int(flags)),
    swapoff: (path: string | null): number => sys_swapoff(k, path),
    userfaultfd: (flags: Arg): number => sys_userfaultfd(k, int(flags)),
    close: (fd: Arg): number => close(k, int(fd)),
    dup: (fd: Arg): number => dup(k, int(fd)),
    dup2: (oldfd: Arg, newfd: Arg): number => dup2(k, int(oldfd), int(newfd)),
    /** `arg`: a number, or the structure that C would pass a pointer to. */
    ioctl: (fd: Arg, cmd: Arg, arg: unknown): number => ioctl(k, int(fd), int(cmd), arg),
  };
}
