// SPDX-License-Identifier: GPL-2.0-only
/** Limits and prctl(2) (kernel/sys.c). */
import { not_modelled } from "../include/linux/bug.js";
import { mmap_write_lock, mmap_write_unlock } from "../include/linux/mmap_lock.js";
import { CAP_SYS_RESOURCE, RLIM_INFINITY, RLIM_NLIMITS, RLIMIT_NOFILE } from "../include/linux/sched.js";
import { MMF_DISABLE_THP } from "../include/linux/sched/coredump.js";
import type { ulong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { madvise_set_anon_name } from "../mm/madvise.js";
import { EFAULT, EINVAL, EPERM } from "../uapi/errno.js";
import { PR_GET_THP_DISABLE, PR_SET_THP_DISABLE, PR_SET_VMA, PR_SET_VMA_ANON_NAME } from "../uapi/prctl.js";

const ANON_VMA_NAME_MAX_LEN = 80;
const INVALID_CHARS = "\\`$[]";

/** May a character stand in the name of a VMA? @kernel kernel/sys.c:is_valid_name_char */
function is_valid_name_char(ch: string): boolean {
  return ch >= " " && ch <= "~" && !INVALID_CHARS.includes(ch);
}

/**
 * Names anonymous memory; null takes the name away.
 * @kernel kernel/sys.c:prctl_set_vma
 * @fidelity mirrored; an address is no string, since memory holds none
 * @returns 0, -EINVAL, -EFAULT, -ENOMEM, -EBADF, -EAGAIN
 */
function prctl_set_vma(k: Machine, opt: number, addr: ulong, size: ulong, arg: ulong | string | null): number {
  if (opt !== PR_SET_VMA_ANON_NAME || !k.config.ANON_VMA_NAME) return -EINVAL;
  const name = arg === 0 ? null : arg;
  if (typeof name === "number") return -EFAULT;
  if (name !== null) {
    if (name.length >= ANON_VMA_NAME_MAX_LEN) return -EINVAL;
    for (const ch of name) if (!is_valid_name_char(ch)) return -EINVAL;
  }
  const mm = k.current.mm!;
  mmap_write_lock(mm);
  const error = madvise_set_anon_name(k, mm, addr, size, name);
  mmap_write_unlock(mm);
  return error;
}

/** The last of the options that are numbered from 1 on. */
const PR_LAST = 64;

/**
 * prctl(2), as far as it is about memory.
 * @kernel kernel/sys.c:SYSCALL_DEFINE5(prctl)
 * @fidelity simplified: PR_SET_VMA, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE
 */
export function sys_prctl(
  k: Machine,
  option: number,
  arg2: ulong,
  arg3: ulong,
  arg4: ulong,
  arg5: ulong | string | null,
): number {
  const mm = k.current.mm!;
  switch (option) {
    case PR_SET_VMA:
      return prctl_set_vma(k, arg2, arg3, arg4, arg5);
    case PR_SET_THP_DISABLE:
      if (arg3 || arg4 || arg5) return -EINVAL;
      mmap_write_lock(mm);
      if (arg2) mm.flags |= MMF_DISABLE_THP;
      else mm.flags &= ~MMF_DISABLE_THP;
      mmap_write_unlock(mm);
      return 0;
    case PR_GET_THP_DISABLE:
      if (arg2 || arg3 || arg4 || arg5) return -EINVAL;
      return mm.flags & MMF_DISABLE_THP ? 1 : 0;
    default:
      return option > 0 && option <= PR_LAST ? not_modelled(`kernel/sys.c: prctl ${String(option)}`) : -EINVAL;
  }
}

/** A soft limit, which leaves the hard one as it is; or both. Bytes or a count; negative or infinite is none. */
export type new_rlimit = number | { readonly rlim_cur: number; readonly rlim_max: number };

function unlimited(limit: number): number {
  return limit < 0 ? RLIM_INFINITY : limit;
}

/** Descriptors that a process may have at most: fs.nr_open. */
const NR_OPEN = 1 << 20;

/**
 * setrlimit(2): sets a limit of the running process.
 * @kernel kernel/sys.c:do_prlimit
 * @fidelity mirrored (of what memory is limited by)
 * @param limit null is a bad address
 * @returns 0, -EFAULT, -EINVAL (unknown, soft above hard), -EPERM (raises the hard limit without CAP_SYS_RESOURCE; more
 *   descriptors than fs.nr_open)
 */
export function sys_setrlimit(k: Machine, resource: number, limit: new_rlimit | null): number {
  if (limit === null) return -EFAULT;
  if (!Number.isInteger(resource) || resource < 0 || resource >= RLIM_NLIMITS) return -EINVAL;
  const { rlim, rlim_max, capabilities } = k.current;
  const soft = unlimited(typeof limit === "number" ? limit : limit.rlim_cur);
  const hard = typeof limit === "number" ? rlim_max[resource]! : unlimited(limit.rlim_max);
  if (soft > hard) return -EINVAL;
  if (resource === RLIMIT_NOFILE && hard > NR_OPEN) return -EPERM;
  if (hard > rlim_max[resource]! && !capabilities.has(CAP_SYS_RESOURCE)) return -EPERM;
  rlim[resource] = soft;
  rlim_max[resource] = hard;
  return 0;
}
