// SPDX-License-Identifier: GPL-2.0-only
/** Several KTAP documents joined into one: order, numbers, totals, and processes that die. */
import { expect } from "chai";
import { KtapJoin } from "../../harness/ktap/join.js";

function join(names: readonly string[]): { joined: KtapJoin; out: string[] } {
  const out: string[] = [];
  return { joined: new KtapJoin(names, { line: (text) => out.push(text), close: () => undefined }), out };
}

const document = (suite: string, counts: string, ...results: string[]): string[] => [
  "KTAP version 1",
  `1..${String(results.length)}`,
  "  KTAP version 1",
  `  # Subtest: ${suite}`,
  "  1..1",
  "  ok 1 - inner",
  ...results,
  "# Totals: pass:2 fail:0 xfail:0 xpass:0 skip:1 error:0",
  counts,
];

describe("joined KTAP", () => {
  it("is in the order of the parts, whichever is first, with numbers that go on", () => {
    const { joined, out } = join(["a", "b"]);
    const a = document("sa", "2 passed, 0 failed, 1 skipped", "ok 1 - sa", "ok 2 - t # SKIP no");
    const b = document("sb", "2 passed, 1 failed, 1 skipped", "not ok 1 - sb");
    for (const text of b) joined.line(1, text);
    joined.end(1, undefined);
    expect(out, "before all plans are known").to.deep.equal([]);
    for (const text of a) joined.line(0, text);
    expect(out.slice(0, 3)).to.deep.equal(["KTAP version 1", "1..3", "  KTAP version 1"]);
    expect(out).not.to.include("  # Subtest: sb");
    joined.end(0, undefined);
    expect(out.filter((text) => /^(not )?ok/.test(text))).to.deep.equal([
      "ok 1 - sa",
      "ok 2 - t # SKIP no",
      "not ok 3 - sb",
    ]);
    expect(out.at(-1)).to.equal("# Totals: pass:4 fail:0 xfail:0 xpass:0 skip:2 error:0");
    expect(out.filter((text) => text === "KTAP version 1")).to.have.length(1);
    expect(joined.counts).to.deep.equal({ passed: 4, failed: 1, skipped: 2 });
  });

  it("fails what a process that died had announced", () => {
    const { joined, out } = join(["a", "b"]);
    for (const text of ["KTAP version 1", "1..3", "ok 1 - s"]) joined.line(0, text);
    joined.end(0, "killed by SIGKILL");
    joined.end(1, "exit status 1");
    expect(out).to.deep.equal([
      "KTAP version 1",
      "1..4",
      "ok 1 - s",
      "# the selftests of a did not end: killed by SIGKILL",
      "not ok 2 - a, not run",
      "not ok 3 - a, not run",
      "# the selftests of b did not end: exit status 1",
      "not ok 4 - b, not run",
      "# Totals: ",
    ]);
    expect(joined.counts.failed).to.equal(2);
  });

  it("fails a process that says that all went well and exits otherwise", () => {
    const { joined, out } = join(["a"]);
    for (const text of document("s", "2 passed, 0 failed, 1 skipped", "ok 1 - s")) joined.line(0, text);
    joined.end(0, "exit status 7");
    expect(out).to.include("# the selftests of a: exit status 7");
    expect(joined.counts).to.deep.equal({ passed: 2, failed: 1, skipped: 1 });
  });

  it("names what failed, with what it said, where the log ends", () => {
    const { joined } = join(["a"]);
    const lines = [
      ...["KTAP version 1", "1..3", "  KTAP version 1", "  # Subtest: s", "  1..2"],
      ...["  ok 1 - before", "  # expected 1 to equal 2", "  #   +2", "  not ok 2 - inner", "not ok 1 - s"],
      ...["  KTAP version 1", "  # Subtest: hook", "  1..1", "  ok 1 - inner", "  # the hook threw", "not ok 2 - hook"],
      ...[
        "not ok 3 - alone",
        "# Totals: pass:2 fail:3 xfail:0 xpass:0 skip:0 error:0",
        "2 passed, 3 failed, 0 skipped",
      ],
    ];
    for (const text of lines) joined.line(0, text);
    joined.end(0, undefined);
    expect(joined.failures.summary()).to.deep.equal([
      "failed: s > inner",
      "  expected 1 to equal 2",
      "    +2",
      "failed: hook",
      "  the hook threw",
      "failed: alone",
    ]);
  });
});
