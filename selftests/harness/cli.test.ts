// SPDX-License-Identifier: GPL-2.0-only
/** The command line: help, versions, and one line on standard error with exit status 2 for bad input. */
import { expect } from "chai";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseCount, parseNames, parseSize } from "../../harness/commands/parse.js";
import { describeFailure, UserError } from "../../harness/errors.js";
import { planHost } from "../../harness/evaluate/host.js";
import { wantsColour, writeFiles } from "../../harness/output.js";
import { packageVersion, projectRoot } from "../../harness/root.js";
import { patchproof, patchproofHere } from "./program.js";

describe("patchproof on the command line", () => {
  it("prints its help and its version", async () => {
    const help = patchproof("--help");
    expect(help.status).to.equal(0);
    expect(help.out)
      .to.match(/evaluate \[options\] \[patch\]/)
      .and.match(/Exit status/);
    expect((await patchproofHere(projectRoot(), "--version")).out.trim()).to.equal(packageVersion());
  });

  it("prints the help of evaluate with all of its options", async () => {
    const { status, out } = await patchproofHere(projectRoot(), "evaluate", "--help");
    expect(status).to.equal(0);
    for (const option of [
      "--workload",
      "--memory",
      "--cma",
      "--variants",
      "--seed",
      "--json",
      "--jobs",
      "--no-selftests",
      "--out",
    ]) {
      expect(out).to.include(option);
    }
  });

  const bad: readonly (readonly [string, string[], RegExp])[] = [
    ["an unknown command", ["evalute"], /^patchproof: unknown command 'evalute'.*Did you mean evaluate/],
    ["an unknown option", ["evaluate", "--sed", "1"], /^patchproof: unknown option '--sed'/],
    ["a size that is none", ["evaluate", "--memory", "12Q"], /^patchproof: --memory: '12Q' is not a size/],
    ["a seed that is none", ["evaluate", "--seed", "-1"], /^patchproof: --seed: '-1' is not a whole number/],
    ["two patches", ["evaluate", "a", "b"], /^patchproof: b: a second patch/],
  ];
  for (const [what, args, line] of bad) {
    it(`refuses ${what}`, async () => {
      const { status, out, err } = await patchproofHere(projectRoot(), ...args);
      expect(err).to.match(line);
      expect(err.trimEnd().split("\n"), "one line").to.have.length(1);
      expect([status, out]).to.deep.equal([2, ""]);
    });
  }
});

describe("values of options", () => {
  it("are sizes", () => {
    const sizes = ["4096", "1K", "512M", "2g", "1.5GiB", "64GB", "1T"].map((text) => parseSize(text, "--memory"));
    expect(sizes).to.deep.equal([4096, 2 ** 10, 2 ** 29, 2 ** 31, 1.5 * 2 ** 30, 2 ** 36, 2 ** 40]);
    for (const text of ["", "M", "-1M", "1X", "1e3", "0.3K", "99999999T"])
      expect(() => parseSize(text, "--cma")).to.throw(/^--cma: /);
  });
  it("are counts", () => {
    expect(parseCount("7", "--jobs", 1, 8)).to.equal(7);
    for (const text of ["0", "9", "x", "1.5", ""])
      expect(() => parseCount(text, "--jobs", 1, 8)).to.throw(/from 1 to 8/);
  });
  it("are names", () => {
    expect(parseNames("base, patch,base", "--variants")).to.deep.equal(["base", "patch"]);
    expect(() => parseNames("a,,b", "--variants")).to.throw(/^--variants: an empty name/);
  });
  it("fit each other", () => {
    for (const bad of [{ memory: 0 }, { memory: 2 ** 43 }]) expect(() => planHost(bad)).to.throw(/^--memory/);
    expect(() => planHost({ memory: 2 ** 20, cma: 2 ** 20 })).to.throw(
      /^--cma: an area of 1 MiB does not fit into 1 MiB/,
    );
    expect(() => planHost({ cma: 2 ** 40 })).to.throw(/^--cma/);
    expect(planHost({ cma: 2 ** 20 })).to.include({ like: null, memory: 2 ** 29, cma: 2 ** 20 });
  });
});

describe("what is told of a failure", () => {
  it("is one line and a status", () => {
    expect(describeFailure(new UserError("f:1", "two\n  lines", "do this"))).to.deep.equal({
      line: "f:1: two lines; do this",
      status: 2,
    });
    const edge = Object.assign(new Error("not modelled: mm/hugetlb.c"), { name: "NotModelled" });
    expect(describeFailure(edge)).to.deep.equal({ line: "not modelled: mm/hugetlb.c", status: 2 });
    expect(describeFailure(Object.assign(new Error("a\nb"), { name: "KernelBug" })).line).to.equal(
      "the model met a broken invariant: a b",
    );
    expect(describeFailure(new TypeError("x")).status).to.equal(70);
    expect(describeFailure("x").line).to.match(/^internal error/);
  });
});

describe("files that are written", () => {
  it("are whole or not there", () => {
    const folder = mkdtempSync(join(tmpdir(), "patchproof-out-"));
    try {
      writeFiles(
        new Map(
          [
            ["a/x.json", "1"],
            ["y.md", "2"],
          ].map(([name, text]) => [join(folder, name ?? ""), text ?? ""]),
        ),
      );
      expect(readdirSync(folder).sort()).to.deep.equal(["a", "y.md"]);
      writeFileSync(join(folder, "file"), "");
      const refused = (): void => {
        writeFiles(
          new Map([
            [join(folder, "new.json"), "1"],
            [join(folder, "file/x.json"), "2"],
          ]),
        );
      };
      expect(refused).to.throw(UserError, /file\/x\.json: cannot be written/);
      expect(readdirSync(folder).sort()).to.deep.equal(["a", "file", "y.md"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("colour", () => {
  it("is for terminals, and as NO_COLOR and FORCE_COLOR say", () => {
    expect(wantsColour({ isTTY: true }, {})).to.equal(true);
    expect(wantsColour({}, { CI: "1" })).to.equal(false);
    expect(wantsColour({ isTTY: true }, { NO_COLOR: "1", FORCE_COLOR: "1" })).to.equal(false);
    expect(wantsColour({}, { FORCE_COLOR: "1" })).to.equal(true);
    expect(wantsColour({ isTTY: true }, { TERM: "dumb" })).to.equal(false);
  });
});
