// SPDX-License-Identifier: GPL-2.0-only
/** Which memory the machine has now (include/linux/memory_hotplug.h, include/linux/memory.h). */
import type { Machine } from "../machine.js";
import type { zone } from "./mmzone.js";
import { subsys_state } from "./subsys.js";
import { PAGE_SIZE } from "./types.js";

/** How a block is brought online: not at all, as the kernel likes, for the kernel, or for movable pages alone. */
export const MMOP_OFFLINE = 0;
export const MMOP_ONLINE = 1;
export const MMOP_ONLINE_KERNEL = 2;
export const MMOP_ONLINE_MOVABLE = 3;

const MIN_MEMORY_BLOCK_SIZE = 128 * 2 ** 20;
const MAX_BLOCK_SIZE = 2 * 2 ** 30;
/** Machines from this size on have few large blocks. */
const MEM_SIZE_FOR_LARGE_BLOCK = 64 * 2 ** 30;

/** A block of memory that is online or offline as a whole. @kernel include/linux/memory.h:memory_block */
export class memory_block {
  /** First page frame. */
  readonly start_pfn: number;
  state: "online" | "going-offline" | "offline" = "online";
  /** The zone of all its pages; null while it is offline, and where it has pages of several. */
  zone: zone | null;
  constructor(start_pfn: number, z: zone | null) {
    this.start_pfn = start_pfn;
    this.zone = z;
  }
}

/** The blocks that have been looked at, by number, and what of memory is offline. */
class memory_blocks {
  readonly by_id = new Map<number, memory_block>();
  readonly block_pages: number;
  nr_offline = 0;
  /** Blocks go offline and online one after the other. @kernel mm/memory_hotplug.c:mem_hotplug_lock */
  mem_hotplug_lock = false;
  constructor(block_pages: number) {
    this.block_pages = block_pages;
  }
}

/**
 * Bytes of a memory block.
 * @kernel arch/x86/mm/init_64.c:memory_block_size_bytes
 * @fidelity simplified: no hypervisor, unless the machine says otherwise
 */
export function memory_block_size_bytes(k: Machine): number {
  const probed = k.mem.max_pfn * PAGE_SIZE < MEM_SIZE_FOR_LARGE_BLOCK ? MIN_MEMORY_BLOCK_SIZE : MAX_BLOCK_SIZE;
  return k.config.memory_block_size ?? probed;
}

export function memory_blocks_of(k: Machine): memory_blocks {
  return subsys_state(k, "drivers/base/memory.c", () => new memory_blocks(memory_block_size_bytes(k) / PAGE_SIZE));
}

/** Is there memory at a page frame, and is it online? @kernel mm/memory_hotplug.c:pfn_to_online_page */
export function pfn_to_online_page(k: Machine, pfn: number): boolean {
  if (pfn < 0 || pfn >= k.mem.max_pfn) return false;
  const { by_id, block_pages, nr_offline } = memory_blocks_of(k);
  return nr_offline === 0 || by_id.get(Math.floor(pfn / block_pages))?.state !== "offline";
}
