// SPDX-License-Identifier: GPL-2.0-only
/** patchproof versions, as a person runs it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { projectRoot } from "../../harness/root.js";
import type { VersionsReport } from "../../harness/versions/run.js";
import { patchproofHere, patchproofIn } from "./program.js";

const root = projectRoot();

describe("patchproof versions", function () {
  this.timeout(60_000);

  it("prints the table that the README shows, in 80 columns", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const sample = /<!-- sample: npx patchproof versions -->\n\n```text\n([^]*?)```/.exec(readme)?.[1];
    const { status, out, err } = patchproofIn({ cwd: root, env: { CI: "true" } }, "versions");
    expect({ status, err }).to.deep.equal({ status: 0, err: "" });
    expect(out).to.equal(sample);
    expect(Math.max(...out.split("\n").map((line) => line.length))).to.be.at.most(80);
  });

  it("--scenario, --versions and --json: what flips, by name", async () => {
    const { status, out } = await patchproofHere(
      root,
      ...["versions", "--json", "--scenario", "all pages are isolated", "--versions", "gup-nothing-isolated"],
    );
    const { versions, scenarios } = JSON.parse(out) as VersionsReport;
    expect(status).to.equal(0);
    expect(versions.map(({ name, release }) => [name, release])).to.deep.equal([
      ["base", "v6.1"],
      ["gup-nothing-isolated", "v6.14"],
    ]);
    expect(scenarios).to.deep.equal([
      {
        name: "all pages are isolated for a moment",
        results: { base: "moved", "gup-nothing-isolated": "stays in CMA" },
        flips: ["gup-nothing-isolated"],
        wrong: {},
      },
    ]);
  });

  const bad: readonly [string, readonly string[], RegExp][] = [
    [
      "an unknown version",
      ["--versions", "v6.11"],
      /^patchproof: --versions: 'v6\.11' is no change to the pin; known: base, .+\n$/,
    ],
    [
      "a scenario that there is not",
      ["--scenario", "(x"],
      /^patchproof: --scenario: no scenario has '\(x' in its name; patchproof versions lists all\n$/,
    ],
    [
      "a mutant, on which none runs",
      ["--versions", "thp-split-retry-first", "--scenario", "one of four"],
      /^patchproof: --versions: no scenario runs on 'thp-split-retry-first'; leave it out\n$/,
    ],
  ];
  for (const [what, args, line] of bad) {
    it(`${what}: one line, exit status 2`, async () => {
      const { status, out, err } = await patchproofHere(root, "versions", ...args);
      expect({ status, out }).to.deep.equal({ status: 2, out: "" });
      expect(err).to.match(line);
    });
  }
});
