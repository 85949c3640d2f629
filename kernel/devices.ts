// SPDX-License-Identifier: GPL-2.0-only
/** Which driver answers when a path is opened: the only place that knows the drivers. */
import { memory_files } from "../drivers/base/memory.js";
import { blkdev_open, block_device, type swap_device_options } from "../drivers/block/swap_device.js";
import { vfio_fops_open } from "../drivers/vfio/container.js";
import { paths_of } from "../fs/open.js";
import { open_regular } from "../fs/regular.js";
import type { Machine } from "../include/machine.js";
import { cma_files } from "../mm/cma_debug.js";
import { gup_test_open } from "../mm/gup_test.js";

/** Makes the machine's device nodes. A test may add its own to `paths_of(k)`, or a file with {@link add_file}. */
export function register_devices(k: Machine): void {
  const paths = paths_of(k);
  if (paths.has("/dev/vfio/vfio")) return;
  paths.set("/dev/vfio/vfio", vfio_fops_open);
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
