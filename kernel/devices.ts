// SPDX-License-Identifier: GPL-2.0-only
/** Which driver answers when a path is opened: the only place that knows the drivers. */
import { memory_files } from "../drivers/base/memory.js";
import { blkdev_open, block_device, type swap_device_options } from "../drivers/block/swap_device.js";
import { zero_open } from "../drivers/char/mem.js";
import { vfio_fops_open } from "../drivers/vfio/container.js";
import { fput } from "../fs/file_table.js";
import { open_path, paths_of } from "../fs/open.js";
import { open_regular } from "../fs/regular.js";
import type { Machine } from "../include/machine.js";
import { cma_files } from "../mm/cma_debug.js";
import { gup_test_open } from "../mm/gup_test.js";
import { shmem_mknod, shmem_unlink } from "../mm/shmem.js";

/** Makes the machine's device nodes. A test may add its own to `paths_of(k)`, or a file with {@link add_file}. */
export function register_devices(k: Machine): void {
  const paths = paths_of(k);
  if (paths.has("/dev/vfio/vfio")) return;
  paths.set("/dev/vfio/vfio", vfio_fops_open);
  paths.set("/dev/zero", zero_open);
  paths.set("/sys/kernel/debug/gup_test", gup_test_open);
  for (const [path, open] of [...cma_files(k), ...memory_files(k)]) paths.set(path, open);
}

/** Makes a block device that can be swapped to, for as long as the machine runs. */
export function add_swap_device(k: Machine, path: string, options: swap_device_options): block_device {
  const dev = new block_device(k, options);
  paths_of(k).set(path, (_machine, name, mode) => blkdev_open(dev, name, mode));
  return dev;
}

/** Makes an ordinary file of `size` bytes, zeroes all, that can be opened. */
export function add_file(k: Machine, path: string, size: number): void {
  paths_of(k).set(path, (machine, name, mode) => open_regular(machine, name, size, mode));
}

/** Makes an empty file of a tmpfs, "/dev/shm/…", that can be opened, unless there is one. */
export function add_tmpfs_file(k: Machine, path: string): void {
  const paths = paths_of(k);
  if (!paths.has(path)) paths.set(path, shmem_mknod(k));
}

/** Takes the name of such a file away: what it holds goes with the last who has it open or mapped. */
export function unlink_tmpfs_file(k: Machine, path: string): void {
  const f = open_path(k, path, 0);
  if (typeof f === "number") throw new RangeError(`no file ${path}`);
  paths_of(k).delete(path);
  shmem_unlink(k, f.f_inode);
  fput(k, f);
}
