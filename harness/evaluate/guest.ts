// SPDX-License-Identifier: GPL-2.0-only
/** A host with a populated guest on it, and attempts to pin all of the guest for DMA, each from the same state. */
import { get_pageblock_migratetype, page_zone } from "../../include/linux/mem_map.js";
import { _PAGE_PRESENT, type mm_struct } from "../../include/linux/mm_types.js";
import { MIGRATE_CMA, pageblock_nr_pages, pageblock_order, ZONE_MOVABLE } from "../../include/linux/mmzone.js";
import type { pin_failure } from "../../include/linux/pin_report.js";
import type { task_struct } from "../../include/linux/sched.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { PGMIGRATE_SUCCESS } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { Prng } from "../../lib/prng.js";
import { stepWords } from "../attribution.js";
import { Snapshot } from "../snapshot.js";
import { errnoNames } from "../../uapi/errno.js";
import {
  VFIO_DMA_MAP_ARGSZ,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
} from "../../uapi/vfio.js";
import { bootOptionsOf } from "./host.js";
import { importKernel, type KernelModule } from "../variants/load.js";
import { readWorkload } from "../workload/read.js";
import { replayWorkload, type ReplayedWorkload } from "../workload/replay.js";
import type { Cell } from "./cells.js";
import type { Placement } from "./report.js";
import type { HostPlan } from "./sweep.js";

/** How one attempt to pin the guest went. */
export interface Trial {
  /** What ended it, in words, what the call returned, and what the model noted; null if all of the guest was pinned. */
  readonly failure: { readonly what: string; readonly ret: number; readonly noted: pin_failure | null } | null;
  readonly migrated: number;
  /** Pages that are still where no long-term pin may be. */
  readonly left: number;
  /** Did chance decide anything? */
  readonly random: boolean;
}

/** Entries first … last - 1 of a page table; or as many pages of a huge page. */
interface Stretch {
  readonly table: { readonly pfn: Uint32Array; readonly flags: Uint8Array } | undefined;
  readonly huge: number | undefined;
  readonly first: number;
  readonly last: number;
}

/** What maps [addr, addr + len), by address. */
function* stretchesOf(mm: mm_struct, addr: number, len: number): Generator<Stretch> {
  const end = addr + len;
  for (let at = addr; at < end; at = (Math.floor(at / PMD_SIZE) + 1) * PMD_SIZE) {
    const key = Math.floor(at / PMD_SIZE);
    const first = (at % PMD_SIZE) / PAGE_SIZE;
    const last = Math.min(first + (end - at) / PAGE_SIZE, PMD_SIZE / PAGE_SIZE);
    const huge = mm.pgd.huge.get(key);
    const mapped = huge !== undefined && (huge.flags & _PAGE_PRESENT) !== 0;
    yield { table: mm.pgd.pte.get(key), huge: mapped ? huge.pfn : undefined, first, last };
  }
}

/** The page frames that are mapped in [addr, addr + len), by address. */
function framesOf(mm: mm_struct, addr: number, len: number): Uint32Array {
  const frames = new Uint32Array(len / PAGE_SIZE);
  let n = 0;
  for (const { table, huge, first, last } of stretchesOf(mm, addr, len)) {
    if (huge !== undefined) for (let i = first; i < last; i++) frames[n++] = huge + i;
    if (table === undefined) continue;
    for (let i = first; i < last; i++) if (table.flags[i]! & _PAGE_PRESENT) frames[n++] = table.pfn[i]!;
  }
  return frames.subarray(0, n);
}

/** How many of these entries map a page of a pageblock that is `barred`. */
function countBarred(flags: Uint8Array, pfn: Uint32Array, first: number, last: number, barred: Uint8Array): number {
  let n = 0;
  for (let i = first; i < last; i++) if (flags[i]! & _PAGE_PRESENT) n += barred[pfn[i]! >>> pageblock_order]!;
  return n;
}

const inCma = (k: Machine, pfn: number): boolean => get_pageblock_migratetype(k.mem, pfn) === MIGRATE_CMA;
const inMovable = (k: Machine, pfn: number): boolean => page_zone(k.mem, pfn).idx === ZONE_MOVABLE;

function failureWords(ret: number, first: pin_failure | null): string {
  const errno = errnoNames[-ret] ?? String(ret);
  return first === null ? errno : `${errno}: ${stepWords(first)}`;
}

export class PopulatedHost {
  readonly placement: Placement;
  private readonly kernel: KernelModule;
  private readonly k: Machine;
  private readonly task: task_struct;
  private readonly guest: { readonly addr: number; readonly len: number };
  private readonly populated: Snapshot;
  /** Guest pages that a long-term pin must migrate away. */
  private readonly unpinnable: Uint32Array;
  /** By pageblock: may its pages not be pinned for long? */
  private readonly barred: Uint8Array;
  private readonly container: number;

