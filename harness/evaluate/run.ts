// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof evaluate`: from a patch to a verdict. */
import { relative, sep } from "node:path";
import { writeFiles } from "../output.js";
import { FORM_NAMES } from "../patch/types.js";
import { projectRoot } from "../root.js";
import { runSelftests } from "../runner/selftests.js";
import { buildVariant } from "../variants/build.js";
import { REVIEW_ALIAS } from "../variants/spec.js";
import { allCells } from "./cells.js";
import { compareSelftests } from "./differences.js";
import { describeHost } from "./host.js";
import { reportMarkdown } from "./markdown.js";
import { Progress } from "./progress.js";
import { REPORT_FORMAT, type LineCoverage, type Report, type SelftestReport, type Use } from "./report.js";
import type { Request } from "./request.js";
import { jobsOf, runSweep, type HostPlan, type SweepAnswer } from "./sweep.js";
import { reportTerminal } from "./terminal.js";
import { usesOf } from "./uses.js";
import { drawVerdict } from "./verdict.js";

async function plansOf({ options, host, variants, workload }: Request): Promise<HostPlan[]> {
  const plans: HostPlan[] = [];
  for (const { name, spec } of variants) {
    const { dir: kernelDir } = await buildVariant(spec);
    for (const use of usesOf([name])) {
      plans.push({ ...host, kernelDir, use, workload: workload.strace.path, seed: options.seed });
    }
  }
  return plans;
}

/** Are both sides of the comparison run: base, and something else? */
function comparable(request: Request, other?: string): boolean {
  const names = request.variants.map((variant) => variant.name);
  return names.includes("base") && (other === undefined ? names.length > 1 : names.includes(other));
}

/** Does the run have selftests? They set base against the patch, so both must be there. */
function wantsSelftests(request: Request): boolean {
  return request.options.selftests && comparable(request, REVIEW_ALIAS);
}

async function runTests(
  request: Request,
  progress: Progress,
): Promise<{ selftests: SelftestReport; coverage: LineCoverage[] }> {
  const run = await runSelftests({
    variants: ["base", REVIEW_ALIAS],
    patch: request.resolved.variant,
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

function patchOf({ resolved }: Request): Report["patch"] {
  const { posted, variant, aside } = resolved;
  return {
    file: shown(posted.file),
    form: FORM_NAMES[posted.form],
    subject: posted.subject === "" ? null : posted.subject,
    damage: posted.damage,
    aside,
    port: shown(variant.patch?.file ?? posted.file),
    addedLines: posted.added,
  };
}

function shown(path: string): string {
  return path.startsWith(`${projectRoot()}${sep}`) ? relative(projectRoot(), path) : path;
}

const NOTHING_TO_COMPARE = "Base was not run beside the patch: nothing is compared, so nothing is said of the patch.";

async function evaluate(request: Request, progress: Progress): Promise<Report> {
  const { options, workload } = request;
  const plans = await plansOf(request);
  const testing = wantsSelftests(request) ? runTests(request, progress) : undefined;
  const onDone = (done: number, total: number): void => {
    progress.sweep(done, total);
  };
  const [answers, tested] = await Promise.all([
    runSweep(jobsOf(plans, allCells()), options.jobs, onDone, testing),
    testing,
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
  return {
    format: REPORT_FORMAT,
    patch: patchOf(request),
    host: describeHost(options),
    workload: {
      file: shown(workload.strace.path),
      calls: workload.calls.length,
      guestMiB: (placement[0]?.guestPages ?? 0) / 256,
    },
    seed: options.seed,
    ...evidence,
    verdict: comparable(request) ? drawVerdict(evidence) : { headline: NOTHING_TO_COMPARE, sentences: [] },
  };
}

/** Runs an evaluation, writes evaluation.json and evaluation.md, and prints the verdict. Returns the exit status. */
export async function runEvaluate(request: Request): Promise<number> {
  const progress = new Progress(wantsSelftests(request));
  let report: Report;
  try {
    report = await evaluate(request, progress);
  } finally {
    progress.stop();
  }
  const json = `${JSON.stringify(report, null, 2)}\n`;
  writeFiles(
    new Map([
      [request.json, json],
      [request.markdown, reportMarkdown(report)],
    ]),
  );
  process.stdout.write(request.options.json ? json : reportTerminal(report));
  return 0;
}
