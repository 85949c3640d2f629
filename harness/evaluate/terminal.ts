// SPDX-License-Identifier: GPL-2.0-only
/** The report as `npm run evaluate` prints it: 80 columns, colour only where the terminal takes it. */
import Table3 from "cli-table3";
import { colours, type Colours } from "../output.js";
import type { Report, Sentence } from "./report.js";
import type { Table } from "./tables.js";
import { failureExamples, failureTable, patchWords, placementTable, SWEEP_LEGEND, sweepTables } from "./tables.js";

const WIDTH = 80;
const NONE = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "  ",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

/** A table without lines, indented by two. */
export function table(t: Table): string {
  const colAligns = t.head.map((_, i) => (t.numeric.includes(i) ? ("right" as const) : ("left" as const)));
  const out = new Table3({
    chars: NONE,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
    colAligns,
  });
  const c = colours();
  out.push(
    t.head.map((h) => c.dim(h)),
    ...t.rows.map((row) => [...row]),
  );
  return out.toString().replaceAll(/ +$/gm, "");
}

/** Breaks a text into lines that fit, indented after the first. */
export function wrap(text: string, first: string, indent: string): string {
  const lines: string[] = [];
  let line = first;
  for (const word of text.split(" ")) {
    if (line.trim() !== "" && line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = indent;
    }
    line += line.endsWith(" ") ? word : ` ${word}`;
  }
  return [...lines, line].join("\n");
}

const MARKS: Record<Sentence["kind"], (c: Colours) => string> = {
  claim: (c) => c.green("holds  "),
  against: (c) => c.red("against"),
  note: (c) => c.dim("note   "),
};

function sentence(s: Sentence): string {
  return wrap(s.text, "          ", "          ").replace("          ", `  ${MARKS[s.kind](colours())} `);
}

/** The whole report for a terminal. */
export function reportTerminal(r: Report): string {
  const order = (kind: Sentence["kind"]): Sentence[] => r.verdict.sentences.filter((s) => s.kind === kind);
  const parts = [
    colours().bold(r.patch.subject ?? r.patch.file),
    wrap(patchWords(r.patch), "  ", "  "),
    ...r.patch.damage.map((d) => wrap(`repaired: ${d}`, "  ", "  ")),
    wrap(
      `host: ${r.host.description}; guest: ${r.workload.file}, ${String(r.workload.guestMiB)} MiB; seed ${String(r.seed)}`,
      "  ",
      "  ",
    ),
    "",
    colours().bold("Where the guest's memory lands"),
    table(placementTable(r)),
    "",
    colours().bold("Pinning all of it for DMA: pins that succeed, with the 95 % interval"),
    wrap(SWEEP_LEGEND, "  ", "  "),
    ...sweepTables(r).map(table),
    "",
    ...(r.cells.some((c) => c.failures.length > 0)
      ? [colours().bold("What failed first"), table(failureTable(r)), ...exampleLines(r), ""]
      : []),
    ...selftestLines(r),
    ...coverageLines(r),
    colours().bold(wrap(`Verdict: ${r.verdict.headline}`, "", "  ").trimStart()),
    ...[...order("claim"), ...order("against"), ...order("note")].map(sentence),
    "",
  ];
  return parts.join("\n");
}

/** One pin for each way to fail. */
function exampleLines(r: Report): string[] {
  return ["", "  as in", ...failureExamples(r).map(({ text }) => wrap(text, "  - ", "    "))];
}

function selftestLines(r: Report): string[] {
  if (r.selftests === null) return [];
  const lines = r.selftests.summary.map(
    (s) =>
      `  ${s.variant}: ${String(s.passed)} passed, ${String(s.failed)} failed, ${String(s.expectedFailures)} failed as declared, ${String(s.skipped)} skipped`,
  );
  const kinds = ["fixed", "broken", "changed", "new"] as const;
  const counts = kinds.map(
    (kind) => `${String(r.selftests!.differences.filter((d) => d.kind === kind).length)} ${kind}`,
  );
  return [colours().bold("Selftests"), ...lines, `  base against patch: ${counts.join(", ")}`, ""];
}

function coverageLines(r: Report): string[] {
  if (r.coverage === null) return [];
  const can = r.coverage.filter((l) => l.state !== "not executable");
  const missed = can.filter((l) => l.state === "unreached");
  return [
    colours().bold("The patch's own lines"),
    `  ${String(can.length - missed.length)} of ${String(can.length)} added lines that can run are reached`,
    ...missed.map((l) => `  not reached: ${l.file}:${String(l.line)}  ${l.text.trim()}`),
    "",
  ];
}
