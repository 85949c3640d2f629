// SPDX-License-Identifier: GPL-2.0-only
/** Machines of two nodes, and where the memory of a task lies on them. */
import { get_pageblock_migratetype, page_zone } from "../../../include/linux/mem_map.js";
import { MIGRATE_CMA, ZONE_MOVABLE } from "../../../include/linux/mmzone.js";
import type { task_struct } from "../../../include/linux/sched.js";
import type { BootOptions } from "../../../harness/kselftest/index.js";
import { MPOL_MF_MOVE } from "../../../uapi/mempolicy.js";
import { said } from "./errnos.js";
import { at, bytes, frameOf, type T } from "./memory.js";

const MIB = 1 << 20;
/** 64 MiB each; of the second node, so much is CMA that movable allocations are taken from there first. */
export const CMA_NODES: BootOptions = { memory: 128 * MIB, nodes: 2, cma: 48 * MIB };
/** Each node has a ZONE_MOVABLE. */
export const MOVABLE_NODES: BootOptions = { memory: 128 * MIB, nodes: 2, movablecore: 64 * MIB };

export const NODE_0 = 1;
export const NODE_1 = 2;
/** As many nodes as a mask of one word has room for. */
export const MAXNODE = 65;

/**
 * One character a page. On the first node: `0` where a long-term pin may be, `A` in CMA, `M` in ZONE_MOVABLE. On the second:
 * `1`, `B`, `N`. `-` for nothing, `z` for the zero page.
 */
export function nodePlaces(t: T, page: number, pages: number, task: task_struct = t.k.current): string {
  let out = "";
  for (let n = page; n < page + pages; n++) {
    const pfn = frameOf(t, n, task);
    const zone = page_zone(t.k.mem, pfn);
    if (pfn === 0) out += "-";
    else if (pfn === t.k.zero_pfn) out += "z";
    else if (get_pageblock_migratetype(t.k.mem, pfn) === MIGRATE_CMA) out += "AB"[zone.node]!;
    else out += (zone.idx === ZONE_MOVABLE ? "MN" : "01")[zone.node]!;
  }
  return out;
}

/** mbind() of pages of the window. */
export function bind(t: T, page: number, pages: number, mode: number, nodes: number | null, flags = 0): number {
  return t.sys.mbind(at(page), bytes(pages), mode, nodes, MAXNODE, flags);
}

/** get_mempolicy(), in words: the mode and the nodes, or an errno. */
export function policy(t: T, flags = 0, page?: number, maxnode = MAXNODE): string {
  const mode = { value: -1 };
  const nodes = { value: 0n };
  const ret = t.sys.get_mempolicy(mode, nodes, maxnode, page === undefined ? 0 : at(page), flags);
  return ret < 0 ? said(ret) : `${String(mode.value)}:${nodes.value.toString(2)}`;
}

/** move_pages() of consecutive pages to a node, null to ask where they are: what it returned, and the status of each page. */
export function movePages(t: T, page: number, pages: number, node: number | null, flags = MPOL_MF_MOVE): string {
  const status = new Array<number>(pages).fill(NaN);
  const addrs = status.map((_none, n) => at(page + n));
  const ret = t.sys.move_pages(0, pages, addrs, node === null ? null : status.map(() => node), status, flags);
  return [ret, ...status].map((n) => (Number.isNaN(n) ? "?" : said(n))).join(" ");
}

/** migrate_pages() of a process (0: the running one). */
export function migratePages(t: T, from: number, to: number, pid = 0): number {
  return t.sys.migrate_pages(pid, MAXNODE, from, to);
}
