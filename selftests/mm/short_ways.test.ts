// SPDX-License-Identifier: GPL-2.0-only
/** Where many pages are handled at once, all of the machine must be as if each had gone all the way alone. */
import { expect, type BootOptions, TEST } from "../../harness/kselftest/index.js";
import { EFAULT } from "../../uapi/errno.js";
import { MADV_PAGEOUT, MADV_POPULATE_WRITE, MAP_SHARED, MLOCK_ONFAULT } from "../../uapi/mman-common.js";
import { UFFD_API, UFFDIO_API, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MISSING } from "../../uapi/userfaultfd.js";
import { bothWays } from "./lib/both_ways.js";
import { advise, at, bytes, CMA_BOOT, map, memfd, peek, type T, touch } from "./lib/memory.js";

/** A page table, and a part of the next. */
const PAGES = 560;

interface Case {
  readonly boot?: BootOptions;
  /** Maps pages of the window, from its start on, and does what is to have been before they are populated. */
  setup(t: T): void;
  /** What populating returns, if not 0. */
  readonly ends?: number;
}

const guest = (t: T, pages: number, pgoff = 0): number => {
  const fd = memfd(t, pages + pgoff);
  map(t, 0, pages, { flags: MAP_SHARED, fd, pgoff });
  return fd;
};

const some = [3, 4, 40, 64, 511, 540];

const cases: Readonly<Record<string, Case>> = {
  "anonymous memory": { setup: (t) => map(t, 0, PAGES) },
  "anonymous memory, some of which is there": {
    setup(t) {
      map(t, 0, PAGES);
      for (const n of some) touch(t, n, 1, n & 127);
    },
  },
  "anonymous memory, with pages in a batch that nothing else holds": {
    setup(t) {
      map(t, 0, PAGES);
      map(t, 1024, 20);
      touch(t, 1024, 20);
      expect(t.sys.munmap(at(1024), bytes(20))).to.equal(0);
    },
  },
  "anonymous memory, locked": {
    setup(t) {
      map(t, 0, PAGES);
      expect(t.sys.mlock2(at(0), bytes(PAGES), MLOCK_ONFAULT)).to.equal(0);
    },
  },
  "a memfd": { setup: (t) => guest(t, PAGES) },
  "a memfd, from an odd page on": { setup: (t) => guest(t, PAGES, 37) },
  "a memfd, some of which is in its cache": {
    setup(t) {
      const fd = guest(t, PAGES);
      for (const n of some) expect(t.sys.pwrite(fd, n & 127, bytes(n))).to.equal(1);
    },
  },
  "a memfd, some of which another mapping has used": {
    setup(t) {
      map(t, 1024, 8, { flags: MAP_SHARED, fd: guest(t, PAGES) });
      expect(advise(t, 1024, 8, MADV_POPULATE_WRITE)).to.equal(0);
    },
  },
  "a memfd, with pages in a batch that nothing else holds": {
    setup(t) {
      guest(t, PAGES);
      map(t, 1024, 20);
      touch(t, 1024, 20);
      expect(t.sys.munmap(at(1024), bytes(20))).to.equal(0);
    },
  },
  "a memfd, locked": {
    setup(t) {
      guest(t, PAGES);
      expect(t.sys.mlock2(at(0), bytes(PAGES), MLOCK_ONFAULT)).to.equal(0);
    },
  },
  "a memfd that is shorter than its mapping": {
    setup: (t) => expect(t.sys.ftruncate(guest(t, PAGES), bytes(PAGES - 50))).to.equal(0),
    ends: -EFAULT,
  },
  "a memfd, where memory is promised and no more": {
    boot: { config: { overcommit_memory: 2, overcommit_ratio: 10 } },
    setup: (t) => guest(t, PAGES),
    ends: -EFAULT,
  },
  "anonymous memory of a machine with CMA": { boot: CMA_BOOT, setup: (t) => map(t, 0, PAGES) },
  "a memfd on a machine with CMA": { boot: CMA_BOOT, setup: (t) => guest(t, PAGES) },
  "a memfd with huge pages": {
    boot: { config: { TRANSPARENT_HUGEPAGE: true, shmem_enabled: "always" } },
    setup: (t) => guest(t, PAGES),
  },
  "anonymous memory on two nodes": { boot: { nodes: 2 }, setup: (t) => map(t, 0, PAGES) },
  "a memfd, every fiftieth allocation failing": {
    setup(t) {
      guest(t, PAGES);
      Object.assign(t.k.fail_page_alloc, { probability: 100, interval: 50, times: -1, min_order: 0 });
      Object.assign(t.k.fail_page_alloc, { ignore_gfp_wait: false, ignore_gfp_highmem: false });
    },
  },
  "a memfd while somebody looks on": {
    setup(t) {
      guest(t, PAGES);
      t.k.hooks.yieldPoint = () => undefined;
    },
  },
};

/** The patch under review changes what this way passes by, so with it there is none. */
const kernels = ["base"];
const MEMORY = bytes(2048);

describe("short ways: populating", () => {
  for (const [name, c] of Object.entries(cases)) {
    TEST(name, { kernels, boot: { memory: MEMORY, ...c.boot } }, (t) => {
      bothWays(t, {}, (each) => {
        c.setup(each);
        expect(advise(each, 0, PAGES, MADV_POPULATE_WRITE)).to.equal(c.ends ?? 0);
      });
    });
  }
  TEST("a memfd that a userfaultfd watches, the first pages of which are there", { kernels }, (t) => {
    bothWays(t, { memory: bytes(2 ** 17) }, (each) => {
      expect(each.sys.fallocate(guest(each, 8), 0, 0, bytes(2))).to.equal(0);
      const fd = each.sys.userfaultfd(0);
      expect(each.sys.ioctl(fd, UFFDIO_API, { api: UFFD_API, features: 0 })).to.equal(0);
      const range = { start: at(0), len: bytes(8) };
      expect(each.sys.ioctl(fd, UFFDIO_REGISTER, { range, mode: UFFDIO_REGISTER_MODE_MISSING })).to.equal(0);
      expect(() => advise(each, 0, 8, MADV_POPULATE_WRITE)).to.throw("handle_userfault");
      each.k.current.mm!.mmap_lock.readers = 0;
    });
  });
  TEST("a memfd of which reclaim has taken pages, behind one that is there", { kernels }, (t) => {
    bothWays(t, { memory: bytes(2 ** 17) }, (each) => {
      expect(each.sys.fallocate(guest(each, 80), 0, 0, bytes(2))).to.equal(0);
      for (let n = 20; n < 80; n++) peek(each, n);
      expect(advise(each, 20, 60, MADV_PAGEOUT)).to.equal(0);
      expect(advise(each, 0, 3, MADV_POPULATE_WRITE)).to.equal(0);
    });
  });
});
