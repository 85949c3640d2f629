// SPDX-License-Identifier: GPL-2.0-only
/** Tables of system calls that are refused: each row has several things wrong, and the first one checked answers. */
import { CAP_IPC_LOCK, RLIMIT_MEMLOCK } from "../../../include/linux/sched.js";
import { expect, type Fixture, TEST_F } from "../../../harness/kselftest/index.js";
import { errnoNames } from "../../../uapi/errno.js";
import { bytes, type T } from "./memory.js";

/** What is wrong, in the order in which it is checked; the call; the errno, 0 for success. */
export type ErrnoRow = readonly [string, (t: T) => number, number];

/** What a call returned, in words: a name of an errno, or the number. */
export function said(ret: number): string {
  return ret < 0 ? (errnoNames[-ret] ?? String(ret)) : String(ret);
}

/** A test for each row. */
export function errnoTable<Self, Param>(fixture: Fixture<Self, Param>, rows: readonly ErrnoRow[]): void {
  for (const [title, call, errno] of rows) {
    const expected = errno === 0 ? "0" : said(-errno);
    TEST_F(fixture, `${expected === "0" ? "success" : expected}: ${title}`, (t) => {
      expect(said(call(t))).to.equal(expected);
    });
  }
}

/** Lets the running task lock so many pages, and no more. */
export function limitLocked(t: T, pages: number): void {
  drop(t, CAP_IPC_LOCK);
  t.sys.setrlimit(RLIMIT_MEMLOCK, bytes(pages));
}

/** Takes capabilities from the running task. */
export function drop(t: T, ...capabilities: readonly number[]): void {
  for (const cap of capabilities) t.k.current.capabilities.delete(cap);
}
