// SPDX-License-Identifier: GPL-2.0-only
/** Long-term pins of huge pages that lie in CMA: moved whole, split and moved, or neither (mm/migrate.c of v6.1). */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import type { MigrateFaultRule } from "../../lib/fault-inject.js";
import { at, CMA_BOOT, frameOf, peek, places, type T, touch } from "./lib/memory.js";
import { drawing, events, failHugeAllocations, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

/** One huge page in CMA, with contents in its first, second and last page. */
const guest = FIXTURE("thp_guest", {
  boot: { ...THP_BOOT, ...CMA_BOOT },
  setup(t) {
    mapHuge(t, 0, HUGE);
    for (const n of [0, 1, 511]) touch(t, n, 1, n % 251);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(places(t, 0, HUGE)).to.equal("C".repeat(HUGE));
    return openContainer(t);
  },
});

const MIGRATION = [
  "pgmigrate_success",
  "pgmigrate_fail",
  "thp_migration_success",
  "thp_migration_fail",
  "thp_migration_split",
  "thp_split_page",
  "thp_split_page_failed",
] as const;

/** What the pin counted, in the order of {@link MIGRATION}. */
function counted(t: T): number[] {
  return MIGRATION.map((name) => events(t, name)[name]!);
}

function expectContents(t: T): void {
  expect([0, 1, 511].map((n) => peek(t, n))).to.deep.equal([0, 1, 9]);
}

function arm(t: T, rule: MigrateFaultRule): void {
  t.k.fail_migrate.add(rule).arm(t.k);
}

describe("thp: long-term pins", () => {
  TEST_F(guest, "a huge page moves as a whole", (t) => {
    expect(mapDma(t, t.self, 0, HUGE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(places(t, 0, HUGE)).to.equal(".".repeat(HUGE));
    expect(counted(t)).to.deep.equal([512, 0, 1, 0, 0, 0, 0]);
    expectContents(t);
  });

  TEST_F(guest, "the middle of it is enough to move all", (t) => {
    expect(mapDma(t, t.self, 100, 8)).to.equal(0);
    expect(places(t, 0, HUGE)).to.equal(".".repeat(HUGE));
    expect(counted(t)).to.deep.equal([512, 0, 1, 0, 0, 0, 0]);
  });

  TEST_F(guest, "without a huge target it is split, and its pages move", (t) => {
    failHugeAllocations(t);
    expect(mapDma(t, t.self, 0, HUGE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512a");
    expect(places(t, 0, HUGE)).to.equal(".".repeat(HUGE));
    expect(counted(t), "one failure and one split, however the pages fare").to.deep.equal([512, 0, 0, 1, 1, 1, 0]);
    expectContents(t);
  });

  TEST_F(guest, "without a target and with a reference to it the pin fails at once (O6)", (t) => {
    failHugeAllocations(t);
    arm(t, { pfn: frameOf(t, 0), kind: "reference", attempts: 1 });
    expect(mapDma(t, t.self, 0, HUGE)).to.equal(-ENOMEM);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(counted(t)).to.deep.equal([0, 512, 0, 1, 0, 0, 1]);
    const first = t.kernel.pin_report_of(t.k).first;
    expect(first?.reason).to.equal("huge page not split");
    expect(first!.refcount - first!.expected, "references too many").to.equal(1);
    t.k.fail_migrate.clear(t.k);
    expect(mapDma(t, t.self, 0, HUGE), "once nobody holds it").to.equal(0);
  });

  for (const attempts of [1, 9, 10]) {
    const gone = attempts < 10;
    TEST_F(
      guest,
      `a reference for ${String(attempts)} attempts: ${gone ? "moved when it has gone" : "ten are too many"}`,
      (t) => {
        arm(t, { pfn: frameOf(t, 0), kind: "reference", attempts });
        expect(mapDma(t, t.self, 0, HUGE)).to.equal(gone ? 0 : -ENOMEM);
        expect(counted(t)).to.deep.equal(gone ? [512, 0, 1, 0, 0, 0, 0] : [0, 512, 0, 1, 0, 0, 0]);
        expect(drawing(t, 0, HUGE)).to.equal("512T");
        expectContents(t);
      },
    );
  }

  TEST_F(guest, "a page of a split huge page has one attempt", (t) => {
    failHugeAllocations(t);
    // The head is attempt 1 of page 1; its tails come first in the second round, 511 downwards.
    arm(t, { nth: 2, kind: "reference", attempts: 1 });
    expect(mapDma(t, t.self, 0, HUGE)).to.equal(-ENOMEM);
    expect(counted(t)).to.deep.equal([511, 1, 0, 1, 1, 1, 0]);
    expect(places(t, 0, HUGE).replaceAll(".", "")).to.equal("C");
    expectContents(t);
  });

  TEST_F(guest, "a child's mapping moves along", (t) => {
    t.inChild((child) => {
      expect(drawing(t, 0, HUGE)).to.equal("512T");
      t.as(child, () => t.sys.load(at(0)));
      failHugeAllocations(t);
      expect(mapDma(t, t.self, 0, HUGE)).to.equal(0);
    });
    expectContents(t);
  });

  TEST_F(guest, "mapped by small entries it moves as a whole, too", (t) => {
    t.sys.munmap(at(7), 4096);
    expect(drawing(t, 0, HUGE)).to.equal("7T 1- 504T");
    expect(mapDma(t, t.self, 8, 504)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("7T 1- 504T");
    expect(places(t, 8, 504)).to.equal(".".repeat(504));
    expect(counted(t)).to.deep.equal([512, 0, 1, 0, 0, 0, 0]);
  });

  TEST_F(guest, "a pinned huge page is not shared with a child, who gets copies", (t) => {
    expect(mapDma(t, t.self, 0, 1)).to.equal(0);
    t.inChild((child) => {
      expect(drawing(t, 0, HUGE, child)).to.equal("512a");
      touch(t, 0, 1, 77);
    });
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expectContents(t);
  });
});
