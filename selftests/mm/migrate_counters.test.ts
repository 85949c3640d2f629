// SPDX-License-Identifier: GPL-2.0-only
/**
 * Every vmstat delta of a pin that must migrate, predicted from what goes wrong with its pages; every row of the errno
 * table of migrate_pages() (mm/migrate.c of v6.1) is reached by what causes it in the kernel.
 */
import * as fc from "fast-check";
import { type BootOptions, expect, TEST, type Difference } from "../../harness/kselftest/index.js";
import { predict, type Rules, type Schedule } from "./lib/migrate_predict.js";
import { ROWS_BESIDE } from "./lib/migrate_rows.js";
import { type Attempt, MIGRATE_BOOT, pinUnder } from "./lib/migrate_schedule.js";
import { said } from "./lib/errnos.js";
import type { T } from "./lib/memory.js";

const OLD: Rules = { splitAgain: false, failEachTime: false };
/** What each version is to do; those that are not named do as v6.1. */
const RULES: Readonly<Record<string, Rules>> = {
  "thp-split-retry": { splitAgain: true, failEachTime: false },
  "longterm-retry-stats": { splitAgain: true, failEachTime: false },
  "thp-split-retry-first": { splitAgain: true, failEachTime: false },
};
const KERNELS = ["base", ...Object.keys(RULES), "gup-drain-reliably", "gup-nothing-isolated", "gup-drain-refcount"];

const ELEVEN = "a huge page that cannot be split counts as failed in every pass and once more at the end: +11";
const EACH_TIME = "a huge page that waits for the next pass counts as failed each time";

/** All that unmap_and_move() of v6.1 can answer for a page on the LRU, and why. */
const OUTCOMES = [
  "0",
  "EAGAIN page lock",
  "EAGAIN target lock",
  "EAGAIN writeback",
  "EAGAIN still mapped",
  "EAGAIN unexpected reference",
  "EBUSY writeback",
  "ENOMEM no target page",
  "ENOSYS not supported",
];
const fine = { reference: 0 };
const ROWS: readonly (Schedule & { readonly row: string; readonly differs?: string })[] = [
  { row: "0, moved", pages: [fine, fine, fine] },
  { row: "0, freed meanwhile", pages: [fine, { gone: true }, fine] },
  { row: "-EAGAIN, unexpected reference, gone in time", pages: [fine, { reference: 9 }, fine] },
  { row: "-EAGAIN, unexpected reference, ten times", pages: [fine, { reference: 10 }, { reference: 20 }] },
  { row: "-EAGAIN, page lock, slept for in the fourth pass", pages: [{ lock: 20 }, { lock: 1 }, { lock: 3 }] },
  {
    row: "-EAGAIN, writeback, waited for in the fourth pass",
    file: true,
    pages: [{ writeback: 20 }, fine, { writeback: 2 }],
  },
  { row: "-ENOMEM, no target", pages: [fine, fine, fine], failTarget: 2 },
  { row: "-ENOMEM, no target, with pages to try again", pages: [{ reference: 3 }, fine, fine], failTarget: 3 },
  { row: "-ENOMEM, no target, in a later pass", pages: [{ reference: 3 }, { reference: 2 }, fine], failTarget: 4 },
  { row: "huge: 0, moved", huge: true, pages: [fine] },
  { row: "huge: -EAGAIN, unexpected reference, gone in time", huge: true, pages: [{ reference: 4 }] },
  { row: "huge: -EAGAIN, unexpected reference, ten times", huge: true, pages: [{ reference: 20 }] },
  { row: "huge: -EAGAIN, page lock", huge: true, pages: [{ lock: 5 }] },
  { row: "huge: -ENOMEM, split", huge: true, noHugeTarget: true, pages: [fine] },
  { row: "huge: -ENOMEM, split, two of its pages held", huge: true, noHugeTarget: true, pages: [fine], heldParts: 2 },
  {
    row: "huge: -ENOMEM, split refused for three attempts",
    huge: true,
    noHugeTarget: true,
    pages: [{ reference: 3 }],
    differs: EACH_TIME,
  },
  {
    row: "huge: -ENOMEM, split refused for ever",
    huge: true,
    noHugeTarget: true,
    pages: [{ reference: 20 }],
    differs: ELEVEN,
  },
  { row: "huge: -ENOSYS, split", huge: true, unsupported: true, pages: [fine] },
  { row: "huge: -ENOSYS, split refused", huge: true, unsupported: true, pages: [{ reference: 1 }] },
];

