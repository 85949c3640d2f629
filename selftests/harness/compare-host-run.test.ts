// SPDX-License-Identifier: GPL-2.0-only
/** compare-host against the kernel that the tests run on, where it can be used; otherwise the test says why not. */
import { expect } from "chai";
import { compileAgent, openHost } from "../../harness/compare/host.js";
import { SKIP } from "../../harness/kselftest/index.js";
import { projectRoot } from "../../harness/root.js";
import { patchproof, patchproofHere } from "./program.js";

describe("compare-host: the running kernel", () => {
  let why = "";
  before(async () => {
    try {
      (await openHost(compileAgent())).close();
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
  });

  it("60 random cases show no difference that is not on the list", function () {
    if (why !== "") SKIP(why);
    this.timeout(120_000);
    const { status, out, err } = patchproof("compare-host", "--seed", "11", "--cases", "60", "--jobs", "1");
    expect(err).to.equal("");
    expect(out).to.match(/^60 passed, 0 failed$/m);
    expect(status).to.equal(0);
  });
  it("a line with a call that is never made is refused", async () => {
    if (why !== "") SKIP(why);
    const line = '{"case":"x","steps":[{"call":"madvise","args":[0,1,100],"ret":"0"}]}';
    const { status, out, err } = await patchproofHere(projectRoot(), "compare-host", "--case", line);
    expect([status, out]).to.deep.equal([2, ""]);
    expect(err).to.equal("patchproof: case x: MADV_HWPOISON is never issued; leave the call out\n");
  });
  for (const [option, value] of [
    ["--seed", "x"],
    ["--cases", "0"],
    ["--jobs", "0"],
    ["--case", "no/such/file.jsonl"],
    ["--case", "{"],
  ] as const) {
    it(`${option} ${value} is bad input`, async () => {
      if (why !== "") SKIP(why);
      const { status, out, err } = await patchproofHere(projectRoot(), "compare-host", option, value);
      expect([status, out]).to.deep.equal([2, ""]);
      expect(err).to.match(/^patchproof: .*\n$/);
    });
  }
});
