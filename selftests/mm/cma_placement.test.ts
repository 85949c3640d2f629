// SPDX-License-Identifier: GPL-2.0-only
/** Where a guest's memory lands: on machines with much, little and no CMA, and by which way its pages came. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_DONTNEED,
  MADV_NOMOVABLE,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
} from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  mapMemfd,
  memfd,
  MOVABLE_BOOT,
  places,
  SHARED_ANON,
  type T,
  touch,
  UNKNOWN,
} from "./lib/memory.js";

const MIB = 1 << 20;
const differs = { base: UNKNOWN };
const count = (where: string, what: string): number => where.split(what).length - 1;

const machine = FIXTURE("machine");

describe("placement: which memory movable allocations get", () => {
  TEST_F(machine, "without CMA and ZONE_MOVABLE: ordinary memory", { boot: { memory: 64 * MIB } }, (t) => {
    map(t, 0, 64);
    expect(landing(t, 0, 64)).to.equal(".".repeat(64));
  });

  TEST_F(machine, "free CMA is over half of free memory: CMA", { boot: CMA_BOOT }, (t) => {
    map(t, 0, 64);
    expect(landing(t, 0, 64)).to.equal("C".repeat(64));
  });

  TEST_F(
    machine,
    "free CMA is under half of free memory: ordinary memory",
    { boot: { memory: 128 * MIB, cma: 16 * MIB } },
    (t) => {
      map(t, 0, 64);
      expect(landing(t, 0, 64)).to.equal(".".repeat(64));
    },
  );

  // 32 MiB zone with 12 of CMA: ordinary memory first, then by turns
  TEST_F(
    machine,
    "ordinary memory is used until CMA is over half of what is free",
    { boot: { memory: 48 * MIB, cma: 12 * MIB } },
    (t) => {
      map(t, 0, 4096);
      const where = landing(t, 0, 4096);
      const first = where.indexOf("C");
      expect(first, "first page in CMA").to.be.within(1750, 2250);
      expect(count(where.slice(first), "."), "ordinary pages after it").to.be.greaterThan(500);
      expect(count(where.slice(first), "C"), "CMA pages after it").to.be.greaterThan(500);
    },
  );

  TEST_F(machine, "ZONE_MOVABLE before all other zones", { boot: MOVABLE_BOOT }, (t) => {
    map(t, 0, 64);
    expect(landing(t, 0, 64)).to.equal("M".repeat(64));
  });
});

/** A guest of 2 MiB on a machine where movable memory is not pinnable. */
interface Place {
  readonly boot: typeof CMA_BOOT;
  readonly mark: string;
}

const host = FIXTURE<undefined, Place>("guest_in");
FIXTURE_VARIANT(host, "CMA", { boot: CMA_BOOT, mark: "C" }, { boot: CMA_BOOT });
FIXTURE_VARIANT(host, "ZONE_MOVABLE", { boot: MOVABLE_BOOT, mark: "M" }, { boot: MOVABLE_BOOT });

const PAGES = 512;
const GOOD = ".".repeat(PAGES);

