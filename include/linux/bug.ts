// SPDX-License-Identifier: GPL-2.0-only
/** Broken invariants and the edge of the model (include/linux/mmdebug.h). */

/** An invariant of the kernel that does not hold: a bug of the code under test or of the model. */
export class KernelBug extends Error {
  override name = "KernelBug";
}

/** The edge of the model: a path of the kernel that is not there. Never answered with a made-up value. */
export class NotModelled extends Error {
  override name = "NotModelled";
  readonly what: string;
  constructor(what: string) {
    super(`not modelled: ${what} (docs/FIDELITY.md lists what is)`);
    this.what = what;
  }
}

/**
 * A task has to wait for what nothing lets go of meanwhile: a deadlock, or a schedule in which the task would be asleep
 * while others run.
 */
export class WouldWait extends KernelBug {
  readonly waits_for: string;
  constructor(what: string) {
    super(`${what}: would wait for ever`);
    this.waits_for = what;
  }
}

/** Ends a wait that nothing in this schedule ends: name what is waited for. */
export function would_wait(what: string): never {
  throw new WouldWait(what);
}

export function VM_BUG_ON(condition: boolean, what: string): void {
  if (condition) throw new KernelBug(what);
}

/** Refuses a path of the kernel: name its file and what of it, as in `not_modelled("mm/hugetlb.c: hugetlb_fault")`. */
export function not_modelled(what: string): never {
  throw new NotModelled(what);
}
