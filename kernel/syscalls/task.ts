// SPDX-License-Identifier: GPL-2.0-only
/** System calls that make and end tasks. */
import type { Machine } from "../../include/machine.js";
import { do_exit } from "../exit.js";
import { type clone_args, copy_process } from "../fork.js";
import { sys_pidfd_open } from "../pid.js";
import { EINVAL } from "../../uapi/errno.js";
import { type Arg, int } from "./memory.js";

const CLONE_VM = 0x100;
const CLONE_FS = 0x200;
const CLONE_FILES = 0x400;
const CLONE_SIGHAND = 0x800;
const CLONE_PIDFD = 0x1000;
const CLONE_THREAD = 0x10000;
const CLONE_NEWNS = 0x20000;
const CLONE_DETACHED = 0x400000;
const CLONE_NEWUSER = 0x10000000;
const CLONE_NEWPID = 0x20000000;

/**
 * Flags that do not go together.
 * @kernel kernel/fork.c:copy_process
 */
function clone_error(flags: number): number {
  const all = (...bits: readonly number[]): boolean => bits.every((bit) => (flags & bit) !== 0);
  const any = (...bits: readonly number[]): boolean => bits.some((bit) => (flags & bit) !== 0);
  const bad =
    all(CLONE_NEWNS, CLONE_FS) ||
    all(CLONE_NEWUSER, CLONE_FS) ||
    (all(CLONE_THREAD) && !any(CLONE_SIGHAND)) ||
    (all(CLONE_SIGHAND) && !any(CLONE_VM)) ||
    (all(CLONE_THREAD) && any(CLONE_NEWUSER, CLONE_NEWPID)) ||
    (all(CLONE_PIDFD) && any(CLONE_DETACHED, CLONE_THREAD));
  return bad ? -EINVAL : 0;
}

/** Makes a task of the running one: its pid, or -errno. The child does not run by itself. */
function kernel_clone(k: Machine, args: clone_args): number {
  const task = copy_process(k, k.current, args);
  return typeof task === "number" ? task : task.pid;
}

/** The system calls on tasks, run by k.current. */
export function task_calls(k: Machine) {
  return {
    /** The child is in k.tasks under the pid that is returned; to run it, make it k.current. */
    fork: (): number => kernel_clone(k, {}),
    /** clone(2): takes CLONE_ flags as a number, or spelled out. */
    clone: (flags: Arg | clone_args): number => {
      if (typeof flags === "object") return kernel_clone(k, flags);
      const bits = int(flags);
      const error = clone_error(bits);
      if (error) return error;
      return kernel_clone(k, {
        CLONE_VM: (bits & CLONE_VM) !== 0,
        CLONE_FILES: (bits & CLONE_FILES) !== 0,
        CLONE_THREAD: (bits & CLONE_THREAD) !== 0,
      });
    },
    pidfd_open: (pid: Arg, flags: Arg): number => sys_pidfd_open(k, int(pid), int(flags)),
    getpid: (): number => k.current.tgid,
    /** Ends the running task. Whoever runs the machine chooses the next k.current. */
    exit: (_status: Arg): number => {
      do_exit(k, k.current);
      return 0;
    },
  };
}
