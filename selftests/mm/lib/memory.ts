// SPDX-License-Identifier: GPL-2.0-only
/** Mappings at known places, and where their pages are: what mmap(), smaps and pagemap give a user. */
import { get_pageblock_migratetype, page_zone } from "../../../include/linux/mem_map.js";
import { _PAGE_PRESENT, _PAGE_PROTNONE } from "../../../include/linux/mm_types.js";
import { MIGRATE_CMA, ZONE_MOVABLE } from "../../../include/linux/mmzone.js";
import type { task_struct } from "../../../include/linux/sched.js";
import { PAGE_SIZE, PMD_SIZE } from "../../../include/linux/types.js";
import { expect, type BootOptions, type TestContext } from "../../../harness/kselftest/index.js";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "../../../uapi/mman-common.js";

export type T = TestContext<unknown, unknown>;

const MIB = 1 << 20;
/** So much of it is CMA that movable allocations are taken from there first. */
export const CMA_BOOT: BootOptions = { memory: 128 * MIB, cma: 80 * MIB };
/** Movable allocations go to ZONE_MOVABLE. */
export const MOVABLE_BOOT: BootOptions = { memory: 96 * MIB, movablecore: 64 * MIB };

/** Why a test of what the advice is for fails on base. */
export const UNKNOWN = "base does not know the advice (EINVAL), so the pages lie where no long-term pin may be";

export const RW = PROT_READ | PROT_WRITE;
export const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
export const SHARED_ANON = MAP_SHARED | MAP_ANONYMOUS;

/** Where the tests map: 2 MiB aligned, nothing else near, and in the address space of 32-bit machines as well. */
const WINDOW = 0x10000000;

/** Address of a page of the window. */
export function at(page: number): number {
  return WINDOW + page * PAGE_SIZE;
}

/** Pages to bytes. */
export function bytes(pages: number): number {
  return pages * PAGE_SIZE;
}

export interface MapOptions {
  readonly prot?: number;
  readonly flags?: number;
  readonly fd?: number;
  /** Pages. */
  readonly pgoff?: number;
}

/** Maps pages of the window; private anonymous, readable and writable unless told otherwise. */
export function map(t: T, page: number, pages: number, o: MapOptions = {}): void {
  const flags = (o.flags ?? ANON) | MAP_FIXED;
  const got = t.sys.mmap(at(page), bytes(pages), o.prot ?? RW, flags, o.fd ?? -1, bytes(o.pgoff ?? 0));
  expect(got, "mmap").to.equal(at(page));
}

/** A memfd of so many pages. */
export function memfd(t: T, pages: number, flags = 0): number {
  const fd = t.sys.memfd_create("guest", flags);
  expect(fd, "memfd_create").to.be.at.least(0);
  expect(t.sys.ftruncate(fd, bytes(pages)), "ftruncate").to.equal(0);
  return fd;
}

/** A memfd mapped shared at a page of the window; answers its descriptor. */
export function mapMemfd(t: T, page: number, pages: number): number {
  const fd = memfd(t, pages);
  map(t, page, pages, { flags: MAP_SHARED, fd });
  return fd;
}

export function advise(t: T, page: number, pages: number, behavior: number): number {
  return t.sys.madvise(at(page), bytes(pages), behavior);
}

/** Writes to each page; every write must succeed. */
export function touch(t: T, page: number, pages: number, value = 1): void {
  for (let n = page; n < page + pages; n++) {
    const got = t.sys.store(at(n), value);
    // one comparison a page: chai takes longer than the fault
    if (!("val" in got) || got.val !== value) expect(got, `store to page ${n}`).to.deep.equal({ val: value });
  }
}

/** Value of a page's first byte; reading it must succeed. */
export function peek(t: T, page: number): number {
  const got = t.sys.load(at(page));
  if ("val" in got) return got.val;
  expect(got, `load from page ${page}`).to.have.property("val");
  return -1;
}

/** Ranges of the window's VMAs in pages, as in "0-3 3-8". */
export function ranges(t: T, task: task_struct = t.k.current): string {
  return t
    .smaps(task)
    .filter((row) => row.start >= WINDOW && row.start < WINDOW + 2 ** 28)
    .map((row) => `${(row.start - WINDOW) / PAGE_SIZE}-${(row.end - WINDOW) / PAGE_SIZE}`)
    .join(" ");
}

/** VmFlags of the VMA at a page, as smaps shows them; undefined where there is none. */
export function vmFlags(t: T, page: number, task: task_struct = t.k.current): readonly string[] | undefined {
  return t.smaps(task).find((row) => row.start <= at(page) && at(page) < row.end)?.VmFlags;
}

/** Page frame that a page of the window is mapped to, 0 for none: /proc/PID/pagemap. */
export function frameOf(t: T, page: number, task: task_struct = t.k.current): number {
  const addr = at(page);
  const key = Math.floor(addr / PMD_SIZE);
  const huge = task.mm?.pgd.huge.get(key);
  if (huge !== undefined && huge.flags & (_PAGE_PRESENT | _PAGE_PROTNONE))
    return huge.pfn + (addr % PMD_SIZE) / PAGE_SIZE;
  const table = task.mm?.pgd.pte.get(key);
  const entry = (addr % PMD_SIZE) / PAGE_SIZE;
  if (table === undefined || (table.flags[entry]! & (_PAGE_PRESENT | _PAGE_PROTNONE)) === 0) return 0;
  return table.pfn[entry]!;
}

/**
 * One character a page: `C` in CMA, `M` in ZONE_MOVABLE, `.` where a long-term pin may be, `z` the zero page,
 * `-` nothing mapped.
 */
export function places(t: T, page: number, pages: number, task: task_struct = t.k.current): string {
  let out = "";
  for (let n = page; n < page + pages; n++) {
    const pfn = frameOf(t, n, task);
    if (pfn === 0) out += "-";
    else if (pfn === t.k.zero_pfn) out += "z";
    else if (get_pageblock_migratetype(t.k.mem, pfn) === MIGRATE_CMA) out += "C";
    else out += page_zone(t.k.mem, pfn).idx === ZONE_MOVABLE ? "M" : ".";
  }
  return out;
}

/** Writes to each page and tells where they came to lie. */
export function landing(t: T, page: number, pages: number): string {
  touch(t, page, pages);
  return places(t, page, pages);
}
