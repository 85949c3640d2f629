// SPDX-License-Identifier: GPL-2.0-only
/** The KTAP that a run prints, whatever its tests do: read strictly here, and by two parsers that others wrote. */
import { expect } from "chai";
import { cleanName, closingLine, readClosingLine } from "../../harness/ktap/document.js";
import { noteOf } from "../../harness/ktap/outcome.js";
import { prove, readKtap, runReporter, tapParserVerdict, type KtapBlock, type KtapRun } from "./ktap-run.js";

/** Every block and result as a line: `+` passed, `-` failed, `~` with a directive. */
function outline(block: KtapBlock, indent = ""): string[] {
  return block.results.flatMap((one) => [
    `${indent}${one.directive !== "" ? "~" : one.ok ? "+" : "-"} ${one.name}${one.directive && ` # ${one.directive}`}`,
    ...(one.block === undefined ? [] : outline(one.block, `${indent}  `)),
  ]);
}

interface Expected {
  readonly status: number;
  readonly outline: readonly string[];
  readonly closing: string;
}

/** A document that passes or fails as a whole, for all who read it. */
function expectRun(run: KtapRun, expected: Expected): void {
  const { document, closing } = readKtap(run.out);
  expect(outline(document)).to.deep.equal(expected.outline);
  expect(closing).to.equal(expected.closing);
  expect(run.status, "exit status").to.equal(expected.status);
  expect(run.file, "the file").to.equal(run.out);
  const top = document.results;
  const failed = top.filter((one) => !one.ok);
  const verdict = tapParserVerdict(run.out);
  expect(verdict).to.include({ ok: failed.length === 0, count: top.length, fail: failed.length });
  expect(verdict.failures.map((one) => ("name" in one ? one.name : one) as unknown)).to.deep.equal(
    failed.map((one) => one.name),
  );
  expect(verdict.notTap, "lines that are no TAP").to.deep.equal(["KTAP version 1", closing]);
}

/** The same for prove, where there is one. */
function expectProve(context: Mocha.Context, run: KtapRun, verdict: string): void {
  const proved = prove(run.out);
  if (proved === undefined) {
    noteOf(context.test ?? {}).skip = "prove (perl) is not installed";
    context.skip();
  }
  expect(proved.out).to.include(verdict);
  expect(proved.status, "prove's exit status").to.equal(verdict.includes("PASS") ? 0 : 1);
}

const GOOD = `
it("at the top", () => {});
describe("outer", () => {
  it("one", () => { console.log("not ok 7 - printed"); });
  it("skipped", function () { noteOf(this.test).skip = "no device"; this.skip(); });
  it("declared", function () { noteOf(this.test).xfail = "known"; });
  describe("inner", () => { it("two", () => {}); describe("innermost", () => { it("three", () => {}); }); });
  describe("inner again", () => { it("four", () => {}); });
});
describe("all skipped", () => {
  for (const name of ["a", "b"]) it(name, function () { noteOf(this.test).skip = "why"; this.skip(); });
});
describe("empty", () => {});
`;

/** The outline of its suites within a suite. */
const INNER = ["  + inner", "    + two", "    + innermost", "      + three", "  + inner again", "    + four"];

describe("KTAP: a run that passes", () => {
  let run: KtapRun;
  before(() => {
    run = runReporter(GOOD);
  });

  it("nests suites to any depth, numbers results, and tells skipped and declared ones", () => {
    expectRun(run, {
      status: 0,
      outline: [
        "+ at the top",
        "+ outer",
        "  + one",
        "  ~ skipped # SKIP no device",
        "  ~ declared # XFAIL known",
        ...INNER,
        "~ all skipped # SKIP all skipped",
        "  ~ a # SKIP why",
        "  ~ b # SKIP why",
      ],
      closing: "6 passed, 0 failed, 3 skipped",
    });
  });

  it("is accepted by prove", function () {
    expectProve(this, run, "Result: PASS");
  });

  it("prints what tests print as comments", () => {
    expect(run.out).to.include("\n  # not ok 7 - printed\n");
  });

  it("plans for what --grep leaves", () => {
    const { document, closing } = readKtap(runReporter(GOOD, "--grep", "inner|top").out);
    expect(outline(document)).to.deep.equal(["+ at the top", "+ outer", ...INNER]);
    expect(closing).to.equal("4 passed, 0 failed, 0 skipped");
  });
});

