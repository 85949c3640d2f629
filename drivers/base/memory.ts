// SPDX-License-Identifier: GPL-2.0-only
/** /sys/devices/system/memory: blocks of memory, to be taken offline and online (drivers/base/memory.c). */
import { would_wait } from "../../include/linux/bug.js";
import { kernfs_fop_open, type opener } from "../../fs/open.js";
import type { file_operations } from "../../include/linux/fs.js";
import { page_zone } from "../../include/linux/mem_map.js";
import {
  MMOP_OFFLINE,
  MMOP_ONLINE,
  MMOP_ONLINE_KERNEL,
  MMOP_ONLINE_MOVABLE,
  memory_block,
  memory_block_size_bytes,
  memory_blocks_of,
} from "../../include/linux/memory_hotplug.js";
import { zone_names } from "../../include/linux/mmzone.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { offline_pages } from "../../mm/memory_hotplug.js";
import { online_pages, zone_for_pfn_range } from "../../mm/memory_hotplug/online.js";
import { EINVAL } from "../../uapi/errno.js";

const MEMORY_DIR = "/sys/devices/system/memory";
/** By MMOP_… number. */
const online_type_to_str = ["offline", "online", "online_kernel", "online_movable"];

/** The one zone that reaches into a block, null if several do. @kernel drivers/base/memory.c:early_node_zone_for_memory_block */
function early_node_zone(k: Machine, start_pfn: number, nr_pages: number): memory_block["zone"] {
  const there = k.zones.filter(
    (z) => start_pfn < z.zone_start_pfn + z.spanned_pages && start_pfn + nr_pages > z.zone_start_pfn,
  );
  return there.length === 1 ? there[0]! : null;
}

function block_of(k: Machine, id: number): memory_block {
  const { by_id, block_pages } = memory_blocks_of(k);
  let mem = by_id.get(id);
  if (mem === undefined) {
    const start_pfn = id * block_pages;
    by_id.set(id, (mem = new memory_block(start_pfn, early_node_zone(k, start_pfn, block_pages))));
  }
  return mem;
}

/** @kernel drivers/base/memory.c:memory_block_online @fidelity mirrored */
function memory_block_online(k: Machine, mem: memory_block, online_type: number): number {
  const { block_pages } = memory_blocks_of(k);
  const { node } = page_zone(k.mem, mem.start_pfn);
  const idx = zone_for_pfn_range(k, online_type, node, mem.start_pfn, block_pages);
  mem.state = "online";
  mem.zone = online_pages(k, mem.start_pfn, block_pages, node, idx);
  return 0;
}

/** @kernel drivers/base/memory.c:memory_block_offline @fidelity mirrored */
function memory_block_offline(k: Machine, mem: memory_block): number {
  if (mem.zone === null) return -EINVAL;
  mem.state = "going-offline";
  const ret = offline_pages(k, mem.start_pfn, memory_blocks_of(k).block_pages, mem.zone);
  mem.state = ret === 0 ? "offline" : "online";
  if (ret === 0) mem.zone = null;
  return ret;
}

/**
 * Writes a block's state.
 * @kernel drivers/base/memory.c:state_store
 * @fidelity mirrored
 * @returns bytes written; -EINVAL (no such state, or the state that it is in), what {@link offline_pages} says
 */
function state_store(k: Machine, mem: memory_block, text: string): number {
  const online_type = online_type_to_str.indexOf(text.replace(/\n$/, ""));
  const blocks = memory_blocks_of(k);
  if (online_type < 0) return -EINVAL;
  if (blocks.mem_hotplug_lock) would_wait("mem_hotplug_lock");
  if ((online_type === MMOP_OFFLINE) !== (mem.state === "online")) return -EINVAL;
  blocks.mem_hotplug_lock = true;
  try {
    const offline = online_type === MMOP_OFFLINE;
    return (offline ? memory_block_offline(k, mem) : memory_block_online(k, mem, online_type)) || text.length;
  } finally {
    blocks.mem_hotplug_lock = false;
  }
}

/** The zone that an online block is in, or those that an offline one could be in. @kernel drivers/base/memory.c:valid_zones_show @fidelity mirrored */
function valid_zones_show(k: Machine, mem: memory_block): string {
  if (mem.state === "online") return `${mem.zone?.name ?? "none"}\n`;
  const { block_pages } = memory_blocks_of(k);
  const { node } = page_zone(k.mem, mem.start_pfn);
  const zones = [MMOP_ONLINE, MMOP_ONLINE_KERNEL, MMOP_ONLINE_MOVABLE].map((type) =>
    zone_for_pfn_range(k, type, node, mem.start_pfn, block_pages),
  );
  const others = zones.filter((idx, at) => at === 0 || idx !== zones[0]);
  return `${others.map((idx) => zone_names[idx]).join(" ")}\n`;
}

/** The files of all blocks, by path. @kernel drivers/base/memory.c:memory_dev_init @fidelity simplified: state, valid_zones, block_size_bytes */
export function memory_files(k: Machine): [string, opener][] {
  const all: [string, opener][] = [];
  const add = (name: string, ops: Omit<file_operations, "name">): void => {
    all.push([`${MEMORY_DIR}/${name}`, kernfs_fop_open({ name, ...ops })]);
  };
  add("block_size_bytes", { read: () => `${memory_block_size_bytes(k).toString(16)}\n` });
  const blocks = Math.ceil((k.mem.max_pfn * PAGE_SIZE) / memory_block_size_bytes(k));
  for (let id = 0; id < blocks; id++) {
    add(`memory${id}/state`, {
      read: () => `${block_of(k, id).state}\n`,
      write: (_k, _f, text) => state_store(k, block_of(k, id), text),
    });
    add(`memory${id}/valid_zones`, { read: () => valid_zones_show(k, block_of(k, id)) });
  }
  return all;
}
