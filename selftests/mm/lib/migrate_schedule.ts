// SPDX-License-Identifier: GPL-2.0-only
/** Makes what a schedule says go wrong with pages that a long-term pin must move, pins them, and tells what came of it. */
import { expect } from "../../../harness/kselftest/index.js";
import { vm_event_names } from "../../../include/linux/vmstat.js";
import { MADV_DONTNEED, MAP_SHARED } from "../../../uapi/mman-common.js";
import { advise, CMA_BOOT, frameOf, map, places, type T, touch } from "./memory.js";
import { type Prediction, type Schedule } from "./migrate_predict.js";
import { atYield, failAllocations, openFile } from "./tasks.js";
import { failHugeAllocations, HUGE, mapHuge, THP_BOOT } from "./thp.js";
import { mapDma, openContainer } from "./vfio.js";

export const MIGRATE_BOOT = { ...THP_BOOT, ...CMA_BOOT };

/** What one attempt at one page came to, as the tracepoint tells. */
export interface Attempt {
  readonly rc: number;
  /** Why it failed. */
  readonly why: string;
}

export interface Seen extends Prediction {
  readonly attempts: readonly Attempt[];
}

/** From now on every attempt at migrating a page is noted. */
export function watchAttempts(t: T): Attempt[] {
  const attempts: Attempt[] = [];
  const before = t.k.hooks.trace.bind(t.k.hooks);
  t.k.tracing = true;
  t.k.hooks.trace = (event, detail) => {
    if (event === "mm_migrate_page") attempts.push({ rc: Number(detail["rc"]), why: String(detail["why"]) });
    before(event, detail);
  };
  return attempts;
}

/** Events since `before` that are not 0; those of allocation, which there are for each zone, together. */
function eventsSince(t: T, before: ArrayLike<number>): Record<string, number> {
  const events: Record<string, number> = {};
  vm_event_names.forEach((name, i) => {
    const n = t.k.vm_events[i]! - before[i]!;
    const key = name.replace(/^pgalloc_.*/, "pgalloc");
    if (n !== 0) events[key] = (events[key] ?? 0) + n;
  });
  return events;
}

function arrange(t: T, s: Schedule): void {
  s.pages.forEach((trouble, n) => {
    for (const kind of ["reference", "lock", "writeback"] as const) {
      const attempts = trouble[kind] ?? 0;
      if (attempts > 0) t.k.fail_migrate.add({ pfn: frameOf(t, n), kind, attempts });
    }
  });
  for (let n = 0; n < (s.heldParts ?? 0); n++) t.k.fail_migrate.add({ nth: 2 + n, kind: "reference", attempts: 1 });
  t.k.fail_migrate.arm(t.k);
  const gone = s.pages.flatMap((trouble, n) => (trouble.gone === true ? [n] : []));
  if (gone.length > 0) {
    atYield(t, "migrate_pages", () => {
      for (const n of gone) expect(advise(t, n, 1, MADV_DONTNEED)).to.equal(0);
    });
  }
  if (s.noHugeTarget === true) failHugeAllocations(t);
  // Allocation 1 is the driver's.
  if (s.failTarget !== undefined) failAllocations(t.k, { nth: s.failTarget + 1 });
}

/** Pins pages that lie in CMA while the schedule's troubles last. */
export function pinUnder(t: T, s: Schedule): Seen {
  const pages = s.huge === true ? HUGE : s.pages.length;
  if (s.huge === true) mapHuge(t, 0, HUGE);
  else if (s.file === true) map(t, 0, pages, { flags: MAP_SHARED, fd: openFile(t, pages) });
  else map(t, 0, pages);
  touch(t, 0, s.huge === true ? 1 : pages);
  expect(places(t, 0, pages)).to.equal("C".repeat(pages));
  const container = openContainer(t);
  arrange(t, s);
  const attempts = watchAttempts(t);
  const before = t.k.vm_events.slice();
  const ret = mapDma(t, container, 0, pages);
  const events = eventsSince(t, before);
  t.k.current.fail_nth = 0;
  t.k.fail_migrate.clear(t.k);
  return { pinned: ret === 0, events, attempts };
}
