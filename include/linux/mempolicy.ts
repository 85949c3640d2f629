// SPDX-License-Identifier: GPL-2.0-only
/** Memory policies (include/linux/mempolicy.h). */

/** Where memory of a VMA or task is to come from; never changed once it is made. A set of nodes is a bit mask. */
export interface mempolicy {
  /** MPOL_… */
  readonly mode: number;
  /** MPOL_F_… */
  readonly flags: number;
  /** Nodes that there are, as far as the policy names them. */
  readonly nodes: number;
  /** The nodes that the user gave, where these are kept; else none. */
  readonly user_nodemask: bigint;
}

/** Policy of a range of a shmem file, [start, end) in page offsets. @kernel include/linux/mempolicy.h:sp_node */
export interface sp_node {
  readonly start: number;
  readonly end: number;
  readonly policy: mempolicy;
}

/** Do two policies say the same? null is the task's. @kernel include/linux/mempolicy.h:mpol_equal @fidelity mirrored */
export function mpol_equal(a: mempolicy | null, b: mempolicy | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  return a.mode === b.mode && a.flags === b.flags && a.nodes === b.nodes && a.user_nodemask === b.user_nodemask;
}
