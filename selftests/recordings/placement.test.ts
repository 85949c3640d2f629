// SPDX-License-Identifier: GPL-2.0-only
/** Guests land where the recorded kernel put them. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { inlineMore } from "../../harness/optimiser.js";
import type { KernelModule } from "../../harness/replay/kernel.js";
import { compareRun, toleranceOf } from "../../harness/replay/placement-compare.js";
import { readPlacement } from "../../harness/replay/placement-format.js";
import { makeRun } from "../../harness/replay/placement-run.js";
import { projectRoot } from "../../harness/root.js";
import { loadVariant } from "../../harness/variants/load.js";

const DIRECTORY = join(projectRoot(), "fixtures", "placement");

describe("recordings: placement", () => {
  let kernel: KernelModule;
  before(async function () {
    inlineMore(true);
    this.timeout(60000);
    ({ kernel } = await loadVariant("patch"));
  });
  after(() => {
    inlineMore(false);
  });
  for (const name of readdirSync(DIRECTORY).filter((n) => n.endsWith(".json"))) {
    const recording = readPlacement(join(DIRECTORY, name));
    describe(name.replace(/\.json$/, ""), () => {
      for (const [i, boot] of recording.boots.entries()) {
        const title = boot.runs.length === 1 ? boot.runs[0]!.run : `${String(boot.runs.length)} runs in a row`;
        it(`boot ${String(i)}, ${title}`, function () {
          this.timeout(120000);
          const k = kernel.boot({ like: boot, seed: 1 });
          const found = boot.runs.flatMap((run) => compareRun(run, makeRun(kernel, k, run), toleranceOf(boot)));
          expect(found).to.deep.equal([]);
        });
      }
    });
  }
});