describe("placement: guest memory", () => {
  TEST_F(host, "memfd, advised before it is populated: pinnable, all of it", { differs }, (t) => {
    mapMemfd(t, 0, PAGES);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    expect(advise(t, 0, PAGES, MADV_POPULATE_WRITE)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
  });

  TEST_F(host, "memfd, not advised: movable, all of it", (t) => {
    mapMemfd(t, 0, PAGES);
    expect(advise(t, 0, PAGES, MADV_POPULATE_WRITE)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(t.param.mark.repeat(PAGES));
  });

  TEST_F(host, "anonymous, advised before it is populated: pinnable, all of it", { differs }, (t) => {
    map(t, 0, PAGES);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    expect(advise(t, 0, PAGES, MADV_POPULATE_WRITE)).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(GOOD);
  });

  TEST_F(host, "half populated, then advised: the other half is pinnable", { differs }, (t) => {
    mapMemfd(t, 0, PAGES);
    touch(t, 0, PAGES / 2);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    touch(t, PAGES / 2, PAGES / 2);
    expect(places(t, 0, PAGES)).to.equal(t.param.mark.repeat(PAGES / 2) + ".".repeat(PAGES / 2));
  });

  TEST_F(host, "populated, dropped, advised, populated again: pinnable", { differs }, (t) => {
    map(t, 0, PAGES);
    touch(t, 0, PAGES);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    expect(advise(t, 0, PAGES, MADV_DONTNEED)).to.equal(0);
    expect(landing(t, 0, PAGES)).to.equal(GOOD);
  });

  TEST_F(host, "advice for one guest is none for the next", (t) => {
    mapMemfd(t, 0, PAGES);
    advise(t, 0, PAGES, MADV_NOMOVABLE);
    mapMemfd(t, 1024, PAGES);
    expect(landing(t, 1024, PAGES)).to.equal(t.param.mark.repeat(PAGES));
  });
});

/** Ways in which an advised guest gets pages that the advice does not reach. */
const uncovered: readonly [string, string, (t: T) => void][] = [
  [
    "memory mapped with MAP_POPULATE, as QEMU does with prealloc, has its pages before it can be advised: all of them stay movable (O1, D7)",
    "memfd mapped with MAP_POPULATE, then advised",
    (t) => {
      map(t, 0, 64, { flags: MAP_SHARED | MAP_POPULATE, fd: memfd(t, 64) });
      advise(t, 0, 64, MADV_NOMOVABLE);
    },
  ],
  [
    "anonymous memory mapped with MAP_POPULATE has its pages before it can be advised: all of them stay movable (O1, D7)",
    "anonymous memory mapped with MAP_POPULATE, then advised",
    (t) => {
      map(t, 0, 64, { flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE });
      advise(t, 0, 64, MADV_NOMOVABLE);
    },
  ],
  [
    "memory that was touched before it is advised stays movable, and nothing tells the user (D7)",
    "populated, then advised",
    (t) => {
      mapMemfd(t, 0, 64);
      touch(t, 0, 64);
      advise(t, 0, 64, MADV_NOMOVABLE);
    },
  ],
  [
    "fallocate() on an advised memfd gives movable pages: the advice belongs to a mapping, not to the memory (D7)",
    "advised, then fallocate on the memfd",
    (t) => {
      const fd = mapMemfd(t, 0, 64);
      advise(t, 0, 64, MADV_NOMOVABLE);
      expect(t.sys.fallocate(fd, 0, 0, bytes(64))).to.equal(0);
      touch(t, 0, 64);
    },
  ],
  [
    "memory allocated by fallocate() before the memfd is mapped is movable whatever is advised later (D7)",
    "fallocate on the memfd, then mapped and advised",
    (t) => {
      const fd = memfd(t, 64);
      expect(t.sys.fallocate(fd, 0, 0, bytes(64))).to.equal(0);
      map(t, 0, 64, { flags: MAP_SHARED, fd });
      advise(t, 0, 64, MADV_NOMOVABLE);
      touch(t, 0, 64);
    },
  ],
  [
    "write() to an advised memfd gives movable pages (D7)",
    "advised, then written with pwrite",
    (t) => {
      const fd = mapMemfd(t, 0, 64);
      advise(t, 0, 64, MADV_NOMOVABLE);
      for (let n = 0; n < 64; n++) expect(t.sys.pwrite(fd, 1, bytes(n))).to.be.at.least(0);
      touch(t, 0, 64);
    },
  ],
  [
    "a second mapping of the same memfd, such as a vhost-user back-end's, brings movable pages into the advised one (D7)",
    "advised, then touched through another mapping",
    (t) => {
      const fd = mapMemfd(t, 0, 64);
      map(t, 128, 64, { flags: MAP_SHARED, fd });
      advise(t, 0, 64, MADV_NOMOVABLE);
      touch(t, 128, 64);
      touch(t, 0, 64);
    },
  ],
  [
    "memory advised in one mapping of a memfd is populated movable by another process that maps it (D7)",
    "advised, then touched by a child that undid nothing but mapped it anew",
    (t) => {
      const fd = mapMemfd(t, 0, 64);
      advise(t, 0, 64, MADV_NOMOVABLE);
      t.inChild(() => {
        map(t, 128, 64, { flags: MAP_SHARED, fd });
        touch(t, 128, 64);
      });
      touch(t, 0, 64);
    },
  ],
];

const guest = FIXTURE("guest", { boot: CMA_BOOT });

describe("placement: pages that came another way", () => {
  for (const [reason, title, run] of uncovered) {
    TEST_F(guest, `${title}: pinnable`, { differs: { base: UNKNOWN, patch: reason } }, (t) => {
      run(t);
      expect(places(t, 0, 64)).to.equal(".".repeat(64));
    });
  }

  TEST_F(guest, "the advised one of two mappings populates: both show the same pinnable pages", { differs }, (t) => {
    const fd = mapMemfd(t, 0, 64);
    map(t, 128, 64, { flags: MAP_SHARED, fd });
    advise(t, 0, 64, MADV_NOMOVABLE);
    touch(t, 0, 64);
    touch(t, 128, 64);
    expect(places(t, 0, 64) + places(t, 128, 64)).to.equal(".".repeat(128));
  });

  TEST_F(guest, "advice on part of a memfd counts for that part", { differs }, (t) => {
    mapMemfd(t, 0, 64);
    advise(t, 16, 16, MADV_NOMOVABLE);
    expect(landing(t, 0, 64)).to.equal("C".repeat(16) + ".".repeat(16) + "C".repeat(32));
  });

  TEST_F(guest, "shared anonymous memory is covered as a memfd is", { differs }, (t) => {
    map(t, 0, 64, { flags: SHARED_ANON });
    advise(t, 0, 64, MADV_NOMOVABLE);
    expect(landing(t, 0, 64)).to.equal(".".repeat(64));
  });

  TEST_F(guest, "a page read through the other mapping stays where the first one put it", (t) => {
    const fd = mapMemfd(t, 0, 64);
    map(t, 128, 64, { flags: MAP_SHARED, fd });
    touch(t, 128, 64, 9);
    advise(t, 0, 64, MADV_NOMOVABLE);
    expect(t.sys.load(at(5))).to.deep.equal({ val: 9 });
    expect(places(t, 0, 64).slice(5, 6)).to.equal("C");
  });
});
