// SPDX-License-Identifier: GPL-2.0-only
/** kcompactd and compact_memory do on a fragmented machine what they did on the recorded one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { z } from "zod";
import type { KernelModule } from "../../harness/replay/kernel.js";
import { projectRoot } from "../../harness/root.js";
import { loadVariant } from "../../harness/variants/load.js";
import { NR_FREE_PAGES, vm_event_names } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { MADV_DONTNEED, MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } from "../../uapi/mman-common.js";

const number = z.number();
const Zone = z.record(z.string(), number);
const Recording = z.object({
  boots: z.array(
    z.object({
      what: z.enum(["fault", "compaction_proactiveness", "compact_memory"]),
      defrag: z.enum(["always", "defer"]),
      like: z.object({
        cpus: number,
        zones: z.record(z.string(), Zone),
        free_lists: z.object({}),
        pageblocks: z.object({}),
        frames: z.object({ free: z.array(z.array(number)), blocks: z.string() }),
      }),
      left: number,
      steps: z.array(z.object({ write: number.optional(), after: z.record(z.string(), number) })),
    }),
  ),
});
type Boot = z.infer<typeof Recording>["boots"][number];

/** Turns that kcompactd had after each write: the recorder waited for a second and a half. */
const TURNS = 3;
const COUNTERS = [
  "pageoutrun",
  "thp_fault_alloc",
  "thp_fault_fallback",
  "compact_stall",
  "compact_fail",
  "compact_success",
  "compact_daemon_wake",
  "compact_migrate_scanned",
  "compact_free_scanned",
  "compact_isolated",
  "compact_daemon_migrate_scanned",
  "compact_daemon_free_scanned",
  "pgmigrate_success",
] as const;
/** Percent that counters of pages may be off: which of several small free blocks is found first, no recording says. */
const WITHIN = 20;
/** These say how often something was done: they are the recorded ones. */
const EXACT = new Set<string>(COUNTERS.slice(0, 7));

const GUEST = 0x300000000000;
const HUGE = 0x400000000000;
const PROT = 3;
const FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

const freePages = (k: Machine): number => k.zones.reduce((n, zone) => n + zone.vm_stat[NR_FREE_PAGES]!, 0);

/** Fills memory until so many pages are left, as the recorder did, and then gives back every third page. */
function fragment(kernel: KernelModule, k: Machine, left: number): void {
  const sys = kernel.syscalls(k);
  sys.mmap(GUEST, k.totalram_pages * PAGE_SIZE, PROT, FLAGS, -1, 0);
  let filled = 0;
  for (const [margin, step] of [
    [600, 256],
    [0, 16],
  ] as const) {
    while (freePages(k) > left + margin) for (let n = 0; n < step; n++) sys.store(GUEST + filled++ * PAGE_SIZE, 1);
  }
  for (let n = 0; n < filled; n += 3) sys.madvise(GUEST + n * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
}

/** One step of the recorder's. */
function act(kernel: KernelModule, k: Machine, what: Boot["what"], n: number, write = 0): void {
  const sys = kernel.syscalls(k);
  if (what === "fault") {
    const at = HUGE + n * PMD_SIZE;
    sys.mmap(at, PMD_SIZE, PROT, FLAGS, -1, 0);
    sys.madvise(at, PMD_SIZE, MADV_HUGEPAGE);
    expect(sys.store(at, 1)).to.deep.equal({ val: 1 });
    kernel.kcompactd(k);
  } else if (what === "compact_memory") kernel.sysctl_compaction_handler(k);
  else {
    expect(kernel.compaction_proactiveness_sysctl_handler(k, write)).to.equal(0);
    for (let turn = 0; turn < TURNS; turn++) kernel.kcompactd(k);
  }
}

/** The counters that are not as recorded, with both values. */
function differences(k: Machine, after: Readonly<Record<string, number>>): string[] {
  return COUNTERS.flatMap((name) => {
    const [made, was] = [k.vm_events[vm_event_names.indexOf(name)]!, after[name] ?? 0];
    const off = Math.abs(made - was);
    return off <= (EXACT.has(name) ? 0 : (was * WITHIN) / 100) ? [] : [`${name} ${made}, recorded ${was}`];
  });
}

describe("recordings: compaction", () => {
  const path = join(projectRoot(), "fixtures", "compaction", "p96.json");
  const { boots } = Recording.parse(JSON.parse(readFileSync(path, "utf8")));
  for (const boot of boots) {
    it(`${boot.what}, defrag ${boot.defrag}: ${boot.steps.length} steps on a machine of which every third page is free`, async () => {
      const { kernel } = await loadVariant("base");
      const config = { thp_enabled: "madvise", thp_defrag: boot.defrag, kcompactd_stepped: true } as const;
      const k = kernel.boot({ like: boot.like as never, config: { ...config, compaction_proactiveness: 0 } });
      fragment(kernel, k, boot.left);
      const found = boot.steps.map((step, n) => {
        act(kernel, k, boot.what, n, step.write);
        return differences(k, step.after);
      });
      expect(found).to.deep.equal(boot.steps.map(() => []));
    });
  }
});
