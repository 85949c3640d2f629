// SPDX-License-Identifier: GPL-2.0-only
/** System calls on open files. */
import { fput, get_file } from "../../fs/file_table.js";
import { do_sys_open, fd_install, vfs_fallocate } from "../../fs/open.js";
import { sys_userfaultfd } from "../../fs/userfaultfd.js";
import { not_modelled } from "../../include/linux/bug.js";
import { type file, FMODE_READ, FMODE_WRITE, inode_lock, inode_unlock, is_regular } from "../../include/linux/fs.js";
import { toULong, type ulong } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { memfd_create, memfd_fcntl } from "../../mm/memfd.js";
import { shmem_pread, shmem_pwrite, shmem_truncate } from "../../mm/shmem.js";
import { sys_swapoff, sys_swapon } from "../../mm/swapfile.js";
import { truncate_pagecache } from "../../mm/truncate.js";
import { EBADF, EINVAL, ENOTTY, ESPIPE } from "../../uapi/errno.js";
import { type Arg, int } from "./memory.js";

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
  if (f.f_inode.shmem !== null) return shmem_truncate(k, f.f_inode, length);
  const old = f.f_inode.i_size;
  f.f_inode.i_size = length;
  if (length < old) truncate_pagecache(k, f.f_mapping, length);
  return 0;
}

/** @kernel fs/open.c:ksys_fallocate */
function fallocate(k: Machine, fd: number, mode: number, offset: ulong, len: ulong): number {
  const f = k.current.files.get(fd);
  return f === undefined ? -EBADF : vfs_fallocate(k, f, mode, offset, len);
}

/** @kernel fs/read_write.c:ksys_pwrite64 */
function pwrite(k: Machine, fd: number, value: number, pos: ulong): number {
  if (pos < 0) return -EINVAL;
  const f = k.current.files.get(fd);
  if (f === undefined || !(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (!is_regular(f)) return -ESPIPE;
  if (f.f_inode.shmem === null) return not_modelled("mm/filemap.c: generic_perform_write");
  return shmem_pwrite(k, f, pos, value);
}

/** @kernel fs/read_write.c:ksys_pread64 */
function pread(k: Machine, fd: number, pos: ulong): number {
  if (pos < 0) return -EINVAL;
  const f = k.current.files.get(fd);
  if (f === undefined || !(f.f_mode & FMODE_READ)) return -EBADF;
  if (!is_regular(f)) return -ESPIPE;
  if (f.f_inode.shmem === null) return not_modelled("mm/filemap.c: filemap_read");
  return shmem_pread(k, f, pos);
}

/** Writes a text to a file that takes commands. @kernel fs/read_write.c:ksys_write @fidelity simplified: from its start */
function write(k: Machine, fd: number, text: string): number {
  const f = k.current.files.get(fd);
  if (f === undefined || !(f.f_mode & FMODE_WRITE)) return -EBADF;
  if (f.f_op.write !== undefined) return f.f_op.write(k, f, text);
  return is_regular(f) ? not_modelled("fs/read_write.c: write of more than a byte") : -EINVAL;
}

/** Reads such a file whole. @kernel fs/read_write.c:ksys_read @fidelity simplified: from its start */
function read(k: Machine, fd: number): string | number {
  const f = k.current.files.get(fd);
  if (f === undefined || !(f.f_mode & FMODE_READ)) return -EBADF;
  if (f.f_op.read !== undefined) return f.f_op.read(k, f);
  return is_regular(f) ? not_modelled("fs/read_write.c: read of more than a byte") : -EINVAL;
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
    memfd_create: (name: string, flags: Arg): number => memfd_create(k, name, int(flags)),
    ftruncate: (fd: Arg, length: Arg): number => ftruncate(k, int(fd), toULong(length)),
    fallocate: (fd: Arg, mode: Arg, offset: Arg, len: Arg): number =>
      fallocate(k, int(fd), int(mode), toULong(offset), toULong(len)),
    /** Writes one byte; returns 1. */
    pwrite: (fd: Arg, value: number, pos: Arg): number => pwrite(k, int(fd), value & 0xff, toULong(pos)),
    /** Reads one byte and returns it: 0 … 255, and 256 at the end of the file. */
    pread: (fd: Arg, pos: Arg): number => pread(k, int(fd), toULong(pos)),
    /** Writes a text to a file of sysfs or debugfs; its length, or -errno. */
    write: (fd: Arg, text: string): number => write(k, int(fd), text),
    /** Reads a file of sysfs or debugfs whole; its text, or -errno. */
    read: (fd: Arg): string | number => read(k, int(fd)),
    fcntl: (fd: Arg, cmd: Arg, arg: Arg): number => {
      const f = k.current.files.get(int(fd));
      return f === undefined ? -EBADF : memfd_fcntl(k, f, int(cmd), toULong(arg));
    },
    /** Opens a path that kernel/devices.ts or a test has made known. */
    open: (path: string, flags: Arg): number => do_sys_open(k, path, int(flags)),
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
