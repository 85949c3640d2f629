// SPDX-License-Identifier: GPL-2.0-only
/** The report in words: for a terminal, and as Markdown. */
import { table as markdownTable } from "../evaluate/markdown.js";
import type { Table } from "../evaluate/tables.js";
import { table as terminalTable, wrap } from "../evaluate/terminal.js";
import { colours } from "../output.js";
import type { ExploreReport, VariantReport } from "./report.js";
import { scheduleText } from "./schedule.js";
import { findSetup } from "./setups.js";
import type { Event, Found, Schedule } from "./types.js";

const LEGEND =
  "pairs: (call, call of another task while the first sleeps) that ran; schedules: all runs; waits: an injected call has to wait for the one that sleeps, so it runs later, as another schedule; same: points at which no other call was started, since another schedule had come to one in the same state; refused: not modelled; wrong: come to a finding";

function reportTable(r: ExploreReport): Table {
  const rows = r.variants.flatMap(({ variant, setups }) =>
    setups.map((s) => [
      variant,
      `${s.setup}${s.advised ? "+advice" : ""}`,
      ...[s.pairs, s.schedules, s.blocked, s.same, s.edge, s.wrong].map(String),
    ]),
  );
  const head = ["variant", "set-up", "pairs", "schedules", "waits", "same", "refused", "wrong"];
  return { head, rows, numeric: [2, 3, 4, 5, 6, 7] };
}

function title(found: Found): string {
  const where = found.where.length === 0 ? "" : `, in ${found.where.join(", called by ")}`;
  return `${found.kind}: ${found.what}${where}`;
}

function setupWords(s: Schedule): string {
  return `${findSetup(s.setup)!.words}${s.advised ? ", advised" : ""}`;
}

/** What happened, a line each, others' calls further in. */
export function eventLines(events: readonly Event[]): string[] {
  return events.map(({ depth, task, text }) => `${"  ".repeat(depth)}${task}: ${text}`);
}

function reproducer(variant: string, s: Schedule): string {
  return `patchproof explore --variants ${variant} --schedule '${scheduleText(s)}'`;
}

function verdict({ variant, setups, found }: VariantReport): string {
  const schedules = setups.reduce((n, s) => n + s.schedules, 0);
  const what = found.length === 0 ? "nothing is wrong" : `${String(found.length)} findings`;
  return `${variant}: ${what} in ${String(schedules)} schedules`;
}

function intro(r: ExploreReport): string {
  const others = r.depth === 1 ? "a call of another task" : `up to ${String(r.depth)} calls of other tasks`;
  return `Interleavings: a call, and ${others} at the yield points that are met`;
}

function foundTerminal(variant: string, found: Found, n: number): string[] {
  return [
    wrap(title(found), `  ${String(n)}.`, "     "),
    `     shortest of ${String(found.schedules)} schedules; ${setupWords(found.shortest)}:`,
    ...eventLines(found.events).map((line) => `       ${line}`),
    `     ${colours().dim(reproducer(variant, found.shortest))}`,
  ];
}

export function exploreTerminal(r: ExploreReport): string {
  const found = r.variants.flatMap((v) => [
    colours().bold(verdict(v)),
    ...v.found.flatMap((one, i) => foundTerminal(v.variant, one, i + 1)),
  ]);
  const parts = [colours().bold(wrap(intro(r), "", "  ").trimStart()), wrap(LEGEND, "  ", "  ")];
  return [...parts, terminalTable(reportTable(r)), "", ...found, ""].join("\n");
}

function foundMarkdown(variant: string, found: Found): string {
  const lines = eventLines(found.events).join("\n");
  return [
    `### ${title(found)}\n`,
    `Shortest of ${String(found.schedules)} schedules; ${setupWords(found.shortest)}:\n`,
    `\`\`\`text\n${lines}\n\`\`\`\n`,
    `\`${reproducer(variant, found.shortest)}\`\n`,
  ].join("\n");
}

export function exploreMarkdown(r: ExploreReport): string {
  const variants = r.variants.flatMap((v) => [
    `## ${verdict(v)}\n`,
    `Yield points met: ${v.points.join(", ")}.\n`,
    ...v.found.map((found) => foundMarkdown(v.variant, found)),
  ]);
  return [`# ${intro(r)}\n`, markdownTable(reportTable(r)), `${LEGEND}.\n`, ...variants].join("\n");
}
