// SPDX-License-Identifier: GPL-2.0-only
/** Variants of a small project: built aside, cached, loaded, instrumented; and what is said when a patch does not fit. */
import { expect } from "chai";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readPatchText } from "../../harness/patch/read.js";
import { buildVariant } from "../../harness/variants/build.js";
import { LineCoverage, loadInstrumented, mergeLineReports } from "../../harness/variants/coverage.js";
import { loadVariant } from "../../harness/variants/load.js";
import { refreshedPatch } from "../../harness/variants/refresh.js";
import { readSeries } from "../../harness/variants/series.js";
import { addedLines, baseTree, findVariant, givenVariant, type VariantSpec } from "../../harness/variants/spec.js";
import { complaint, miniProject, SMALL_BASE, SMALL_PATCH, type MiniProject } from "./mini-project.js";

interface SmallKernel {
  names: string[];
  nameOf(n: number): string;
}

const small = (kernel: unknown): SmallKernel => kernel as SmallKernel;

describe("variants", () => {
  let project: MiniProject;
  const root = (): string => project.root;
  const given = (text: string): VariantSpec => givenVariant(readPatchText(text, "/tmp/mine.patch"), root());

  beforeEach(() => {
    project = miniProject();
  });
  afterEach(() => {
    project.remove();
  });

  it("are base and what the series names", () => {
    expect(baseTree(root()).get("mm/small.ts")).to.equal(SMALL_BASE);
    expect(findVariant("patch", root()).name).to.equal("small");
    expect(findVariant("small", root()).role).to.equal("review");
    expect(readSeries(root())[0]).to.include({ name: "small", title: "a small change", mail: "", line: 3 });
  });

  it("are loaded side by side", async () => {
    const [base, patch] = await Promise.all([loadVariant("base", project), loadVariant("patch", project)]);
    expect(small(base.kernel).names).to.deep.equal(["low", "low", "none", "none"]);
    expect(small(patch.kernel).names).to.deep.equal(["low", "low", "high", "low"]);
  });

  it("are built once, also by two at once", async () => {
    const [one, two] = await Promise.all([buildVariant("base", project), buildVariant("base", project)]);
    expect(one.dir).to.equal(two.dir);
    const folder = join(root(), "build/variants/base");
    expect(readdirSync(folder)).to.deep.equal([one.hash]);
    const start = performance.now();
    expect((await buildVariant("base", project)).dir).to.equal(one.dir);
    expect(performance.now() - start).to.be.below(100);
  });

  it("know where the added lines lie", () => {
    const lines = addedLines(findVariant("patch", root()), root());
    expect(lines.map((line) => [line.line, line.text.trim()])).to.deep.equal([
      [3, "export const TOP = 0x3;"],
      [5, "/** Twice the number. */"],
      [6, "export function twice(n: number): number {"],
      [7, "return n * 2;"],
      [8, "}"],
      [9, ""],
      [14, "case TOP:"],
      [16, "case HIGH:"],
      [17, 'return "high";'],
    ]);
    lines.forEach((line) => expect(SMALL_PATCH.split("\n")[line.source - 1]).to.equal(`+${line.text}`));
  });

  it("may be a diff that somebody gives", async () => {
    const spec = given(SMALL_PATCH.replaceAll('"high"', '"higher"'));
    expect([spec.name, spec.role]).to.deep.equal(["mine", "given"]);
    const { kernel } = await loadVariant(spec, project);
    expect(small(kernel).nameOf(2)).to.equal("higher");
  });

  it("may add a file", async () => {
    const more = "--- /dev/null\n+++ b/mm/more.ts\n@@ -0,0 +1 @@\n+export const MORE = 1;\n";
    const { dir } = await buildVariant(given(more), project);
    expect(existsSync(join(dir, "mm/more.js"))).to.equal(true);
  });

  it("that do not compile are told by the place in the patched tree, and leave nothing", async () => {
    const text = SMALL_PATCH.replace("n * 2", 'n * "2"');
    expect(await complaint(() => buildVariant(given(text), project))).to.match(
      /^mm\/small\.ts:7: variant mine does not compile: TS2363: .*; mend line 11 of \/tmp\/mine\.patch$/,
    );
    expect(readdirSync(join(root(), "build/variants/mine"))).to.deep.equal([]);
  });

  it("that are not known are told with those that are", async () => {
    expect(await complaint(() => buildVariant("nosuch", project))).to.equal(
      "unknown variant 'nosuch'; known: base, small (or patch)",
    );
  });

  describe("with coverage of the added lines", () => {
    it("tell for each line how many tests ran it and which first", async () => {
      const { kernel, probe } = await loadInstrumented("patch", project);
      const coverage = new LineCoverage(probe);
      for (const n of [0, 2, 2]) {
        small(kernel).nameOf(n);
        coverage.record(`name of ${String(n)}`);
      }
      const report = coverage.report();
      expect(report.map((line) => [line.line, line.state, line.tests, line.first])).to.deep.equal([
        [3, "at load", 0, null],
        [5, "not executable", 0, null],
        [6, "unreached", 0, null],
        [7, "unreached", 0, null],
        [8, "not executable", 0, null],
        [9, "not executable", 0, null],
        [14, "at load", 0, null],
        [16, "reached", 2, "name of 2"],
        [17, "reached", 2, "name of 2"],
      ]);
      const merged = mergeLineReports([report, report]);
      expect(merged.map((line) => line.tests)).to.deep.equal([0, 0, 0, 0, 0, 0, 0, 4, 4]);
    });
  });

  describe("whose patch no longer fits the tree", () => {
    const touch = (from: string, to: string): void => {
      project.write("mm/small.ts", project.read("mm/small.ts").replace(from, to));
    };

    it("are told with the hunk and how to refresh it", async () => {
      touch("switch (n)", "switch (n + 0)");
      expect(await complaint(() => buildVariant("base", project))).to.equal(
        "patches/small.patch:4: hunk 1 of 1 for mm/small.ts no longer fits the tree; npm run patch:refresh rewrites it from the tree",
      );
    });

    it("are refreshed when the context changed", () => {
      touch("switch (n)", "switch (n + 0)");
      project.write("mm/small.ts", `// one more line\n${project.read("mm/small.ts")}`);
      project.write("patches/small.patch", refreshedPatch(root()).text);
      expect(baseTree(root()).get("mm/small.ts")).to.equal(`// one more line\n${SMALL_BASE.replace("(n)", "(n + 0)")}`);
    });

    it("are refreshed when an added line was laid out anew", () => {
      touch("    case HIGH:\n      return", "    case HIGH: return");
      project.write("patches/small.patch", refreshedPatch(root()).text);
      expect(baseTree(root()).get("mm/small.ts")).to.equal(SMALL_BASE);
    });

    it("are not touched by a refresh when they fit", () => {
      expect(refreshedPatch(root()).text).to.equal(SMALL_PATCH);
    });

    it("cannot be refreshed when an added line is gone", async () => {
      touch("n * 2", "n + n");
      expect(await complaint(() => refreshedPatch(root()))).to.match(
        /^patches\/small\.patch:4: hunk 1 of 1: its added lines are not in mm\/small\.ts; put them back there/,
      );
    });
  });

  describe("in a series that is wrong", () => {
    const series = (text: string): Promise<string> => {
      project.write("patches/series", text);
      return complaint(() => readSeries(root()));
    };
    const good = "# role: review\nsmall.patch\n";
    it("name a patch that is not there", async () =>
      expect(await series("# role: review\nnone.patch\n")).to.match(
        /^patches\/series:2: patches\/none\.patch does not exist/,
      ));
    it("have no role", async () =>
      expect(await series("small.patch\n")).to.match(/^patches\/series:1: small\.patch has no role/));
    it("name a patch twice", async () =>
      expect(await series(good + good)).to.match(/^patches\/series:4: the name small is taken/));
    it("have no patch under review", async () =>
      expect(await series("# role: alternative\nsmall.patch\n")).to.match(
        /^patches\/series:1: 0 patches are under review/,
      ));
    it("name a mail that is not there", async () =>
      expect(await series(`# mail: fixtures/none.mbox\n${good}`)).to.match(
        /^patches\/series:3: its mail fixtures\/none\.mbox/,
      ));
  });
});
