// SPDX-License-Identifier: GPL-2.0-only
/** Machines with transparent huge pages, and pictures of what is mapped there. */
import { vm_event_names } from "../../../include/linux/vmstat.js";
import type { task_struct } from "../../../include/linux/sched.js";
import type { BootOptions } from "../../../harness/kselftest/index.js";
import { MADV_HUGEPAGE } from "../../../uapi/mman-common.js";
import { advise, at, map, type MapOptions, type T } from "./memory.js";

/** Pages of a huge page. */
export const HUGE = 512;

export const THP_BOOT: BootOptions = { memory: 64 << 20, config: { thp_enabled: "madvise" } };

/** Maps pages of the window and advises huge pages for them. */
export function mapHuge(t: T, page: number, pages: number, o: MapOptions = {}): void {
  map(t, page, pages, o);
  t.expect(advise(t, page, pages, MADV_HUGEPAGE), "MADV_HUGEPAGE").to.equal(0);
}

/**
 * What is mapped at pages of the window, in runs: "512T 3- 1a" is a huge page, three holes and an anonymous page. The
 * letters are those of smaps (fs/proc/task_mmu.ts:page_char).
 */
export function drawing(t: T, page: number, pages: number, task: task_struct = t.k.current): string {
  const runs: { n: number; what: string }[] = [];
  for (let n = page; n < page + pages; n++) {
    const what = t.kernel.page_char(t.k, task.mm!, at(n));
    const last = runs.at(-1);
    if (last?.what === what) last.n++;
    else runs.push({ n: 1, what });
  }
  return runs.map((run) => `${String(run.n)}${run.what}`).join(" ");
}

/** Events of these names since boot. */
export function events(t: T, ...names: (typeof vm_event_names)[number][]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, t.k.vm_events[vm_event_names.indexOf(name)]!]));
}

/** From now on no allocation of a huge page succeeds; smaller ones do. */
export function failHugeAllocations(t: T): void {
  const knobs = { min_order: 9, ignore_gfp_wait: false, ignore_gfp_highmem: false, probability: 100, times: -1 };
  Object.assign(t.k.fail_page_alloc, knobs);
}
