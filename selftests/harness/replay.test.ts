// SPDX-License-Identifier: GPL-2.0-only
/** The replay sees a difference wherever a recording and the model part, and shows it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { coloursIf } from "../../harness/output.js";
import type { KernelModule } from "../../harness/replay/kernel.js";
import { printDivergence } from "../../harness/replay/print.js";
import type { Divergence } from "../../harness/replay/run-case.js";
import { runCases } from "../../harness/replay/run-file.js";
import { readTrace, type TraceStep } from "../../harness/replay/trace-format.js";
import { loadVariant } from "../../harness/variants/load.js";
import { readStrace } from "../../harness/workload/strace.js";

const MAP: TraceStep = {
  call: "mmap",
  args: [0, 4, 3, 0x32, -1, 0],
  ret: "0",
  vmas: [["0-4", "rw-p", 0, "", "rd wr mr mw me ac", "----"]],
};

describe("replay: differences", () => {
  let kernel: KernelModule;
  let folder: string;
  before(async function () {
    this.timeout(60000);
    ({ kernel } = await loadVariant("patch"));
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "patchproof-replay-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function run(steps: readonly TraceStep[], pages = true): Divergence | null {
    const path = join(folder, "t.jsonl");
    const head = { format: "mm-trace/1", kernel: "6.1.192", variant: "rfc", cpu: "max,-pku" };
    writeFileSync(path, `${JSON.stringify(head)}\n${JSON.stringify({ case: "x-1", steps })}\n`);
    const trace = readTrace(path);
    return runCases(kernel, trace, trace.cases, { pages, stop: false }).divergences[0] ?? null;
  }

  it("none where there is none", () => {
    expect(
      run([
        MAP,
        { call: "r", args: [1], ret: "0", val: 0, vmas: [["0-4", "rw-p", 0, "", "rd wr mr mw me ac", "-z--"]] },
      ]),
    ).to.equal(null);
  });
  const wrong: Record<string, TraceStep> = {
    returned: { call: "munmap", args: [0, 0], ret: "0" },
    si_code: { call: "w", args: [9, 1], ret: "SIGSEGV", code: 2 },
    "value read": {
      call: "r",
      args: [0],
      ret: "0",
      val: 7,
      vmas: [["0-4", "rw-p", 0, "", "rd wr mr mw me ac", "z---"]],
    },
    resident: { call: "mincore", args: [0, 4], ret: "0", vec: "0001" },
    "moved to": { call: "mremap", args: [0, 4, 4, 0, 0], ret: "0", to: 3 },
    window: { call: "madvise", args: [1, 1, 10], ret: "0" },
    status: { call: "fork", args: [], child_vmas: MAP.vmas, child: [], status: 1 },
  };
  for (const [what, step] of Object.entries(wrong)) {
    it(`in what the recordings call "${what}"`, () => {
      const d = run([MAP, step]);
      expect(d?.step).to.equal("1");
      expect(d?.differences.map((x) => x.what)).to.deep.equal([what]);
    });
  }
  for (const [i, field] of ["0-5", "r--p", 1, "[anon:x]", "rd wr mr mw me", "a---"].entries()) {
    it(`in field ${String(i)} of a VMA`, () => {
      const vma = MAP.vmas![0]!.map((was, at) => (at === i ? field : was)) as unknown as NonNullable<
        TraceStep["vmas"]
      >[number];
      expect(run([{ ...MAP, vmas: [vma] }])?.differences[0]?.what).to.equal("window");
      if (i === 5) expect(run([{ ...MAP, vmas: [vma] }], false)).to.equal(null);
    });
  }
  it("is printed with the call in words, both windows and a mark", () => {
    const d = run([MAP, wrong["window"]!])!;
    const lines = printDivergence(d, "t.jsonl", true, coloursIf(false));
    expect(lines[0]).to.equal("DIVERGED t.jsonl: case x-1, step 1: madvise(page 1, 1 pages, MADV_DONTFORK)");
    expect(lines.join("\n"))
      .to.match(/before:\n.*0-4/)
      .and.match(/! 0-4 .*≠ 0-1/);
  });
});

describe("replay: strace", () => {
  it("puts a call together that another thread cut in two", () => {
    const folder = mkdtempSync(join(tmpdir(), "patchproof-strace-"));
    const path = join(folder, "w.strace");
    const lines = [
      "7  munmap(0x1000, 4096 <unfinished ...>",
      '8  openat(AT_FDCWD</srv>, "/a,(b", O_RDONLY|O_CLOEXEC) = 3</a,(b>',
      "7  <... munmap resumed>)           = 0",
      "8  mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</memfd:x>(deleted), 0) = -1 ENOMEM (Cannot allocate memory)",
      "8  --- SIGCHLD {si_signo=SIGCHLD} ---",
      "8  +++ exited with 3 +++",
    ];
    writeFileSync(path, `${lines.join("\n")}\n`);
    const { events, unfinished } = readStrace(path);
    rmSync(folder, { recursive: true });
    expect(events).to.deep.equal([
      {
        pid: 8,
        name: "openat",
        args: ["AT_FDCWD</srv>", '"/a,(b"', "O_RDONLY|O_CLOEXEC"],
        ret: { value: 3, errno: null, path: "/a,(b" },
        from: 2,
        line: 2,
      },
      {
        pid: 7,
        name: "munmap",
        args: ["0x1000", "4096"],
        ret: { value: 0, errno: null, path: null },
        from: 1,
        line: 3,
      },
      {
        pid: 8,
        name: "mmap",
        args: ["NULL", "4096", "PROT_READ", "MAP_SHARED", "3</memfd:x>(deleted)", "0"],
        ret: { value: -1, errno: "ENOMEM", path: null },
        from: 4,
        line: 4,
      },
      { pid: 8, status: 3, signal: null, line: 6 },
    ]);
    expect(unfinished).to.deep.equal([]);
  });
});
