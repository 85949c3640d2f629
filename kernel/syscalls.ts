// SPDX-License-Identifier: GPL-2.0-only
/** The table of system calls: the way in for tests, replays and workloads. */
import type { Machine } from "../include/machine.js";
import { rcuBarrier } from "../mm/slub.js";
import { register_devices } from "./devices.js";
import { file_calls } from "./syscalls/file.js";
import { memory_calls } from "./syscalls/memory.js";
import { numa_calls } from "./syscalls/numa.js";
import { task_calls } from "./syscalls/task.js";

/** System calls by name. */
export type Syscalls = ReturnType<typeof memory_calls> &
  ReturnType<typeof numa_calls> &
  ReturnType<typeof file_calls> &
  ReturnType<typeof task_calls>;

/** Those that enter the kernel where they fault, and only there. */
const ACCESSES: ReadonlySet<string> = new Set(["load", "store"]);

/** Numbers the calls of a table (Machine.calls). When the outermost has ended, so has any grace period. */
function logged<T extends object>(k: Machine, table: T): T {
  const calls = table as Record<string, (...args: unknown[]) => unknown>;
  for (const [name, call] of Object.entries(calls)) {
    if (ACCESSES.has(name)) continue;
    calls[name] = (...args) => {
      const outer = k.calls.enter(name, k.current.pid);
      const ret = call(...args);
      k.calls.leave(outer);
      if (outer === 0) rcuBarrier(k);
      return ret;
    };
  }
  return table;
}

/**
 * The system calls of a machine. Each runs as k.current and returns 0 or more, or -errno; arguments are 64-bit values,
 * numbers or bigints, addresses and lengths in bytes.
 */
export function syscalls(k: Machine): Syscalls {
  register_devices(k);
  return logged(k, Object.assign(memory_calls(k), numa_calls(k), file_calls(k), task_calls(k)));
}
