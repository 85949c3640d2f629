// SPDX-License-Identifier: GPL-2.0-only
/** What a task's PF_MEMALLOC_ flags do to its allocations (include/linux/sched/mm.h). */
import { __GFP_FS, __GFP_IO, __GFP_MOVABLE } from "../gfp.js";
import type { Machine } from "../../machine.js";
import { KernelBug } from "../bug.js";
import { PF_MEMALLOC, PF_MEMALLOC_NOFS, PF_MEMALLOC_NOIO, PF_MEMALLOC_PIN } from "../sched.js";

/**
 * The allocation flags that the running task's context leaves of those asked for.
 * @kernel include/linux/sched/mm.h:current_gfp_context
 * @fidelity mirrored
 */
export function current_gfp_context(k: Machine, flags: number): number {
  const pflags = k.current.flags;
  if (pflags & (PF_MEMALLOC_NOIO | PF_MEMALLOC_NOFS | PF_MEMALLOC_PIN)) {
    if (pflags & PF_MEMALLOC_NOIO) flags &= ~(__GFP_IO | __GFP_FS);
    else if (pflags & PF_MEMALLOC_NOFS) flags &= ~__GFP_FS;
    if (pflags & PF_MEMALLOC_PIN) flags &= ~__GFP_MOVABLE;
  }
  return flags;
}

/**
 * Bars the running task's allocations from CMA and ZONE_MOVABLE; returns what {@link memalloc_pin_restore} wants.
 * @kernel include/linux/sched/mm.h:memalloc_pin_save
 * @fidelity mirrored
 */
export function memalloc_pin_save(k: Machine): number {
  const flags = k.current.flags & PF_MEMALLOC_PIN;
  k.current.flags |= PF_MEMALLOC_PIN;
  return flags;
}

/**
 * Puts PF_MEMALLOC_PIN back to what it was. A variable that was never assigned is caught where C would use its junk.
 * @kernel include/linux/sched/mm.h:memalloc_pin_restore
 * @fidelity mirrored
 */
export function memalloc_pin_restore(k: Machine, flags: number): void {
  if (flags === undefined) throw new KernelBug("PF_MEMALLOC_PIN is restored from an uninitialised variable");
  k.current.flags = (k.current.flags & ~PF_MEMALLOC_PIN) | flags;
}

/**
 * Lets the running task take the reserves, and keeps its allocations from reclaiming; returns what
 * {@link memalloc_noreclaim_restore} wants.
 * @kernel include/linux/sched/mm.h:memalloc_noreclaim_save
 * @fidelity mirrored
 */
export function memalloc_noreclaim_save(k: Machine): number {
  const flags = k.current.flags & PF_MEMALLOC;
  k.current.flags |= PF_MEMALLOC;
  return flags;
}

/**
 * Puts PF_MEMALLOC back to what it was.
 * @kernel include/linux/sched/mm.h:memalloc_noreclaim_restore
 * @fidelity mirrored
 */
export function memalloc_noreclaim_restore(k: Machine, flags: number): void {
  k.current.flags = (k.current.flags & ~PF_MEMALLOC) | flags;
}
