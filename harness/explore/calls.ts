// SPDX-License-Identifier: GPL-2.0-only
/** The declared table of calls: what a task does first, and what others do while it sleeps. */
import { PMD_SIZE } from "../../include/linux/types.js";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../../uapi/memfd.js";
import { type gup_test, PIN_LONGTERM_BENCHMARK } from "../../uapi/gup_test.js";
import {
  MADV_COLLAPSE,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_MERGEABLE,
  MADV_NOMOVABLE,
  MADV_PAGEOUT,
  MADV_POPULATE_WRITE,
  MADV_REMOVE,
  MADV_UNMERGEABLE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import {
  VFIO_DMA_MAP_ARGSZ,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_ARGSZ,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from "../../uapi/vfio.js";
import { at, bytes, SWAP_PATH, type World } from "./world.js";

/** What a set-up must have for the call to make sense in it. */
export type Needs = "memfd" | "file" | "huge" | "dma" | "swap" | "ksm";

export interface Call {
  readonly name: string;
  readonly words: string;
  /** A thread of the process that mapped the memory, or another process that maps the same file. */
  readonly by: "thread" | "process";
  readonly needs?: Needs;
  readonly run: (w: World) => unknown;
}

const RW = PROT_READ | PROT_WRITE;
const MOVED_TO = at(0) + 8 * PMD_SIZE;
/** FOLL_WRITE, which user space passes to gup_test as a number. */
const FOLL_WRITE = 1;

function pin(w: World): unknown {
  const arg: gup_test = {
    get_delta_usec: 0,
    put_delta_usec: 0,
    addr: at(0),
    size: bytes(w.pages),
    nr_pages_per_call: w.pages,
    gup_flags: FOLL_WRITE,
    test_flags: 0,
  };
  return w.sys.ioctl(w.gupTest, PIN_LONGTERM_BENCHMARK, arg);
}

/** Maps all pages for DMA at a device address. */
export function mapDma(w: World, iova: number): number {
  return w.sys.ioctl(w.container, VFIO_IOMMU_MAP_DMA, {
    argsz: VFIO_DMA_MAP_ARGSZ,
    flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
    vaddr: at(0),
    iova,
    size: bytes(w.pages),
  });
}

function unmapDma(w: World): number {
  const arg = { argsz: VFIO_DMA_UNMAP_ARGSZ, flags: VFIO_DMA_UNMAP_FLAG_ALL, iova: 0, size: 0 };
  return w.sys.ioctl(w.container, VFIO_IOMMU_UNMAP_DMA, arg);
}

const all = (w: World): number => bytes(w.pages);
const advise =
  (behavior: number) =>
  (w: World): number =>
    w.sys.madvise(at(0), all(w), behavior);

function thread(name: string, words: string, run: Call["run"], needs?: Needs): Call {
  return { name, words, by: "thread", run, ...(needs === undefined ? {} : { needs }) };
}

function other(name: string, words: string, run: Call["run"], needs: Needs): Call {
  return { name, words, by: "process", run, needs };
}

const punch = (w: World): number =>
  w.sys.fallocate(w.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, bytes(w.pages));

/** All calls, the plainest first: of two schedules of a length, the one with earlier calls is the shorter. */
export const CALLS: readonly Call[] = [
  thread("read", "reads page 1", (w) => w.sys.load(at(1))),
  thread("write", "writes to page 1", (w) => w.sys.store(at(1), 7)),
  thread("munmap", "munmap() of all pages", (w) => w.sys.munmap(at(0), all(w))),
  thread("munmap-page", "munmap() of page 1", (w) => w.sys.munmap(at(1), bytes(1))),
  thread("mmap", "mmap() of anonymous memory over all pages", (w) =>
    w.sys.mmap(at(0), all(w), RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
  ),
  thread("mremap", "mremap() of all pages to another place", (w) =>
    w.sys.mremap(at(0), all(w), all(w), MREMAP_MAYMOVE | MREMAP_FIXED, MOVED_TO),
  ),
  thread("mprotect", "mprotect(PROT_READ) of all pages", (w) => w.sys.mprotect(at(0), all(w), PROT_READ)),
  thread("mprotect-page", "mprotect(PROT_READ) of page 1", (w) => w.sys.mprotect(at(1), bytes(1), PROT_READ)),
  thread("nomovable", "madvise(MADV_NOMOVABLE) of all pages", advise(MADV_NOMOVABLE)),
  thread("dontneed", "madvise(MADV_DONTNEED) of all pages", advise(MADV_DONTNEED)),
  thread("dontfork", "madvise(MADV_DONTFORK) of all pages", advise(MADV_DONTFORK)),
  thread("populate", "madvise(MADV_POPULATE_WRITE) of all pages", advise(MADV_POPULATE_WRITE)),
  thread("remove", "madvise(MADV_REMOVE) of all pages", advise(MADV_REMOVE), "memfd"),
  thread("collapse", "madvise(MADV_COLLAPSE) of all pages", advise(MADV_COLLAPSE), "huge"),
  thread("mlock", "mlock() of all pages", (w) => w.sys.mlock(at(0), all(w))),
  thread("fork", "fork()", (w) => w.sys.fork()),
  thread("pin", "a long-term pin of all pages, released again", pin),
  thread("punch", "fallocate(PUNCH_HOLE) of all pages", punch, "memfd"),
  thread("allocate", "fallocate() of all pages", (w) => w.sys.fallocate(w.fd, 0, 0, bytes(w.pages)), "memfd"),
  thread("pwrite", "pwrite() to page 1", (w) => w.sys.pwrite(w.fd, 9, bytes(1)), "memfd"),
  thread("truncate", "ftruncate() to no pages", (w) => w.sys.ftruncate(w.fd, 0), "file"),
  thread("dma-map", "VFIO_IOMMU_MAP_DMA of all pages at another device address", (w) => mapDma(w, PMD_SIZE), "dma"),
  thread("dma-unmap", "VFIO_IOMMU_UNMAP_DMA of everything", unmapDma, "dma"),
  thread("pageout", "madvise(MADV_PAGEOUT) of all pages", advise(MADV_PAGEOUT), "swap"),
  thread("swapoff", "swapoff()", (w) => w.sys.swapoff(SWAP_PATH), "swap"),
  thread("mergeable", "madvise(MADV_MERGEABLE) of all pages", advise(MADV_MERGEABLE), "ksm"),
  thread("unmergeable", "madvise(MADV_UNMERGEABLE) of all pages", advise(MADV_UNMERGEABLE), "ksm"),
  thread("ksmd", "a turn of ksmd", (w) => w.kernel.ksm_scan_thread(w.k), "ksm"),
  other("other-write", "writes to page 1 of its own mapping", (w) => w.sys.store(at(1), 8), "file"),
  other("other-munmap", "munmap() of all pages of its own mapping", (w) => w.sys.munmap(at(0), all(w)), "file"),
  other("other-pin", "a long-term pin of its own mapping, released again", pin, "file"),
];

const byName = new Map(CALLS.map((call) => [call.name, call]));

export function findCall(name: string): Call | undefined {
  return byName.get(name);
}
