// SPDX-License-Identifier: GPL-2.0-only
/** What smaps counts as Referenced: which calls look at memory, and which leave entries as old as they were. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_COLD, MADV_POPULATE_READ, MADV_POPULATE_WRITE, PROT_READ } from "../../uapi/mman-common.js";
import { advise, at, bytes, map, peek, RW, type T, touch } from "./lib/memory.js";
import { smapsKib } from "./lib/proc.js";
import { drawing, HUGE, mapHuge, THP_BOOT } from "./lib/thp.js";

const small = FIXTURE("old_pages", {
  boot: { memory: 16 << 20 },
  setup(t) {
    map(t, 0, 8);
    touch(t, 0, 8);
    advise(t, 0, 8, MADV_COLD);
  },
});
const huge = FIXTURE<undefined, { arch: string }>("an_old_huge_page", {
  setup(t, { arch }) {
    t.boot({ ...THP_BOOT, arch });
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1);
    advise(t, 0, HUGE, MADV_COLD);
    return undefined;
  },
});
FIXTURE_VARIANT(huge, "x86_64", { arch: "x86_64" });
FIXTURE_VARIANT(huge, "arm64", { arch: "arm64" });

/** Pages of the window that smaps counts as referenced. */
const referenced = (t: T): number => smapsKib(t, "Referenced", 0, 2 * HUGE) / 4;

describe("accessed bits", () => {
  TEST_F(small, "a page that is read is young again", (t) => {
    expect(referenced(t)).to.equal(0);
    peek(t, 3);
    expect(referenced(t)).to.equal(1);
  });

  TEST_F(small, "mprotect() keeps old entries old, and young ones young", (t) => {
    peek(t, 3);
    expect(t.sys.mprotect(at(0), bytes(8), PROT_READ)).to.equal(0);
    expect(t.sys.mprotect(at(0), bytes(8), RW)).to.equal(0);
    expect(referenced(t)).to.equal(1);
  });

  TEST_F(huge, "mprotect() of all or a part of a huge page keeps it old", (t) => {
    expect(t.sys.mprotect(at(0), bytes(HUGE), PROT_READ)).to.equal(0);
    expect(drawing(t, 0, HUGE)).to.equal("512T");
    expect(referenced(t)).to.equal(0);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    expect(referenced(t)).to.equal(0);
  });

  TEST_F(huge, "reading it for populate makes it young where no CPU would do that", (t) => {
    expect(advise(t, 0, HUGE, MADV_POPULATE_READ)).to.equal(0);
    expect(referenced(t)).to.equal(t.param.arch === "x86_64" ? 0 : HUGE);
    expect(advise(t, 0, HUGE, MADV_POPULATE_WRITE)).to.equal(0);
    expect(referenced(t)).to.equal(HUGE);
  });
});
