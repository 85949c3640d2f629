// SPDX-License-Identifier: GPL-2.0-only
/** reports/evaluation.md: the report for people who read it in a browser or a mail. */
import { markdownTable } from "markdown-table";
import type { Report, Sentence } from "./report.js";
import type { Table } from "./tables.js";
import {
  coverageTable,
  differenceTable,
  failureExamples,
  failureTable,
  patchWords,
  placementTable,
  SWEEP_LEGEND,
  sweepTables,
} from "./tables.js";

/** A table of Markdown. */
export function table(t: Table): string {
  if (t.rows.length === 0) return "none\n";
  const escape = (s: string): string => s.replaceAll("|", "\\|");
  const align = t.head.map((_, i) => (t.numeric.includes(i) ? "r" : "l"));
  return `${markdownTable([[...t.head], ...t.rows.map((row) => row.map(escape))], { align })}\n`;
}

function sentences(list: readonly Sentence[], kind: Sentence["kind"], title: string): string {
  const of = list.filter((s) => s.kind === kind);
  if (of.length === 0) return "";
  return `${title}\n\n${of.map((s) => `- ${s.text} (${s.restsOn})`).join("\n")}\n\n`;
}

function selftestSection(r: Report): string {
  if (r.selftests === null) return "Not run.\n";
  const counts = r.selftests.summary.map(
    (s) =>
      `- ${s.variant}: ${String(s.passed)} passed, ${String(s.failed)} failed, ${String(s.expectedFailures)} failed as declared, ${String(s.skipped)} skipped`,
  );
  return `${counts.join("\n")}\n\nTests whose result differs between base and patch:\n\n${table(differenceTable(r))}`;
}

/** The whole report as Markdown. */
export function reportMarkdown(r: Report): string {
  const damage =
    r.patch.damage.length === 0 ? "" : `\nDamaged on the way, and repaired: ${r.patch.damage.join("; ")}.\n`;
  return [
    `# ${r.patch.subject ?? r.patch.file}\n`,
    `${patchWords(r.patch)}.${damage}`,
    `Host: ${r.host.description}. Guest: ${r.workload.file}, ${String(r.workload.guestMiB)} MiB. Seed ${String(r.seed)}.\n`,
    `## Verdict\n\n**${r.verdict.headline}**\n`,
    sentences(r.verdict.sentences, "claim", "What holds:") +
      sentences(r.verdict.sentences, "against", "What speaks against it:") +
      sentences(r.verdict.sentences, "note", "Also:"),
    `## Where the guest's memory lands\n\n${table(placementTable(r))}`,
    `## Pinning the guest for DMA under injected failures\n\nPins of the whole guest that succeed, with the 95 % interval: ${SWEEP_LEGEND}\n\n${sweepTables(r).map(table).join("\n")}`,
    `What failed first:\n\n${table(failureTable(r))}`,
    ...failureExamples(r).map(({ text }) => `- ${text}\n`),
    `## Selftests\n\n${selftestSection(r)}`,
    `## The patch's own lines\n\n${r.coverage === null ? "Not measured.\n" : table(coverageTable(r))}`,
  ].join("\n");
}
