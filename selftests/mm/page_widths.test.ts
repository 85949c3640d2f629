// SPDX-License-Identifier: GPL-2.0-only
/**
 * Counts, owners and links of pages are kept in as few bits as their values need. Here they need more, and are wanted
 * back to the last one:
 *
 *   page  ◄── 300 entries, 70 pins        300 pages ──► 300 anon_vmas        one list:  low page ◄──► high page
 */
import { page_mapcount, page_ref_count, PageAnon, page_owner_of } from "../../include/linux/mem_map.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { GUP_PIN_COUNTING_BIAS } from "../../include/linux/mm.js";
import { MAP_SHARED } from "../../uapi/mman-common.js";
import { at, bytes, frameOf, map, memfd, MOVABLE_BOOT, peek, places, touch } from "./lib/memory.js";
import { mapDma, openContainer, unmapDma } from "./lib/vfio.js";

const MANY = 300;
const PINS = 70;

const small = FIXTURE("small", { boot: { memory: bytes(4096) } });
const far = FIXTURE("far", { boot: { ...MOVABLE_BOOT, memory: bytes(49_152), movablecore: bytes(8192) } });

describe("pages with many of a kind", () => {
  TEST_F(small, "a page that 300 entries map, and then none", (t) => {
    const fd = memfd(t, 1);
    for (let n = 0; n < MANY; n++) {
      map(t, 2 * n, 1, { flags: MAP_SHARED, fd });
      touch(t, 2 * n, 1, n & 127);
    }
    const pfn = frameOf(t, 0);
    expect(page_mapcount(t.k.mem, pfn)).to.equal(MANY);
    expect(peek(t, 0)).to.equal((MANY - 1) & 127);
    for (let n = 1; n < MANY; n++) expect(t.sys.munmap(at(2 * n), bytes(1))).to.equal(0);
    expect(page_mapcount(t.k.mem, pfn)).to.equal(1);
    expect(page_ref_count(t.k.mem, pfn)).to.be.within(2, 3);
  });

  TEST_F(small, "pages of 300 owners", (t) => {
    for (let n = 0; n < MANY; n++) {
      map(t, 2 * n, 1);
      touch(t, 2 * n, 1);
    }
    const owners = new Set(Array.from({ length: MANY }, (_, n) => page_owner_of(t.k.mem, frameOf(t, 2 * n))));
    expect(owners.size).to.equal(MANY);
    expect(PageAnon(t.k.mem, frameOf(t, 2 * MANY - 2))).to.equal(true);
  });

  TEST_F(small, "a page that is pinned 70 times, and then let go", (t) => {
    map(t, 0, 1);
    touch(t, 0, 1);
    const pfn = frameOf(t, 0);
    const container = openContainer(t);
    const before = page_ref_count(t.k.mem, pfn);
    for (let n = 0; n < PINS; n++) expect(mapDma(t, container, 0, 1, { iova: bytes(n) })).to.equal(0);
    expect(page_ref_count(t.k.mem, pfn) - before).to.equal(PINS * GUP_PIN_COUNTING_BIAS);
    for (let n = 0; n < PINS; n++) expect(unmapDma(t, container, { iova: bytes(n) }).ret).to.equal(0);
    expect(page_ref_count(t.k.mem, pfn)).to.equal(before);
  });

  TEST_F(far, "neighbours on a list that are further apart than 16 bits reach", (t) => {
    map(t, 0, 8);
    touch(t, 0, 8);
    const container = openContainer(t);
    for (const n of [1, 4, 6]) expect(mapDma(t, container, n, 1, { iova: bytes(n) })).to.equal(0);
    expect(places(t, 0, 8)).to.equal("M.MM.M.M");
    expect(Math.abs(frameOf(t, 0) - frameOf(t, 1))).to.be.greaterThan(0x8000);
    expect(t.sys.munmap(at(2), bytes(3))).to.equal(0);
    for (const n of [0, 1, 5, 6, 7]) expect(peek(t, n)).to.equal(1);
  });
});
