// SPDX-License-Identifier: GPL-2.0-only
/**
 * Mocha's reporter: KTAP on standard output (and in the file PATCHPROOF_TAP). Every test of the plan gets a result
 * whatever happens: failed hooks, process.exit in a test, a run that never ends are failures, not silences.
 */
import { projectRoot } from "../root.js";
import { diagnose } from "./diagnostics.js";
import { KtapDocument } from "./document.js";
import { judgePassed, judgePending } from "./outcome.js";
import { Plan } from "./plan.js";
import { openSink } from "./sink.js";

class KtapReporter {
  private readonly document: KtapDocument;
  private readonly plan: Plan;
  private readonly root = projectRoot();
  private readonly done_ = new Set<Mocha.Test>();
  private readonly begun = new Set<Mocha.Suite>();
  private readonly rootSuite: Mocha.Suite;
  private readonly open: Mocha.Suite[] = [];
  private running: Mocha.Test | undefined;
  private ended = false;
  /** What a test has printed of a line that is not ended yet. */
  private printed = "";
  private readonly write = process.stdout.write.bind(process.stdout);

  constructor(runner: Mocha.Runner) {
    this.document = new KtapDocument(openSink(process.env["PATCHPROOF_TAP"]));
    this.plan = new Plan(runner);
    this.rootSuite = runner.suite;
    runner.on("start", () => {
      this.begin();
    });
    runner.on("suite", (suite) => {
      if (!suite.root) this.openSuite(suite);
    });
    runner.on("suite end", (suite) => {
      if (!suite.root) this.closeSuite(suite, "not run");
    });
    runner.on("test", (test) => {
      this.running = test;
    });
    runner.on("pass", (test) => {
      const { outcome, reason } = judgePassed(test);
      this.result(test, outcome, reason);
    });
    runner.on("pending", (test) => {
      const { outcome, reason } = judgePending(test);
      this.result(test, outcome, reason, outcome === "fail" ? [reason] : []);
    });
    runner.on("fail", (runnable, error: unknown) => {
      this.fail(runnable, error);
    });
    runner.on("end", () => {
      this.finish("not run");
    });
    process.on("exit", (status) => {
      this.exit(status);
    });
  }

  /** Mocha's exit status: not 0 if anything failed, also what mocha itself does not call a failure. */
  done(failures: number, fn?: (failures: number) => void): void {
    fn?.(Math.max(failures, this.document.counts.failed));
  }

  private begin(): void {
    this.document.open(this.plan.results(this.rootSuite));
    this.captureOutput();
  }

  /** What tests print becomes comments: it cannot be taken for results. */
  private captureOutput(): void {
    process.stdout.write = (chunk: string | Uint8Array, ...more: unknown[]): boolean => {
      const lines = (this.printed + (typeof chunk === "string" ? chunk : Buffer.from(chunk).toString())).split("\n");
      this.printed = lines.pop() ?? "";
      this.document.comment(lines);
      const callback = more.at(-1);
      if (typeof callback === "function") (callback as () => void)();
      return true;
    };
  }

  private openSuite(suite: Mocha.Suite): void {
    if (this.plan.total(suite) === 0) return;
    this.begun.add(suite);
    this.open.push(suite);
    this.document.open(this.plan.results(suite), suite.title);
  }

  private closeSuite(suite: Mocha.Suite, reason: string): void {
    if (this.open.at(-1) !== suite) return;
    this.addMissing(suite, reason);
    this.open.pop();
    this.document.close();
  }

  /** Results for the tests of a suite that gave no event. */
  private addMissing(suite: Mocha.Suite, reason: string): void {
    for (const test of this.plan.tests(suite)) if (!this.done_.has(test)) this.result(test, "fail", "", [reason]);
    for (const child of this.plan.suites(suite)) {
      if (this.begun.has(child)) continue;
      this.openSuite(child);
      this.closeSuite(child, reason);
    }
  }

  private result(
    test: Mocha.Test,
    outcome: "pass" | "fail" | "xfail" | "skip",
    reason = "",
    lines: string[] = [],
  ): void {
    this.done_.add(test);
    if (this.running === test) this.running = undefined;
    this.document.result(test.title, outcome, reason, lines);
  }

  private fail(runnable: Mocha.Runnable, error: unknown): void {
    const lines = diagnose(error, this.root);
    const test = this.plan.tests(this.open.at(-1) ?? this.rootSuite).find((known) => known === runnable);
    if (test !== undefined && !this.done_.has(test)) this.result(test, "fail", "", lines);
    else this.document.blockFailure([`${runnable.title}${test === undefined ? "" : ", after its result"}:`, ...lines]);
  }

  private finish(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    process.stdout.write = this.write;
    if (this.printed !== "") this.document.comment([this.printed]);
    if (this.document.depth === 0) this.document.open(this.plan.results(this.rootSuite));
    while (this.open.length > 0) this.closeSuite(this.open.at(-1) ?? this.rootSuite, reason);
    this.addMissing(this.rootSuite, reason);
    this.document.end();
  }

  private exit(status: number): void {
    if (this.ended) return;
    const { running } = this;
    if (running !== undefined) {
      this.result(running, "fail", "", [`the process ended (status ${String(status)}) while this test ran`]);
    } else {
      this.document.blockFailure([`the process ended (status ${String(status)}) before the run did`]);
    }
    this.finish("not run: the process had ended");
    process.exitCode = 1;
  }
}

// Mocha loads a reporter with require(); this is the name under which require() of a module finds its one value.
export { KtapReporter as "module.exports" };
