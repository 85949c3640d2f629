// SPDX-License-Identifier: GPL-2.0-only
/** Flags of a task that a system call must leave as it found them. */
import { PF_MEMALLOC, PF_MEMALLOC_NOFS, PF_MEMALLOC_NOIO, PF_MEMALLOC_PIN } from "../include/linux/sched.js";

const FLAGS = { PF_MEMALLOC, PF_MEMALLOC_NOFS, PF_MEMALLOC_NOIO, PF_MEMALLOC_PIN };

export const PF_CHECKED = PF_MEMALLOC | PF_MEMALLOC_NOFS | PF_MEMALLOC_NOIO | PF_MEMALLOC_PIN;

/** Those of them that are set, by name. */
export function flagWords(flags: number): string {
  return Object.entries(FLAGS)
    .filter(([, bit]) => flags & bit)
    .map(([name]) => name)
    .join(", ");
}
