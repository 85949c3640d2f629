// SPDX-License-Identifier: GPL-2.0-only
/** Vectors of user buffers (lib/iov_iter.c). */
import { toULong } from "../include/linux/types.js";
import type { Machine } from "../include/machine.js";
import { EFAULT, EINVAL } from "../uapi/errno.js";

/** What user space passes: pairs of address and length in bytes. */
export type user_iovec = readonly (readonly [number | bigint, number | bigint])[];

/** One buffer, in bytes. */
export interface iovec {
  readonly base: number;
  readonly len: number;
}

const UIO_MAXIOV = 1024;
/** Bytes that one call handles at most. */
const MAX_RW_COUNT = 0x7ffff000;

/**
 * Takes a vector from user space, cut where it becomes longer than one call may be.
 * @kernel lib/iov_iter.c:import_iovec
 * @fidelity mirrored
 * @param uvec null is an address that cannot be read
 * @returns the buffers, or -EINVAL (too many, a negative length), -EFAULT (outside of user space)
 */
export function import_iovec(k: Machine, uvec: user_iovec | null): iovec[] | number {
  if (uvec === null) return -EFAULT;
  if (uvec.length > UIO_MAXIOV) return -EINVAL;
  const iov = uvec.map(([base, len]) => ({ base: toULong(base), len: toULong(len) }));
  if (iov.some(({ len }) => len < 0)) return -EINVAL;
  let room = MAX_RW_COUNT;
  for (const seg of iov) {
    if (seg.base < 0 || seg.base + seg.len > k.arch.TASK_SIZE) return -EFAULT;
    seg.len = Math.min(seg.len, room);
    room -= seg.len;
  }
  return iov;
}
