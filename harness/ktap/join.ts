// SPDX-License-Identifier: GPL-2.0-only
/** Joins the KTAP documents of processes that run side by side into one, in a fixed order, as their lines come. */
import { readClosingLine, type Tally } from "./document.js";
import { FailureList } from "./failures.js";
import type { Sink } from "./sink.js";

const HEAD = "KTAP version 1";
const TOTALS = /^# Totals: (.*)$/;
const RESULT = /^(not )?ok (\d+) /;

/** One process's document, as far as it has come. */
class Part {
  readonly name: string;
  /** Results that it announced; undefined until it has. */
  planned: number | undefined;
  /** Results that were written. */
  written = 0;
  /** Lines that wait for the parts before. */
  readonly waiting: string[] = [];
  closed = false;
  ended = false;

  constructor(name: string) {
    this.name = name;
  }
}

export class KtapJoin {
  /** What the parts came to. */
  readonly counts: Tally = { passed: 0, failed: 0, skipped: 0 };
  readonly failures = new FailureList();
  private readonly parts: readonly Part[];
  private readonly sink: Sink;
  private readonly totals = new Map<string, number>();
  /** The part whose lines go through. */
  private at = 0;
  private begun = false;
  /** Results of the parts before. */
  private offset = 0;

  constructor(names: readonly string[], sink: Sink) {
    this.parts = names.map((name) => new Part(name));
    this.sink = sink;
  }

  /** One line of a part's document. */
  line(index: number, text: string): void {
    const part = this.parts[index]!;
    if (part.planned === undefined) {
      const plan = /^1\.\.(\d+)$/.exec(text);
      if (plan !== null) part.planned = Number(plan[1]);
      else if (text !== HEAD) part.waiting.push(text);
      this.advance();
      return;
    }
    const closing = readClosingLine(text);
    if (closing !== undefined) {
      part.closed = true;
      this.counts.passed += closing.passed;
      this.counts.failed += closing.failed;
      this.counts.skipped += closing.skipped;
    } else part.waiting.push(text);
    this.advance();
  }

  /** A part's process has ended; `wrong` says how, if not as it should. */
  end(index: number, wrong: string | undefined): void {
    const part = this.parts[index]!;
    part.ended = true;
    part.planned ??= 1;
    if (!part.closed) {
      part.waiting.push(`# the selftests of ${part.name} did not end: ${wrong ?? "no closing line"}`);
      this.counts.failed++;
    } else if (wrong !== undefined && this.counts.failed === 0) {
      part.waiting.push(`# the selftests of ${part.name}: ${wrong}`);
      this.counts.failed++;
    }
    this.advance();
  }

  /** Writes what can be written now: nothing before all plans are known, a part's lines once those before are whole. */
  private advance(): void {
    if (!this.begun) {
      if (this.parts.some((part) => part.planned === undefined)) return;
      this.begun = true;
      this.sink.line(HEAD);
      this.sink.line(`1..${String(this.parts.reduce((sum, part) => sum + part.planned!, 0))}`);
    }
    for (; this.at < this.parts.length; this.at++) {
      const part = this.parts[this.at]!;
      for (const text of part.waiting.splice(0)) this.put(part, text);
      if (!part.ended) return;
      while (part.written < part.planned!) this.put(part, `not ok ${String(part.written + 1)} - ${part.name}, not run`);
      this.offset += part.planned!;
    }
    this.finish();
  }

  private put(part: Part, text: string): void {
    const totals = TOTALS.exec(text);
    if (totals !== null) {
      for (const pair of (totals[1] ?? "").split(" ")) {
        const [key = "", n = "0"] = pair.split(":");
        this.totals.set(key, (this.totals.get(key) ?? 0) + Number(n));
      }
      return;
    }
    const result = RESULT.exec(text);
    this.failures.line(text);
    if (result === null) {
      this.sink.line(text);
      return;
    }
    part.written++;
    const number = String(this.offset + Number(result[2]));
    this.sink.line(`${result[1] ?? ""}ok ${number} ${text.slice(result[0].length)}`);
  }

  private finish(): void {
    const words = [...this.totals].map(([key, n]) => `${key}:${String(n)}`);
    this.sink.line(`# Totals: ${words.join(" ")}`);
    this.totals.clear();
  }
}
