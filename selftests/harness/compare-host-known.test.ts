// SPDX-License-Identifier: GPL-2.0-only
/** The list of known differences: its format, and that an entry accepts what it says and no more. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { asModelled, knownDifference, parseKnown, readKnown } from "../../harness/compare/known.js";
import type { Difference, Divergence } from "../../harness/replay/run-case.js";
import type { TraceStep, TraceVma } from "../../harness/replay/trace-format.js";
import { projectRoot } from "../../harness/root.js";

const PATH = join(projectRoot(), "fixtures", "host-differences.json");
const WINDOW: Difference = { what: "window", expected: "1 VMA", got: "1 VMA" };
const returned = (expected: string, got: string): Difference => ({ what: "returned", expected, got });

function divergence(call: TraceStep, differences: Difference[], expected: TraceVma[], got: TraceVma[]): Divergence {
  return { caseId: "x", step: "0", call, differences, before: [], expected, got, thrown: null };
}

function vma(range: string, flags: string, pages: string): TraceVma {
  return [range, "rw-p", 0, "", flags, pages];
}

const STACK: TraceStep = { call: "mmap", args: [0, 1, 3, 0x20032, -1, 0] };
const PLAIN: TraceStep = { call: "mmap", args: [0, 1, 3, 0x32, -1, 0] };
const POPULATE: TraceStep = { call: "madvise", args: [0, 2, 23] };

describe("compare-host: known differences", () => {
  it("the list is of its format, and each entry has a name of its own", () => {
    const { differences } = parseKnown(readFileSync(PATH, "utf8"), PATH);
    expect(new Set(differences.map((d) => d.id)).size).to.equal(differences.length);
  });
  it("nothing is known of 6.1 itself", () => {
    expect(readKnown("6.1.192")).to.deep.equal({ words: [], differences: [] });
  });
  it("an entry holds from its release on, numbers compared as numbers", () => {
    const ids = (release: string): string[] => readKnown(release).differences.map((d) => d.id);
    expect(ids("6.6.99")).to.not.include("map-stack-nohugepage");
    expect(ids("6.7")).to.include("map-stack-nohugepage");
    expect(ids("6.18.44")).to.include("map-stack-nohugepage");
  });
  for (const text of ["{", "{}", '{"words":[],"differences":[{"id":"x"}]}', '{"words":[],"differences":[],"more":1}']) {
    it(`a list that is none is refused: ${text}`, () => {
      expect(() => parseKnown(text, "l.json")).to.throw(/^l\.json: /);
    });
  }

  const list = readKnown("6.18");
  const bare = [vma("0-1", "rd wr", "-")];
  const cases: [string, string | null, Divergence][] = [
    ["MAP_STACK sets nh", "map-stack-nohugepage", divergence(STACK, [WINDOW], [vma("0-1", "rd wr nh", "-")], bare)],
    ["MAP_STACK sets more", null, divergence(STACK, [WINDOW], [vma("0-1", "rd wr nh dc", "-")], bare)],
    ["another mmap sets nh", null, divergence(PLAIN, [WINDOW], [vma("0-1", "rd wr nh", "-")], bare)],
    ["MAP_STACK returns another value", null, divergence(STACK, [returned("0", "ENOMEM")], bare, bare)],
    [
      "fewer pages populated",
      "populate-stops-at-hole",
      divergence(POPULATE, [WINDOW], bare, [vma("0-1", "rd wr", "a")]),
    ],
    ["another error", "populate-stops-at-hole", divergence(POPULATE, [returned("ENOMEM", "EINVAL")], bare, bare)],
    ["the error the other way round", null, divergence(POPULATE, [returned("EINVAL", "ENOMEM")], bare, bare)],
    ["another value read", null, divergence(POPULATE, [{ what: "value read", expected: "0", got: "1" }], bare, bare)],
  ];
  for (const [what, id, d] of cases) {
    it(`${what}: ${id ?? "not on the list"}`, () => {
      expect(knownDifference(d, list)?.id ?? null).to.equal(id);
    });
  }
  it("what the model throws is never known", () => {
    const d = divergence(STACK, [WINDOW], [vma("0-1", "rd wr nh", "-")], bare);
    expect(knownDifference({ ...d, thrown: "KernelBug: x" }, list)).to.equal(null);
  });
  it("a later word of VmFlags is shown as 6.1 shows it, in children too", () => {
    const later = [vma("0-1", "rd lo lf", "-")];
    const fork: TraceStep = {
      call: "fork",
      args: [],
      vmas: later,
      child_vmas: later,
      child: [{ ...STACK, vmas: later }],
    };
    const [shown] = asModelled([fork], list);
    const as61 = [vma("0-1", "rd lo ??", "-")];
    expect([shown?.vmas, shown?.child_vmas, shown?.child?.[0]?.vmas]).to.deep.equal([as61, as61, as61]);
  });
});
