// SPDX-License-Identifier: GPL-2.0-only
/** fcntl(2) (fs/fcntl.c). */
import { not_modelled } from "../include/linux/bug.js";
import type { ulong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { memfd_fcntl } from "../mm/memfd.js";
import { EBADF, EINVAL } from "../uapi/errno.js";
import { F_ADD_SEALS, F_GET_SEALS } from "../uapi/memfd.js";

/** Ranges of commands that there are: descriptors, flags, locks, owners and signals; leases; pipes; write hints. */
const others = [
  [0, 11],
  [15, 17],
  [36, 38],
  [1024, 1026],
  [1030, 1032],
  [1035, 1038],
] as const;

/**
 * fcntl(2).
 * @kernel fs/fcntl.c:SYSCALL_DEFINE3(fcntl)
 * @fidelity simplified: seals of memfds
 * @returns 0 or the seals, or -EBADF, -EINVAL (no such command), what {@link memfd_fcntl} says
 */
export function sys_fcntl(k: Machine, fd: number, cmd: number, arg: ulong): number {
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  if (cmd === F_ADD_SEALS || cmd === F_GET_SEALS) return memfd_fcntl(k, f, cmd, arg);
  if (others.some(([from, to]) => from <= cmd && cmd <= to)) return not_modelled(`fs/fcntl.c: command ${String(cmd)}`);
  return -EINVAL;
}
