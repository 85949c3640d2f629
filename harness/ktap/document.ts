// SPDX-License-Identifier: GPL-2.0-only
/** A KTAP version 1 document, written line by line: plans, nested blocks, results, comments (Documentation/dev-tools/ktap.rst). */
import type { Outcome } from "./outcome.js";
import type { Sink } from "./sink.js";

/** What a closing line says. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export interface Counts extends Tally {
  xfailed: number;
}

interface Block {
  name: string;
  planned: number;
  /** Results written so far. */
  written: number;
  failed: boolean;
  skipped: number;
}

/** Text on one line without a `#`, which begins a directive. */
function flatten(text: string): string {
  return text.replaceAll("#", "no. ").replace(/\s+/g, " ").trim();
}

/** A name that no parser takes for anything else: no `#`, no line break, no leading number or dash. */
export function cleanName(text: string): string {
  return (
    flatten(text)
      .replaceAll("\\", "/")
      .replace(/^[-\d]/, "_$&") || "unnamed"
  );
}

/** A comment's text, kept from looking like a header of a nested block. */
function commentText(text: string): string {
  return text.replace(/^Subtest\b/, "$& ");
}

const DIRECTIVES: Readonly<Record<Outcome, string>> = { pass: "", fail: "", xfail: "XFAIL", skip: "SKIP" };

/** The last line of a run. XFAIL counts as passed: the test did what it was declared to do. */
export function closingLine(counts: Tally): string {
  return `${String(counts.passed)} passed, ${String(counts.failed)} failed, ${String(counts.skipped)} skipped`;
}

/** A closing line, taken apart; undefined for any other line. */
export function readClosingLine(line: string): Tally | undefined {
  const match = /^(\d+) passed, (\d+) failed, (\d+) skipped$/.exec(line);
  return match === null ? undefined : { passed: Number(match[1]), failed: Number(match[2]), skipped: Number(match[3]) };
}

export class KtapDocument {
  readonly counts: Counts = { passed: 0, failed: 0, skipped: 0, xfailed: 0 };
  private readonly blocks: Block[] = [];
  private readonly sink: Sink;

  constructor(sink: Sink) {
    this.sink = sink;
  }

  private get indent(): string {
    return "  ".repeat(Math.max(0, this.blocks.length - 1));
  }

  get depth(): number {
    return this.blocks.length;
  }

  /** Starts the document (no name) or a nested block of `planned` results. */
  open(planned: number, name = ""): void {
    this.blocks.push({ name: this.childName(name), planned, written: 0, failed: false, skipped: 0 });
    this.put("KTAP version 1");
    if (name !== "") this.put(`# Subtest: ${this.blocks.at(-1)?.name ?? ""}`);
    this.put(`1..${String(planned)}`);
  }

  comment(lines: readonly string[]): void {
    for (const line of lines) this.put(`# ${commentText(line)}`);
  }

  /** One test's result, after what there is to say about it. */
  result(name: string, outcome: Outcome, reason = "", diagnostics: readonly string[] = []): void {
    this.comment(diagnostics);
    this.resultLine(this.childName(name), outcome, reason);
    if (outcome === "fail") this.counts.failed++;
    else if (outcome === "skip") this.counts.skipped++;
    else this.counts.passed++;
    if (outcome === "xfail") this.counts.xfailed++;
  }

  /** A failure that belongs to no test (a hook, an error after the test had passed): the open block fails by it. */
  blockFailure(diagnostics: readonly string[]): void {
    this.comment(diagnostics);
    this.counts.failed++;
    const block = this.blocks.at(-1);
    if (block !== undefined) block.failed = true;
  }

  /** Ends a nested block with its own result line. */
  close(): void {
    const block = this.blocks.pop();
    if (block === undefined) return;
    const failed = block.failed || block.written !== block.planned;
    const allSkipped = !failed && block.planned > 0 && block.skipped === block.planned;
    this.resultLine(block.name, failed ? "fail" : allSkipped ? "skip" : "pass", allSkipped ? "all skipped" : "");
  }

  /** Ends the document; the sink stays open for nobody. */
  end(): void {
    this.blocks.length = 0;
    const { passed, failed, skipped, xfailed } = this.counts;
    const totals = { pass: passed - xfailed, fail: failed, xfail: xfailed, xpass: 0, skip: skipped, error: 0 };
    this.put(
      `# Totals: ${Object.entries(totals)
        .map(([key, n]) => `${key}:${String(n)}`)
        .join(" ")}`,
    );
    this.put(closingLine(this.counts));
    this.sink.close();
  }

  /** A block's child must not be called as the block is: a parser would take it for the block's own result. */
  private childName(name: string): string {
    const clean = cleanName(name);
    return clean === this.blocks.at(-1)?.name ? `${clean} (itself)` : clean;
  }

  private resultLine(name: string, outcome: Outcome, reason: string): void {
    const block = this.blocks.at(-1);
    if (block === undefined) return;
    block.written++;
    if (outcome === "fail") block.failed = true;
    if (outcome === "skip") block.skipped++;
    const directive = DIRECTIVES[outcome];
    const why = directive === "" ? "" : ` # ${directive} ${flatten(reason)}`;
    this.put(`${outcome === "fail" ? "not ok" : "ok"} ${String(block.written)} - ${name}${why}`);
  }

  private put(text: string): void {
    this.sink.line(`${this.indent}${text}`);
  }
}
