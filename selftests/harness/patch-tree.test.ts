// SPDX-License-Identifier: GPL-2.0-only
/** The checked-out tree is base with the patch under review applied, and both build. */
import { expect } from "chai";
import { projectRoot } from "../../harness/root.js";
import { buildVariant } from "../../harness/variants/build.js";
import { instrumentVariant } from "../../harness/variants/coverage.js";
import { importKernel, loadVariant } from "../../harness/variants/load.js";
import { refreshedPatch } from "../../harness/variants/refresh.js";
import { addedLines, baseTree, reviewVariant, variantTree } from "../../harness/variants/spec.js";
import { readTree } from "../../harness/variants/tree.js";

const root = projectRoot();

describe("the tree and the patch under review", () => {
  it("fit, and where a hunk no longer does it is named and npm run patch:refresh rewrites the diff", () => {
    // A UserError of baseTree says which hunk; lines that have only moved are no reason to fail.
    expect(baseTree(root).size).to.be.above(0);
    expect(refreshedPatch(root).path).to.equal("patches/rfc-madv-nomovable.patch");
  });

  it("give base, in which nothing of the patch is left", () => {
    const left = [...baseTree(root)].flatMap(([path, text]) =>
      text
        .split("\n")
        .flatMap((line, i) =>
          /\w*_?NOMOVABLE|vma_no_movable/.test(line) ? [`${path}:${String(i + 1)}: ${line}`] : [],
        ),
    );
    expect(left).to.deep.equal([]);
  });

  it("give the tree again when the patch is put on base", () => {
    const { tree } = variantTree(reviewVariant(root), root);
    const now = readTree(root);
    expect([...tree.keys()]).to.deep.equal([...now.keys()]);
    for (const [path, text] of now) expect(tree.get(path) === text, path).to.equal(true);
  });

  it("have the added lines where the patch says", () => {
    const tree = readTree(root);
    for (const { path, line, text } of addedLines(reviewVariant(root), root)) {
      expect(tree.get(path)?.split("\n")[line - 1], `${path}:${String(line)}`).to.equal(text);
    }
  });

  it("build and load side by side, each with modules of its own", async () => {
    const [base, patch] = await Promise.all([loadVariant("base"), loadVariant("patch")]);
    expect(base.kernel).not.to.equal(patch.kernel);
    expect(base.hash).not.to.equal(patch.hash);
    expect(Object.keys(base.kernel)).to.deep.equal(Object.keys(patch.kernel));
    expect((await buildVariant("base")).dir).to.equal(base.dir);
  });

  it("build instrumented beside that", async () => {
    const built = await instrumentVariant("patch");
    expect(built.dir).to.match(/-lines\/js$/);
    expect((await importKernel(built.dir)).boot).to.be.a("function");
  });
});
