// SPDX-License-Identifier: GPL-2.0-only
/** What a test says of itself beyond pass and fail, and the judgement that reporters make of it. */

/** Left on mocha's test object under {@link NOTE}. */
export interface OutcomeNote {
  /** The kernel variant that the test ran on; absent on tests of the project itself. */
  variant?: string;
  /** The test's name without its variant. */
  title?: string;
  /** The test failed, as it was declared to: why. */
  xfail?: string;
  /** The test did not apply: why. */
  skip?: string;
  /** What the test recorded to be compared between variants. */
  observations?: Record<string, unknown>;
  /** Which lines of the patch it reached, when somebody counts them. */
  lines?: readonly string[];
}

/** A registered symbol: the reporter and the tests may come from different copies of the compiled tree. */
const NOTE = Symbol.for("patchproof.outcome");

/** The note of a test, made when it is first asked for. */
export function noteOf(test: object): OutcomeNote {
  const holder = test as Record<typeof NOTE, OutcomeNote | undefined>;
  return (holder[NOTE] ??= {});
}

export type Outcome = "pass" | "fail" | "xfail" | "skip";

/** What becomes of a pending test: skipped if it says why, failed otherwise. */
export function judgePending(test: object): { outcome: Outcome; reason: string } {
  const { skip } = noteOf(test);
  if (skip !== undefined && skip.trim() !== "") return { outcome: "skip", reason: skip };
  return { outcome: "fail", reason: "skipped without a reason: use SKIP(reason)" };
}

/** What becomes of a test that ended without an error. */
export function judgePassed(test: object): { outcome: Outcome; reason: string } {
  const { xfail } = noteOf(test);
  return xfail === undefined ? { outcome: "pass", reason: "" } : { outcome: "xfail", reason: xfail };
}
