// SPDX-License-Identifier: GPL-2.0-only
/** pagemap, kpageflags and kpagecount of pages in each state, against those of a 6.1 kernel. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_COLD,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
} from "../../uapi/mman-common.js";
import { advise, at, bytes, map, memfd, peek, type T, touch } from "./lib/memory.js";
import { pageLines, readProc } from "./lib/proc.js";

const host = FIXTURE("pages", {
  boot: { memory: 64 << 20, config: { thp_enabled: "madvise" } },
  setup: () => undefined,
});
const recorded = readProc("pages.txt")["pages"]!.trim().split("\n");

/** The recorded lines of these names. */
const lines = (...names: string[]): string[] => recorded.filter((line) => names.includes(line.replace(/\[.*/, "")));

/** Maps and writes pages of private memory, enough of them to drain the batch to the LRU lists. */
function written(t: T, page: number, pages: number): void {
  map(t, page, pages);
  touch(t, page, pages);
}

describe("/proc: pagemap, kpageflags, kpagecount", () => {
  TEST_F(host, "anonymous: written, read only, absent", (t) => {
    // In the recording the fourth page is the fifteenth of its batch, which sends all of them to the LRU list.
    written(t, 64, 13);
    map(t, 0, 4);
    touch(t, 0, 1);
    peek(t, 1);
    touch(t, 3, 1);
    expect(pageLines(t, "anon", 0, 4)).to.deep.equal(lines("anon"));
    written(t, 16, 20);
    expect(pageLines(t, "anon-drained", 16, 3)).to.deep.equal(lines("anon-drained"));
  });

  TEST_F(host, "shared with a child, and after the child is gone", (t) => {
    written(t, 0, 2);
    written(t, 16, 15);
    const got: string[] = [];
    const child = t.fork();
    t.as(child, () => {
      touch(t, 1, 1, 2);
    });
    got.push(...pageLines(t, "forked", 0, 2));
    t.as(child, () => t.sys.exit(0));
    got.push(...pageLines(t, "after-exit", 0, 2));
    expect(got).to.deep.equal(lines("forked", "after-exit"));
  });

  TEST_F(host, "locked, and without access", (t) => {
    map(t, 0, 2);
    touch(t, 0, 1);
    expect(t.sys.mlock(at(0), bytes(2))).to.equal(0);
    expect(pageLines(t, "mlocked", 0, 2)).to.deep.equal(lines("mlocked"));
    written(t, 8, 2);
    expect(t.sys.mprotect(at(8), bytes(1), PROT_NONE)).to.equal(0);
    expect(pageLines(t, "prot-none", 8, 2)).to.deep.equal(lines("prot-none"));
  });

  TEST_F(host, "memfd: shared twice, privately, by write()", (t) => {
    const fd = memfd(t, 16);
    const got: string[] = [];
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    touch(t, 0, 1);
    peek(t, 1);
    got.push(...pageLines(t, "memfd-shared", 0, 4));
    map(t, 8, 4, { flags: MAP_SHARED, fd });
    peek(t, 8);
    touch(t, 10, 1);
    got.push(...pageLines(t, "memfd-second", 8, 4), ...pageLines(t, "memfd-first", 0, 4));
    map(t, 16, 4, { flags: MAP_PRIVATE, fd });
    peek(t, 16);
    touch(t, 17, 1);
    got.push(...pageLines(t, "memfd-private", 16, 4));
    t.sys.pwrite(fd, 1, 0);
    t.sys.pwrite(fd, 1, bytes(8));
    map(t, 32, 16, { flags: MAP_SHARED, fd });
    peek(t, 40);
    got.push(...pageLines(t, "memfd-written", 40, 1));
    expect(got).to.deep.equal(recorded.filter((line) => line.startsWith("memfd")));
  });

  TEST_F(host, "advised free or cold", (t) => {
    written(t, 0, 32);
    expect(advise(t, 0, 32, MADV_FREE)).to.equal(0);
    expect(pageLines(t, "free", 0, 2)).to.deep.equal(lines("free"));
    touch(t, 0, 1, 2);
    expect(pageLines(t, "free-written", 0, 2)).to.deep.equal(lines("free-written"));
    written(t, 64, 32);
    expect(advise(t, 64, 32, MADV_COLD)).to.equal(0);
    expect(pageLines(t, "cold", 64, 2)).to.deep.equal(lines("cold"));
  });

  TEST_F(host, "huge pages: whole, mapped in part, and the huge zero page", (t) => {
    map(t, 0, 1024);
    expect(advise(t, 0, 512, MADV_HUGEPAGE)).to.equal(0);
    touch(t, 0, 1);
    expect(pageLines(t, "thp", 0, 2)).to.deep.equal(lines("thp"));
    expect(advise(t, 5, 1, MADV_DONTNEED)).to.equal(0);
    expect(pageLines(t, "thp-split-pmd", 4, 3)).to.deep.equal(lines("thp-split-pmd"));
    expect(advise(t, 512, 512, MADV_HUGEPAGE)).to.equal(0);
    peek(t, 512);
    expect(pageLines(t, "thp-zero", 512, 2)).to.deep.equal(lines("thp-zero"));
  });
});
