// SPDX-License-Identifier: GPL-2.0-only
/** The end of a task (kernel/exit.c). */
import { fput } from "../fs/file_table.js";
import { PF_EXITING, type task_struct } from "../include/linux/sched.js";
import type { Machine } from "../include/machine.js";
import { mmput } from "./fork.js";

/**
 * Ends a task: its address space goes first, then its files, each with its last user.
 * @kernel kernel/exit.c:do_exit
 * @fidelity simplified: address space and files only; nobody has to wait for it
 */
export function do_exit(k: Machine, task: task_struct): void {
  if (task.exited) return;
  const running = k.current;
  k.current = task;
  task.flags |= PF_EXITING;
  const mm = task.mm;
  task.mm = null;
  if (mm !== null) mmput(k, mm);
  exit_files(k, task);
  task.exited = true;
  k.tasks.delete(task.pid);
  k.current = running;
}

function exit_files(k: Machine, task: task_struct): void {
  for (const other of k.tasks.values()) if (other !== task && other.files === task.files) return;
  const files = [...task.files.values()];
  task.files.clear();
  for (const f of files) fput(k, f);
}
