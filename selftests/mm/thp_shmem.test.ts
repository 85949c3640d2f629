// SPDX-License-Identifier: GPL-2.0-only
/** Huge pages of memfds and shared memory. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_COLLAPSE, MADV_HUGEPAGE, MADV_REMOVE, MAP_PRIVATE, MAP_SHARED } from "../../uapi/mman-common.js";
import { advise, at, bytes, map, memfd, peek, SHARED_ANON, type T, touch } from "./lib/memory.js";
import { drawing, events, HUGE, THP_BOOT } from "./lib/thp.js";

function boot(enabled: "always" | "within_size" | "advise" | "never" | "deny"): typeof THP_BOOT {
  return { ...THP_BOOT, config: { thp_enabled: "madvise", shmem_enabled: enabled } };
}

/** A memfd of one huge page, mapped shared; page 9 holds 9. */
const shared = FIXTURE("memfd", {
  boot: boot("always"),
  setup(t) {
    const fd = memfd(t, HUGE);
    map(t, 0, HUGE, { flags: MAP_SHARED, fd });
    touch(t, 9, 1, 9);
    return fd;
  },
});
/** A memfd of small pages: 0 … 9 hold their number. */
const smallPages = FIXTURE("memfd_small", {
  boot: boot("never"),
  setup(t) {
    const fd = memfd(t, HUGE);
    map(t, 0, HUGE, { flags: MAP_SHARED, fd });
    for (let n = 0; n < 10; n++) touch(t, n, 1, n);
    return fd;
  },
});

function fileEvents(t: T): string {
  return Object.values(events(t, "thp_file_alloc", "thp_file_mapped", "thp_file_fallback")).join(" ");
}

