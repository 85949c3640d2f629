// SPDX-License-Identifier: GPL-2.0-only
/** Memory policies (include/linux/mempolicy.h). */

/** Where memory of a VMA is to come from; never changed once it is made. A set of nodes is a bit mask. */
export interface mempolicy {
  /** MPOL_… */
  readonly mode: number;
  /** MPOL_F_… */
  readonly flags: number;
  readonly nodes: bigint;
  /** The nodes that the user gave, where these are kept; else none. */
  readonly user_nodemask: bigint;
}

/** Do two policies say the same? null is the task's. @kernel include/linux/mempolicy.h:mpol_equal @fidelity mirrored */
export function mpol_equal(a: mempolicy | null, b: mempolicy | null): boolean {
  if (a === b) return true;
  if (a === null || b === null) return false;
  return a.mode === b.mode && a.flags === b.flags && a.nodes === b.nodes && a.user_nodemask === b.user_nodemask;
}
