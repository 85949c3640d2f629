// SPDX-License-Identifier: GPL-2.0-only
/** Outcomes of an attempt at a page that no schedule of a single pin comes to: each by what causes it. */
import { GFP_USER } from "../../../include/linux/gfp.js";
import { MIGRATE_SYNC, MR_SYSCALL } from "../../../include/linux/migrate_mode.js";
import { NR_ISOLATED_ANON } from "../../../include/linux/vmstat.js";
import { expect, type BootOptions } from "../../../harness/kselftest/index.js";
import { MAP_SHARED } from "../../../uapi/mman-common.js";
import { at, bytes, frameOf, map, places, type T, touch } from "./memory.js";
import { type Attempt, MIGRATE_BOOT, watchAttempts } from "./migrate_schedule.js";
import { openFile } from "./tasks.js";
import { HUGE, mapHuge, THP_BOOT } from "./thp.js";
import { mapDma, openContainer } from "./vfio.js";

export interface Row {
  readonly row: string;
  /** As in "EAGAIN page lock". */
  readonly outcome: string;
  readonly boot: BootOptions;
  /** Makes the page meet it; answers all attempts at pages. */
  readonly run: (t: T) => Attempt[];
}

/** Does with one page of the window, or a huge one of `pages`, what move_pages(2) would; what migrate_pages() returned. */
export function movePage(t: T, page: number, reason = MR_SYSCALL, pages = 1): number {
  const { k, kernel } = t;
  const pfn = frameOf(t, page);
  expect(kernel.folio_isolate_lru(k, pfn), "isolated").to.equal(true);
  k.nodes[0]!.vm_stat[NR_ISOLATED_ANON]! += pages;
  const list = kernel.page_list_of(k, [pfn]);
  const priv = { nid: 0, gfp_mask: GFP_USER };
  const left = kernel.migrate_pages(k, list, kernel.alloc_migration_target, null, priv, MIGRATE_SYNC, reason);
  kernel.putback_movable_pages(k, list);
  return left;
}

/** v6.1 leaves the entry of an anonymous page alone that is pinned for DMA, so that the pin goes on seeing its memory. */
function stillMapped(t: T): Attempt[] {
  map(t, 0, 1);
  touch(t, 0, 1);
  expect(mapDma(t, openContainer(t), 0, 1)).to.equal(0);
  const pfn = frameOf(t, 0);
  const attempts = watchAttempts(t);
  expect(movePage(t, 0), "pages left").to.equal(1);
  expect(frameOf(t, 0), "stays where it is").to.equal(pfn);
  return attempts;
}

/** Somebody still has the lock of the page that the target has been before. */
function targetLock(t: T): Attempt[] {
  const { k } = t;
  map(t, 0, 1);
  touch(t, 0, 1);
  expect(places(t, 0, 1)).to.equal("C");
  const container = openContainer(t);
  const attempts = watchAttempts(t);
  const before = k.hooks.trace.bind(k.hooks);
  let allocations = 0;
  k.hooks.trace = (event, detail) => {
    // the first allocation is the driver's
    if (event === "mm_page_alloc" && ++allocations === 2) {
      k.fail_migrate.add({ pfn: Number(detail["pfn"]), kind: "lock", attempts: 1 }).arm(k);
    }
    before(event, detail);
  };
  expect(mapDma(t, container, 0, 1), "with another target").to.equal(0);
  expect(places(t, 0, 1)).to.equal(".");
  k.fail_migrate.clear(k);
  return attempts;
}

/** A file's page goes to its disk after asynchronous compaction has taken it off its list. */
function writebackAsync(t: T): Attempt[] {
  const step = HUGE / 2;
  const held = 12;
  const file = 16 * HUGE;
  map(t, file, held, { flags: MAP_SHARED, fd: openFile(t, held) });
  map(t, 0, held * step);
  for (let n = 0; n < held; n++) {
    touch(t, n * step, step);
    touch(t, file + n, 1);
  }
  expect(t.sys.munmap(at(0), bytes(held * step))).to.equal(0);
  const attempts = watchAttempts(t);
  t.k.fail_migrate.add({ nth: 1, kind: "writeback", attempts: 1 });
  mapHuge(t, 32 * HUGE, 6 * HUGE);
  for (let n = 0; n < 6; n++) touch(t, (32 + n) * HUGE, 1);
  t.k.fail_migrate.clear(t.k);
  return attempts;
}

export const ROWS_BESIDE: readonly Row[] = [
  {
    row: "-EAGAIN, still mapped: an anonymous page that is pinned",
    outcome: "EAGAIN still mapped",
    boot: MIGRATE_BOOT,
    run: stillMapped,
  },
  {
    row: "-EAGAIN, target lock: whoever had that page before",
    outcome: "EAGAIN target lock",
    boot: MIGRATE_BOOT,
    run: targetLock,
  },
  {
    row: "-EBUSY, writeback that begins between isolation and asynchronous migration",
    outcome: "EBUSY writeback",
    boot: { ...THP_BOOT, memory: 16 << 20 },
    run: writebackAsync,
  },
];