describe("thp: shared memory", () => {
  TEST_F(shared, "a fault brings a huge page, mapped as a whole", (t) => {
    expect(drawing(t, 0, HUGE)).to.equal("512F");
    expect([peek(t, 9), peek(t, 10)]).to.deep.equal([9, 0]);
    expect(fileEvents(t)).to.equal("1 1 0");
  });

  TEST_F(shared, "another mapping that lies askew has small entries of it", (t) => {
    map(t, 2 * HUGE + 1, HUGE, { flags: MAP_SHARED, fd: t.self });
    expect(peek(t, 2 * HUGE + 10)).to.equal(9);
    expect(drawing(t, 2 * HUGE + 1, HUGE)).to.equal("16F 496-");
    expect(drawing(t, 0, HUGE)).to.equal("512F");
  });

  TEST_F(shared, "a private mapping reads it whole and copies one page on a write", (t) => {
    map(t, 2 * HUGE, HUGE, { flags: MAP_PRIVATE, fd: t.self });
    expect(peek(t, 2 * HUGE + 9)).to.equal(9);
    expect(drawing(t, 2 * HUGE, HUGE)).to.equal("512F");
    touch(t, 2 * HUGE + 9, 1, 5);
    expect(drawing(t, 2 * HUGE, HUGE)).to.equal("9- 1a 502-");
    expect(peek(t, 9)).to.equal(9);
  });

  TEST_F(shared, "a child shares it, by a fault of its own", (t) => {
    t.inChild((child) => {
      expect(drawing(t, 0, HUGE, child)).to.equal("512-");
      touch(t, 3, 1, 77);
      expect(drawing(t, 0, HUGE, child)).to.equal("512F");
    });
    expect(peek(t, 3)).to.equal(77);
  });

  TEST_F(shared, "a hole in it splits it", (t) => {
    expect(advise(t, 100, 4, MADV_REMOVE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512-");
    expect([peek(t, 9), peek(t, 100)]).to.deep.equal([9, 0]);
    expect(events(t, "thp_split_page")).to.deep.equal({ thp_split_page: 1 });
    expect(drawing(t, 0, 32)).to.equal("16f 16-");
  });

  TEST_F(shared, "a shorter file splits it, and its end goes", (t) => {
    expect(t.sys.ftruncate(t.self, bytes(100))).to.equal(0);
    expect(peek(t, 9)).to.equal(9);
    expect(t.sys.load(at(100))).to.deep.include({ sig: "SIGBUS" });
    expect(t.sys.ftruncate(t.self, bytes(HUGE))).to.equal(0);
    expect(peek(t, 100)).to.equal(0);
  });

  TEST_F(shared, "munmap of a part takes the huge entry away, small ones come back", (t) => {
    expect(t.sys.munmap(at(0), bytes(1))).to.equal(0);
    expect(drawing(t, 1, HUGE - 1)).to.equal("511-");
    expect(peek(t, 9)).to.equal(9);
    expect(drawing(t, 1, 32)).to.equal("16F 16-");
  });

  TEST_F(shared, "fallocate takes huge pages, too", (t) => {
    const fd = memfd(t, 2 * HUGE);
    expect(t.sys.fallocate(fd, 0, 0, bytes(2 * HUGE))).to.equal(0);
    map(t, 4 * HUGE, 2 * HUGE, { flags: MAP_SHARED, fd });
    touch(t, 4 * HUGE, 1);
    touch(t, 5 * HUGE, 1);
    expect(drawing(t, 4 * HUGE, 2 * HUGE)).to.equal("1024F");
    expect(fileEvents(t)).to.equal("3 3 0");
  });

  TEST_F(shared, "within_size: none beyond the end", { boot: boot("within_size") }, (t) => {
    const fd = memfd(t, HUGE + 100);
    map(t, 4 * HUGE, HUGE + 100, { flags: MAP_SHARED, fd });
    touch(t, 4 * HUGE, 1);
    touch(t, 5 * HUGE, 1);
    expect(drawing(t, 4 * HUGE, HUGE + 2)).to.equal("512F 1f 1-");
  });

  TEST_F(shared, "advise: where it is advised", { boot: boot("advise") }, (t) => {
    expect(drawing(t, 0, 16)).to.equal("9- 1f 6-");
    map(t, 2 * HUGE, HUGE, { flags: SHARED_ANON });
    advise(t, 2 * HUGE, HUGE, MADV_HUGEPAGE);
    touch(t, 2 * HUGE, 1);
    expect(drawing(t, 2 * HUGE, HUGE)).to.equal("512F");
  });

  TEST_F(smallPages, "MADV_COLLAPSE makes a huge page of a file's small ones", (t) => {
    map(t, 2 * HUGE, HUGE, { flags: MAP_SHARED, fd: t.self });
    expect(peek(t, 2 * HUGE + 3)).to.equal(3);
    expect(advise(t, 0, HUGE, MADV_COLLAPSE)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512F");
    expect(drawing(t, 2 * HUGE, HUGE), "the other mapping waits for its next fault").to.equal("512-");
    for (let n = 0; n < 10; n++) expect(peek(t, n)).to.equal(n);
    expect(peek(t, 2 * HUGE + 3)).to.equal(3);
    expect(drawing(t, 2 * HUGE, HUGE), "its table is there, so it has small entries").to.equal("16F 496-");
  });

  TEST_F(smallPages, "khugepaged does so for an advised mapping", { boot: boot("advise") }, (t) => {
    expect(t.kernel.khugepaged_do_scan(t.k)).to.equal(0);
    advise(t, 0, HUGE, MADV_HUGEPAGE);
    expect(t.kernel.khugepaged_do_scan(t.k), "it looked before the VMA had its new flag").to.equal(0);
    advise(t, 0, HUGE, MADV_HUGEPAGE);
    expect(t.kernel.khugepaged_do_scan(t.k)).to.equal(1);
    expect(drawing(t, 0, HUGE), "its page table is gone; the next fault maps it whole").to.equal("512-");
    expect(peek(t, 7)).to.equal(7);
    expect(drawing(t, 0, HUGE)).to.equal("512F");
  });
});
