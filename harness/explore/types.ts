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
  /** The pasts of the calls under way and the state in which it was left: equal keys, equal futures. Empty if not asked for. */
  readonly key: string;
}

/**
 * How a run ended: all calls returned; an injected call would have slept until the task below it goes on, so the
 * schedule cannot be; the edge of the model; or something is wrong.
 */
export type Outcome = "done" | "blocked" | "edge" | "wrong";

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
  /** Are calls also started at points where another schedule has come to the same state? */
  readonly uncut: boolean;
}

/** What a job came to. */
export interface Tally {
  /** Pairs of calls of which the second ran inside the first. */
  readonly pairs: number;
  readonly schedules: number;
  readonly blocked: number;
  readonly edge: number;
  /** Points where no call was started, because another schedule had come to the same in the same state. */
  readonly same: number;
  readonly points: readonly string[];
  readonly found: readonly Found[];
}
