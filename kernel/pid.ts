// SPDX-License-Identifier: GPL-2.0-only
/** Files that stand for processes (kernel/pid.c). */
import { fd_install } from "../fs/open.js";
import { anon_inode_getfile, type file_operations, FMODE_READ, FMODE_WRITE } from "../include/linux/fs.js";
import type { task_struct } from "../include/linux/sched.js";
import type { Machine } from "../include/machine.js";
import { EBADF, EINVAL, ESRCH } from "../uapi/errno.js";

const PIDFD_NONBLOCK = 0o4000;

const pidfd_fops: file_operations = { name: "pidfd_fops" };

/**
 * pidfd_open(2): a file that stands for a process.
 * @kernel kernel/pid.c:SYSCALL_DEFINE2(pidfd_open)
 * @fidelity mirrored
 * @returns a descriptor, or -EINVAL (flags, a thread that leads no group), -ESRCH, -EMFILE
 */
export function sys_pidfd_open(k: Machine, pid: number, flags: number): number {
  if (flags & ~PIDFD_NONBLOCK || pid <= 0) return -EINVAL;
  const task = k.tasks.get(pid);
  if (task === undefined) return -ESRCH;
  if (task.tgid !== pid) return -EINVAL;
  return fd_install(k, anon_inode_getfile(k, "[pidfd]", pidfd_fops, pid, FMODE_READ | FMODE_WRITE));
}

/**
 * The process that a descriptor of pidfd_open(2) stands for.
 * @kernel kernel/pid.c:pidfd_get_task
 * @fidelity mirrored
 * @returns the task, or -EBADF, -ESRCH (it has ended)
 */
export function pidfd_get_task(k: Machine, pidfd: number): task_struct | number {
  const f = k.current.files.get(pidfd);
  if (f?.f_op !== pidfd_fops) return -EBADF;
  return k.tasks.get(f.private_data as number) ?? -ESRCH;
}
