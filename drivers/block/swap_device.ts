// SPDX-License-Identifier: GPL-2.0-only
/** Block devices as far as they are swapped to: a disk, a solid-state disk, a ramdisk (drivers/block/). */
import { address_space, file, type file_operations, inode, S_IFBLK } from "../../include/linux/fs.js";
import type { swap_device } from "../../include/linux/swap.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { xarray } from "../../lib/xarray.js";

/** What a device is like; a disk with a swap header on it unless told otherwise. */
export interface swap_device_options {
  /** Pages, the header included: usable ones are one fewer. */
  readonly pages: number;
  readonly rotational?: boolean;
  readonly synchronous?: boolean;
  readonly stable_writes?: boolean;
  /** Without a swap header it cannot be swapped to. */
  readonly formatted?: boolean;
}

/** A block device, which outlives the files that it is opened as. */
export class block_device implements swap_device {
  readonly pages: number;
  readonly rotational: boolean;
  readonly synchronous: boolean;
  readonly stable_writes: boolean;
  readonly formatted: boolean;
  readonly inode: inode;
  data: Uint8Array | null = null;
  readonly bad = new Set<number>();
  failWrites = false;

  constructor(k: Machine, o: swap_device_options) {
    this.pages = o.pages;
    this.rotational = o.rotational ?? true;
    this.synchronous = o.synchronous ?? false;
    this.stable_writes = o.stable_writes ?? false;
    this.formatted = o.formatted ?? true;
    this.inode = new inode(k.next_ino++, o.pages * PAGE_SIZE);
    this.inode.i_mode = S_IFBLK;
    this.inode.i_mapping = new address_space(this.inode, new xarray());
  }
}

const def_blk_fops: file_operations = { name: "def_blk_fops" };

/** Opens a block device. @kernel block/fops.c:blkdev_open @fidelity simplified: to be swapped to; no reading, writing, mapping */
export function blkdev_open(dev: block_device, path: string, mode: number): file {
  const f = new file(path, dev.inode, def_blk_fops, mode);
  f.private_data = dev;
  return f;
}
