// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof evaluate`: from a patch to a verdict. */
import { join, relative } from "node:path";
import { writeFiles } from "../output.js";
import { FORM_NAMES } from "../patch/types.js";
import { projectRoot } from "../root.js";
import { runSelftests } from "../runner/selftests.js";
import { buildVariant } from "../variants/build.js";
import { findVariant, REVIEW_ALIAS, reviewVariant, type VariantSpec } from "../variants/spec.js";
import { readWorkload } from "../workload/read.js";
import { allCells } from "./cells.js";
import { compareSelftests } from "./differences.js";
import { describeHost, planHost } from "./host.js";
import { reportMarkdown } from "./markdown.js";
import type { EvaluateOptions } from "../commands/evaluate.js";
import { Progress } from "./progress.js";
import { REPORT_FORMAT, type LineCoverage, type Report, type SelftestReport, type Use } from "./report.js";
import { subjectOf, type Subject } from "./subject.js";
import { jobsOf, runSweep, type HostPlan, type SweepAnswer } from "./sweep.js";
import { reportTerminal } from "./terminal.js";
import { usesOf } from "./uses.js";
import { drawVerdict } from "./verdict.js";

const WORKLOAD = "fixtures/workloads/qemu-memfd.strace";

/** The patch to evaluate: the mail of the one under review, unless another is given. */
function patchFile(options: EvaluateOptions): string {
  return options.patch ?? join(projectRoot(), reviewVariant().mail);
}

/** The variants to run beside each other; "patch" is what was given. */
function chosenVariants(options: EvaluateOptions, subject: Subject): { name: string; spec: VariantSpec }[] {
  const names = options.variants ?? ["base", REVIEW_ALIAS];
  return names.map((name) => {
    const spec = name === REVIEW_ALIAS || name === subject.spec.name ? subject.spec : findVariant(name);
    return { name: spec === subject.spec ? REVIEW_ALIAS : spec.name, spec };
  });
}

async function plansOf(options: EvaluateOptions, subject: Subject, workload: string): Promise<HostPlan[]> {
  const host = planHost(options);
  const plans: HostPlan[] = [];
  for (const { name, spec } of chosenVariants(options, subject)) {
    const built = await buildVariant(spec);
    for (const use of usesOf([name])) {
      plans.push({ ...host, kernelDir: built.dir, use, workload, seed: options.seed });
    }
  }
  return plans;
}

async function runTests(
  options: EvaluateOptions,
  subject: Subject,
  progress: Progress,
): Promise<{ selftests: SelftestReport; coverage: LineCoverage[] } | null> {
  if (!options.selftests) return null;
  const run = await runSelftests({
    variants: ["base", REVIEW_ALIAS],
    patch: subject.spec,
    jobs: 1,
    onTest: (done, total) => {
      progress.tests(done, total);
    },
  });
  const coverage = run.lines.map((l) => ({
    file: l.path,
    line: l.line,
    text: l.text,
    state: l.state,
    tests: l.tests,
    first: l.first,
  }));
  return { selftests: compareSelftests(run.results, "base", REVIEW_ALIAS), coverage };
}

function placements(answers: readonly SweepAnswer[], uses: readonly Use[]): Report["placement"] {
  return uses.flatMap((use) => answers.find((a) => a.placement.use === use.id)?.placement ?? []);
}

async function evaluate(options: EvaluateOptions, progress: Progress): Promise<Report> {
  const root = projectRoot();
  const file = patchFile(options);
  const subject = subjectOf(file);
  const workloadFile = options.workload ?? join(root, WORKLOAD);
  const workload = readWorkload(workloadFile);
  const plans = await plansOf(options, subject, workloadFile);
  const jobs = jobsOf(plans, allCells());
  const [answers, tested] = await Promise.all([
    runSweep(jobs, options.jobs, (done, total) => {
      progress.sweep(done, total);
    }),
    runTests(options, subject, progress),
  ]);
  const uses = plans.map((plan) => plan.use);
  const placement = placements(answers, uses);
  const evidence = {
    uses,
    placement,
    cells: answers.flatMap((a) => a.cells),
    selftests: tested?.selftests ?? null,
    coverage: tested?.coverage ?? null,
  };
  const shown = (path: string): string => (path.startsWith(root) ? relative(root, path) : path);
  return {
    format: REPORT_FORMAT,
    patch: {
      file: shown(file),
      form: FORM_NAMES[subject.patch.form],
      subject: subject.patch.subject === "" ? null : subject.patch.subject,
      damage: subject.patch.damage,
      port: shown(subject.port),
      addedLines: subject.patch.added,
    },
    host: describeHost(options),
    workload: {
      file: shown(workloadFile),
      calls: workload.calls.length,
      guestMiB: (placement[0]?.guestPages ?? 0) / 256,
    },
    seed: options.seed,
    ...evidence,
    verdict: drawVerdict(evidence),
  };
}

/** Runs an evaluation, writes reports/evaluation.json and .md, and prints the verdict. Returns the exit status. */
export async function runEvaluate(options: EvaluateOptions): Promise<number> {
  const progress = new Progress();
  let report: Report;
  try {
    report = await evaluate(options, progress);
  } finally {
    progress.stop();
  }
  const json = `${JSON.stringify(report, null, 2)}\n`;
  const folder = options.out ?? join(projectRoot(), "reports");
  writeFiles(
    new Map([
      [join(folder, "evaluation.json"), json],
      [join(folder, "evaluation.md"), reportMarkdown(report)],
    ]),
  );
  process.stdout.write(options.json ? json : reportTerminal(report));
  return 0;
}