/** fd4a7ac32918 and its first version count too much; the fix of 2023 does not. */
function declared(why: string | undefined): Record<string, Difference> {
  return why === undefined ? {} : { "thp-split-retry": why, "thp-split-retry-first": why };
}

/** "EAGAIN page lock" */
function outcomeOf({ rc, why }: Attempt): string {
  return `${said(rc)} ${why}`.trim();
}

function expectPredicted(t: T, schedule: Schedule): void {
  const { attempts: _, ...seen } = pinUnder(t, schedule);
  expect(seen).to.deep.equal(predict(schedule, RULES[t.variant] ?? OLD));
}

describe("migrate counters: each row of the errno table", () => {
  for (const { row, differs, ...schedule } of ROWS) {
    const arch = schedule.unsupported === true ? { arch: "i386" } : {};
    const options = { kernels: KERNELS, differs: declared(differs), boot: { ...MIGRATE_BOOT, ...arch } };
    TEST(row, options, (t) => {
      expectPredicted(t, schedule);
    });
  }

  for (const { row, outcome, boot, run } of ROWS_BESIDE) {
    TEST(row, { boot }, (t) => {
      expect(run(t).map(outcomeOf)).to.include(outcome);
    });
  }

  TEST("reached: every outcome of an attempt", { kernels: ["base"] }, (t) => {
    const reached = new Set<string>();
    const on = (boot: BootOptions): T => {
      const { k, sys } = t.boot(boot);
      return Object.create(t, { k: { value: k }, sys: { value: sys } }) as T;
    };
    for (const schedule of ROWS) {
      const own = on({ ...MIGRATE_BOOT, arch: schedule.unsupported === true ? "i386" : "x86_64" });
      for (const attempt of pinUnder(own, schedule).attempts) reached.add(outcomeOf(attempt));
    }
    for (const { boot, run } of ROWS_BESIDE) for (const attempt of run(on(boot))) reached.add(outcomeOf(attempt));
    expect([...reached].sort()).to.deep.equal([...OUTCOMES].sort());
  });

  const eleven = { huge: true, noHugeTarget: true, pages: [{ reference: 20 }] };
  TEST("the +11 of fd4a7ac32918", { kernels: ["thp-split-retry"], boot: MIGRATE_BOOT }, (t) => {
    expect(pinUnder(t, eleven).events["thp_migration_fail"]).to.equal(11);
  });
});

describe("migrate counters: random schedules", () => {
  const attempts = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 12 }));
  const pages = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, { minLength: 1, maxLength: 6 });
  const locked = fc.record({ reference: attempts, lock: attempts });
  const written = fc.record({ reference: attempts, writeback: attempts });
  const gone = fc.constant({ gone: true });
  const failTarget = fc.integer({ min: 1, max: 30 });
  const schedules: fc.Arbitrary<Schedule> = fc.oneof(
    fc.record({ pages: pages(locked), failTarget }, { requiredKeys: ["pages"] }),
    fc.record({ pages: pages(written), file: fc.constant(true), failTarget }, { requiredKeys: ["pages", "file"] }),
    fc.record({ pages: pages(fc.oneof({ weight: 3, arbitrary: locked }, gone)) }),
  );
  TEST("are as predicted", { kernels: ["base"], boot: MIGRATE_BOOT }, (t) => {
    const one = (schedule: Schedule): void => {
      const { k, sys } = t.boot();
      const own = Object.create(t, { k: { value: k }, sys: { value: sys } }) as T;
      expectPredicted(own, schedule);
    };
    fc.assert(fc.property(schedules, one), { seed: 1, numRuns: 60 });
  });
});
