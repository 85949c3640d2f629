// SPDX-License-Identifier: GPL-2.0-only
/** How a body ends a test early, and what counts as a failed assertion. */

export class SkipSignal extends Error {
  override name = "SkipSignal";
}

export class XfailSignal extends Error {
  override name = "XfailSignal";
}

/** An invariant of the machine that the test left broken. */
export class InvariantError extends Error {
  override name = "InvariantError";
}

function reasoned(word: string, reason: string): string {
  if (reason.trim() === "") throw new TypeError(`${word} wants a reason`);
  return reason;
}

/** Ends the test: it does not apply here, for this reason. */
export function SKIP(reason: string): never {
  throw new SkipSignal(reasoned("SKIP", reason));
}

/** Ends the test: what follows is known to fail, for this reason. */
export function XFAIL(reason: string): never {
  throw new XfailSignal(reasoned("XFAIL", reason));
}

/** Did an assertion fail (chai, node:assert, sinon), rather than something break? */
export function isAssertion(error: unknown): boolean {
  return error instanceof Error && ["AssertionError", "AssertError", "ExpectationError"].includes(error.name);
}
