// SPDX-License-Identifier: GPL-2.0-only
/** What the selftests say when base and patch are put side by side. */
import { isDeepStrictEqual } from "node:util";
import type { SelftestResult } from "../runner/selftests.js";
import type { Finding, SelftestReport, SelftestSummary, TestDifference } from "./report.js";

const failed = (r: SelftestResult): boolean => r.outcome === "fail" || r.outcome === "xfail";

function kindOf(base: SelftestResult, patch: SelftestResult): TestDifference["kind"] | null {
  if (base.outcome === "skip") return patch.outcome === "skip" ? null : "new";
  if (patch.outcome === "skip") return null;
  if (failed(base) && !failed(patch)) return "fixed";
  if (!failed(base) && failed(patch)) return "broken";
  return isDeepStrictEqual(base.observations, patch.observations) ? null : "changed";
}

/** The first observation that differs, in words. */
function observed(mine: SelftestResult, other: SelftestResult): string {
  for (const [key, value] of Object.entries(mine.observations)) {
    if (!isDeepStrictEqual(value, other.observations[key])) return `${key} ${JSON.stringify(value)}`;
  }
  return mine.outcome;
}

function inWords(r: SelftestResult, other: SelftestResult, kind: TestDifference["kind"]): string {
  if (kind === "changed") return observed(r, other);
  return failed(r)
    ? `fails: ${r.reason === "" ? r.message : r.reason}`
    : r.outcome === "skip"
      ? "does not apply"
      : "passes";
}

function summaryOf(variant: string, results: readonly SelftestResult[]): SelftestSummary {
  const count = (outcome: SelftestResult["outcome"]): number => results.filter((r) => r.outcome === outcome).length;
  return {
    variant,
    passed: count("pass"),
    failed: count("fail"),
    expectedFailures: count("xfail"),
    skipped: count("skip"),
  };
}

function findingsOf(pairs: readonly (readonly [SelftestResult | undefined, SelftestResult])[]): Finding[] {
  const found = new Map<string, { text: string; tests: string[]; onBase: boolean }>();
  for (const [base, patch] of pairs) {
    if (!failed(patch)) continue;
    const said = patch.reason === "" ? patch.message : patch.reason;
    // What an assertion says is clear only beside the name of its test.
    const text = patch.reason === "" ? `${patch.title}: ${patch.message}` : patch.reason;
    const entry = found.get(said) ?? { text, tests: [], onBase: true };
    entry.tests.push(patch.title);
    entry.onBase &&= base !== undefined && failed(base);
    found.set(said, entry);
  }
  return [...found.values()];
}

/** Puts the results of two variants side by side. */
export function compareSelftests(results: readonly SelftestResult[], base: string, patch: string): SelftestReport {
  const of = (variant: string): SelftestResult[] => results.filter((r) => r.variant === variant);
  const bases = new Map(of(base).map((r) => [`${r.file}\0${r.title}`, r]));
  const pairs = of(patch).map((r) => [bases.get(`${r.file}\0${r.title}`), r] as const);
  const differences: TestDifference[] = [];
  for (const [b, p] of pairs) {
    const kind = b === undefined ? null : kindOf(b, p);
    if (b === undefined || kind === null) continue;
    const reason = failed(p) ? p.reason : failed(b) ? b.reason : "";
    differences.push({ kind, test: p.title, base: inWords(b, p, kind), patch: inWords(p, b, kind), reason });
  }
  return {
    summary: [summaryOf(base, of(base)), summaryOf(patch, of(patch))],
    differences,
    findings: findingsOf(pairs),
  };
}
