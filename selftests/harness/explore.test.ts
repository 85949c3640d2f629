// SPDX-License-Identifier: GPL-2.0-only
/** The explorer: what it finds in the posted patch, that it finds nothing in base, and how schedules are written. */
import { expect } from "chai";
import { CALLS, findCall } from "../../harness/explore/calls.js";
import { digestOf } from "../../harness/explore/digest.js";
import { signatureOf } from "../../harness/explore/findings.js";
import { Identities } from "../../harness/explore/identities.js";
import { play } from "../../harness/explore/play.js";
import { parseSchedule, scheduleText } from "../../harness/explore/schedule.js";
import { search } from "../../harness/explore/search.js";
import { findSetup } from "../../harness/explore/setups.js";
import type { Found, Run, Tally } from "../../harness/explore/types.js";
import { at, bytes, World } from "../../harness/explore/world.js";
import { loadVariant, type KernelModule } from "../../harness/variants/load.js";
import { EINVAL } from "../../uapi/errno.js";
import { MADV_PAGEOUT, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "../../uapi/mman-common.js";

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

  /** All that others can do while `first` sleeps, one call deep or as `over` says. */
  function explore(
    kernel: KernelModule,
    setup: string,
    first: string,
    advised = false,
    over: { depth?: number; uncut?: boolean } = {},
  ): Tally {
    const world = new World(kernel, findSetup(setup)!, advised);
    return search(world, { variant: "", kernelDir: "", setup, advised, first, depth: 1, uncut: false, ...over });
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

  for (const [setup, first] of [
    ["swapped", "pin"],
    ["memfd-private", "munmap"],
    ["anon-touched", "fork"],
  ] as const) {
    it(`finds in two calls what it finds where no state is taken for one that was there: ${setup}, ${first}`, () => {
      const cut = explore(patch, setup, first, false, { depth: 2 });
      const whole = explore(patch, setup, first, false, { depth: 2, uncut: true });
      const calls = ({ found }: Tally): (string | number)[] =>
        found.flatMap((one) => [signatureOf(one), one.shortest.injections.length]);
      expect(calls(cut)).to.deep.equal(calls(whole));
      expect([cut.points, cut.pairs, cut.edge]).to.deep.equal([whole.points, whole.pairs, whole.edge]);
      expect([cut.same > 0, whole.same, cut.schedules < whole.schedules]).to.deep.equal([true, 0, true]);
    });
  }

  it("goes the same way up to a point when a call comes there, also where a fault was told to retry", () => {
    const events = (text: string): Run["events"] => run(base, text).events.slice(0, 4);
    expect(run(base, "swapped: populate, 0=pageout").met.length).to.equal(2);
    expect(run(base, "swapped: populate, 0=pageout, 1=read").unmet).to.equal(undefined);
    expect(events("swapped: populate, 0=pageout, 1=read")).to.deep.equal(events("swapped: populate, 0=pageout"));
  });

  it("gives the same result twice", () => {
    expect(explore(patch, "memfd", "write")).to.deep.equal(explore(patch, "memfd", "write"));
  });
});

describe("explorer: states", () => {
  let world: World;
  before(async () => {
    world = new World((await loadVariant("base")).kernel, findSetup("anon-touched")!, false);
  });
  beforeEach(() => {
    world.restore();
  });

  const state = (): number => digestOf(world.k, new Identities(world.known));

  it("are the same after what only counts, and after the machine was put back", () => {
    const before = state();
    world.k.vm_events[0]! += 1;
    expect(world.sys.munmap(at(0) + 1, bytes(1))).to.equal(-EINVAL);
    expect(state()).to.equal(before);
    world.sys.store(at(1), 9);
    expect(state()).to.not.equal(before);
    world.restore();
    expect(state()).to.equal(before);
  });

  it("differ by the order in which pages are free next", () => {
    const afterUse = (...pages: number[]): number => {
      world.restore();
      world.sys.mmap(at(8), bytes(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      for (const page of pages) world.sys.store(at(page), 1);
      world.sys.munmap(at(8), bytes(2));
      return state();
    };
    expect(afterUse(8, 9)).to.equal(afterUse(8, 9));
    expect(afterUse(8, 9)).to.not.equal(afterUse(9, 8));
  });

  it("differ by what stands in a batch, and in which order", () => {
    const [batches] = world.k.fbatches;
    const seen = [[], [1], [2], [1, 2], [2, 1]].map((pages) => {
      batches!.activate.splice(0, Infinity, ...pages);
      return state();
    });
    expect(new Set(seen).size).to.equal(seen.length);
  });

  it("differ by how old a node is, by what reclaim there has cost, and by how old it was when a page left", () => {
    const lruvec = world.k.nodes[0]!.__lruvec;
    const leave = (age: number): void => {
      lruvec.nonresident_age = age;
      world.kernel.add_swap_device(world.k, "/dev/ram0", { pages: 64, rotational: false, synchronous: true });
      world.sys.swapon("/dev/ram0", 0);
      world.sys.madvise(at(0), bytes(1), MADV_PAGEOUT);
      lruvec.nonresident_age = 10;
    };
    const changes: (() => unknown)[] = [
      () => undefined,
      () => lruvec.nonresident_age++,
      () => lruvec.anon_cost++,
      () => lruvec.file_cost++,
      () => lruvec.refaults[0]!++,
      () => {
        leave(0);
      },
      () => {
        leave(1);
      },
    ];
    const seen = changes.map((change) => {
      world.restore();
      change();
      return state();
    });
    expect(new Set(seen).size).to.equal(changes.length);
    world.restore();
    expect(state(), "all put back").to.equal(seen[0]);
  });

  it("differ by a VMA that is new where one like it was", () => {
    const known = new Identities(world.known);
    const before = digestOf(world.k, known);
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    const again = (): number => {
      world.sys.munmap(at(8), bytes(1));
      world.sys.mmap(at(8), bytes(1), PROT_READ, flags, -1, 0);
      return digestOf(world.k, known);
    };
    expect(new Set([before, again(), again()]).size).to.equal(3);
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
