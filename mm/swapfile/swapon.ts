// SPDX-License-Identifier: GPL-2.0-only
/** swapon(2) (mm/swapfile.c). */
import { fput } from "../../fs/file_table.js";
import { open_path } from "../../fs/open.js";
import type { file } from "../../include/linux/fs.js";
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { CAP_SYS_ADMIN } from "../../include/linux/sched.js";
import {
  SWAP_ADDRESS_SPACE_SHIFT,
  SWAP_FLAG_PREFER,
  SWAP_FLAG_PRIO_MASK,
  SWAP_FLAGS_VALID,
  SWAP_MAP_BAD,
  SWAPFILE_CLUSTER,
  SWP_SOLIDSTATE,
  SWP_STABLE_WRITES,
  SWP_SYNCHRONOUS_IO,
  SWP_USED,
  SWP_WRITEOK,
  swap_info_struct,
  swap_state_of,
  type swap_clusters,
  type swap_device,
} from "../../include/linux/swap.js";
import { MAX_SWAPFILES, swapfile_maximum_size } from "../../include/linux/swapops.js";
import type { Machine } from "../../include/machine.js";
import { xarray } from "../../lib/xarray.js";
import { EBUSY, EFAULT, EINVAL, ENOENT, EPERM } from "../../uapi/errno.js";
import { enable_swap_slots_cache } from "../swap_slots.js";
import { plist_add } from "../swapfile.js";

/** A number for a new area: that of one that is gone, or the next. @kernel mm/swapfile.c:alloc_swap_info */
function alloc_swap_info(k: Machine): swap_info_struct | number {
  const { swap_info } = swap_state_of(k);
  let type = swap_info.findIndex((si) => !(si.flags & SWP_USED));
  if (type < 0) type = swap_info.length;
  if (type >= MAX_SWAPFILES) return -EPERM;
  const si = new swap_info_struct(type);
  swap_info[type] = si;
  return si;
}

/**
 * The clusters of a new solid-state area, free but for those that are not whole; neighbours in the order in which they
 * are given out have swap caches of their own.
 * @kernel mm/swapfile.c:setup_swap_map_and_extents (end)
 */
function setup_clusters(k: Machine, si: swap_info_struct): swap_clusters {
  const size = SWAPFILE_CLUSTER(k);
  const nr_clusters = Math.ceil(si.max / size);
  const c: swap_clusters = {
    size,
    count: new Uint16Array(nr_clusters),
    huge: new Uint8Array(nr_clusters),
    free: [],
    index: new Int32Array(k.nr_cpus).fill(-1),
    next: new Uint32Array(k.nr_cpus),
    cluster_next: new Uint32Array(k.nr_cpus),
  };
  for (let cpu = 0; cpu < k.nr_cpus; cpu++) c.cluster_next[cpu] = 1 + k.prng.below(si.highest_bit);
  c.count[0]!++;
  c.count[nr_clusters - 1]! += nr_clusters * size - si.max;
  const cols = Math.ceil(2 ** SWAP_ADDRESS_SPACE_SHIFT / size);
  for (let col = 0; col < cols; col++) {
    for (let idx = col; idx < nr_clusters; idx += cols) if (c.count[idx] === 0) c.free.push(idx);
  }
  return c;
}

/** Sets up an area on a device. */
function setup_swap_info(k: Machine, si: swap_info_struct, f: file, dev: swap_device): void {
  const st = swap_state_of(k);
  si.swap_file = f;
  si.bdev = dev;
  si.max = Math.min(dev.pages, swapfile_maximum_size);
  si.pages = si.max - 1;
  si.lowest_bit = 1;
  si.highest_bit = si.max - 1;
  si.cluster_next = 1;
  si.cluster_nr = 0;
  si.swap_map = new Uint16Array(si.max);
  si.swap_map[0] = SWAP_MAP_BAD;
  if (dev.stable_writes) si.flags |= SWP_STABLE_WRITES;
  if (dev.synchronous) si.flags |= SWP_SYNCHRONOUS_IO;
  if (dev.rotational) {
    st.nr_rotate_swap++;
  } else {
    si.flags |= SWP_SOLIDSTATE;
    si.cluster_info = setup_clusters(k, si);
  }
  const spaces = Math.ceil(si.max / 2 ** SWAP_ADDRESS_SPACE_SHIFT);
  si.spaces = Array.from({ length: spaces }, () => ({ i_pages: new xarray(), nrpages: 0 }));
}

/** Slots of an area may be taken from now on. @kernel mm/swapfile.c:_enable_swap_info @fidelity mirrored */
export function _enable_swap_info(k: Machine, si: swap_info_struct): void {
  const st = swap_state_of(k);
  si.flags |= SWP_WRITEOK;
  st.nr_swap_pages += si.pages;
  st.total_swap_pages += si.pages;
  plist_add(st.swap_active_head, si);
  plist_add(st.swap_avail_head, si);
}

/** The device behind a file, if it is one that can be swapped to. */
function swap_device_of(f: file): swap_device | undefined {
  return f.f_op.name === "def_blk_fops" ? (f.private_data as swap_device) : undefined;
}

/** May the device be an area? @kernel mm/swapfile.c:claim_swapfile, read_swap_header */
function claim_swapfile(k: Machine, dev: swap_device | undefined): number {
  if (dev === undefined) return -EINVAL;
  if (swap_state_of(k).swap_info.some((si) => si.flags & SWP_USED && si.bdev === dev)) return -EBUSY;
  return dev.formatted && dev.pages >= 2 ? 0 : -EINVAL;
}

/**
 * Opens a swap area or anything else by its path, for reading and writing. Null is a bad address.
 * @returns the file or -errno
 */
export function open_swap(k: Machine, specialfile: string | null): file | number {
  if (specialfile === null) return -EFAULT;
  return specialfile === "" ? -ENOENT : open_path(k, specialfile, FMODE_READ | FMODE_WRITE);
}

/**
 * Swaps to a device from now on.
 * @kernel mm/swapfile.c:SYSCALL_DEFINE2(swapon)
 * @fidelity simplified: devices, no files; no discard; swap_map and swap cache headers cost no memory
 * @param specialfile path of a device; null is a bad address
 * @param swap_flags SWAP_FLAG_…: with SWAP_FLAG_PREFER the low 15 bits are its priority; otherwise it comes after all others
 * @returns 0; -EINVAL (flags, or no swap area there); -EPERM (no CAP_SYS_ADMIN, or too many areas); -EFAULT; -ENOENT; -EBUSY
 */
export function sys_swapon(k: Machine, specialfile: string | null, swap_flags: number): number {
  if (swap_flags & ~SWAP_FLAGS_VALID) return -EINVAL;
  if (!k.current.capabilities.has(CAP_SYS_ADMIN)) return -EPERM;
  const si = alloc_swap_info(k);
  if (typeof si === "number") return si;
  const f = open_swap(k, specialfile);
  const dev = typeof f === "number" ? undefined : swap_device_of(f);
  const error = typeof f === "number" ? f : claim_swapfile(k, dev);
  if (error < 0) {
    si.flags = 0;
    if (typeof f !== "number") fput(k, f);
    return error;
  }
  setup_swap_info(k, si, f as file, dev!);
  const st = swap_state_of(k);
  si.prio = swap_flags & SWAP_FLAG_PREFER ? swap_flags & SWAP_FLAG_PRIO_MASK : --st.least_priority;
  _enable_swap_info(k, si);
  enable_swap_slots_cache(k);
  return 0;
}
