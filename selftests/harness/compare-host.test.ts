// SPDX-License-Identifier: GPL-2.0-only
/** compare-host: what it never does, and that it finds what differs, whatever the machine that the tests run on. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { arbitraryCase } from "../../harness/compare/cases.js";
import { Comparer } from "../../harness/compare/compare.js";
import { compileAgent, type Environment, type Host, openHost } from "../../harness/compare/host.js";
import { NO_LIST } from "../../harness/compare/known.js";
import { caseText, readAnswer } from "../../harness/compare/protocol.js";
import { compareGiven, compareMade } from "../../harness/compare/run.js";
import { forbidden } from "../../harness/compare/safety.js";
import { describeFailure, EXIT_BAD_INPUT } from "../../harness/errors.js";
import { makeCall, type Slots } from "../../harness/replay/calls.js";
import type { KernelModule } from "../../harness/replay/kernel.js";
import type { TraceCase, TraceStep } from "../../harness/replay/trace-format.js";
import { windowOf } from "../../harness/replay/window.js";
import { loadVariant } from "../../harness/variants/load.js";

const ENVIRONMENT: Environment = { release: "6.1", cpu: "max,-pku", config: {}, pages: true, memlock: -1 };

/** The model as a host; what it answers can be changed on the way. */
class ModelHost implements Host {
  readonly environment = ENVIRONMENT;
  runs = 0;
  private readonly kernel: KernelModule;
  private readonly change: (step: TraceStep) => TraceStep;

  constructor(kernel: KernelModule, change: (step: TraceStep) => TraceStep) {
    this.kernel = kernel;
    this.change = change;
  }

  run(c: TraceCase): Promise<TraceStep[]> {
    this.runs++;
    const k = this.kernel.boot({ memory: 512 << 20, seed: 1 });
    const sys = this.kernel.syscalls(k);
    const slots: Slots = [];
    if (c.memlock !== undefined) {
      k.current.capabilities.clear();
      sys.setrlimit(8, c.memlock * 4096);
    }
    return Promise.resolve(
      c.steps
        .filter((step) => step.call !== "fork")
        .map((step) => {
          const answer = makeCall(sys, step, slots);
          return this.change({ ...step, ...answer, vmas: windowOf(this.kernel, k, k.current.mm!) });
        }),
    );
  }

  close(): void {
    this.runs = 0;
  }
}

describe("compare-host: what is never done", () => {
  it("no generated case holds a call that is forbidden", () => {
    fc.assert(
      fc.property(arbitraryCase(), (c) => c.steps.every((step) => forbidden(step) === null)),
      { numRuns: 3000 },
    );
  });
  it("generated cases hold every call of the format", () => {
    const seen = new Set<string>();
    const look = (step: TraceStep): void => {
      seen.add(step.call);
      step.child?.forEach(look);
    };
    for (const c of fc.sample(arbitraryCase(), { numRuns: 500, seed: 1 })) c.steps.forEach(look);
    const calls =
      "mmap munmap mprotect madvise madvise_bytes mremap mlock mlock2 munlock msync mincore name r w memfd ftruncate pwrite pread falloc fork";
    expect([...seen].sort()).to.deep.equal(calls.split(" ").sort());
  });
  const bad: readonly TraceStep[] = [
    { call: "madvise", args: [0, 1, 100] },
    { call: "madvise", args: [0, 1, 101] },
    { call: "madvise", args: [0, 1, 100 + 2 ** 32] },
    { call: "madvise_bytes", args: [0, 4096, 101] },
    { call: "madvise_bytes", args: [-4096, 4096, 4] },
    { call: "madvise_bytes", args: [0, -(2n ** 63n), 4] },
    { call: "munmap", args: [4000, 97] },
    { call: "mprotect", args: [0, 2 ** 36, 0] },
    { call: "w", args: [4096, 1] },
    { call: "mremap", args: [0, 1, 4000, 3, 97] },
    { call: "fork", args: [], child: [{ call: "madvise", args: [0, 1, 100] }] },
  ];
  for (const step of bad) {
    it(`${step.call}(${step.args.map(String).join(", ")}) is refused`, () => {
      expect(forbidden(step)).to.be.a("string");
    });
  }
});

