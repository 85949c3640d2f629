// SPDX-License-Identifier: GPL-2.0-only
/** Machines that swap, and pictures of what is where. */
import { type mem_map, PFN_SECTION_MASK } from "../../../include/linux/mem_map.js";
import { PG_swapcache } from "../../../include/linux/page-flags.js";
import type { task_struct } from "../../../include/linux/sched.js";
import { expect } from "../../../harness/kselftest/index.js";
import { MADV_PAGEOUT, MADV_POPULATE_WRITE } from "../../../uapi/mman-common.js";
import { advise, at, bytes, map, type T } from "./memory.js";
import { drawing } from "./thp.js";

/** What a swap device is like: see drivers/block/swap_device.ts. */
export type Device = Parameters<T["kernel"]["add_swap_device"]>[2];
export type SwapDevice = ReturnType<T["kernel"]["add_swap_device"]>;

export const RAMDISK: Device = { pages: 1024, rotational: false, synchronous: true };
export const SSD: Device = { pages: 1024, rotational: false };
export const DISK: Device = { pages: 1024 };

/** Makes a device and swaps to it. */
export function swapTo(t: T, device: Device, path = "/dev/ram0", flags = 0): SwapDevice {
  const dev = t.kernel.add_swap_device(t.k, path, device);
  expect(t.sys.swapon(path, flags), "swapon").to.equal(0);
  return dev;
}

/** MADV_PAGEOUT until nothing changes any more: the first time, a page that was used is spared. */
export function pageOut(t: T, page: number, pages: number): void {
  for (let n = 0; n < 3; n++) expect(advise(t, page, pages, MADV_PAGEOUT), "MADV_PAGEOUT").to.equal(0);
}

/** Takes so much memory that reclaim drops from the swap cache what is in swap at these pages, and gives it back. */
export function squeeze(t: T, page: number, pages: number): void {
  const hog = 1 << 16;
  const total = t.k.totalram_pages;
  map(t, hog, total);
  for (let n = 0; n < total && incore(t, page, pages).includes("1"); n += 64) {
    expect(advise(t, hog + n, 64, MADV_POPULATE_WRITE), "MADV_POPULATE_WRITE").to.equal(0);
  }
  expect(incore(t, page, pages), "in the swap cache").to.equal("0".repeat(pages));
  expect(t.sys.munmap(at(hog), bytes(total))).to.equal(0);
}

/** What is mapped, as thp.ts:drawing has it: `w` is in swap. */
export function picture(t: T, page: number, pages: number, task?: task_struct): string {
  return drawing(t, page, pages, task);
}

/** Which pages of a range mincore() finds in memory, a digit each. */
export function incore(t: T, page: number, pages: number): string {
  const vec = new Uint8Array(pages);
  expect(t.sys.mincore(at(page), bytes(pages), vec), "mincore").to.equal(0);
  return [...vec].join("");
}

/** Pages of swap in use, as /proc/meminfo tells. */
export function swapUsed(t: T): number {
  const { SwapTotal, SwapFree } = t.kernel.meminfo(t.k);
  return (SwapTotal - SwapFree) / 4;
}

/** Is a page frame in the swap cache? */
export function inSwapCache(m: mem_map, pfn: number): boolean {
  return (m.section(pfn).flags[pfn & PFN_SECTION_MASK]! & PG_swapcache) !== 0;
}
