// SPDX-License-Identifier: GPL-2.0-only
/** What the explorer passes around: schedules, what running one came to, and what was found. */

/** A call that another task makes when the yield point of this number (from 0, over all tasks) is met. */
export interface Injection {
  readonly at: number;
  readonly call: string;
}

/** A system call, and what other tasks do while it sleeps. Calls by their names in calls.ts. */
export interface Schedule {
  readonly setup: string;
  /** Is MADV_NOMOVABLE given when the set-up is done? */
  readonly advised: boolean;
  readonly first: string;
  /** In the order of their points. */
  readonly injections: readonly Injection[];
}

export type FindingKind = "use after free" | "broken invariant" | "flag left" | "endless wait" | "error";

/** What is wrong, as one schedule shows it. */
export interface Wrong {
  readonly kind: FindingKind;
  readonly what: string;
  /** Functions of the kernel that it happened in, innermost first. */
  readonly where: readonly string[];
}

/** One line of what happened: which task, how deep in others' calls, what. */
export interface Event {
  readonly depth: number;
  readonly task: string;
  readonly text: string;
}

/** A yield point that a run met. */
export interface Met {
  readonly at: number;
  /** Name of the point, and the state in which it was left: equal keys, equal futures. */
  readonly name: string;
  readonly key: string;
  /** Of the key: what the call that met it has met so far, this point included. */
  readonly past: number;
  /** How mmap_lock of the threads' address space, and of the other process's, was left. */
  readonly locks: Readonly<Record<"thread" | "process", string>>;
}

/**
 * How a run ended: all calls returned; an injected call would have slept until the task below it goes on, so the
 * schedule cannot be; the edge of the model; something is wrong; or it goes on as another schedule did.
 */
export type Outcome = "done" | "blocked" | "edge" | "wrong" | "same";

export interface Run {
  readonly outcome: Outcome;
  /** Points at which others may be started next. */
  readonly met: readonly Met[];
  /** Names of all. */
  readonly points: ReadonlySet<string>;
  readonly wrong: Wrong | null;
  readonly events: readonly Event[];
  /** Yield point of an injected call that did not get its turn. */
  readonly unmet?: number;
  /** Digests at the points, by number, for a run that is the same up to there; none where a VMA was seen first. */
  readonly digests: readonly (number | undefined)[];
  /** A call that waits for mmap_lock before it has done anything, and how the lock was: {@link waitKey}. */
  readonly waits?: string;
}

/** What a run is told of one that is the same up to its last call. */
export type Prefix = Pick<Run, "met" | "digests">;

/** Says that this call waits where its mmap_lock is so: whatever else is the case, it does nothing before. */
export function waitKey(call: string, locks: string): string {
  return `${call} ${locks}`;
}

export interface Found extends Wrong {
  readonly shortest: Schedule;
  readonly events: readonly Event[];
  /** Schedules that come to it. */
  readonly schedules: number;
}

/** One set-up, one first call, all that others can do meanwhile. */
export interface Job {
  readonly variant: string;
  /** Compiled tree of the variant. */
  readonly kernelDir: string;
  readonly setup: string;
  readonly advised: boolean;
  readonly first: string;
  /** Most calls that other tasks make. */
  readonly depth: number;
}

/** What a job came to. */
export interface Tally {
  /** Pairs of calls of which the second ran inside the first. */
  readonly pairs: number;
  readonly schedules: number;
  readonly blocked: number;
  readonly edge: number;
  /** Schedules cut short because another had come to the same point in the same state. */
  readonly same: number;
  readonly points: readonly string[];
  readonly found: readonly Found[];
}
