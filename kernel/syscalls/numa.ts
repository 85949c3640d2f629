// SPDX-License-Identifier: GPL-2.0-only
/** System calls on memory policies, and that move pages from node to node. */
import { toULong } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { sys_get_mempolicy, sys_mbind, sys_set_mempolicy, type user_out } from "../../mm/mempolicy.js";
import { sys_migrate_pages } from "../../mm/mempolicy/migrate.js";
import { sys_move_pages, type user_array, type user_status } from "../../mm/migrate/move_pages.js";
import { ENOSYS } from "../../uapi/errno.js";
import { mmget, mmput } from "../fork.js";
import { type Arg, int, long_flags } from "./memory.js";

/** Calls about nodes exist only where the kernel knows any. */
function numa_call(k: Machine, call: () => number): number {
  return k.config.NUMA ? call() : -ENOSYS;
}

/** A call on the memory of a process (0: the running one), which stays while that goes on. */
function numa_call_on(k: Machine, pid: Arg, call: (pid: number) => number): number {
  const target = int(pid);
  const mm = (target === 0 ? k.current : k.tasks.get(target))?.mm ?? null;
  if (mm !== null) mmget(mm);
  const ret = numa_call(k, () => call(target));
  if (mm !== null) mmput(k, mm);
  return ret;
}

/** A set of nodes, a bit each. */
function user_nodes(nmask: Arg | null): bigint | null {
  return nmask === null ? null : BigInt(nmask);
}

/** The system calls on nodes, run by k.current; each returns 0 or more, or -errno. */
export function numa_calls(k: Machine) {
  return {
    /** `nmask`: nodes, a bit each; null for none. */
    mbind: (addr: Arg, len: Arg, mode: Arg, nmask: Arg | null, maxnode: Arg, flags: Arg): number =>
      numa_call(k, () =>
        sys_mbind(k, toULong(addr), toULong(len), int(mode), user_nodes(nmask), toULong(maxnode), int(flags)),
      ),
    set_mempolicy: (mode: Arg, nmask: Arg | null, maxnode: Arg): number =>
      numa_call(k, () => sys_set_mempolicy(k, int(mode), user_nodes(nmask), toULong(maxnode))),
    /** `mode` and `nmask` receive what is found; null where nobody wants it. */
    get_mempolicy: (
      mode: user_out<number> | null,
      nmask: user_out<bigint> | null,
      maxnode: Arg,
      addr: Arg,
      flags: Arg,
    ): number =>
      numa_call(k, () => sys_get_mempolicy(k, mode, nmask, toULong(maxnode), toULong(addr), long_flags(flags))),
    /** `old_nodes`, `new_nodes`: as for mbind. */
    migrate_pages: (pid: Arg, maxnode: Arg, old_nodes: Arg | null, new_nodes: Arg | null): number =>
      numa_call_on(k, pid, (target) =>
        sys_migrate_pages(k, target, toULong(maxnode), user_nodes(old_nodes), user_nodes(new_nodes)),
      ),
    /** Arrays end where user memory does; null is a bad address, and for `nodes` none is to be moved. `status` is written. */
    move_pages: (
      pid: Arg,
      nr_pages: Arg,
      pages: readonly Arg[] | null,
      nodes: user_array,
      status: user_status,
      flags: Arg,
    ): number => {
      const addrs = pages === null ? null : pages.map(toULong);
      return numa_call_on(k, pid, (target) =>
        sys_move_pages(k, target, toULong(nr_pages), addrs, nodes, status, int(flags)),
      );
    },
  };
}
