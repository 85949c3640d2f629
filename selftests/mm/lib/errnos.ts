// SPDX-License-Identifier: GPL-2.0-only
/** Tables of system calls that are refused: each row has several things wrong, and the first one checked answers. */
import { CAP_IPC_LOCK, RLIMIT_MEMLOCK } from "../../../include/linux/sched.js";
import { expect, type Fixture, type Syscalls, TEST_F } from "../../../harness/kselftest/index.js";
import { errnoNames } from "../../../uapi/errno.js";
import * as gup from "../../../uapi/gup_test.js";
import * as uffd from "../../../uapi/userfaultfd.js";
import * as vfio from "../../../uapi/vfio.js";
import { bytes, type T } from "./memory.js";

/** Numbers that programs pass, by name: those of ioctl() are among them. */
const numbers: Readonly<Record<string, unknown>> = { ...gup, ...uffd, ...vfio };
/** What the commands of the drivers have in their second byte, by which a number is one of them. */
const IOCTL_TYPES = [";", "g", "\xaa"].map((type) => type.charCodeAt(0));

/** The commands of ioctl(), by name. */
export const ioctls: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(numbers).filter((e): e is [string, number] => {
    return typeof e[1] === "number" && IOCTL_TYPES.includes((e[1] >>> 8) & 0xff);
  }),
);

/** What a table is about: a system call, or a command of ioctl(). */
export type Call = keyof Syscalls | keyof typeof gup | keyof typeof uffd | keyof typeof vfio;

/** What is wrong, in the order in which it is checked; the call; the errno, 0 for success. */
export type ErrnoRow = readonly [string, (t: T) => number, number];

/** What a call returned, in words: a name of an errno, or the number. */
export function said(ret: number): string {
  return ret < 0 ? (errnoNames[-ret] ?? String(ret)) : String(ret);
}

/** 0 for what a call returned that was not refused. */
export function fine(ret: number): number {
  return Math.min(ret, 0);
}

/** From now on, what a call returns the test. The list grows. */
function answersOf(t: T, call: Call): unknown[] {
  const name = call in ioctls ? "ioctl" : call;
  const sys = t.sys as unknown as Record<string, (...args: unknown[]) => unknown>;
  const real = sys[name]!;
  const answers: unknown[] = [];
  sys[name] = (...args) => {
    const answer = real.apply(sys, args);
    if (name === call || (args[1] as number) >>> 0 === ioctls[call]) answers.push(answer);
    return answer;
  };
  return answers;
}

/** A test for each row; in each, it is this call that is refused. */
export function errnoTable<Self, Param>(call: Call, fixture: Fixture<Self, Param>, rows: readonly ErrnoRow[]): void {
  if (rows.every(([, , errno]) => errno === 0)) throw new TypeError(`no row of ${call} is refused`);
  for (const [title, run, errno] of rows) {
    const expected = errno === 0 ? "0" : said(-errno);
    TEST_F(fixture, `${errno === 0 ? "success" : expected}: ${title}`, (t) => {
      const answers = answersOf(t, call);
      const ret = run(t);
      expect(said(ret)).to.equal(expected);
      expect(answers, `what ${call} returned`).to.not.be.empty;
      if (ret < 0) expect(answers, `what ${call} returned`).to.include(ret);
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
