// SPDX-License-Identifier: GPL-2.0-only
/**
 * What migrate_pages() answers those who migrate for another reason than a long-term pin: -ENOMEM, on which they stop.
 * No system call of the model gives it huge pages for such a reason, so the test does what move_pages(2) would.
 */
import { MR_CONTIG_RANGE, MR_MEMORY_HOTPLUG, MR_SYSCALL } from "../../include/linux/migrate_mode.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { said } from "./lib/errnos.js";
import { frameOf, touch } from "./lib/memory.js";
import { movePage } from "./lib/migrate_rows.js";
import { MIGRATE_BOOT } from "./lib/migrate_schedule.js";
import { events, failHugeAllocations, HUGE, mapHuge } from "./lib/thp.js";

const MUTANT = "thp-split-retry-first";
const KERNELS = ["base", "thp-split-retry", "longterm-retry-stats", MUTANT];
const WRONG = "what the split said takes the place of -ENOMEM, and callers that would stop go on";

const huge = FIXTURE("huge_page", {
  boot: MIGRATE_BOOT,
  setup(t) {
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1);
    failHugeAllocations(t);
    return frameOf(t, 0);
  },
});

describe("migrate_pages: no target for a huge page, and its split is refused", () => {
  for (const [name, reason] of Object.entries({ MR_SYSCALL, MR_MEMORY_HOTPLUG, MR_CONTIG_RANGE })) {
    TEST_F(huge, `-ENOMEM for ${name}`, { kernels: KERNELS, differs: { [MUTANT]: WRONG } }, (t) => {
      const { k } = t;
      k.fail_migrate.add({ pfn: t.self, kind: "reference", attempts: 1 }).arm(k);
      const ret = movePage(t, 0, reason, HUGE);
      k.fail_migrate.clear(k);
      expect(events(t, "thp_split_page_failed", "thp_migration_fail")).to.deep.equal({
        thp_split_page_failed: 1,
        thp_migration_fail: 1,
      });
      expect(said(ret)).to.equal("ENOMEM");
    });
  }
});
