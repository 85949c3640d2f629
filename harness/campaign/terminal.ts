// SPDX-License-Identifier: GPL-2.0-only
/** A campaign's report in words and tables, 80 columns wide. */
import { proportion } from "../evaluate/stats.js";
import type { Table } from "../evaluate/tables.js";
import { table, wrap } from "../evaluate/terminal.js";
import type { CampaignPart, CampaignReport, SinglePages } from "./report.js";
import { CAUSES, DURATIONS } from "./schedule.js";
import { OUTCOMES } from "./tally.js";

const LETTER = { succeeds: "+", fails: "F", loops: "L", sleeps: "S" } as const;

function durationTable(single: SinglePages): Table {
  const head = ["attempts", ...DURATIONS.map((n) => (n === Infinity ? "ever" : String(n)))];
  const rows = CAUSES.map(({ kind, title }) => {
    const outcomes = single.causes[kind]!.map((outcome) => LETTER[outcome]);
    return [title, ...(outcomes.length === 1 ? [outcomes[0]!] : outcomes)];
  });
  return { head, rows, numeric: DURATIONS.map((_, n) => n + 1) };
}

/** Uses with the same outcomes share a table. */
function singleTables(report: CampaignReport): string[] {
  const groups = new Map<string, SinglePages[]>();
  for (const single of report.singles) {
    const { use: _, ...same } = single;
    const key = JSON.stringify(same);
    groups.set(key, [...(groups.get(key) ?? []), single]);
  }
  const title = (use: string): string => report.parts.find((part) => part.use === use)?.title ?? use;
  return [...groups.values()].flatMap((group) => {
    const [one] = group;
    const words = `Nothing in the way: a pin of a guest in use ${one!.used}, of one only just populated ${one!.fresh}.`;
    return [
      "",
      wrap(`${group.map((s) => title(s.use)).join("; ")}:`, "  ", "  "),
      table(durationTable(one!)),
      wrap(words, "  ", "  "),
    ];
  });
}

function outcomeTable(report: CampaignReport): Table {
  const random = report.kind === "random";
  const rows = report.parts.map((part: CampaignPart) => {
    const { runs, outcomes } = part.tally;
    const p = proportion(outcomes.succeeds, Math.max(1, runs));
    const at = (x: number): string => (100 * x).toFixed(1);
    const success = runs === 0 ? "-" : `${at(outcomes.succeeds / runs)}%`;
    const interval = random && runs > 0 ? [`[${at(p.low)}-${at(p.high)}]`] : [];
    return [
      part.title,
      String(part.pages),
      String(runs),
      ...OUTCOMES.map((o) => String(outcomes[o])),
      success,
      ...interval,
    ];
  });
  const head = ["use", "pages", random ? "seeds" : "schedules", "succeed", "fail", "loop", "sleep", "success"];
  return { head: random ? [...head, "95 %"] : head, rows, numeric: [1, 2, 3, 4, 5, 6, 7, 8] };
}

function causeTable(report: CampaignReport): Table {
  const rows = CAUSES.map(({ kind, title }) => [
    title,
    ...report.parts.map(({ tally }) => {
      const cause = tally.causes[kind];
      return cause === undefined ? "-" : `${((100 * cause.succeeded) / cause.runs).toFixed(1)}%`;
    }),
  ]);
  return {
    head: ["in the way", ...report.parts.map((part) => part.use)],
    rows,
    numeric: report.parts.map((_, n) => n + 1),
  };
}

function reasonTable(report: CampaignReport): Table {
  const rows = report.parts.flatMap((part) =>
    Object.entries(part.tally.reasons)
      .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
      .slice(0, 5)
      .map(([reason, n]) => [part.use, String(part.pages), reason, String(n)]),
  );
  return { head: ["use", "pages", "why pins failed", "pins"], rows, numeric: [1, 3] };
}

/** Who was in the way: a line for each kind of end and holder, with one pin that came to it. */
function attributionLines(report: CampaignReport): string[] {
  const all = new Map<string, { runs: number; text: string }>();
  for (const { tally } of report.parts) {
    for (const [key, { runs, text }] of Object.entries(tally.attributed)) {
      const there = all.get(key);
      all.set(key, { runs: runs + (there?.runs ?? 0), text: there?.text ?? text });
    }
  }
  const sorted = [...all].sort(([a, x], [b, y]) => y.runs - x.runs || (a < b ? -1 : 1));
  return sorted.flatMap(([key, { runs, text }]) => [
    wrap(`${key}: ${String(runs)} ${runs === 1 ? "pin" : "pins"}, as`, "  ", "    "),
    wrap(text, "    ", "    "),
  ]);
}

function exampleLines(report: CampaignReport): string[] {
  return report.parts.flatMap((part) => {
    const { surprises, broken, examples } = part.tally;
    const lines: string[] = [];
    const say = (n: number, what: string, kind: string): void => {
      if (n === 0) return;
      lines.push(wrap(`${part.title}, ${String(part.pages)} pages: ${String(n)} ${what}, as`, "  ", "    "));
      for (const one of examples[kind] ?? []) lines.push(wrap(one.text, "    ", "      "));
    };
    say(broken, "attempts broke something", "broken");
    say(surprises, "schedules end otherwise than their pages do alone", "surprises");
    return lines;
  });
}

/** The report as the program prints it. */
export function campaignTerminal(report: CampaignReport): string {
  const { index, count } = report.shard;
  const whole = count === 1 ? "" : ` (shard ${String(index)} of ${String(count)})`;
  const out = [
    report.kind === "random"
      ? `Pins of a 64 MiB guest under random faults, seed ${String(report.seed)}${whole}`
      : `Pins of a small guest under every schedule of faults${whole}`,
  ];
  if (report.singles.length > 0) {
    out.push(
      "  One page, by what is in its way and for how many attempts at it. +: the pin",
      "  succeeds; F: it fails; L: it goes round for ever; S: it sleeps for ever",
      ...singleTables(report),
    );
  }
  out.push("", "All of them", table(outcomeTable(report)));
  if (report.kind === "random") out.push("", "Pins that succeed, by what was in the way", table(causeTable(report)));
  out.push("", "Why pins fail", table(reasonTable(report)));
  out.push(
    "",
    "Who was in the way, and of one pin each the page, its holder and the call",
    ...attributionLines(report),
  );
  const examples = exampleLines(report);
  if (examples.length > 0) out.push("", "To look at", ...examples);
  return `${out.join("\n")}\n`;
}
