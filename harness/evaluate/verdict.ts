// SPDX-License-Identifier: GPL-2.0-only
/** The verdict: words that follow from the numbers of a report, and from nothing else. */
import { describeCell } from "./cells.js";
import type { CellResult, Finding, LineCoverage, Placement, Report, Sentence, Use } from "./report.js";

type Evidence = Pick<Report, "uses" | "placement" | "cells" | "selftests" | "coverage">;

function placementOf(e: Evidence, use: Use): Placement | undefined {
  return e.placement.find((p) => p.use === use.id);
}

function unpinnable(p: Placement): number {
  return p.inCma + p.inZoneMovable;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "0 %" : `${((100 * part) / whole).toFixed(1)} %`;
}

function cellsOf(e: Evidence, use: Use): CellResult[] {
  return e.cells.filter((c) => c.use === use.id);
}

function failing(cells: readonly CellResult[]): CellResult[] {
  return cells.filter((c) => c.success.successes < c.success.trials);
}

function placementSentence(e: Evidence, base: Use, use: Use): Sentence | null {
  const was = placementOf(e, base);
  const is = placementOf(e, use);
  if (was === undefined || is === undefined) return null;
  const before = unpinnable(was);
  const after = unpinnable(is);
  const kept = `${String(after)} of ${String(is.guestPages)} guest pages lie in CMA or ZONE_MOVABLE (base: ${String(before)}, ${percent(before, was.guestPages)})`;
  if (is.killed) {
    return {
      kind: "against",
      text: `${use.title}: the OOM killer ends the guest while it is populated.`,
      restsOn: "placement",
    };
  }
  if (use.advice === "none") {
    return { kind: after > before ? "against" : "note", text: `${use.title}: ${kept}.`, restsOn: "placement" };
  }
  const holds = after === 0 && before > 0;
  return {
    kind: holds ? "claim" : after < before ? "note" : "against",
    text: `${use.title}: ${kept}.`,
    restsOn: "placement",
  };
}

function pinSentence(e: Evidence, base: Use, use: Use): Sentence | null {
  const was = failing(cellsOf(e, base));
  const cells = cellsOf(e, use);
  if (cells.length === 0) return null;
  const now = failing(cells);
  const of = `${String(cells.length)} cells of the sweep`;
  if (now.length === 0) {
    const text =
      was.length === 0
        ? `${use.title}: every pin succeeds in all ${of}, and so it does on base: this host does not show the problem.`
        : `${use.title}: every pin succeeds in all ${of}; on base, ${String(was.length)} cells have pins that fail.`;
    return { kind: was.length === 0 ? "note" : "claim", text, restsOn: "sweep" };
  }
  const worst = now.reduce((a, b) =>
    b.success.successes / b.success.trials < a.success.successes / a.success.trials ? b : a,
  );
  const rate = percent(worst.success.successes, worst.success.trials);
  const worse = now.length > was.length;
  return {
    kind: use.advice === "none" && !worse ? "note" : "against",
    text: `${use.title}: pins fail in ${String(now.length)} of ${of} (base: ${String(was.length)}); worst: ${rate} succeed where ${describeCell(worst)}.`,
    restsOn: "sweep",
  };
}

function testSentences(findings: readonly Finding[]): Sentence[] {
  return findings.map((f) => {
    const tests = f.tests.length === 1 ? "1 test" : `${String(f.tests.length)} tests`;
    const where = f.onBase ? "as on base" : "not on base";
    return { kind: "against", text: `${f.text} (${tests}, ${where}).`, restsOn: "selftests" };
  });
}

function coverageSentence(coverage: readonly LineCoverage[]): Sentence {
  const executable = coverage.filter((l) => l.state !== "not executable");
  const missed = executable.filter((l) => l.state === "unreached");
  if (missed.length === 0) {
    return {
      kind: "note",
      text: `The selftests reach every one of the ${String(executable.length)} added lines that can run.`,
      restsOn: "coverage",
    };
  }
  const names = missed.map((l) => `${l.file}:${String(l.line)}`).join(", ");
  return {
    kind: "against",
    text: `No selftest reaches ${names}: nothing here speaks for those lines.`,
    restsOn: "coverage",
  };
}

function headline(sentences: readonly Sentence[], uses: readonly Use[], brought: number): string {
  const claims = sentences.filter((s) => s.kind === "claim").length;
  const against = sentences.filter((s) => s.kind === "against").length;
  const advised = uses.some((u) => u.advice === "after-mmap");
  if (!advised) return "The advice was not used in this run: nothing is said about what it claims.";
  const findings = against === 1 ? "1 finding speaks against it" : `${String(against)} findings speak against it`;
  const things = brought === 0 ? findings : `${findings}, ${String(brought)} of them brought by the patch`;
  if (claims === 0) return `The patch does not do what its message claims on this host; ${things}.`;
  if (against === 0) return "The patch does what its message claims on this host, and nothing found speaks against it.";
  return `The patch does what its message claims when the advice comes before the memory is populated; ${things}.`;
}

/** Draws the verdict from the evidence of a run. */
export function drawVerdict(e: Evidence): Report["verdict"] {
  const sentences: Sentence[] = [];
  const base = e.uses.find((u) => u.id === "base");
  for (const use of e.uses) {
    if (base === undefined || use === base) continue;
    for (const s of [placementSentence(e, base, use), pinSentence(e, base, use)]) if (s !== null) sentences.push(s);
  }
  if (e.selftests !== null) sentences.push(...testSentences(e.selftests.findings));
  if (e.coverage !== null) sentences.push(coverageSentence(e.coverage));
  const brought = e.selftests?.findings.filter((f) => !f.onBase).length ?? 0;
  return { headline: headline(sentences, e.uses, brought), sentences };
}
