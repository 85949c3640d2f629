// SPDX-License-Identifier: GPL-2.0-only
/** Faults that bring huge pages of anonymous memory, and what keeps them from it. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_NOHUGEPAGE, MAP_SHARED, MAP_ANONYMOUS, PROT_READ } from "../../uapi/mman-common.js";
import { advise, at, bytes, map, peek, RW, touch } from "./lib/memory.js";
import { drawing, events, failHugeAllocations, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

const host = FIXTURE("thp", { boot: THP_BOOT, setup: () => undefined });

describe("thp: faults on anonymous memory", () => {
  TEST_F(host, "a write brings a huge page, zeroed", (t) => {
    mapHuge(t, 0, 2 * HUGE);
    touch(t, 3, 1, 7);
    expect(drawing(t, 0, 2 * HUGE)).to.equal("512T 512-");
    expect([peek(t, 3), peek(t, 511)]).to.deep.equal([7, 0]);
    expect(events(t, "thp_fault_alloc", "thp_fault_fallback")).to.deep.equal({
      thp_fault_alloc: 1,
      thp_fault_fallback: 0,
    });
  });

  TEST_F(host, "smaps tells how much is mapped by huge entries, and where there could be", (t) => {
    mapHuge(t, 0, 2 * HUGE);
    touch(t, 0, 1);
    peek(t, HUGE);
    map(t, 3 * HUGE, HUGE);
    const rows = t.smaps().filter((row) => row.start >= at(0) && row.start <= at(3 * HUGE));
    expect(rows.map((row) => [row.AnonHugePages, row.ShmemPmdMapped, row.THPeligible])).to.deep.equal([
      [2048, 0, true],
      [0, 0, false],
    ]);
    t.sys.mprotect(at(3), bytes(1), PROT_READ);
    expect(t.smaps().every((row) => row.AnonHugePages === 0)).to.equal(true);
  });

  TEST_F(host, "a read brings the huge zero page, once for all", (t) => {
    mapHuge(t, 0, 2 * HUGE);
    expect([peek(t, 1), peek(t, 513)]).to.deep.equal([0, 0]);
    expect(drawing(t, 0, 2 * HUGE)).to.equal("1024z");
    expect(events(t, "thp_zero_page_alloc")).to.deep.equal({ thp_zero_page_alloc: 1 });
  });

  TEST_F(host, "a write to the huge zero page brings one small page", (t) => {
    mapHuge(t, 0, HUGE);
    peek(t, 0);
    touch(t, 5, 1);
    expect(drawing(t, 0, HUGE)).to.equal("5z 1a 506z");
    expect(events(t, "thp_split_pmd")).to.deep.equal({ thp_split_pmd: 1 });
  });

  TEST_F(
    host,
    "with use_zero_page off a read brings a huge page",
    { boot: { config: { thp_enabled: "madvise", thp_use_zero_page: false } } },
    (t) => {
      mapHuge(t, 0, HUGE);
      peek(t, 0);
      expect(drawing(t, 0, HUGE)).to.equal("512T");
    },
  );

  TEST_F(host, "the edges of a mapping that no huge page fits have small ones", (t) => {
    mapHuge(t, 100, HUGE + 412 + 50);
    touch(t, 100, 1);
    touch(t, HUGE, 1);
    touch(t, 2 * HUGE + 1, 1);
    expect(drawing(t, 100, 924 + 50)).to.equal("1a 411- 512T 1- 1a 48-");
  });

  TEST_F(host, "without advice, and with the opposite one, there are none", (t) => {
    map(t, 0, HUGE);
    touch(t, 0, 1);
    mapHuge(t, HUGE, HUGE);
    advise(t, HUGE, HUGE, MADV_NOHUGEPAGE);
    touch(t, HUGE, 1);
    expect(drawing(t, 0, 2 * HUGE)).to.equal("1a 511- 1a 511-");
  });

  TEST_F(host, "enabled=always needs no advice", { boot: { config: { thp_enabled: "always" } } }, (t) => {
    map(t, 0, HUGE);
    touch(t, 0, 1);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
  });

  TEST_F(host, "enabled=never heeds none", { boot: { config: { thp_enabled: "never" } } }, (t) => {
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1);
    expect(drawing(t, 0, HUGE)).to.equal("1a 511-");
  });

  TEST_F(host, "a task that disabled them has none", (t) => {
    t.sys.prctl(41, 1, 0, 0, 0);
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1);
    expect(drawing(t, 0, HUGE)).to.equal("1a 511-");
  });

  TEST_F(host, "where a small page is there is no huge one", (t) => {
    map(t, 0, HUGE);
    touch(t, 9, 1);
    advise(t, 0, HUGE, 14);
    touch(t, 0, 1);
    expect(drawing(t, 0, HUGE)).to.equal("1a 8- 1a 502-");
  });

  TEST_F(host, "shared memory has small ones unless sysfs says otherwise", (t) => {
    map(t, 0, HUGE, { flags: MAP_SHARED | MAP_ANONYMOUS });
    advise(t, 0, HUGE, 14);
    touch(t, 0, 1);
    expect(drawing(t, 0, HUGE)).to.equal("1f 511-");
  });

  TEST_F(host, "when no huge page is to be had, a small one does", (t) => {
    mapHuge(t, 0, HUGE);
    failHugeAllocations(t);
    touch(t, 0, 1);
    expect(drawing(t, 0, HUGE)).to.equal("1a 511-");
    expect(events(t, "thp_fault_alloc", "thp_fault_fallback")).to.deep.equal({
      thp_fault_alloc: 0,
      thp_fault_fallback: 1,
    });
    expect(t.k.fail_page_alloc.injected, "tried on this node first, then anywhere").to.equal(2);
  });

  TEST_F(host, "protection is that of the mapping", (t) => {
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1, 3);
    expect(t.sys.mprotect(at(0), bytes(HUGE), PROT_READ)).to.equal(0);
    expect(t.sys.store(at(1), 1)).to.deep.include({ sig: "SIGSEGV" });
    expect(t.sys.mprotect(at(0), bytes(HUGE), RW)).to.equal(0);
    touch(t, 1, 1, 4);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect([peek(t, 0), peek(t, 1)]).to.deep.equal([3, 4]);
  });
});
