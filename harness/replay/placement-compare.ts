// SPDX-License-Identifier: GPL-2.0-only
/** Whether a guest of the model landed where the recorded kernel's did. */
import { type PlacementBoot, type PlacementRun, planOf, type RunPlan } from "./placement-format.js";
import type { MadeRun } from "./placement-run.js";

export interface PlacementDifference {
  readonly run: string;
  /** "page 4096", "populated", "pin" … */
  readonly at: string;
  readonly what: string;
  readonly expected: number | string;
  readonly got: number | string;
}

/** How far model and kernel may be apart, as shares of the guest's pages. */
export interface Tolerance {
  /** At every step; null where steps are not compared. */
  readonly step: number | null;
  /** Once the guest is populated. */
  readonly end: number;
  /** Is a kernel's 0 a 0 of the model? */
  readonly exactZero: boolean;
}

/** A guest on a fresh machine is held to every step; of guests that follow one another, the end counts. */
export function toleranceOf(boot: PlacementBoot): Tolerance {
  return boot.runs.length === 1
    ? { step: 0.01, end: 0.01, exactZero: true }
    : { step: null, end: 0.03, exactZero: false };
}

/** Free pages may differ by what runs beside the guest on a real machine, too. */
const BACKGROUND_PAGES = 96;

class Comparison {
  readonly found: PlacementDifference[] = [];
  private readonly run: PlacementRun;
  private readonly tolerance: Tolerance;
  private readonly pages: number;

  constructor(run: PlacementRun, tolerance: Tolerance, pages: number) {
    this.run = run;
    this.tolerance = tolerance;
    this.pages = pages;
  }

  differ(at: string, what: string, expected: number | string, got: number | string): void {
    this.found.push({ run: this.run.run, at, what, expected, got });
  }

  /** Pages in CMA or ZONE_MOVABLE. */
  placed(at: string, what: string, expected: number, got: number, share: number): void {
    const allowed = this.tolerance.exactZero && expected === 0 ? 0 : share * this.pages;
    if (Math.abs(expected - got) > allowed) this.differ(at, what, expected, got);
  }

  free(at: string, what: string, expected: number, got: number, share: number): void {
    if (Math.abs(expected - got) > Math.max(BACKGROUND_PAGES, share * this.pages)) this.differ(at, what, expected, got);
  }
}

function compareSteps(c: Comparison, run: PlacementRun, made: MadeRun, share: number): void {
  let expected = 0;
  let got = 0;
  for (const [i, step] of run.steps.entries()) {
    const at = `page ${String(step[0])}`;
    const mine = made.steps[i];
    if (mine === undefined) {
      c.differ(at, "steps", run.steps.length, made.steps.length);
      return;
    }
    expected += step[1];
    got += mine[1];
    c.placed(at, "pages in CMA or ZONE_MOVABLE in this step", step[1], mine[1], share);
    c.placed(at, "pages in CMA or ZONE_MOVABLE so far", expected, got, share);
    c.free(at, "nr_free_pages", step[2], mine[2], share);
    c.free(at, "nr_free_cma", step[3], mine[3], share);
  }
}

function comparePin(c: Comparison, run: PlacementRun, made: MadeRun, plan: RunPlan): void {
  const expected = run.pin;
  if (expected === undefined) return;
  const got = made.pin;
  if (got === null) {
    c.differ("pin", "ended by the OOM killer", "no", made.killed ?? "no");
    return;
  }
  if (plan.failPercent > 0 && run.cma_pages !== 0) return; // which allocation fails is a matter of chance
  if (got.ret !== (expected.ret === 0 ? 0 : -expected.errno)) c.differ("pin", "returned", expected.ret, got.ret);
  if (got.pages_pinned !== expected.pages_pinned)
    c.differ("pin", "pages pinned", expected.pages_pinned, got.pages_pinned);
  c.placed("pin", "pages left in CMA or ZONE_MOVABLE", expected.cma_left, got.cma_left, 0);
}

/** All differences of one run that are larger than the tolerance. */
export function compareRun(run: PlacementRun, made: MadeRun, tolerance: Tolerance): PlacementDifference[] {
  const plan = planOf(run);
  const c = new Comparison(run, tolerance, plan.pages);
  const killed = run.killed !== undefined && run.killed !== false;
  if (killed !== (made.killed !== null)) {
    c.differ("end", "ended by the OOM killer", killed ? String(run.killed) : "no", made.killed ?? "no");
  } else if (typeof run.killed === "string" && made.killed !== null && !run.killed.includes(made.killed.slice(0, 3))) {
    c.differ("end", "ended by the OOM killer in", run.killed, made.killed);
  }
  if (tolerance.step !== null && !killed) compareSteps(c, run, made, tolerance.step);
  if (run.cma_pages !== undefined && made.populated !== null) {
    c.placed("populated", "pages in CMA or ZONE_MOVABLE", run.cma_pages, made.cma_pages, tolerance.end);
  }
  if (made.killed === null && !killed) comparePin(c, run, made, plan);
  return c.found;
}
