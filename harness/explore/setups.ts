// SPDX-License-Identifier: GPL-2.0-only
/** The set-ups: what is mapped, and what of it is there, before the first call. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { HPAGE_PMD_NR } from "../../include/linux/types.js";
import {
  MADV_MERGEABLE,
  MADV_PAGEOUT,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/mman-common.js";
import { mapDma, type Needs } from "./calls.js";
import { at, bytes, type World } from "./world.js";

export interface Setup {
  readonly name: string;
  readonly words: string;
  readonly pages: number;
  readonly has: readonly Needs[];
  /** Machine with huge pages? */
  readonly huge?: true;
  readonly make: (w: World) => void;
}

const PAGES = 2;
const RW = PROT_READ | PROT_WRITE;

function map(w: World, flags: number, fd = -1): void {
  const got = w.sys.mmap(at(0), bytes(w.pages), RW, flags | MAP_FIXED, fd, 0);
  if (got !== at(0)) throw new Error(`set-up: mmap() returned ${String(got)}`);
}

function touch(w: World): void {
  for (let page = 0; page < w.pages; page++) w.sys.store(at(page), 1);
}

/** Private memory whose pages are alike, and ksmd's turns over it. */
function alike(w: World, turns: number): void {
  map(w, MAP_PRIVATE | MAP_ANONYMOUS);
  touch(w);
  w.sys.madvise(at(0), bytes(w.pages), MADV_MERGEABLE);
  w.ksmd(turns);
}

/** A memfd that the other process maps too, shared. */
function memfd(w: World, flags: number): void {
  w.fd = w.sys.memfd_create("guest", 0);
  w.sys.ftruncate(w.fd, bytes(w.pages));
  w.shareFiles();
  map(w, flags, w.fd);
  w.inProcess(() => {
    map(w, MAP_SHARED, w.fd);
  });
}

/** An ordinary file of zeroes, none of it cached, that the other process maps too, shared. */
function regular(w: World, flags: number): void {
  w.fd = w.openRegular(FMODE_READ | FMODE_WRITE);
  w.shareFiles();
  map(w, flags, w.fd);
  w.inProcess(() => {
    map(w, MAP_SHARED, w.fd);
  });
}

/** All set-ups, the smallest first. */
export const SETUPS: readonly Setup[] = [
  {
    name: "anon",
    words: "anonymous memory, 2 pages, untouched",
    pages: PAGES,
    has: [],
    make: (w) => map(w, MAP_PRIVATE | MAP_ANONYMOUS),
  },
  {
    name: "anon-touched",
    words: "anonymous memory, 2 pages, all written to",
    pages: PAGES,
    has: [],
    make: (w) => {
      map(w, MAP_PRIVATE | MAP_ANONYMOUS);
      touch(w);
    },
  },
  {
    name: "memfd",
    words: "a memfd of 2 pages, mapped shared, untouched",
    pages: PAGES,
    has: ["memfd", "file"],
    make: (w) => {
      memfd(w, MAP_SHARED);
    },
  },
  {
    name: "memfd-touched",
    words: "a memfd of 2 pages, mapped shared, all written to",
    pages: PAGES,
    has: ["memfd", "file"],
    make: (w) => {
      memfd(w, MAP_SHARED);
      touch(w);
    },
  },
  {
    name: "memfd-private",
    words: "a memfd of 2 pages, mapped private, written to by another process",
    pages: PAGES,
    has: ["memfd", "file"],
    make: (w) => {
      memfd(w, MAP_PRIVATE);
      w.inProcess(() => {
        touch(w);
      });
    },
  },
  {
    name: "file",
    words: "a file of 2 pages, mapped private, not cached",
    pages: PAGES,
    has: ["file"],
    make: (w) => {
      regular(w, MAP_PRIVATE);
    },
  },
  {
    name: "file-shared",
    words: "a file of 2 pages, mapped shared, page 1 cached",
    pages: PAGES,
    has: ["file"],
    make: (w) => {
      regular(w, MAP_SHARED);
      w.sys.load(at(1));
    },
  },
  {
    name: "huge-untouched",
    words: "anonymous memory for one huge page, untouched",
    pages: HPAGE_PMD_NR,
    has: ["huge"],
    huge: true,
    make: (w) => {
      map(w, MAP_PRIVATE | MAP_ANONYMOUS);
    },
  },
  {
    name: "huge",
    words: "anonymous memory of one huge page, written to",
    pages: HPAGE_PMD_NR,
    has: ["huge"],
    huge: true,
    make: (w) => {
      map(w, MAP_PRIVATE | MAP_ANONYMOUS);
      w.sys.store(at(0), 1);
    },
  },
  {
    name: "collapsible",
    words: "anonymous memory of 2 MiB, 2 small pages of it written to",
    pages: HPAGE_PMD_NR,
    has: ["huge"],
    make: (w) => {
      map(w, MAP_PRIVATE | MAP_ANONYMOUS);
      w.sys.store(at(0), 1);
      w.sys.store(at(1), 1);
    },
  },
  {
    name: "dma",
    words: "a memfd of 2 pages, mapped shared, all mapped for DMA",
    pages: PAGES,
    has: ["memfd", "file", "dma"],
    make: (w) => {
      memfd(w, MAP_SHARED);
      for (let use = 0; use < 2; use++) w.sys.madvise(at(0), bytes(w.pages), MADV_POPULATE_WRITE);
      w.openContainer();
      if (mapDma(w, 0) !== 0) throw new Error("set-up: VFIO_IOMMU_MAP_DMA failed");
    },
  },
  {
    name: "swapped",
    words: "anonymous memory, 2 pages, page 1 of them in swap",
    pages: PAGES,
    has: ["swap"],
    make: (w) => {
      w.swapOn();
      map(w, MAP_PRIVATE | MAP_ANONYMOUS);
      touch(w);
      for (let n = 0; n < 3; n++) w.sys.madvise(at(1), bytes(1), MADV_PAGEOUT);
    },
  },
  {
    name: "mergeable",
    words: "anonymous memory, 2 pages alike that ksmd has seen once",
    pages: PAGES,
    has: ["ksm"],
    make: (w) => {
      alike(w, 1);
    },
  },
  {
    name: "merged",
    words: "anonymous memory, 2 pages alike that ksmd has merged",
    pages: PAGES,
    has: ["ksm"],
    make: (w) => {
      alike(w, 3);
    },
  },
];

export function findSetup(name: string): Setup | undefined {
  return SETUPS.find((setup) => setup.name === name);
}
