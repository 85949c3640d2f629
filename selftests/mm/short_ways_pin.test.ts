// SPDX-License-Identifier: GPL-2.0-only
/** A long-term pin that takes neighbours off the LRU, moves and frees them at once leaves the machine as one page at a time does. */
import { PAGEVEC_SIZE } from "../../include/linux/pagevec.js";
import { expect, type BootOptions, TEST } from "../../harness/kselftest/index.js";
import { ENOMEM } from "../../uapi/errno.js";
import { MADV_POPULATE_WRITE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import { VFIO_DMA_MAP_FLAG_READ } from "../../uapi/vfio.js";
import { bothWays } from "./lib/both_ways.js";
import { advise, at, bytes, CMA_BOOT, map, mapMemfd, memfd, places, type T, touch } from "./lib/memory.js";
import { gupTest, mapDma, openContainer, unmapDma } from "./lib/vfio.js";

/** More than the per-CPU lists of so many CPUs keep, so that pages moved away from go back to the buddy lists;
 * and full batches, so that no page off the LRU has all of them drained. */
const PAGES = 12 * PAGEVEC_SIZE;
const CPUS = 8;
/** Where what does not move is. */
const OTHERS = 1024;

const GUESTS: Readonly<Record<string, (t: T) => unknown>> = {
  memfd: (t) => mapMemfd(t, 0, PAGES),
  anonymous(t) {
    map(t, 0, PAGES);
  },
};

const pin = (t: T, flags?: number): void => {
  expect(mapDma(t, openContainer(t), 0, PAGES, flags === undefined ? {} : { flags })).to.equal(0);
};
const written = (t: T): void => {
  touch(t, 0, PAGES, 7);
  expect(places(t, 0, PAGES)).to.match(/^[CM]+$/);
};
const activate = (t: T, page: number, pages: number): void => {
  for (let use = 0; use < 2; use++) expect(advise(t, page, pages, MADV_POPULATE_WRITE)).to.equal(0);
};
const useAgain = (t: T, fd: number, ...pages: number[]): void => {
  for (const page of [...pages, ...pages]) expect(t.sys.pwrite(fd, 1, bytes(page))).to.equal(1);
};
const failAllocations = (t: T, probability: number, interval: number): void => {
  Object.assign(t.k.fail_page_alloc, { probability, interval, times: -1, min_order: 0 });
  Object.assign(t.k.fail_page_alloc, { ignore_gfp_wait: false, ignore_gfp_highmem: false });
};

/** What is done with a guest, of which nothing has been touched. */
const SCENES: Readonly<Record<string, (t: T) => void>> = {
  "written once"(t) {
    written(t);
    pin(t);
  },
  "used, so active, and let go again"(t) {
    written(t);
    activate(t, 0, PAGES);
    const container = openContainer(t);
    expect(mapDma(t, container, 0, PAGES)).to.equal(0);
    expect(unmapDma(t, container, { size: bytes(PAGES) }).ret).to.equal(0);
  },
  "some of it active"(t) {
    written(t);
    activate(t, 30, 15);
    pin(t);
  },
  "pinned by gup_test, and let go"(t) {
    written(t);
    gupTest(t, 0, PAGES);
  },
  "read only"(t) {
    written(t);
    expect(t.sys.mprotect(at(0), bytes(PAGES), PROT_READ)).to.equal(0);
    pin(t, VFIO_DMA_MAP_FLAG_READ);
  },
  "pages of others wait in the batch"(t) {
    written(t);
    map(t, OTHERS, 20);
    touch(t, OTHERS, 20);
    pin(t);
  },
  "some wait in the batch of another CPU"(t) {
    touch(t, 0, PAGES - 5);
    t.k.cpu = 3;
    touch(t, PAGES - 5, 5);
    t.k.cpu = CPUS - 1;
    pin(t);
  },
  "in another order on the LRU"(t) {
    written(t);
    for (let page = 0; page < PAGES; page++) activate(t, page ^ 2, 1);
    pin(t);
  },
  "in another order in memory"(t) {
    for (let page = 0; page < PAGES; page++) touch(t, page ^ 1, 1);
    pin(t);
  },
  "some pinned already"(t) {
    written(t);
    expect(mapDma(t, openContainer(t), 20, 10)).to.equal(0);
    pin(t);
  },
  "shared with a child"(t) {
    written(t);
    t.fork();
    pin(t);
  },
  "shared with a child that has let go of most"(t) {
    written(t);
    t.as(t.fork(), () => expect(t.sys.munmap(at(3), bytes(PAGES - 5))).to.equal(0));
    pin(t);
  },
  "no longer shared with a child, for reading"(t) {
    written(t);
    t.inChild(() => undefined);
    pin(t, VFIO_DMA_MAP_FLAG_READ);
  },
  "locked in memory"(t) {
    written(t);
    expect(t.sys.mlock(at(0), bytes(PAGES))).to.equal(0);
    pin(t);
  },
  "another task looks on"(t) {
    written(t);
    t.fork();
    touch(t, 0, PAGES, 9);
    t.k.hooks.yieldPoint = (name) => {
      if (name === "remove_migration_ptes") touch(t, OTHERS - 1, 1);
    };
    map(t, OTHERS - 1, 1);
    pin(t);
  },
  "the fortieth allocation failing"(t) {
    written(t);
    failAllocations(t, 100, 40);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(-ENOMEM);
  },
  "the task's fiftieth allocation failing"(t) {
    written(t);
    failAllocations(t, 0, 1);
    t.k.current.fail_nth = 50;
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(-ENOMEM);
  },
  "injection that is set up, and never fails"(t) {
    written(t);
    failAllocations(t, 0, 1);
    pin(t);
  },
  "somebody holding the fiftieth page"(t) {
    written(t);
    t.k.fail_migrate.add({ nth: 50, kind: "reference", attempts: 2 }).arm(t.k);
    pin(t);
  },
};

/** What is done with a guest of this memfd. */
const FILE_SCENES: Readonly<Record<string, (t: T, fd: number) => void>> = {
  "some wait in the batch that makes them active"(t, fd) {
    written(t);
    useAgain(t, fd, 0, 1, 2, 3, 4);
    pin(t);
  },
  "some wait in such a batch of another CPU"(t, fd) {
    written(t);
    t.k.cpu = 3;
    useAgain(t, fd, 20, 22, 24, 40, 42);
    t.k.cpu = CPUS - 1;
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(-ENOMEM);
  },
};

/** Large enough for per-CPU lists of more than one page. */
const MACHINES: Readonly<Record<string, BootOptions>> = {
  CMA: CMA_BOOT,
  ZONE_MOVABLE: { memory: bytes(32768), movablecore: bytes(16384) },
  "two nodes": { memory: bytes(32768), cma: bytes(16384), nodes: 2 },
};

/** The patch under review changes what some of these ways pass by. */
const kernels = ["base"];

describe("short ways: pinning", () => {
  for (const [machine, boot] of Object.entries(MACHINES)) {
    for (const [guest, mapGuest] of Object.entries(GUESTS)) {
      for (const [name, scene] of Object.entries(SCENES)) {
        if (machine !== "CMA" && !["written once", "used, so active, and let go again"].includes(name)) continue;
        TEST(`${machine}, ${guest}, ${name}`, { kernels }, (t) => {
          bothWays(t, { cpus: CPUS, ...boot }, (each) => {
            // the last node has the CMA area
            each.k.cpu = CPUS - 1;
            mapGuest(each);
            scene(each);
          });
        });
      }
    }
  }
  for (const [name, scene] of Object.entries(FILE_SCENES)) {
    TEST(`CMA, memfd, ${name}`, { kernels }, (t) => {
      bothWays(t, { cpus: CPUS, ...MACHINES["CMA"] }, (each) => {
        scene(each, mapMemfd(each, 0, PAGES));
      });
    });
  }
  TEST("huge pages among ordinary ones", { kernels }, (t) => {
    const config = { TRANSPARENT_HUGEPAGE: true, thp_enabled: "always", shmem_enabled: "always" } as const;
    bothWays(t, { ...CMA_BOOT, config }, (each) => {
      map(each, 0, 700);
      map(each, OTHERS, 700, { flags: MAP_SHARED, fd: memfd(each, 700) });
      touch(each, 0, 700);
      touch(each, OTHERS, 700);
      for (const page of [0, OTHERS]) expect(mapDma(each, openContainer(each), page, 700)).to.equal(0);
    });
  });
});
