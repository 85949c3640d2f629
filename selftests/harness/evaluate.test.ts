// SPDX-License-Identifier: GPL-2.0-only
/** An evaluation: the same seed gives the same bytes, and what is printed is what was asked for. */
import { expect } from "chai";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allCells, trialSeed } from "../../harness/evaluate/cells.js";
import { planHost } from "../../harness/evaluate/host.js";
import type { Report } from "../../harness/evaluate/report.js";
import { PopulatedHost } from "../../harness/evaluate/guest.js";
import { runJob } from "../../harness/evaluate/sweep-worker.js";
import { jobsOf, type HostPlan, type SweepJob } from "../../harness/evaluate/sweep.js";
import { usesOf } from "../../harness/evaluate/uses.js";
import { buildVariant } from "../../harness/variants/build.js";
import { projectRoot } from "../../harness/root.js";
import { patchproofHere } from "./program.js";

async function planOf(variant: string, use: number): Promise<HostPlan> {
  const { dir: kernelDir } = await buildVariant(variant, { aside: true });
  return { ...planHost({}), kernelDir, use: usesOf([variant])[use]!, workload: "qemu-memfd", seed: 3 };
}

function jobOf(plan: HostPlan, ...wanted: readonly { allocFailure: number; references: number }[]): SweepJob {
  const all = allCells().map((cell, index) => ({ index, cell }));
  const cells = all.filter(({ cell }) =>
    wanted.some((w) => w.allocFailure === cell.allocFailure && w.references === cell.references),
  );
  return { plan, cells };
}

describe("the sweep of an evaluation", () => {
  it("makes a job of each use and allocation failure rate, every cell once", async () => {
    const jobs = jobsOf([await planOf("base", 0)], allCells());
    expect(jobs.map((job) => job.cells.length)).to.deep.equal([7, 7, 7, 7]);
    expect(jobs.flatMap((job) => job.cells.map(({ index }) => index))).to.deep.equal([...Array(28).keys()]);
  });

  it("gives the same result for the same seed, whatever ran before on the host", async () => {
    const host = await PopulatedHost.make(await planOf("base", 0));
    const cell = { allocFailure: 0.1, references: 8, clearsAfter: 5 };
    const first = host.pin(cell, trialSeed(3, 1, 0));
    const others = [1, 2].map((trial) => host.pin(cell, trialSeed(3, 1, trial)));
    expect(host.pin(cell, trialSeed(3, 1, 0))).to.deep.equal(first);
    expect(others.map((t) => t.migrated)).not.to.deep.equal([first.migrated, first.migrated]);
  });

  it("tries once where nothing is random, and until the interval is ±5 points elsewhere", async () => {
    const answer = await runJob(
      jobOf(await planOf("base", 0), { allocFailure: 0, references: 0 }, { allocFailure: 5, references: 0 }),
    );
    if ("thrown" in answer) throw new Error(answer.thrown.message);
    const [still, random] = answer.value.cells;
    expect(still).to.include({ random: false, held: 0, left: 0 }).and.nested.include({ "success.trials": 1 });
    expect(random).to.include({ random: true }).and.nested.include({ "success.successes": 0 });
    const { low, high, trials } = random!.success;
    expect((high - low) / 2).to.be.at.most(0.05);
    expect(trials).to.be.within(20, 30);
  });

  it("holds no page where none must move, and then has nothing to repeat", async () => {
    const answer = await runJob(jobOf(await planOf("patch", 1), { allocFailure: 0, references: 8 }));
    if ("thrown" in answer) throw new Error(answer.thrown.message);
    expect(answer.value.placement).to.include({ inCma: 0, inZoneMovable: 0, populated: 65536 });
    expect(answer.value.cells.map((c) => [c.references, c.held, c.success.trials])).to.deep.equal([
      [8, 0, 1],
      [8, 0, 1],
      [8, 0, 1],
    ]);
  });
});

describe("patchproof evaluate", () => {
  let out: string;
  before(() => {
    out = mkdtempSync(join(tmpdir(), "patchproof-out-"));
  });
  after(() => {
    rmSync(out, { recursive: true });
  });

  const SMALL = "--memory 64M --no-selftests --jobs 1 --json --variants base --out".split(" ");

  it("prints the report with --json and nothing else, as it writes it", async () => {
    const { status, out: printed, err } = await patchproofHere(projectRoot(), "evaluate", ...SMALL, out);
    expect([status, err]).to.deep.equal([0, ""]);
    expect(readFileSync(join(out, "evaluation.json"), "utf8")).to.equal(printed);
    const report = JSON.parse(printed) as Report;
    expect(report.uses.map((use) => use.id)).to.deep.equal(["base"]);
    expect(report.placement[0], "a guest of 256 MiB on a host of 64").to.include({ killed: true });
    expect(report.cells).to.deep.equal([]);
  });
});
