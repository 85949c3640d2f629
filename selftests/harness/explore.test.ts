// SPDX-License-Identifier: GPL-2.0-only
/** The explorer: what it finds in the posted patch, that it finds nothing in base, and how schedules are written. */
import { expect } from "chai";
import { CALLS, findCall } from "../../harness/explore/calls.js";
import { play } from "../../harness/explore/play.js";
import { parseSchedule, scheduleText } from "../../harness/explore/schedule.js";
import { search } from "../../harness/explore/search.js";
import { findSetup } from "../../harness/explore/setups.js";
import type { Found, Run, Tally } from "../../harness/explore/types.js";
import { World } from "../../harness/explore/world.js";
import { loadVariant, type KernelModule } from "../../harness/variants/load.js";

describe("explorer", () => {
  let base: KernelModule;
  let patch: KernelModule;
  before(async () => {
    base = (await loadVariant("base")).kernel;
    patch = (await loadVariant("patch")).kernel;
  });

  function run(kernel: KernelModule, text: string): Run {
    const s = parseSchedule(text, "");
    return play(new World(kernel, findSetup(s.setup)!, s.advised), findCall(s.first)!, s.injections);
  }

  /** All that others can do while `first` sleeps, one call deep. */
  function explore(kernel: KernelModule, setup: string, first: string, advised = false): Tally {
    const world = new World(kernel, findSetup(setup)!, advised);
    return search(world, { variant: "", kernelDir: "", setup, advised, first, depth: 1 });
  }

  const kinds = (found: readonly Found[]): string[] => [...new Set(found.map(({ kind, what }) => `${kind}: ${what}`))];

  it("finds that the posted patch reads the VMA once mmap_lock has been dropped, and the shortest schedule of it", () => {
    const { found } = explore(patch, "memfd", "write");
    const uaf = found.find(({ kind }) => kind === "use after free");
    expect(uaf?.what).to.equal("vm_area_struct.vm_flags");
    expect(uaf?.where).to.include("handle_mm_fault");
    expect(scheduleText(uaf!.shortest)).to.match(/^memfd: write, \d+=munmap$/);
    expect(uaf?.events.map(({ text }) => text)).to.include("sleeps in balance_dirty_pages(), mmap_lock dropped");
  });

  it("finds that the flag stays with the task, or is restored from nothing, when the advice changes meanwhile", () => {
    expect(kinds(explore(patch, "memfd", "write", true).found)).to.include(
      "flag left: PF_MEMALLOC_PIN is left on the task",
    );
    expect(kinds(explore(patch, "memfd", "write").found)).to.include(
      "broken invariant: PF_MEMALLOC_PIN is restored from an uninitialised variable",
    );
  });

  for (const [setup, first] of [
    ["anon", "write"],
    ["memfd", "write"],
    ["memfd", "populate"],
    ["memfd-touched", "pin"],
    ["file", "read"],
    ["file-shared", "write"],
    ["huge-untouched", "write"],
    ["collapsible", "collapse"],
    ["dma", "dma-map"],
    ["dma", "munmap"],
    ["swapped", "read"],
    ["swapped", "munmap"],
    ["mergeable", "ksmd"],
    ["merged", "write"],
  ] as const) {
    it(`finds nothing in base: ${setup}, ${first}`, () => {
      const tally = explore(base, setup, first);
      expect(tally.found).to.deep.equal([]);
      expect(tally.pairs, "calls that ran inside it").to.be.greaterThan(3);
      expect(tally.edge, "paths that are not modelled").to.equal(0);
    });
  }

  it("plays one schedule again, from its text", () => {
    const { found } = explore(patch, "memfd", "write");
    for (const one of found) expect(run(patch, scheduleText(one.shortest)).wrong?.what).to.equal(one.what);
    for (const one of found) expect(run(base, scheduleText(one.shortest)).wrong).to.equal(null);
  });

  it("does not run a call that would have to wait for the one that sleeps", () => {
    // the writer sleeps in its allocation with mmap_lock held: munmap wants it for writing
    expect(run(base, "anon: write, 0=munmap").outcome).to.equal("blocked");
  });

  it("does not run swapoff() to its end while munmap() has yet to give slots back, nor two changes of a container", () => {
    expect(run(base, "swapped: munmap, 0=swapoff").outcome).to.equal("blocked");
    expect(run(base, "dma: dma-map, 0=dma-unmap").outcome).to.equal("blocked");
  });

  it("gives the same result twice", () => {
    expect(explore(patch, "memfd", "write")).to.deep.equal(explore(patch, "memfd", "write"));
  });
});

describe("explorer: schedules as text", () => {
  for (const text of ["memfd: write, 4=munmap", "memfd+advice: write, 0=munmap, 0=mmap", "anon: fork"]) {
    it(`reads what it writes: ${text}`, () => {
      expect(scheduleText(parseSchedule(text, "--schedule"))).to.equal(text);
    });
  }

  for (const [text, complaint] of [
    ["nowhere: write", "unknown set-up 'nowhere'"],
    ["memfd: nothing", "unknown call 'nothing'"],
    ["anon: punch", "'punch' needs a memfd"],
    ["memfd write", "is not a schedule"],
    ["memfd: write, 3=munmap, 1=mmap", "yield points out of order"],
  ] as const) {
    it(`refuses '${text}'`, () => {
      expect(() => parseSchedule(text, "--schedule")).to.throw(complaint);
    });
  }

  it("has a name for each call, once", () => {
    expect(new Set(CALLS.map(({ name }) => name)).size).to.equal(CALLS.length);
  });
});
