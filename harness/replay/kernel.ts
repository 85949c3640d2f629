// SPDX-License-Identifier: GPL-2.0-only
/** A variant as the replay sees it: the exports of its kernel/index.ts, known here by type alone. */
import type { Machine } from "../../include/machine.js";
import type { task_struct } from "../../include/linux/sched.js";
import type { KernelModule } from "../variants/load.js";
export type { KernelModule, Machine };
export type Task = task_struct;
export type Syscalls = ReturnType<KernelModule["syscalls"]>;
