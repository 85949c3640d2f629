// SPDX-License-Identifier: GPL-2.0-only
/** A machine with a guest, part of it in CMA, and attempts to map it for DMA, each from the same state. */
import { get_pageblock_migratetype } from "../../include/linux/mem_map.js";
import { MIGRATE_CMA } from "../../include/linux/mmzone.js";
import type { pin_failure } from "../../include/linux/pin_report.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { Snapshot } from "../snapshot.js";
import {
  MADV_NOMOVABLE,
  MADV_POPULATE_WRITE,
  MAP_FIXED,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import {
  VFIO_DMA_MAP_ARGSZ,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
} from "../../uapi/vfio.js";
import type { KernelModule } from "../variants/load.js";
import type { Fault } from "./schedule.js";

const GUEST = 0x10000000;
/** Rounds of the pin's loop after which nothing more can change: every fault that ends has ended long before. */
const ENDLESS = 64;

export interface SceneOptions {
  readonly memory: number;
  readonly cma: number;
  /** Pages of the guest. */
  readonly pages: number;
  /** Is the guest's memory advised before it is populated? A kernel that knows no advice goes on without. */
  readonly advised: boolean;
  /** How often the guest has used its memory; once is to populate it. From twice on its pages are active. */
  readonly uses: number;
}

/** succeeds, fails with an errno, goes round for ever, or sleeps for ever. */
export type Outcome = "succeeds" | "fails" | "loops" | "sleeps";

export interface Attempt {
  readonly outcome: Outcome;
  /** What the call returned, if it did. */
  readonly ret: number;
  readonly failure: pin_failure | null;
}

/** Something that is in the way of one guest page. */
export interface Obstacle extends Fault {
  /** Page frame. */
  readonly pfn: number;
}

/** Thrown through the kernel to leave what has no end; the machine is put back before it is used again. */
class Endless extends Error {
  readonly outcome: "loops" | "sleeps";
  /** The page whose lock is slept for; 0 for none. */
  readonly pfn: number;
  constructor(outcome: "loops" | "sleeps", pfn = 0) {
    super(outcome);
    this.outcome = outcome;
    this.pfn = pfn;
  }
}

function watch(at: string, about: unknown): undefined {
  if (at === "__gup_longterm_locked" && (about as { round: number }).round > ENDLESS) throw new Endless("loops");
  if (at === "folio_lock") throw new Endless("sleeps", (about as { pfn: number }).pfn);
}

export class Scene {
  readonly k: Machine;
  /** Page frames of the guest, by address. */
  readonly frames: readonly number[];
  /** Those of them that lie in CMA. */
  readonly inCma: readonly number[];
  private readonly kernel: KernelModule;
  private readonly sys: ReturnType<KernelModule["syscalls"]>;
  private readonly container: number;
  private readonly bytes: number;
  private readonly start: Snapshot;

  constructor(kernel: KernelModule, o: SceneOptions) {
    this.kernel = kernel;
    this.bytes = o.pages * PAGE_SIZE;
    const k = kernel.boot({ memory: o.memory, cma: o.cma, cpus: 4, seed: 1, hooks: { yieldPoint: watch } });
    this.k = k;
    this.sys = kernel.syscalls(k);
    this.container = this.populate(o);
    this.frames = Array.from({ length: o.pages }, (_, page) => {
      const at = GUEST + page * PAGE_SIZE;
      const table = k.current.mm!.pgd.pte.get(Math.floor(at / PMD_SIZE))!;
      return table.pfn[(at % PMD_SIZE) / PAGE_SIZE]!;
    });
    this.inCma = this.frames.filter((pfn) => get_pageblock_migratetype(k.mem, pfn) === MIGRATE_CMA);
    Object.assign(k.fail_page_alloc, { min_order: 0, ignore_gfp_wait: false, ignore_gfp_highmem: false, times: -1 });
    this.start = new Snapshot(k);
  }

  /** Makes the guest; returns the descriptor of its VFIO container. */
  private populate(o: SceneOptions): number {
    const { sys } = this;
    const must = (what: string, ret: number): number => {
      if (ret < 0) throw new Error(`the scene cannot be set: ${what} returned ${String(ret)}`);
      return ret;
    };
    const fd = must("memfd_create", sys.memfd_create("guest", 0));
    must("ftruncate", sys.ftruncate(fd, this.bytes));
    must("mmap", sys.mmap(GUEST, this.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
    if (o.advised) sys.madvise(GUEST, this.bytes, MADV_NOMOVABLE);
    for (let use = 0; use < o.uses; use++) must("madvise", sys.madvise(GUEST, this.bytes, MADV_POPULATE_WRITE));
    return must("open", sys.open("/dev/vfio/vfio", 2));
  }

  /** Maps the guest for DMA with these in the way. The machine is left as that leaves it. */
  attempt(obstacles: readonly Obstacle[], allocFailure = 0, seed = 1): Attempt {
    this.set(obstacles, allocFailure, seed);
    return this.play();
  }

  /** Puts the machine back to where every attempt starts, and these in the way. */
  set(obstacles: readonly Obstacle[], allocFailure = 0, seed = 1): void {
    const { k } = this;
    this.start.restore();
    k.prng.reseed(seed);
    k.fail_page_alloc.probability = allocFailure;
    for (const obstacle of obstacles) k.fail_migrate.add(obstacle);
    if (obstacles.length > 0) k.fail_migrate.arm(k);
  }

  /** The mapping itself, on a scene that is set. */
  play(): Attempt {
    try {
      const ret = this.map();
      if (ret === 0) return { outcome: "succeeds", ret, failure: null };
      return { outcome: "fails", ret, failure: this.kernel.pin_report_of(this.k).first };
    } catch (error) {
      if (!(error instanceof Endless)) throw error;
      return { outcome: error.outcome, ret: 0, failure: this.stuck(error) };
    }
  }

  /** Why a pin has no end. */
  private stuck({ outcome, pfn }: Endless): pin_failure | null {
    const report = this.kernel.pin_report_of(this.k);
    if (outcome === "sleeps") this.kernel.pinStuck(this.k, "page lock", pfn);
    else this.kernel.pinStuck(this.k, "not isolated", report.not_isolated);
    return report.first;
  }

  /**
   * After an attempt that returned: what is broken, a line each; and whether the guest can be mapped once nothing is
   * in the way.
   */
  aftermath(attempt: Attempt): string[] {
    const { k } = this;
    if (attempt.outcome === "loops" || attempt.outcome === "sleeps") return [];
    k.fail_migrate.clear(k);
    k.fail_page_alloc.probability = 0;
    k.current.fail_nth = 0;
    const broken = this.kernel.checkMachine(k);
    if (attempt.outcome === "succeeds") return broken;
    const again = this.map();
    return again === 0 ? broken : [...broken, `once nothing is in the way, mapping returns ${String(again)}`];
  }

  private map(): number {
    return this.sys.ioctl(this.container, VFIO_IOMMU_MAP_DMA, {
      argsz: VFIO_DMA_MAP_ARGSZ,
      flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
      vaddr: GUEST,
      iova: 0,
      size: this.bytes,
    });
  }
}
