// SPDX-License-Identifier: GPL-2.0-only
/** What a person is told when something cannot be done: one line, with the place and what to do about it. */

/** Bad input. `where` is "FILE:LINE", "FILE", an option's name or "" for nowhere. */
export class UserError extends Error {
  override name = "UserError";
  readonly where: string;
  constructor(where: string, what: string, todo = "") {
    const line = [where === "" ? what : `${where}: ${what}`, ...(todo === "" ? [] : [todo])].join("; ");
    super(oneLine(line));
    this.where = where;
  }
}

/** Exit status: bad input, or a path that is not modelled. */
export const EXIT_BAD_INPUT = 2;
/** Exit status: the program itself is at fault (EX_SOFTWARE of sysexits.h). */
export const EXIT_INTERNAL = 70;

export function oneLine(text: string): string {
  return text
    .split(/\r?\n/)
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .join(" ");
}

export interface Failure {
  line: string;
  status: number;
}

/**
 * The one line and the exit status for whatever was thrown. Errors of the model come from the module graph of a
 * variant, so they are known by name and not by class.
 */
export function describeFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { line: `internal error: ${oneLine(String(error))}`, status: EXIT_INTERNAL };
  switch (error.name) {
    case "UserError":
      return { line: error.message, status: EXIT_BAD_INPUT };
    case "NotModelled":
      return { line: oneLine(error.message), status: EXIT_BAD_INPUT };
    case "BootError":
      return { line: `the host does not boot: ${oneLine(error.message)}; give it other sizes`, status: EXIT_BAD_INPUT };
    case "KernelBug":
      return { line: `the model met a broken invariant: ${oneLine(error.message)}`, status: EXIT_INTERNAL };
    default:
      return {
        line: `internal error: ${error.name}: ${oneLine(error.message)} (PATCHPROOF_DEBUG=1 prints the stack)`,
        status: EXIT_INTERNAL,
      };
  }
}

/** The message of a file that could not be opened or read, in words. */
export function fileError(path: string, error: unknown, what: string): UserError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new UserError(path, `no such ${what}`, "check the path");
    case "EISDIR":
      return new UserError(path, `this is a directory, not a ${what}`, "name a file in it");
    case "EACCES":
    case "EPERM":
      return new UserError(path, `no permission to read this ${what}`, "check its mode");
    default:
      return new UserError(path, `cannot read this ${what}${code === "" ? "" : ` (${code})`}`);
  }
}
