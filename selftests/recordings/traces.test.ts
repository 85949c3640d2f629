// SPDX-License-Identifier: GPL-2.0-only
/** Every case of the recorded traces passes, with page states, on the variant that it was recorded on. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { KernelModule } from "../../harness/replay/kernel.js";
import { readRecording } from "../../harness/replay/recording.js";
import { runCases } from "../../harness/replay/run-file.js";
import { projectRoot } from "../../harness/root.js";
import { optimiseLate } from "../../harness/optimiser.js";
import { loadVariant } from "../../harness/variants/load.js";

const DIRECTORY = join(projectRoot(), "fixtures", "traces");
const GROUP = 100;

describe("recordings: traces", () => {
  before(optimiseLate);
  for (const name of readdirSync(DIRECTORY).filter((n) => n.endsWith(".gz"))) {
    const recording = readRecording(join(DIRECTORY, name));
    if (recording.kind !== "trace") continue;
    const { trace, variant } = recording;
    describe(name.replace(/\.jsonl\.gz$/, ""), () => {
      let kernel: KernelModule;
      before(async function () {
        this.timeout(60000);
        ({ kernel } = await loadVariant(variant));
      });
      for (let from = 0; from < trace.cases.length; from += GROUP) {
        const cases = trace.cases.slice(from, from + GROUP);
        it(`cases ${cases[0]!.id} to ${cases.at(-1)!.id} go as recorded on ${variant}`, () => {
          const result = runCases(kernel, trace, cases, { pages: true, stop: false, checkEvery: GROUP });
          const failing = result.divergences.map((d) => `${d.caseId} at step ${d.step}`);
          expect(failing, `patchproof replay ${name} shows them`).to.deep.equal([]);
          expect(result.passed).to.equal(cases.length);
          expect(result.broken).to.deep.equal([]);
        });
      }
    });
  }
});
