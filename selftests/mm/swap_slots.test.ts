// SPDX-License-Identifier: GPL-2.0-only
/** Which slots of an area are taken, and when they are given back: in areas that are small, broken up, or nearly full. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_DONTNEED } from "../../uapi/mman-common.js";
import { advise, frameOf, map, peek, touch } from "./lib/memory.js";
import {
  type Device,
  DISK,
  inSwapCache,
  pageOut,
  picture,
  SSD,
  swapTo,
  type SwapDevice,
  swapUsed,
} from "./lib/swap.js";

const SLOTS = 64;

/** An area of 64 slots; what is written to it stays in the swap cache as well. */
const area = FIXTURE<SwapDevice, Device>("area", {
  setup(t, device) {
    t.k.config.page_cluster = 0;
    return swapTo(t, { ...device, pages: SLOTS + 1 });
  },
});
FIXTURE_VARIANT(area, "disk", DISK);
FIXTURE_VARIANT(area, "ssd", SSD);

/** The slots that hold a byte, as in "1-3 7". */
function slotsWith(dev: SwapDevice, byte: number): string {
  const runs: [number, number][] = [];
  dev.data?.forEach((value, offset) => {
    if (value !== byte) return;
    const last = runs.at(-1);
    if (last !== undefined && last[1] === offset - 1) last[1] = offset;
    else runs.push([offset, offset]);
  });
  return runs.map(([from, to]) => (from === to ? String(from) : `${String(from)}-${String(to)}`)).join(" ");
}

describe("swap: slots of an area", () => {
  //  disk   header aaaaaaaa........     in a row, from the first slot on
  //  ssd    header ....a.a.a.a.a.a.     from anywhere on; every other slot where no cluster of the area is whole
  TEST_F(area, "pages that go out together lie near each other", (t) => {
    map(t, 0, 8);
    touch(t, 0, 8, 5);
    pageOut(t, 0, 8);
    if (t.param.rotational !== false) {
      expect(slotsWith(t.self, 5)).to.equal("1-8");
      return;
    }
    const slots = slotsWith(t.self, 5).split(" ").map(Number);
    expect(slots).to.deep.equal(slots.map((_, i) => slots[0]! + 2 * i));
    expect(slots).to.have.lengthOf(8);
  });

  //  5 5 5 5 5 5 5 5 ── every other page is given up ──► 5 . 5 . 5 . 5 . ── later ──► 5 6 5 6 5 6 5 6
  TEST_F(area, "when the end is reached, slots that were given up are taken", (t) => {
    map(t, 0, SLOTS);
    touch(t, 0, SLOTS, 5);
    pageOut(t, 0, SLOTS);
    expect(swapUsed(t)).to.equal(SLOTS);
    for (let n = 0; n < 32; n += 2) advise(t, n, 1, MADV_DONTNEED);
    expect(swapUsed(t)).to.equal(SLOTS - 16);
    map(t, 100, 20);
    touch(t, 100, 20, 6);
    pageOut(t, 100, 20);
    expect(swapUsed(t)).to.equal(SLOTS);
    expect(picture(t, 100, 20).match(/w/g)).to.not.equal(null);
    expect(t.self.data?.filter((byte) => byte === 6).length, "of twenty pages, as many as fit").to.equal(16);
    for (let n = 1; n < SLOTS; n += 2) expect(peek(t, n)).to.equal(5);
    for (let n = 0; n < 20; n++) expect(peek(t, 100 + n)).to.equal(6);
  });

  TEST_F(area, "a page that comes back keeps its slot while most of swap is free", (t) => {
    map(t, 0, 8);
    touch(t, 0, 8);
    pageOut(t, 0, 8);
    peek(t, 3);
    expect(inSwapCache(t.k.mem, frameOf(t, 3))).to.equal(true);
    expect(swapUsed(t)).to.equal(8);
  });

  TEST_F(area, "a page that comes back gives it up when more than half of swap is in use", (t) => {
    map(t, 0, 40);
    touch(t, 0, 40);
    pageOut(t, 0, 40);
    peek(t, 3);
    expect(inSwapCache(t.k.mem, frameOf(t, 3))).to.equal(false);
    expect(swapUsed(t)).to.equal(39);
  });

  //  the first pages are back and in the swap cache as well: their slots are taken for others
  TEST_F(area, "slots that only the swap cache has are taken when swap gets full", (t) => {
    map(t, 0, 30);
    touch(t, 0, 30, 5);
    pageOut(t, 0, 30);
    for (let n = 0; n < 30; n++) peek(t, n);
    expect(swapUsed(t), "kept for the pages that are back").to.equal(30);
    map(t, 100, SLOTS - 1);
    touch(t, 100, SLOTS - 1, 6);
    pageOut(t, 100, SLOTS - 1);
    for (let n = 0; n < 30; n++) expect(peek(t, n)).to.equal(5);
    for (let n = 0; n < SLOTS - 1; n++) expect(peek(t, 100 + n)).to.equal(6);
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
  });
});
