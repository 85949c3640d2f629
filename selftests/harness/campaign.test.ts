// SPDX-License-Identifier: GPL-2.0-only
/** The campaign: every cause is reached by what somebody does, pages are alike, and shards add up to the whole. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import sinon from "sinon";
import { ranges, smallScene } from "../../harness/campaign/plan.js";
import { mergeReports, campaignJson } from "../../harness/campaign/report.js";
import { Scene, type Outcome } from "../../harness/campaign/scene.js";
import { CAUSES, countSchedules, eachSchedule, OPTIONS, type Schedule } from "../../harness/campaign/schedule.js";
import { loadVariant, type KernelModule } from "../../harness/variants/load.js";
import { makeProgram } from "../../harness/cli.js";

function outcomeOf(scene: Scene, schedule: Schedule): Outcome {
  return scene.attempt(schedule.flatMap((f, page) => (f === null ? [] : { ...f, pfn: scene.frames[page]! }))).outcome;
}

describe("campaign: schedules", () => {
  it("are as many as multisets of the options, each met once", () => {
    for (const pages of [1, 2]) {
      const seen = new Set<string>();
      eachSchedule(pages, 0, Infinity, (s) => seen.add(s.map((f) => OPTIONS.indexOf(f)).join()));
      expect(seen.size).to.equal(countSchedules(pages));
    }
    expect(countSchedules(3)).to.equal(85320);
  });

  it("are parted by shards without gap or overlap", () => {
    const parts = [1, 2, 3].flatMap((index) => ranges(1000, 64, { index, count: 3 }));
    const all = parts.sort((a, b) => a.from - b.from);
    expect(all[0]!.from).to.equal(0);
    expect(all.at(-1)!.to).to.equal(1000);
    for (let n = 1; n < all.length; n++) expect(all[n]!.from).to.equal(all[n - 1]!.to);
  });
});

describe("campaign: causes", () => {
  let base: KernelModule;
  let patch: KernelModule;
  before(async () => {
    base = (await loadVariant("base")).kernel;
    patch = (await loadVariant("patch")).kernel;
  });

  /** Longest that a cause may last for a pin to succeed, and what a longer one does. */
  const LIMITS: Readonly<Record<string, readonly [number, Outcome]>> = {
    reference: [9, "fails"],
    page_cache_drop: [9, "fails"],
    lru_batch: [9, "fails"],
    mlock_batch: [9, "fails"],
    lock: [10, "sleeps"],
    isolate: [10, "loops"],
    cma_alloc: [10, "loops"],
    alloc: [0, "fails"],
  };

  for (const { kind, title } of CAUSES) {
    it(`${title}: each duration on one page, on base`, () => {
      const scene = new Scene(base, smallScene(1, false));
      expect(scene.inCma).to.have.length(1);
      const [limit, beyond] = LIMITS[kind]!;
      for (const fault of OPTIONS.filter((option) => option?.kind === kind)) {
        expect(outcomeOf(scene, [fault]), `for ${fault!.attempts}`).to.equal(
          fault!.attempts <= limit ? "succeeds" : beyond,
        );
        expect(scene.k.fail_migrate.injected, "attempts spoilt").to.be.greaterThan(0);
      }
    });
  }

  it("do nothing to an advised guest", () => {
    const scene = new Scene(patch, smallScene(1, true));
    expect(scene.inCma).to.have.length(0);
    for (const fault of OPTIONS) expect(outcomeOf(scene, [fault])).to.equal("succeeds");
  });

  it("leave the machine whole, and the guest can be pinned once they are gone", () => {
    const scene = new Scene(base, smallScene(2, false));
    eachSchedule(2, 0, 400, (schedule) => {
      const obstacles = schedule.flatMap((f, page) => (f === null ? [] : { ...f, pfn: scene.frames[page]! }));
      expect(scene.aftermath(scene.attempt(obstacles)), JSON.stringify(schedule)).to.deep.equal([]);
    });
  });

  it("come to the same on either page: pages are alike", () => {
    const scene = new Scene(base, smallScene(2, false));
    const some = OPTIONS.filter((fault) => fault === null || [1, 3, 9, 10, Infinity].includes(fault.attempts));
    for (const [n, a] of some.entries())
      for (const b of some.slice(0, n)) expect(outcomeOf(scene, [a, b])).to.equal(outcomeOf(scene, [b, a]));
  });

  // v6.1: the pin itself marks the page accessed, and so puts it into a batch, whose reference it then does not expect
  it("need not be there for a page that has only just been populated: it stands in the pin's own batch", () => {
    const scene = new Scene(base, smallScene(1, false, 1));
    const { outcome, failure } = scene.attempt([]);
    expect(outcome).to.equal("fails");
    expect(failure?.reason).to.equal("unexpected reference");
  });
});

describe("patchproof campaign", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), "campaign-"))));
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  async function run(...argv: string[]): Promise<void> {
    const quiet = sinon.stub(process.stdout, "write").returns(true);
    try {
      await makeProgram().parseAsync(["node", "patchproof", "campaign", ...argv]);
    } finally {
      quiet.restore();
    }
    expect(process.exitCode).to.equal(0);
    process.exitCode = undefined;
  }

  for (const [name, options] of [
    ["exhaustive", ["--exhaustive", "--pages", "2"]],
    ["random", ["--seeds", "104"]],
  ] as const) {
    it(`${name}: shards merge to the bytes of one run`, async () => {
      const small = [...options, "--variants", "base", "--jobs", "1"];
      const whole = join(folder, `${name}-whole`);
      await run(...small, "--out", whole);
      const parts: string[] = [];
      for (const n of [1, 2]) {
        const out = join(folder, `${name}-${n}`);
        await run(...small, "--shard", `${n}/2`, "--out", out);
        parts.push(join(out, "campaign.json"));
      }
      expect(campaignJson(mergeReports(parts))).to.equal(readFileSync(join(whole, "campaign.json"), "utf8"));
      expect(() => mergeReports([parts[0]!])).to.throw("shard 2 of 2 is missing");
      expect(() => mergeReports([parts[0]!, parts[0]!])).to.throw("name each shard once");
    });
  }

  it("refuses what is not a report, or not a part", () => {
    const bad = join(folder, "bad.json");
    writeFileSync(bad, "{}");
    expect(() => mergeReports([bad])).to.throw("bad.json: is not the report of a campaign");
    writeFileSync(bad, "{");
    expect(() => mergeReports([bad])).to.throw("bad.json: is not JSON");
    expect(() => mergeReports([join(folder, "none.json")])).to.throw("none.json");
  });
});
