// SPDX-License-Identifier: GPL-2.0-only
/** Finds the tests that failed in the lines of a KTAP document, to name them again where a log ends. */

const LINE = /^( *)(?:# Subtest: (.*)|# (.*)|(not )?ok \d+ - (.*))$/;
/** Lines of each failure that are said again: the rest stands where it failed. */
const SAID_AGAIN = 12;

export class FailureList {
  /** The subtests that are open, outermost first. */
  private readonly open: string[] = [];
  /** Comments since the last result: they belong to the next. */
  private comments: string[] = [];
  private readonly failures: { readonly path: readonly string[]; readonly comments: readonly string[] }[] = [];

  /** Takes one line of the document. */
  line(text: string): void {
    const [, indent = "", subtest, comment, not, name = ""] = LINE.exec(text) ?? [];
    if (subtest !== undefined) this.open.push(subtest);
    else if (comment !== undefined) this.comments.push(comment);
    else if (name !== "") this.result(indent.length / 2, not !== undefined, name);
  }

  /** Comment lines that name each failed test by its path, with what it said. */
  summary(): string[] {
    return this.failures.flatMap(({ path, comments }) => [
      `failed: ${path.join(" > ")}`,
      ...comments.slice(0, SAID_AGAIN).map((line) => `  ${line}`),
    ]);
  }

  private result(depth: number, failed: boolean, name: string): void {
    const outer = this.open.slice(0, depth);
    const listed = this.failures.some(({ path }) => [...outer, name].every((part, i) => path[i] === part));
    if (failed && !listed) this.failures.push({ path: [...outer, name], comments: this.comments });
    this.open.length = outer.length;
    this.comments = [];
  }
}
