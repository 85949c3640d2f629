// SPDX-License-Identifier: GPL-2.0-only
/** Which memory the machine has now (include/linux/memory_hotplug.h). */
import type { Machine } from "../machine.js";
import { subsys_state } from "./subsys.js";

/** Page frames of memory blocks that are offline. */
export class offline_memory {
  /** First page frames of the blocks. */
  readonly blocks = new Set<number>();
  /** Pages of a block. */
  readonly block_pages: number;
  constructor(block_pages: number) {
    this.block_pages = block_pages;
  }
}

/** Bytes of a memory block. @kernel drivers/base/memory.c:memory_block_size_bytes */
export function memory_block_size_bytes(k: Machine): number {
  return k.config.memory_block_size ?? 128 << 20;
}

export function offline_memory_of(k: Machine): offline_memory {
  return subsys_state(k, "mm/memory_hotplug.c", () => new offline_memory(memory_block_size_bytes(k) / 4096));
}

/** Is there memory at a page frame, and is it online? @kernel mm/memory_hotplug.c:pfn_to_online_page */
export function pfn_to_online_page(k: Machine, pfn: number): boolean {
  if (pfn < 0 || pfn >= k.mem.max_pfn) return false;
  const { blocks, block_pages } = offline_memory_of(k);
  return blocks.size === 0 || !blocks.has(pfn - (pfn % block_pages));
}
