// SPDX-License-Identifier: GPL-2.0-only
/** What came of many attempts, added up so that parts can be added to one another in any order. */
import type { pin_failure } from "../../include/linux/pin_report.js";
import { attributionWords, failureKind, stepWords } from "../attribution.js";
import type { Attempt, Outcome } from "./scene.js";

/** Something worth showing, and the place of its attempt in the order of all. */
export interface Example {
  readonly at: number;
  readonly text: string;
}

/** Pins that came to the same end for the same kind of holder, and the first of them. */
export interface Attribution extends Example {
  readonly runs: number;
  readonly failure: pin_failure;
}

export interface Tally {
  readonly runs: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Why pins failed, in words, and how many. */
  readonly reasons: Readonly<Record<string, number>>;
  /** By how pins ended that did not succeed, and who was in the way. */
  readonly attributed: Readonly<Record<string, Attribution>>;
  /** Invariants broken after an attempt, and guests that could not be mapped once nothing was in the way. */
  readonly broken: number;
  /** Attempts that ended otherwise than their pages do one by one. */
  readonly surprises: number;
  /** By "surprises" and "broken": the first few. */
  readonly examples: Readonly<Record<string, readonly Example[]>>;
  /** By what was in the way: attempts with it, and how many of them succeeded. */
  readonly causes: Readonly<Record<string, { readonly runs: number; readonly succeeded: number }>>;
}

const MOST_EXAMPLES = 3;

export const OUTCOMES: readonly Outcome[] = ["succeeds", "fails", "loops", "sleeps"];

export const NOTHING: Tally = {
  runs: 0,
  outcomes: { succeeds: 0, fails: 0, loops: 0, sleeps: 0 },
  reasons: {},
  attributed: {},
  broken: 0,
  surprises: 0,
  examples: {},
  causes: {},
};

function merged<T>(
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
  sum: (x: T, y: T) => T,
): Record<string, T> {
  const all = new Map(Object.entries(a));
  for (const [key, value] of Object.entries(b)) {
    const there = all.get(key);
    all.set(key, there === undefined ? value : sum(there, value));
  }
  return Object.fromEntries([...all].sort(([x], [y]) => (x < y ? -1 : 1)));
}

const firstOf = (a: readonly Example[], b: readonly Example[]): Example[] =>
  [...a, ...b].sort((x, y) => x.at - y.at || (x.text < y.text ? -1 : 1)).slice(0, MOST_EXAMPLES);

function both(a: Attribution, b: Attribution): Attribution {
  return { ...(a.at <= b.at ? a : b), runs: a.runs + b.runs };
}

export function addTallies(a: Tally, b: Tally): Tally {
  return {
    runs: a.runs + b.runs,
    outcomes: {
      succeeds: a.outcomes.succeeds + b.outcomes.succeeds,
      fails: a.outcomes.fails + b.outcomes.fails,
      loops: a.outcomes.loops + b.outcomes.loops,
      sleeps: a.outcomes.sleeps + b.outcomes.sleeps,
    },
    reasons: merged(a.reasons, b.reasons, (x, y) => x + y),
    attributed: merged(a.attributed, b.attributed, both),
    broken: a.broken + b.broken,
    surprises: a.surprises + b.surprises,
    examples: merged(a.examples, b.examples, firstOf),
    causes: merged(a.causes, b.causes, (x, y) => ({ runs: x.runs + y.runs, succeeded: x.succeeded + y.succeeded })),
  };
}

/** Why an attempt failed. */
export function reasonOf({ failure, ret }: Attempt): string {
  return failure === null ? `errno ${String(-ret)}` : stepWords(failure);
}

/** Adds up attempts as they are made. */
export class TallyBuilder {
  private readonly outcomes = { succeeds: 0, fails: 0, loops: 0, sleeps: 0 };
  private readonly reasons = new Map<string, number>();
  private readonly attributed = new Map<string, Attribution>();
  private readonly causes = new Map<string, { runs: number; succeeded: number }>();
  private readonly examples = new Map<string, Example[]>();
  private runs = 0;
  private broken = 0;
  private surprises = 0;

  /** `at`: the attempt's place in the order of all; `causes`: what was in the way, each once. */
  attempt(a: Attempt, at: number, causes: Iterable<string>): void {
    this.runs++;
    if (a.failure !== null) this.attribute(a, a.failure, at);
    this.outcomes[a.outcome]++;
    if (a.outcome === "fails") {
      const reason = reasonOf(a);
      this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    }
    for (const cause of causes) {
      const c = this.causes.get(cause) ?? { runs: 0, succeeded: 0 };
      this.causes.set(cause, c);
      c.runs++;
      if (a.outcome === "succeeds") c.succeeded++;
    }
  }

  private attribute({ outcome, ret }: Attempt, failure: pin_failure, at: number): void {
    const key = `${outcome}: ${failureKind(failure)}`;
    const there = this.attributed.get(key) ?? { runs: 0, at, text: attributionWords(failure, ret), failure };
    this.attributed.set(key, { ...there, runs: there.runs + 1 });
  }

  breaks(at: number, text: () => string): void {
    this.broken++;
    this.example("broken", at, text);
  }

  surprise(at: number, text: () => string): void {
    this.surprises++;
    this.example("surprises", at, text);
  }

  private example(kind: string, at: number, text: () => string): void {
    const list = this.examples.get(kind) ?? [];
    this.examples.set(kind, list);
    if (list.length < MOST_EXAMPLES) list.push({ at, text: text() });
  }

  /** What has been added up, with keys in their order. */
  get tally(): Tally {
    const { runs, outcomes, broken, surprises } = this;
    const reasons = Object.fromEntries(this.reasons);
    const attributed = Object.fromEntries(this.attributed);
    const causes = Object.fromEntries(this.causes);
    const examples = Object.fromEntries(this.examples);
    return addTallies(NOTHING, { runs, outcomes, reasons, attributed, broken, surprises, examples, causes });
  }
}
