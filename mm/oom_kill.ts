// SPDX-License-Identifier: GPL-2.0-only
/** Out of memory: choosing a process and killing it (mm/oom_kill.c). */
import { KernelBug } from "../include/linux/bug.js";
import { MM_ANONPAGES, MM_FILEPAGES, MM_SHMEMPAGES, MM_SWAPENTS } from "../include/linux/mm_types.js";
import { PF_EXITING, PF_KTHREAD, type task_struct } from "../include/linux/sched.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { OOM_KILL } from "../include/linux/vmstat.js";
import type { Machine } from "../include/machine.js";
import { count_vm_event } from "./vmstat.js";

const SIGKILL = 9;
const OOM_SCORE_ADJ_MIN = -1000;

/** What the OOM killer needs of kernel/, which kernel/boot.ts gives it: found in k.subsys under {@link OOM_SUBSYS}. */
export interface oom_subsys {
  /** Lets a task that was killed while it was not running die. */
  exit_task(k: Machine, task: task_struct): void;
}
export const OOM_SUBSYS = "mm/oom_kill";

/** @kernel include/linux/oom.h:tsk_is_oom_victim @fidelity mirrored */
export function tsk_is_oom_victim(task: task_struct): boolean {
  return task.oom_victim;
}

/**
 * How much memory killing a task would free, in pages; -Infinity for a task that must not be killed.
 * @kernel mm/oom_kill.c:oom_badness
 * @fidelity simplified: process 1 is killable, since in this machine it is the user's
 */
export function oom_badness(k: Machine, p: task_struct): number {
  if (p.flags & PF_KTHREAD || p.mm === null || p.exited) return -Infinity;
  if (p.oom_score_adj === OOM_SCORE_ADJ_MIN) return -Infinity;
  const rss = p.mm.rss_stat;
  const points = rss[MM_FILEPAGES]! + rss[MM_ANONPAGES]! + rss[MM_SHMEMPAGES]! + rss[MM_SWAPENTS]!;
  return points + p.mm.pgtables_bytes / PAGE_SIZE + p.oom_score_adj * Math.floor(k.totalram_pages / 1000);
}

/** The worst process: the last of equals, as the kernel walks them. @kernel mm/oom_kill.c:select_bad_process @fidelity mirrored */
function select_bad_process(k: Machine): task_struct | "wait" | undefined {
  let chosen: task_struct | undefined;
  let chosen_points = -Infinity;
  for (const task of k.tasks.values()) {
    if (task.pid !== task.tgid) continue;
    if (task.oom_victim && !task.exited) return "wait";
    const points = oom_badness(k, task);
    if (points === -Infinity || points < chosen_points) continue;
    chosen = task;
    chosen_points = points;
  }
  return chosen;
}

/**
 * Kills a process and all that share its memory. The running task dies when its system call ends; others at once.
 * @kernel mm/oom_kill.c:__oom_kill_process
 * @fidelity simplified: no oom_reaper, a victim that is not running exits right away
 */
function __oom_kill_process(k: Machine, victim: task_struct): void {
  const mm = victim.mm;
  count_vm_event(k, OOM_KILL);
  if (k.tracing) k.hooks.trace("oom_kill", { pid: victim.pid, comm: victim.comm, total_vm: mm?.total_vm ?? 0 });
  const dying: task_struct[] = [];
  for (const task of k.tasks.values()) {
    if (task !== victim && (task.mm !== mm || task.flags & PF_KTHREAD)) continue;
    task.fatal_signal = SIGKILL;
    task.oom_victim = task.tgid === victim.tgid;
    dying.push(task);
  }
  if (dying.includes(k.current)) return;
  const oom = k.subsys.get(OOM_SUBSYS) as oom_subsys | undefined;
  for (const task of dying) oom?.exit_task(k, task);
}

/**
 * Kills the process whose death frees most. False only for requests that must not cause it.
 * @kernel mm/oom_kill.c:out_of_memory
 * @fidelity simplified: no memory policies; a GFP_NOFS request kills too, since nobody else would
 * Throws where the kernel panics: nobody is left to be killed.
 */
export function out_of_memory(k: Machine, gfp_mask: number, order: number): boolean {
  const current = k.current;
  if (current.mm !== null && (current.fatal_signal !== 0 || current.flags & PF_EXITING)) {
    current.oom_victim = true;
    return true;
  }
  const chosen = select_bad_process(k);
  if (chosen === undefined) {
    throw new KernelBug(`System is deadlocked on memory: order ${order}, gfp ${gfp_mask.toString(16)}, nobody to kill`);
  }
  if (chosen !== "wait") __oom_kill_process(k, chosen);
  return true;
}