describe("KTAP: names and texts that look like something else", () => {
  it("no name, reason or message is taken for a directive, a header or a result", () => {
    const run = runReporter(`
describe("suite # 1", () => {
  it("suite # 1", () => {});
  it("ends in # SKIP nothing", () => {});
  it("# TODO", () => {});
  it("1..3", () => {});
  it("- dash\\nand a second line", () => {});
  it("back\\\\slash", () => {});
  it("Subtest: x", () => {
    console.log("Subtest: y\\nKTAP version 1\\n1..9\\nBail out!\\n  ok 1 - z");
    process.stdout.write("no line break");
  });
  it("reason", function () { noteOf(this.test).skip = "no # device\\nat all"; this.skip(); });
  it("declared", function () { noteOf(this.test).xfail = "bug #12"; });
  it("", () => { throw new Error("not ok 9 - x\\n1..2\\nSubtest: y\\n# SKIP"); });
});
`);
    expectRun(run, {
      status: 1,
      outline: [
        "- suite no. 1",
        "  + suite no. 1 (itself)",
        "  + ends in no. SKIP nothing",
        "  + no. TODO",
        "  + _1..3",
        "  + _- dash and a second line",
        "  + back/slash",
        "  + Subtest: x",
        "  ~ reason # SKIP no no. device at all",
        "  ~ declared # XFAIL bug no. 12",
        "  - unnamed",
      ],
      closing: "8 passed, 1 failed, 1 skipped",
    });
    expect(run.out.match(/^ *# Subtest: .*$/gm)).to.deep.equal(["  # Subtest: suite no. 1"]);
    expect(run.out).to.include("# no line break\n");
  });
});

/** Tests that go wrong in some way, and what is to be read of it; `alone`: they end the whole run. */
const broken: readonly (Expected & {
  readonly title: string;
  readonly tests: string;
  readonly says?: string;
  readonly alone?: boolean;
})[] = [
  {
    title: "a test that fails, and one without a body",
    tests: `describe("s", () => { it("a", () => { throw new Error("bad"); }); it("b"); it("c", () => {}); });`,
    status: 2,
    outline: ["- s", "  - a", "  - b", "  + c"],
    closing: "1 passed, 2 failed, 0 skipped",
    says: "  # skipped without a reason",
  },
  {
    title: "a skip without a reason",
    tests: `it("a", function () { this.skip(); });`,
    status: 1,
    outline: ["- a"],
    closing: "0 passed, 1 failed, 0 skipped",
    says: "# skipped without a reason",
  },
  {
    title: "a before() hook that fails: the suite's tests, and those of its suites, are not run",
    tests: `describe("s", () => { before(() => { throw new Error("bad"); }); it("a", () => {}); describe("t", () => { it("b", () => {}); }); }); it("z", () => {});`,
    status: 3,
    outline: ["+ z", "- s", "  - a", "  - t", "    - b"],
    closing: "1 passed, 3 failed, 0 skipped",
    says: '  # "before all" hook',
  },
  {
    title: "a beforeEach() hook that fails: the tests from there on are not run",
    tests: `describe("s", () => { let n = 0; beforeEach(() => { if (n++ === 1) throw new Error("bad"); }); for (const x of ["a", "b", "c"]) it(x, () => {}); });`,
    status: 3,
    outline: ["- s", "  + a", "  - b", "  - c"],
    closing: "1 passed, 3 failed, 0 skipped",
  },
  {
    title: "an after() hook that fails: its suite fails, its tests do not",
    tests: `describe("s", () => { after(() => { throw new Error("bad"); }); it("a", () => {}); });`,
    status: 1,
    outline: ["- s", "  + a"],
    closing: "1 passed, 1 failed, 0 skipped",
    says: '  # "after all" hook',
  },
  {
    title: "a hook of the whole run that fails",
    alone: true,
    tests: `before(() => { throw new Error("bad"); }); it("a", () => {}); describe("s", () => { it("b", () => {}); });`,
    status: 3,
    outline: ["- a", "- s", "  - b"],
    closing: "0 passed, 3 failed, 0 skipped",
  },
  {
    title: "a test that exits the process, saying that all is well",
    alone: true,
    tests: `describe("s", () => { it("a", () => {}); describe("t", () => { it("b", () => { process.exit(0); }); it("c", () => {}); }); }); describe("u", () => { it("d", () => {}); });`,
    status: 1,
    outline: ["- s", "  + a", "  - t", "    - b", "    - c", "- u", "  - d"],
    closing: "1 passed, 3 failed, 0 skipped",
    says: "    # the process ended (status 0) while this test ran",
  },
  {
    title: "a hook that exits the process",
    alone: true,
    tests: `describe("s", () => { before(() => { process.exit(0); }); it("a", () => {}); });`,
    status: 1,
    outline: ["- s", "  - a"],
    closing: "0 passed, 2 failed, 0 skipped",
  },
  {
    title: "a test that never ends",
    tests: `describe("s", () => { it("a", function () { this.timeout(50); return new Promise(() => {}); }); it("b", () => {}); });`,
    status: 1,
    outline: ["- s", "  - a", "  + b"],
    closing: "1 passed, 1 failed, 0 skipped",
  },
  {
    title: "a rejection that nobody handles",
    tests: `describe("s", () => { it("a", () => { Promise.reject(new Error("lost")); return new Promise(() => {}); }); it("b", () => {}); });`,
    status: 1,
    outline: ["- s", "  - a", "  + b"],
    closing: "1 passed, 1 failed, 0 skipped",
  },
  {
    title: "an error after the test had passed",
    tests: `describe("s", () => { it("a", (done) => { done(); done(new Error("again")); }); it("b", () => {}); });`,
    status: 1,
    outline: ["- s", "  + a", "  + b"],
    closing: "2 passed, 1 failed, 0 skipped",
    says: "  # a, after its result",
  },
];

/** All of {@link broken} that may share a run, a suite each. */
function together(): { tests: string; expected: Expected } {
  const cases = broken.filter((one) => one.alone !== true);
  const counts = cases.map((one) => readClosingLine(one.closing));
  const sum = (what: "passed" | "failed" | "skipped"): number => counts.reduce((n, one) => n + (one?.[what] ?? 0), 0);
  return {
    tests: cases.map((one) => `describe(${JSON.stringify(one.title)}, () => { ${one.tests} });`).join("\n"),
    expected: {
      status: sum("failed"),
      outline: cases.flatMap((one) => [`- ${cleanName(one.title)}`, ...one.outline.map((line) => `  ${line}`)]),
      closing: closingLine({ passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") }),
    },
  };
}

describe("KTAP: a run that goes wrong", () => {
  let run: KtapRun;
  const { tests, expected } = together();
  before(() => {
    run = runReporter(tests);
  });

  it("tells of tests and hooks that fail, of what was not run, of what never ends", () => {
    expectRun(run, expected);
  });

  for (const one of broken) {
    it(one.title, () => {
      const own = one.alone === true ? runReporter(one.tests) : run;
      if (one.alone === true) expectRun(own, one);
      const from = own.out.indexOf(one.alone === true ? "1.." : `# Subtest: ${one.title}`);
      const text = own.out.slice(from, own.out.indexOf(one.alone === true ? one.closing : ` - ${one.title}`));
      expect(text).to.include(one.says ?? "# ");
    });
  }

  it("is refused by prove, which counts the suites", function () {
    expectProve(this, run, "Result: FAIL");
    expectProve(this, run, `Failed ${String(broken.filter((one) => one.alone !== true).length)}/`);
  });
});