describe("compare-host: a host that differs", () => {
  let kernel: KernelModule;
  before(async function () {
    this.timeout(60000);
    ({ kernel } = await loadVariant("base"));
  });

  const lies = (step: TraceStep): TraceStep =>
    step.call === "munmap" && step.ret === "0" ? { ...step, ret: "EPERM" } : step;

  it("is found in a random case and shrunk to the one call", async () => {
    const comparer = new Comparer(new ModelHost(kernel, lies), kernel, NO_LIST);
    let found = 0;
    for (let i = 0; i < 40; i++) {
      const { divergence, answered } = await compareMade(comparer, 5, i, true);
      if (divergence?.differences[0]?.what !== "returned") continue;
      found++;
      expect(answered.steps.map((s) => s.call)).to.deep.equal(["munmap"]);
      expect(divergence.differences[0]).to.deep.include({ expected: "EPERM", got: "0" });
    }
    expect(found).to.be.greaterThan(0);
  });
  it("is found in a given case, which shrinks by its calls", async () => {
    const comparer = new Comparer(new ModelHost(kernel, lies), kernel, NO_LIST);
    const steps: TraceStep[] = [
      { call: "mmap", args: [0, 4, 3, 0x32, -1, 0] },
      { call: "w", args: [1, 7] },
      { call: "munmap", args: [1, 1] },
      { call: "r", args: [0] },
    ];
    const { divergence, answered } = await compareGiven(comparer, { id: "x", line: 2, steps }, true);
    expect(divergence?.step).to.equal("0");
    expect(answered.steps.map((s) => s.call)).to.deep.equal(["munmap"]);
  });
  it("does not differ where it does not lie", async () => {
    const comparer = new Comparer(new ModelHost(kernel, (step) => step), kernel, NO_LIST);
    const steps: TraceStep[] = [
      { call: "mmap", args: [0, 4, 3, 0x2032, -1, 0] },
      { call: "munmap", args: [1, 1] },
    ];
    const { divergence } = await compareGiven(comparer, { id: "x", line: 2, memlock: 2, steps }, true);
    expect(divergence).to.equal(null);
  });
  it("has a known call left out and counted, and the rest compared", async () => {
    const entry = {
      id: "lying-munmap",
      since: "6.0",
      change: "munmap lies, for a test",
      reason: "the host of this test does so",
      calls: ["munmap"],
      returned: [{ host: "EPERM", model: "0" }],
    };
    const comparer = new Comparer(new ModelHost(kernel, lies), kernel, { words: [], differences: [entry] });
    const steps: TraceStep[] = [
      { call: "munmap", args: [1, 1] },
      { call: "munmap", args: [2, 1] },
      { call: "mmap", args: [0, 4, 3, 0x32, -1, 0] },
    ];
    const { divergence, known, answered } = await compareGiven(comparer, { id: "x", line: 2, steps }, true);
    expect(divergence).to.equal(null);
    expect([...known]).to.deep.equal([["lying-munmap", 2]]);
    expect(answered.steps.map((s) => s.call)).to.deep.equal(["mmap"]);
  });
});

describe("compare-host: the agent", () => {
  it("answers line by line, in children too", () => {
    const c: TraceCase = {
      id: "x",
      line: 0,
      memlock: 16,
      steps: [
        { call: "mmap", args: [0, 1, 3, 50, -1, 0] },
        { call: "fork", args: [], child: [{ call: "w", args: [9, 1] }] },
        { call: "r", args: [0] },
      ],
    };
    expect(caseText(c)).to.equal("case 16\nmmap 0 1 3 50 -1 0\nfork\nw 9 1\njoin\nr 0\nend\n");
    const vma = "0\t1\trw-p\t0\t\t rd wr \t-";
    const lines = ["= 0", "w 1", vma, "child", "w 1", vma, "= 0 SIGSEGV code 1", "joined 0", "= 0 val 7"];
    const row = ["0-1", "rw-p", 0, "", "rd wr", "-"];
    expect(readAnswer(c, lines)).to.deep.equal({
      steps: [
        { call: "mmap", args: [0, 1, 3, 50, -1, 0], ret: "0", vmas: [row] },
        {
          call: "fork",
          args: [],
          child_vmas: [row],
          child: [{ call: "w", args: [9, 1], ret: "SIGSEGV", code: 1 }],
          status: 0,
        },
        { call: "r", args: [0], ret: "0", val: 7 },
      ],
    });
    expect(readAnswer(c, ["= 0", "! no"])).to.deep.equal({ refused: "no" });
  });

  async function refusal(open: () => Promise<unknown>): Promise<string> {
    try {
      await open();
    } catch (error) {
      const { line, status } = describeFailure(error);
      expect(status).to.equal(EXIT_BAD_INPUT);
      expect(line).to.not.include("\n");
      return line;
    }
    throw new Error("not refused");
  }

  it("that cannot start, or says why it cannot work, is one line and exit status 2", async () => {
    expect(await refusal(() => openHost("/no/such/agent"))).to.include("the agent does not start");
    expect(await refusal(() => openHost("/bin/true"))).to.include("the agent does not start");
  });
  it("that cannot be compiled is one line and exit status 2", async () => {
    const folder = mkdtempSync(join(tmpdir(), "patchproof-agent-"));
    try {
      for (const compiler of ["no-such-compiler", "false"]) {
        const line = await refusal(() => new Promise((resolve) => resolve(compileAgent(compiler, folder))));
        expect(line).to.match(/^the running kernel cannot be used: .*; compare-host needs Linux on x86-64/);
        expect(readdirSync(folder)).to.deep.equal([]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
