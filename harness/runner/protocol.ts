// SPDX-License-Identifier: GPL-2.0-only
/** What a process that runs selftests and the one that started it tell each other. */
import type { Outcome } from "../ktap/outcome.js";
import type { LineReport } from "../variants/coverage.js";
import type { VariantSpec } from "../variants/spec.js";

export interface SelftestId {
  /** Source file, as a path from the project's top. */
  readonly file: string;
  /** The names of its suites and its own, without the variant. */
  readonly title: string;
  readonly variant: string;
}

export interface SelftestResult extends SelftestId {
  readonly outcome: Outcome;
  /** Why it was skipped or was expected to fail; empty otherwise. */
  readonly reason: string;
  /** What failed, in one line; empty unless the outcome is "fail". */
  readonly message: string;
  readonly observations: Readonly<Record<string, unknown>>;
  readonly ms: number;
}

/** What a child is to do. */
export interface Task {
  readonly variants: readonly string[];
  /** What the variant called "patch" is, where it is not the one under review; its lines are counted. */
  readonly patch: VariantSpec | null;
  readonly grep: string | null;
  /** Compiled test files. */
  readonly files: readonly string[];
}

export type Message =
  | { readonly kind: "plan"; readonly tests: readonly SelftestId[] }
  | { readonly kind: "results"; readonly results: readonly SelftestResult[] }
  | { readonly kind: "lines"; readonly lines: readonly LineReport[] }
  | { readonly kind: "error"; readonly name: string; readonly message: string };
