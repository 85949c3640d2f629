// SPDX-License-Identifier: GPL-2.0-only
/** Every recorded program ends in the address space that the kernel recorded. */
import { expect } from "chai";
import type { KernelModule } from "../../harness/replay/kernel.js";
import { loadVariant } from "../../harness/variants/load.js";
import { compareAfter } from "../../harness/workload/compare.js";
import { readWorkload } from "../../harness/workload/read.js";
import { parseSmaps, readSmaps, type SmapsVma } from "../../harness/workload/smaps.js";
import { replayProgram, replayWorkload } from "../../harness/workload/replay.js";

const MEMORY = 2 ** 31;
/** Above what a program that is not relocated has of its own. */
const PROGRAM_END = 2 ** 28;
/** Differences of 6.18 by design that each recording shows, in VMAs; `vma-churn` and `fork-churn` are of 6.1. */
const ACCEPTED: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  "node-worker": { gate: 1, stack: 14 },
  "qemu-memfd": { gate: 1, stack: 4 },
  "qemu-memfd-noprealloc": { gate: 1, stack: 4, account: 1 },
  "python-threads": { gate: 1, stack: 6 },
  "vma-churn": { gate: 1 },
  "fork-churn": { gate: 1 },
};

/** Ranges and numbers of what the recorded calls mapped: not of the program's own, which it touches. */
function mappedByCalls(vmas: readonly SmapsVma[]): [string, SmapsVma["numbers"]][] {
  return vmas
    .filter(({ name, start }) => start >= PROGRAM_END && !/^(?:\/f?churn|\[(?:heap|stack|v.*)\])$/.test(name))
    .map(({ start, end, numbers }) => [`${start.toString(16)}-${end.toString(16)}`, numbers]);
}

describe("recordings: workloads", () => {
  const kernels = new Map<string, KernelModule>();
  before(async function () {
    this.timeout(60000);
    for (const name of ["base", "patch"]) kernels.set(name, (await loadVariant(name)).kernel);
  });
  for (const name of Object.keys(ACCEPTED)) {
    for (const variant of ["base", "patch"]) {
      it(`${name} ends as recorded on ${variant}`, () => {
        const kernel = kernels.get(variant)!;
        const k = kernel.boot({ memory: MEMORY });
        const workload = readWorkload(name);
        const run = replayProgram(kernel, k, workload);
        expect(run.divergences).to.deep.equal([]);
        expect(run.killed).to.equal(false);
        const compared = compareAfter(kernel, k, workload, run);
        expect(compared.differences).to.deep.equal([]);
        expect(Object.fromEntries(compared.accepted.map((a) => [a.rule, a.count]))).to.deep.equal(ACCEPTED[name]);
        expect(kernel.checkMachine(k)).to.deep.equal([]);
      });
    }
  }

  for (const name of ["vma-churn", "fork-churn"]) {
    it(`${name}: each process has in each VMA the pages that smaps counted on 6.1`, () => {
      const kernel = kernels.get("base")!;
      const k = kernel.boot({ memory: MEMORY });
      const workload = readWorkload(name);
      const run = replayProgram(kernel, k, workload);
      let vmas = 0;
      for (const [pid, task] of run.tasks) {
        if (task.exited) continue;
        const path = task === run.task ? workload.afterPath : workload.afterPath.replace("after", String(pid));
        const recorded = mappedByCalls(readSmaps(path));
        const got = parseSmaps(kernel.smaps_text(k, task.mm!).trimEnd().split("\n"), "the model");
        vmas += recorded.length;
        expect(mappedByCalls(got), path).to.deep.equal(recorded);
      }
      expect(vmas).to.be.above(300);
    });
  }

  it("finds the guest's memory of QEMU and populates it", () => {
    const kernel = kernels.get("patch")!;
    const k = kernel.boot({ memory: MEMORY });
    const run = replayWorkload(kernel, k, readWorkload("qemu-memfd"), { onGuestMemory: "after-mmap" });
    expect(run.guest).to.deep.equal({ addr: 0x7fa7c7fff000, len: 256 << 20, fd: 9 });
    expect(run.advice).to.equal(0);
    expect(run.advisedAfter).to.equal(457);
    expect(run.mm.rss_stat[3]).to.equal(65536);
  });

  it("gives the OOM killer's verdict as a result where the host is too small", () => {
    const kernel = kernels.get("patch")!;
    const k = kernel.boot({ memory: 128 << 20 });
    const run = replayWorkload(kernel, k, readWorkload("qemu-memfd"));
    expect(run.killed).to.equal(true);
    expect(run.killedAt).to.equal(467);
  });

  it("refuses to advise where there is no guest", () => {
    const kernel = kernels.get("patch")!;
    const k = kernel.boot({ memory: MEMORY });
    expect(() => replayWorkload(kernel, k, readWorkload("node-worker"))).to.throw("no guest");
  });
});