  private constructor(kernel: KernelModule, k: Machine, run: ReplayedWorkload, use: string) {
    this.kernel = kernel;
    this.k = k;
    this.task = run.task;
    this.guest = run.guest;
    const { addr, len } = run.guest;
    const resident = run.task.mm === null ? new Uint32Array() : framesOf(run.task.mm, addr, len);
    this.barred = Uint8Array.from(k.mem.pageblock_flags, (_, block) => {
      const pfn = block * pageblock_nr_pages;
      return inCma(k, pfn) || inMovable(k, pfn) ? 1 : 0;
    });
    this.unpinnable = resident.filter((pfn) => this.barred[pfn >>> pageblock_order] === 1);
    this.placement = {
      use,
      guestPages: run.guest.len / PAGE_SIZE,
      populated: resident.length,
      inCma: resident.filter((pfn) => inCma(k, pfn)).length,
      inZoneMovable: resident.filter((pfn) => inMovable(k, pfn)).length,
      advice: run.advice === null ? null : run.advice === 0 ? "0" : (errnoNames[-run.advice] ?? String(run.advice)),
      killed: run.killed,
      callsReplayed: run.replayed,
      callsSkipped: run.skipped.length,
    };
    k.current = run.task;
    this.container = run.killed ? -1 : kernel.syscalls(k).open("/dev/vfio/vfio", 2);
    this.populated = new Snapshot(k);
  }

  /** Boots the host, replays the workload, and keeps the outcome to start from. */
  static async make(plan: HostPlan): Promise<PopulatedHost> {
    const kernel = await importKernel(plan.kernelDir);
    const k = kernel.boot(bootOptionsOf(plan));
    const run = replayWorkload(kernel, k, readWorkload(plan.workload), { onGuestMemory: plan.use.advice });
    return new PopulatedHost(kernel, k, run, plan.use.id);
  }

  /** What of a cell this guest can show: no more pages are held than must move, and none for no page. */
  possible(cell: Cell): Cell {
    const references = Math.min(cell.references, this.unpinnable.length);
    return { ...cell, references, clearsAfter: references === 0 ? 0 : cell.clearsAfter };
  }

  /** Maps the whole guest for DMA under the failures of a {@link possible} cell. The same seed gives the same trial. */
  pin(cell: Cell, seed: number): Trial {
    const { k } = this;
    this.populated.restore();
    k.prng.reseed(seed);
    const untouched = k.prng.state.join();
    this.injectAllocFailures(cell);
    this.holdPages(cell, new Prng(seed ^ 0x5bd1e995));
    const before = k.vm_events[PGMIGRATE_SUCCESS]!;
    const sys = this.kernel.syscalls(k);
    const ret = sys.ioctl(this.container, VFIO_IOMMU_MAP_DMA, {
      argsz: VFIO_DMA_MAP_ARGSZ,
      flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
      vaddr: this.guest.addr,
      iova: 0,
      size: this.guest.len,
    });
    const chosen = cell.references > 0 && cell.references < this.unpinnable.length;
    const random = chosen || k.prng.state.join() !== untouched;
    return {
      failure: this.failureOf(ret),
      migrated: k.vm_events[PGMIGRATE_SUCCESS]! - before,
      left: this.stillUnpinnable(),
      random,
    };
  }

  private failureOf(ret: number): Trial["failure"] {
    if (ret === 0) return null;
    const noted = this.kernel.pin_report_of(this.k).first;
    return { what: failureWords(ret, noted), ret, noted };
  }

  private injectAllocFailures(cell: Cell): void {
    const attr = this.k.fail_page_alloc;
    attr.probability = cell.allocFailure;
    attr.times = -1;
    attr.min_order = 0;
    attr.ignore_gfp_wait = false;
    attr.ignore_gfp_highmem = false;
    attr.task_filter = true;
    this.task.make_it_fail = true;
  }

  /** Puts temporary references on pages that the pin must migrate. */
  private holdPages(cell: Cell, choice: Prng): void {
    const { unpinnable } = this;
    /** Those that are not where they were in `unpinnable`: the last of the rest takes the place of each that is held. */
    const moved = new Map<number, number>();
    for (let i = 0, left = unpinnable.length; i < cell.references; i++) {
      const at = choice.below(left--);
      this.k.fail_migrate.add({ pfn: moved.get(at) ?? unpinnable[at]!, kind: "reference", attempts: cell.clearsAfter });
      moved.set(at, moved.get(left) ?? unpinnable[left]!);
    }
    if (cell.references > 0) this.k.fail_migrate.arm(this.k);
  }

  /** How many guest pages are where no long-term pin may be. Makes no list of them: it is asked after every trial. */
  private stillUnpinnable(): number {
    const { guest, barred } = this;
    if (this.unpinnable.length === 0) return 0;
    let left = 0;
    for (const { table, huge, first, last } of stretchesOf(this.task.mm!, guest.addr, guest.len)) {
      if (huge !== undefined) left += (last - first) * barred[huge >>> pageblock_order]!;
      if (table !== undefined) left += countBarred(table.flags, table.pfn, first, last, barred);
    }
    return left;
  }
}
