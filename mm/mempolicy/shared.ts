// SPDX-License-Identifier: GPL-2.0-only
/** Policies of ranges of shmem files, which stay when nobody maps them (mm/mempolicy.c: shared policies). */
import type { mempolicy, sp_node } from "../../include/linux/mempolicy.js";
import { MPOL_F_SHARED } from "../../uapi/mempolicy.js";

/** The policy at a page offset, null for none. @kernel mm/mempolicy.c:mpol_shared_policy_lookup @fidelity mirrored */
export function mpol_shared_policy_lookup(policies: readonly sp_node[], index: number): mempolicy | null {
  return policies.find((n) => n.start <= index && index < n.end)?.policy ?? null;
}

/**
 * Policies of a file once [start, end) has another one, null for none.
 * @kernel mm/mempolicy.c:mpol_set_shared_policy, shared_policy_replace
 * @fidelity simplified: policies take no memory, so it does not fail
 */
export function shared_policy_replace(
  policies: readonly sp_node[],
  start: number,
  end: number,
  policy: mempolicy | null,
): sp_node[] {
  const out: sp_node[] = [];
  for (const n of policies) {
    if (n.start < start) out.push({ ...n, end: Math.min(n.end, start) });
    if (n.end > end) out.push({ ...n, start: Math.max(n.start, end) });
  }
  if (policy !== null) out.push({ start, end, policy: { ...policy, flags: policy.flags | MPOL_F_SHARED } });
  return out.sort((a, b) => a.start - b.start);
}
