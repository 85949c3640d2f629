// SPDX-License-Identifier: GPL-2.0-only
/** Threads, files and failures that several suites need. */
import { FMODE_READ, FMODE_WRITE } from "../../../include/linux/fs.js";
import type { task_struct } from "../../../include/linux/sched.js";
import type { Machine } from "../../../include/machine.js";
import { bytes, type T } from "./memory.js";

/** Makes page allocations fail, of whatever order and for whatever purpose. */
export function failAllocations(k: Machine, o: { probability?: number; nth?: number }): void {
  const attr = k.fail_page_alloc;
  attr.probability = o.probability ?? 0;
  attr.times = -1;
  attr.min_order = 0;
  attr.ignore_gfp_wait = false;
  attr.ignore_gfp_highmem = false;
  if (o.nth !== undefined) k.current.fail_nth = o.nth;
}

/** How often a yield point was met. */
export interface Met {
  count: number;
}

/** Runs something the first time that the kernel comes by a yield point. */
export function atYield(t: T, point: string, run: () => void): Met {
  const met: Met = { count: 0 };
  const before = t.k.hooks.yieldPoint.bind(t.k.hooks);
  t.k.hooks.yieldPoint = (name, detail) => {
    if (name !== point) return before(name, detail);
    if (met.count++ === 0) run();
    return undefined;
  };
  return met;
}

/** A thread of the current process; {@link T.as} runs it. */
export function newThread(t: T): task_struct {
  const tid = t.sys.clone({ CLONE_VM: true, CLONE_FILES: true, CLONE_THREAD: true });
  const thread = t.k.tasks.get(tid);
  if (thread === undefined) throw new Error(`clone() returned ${String(tid)}`);
  return thread;
}

/** Opens an ordinary file of so many pages, zeroes all, for reading and writing. */
export function openFile(t: T, pages: number): number {
  const { files } = t.k.current;
  let fd = 3;
  while (files.has(fd)) fd++;
  files.set(fd, t.kernel.open_regular(t.k, "/root/disk.img", bytes(pages), FMODE_READ | FMODE_WRITE));
  return fd;
}
