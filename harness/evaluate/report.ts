// SPDX-License-Identifier: GPL-2.0-only
/** What an evaluation finds, as it stands in reports/evaluation.json. */
import type { pin_failure } from "../../include/linux/pin_report.js";
import type { Cell } from "./cells.js";
import type { Proportion } from "./stats.js";

export const REPORT_FORMAT = "patchproof-evaluation/1";

/** One way of running the guest: a variant of the tree, and what its user does with the advice. */
export interface Use {
  readonly id: string;
  readonly variant: string;
  readonly advice: "none" | "after-mmap" | "after-populate";
  /** "patch, guest memory advised right after its mmap" */
  readonly title: string;
}

/** Where the guest's memory landed. */
export interface Placement {
  readonly use: string;
  /** Pages of the guest; of those, resident; of those, in pages that a long-term pin must migrate away. */
  readonly guestPages: number;
  readonly populated: number;
  readonly inCma: number;
  readonly inZoneMovable: number;
  /** What the advice returned: 0, an errno's name, or null where it was not given. */
  readonly advice: string | null;
  /** The OOM killer ended the guest. */
  readonly killed: boolean;
  readonly callsReplayed: number;
  readonly callsSkipped: number;
}

/** What a failed pin met first. */
export interface FirstFailure {
  readonly what: string;
  readonly count: number;
  /** The first of these pins: why it failed, in words and as the model noted it; null where it noted nothing. */
  readonly example: { readonly text: string; readonly failure: pin_failure } | null;
}

export interface CellResult extends Cell {
  readonly use: string;
  /** Pages that were held: `references`, or fewer where the guest has no more that must move. */
  readonly held: number;
  /** Pins of the whole guest that succeeded; its interval is 0 wide where nothing was random. */
  readonly success: Proportion;
  /** Does anything random decide this cell's trials? */
  readonly random: boolean;
  /** Mean pages migrated a trial. */
  readonly migrated: number;
  /** Mean pages still unpinnable after the pin. */
  readonly left: number;
  /** What ended the failed pins, most frequent first. */
  readonly failures: readonly FirstFailure[];
}

export interface TestDifference {
  readonly kind: "fixed" | "broken" | "changed" | "new";
  readonly test: string;
  readonly base: string;
  readonly patch: string;
  readonly reason: string;
}

/** A test that fails on the patch as declared: what it found, in the words of the declaration. */
export interface Finding {
  readonly text: string;
  /** The tests that show it. */
  readonly tests: readonly string[];
  /** Do they fail on base too? Then the patch has not brought it, but has not mended it either. */
  readonly onBase: boolean;
}

export interface SelftestReport {
  readonly summary: readonly SelftestSummary[];
  readonly differences: readonly TestDifference[];
  readonly findings: readonly Finding[];
}

export interface SelftestSummary {
  readonly variant: string;
  readonly passed: number;
  readonly failed: number;
  readonly expectedFailures: number;
  readonly skipped: number;
}

export interface LineCoverage {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  /** "reached", "unreached", "at load" or "not executable" */
  readonly state: string;
  readonly tests: number;
  readonly first: string | null;
}

export interface Sentence {
  readonly kind: "claim" | "against" | "note";
  readonly text: string;
  /** Where it comes from: sections of this report. */
  readonly restsOn: string;
}

export interface Report {
  readonly format: typeof REPORT_FORMAT;
  readonly patch: {
    readonly file: string;
    readonly form: string;
    readonly subject: string | null;
    readonly damage: readonly string[];
    /** Files of the patch that are no code (documentation, tools), left aside. */
    readonly aside: readonly string[];
    readonly port: string;
    readonly addedLines: number;
  };
  readonly host: { readonly description: string; readonly memoryMiB: number; readonly cmaMiB: number };
  readonly workload: { readonly file: string; readonly calls: number; readonly guestMiB: number };
  readonly seed: number;
  readonly placement: readonly Placement[];
  readonly uses: readonly Use[];
  readonly cells: readonly CellResult[];
  readonly selftests: SelftestReport | null;
  readonly coverage: readonly LineCoverage[] | null;
  readonly verdict: { readonly headline: string; readonly sentences: readonly Sentence[] };
}
