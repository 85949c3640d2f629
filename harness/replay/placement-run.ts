// SPDX-License-Identifier: GPL-2.0-only
/** Makes the runs of a placement recording on a machine of the model, as they were made on a kernel. */
import { ZONE_MOVABLE } from "../../include/linux/mmzone.js";
import { _PAGE_PRESENT, type mm_struct } from "../../include/linux/mm_types.js";
import { NR_FREE_CMA_PAGES, NR_FREE_PAGES, PGMIGRATE_FAIL, PGMIGRATE_SUCCESS } from "../../include/linux/vmstat.js";
import { PAGE_SIZE, PMD_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";
import { type gup_test, PIN_LONGTERM_BENCHMARK } from "../../uapi/gup_test.js";
import * as mman from "../../uapi/mman-common.js";
import type { KernelModule, Machine, Syscalls } from "./kernel.js";
import { type PlacementRun, planOf, type RunPlan } from "./placement-format.js";
import { LINE, PlacementLog } from "./placement-log.js";

/** Where a guest's memory landed in the model, in the words of the recording. */
export interface MadeRun {
  /** [first page, pages in CMA or ZONE_MOVABLE, nr_free_pages, nr_free_cma] */
  readonly steps: [number, number, number, number][];
  cma_pages: number;
  populated: Counts | null;
  pin: { ret: number; pages_pinned: number; cma_left: number; after: Counts } | null;
  /** The OOM killer ended it: in this part of the run. */
  killed: "populating" | "pinning" | null;
}

export interface Counts {
  readonly nr_free_pages: number;
  readonly nr_free_cma: number;
  readonly pgmigrate_success: number;
  readonly pgmigrate_fail: number;
}

const PAGES_PER_PIN = 512;
const PR_SET_THP_DISABLE = 41;
const GUEST_PROT = mman.PROT_READ | mman.PROT_WRITE;
const FOLL_WRITE = 1;

function zoneSum(k: Machine, item: number): number {
  return k.zones.reduce((sum, z) => sum + z.vm_stat[item]!, 0);
}

export function countsOf(k: Machine): Counts {
  return {
    nr_free_pages: zoneSum(k, NR_FREE_PAGES),
    nr_free_cma: zoneSum(k, NR_FREE_CMA_PAGES),
    pgmigrate_success: k.vm_events[PGMIGRATE_SUCCESS]!,
    pgmigrate_fail: k.vm_events[PGMIGRATE_FAIL]!,
  };
}

/** Page frames [from, to) that a recording counts: of CMA, or on a machine without it of ZONE_MOVABLE. */
function countedFrames(k: Machine): [number, number] {
  const area = k.cmaAreas[0];
  if (area !== undefined) return [area.base_pfn, area.base_pfn + area.count];
  const movable = k.zones.find((z) => z.idx === ZONE_MOVABLE);
  return movable === undefined ? [0, 0] : [movable.zone_start_pfn, movable.zone_start_pfn + movable.spanned_pages];
}

/** Pages mapped in [addr, addr + pages) that are in CMA, or on a machine without it in ZONE_MOVABLE. */
export function countPlaced(k: Machine, mm: mm_struct, addr: number, pages: number): number {
  const [from, to] = countedFrames(k);
  let n = 0;
  for (let i = 0; i < pages;) {
    const at = addr + i * PAGE_SIZE;
    const table = mm.pgd.pte.get(Math.floor(at / PMD_SIZE));
    const first = Math.floor((at % PMD_SIZE) / PAGE_SIZE);
    const last = Math.min(PTRS_PER_PTE, first + pages - i);
    for (let j = first; table !== undefined && j < last; j++) {
      const pfn = table.pfn[j]!;
      if (table.flags[j]! & _PAGE_PRESENT && pfn >= from && pfn < to) n++;
    }
    i += last - first;
  }
  return n;
}

class Guest {
  private readonly k: Machine;
  private readonly sys: Syscalls;
  private readonly plan: RunPlan;
  private readonly log: PlacementLog;
  private readonly mm: mm_struct;
  readonly made: MadeRun = { steps: [], cma_pages: 0, populated: null, pin: null, killed: null };
  private addr = 0;

  constructor(k: Machine, sys: Syscalls, plan: RunPlan, log: PlacementLog) {
    this.k = k;
    this.sys = sys;
    this.plan = plan;
    this.log = log;
    this.mm = k.current.mm!;
  }

  private killed(): boolean {
    return this.k.current.fatal_signal !== 0 || this.k.current.exited;
  }

  private map(fd: number, more: number): void {
    const flags = this.plan.kind === "memfd" ? mman.MAP_SHARED : mman.MAP_PRIVATE | mman.MAP_ANONYMOUS;
    this.addr = this.must("mmap", this.sys.mmap(0, this.plan.pages * PAGE_SIZE, GUEST_PROT, flags | more, fd, 0));
  }

  private must(what: string, ret: number): number {
    if (ret < 0 && !this.killed()) throw new Error(`${what} of the guest: ${String(ret)}`);
    return ret;
  }

  /** Of runs with injection, which are many, the log keeps only the end. */
  private print(bytes: number): void {
    if (this.plan.failPercent === 0) this.log.print(bytes);
  }

  private advise(): void {
    this.must("madvise", this.sys.madvise(this.addr, this.plan.pages * PAGE_SIZE, mman.MADV_NOMOVABLE));
  }

  run(): MadeRun {
    const { sys, plan } = this;
    const bytes = plan.pages * PAGE_SIZE;
    sys.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    const fd = plan.kind === "memfd" ? this.must("memfd_create", sys.memfd_create("guest", 0)) : -1;
    if (fd >= 0) this.must("ftruncate", sys.ftruncate(fd, bytes));
    this.print(LINE.start);
    this.map(fd, 0);
    if (plan.populate === "fallocate") this.must("fallocate", sys.fallocate(fd, 0, 0, bytes));
    if (plan.nomovable === 1 && !this.killed()) this.advise();
    if (plan.populate === "map") {
      sys.munmap(this.addr, bytes);
      this.map(fd, mman.MAP_POPULATE);
      if (plan.nomovable === 2 && !this.killed()) this.advise();
    }
    this.populate();
    if (this.made.killed === null) this.pin();
    return this.made;
  }

  private populate(): void {
    const { k, sys, plan, made } = this;
    for (let i = 0; i < plan.pages && !this.killed(); i += plan.step) {
      const at = this.addr + i * PAGE_SIZE;
      const ret = plan.populate === "madv" ? sys.madvise(at, plan.step * PAGE_SIZE, mman.MADV_POPULATE_WRITE) : 0;
      if (this.killed()) break;
      const counts = countsOf(k);
      made.steps.push([i, countPlaced(k, this.mm, at, plan.step), counts.nr_free_pages, counts.nr_free_cma]);
      this.print(LINE.step);
      if (ret !== 0) break;
    }
    if (this.killed()) {
      made.killed = "populating";
      return;
    }
    made.cma_pages = countPlaced(k, this.mm, this.addr, plan.pages);
    made.populated = countsOf(k);
    this.log.print(LINE.populated);
  }

  private pin(): void {
    const { k, sys, plan, made } = this;
    const g = this.must("open of gup_test", sys.open("/sys/kernel/debug/gup_test", 2));
    const arg: gup_test = {
      get_delta_usec: 0,
      put_delta_usec: 0,
      addr: this.addr,
      size: plan.pages * PAGE_SIZE,
      nr_pages_per_call: Math.min(PAGES_PER_PIN, plan.pages),
      gup_flags: FOLL_WRITE,
      test_flags: 0,
    };
    this.injectFailures(true);
    const ret = sys.ioctl(g, PIN_LONGTERM_BENCHMARK, arg);
    this.injectFailures(false);
    if (this.killed()) {
      made.killed = "pinning";
      return;
    }
    const left = countPlaced(k, this.mm, this.addr, plan.pages);
    made.pin = { ret, pages_pinned: arg.size / PAGE_SIZE, cma_left: left, after: countsOf(k) };
    this.log.print(LINE.trial);
  }

  private injectFailures(on: boolean): void {
    if (this.plan.failPercent === 0) return;
    const attr = this.k.fail_page_alloc;
    attr.min_order = 0;
    attr.ignore_gfp_wait = false;
    attr.ignore_gfp_highmem = false;
    attr.times = -1;
    attr.interval = 1;
    attr.task_filter = true;
    attr.probability = on ? this.plan.failPercent : 0;
    this.k.current.make_it_fail = on;
  }
}

/** Makes one run as a new process of the machine, which is gone afterwards. */
export function makeRun(kernel: KernelModule, k: Machine, run: PlacementRun): MadeRun {
  const sys = kernel.syscalls(k);
  const parent = k.current;
  const log = new PlacementLog(k, sys);
  log.title();
  const pid = sys.fork();
  const task = k.tasks.get(pid);
  if (task === undefined) throw new Error(`fork of the first process: ${String(pid)}`);
  k.current = task;
  try {
    const made = new Guest(k, sys, planOf(run), log).run();
    if (made.killed === null) log.flush();
    if (!task.exited) sys.exit(0);
    log.close();
    return made;
  } finally {
    k.current = parent;
  }
}
