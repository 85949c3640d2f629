// SPDX-License-Identifier: GPL-2.0-only
/** Pages that leave and come back: how, how many, and how they stand then. */
import { page_test } from "../../../include/linux/mem_map.js";
import { PG_active } from "../../../include/linux/page-flags.js";
import { expect } from "../../../harness/kselftest/index.js";
import { MADV_PAGEOUT } from "../../../uapi/mman-common.js";
import { advise, bytes, frameOf, memfd, peek, type T } from "./memory.js";

/** Makes a memfd whose pages are active, having been written twice. */
export function activeFile(t: T, pages: number): number {
  const fd = memfd(t, pages);
  for (let n = 0; n < 2 * pages; n++) expect(t.sys.pwrite(fd, 1, bytes(n % pages))).to.equal(1);
  return fd;
}

/** MADV_PAGEOUT. */
export function leave(t: T, page: number, pages: number): void {
  expect(advise(t, page, pages, MADV_PAGEOUT), "MADV_PAGEOUT").to.equal(0);
}

/** Reads each page. */
export function read(t: T, page: number, pages: number): void {
  for (let n = page; n < page + pages; n++) peek(t, n);
}

/** A line of /proc/vmstat. */
export function vmstat(t: T, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(t.kernel.vmstat_show(t.k))?.[1]);
}

/** workingset_… of vmstat, of anonymous memory or of files: refault, activate, restore. */
export function refaults(t: T, kind: "anon" | "file" = "anon"): number[] {
  return ["refault", "activate", "restore"].map((what) => vmstat(t, `workingset_${what}_${kind}`));
}

/** What is mapped: `A` active, `i` inactive, `-` nothing. */
export function standing(t: T, page: number, pages: number): string {
  const one = (pfn: number): string => (pfn === 0 ? "-" : page_test(t.k.mem, pfn, PG_active) ? "A" : "i");
  return Array.from({ length: pages }, (_none, n) => one(frameOf(t, page + n))).join("");
}
