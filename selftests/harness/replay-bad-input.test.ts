// SPDX-License-Identifier: GPL-2.0-only
/** A recording that is not whole is refused in one line that names file and line. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect } from "chai";
import { describeFailure, EXIT_BAD_INPUT } from "../../harness/errors.js";
import { readRecording } from "../../harness/replay/recording.js";
import { projectRoot } from "../../harness/root.js";
import { loadVariant } from "../../harness/variants/load.js";
import { readWorkload } from "../../harness/workload/read.js";
import { replayProgram } from "../../harness/workload/replay.js";
import { readSmaps } from "../../harness/workload/smaps.js";
import { readStrace } from "../../harness/workload/strace.js";

const HEAD = '{"format":"mm-trace/1","kernel":"6.1.192","variant":"rfc","cpu":"max,-pku"}\n';

function traceOf(...steps: string[]): string {
  return `${HEAD}{"case":"x-1","steps":[${steps.join(",")}]}\n`;
}

describe("replay: bad input", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "patchproof-replay-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function refuse(
    name: string,
    content: string | Uint8Array,
    read: (path: string) => unknown,
    ...words: string[]
  ): void {
    const path = join(folder, name);
    writeFileSync(path, content);
    let thrown: unknown;
    try {
      read(path);
    } catch (error) {
      thrown = error;
    }
    const { line, status } = describeFailure(thrown);
    expect(status, line).to.equal(EXIT_BAD_INPUT);
    expect(line).to.not.include("\n");
    for (const word of [path, ...words]) expect(line).to.include(word);
  }

  it("an empty file", () => {
    refuse("t.jsonl", "", readRecording, ":1:", "empty");
  });
  it("a trace cut in the middle of a line", () => {
    const whole = traceOf('{"call":"munmap","args":[1,2],"ret":"0"}');
    refuse("t.jsonl", whole.slice(0, -20), readRecording, ":2:", "cut");
  });
  it("a trace with a damaged line that ends in a newline", () => {
    refuse("t.jsonl", `${HEAD}{"case":"x-1","steps":[\n`, readRecording, ":2:", "damaged");
  });
  it("an unknown call", () => {
    refuse("t.jsonl", traceOf('{"call":"frobnicate","args":[1],"ret":"0"}'), readRecording, ":2:", '"frobnicate"');
  });
  it("an unknown call in a child", () => {
    const fork = '{"call":"fork","child_vmas":[],"child":[{"call":"nope","args":[],"ret":"0"}],"status":0}';
    refuse("t.jsonl", traceOf(fork), readRecording, ":2:", '"nope"', "steps.0.child.0");
  });
  for (const args of ["[99999,1]", "[-1,1]", "[1.5,1]", "[1]", '["1",2]', "[1,1e300]"]) {
    it(`numbers out of range: munmap ${args}`, () => {
      refuse("t.jsonl", traceOf(`{"call":"munmap","args":${args},"ret":"0"}`), readRecording, ":2:", "steps.0.args");
    });
  }
  it("a VMA that is none", () => {
    const vmas = '[["5-3","rw-p",0,"","rd wr","--"]]';
    refuse("t.jsonl", traceOf(`{"call":"munmap","args":[1,1],"ret":"0","vmas":${vmas}}`), readRecording, "vmas.0.0");
  });
  it("another format", () => {
    refuse("t.jsonl", '{"format":"mm-trace/9"}\n', readRecording, ":1:", "mm-trace/1");
  });
  it("a gzip that ends early", () => {
    const whole = gzipSync(
      traceOf(...Array.from({ length: 500 }, (_, i) => `{"call":"munmap","args":[${i},1],"ret":"0"}`)),
    );
    refuse("t.jsonl.gz", whole.subarray(0, whole.length - 40), readRecording, "the gzip ends early");
  });
  it("a .gz that is not gzipped", () => {
    refuse("t.jsonl.gz", HEAD, readRecording, ":1:", "not gzipped");
  });
  it("a placement that is cut", () => {
    const path = join(projectRoot(), "fixtures", "placement", "p512-cma128.fresh.json");
    refuse("p.json", readFileSync(path, "utf8").slice(0, 5000), readRecording, "not JSON");
  });
  it("a placement's run that has no size", () => {
    const path = join(projectRoot(), "fixtures", "placement", "p512-cma128.fresh.json");
    const whole = JSON.parse(readFileSync(path, "utf8")) as { boots: { runs: unknown[] }[] };
    whole.boots[0]!.runs = [{ run: "run memfd fallocate then advice", steps: [], killed: true }];
    refuse("p.json", JSON.stringify(whole), readRecording, ":1:", "boots.0.runs.0.pages", "no size");
  });
  it("a strace line that is cut", () => {
    refuse("w.strace", "7  brk(NULL) = 0x1000\n7  mmap(NULL, 8192, PROT_READ", readStrace, ":2:", "cut");
    refuse("w.strace", "7  brk(NULL) = 0x1000\n7  mmap(NULL, 8192, PROT_READ\n", readStrace, ":2:", "cut");
  });
  it("a strace with an unknown call", () => {
    refuse("w.strace", "7  brk(NULL) = 0x1000\n7  frobnicate(1) = 0\n", readStrace, ":2:", '"frobnicate"');
  });
  it("a call that is resumed but was never begun", () => {
    refuse("w.strace", "7  <... munmap resumed>) = 0\n", readStrace, ":1:", "was not begun");
  });
  it("a process that turns into another program", async () => {
    const vma = "00400000-00401000 r--p 00000000 00:00 0 \nVmFlags: rd mr mw me \n";
    for (const part of ["before", "after"]) writeFileSync(join(folder, `w.${part}.smaps`), vma);
    const { kernel } = await loadVariant("base");
    const replay = (path: string): unknown => {
      return replayProgram(kernel, kernel.boot({ memory: 16 << 20 }), readWorkload(path));
    };
    const failed = '7  execve("/usr/local/bin/sleep", ["sleep"], 0x1 /* 1 var */) = -1 ENOENT (No such file)\n';
    const turned = '7  execve("/usr/bin/sleep", ["sleep"], 0x1 /* 1 var */) = 0\n';
    refuse("w.strace", `7  brk(NULL) = 0x1000\n${failed}${turned}`, replay, ":3:", "turns into another program");
  });
  it("smaps of another format", () => {
    refuse("w.smaps", "hello\n", readSmaps, ":1:", "not a line of smaps");
    refuse("w.smaps", "00400000-00401000 r--p 00000000 00:00 0 \nSize: 4 kB\n", readSmaps, "VmFlags");
  });
  it("a file that is not there", () => {
    expect(() => readRecording(join(folder, "none.jsonl"))).to.throw("no such recording");
    expect(() => readRecording(join(folder, "none.strace"))).to.throw("no such workload");
  });
});
