// SPDX-License-Identifier: GPL-2.0-only
/** vm.max_map_count: what an address space that may have no more mappings can still do. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, ENOMEM } from "../../uapi/errno.js";
import { MADV_NOMOVABLE, MADV_NORMAL, MADV_RANDOM, MADV_DONTNEED, PROT_READ } from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  places,
  ranges,
  type T,
  touch,
  UNKNOWN,
  vmFlags,
} from "./lib/memory.js";

const window = FIXTURE("eight_pages", {
  boot: CMA_BOOT,
  setup(t) {
    map(t, 0, 8);
  },
});

/** Lets the address space have so many mappings more. */
function allow(t: T, more: number): void {
  t.k.config.max_map_count = t.k.current.mm!.map_count + more;
}

/** [title, first page, pages, mappings that it needs more] */
const positions: readonly [string, number, number, number][] = [
  ["head", 0, 3, 1],
  ["tail", 5, 3, 1],
  ["middle", 2, 3, 2],
  ["one page in the middle", 4, 1, 2],
];

describe("madvise at vm.max_map_count", () => {
  for (const [title, from, pages, needs] of positions) {
    TEST_F(window, `${title}: just enough`, (t) => {
      allow(t, needs);
      expect(advise(t, from, pages, MADV_RANDOM)).to.equal(0);
      expect(vmFlags(t, from)).to.include("rr");
    });

    TEST_F(window, `${title}: one too few is EAGAIN, and nothing is advised`, (t) => {
      allow(t, needs - 1);
      expect(advise(t, from, pages, MADV_RANDOM)).to.equal(-EAGAIN);
      for (let n = 0; n < 8; n++) expect(vmFlags(t, n), `page ${n}`).to.not.include("rr");
    });

    TEST_F(window, `MADV_NOMOVABLE ${title}: just enough`, { differs: { base: UNKNOWN } }, (t) => {
      allow(t, needs);
      const ret = advise(t, from, pages, MADV_NOMOVABLE);
      expect(landing(t, from, pages)).to.equal(".".repeat(pages));
      expect(ret).to.equal(0);
    });

    const reason = "EINVAL: base does not know the advice, so it never gets to split";
    TEST_F(window, `MADV_NOMOVABLE ${title}: one too few is EAGAIN`, { differs: { base: reason } }, (t) => {
      allow(t, needs - 1);
      const ret = advise(t, from, pages, MADV_NOMOVABLE);
      expect(ret).to.equal(-EAGAIN);
      expect(landing(t, from, pages), "still movable").to.equal("C".repeat(pages));
    });
  }

  // the first of the two splits has been made when the second is refused
  TEST_F(window, "the middle with room for one: the mapping stays cut in two", (t) => {
    allow(t, 1);
    expect(advise(t, 2, 3, MADV_RANDOM)).to.equal(-EAGAIN);
    expect(ranges(t)).to.equal("0-2 2-8");
  });

  TEST_F(window, "the whole needs nothing", (t) => {
    allow(t, 0);
    expect(advise(t, 0, 8, MADV_RANDOM)).to.equal(0);
    expect(vmFlags(t, 7)).to.include("rr");
  });

  TEST_F(window, "moving the border between two mappings needs nothing", (t) => {
    advise(t, 0, 4, MADV_RANDOM);
    allow(t, 0);
    expect(advise(t, 4, 2, MADV_RANDOM)).to.equal(0);
    expect(ranges(t)).to.equal("0-6 6-8");
    expect(advise(t, 0, 8, MADV_NORMAL)).to.equal(0);
    expect(ranges(t)).to.equal("0-8");
  });

  TEST_F(window, "dropping pages needs nothing", (t) => {
    touch(t, 0, 8);
    allow(t, 0);
    expect(advise(t, 2, 3, MADV_DONTNEED)).to.equal(0);
    expect(places(t, 0, 8)).to.equal("CC---CCC");
  });

  TEST_F(window, "beyond the limit nothing can be split", (t) => {
    allow(t, -1);
    expect(advise(t, 0, 3, MADV_RANDOM)).to.equal(-EAGAIN);
    expect(ranges(t)).to.equal("0-8");
  });

  TEST_F(window, "mprotect of a part is ENOMEM where madvise is EAGAIN", (t) => {
    allow(t, 0);
    expect(t.sys.mprotect(at(0), bytes(3), PROT_READ)).to.equal(-ENOMEM);
    expect(advise(t, 0, 3, MADV_RANDOM)).to.equal(-EAGAIN);
    expect(ranges(t)).to.equal("0-8");
  });

  TEST_F(window, "munmap from the middle is ENOMEM, from an end it is not", (t) => {
    allow(t, 0);
    expect(t.sys.munmap(at(3), bytes(2))).to.equal(-ENOMEM);
    expect(ranges(t)).to.equal("0-8");
    expect(t.sys.munmap(at(6), bytes(2))).to.equal(0);
    expect(ranges(t)).to.equal("0-6");
  });

  TEST_F(window, "a mapping that merges into one beside it may go one over", (t) => {
    allow(t, 0);
    map(t, 8, 4);
    expect(ranges(t)).to.equal("0-12");
    allow(t, -1);
    expect(t.sys.mmap(at(20), bytes(1), PROT_READ, 0x32, -1, 0)).to.equal(-ENOMEM);
  });
});
