// SPDX-License-Identifier: GPL-2.0-only
/** /proc/meminfo, the lines about promised memory (fs/proc/meminfo.c). */
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { vm_commit_limit } from "../../mm/util.js";

const KIB = PAGE_SIZE / 1024;

/**
 * How much memory there is, how much may be promised, and how much is, in KiB.
 * @kernel fs/proc/meminfo.c:meminfo_proc_show
 * @fidelity simplified: three lines of it
 */
export function meminfo_proc_show(k: Machine): { MemTotal: number; CommitLimit: number; Committed_AS: number } {
  return {
    MemTotal: k.totalram_pages * KIB,
    CommitLimit: vm_commit_limit(k) * KIB,
    Committed_AS: k.vm_committed_as * KIB,
  };
}
