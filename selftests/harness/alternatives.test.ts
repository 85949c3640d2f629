// SPDX-License-Identifier: GPL-2.0-only
/** Alternatives: those of patches/series apply and type-check; and what is said when one does not, in a small project. */
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../harness/root.js";
import { buildVariant, checkAlternatives } from "../../harness/variants/build.js";
import { loadVariant } from "../../harness/variants/load.js";
import { refreshedAlternatives } from "../../harness/variants/refresh.js";
import { readSeries } from "../../harness/variants/series.js";
import { findVariant, listVariants, variantTree } from "../../harness/variants/spec.js";
import { complaint, miniProject, type MiniProject } from "./mini-project.js";

describe("the alternatives of patches/series", () => {
  const specs = listVariants().filter((spec) => spec.role === "alternative");

  for (const spec of specs) {
    it(`${spec.name} applies, and its head says which commit it ports`, () => {
      expect(variantTree(spec).added).not.to.deep.equal([]);
      const text = readFileSync(join(projectRoot(), spec.patch!.file), "utf8");
      expect(text).to.match(/^Subject: \[PORT.*\] .+\nKernel: ([0-9a-f]{12}|none) \(.+\)(, .+)?\n\n[^]+\ndiff --git /);
    });
  }

  it("type-check", async () => {
    expect(await checkAlternatives()).to.have.lengthOf(specs.length);
  });

  it("are what npm run patch:refresh makes of them", () => {
    for (const { path, old, text } of refreshedAlternatives()) expect(old, path).to.equal(text);
  });
});

const OVER = `Says who it is.

diff --git a/mm/small.ts b/mm/small.ts
--- a/mm/small.ts
+++ b/mm/small.ts
@@ -6,6 +6,8 @@
     case 0:
     case LOW:
       return "low";
+    case HIGH:
+      return "over";
     default:
       return "none";
   }
`;
const MORE = OVER.replace(
  /@@[^]*/,
  `@@ -8,5 +8,5 @@
       return "low";
     case HIGH:
-      return "over";
+      return "more";
     default:
       return "none";
`,
);

describe("an alternative", () => {
  let project: MiniProject;
  const root = (): string => project.root;
  const alternative = "\n# role: alternative\nalternatives/over.diff\n";

  beforeEach(() => {
    project = miniProject();
    project.write("patches/alternatives/over.diff", OVER);
    project.write("patches/alternatives/more.diff", MORE);
    project.write("build/variants/.keep", "");
    project.write("patches/series", `${project.read("patches/series")}${alternative}`);
  });
  afterEach(() => {
    project.remove();
  });

  const names = async (variant: string): Promise<unknown> => {
    const { kernel } = await loadVariant(variant, { ...project, unchecked: true });
    return (kernel as unknown as { names: unknown }).names;
  };
  const dependOn = (name: string): void => {
    const more = `\n# role: alternative\n# depends: ${name}\nalternatives/more.diff\n`;
    project.write("patches/series", `${project.read("patches/series")}${more}`);
  };

  const changeContext = (): void => {
    for (const path of ["mm/small.ts", "patches/small.patch"])
      project.write(path, project.read(path).replace("default:", "default: // else"));
  };

  it("goes on base, not on the patch under review", async () => {
    expect(await names("over")).to.deep.equal(["low", "low", "over", "none"]);
  });

  it("may go on top of another", async () => {
    dependOn("over");
    expect(await names("more")).to.deep.equal(["low", "low", "more", "none"]);
    expect(variantTree(findVariant("more", root()), root()).added.map((line) => line.line)).to.deep.equal([10]);
  });

  it("must depend on one above it", async () => {
    dependOn("small");
    expect(await complaint(() => readSeries(root()))).to.equal(
      "patches/series:10: more depends on small, which is no alternative above it; mend '# depends:', or move the line down",
    );
  });

  it("that no longer applies is told with its hunk and how to refresh it", async () => {
    changeContext();
    expect(await complaint(() => buildVariant("over", project))).to.match(
      /^patches\/alternatives\/over\.diff:6: hunk 1 of 1 for mm\/small\.ts does not apply to the base tree; npm run patch:refresh/,
    );
  });

  it("is refreshed when its context has changed, with those on top of it", () => {
    dependOn("over");
    changeContext();
    const refreshed = refreshedAlternatives(root());
    for (const { path, text } of refreshed) project.write(path, text);
    expect(refreshed.map((one) => one.old === one.text)).to.deep.equal([false, false]);
    expect(project.read("patches/alternatives/over.diff")).to.match(/^Says who it is\.\n\ndiff --git /);
    const { tree } = variantTree(findVariant("more", root()), root());
    expect(tree.get("mm/small.ts")).to.include('case HIGH:\n      return "more";\n    default: // else');
  });

  it("cannot be refreshed when its place is gone", async () => {
    const foreign = OVER.replace("case LOW", "case OTHER").replace('"low"', '"lower"').replace("default:", "never:");
    project.write("patches/alternatives/over.diff", foreign);
    expect(await complaint(() => refreshedAlternatives(root()))).to.match(
      /^patches\/alternatives\/over\.diff:6: hunk 1 of 1: no place for it in mm\/small\.ts; make this hunk anew by hand/,
    );
  });

  it("with a wrong type is told by the line of its diff", async () => {
    project.write("patches/alternatives/over.diff", OVER.replace('return "over"', "return 7"));
    expect(await complaint(() => checkAlternatives(root()))).to.match(
      /^mm\/small\.ts:10: variant over does not compile: TS2322: .*; mend line 11 of patches\/alternatives\/over\.diff$/,
    );
  });
});
