// SPDX-License-Identifier: GPL-2.0-only
/** A small machine with its tasks, which is put back to how it was set up as often as one likes. */
import type { task_struct } from "../../include/linux/sched.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import type { Syscalls } from "../../kernel/syscalls.js";
import { MADV_NOMOVABLE } from "../../uapi/mman-common.js";
import { Snapshot } from "../snapshot.js";
import type { KernelModule } from "../variants/load.js";
import { digestOf } from "./digest.js";
import { Identities } from "./identities.js";
import type { Setup } from "./setups.js";

const MIB = 1 << 20;
const WINDOW = 0x10000000;
const GUP_TEST_PATH = "/sys/kernel/debug/gup_test";
const VFIO_PATH = "/dev/vfio/vfio";
/** Where a set-up that swaps has its device. */
export const SWAP_PATH = "/dev/nvme0n1";
const SWAP_PAGES = 64;
const O_RDWR = 2;
/** A task for each call that can be under way at a time. */
const TASKS = 4;

/** Address of a page of the set-up. */
export function at(page: number): number {
  return WINDOW + page * PAGE_SIZE;
}

/** Pages to bytes. */
export function bytes(pages: number): number {
  return pages * PAGE_SIZE;
}

/** Gives the advice; false where the kernel does not know it, and the set-up is that without it. */
function giveAdvice(w: World): boolean {
  return w.sys.madvise(at(0), bytes(w.pages), MADV_NOMOVABLE) === 0;
}

export class World {
  readonly kernel: KernelModule;
  readonly k: Machine;
  readonly sys: Syscalls;
  readonly pages: number;
  /** Was the advice given when the set-up was made? */
  readonly advised: boolean;
  /** Descriptor of the file that is mapped; -1 without. */
  fd = -1;
  gupTest = -1;
  /** Descriptor of a VFIO container; -1 without. */
  container = -1;
  /** Threads of the process that maps the memory, and of the one that shares its file. */
  readonly threads: task_struct[];
  processes: task_struct[] = [];
  /** What the set-up is made of. */
  readonly known = new Identities();
  private readonly snapshot: Snapshot;

  constructor(kernel: KernelModule, setup: Setup, advised: boolean) {
    this.kernel = kernel;
    this.pages = setup.pages;
    const huge = setup.huge === true;
    const config = huge ? ({ thp_enabled: "always" } as const) : {};
    this.k = kernel.boot({ memory: 8 * MIB, cma: 4 * MIB, config, shortWays: false });
    this.sys = kernel.syscalls(this.k);
    kernel.checkMachine(this.k);
    this.gupTest = this.sys.open(GUP_TEST_PATH, O_RDWR);
    this.threads = this.threadsOf(this.k.current);
    setup.make(this);
    this.advised = advised && giveAdvice(this);
    const broken = kernel.checkMachine(this.k);
    if (broken.length > 0) throw new Error(`set-up ${setup.name}: ${broken.join("; ")}`);
    this.snapshot = new Snapshot(this.k);
    digestOf(this.k, this.known);
  }

  /** Puts everything back to how it was when the set-up was done. */
  restore(): void {
    this.snapshot.restore();
  }

  /** Opens a VFIO container. */
  openContainer(): void {
    this.container = this.sys.open(VFIO_PATH, O_RDWR);
  }

  /** Swaps to a device that takes its time, so that whoever reads sleeps. */
  swapOn(): void {
    this.kernel.add_swap_device(this.k, SWAP_PATH, { pages: SWAP_PAGES, rotational: false });
    this.sys.swapon(SWAP_PATH, 0);
  }

  /** Lets ksmd run so many turns, and leaves it running. */
  ksmd(turns: number): void {
    this.kernel.ksm_store(this.k, "run", 1);
    for (let n = 0; n < turns; n++) this.kernel.ksm_scan_thread(this.k);
  }

  /** Makes the other process, which has the files that are open now. */
  shareFiles(): void {
    const pid = this.sys.fork();
    this.processes = this.threadsOf(this.task(pid));
  }

  /** Runs something as the other process. */
  inProcess(run: () => void): void {
    this.as(this.processes[0]!, run);
  }

  as<T>(task: task_struct, run: () => T): T {
    const before = this.k.current;
    this.k.current = task;
    try {
      return run();
    } finally {
      this.k.current = before;
    }
  }

  openRegular(mode: number): number {
    const { files } = this.k.current;
    let fd = 3;
    while (files.has(fd)) fd++;
    files.set(fd, this.kernel.open_regular(this.k, "/root/disk.img", bytes(this.pages), mode));
    return fd;
  }

  private task(pid: number): task_struct {
    const task = this.k.tasks.get(pid);
    if (task === undefined) throw new Error(`set-up: no task, ${String(pid)}`);
    return task;
  }

  private threadsOf(leader: task_struct): task_struct[] {
    return this.as(leader, () => {
      const threads = [leader];
      const flags = { CLONE_VM: true, CLONE_FILES: true, CLONE_THREAD: true };
      while (threads.length < TASKS) threads.push(this.task(this.sys.clone(flags)));
      return threads;
    });
  }
}
