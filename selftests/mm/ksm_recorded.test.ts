// SPDX-License-Identifier: GPL-2.0-only
/** What a 6.1 kernel's ksmd did to pages and counters, step by step (fixtures/proc/pages.txt). */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_DONTNEED,
  MADV_MERGEABLE,
  MADV_UNMERGEABLE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from "../../uapi/mman-common.js";
import { counters, fill, knob, mergeable, scan } from "./lib/ksm.js";
import { advise, at, bytes, map, peek, RW, type T, touch } from "./lib/memory.js";
import { pageLines, readProc } from "./lib/proc.js";

const host = FIXTURE("ksm", { boot: { memory: 16 << 20 }, setup: () => undefined });
const recorded = readProc("pages.txt")["ksm"]!.trim().split("\n");

/** A step's lines: of the pages, and of the counters. */
function step(name: string): string[] {
  return recorded.filter((line) => line.startsWith(`${name}[`) || line.startsWith(`${name}:`));
}

/** Bits of kpageflags that say whether a page has come to the LRU list yet, which other work decides. */
const LRU = 0x20n;

const settled = (lines: readonly string[]): string[] =>
  lines.map((line) =>
    line.replace(
      /kpageflags ([0-9a-f]+)/,
      (_, flags: string) => `kpageflags ${(BigInt(`0x${flags}`) | LRU).toString(16)}`,
    ),
  );

/** Compares pages of the window and the counters with a recorded step. */
function same(t: T, name: string, page: number, pages: number): void {
  const wanted = step(name);
  const mine = pageLines(t, name, page, pages, true);
  expect(settled(mine), name).to.deep.equal(settled(wanted.filter((line) => line.includes("["))));
  const count = wanted.find((line) => line.startsWith(`${name}:`));
  if (count !== undefined) expect(`${name}: ${counters(t)}`).to.equal(count);
}

describe("ksm: as recorded", () => {
  TEST_F(host, "merge, write, fork, exit, unmerge, run=2", (t) => {
    mergeable(t, 0, "xxxyyz-q");
    expect(`start: ${counters(t)}`).to.equal(step("start")[0]);
    scan(t);
    same(t, "merged", 0, 8);
    expect(`scan3: ${counters(t)}`).to.equal(step("scan3")[0]);
    touch(t, 0, 1, "w".charCodeAt(0));
    same(t, "written", 0, 3);
    scan(t);
    same(t, "rescan", 0, 8);
    const child = t.fork();
    t.as(child, () => {
      touch(t, 3, 1, "n".charCodeAt(0));
    });
    same(t, "forked", 0, 8);
    scan(t);
    expect(`forked-scan: ${counters(t)}`).to.equal(step("forked-scan")[0]);
    t.as(child, () => t.sys.exit(0));
    same(t, "exited", 0, 8);
    expect(advise(t, 0, 4, MADV_UNMERGEABLE)).to.equal(0);
    same(t, "unmerged", 0, 8);
    scan(t);
    expect(`unmerged-scan: ${counters(t)}`).to.equal(step("unmerged-scan")[0]);
    knob(t, "run", 2);
    same(t, "run2", 0, 8);
  });

  TEST_F(host, "more places than may share a page: a chain", (t) => {
    mergeable(t, 0, "yzq");
    knob(t, "max_page_sharing", 3);
    mergeable(t, 16, "kkkkkkk");
    scan(t);
    same(t, "max2", 16, 7);
  });

  TEST_F(host, "pages of zeroes become the zero page with use_zero_pages", (t) => {
    mergeable(t, 0, "yzq");
    knob(t, "use_zero_pages", 1);
    map(t, 16, 4);
    touch(t, 16, 3, 0);
    expect(advise(t, 16, 4, MADV_MERGEABLE)).to.equal(0);
    scan(t);
    same(t, "zero", 16, 4);
  });

  TEST_F(host, "locked, protected, moved, dropped, unmapped", (t) => {
    fill(t, 0, "mmmm");
    expect(t.sys.mlock(at(0), bytes(1))).to.equal(0);
    expect(advise(t, 0, 4, MADV_MERGEABLE)).to.equal(0);
    scan(t);
    same(t, "mlocked", 0, 4);
    expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
    same(t, "ro", 0, 4);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    touch(t, 2, 1, "m".charCodeAt(0));
    peek(t, 3);
    expect(t.sys.mremap(at(1), bytes(3), bytes(3), MREMAP_MAYMOVE | MREMAP_FIXED, at(32))).to.equal(at(32));
    same(t, "moved", 32, 3);
    scan(t);
    same(t, "moved-scan", 32, 3);
    expect(advise(t, 32, 2, MADV_DONTNEED)).to.equal(0);
    same(t, "dontneed", 32, 3);
    t.sys.munmap(at(32), bytes(3));
    t.sys.munmap(at(0), bytes(1));
    expect(`unmapped: ${counters(t)}`).to.equal(step("unmapped")[0]);
  });
});
