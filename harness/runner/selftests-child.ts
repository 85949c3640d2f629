// SPDX-License-Identifier: GPL-2.0-only
/** The process that {@link runSelftests} starts: mocha in it, results by message. Its first message is its task. */
import { relative } from "node:path";
import Mocha from "mocha";
import { oneLine } from "../errors.js";
import { judgePassed, judgePending, noteOf, type Outcome } from "../ktap/outcome.js";
import { compiledRoot } from "../root.js";
import { LineCoverage, loadInstrumented } from "../variants/coverage.js";
import { REVIEW_ALIAS } from "../variants/spec.js";
import type { Message, SelftestId, SelftestResult, Task } from "./protocol.js";

const TIMEOUT_MS = 20_000;
const SEND_EVERY_MS = 100;

function send(message: Message): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, undefined, undefined, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** Names a test, if it is one that ran on a variant. */
function identify(test: Mocha.Test): SelftestId | undefined {
  const { variant, title } = noteOf(test);
  if (variant === undefined || title === undefined) return undefined;
  const file = relative(compiledRoot(), test.file ?? "").replace(/\.js$/, ".ts");
  return { file, title: [...test.titlePath().slice(0, -1), title].join(": "), variant };
}

function allTests(suite: Mocha.Suite): Mocha.Test[] {
  return [...suite.tests, ...suite.suites.flatMap(allTests)];
}

/** Sends results by the batch: to send one takes as long as a small test. */
class Outbox {
  private waiting: SelftestResult[] = [];
  private sentAt = performance.now();

  add(result: SelftestResult): void {
    this.waiting.push(result);
    if (performance.now() - this.sentAt > SEND_EVERY_MS) void this.flush();
  }

  async flush(): Promise<void> {
    const results = this.waiting;
    this.waiting = [];
    this.sentAt = performance.now();
    await send({ kind: "results", results });
  }
}

/** Tells the parent of the tests that end; counts the lines that each reached. */
class MessageReporter {
  private readonly coverage: LineCoverage | undefined;
  private readonly outbox: Outbox;

  constructor(runner: Mocha.Runner, coverage: LineCoverage | undefined, outbox: Outbox) {
    this.coverage = coverage;
    this.outbox = outbox;
    runner.on("pass", (test) => {
      const { outcome, reason } = judgePassed(test);
      this.tell(test, outcome, reason, "");
    });
    runner.on("pending", (test) => {
      const { outcome, reason } = judgePending(test);
      this.tell(test, outcome, outcome === "skip" ? reason : "", outcome === "skip" ? "" : reason);
    });
    runner.on("fail", (test, error: unknown) => {
      if (test instanceof Mocha.Test)
        this.tell(test, "fail", "", oneLine(error instanceof Error ? error.message : String(error)));
    });
  }

  private tell(test: Mocha.Test, outcome: Outcome, reason: string, message: string): void {
    const id = identify(test);
    if (id === undefined) return;
    if (id.variant === REVIEW_ALIAS) this.coverage?.record(id.title);
    const observations = noteOf(test).observations ?? {};
    this.outbox.add({ ...id, outcome, reason, message, observations, ms: test.duration ?? 0 });
  }
}

async function work(task: Task): Promise<void> {
  process.env["PATCHPROOF_VARIANTS"] = task.variants.join(",");
  const { useKernel } = await import("../kselftest/kernels.js");
  let coverage: LineCoverage | undefined;
  if (task.variants.includes(REVIEW_ALIAS)) {
    const { kernel, probe } = await loadInstrumented(task.patch ?? REVIEW_ALIAS);
    useKernel(REVIEW_ALIAS, kernel);
    coverage = new LineCoverage(probe);
  }
  const grep = new RegExp(task.grep ?? "");
  const mocha = new Mocha({ timeout: TIMEOUT_MS, grep, forbidOnly: true });
  for (const file of task.files) mocha.addFile(file);
  await mocha.loadFilesAsync();
  const wanted = allTests(mocha.suite).filter((test) => grep.test(test.fullTitle()));
  await send({ kind: "plan", tests: wanted.flatMap((test) => identify(test) ?? []) });
  const outbox = new Outbox();
  const reporter = class extends MessageReporter {
    constructor(runner: Mocha.Runner) {
      super(runner, coverage, outbox);
    }
  };
  mocha.reporter(reporter as unknown as Mocha.ReporterConstructor);
  await new Promise<void>((resolve) => {
    mocha.run(() => {
      resolve();
    });
  });
  await outbox.flush();
  await send({ kind: "lines", lines: coverage?.report() ?? [] });
}

process.on("unhandledRejection", (reason) => {
  throw reason;
});
process.once("disconnect", () => {
  process.exit();
});
process.once("message", (task: Task) => {
  work(task)
    .catch(async (error: unknown) => {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      await send({ kind: "error", name, message });
      process.exitCode = 1;
    })
    .finally(() => {
      process.disconnect();
    });
});
