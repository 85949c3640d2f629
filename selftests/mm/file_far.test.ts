// SPDX-License-Identifier: GPL-2.0-only
/** Files that are longer than the page cache of the model has room for: 16 TiB, of 8 EiB that the kernel allows. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MADV_REMOVE, MADV_WILLNEED, MAP_NORESERVE, MAP_SHARED } from "../../uapi/mman-common.js";
import { advise, at, bytes, map, memfd, RW, SHARED_ANON, type T, touch } from "./lib/memory.js";
import { drawing } from "./lib/thp.js";

const TIB_16 = 2 ** 44;
/** Page offset of the first page that has no room. */
const FAR = TIB_16 / 4096;

/** A file of 32 TiB of which the first page holds 7; mapped from 16 TiB on. */
const far = FIXTURE("far", {
  boot: { memory: 16 << 20 },
  setup(t): number {
    const fd = memfd(t, 1);
    expect(t.sys.ftruncate(fd, 2 * TIB_16)).to.equal(0);
    expect(t.sys.pwrite(fd, 7, 0)).to.equal(1);
    map(t, 0, 4, { flags: MAP_SHARED, fd, pgoff: FAR });
    map(t, 8, 1);
    touch(t, 8, 1); // a table is there, so that a fault which is given up loses none
    return fd;
  },
});

describe("files of more than 16 TiB", () => {
  TEST_F(far, "are holes from there on, whatever their first pages are", (t) => {
    const vec = new Uint8Array(4);
    expect(t.sys.pread(t.self, TIB_16)).to.equal(0);
    expect(t.sys.mincore(at(0), bytes(4), vec)).to.equal(0);
    expect([...vec]).to.deep.equal([0, 0, 0, 0]);
    expect([advise(t, 0, 4, MADV_WILLNEED), advise(t, 0, 4, MADV_REMOVE)]).to.deep.equal([0, 0]);
    expect(drawing(t, 0, 4)).to.equal("4-");
    expect(t.sys.pread(t.self, 0)).to.equal(7);
  });

  TEST_F(far, "are cut there, and anywhere else", (t) => {
    expect(t.sys.ftruncate(t.self, TIB_16 + 4096)).to.equal(0);
    expect(t.sys.load(at(1))).to.include({ sig: "SIGBUS" });
    expect(t.sys.ftruncate(t.self, 0)).to.equal(0);
    expect(t.sys.load(at(0))).to.include({ sig: "SIGBUS" });
  });

  TEST_F(far, "may be mapped from beginning to end", (t) => {
    const a = t.sys.mmap(0, 1.5 * TIB_16, RW, SHARED_ANON | MAP_NORESERVE, -1, 0);
    expect(a).to.be.above(0);
    expect(t.sys.store(a, 1)).to.deep.equal({ val: 1 });
    expect(t.sys.munmap(a, 1.5 * TIB_16)).to.equal(0);
  });
});

const NEW_PAGES: readonly (readonly [string, (t: T & { readonly self: number }) => unknown])[] = [
  ["pwrite()", (t) => t.sys.pwrite(t.self, 1, TIB_16)],
  ["fallocate()", (t) => t.sys.fallocate(t.self, 0, TIB_16, 4096)],
  ["a read of a mapping", (t) => t.sys.load(at(0))],
  ["a write to a mapping", (t) => t.sys.store(at(0), 1)],
];

describe("files of more than 16 TiB: a page there", () => {
  for (const [name, act] of NEW_PAGES) {
    TEST_F(far, `${name} says that it is not modelled`, (t) => {
      expect(() => act(t)).to.throw("not modelled: mm/shmem.c: a page behind the first 16 TiB of a file");
      t.k.current.mm!.mmap_lock.readers = 0;
    });
  }
});
