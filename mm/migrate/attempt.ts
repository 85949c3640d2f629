// SPDX-License-Identifier: GPL-2.0-only
/** Notes on the attempt at one page: what migrate_pages() reports of those that it could not move. */
import type { pin_failure_reason } from "../../include/linux/pin_report.js";

/** Why the last attempt at a page failed; meaningful only right after it did. */
export class migrate_attempt {
  reason: pin_failure_reason = "other";
  refcount = 0;
  expected = 0;

  /** The attempt fails for a reason other than a reference. */
  fails(reason: pin_failure_reason): void {
    this.reason = reason;
    this.refcount = 0;
    this.expected = 0;
  }

  /** The attempt fails for a reference that nobody accounts for. */
  unexpected(refcount: number, expected: number): void {
    this.reason = "unexpected reference";
    this.refcount = refcount;
    this.expected = expected;
  }
}
