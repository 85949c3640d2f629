// SPDX-License-Identifier: GPL-2.0-only
/** memfd, which guest memory is made of: sizes, holes, seals, and the advice on its mappings. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EBUSY, EINVAL, EPERM } from "../../uapi/errno.js";
import {
  F_ADD_SEALS,
  F_GET_SEALS,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MFD_ALLOW_SEALING,
} from "../../uapi/memfd.js";
import { MADV_NOMOVABLE, MADV_REMOVE, MAP_PRIVATE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  memfd,
  peek,
  places,
  RW,
  type T,
  touch,
  UNKNOWN,
} from "./lib/memory.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const differs = { base: UNKNOWN };
const SIGBUS = { sig: "SIGBUS", code: 2 };
const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

/** A memfd of eight pages that can be sealed, mapped shared, advised. */
const guest = FIXTURE("guest", {
  boot: CMA_BOOT,
  setup(t) {
    const fd = memfd(t, 8, MFD_ALLOW_SEALING);
    map(t, 0, 8, { flags: MAP_SHARED, fd });
    advise(t, 0, 8, MADV_NOMOVABLE);
    return fd;
  },
});

describe("memfd: size", () => {
  for (const size of [0, 1, 7]) {
    TEST_F(guest, `${size} pages: the next page is SIGBUS`, (t) => {
      expect(t.sys.ftruncate(t.self, bytes(size))).to.equal(0);
      if (size > 0) touch(t, 0, size);
      expect(t.sys.store(at(size), 1)).to.deep.equal(SIGBUS);
      expect(t.sys.load(at(size))).to.deep.equal(SIGBUS);
    });
  }

  TEST_F(guest, "a size that ends inside a page: that page can be used", (t) => {
    expect(t.sys.ftruncate(t.self, bytes(3) + 1)).to.equal(0);
    touch(t, 3, 1);
    expect(t.sys.store(at(4), 1)).to.deep.equal(SIGBUS);
  });

  TEST_F(guest, "shrunk: mapped pages behind the end are gone", (t) => {
    touch(t, 0, 8);
    expect(t.sys.ftruncate(t.self, bytes(4))).to.equal(0);
    expect(places(t, 4, 4)).to.equal("----");
    expect(t.sys.load(at(5))).to.deep.equal(SIGBUS);
  });

  TEST_F(guest, "shrunk and grown: zeroes, pinnable", { differs }, (t) => {
    touch(t, 0, 8, 9);
    t.sys.ftruncate(t.self, bytes(4));
    t.sys.ftruncate(t.self, bytes(8));
    expect(peek(t, 5)).to.equal(0);
    expect(peek(t, 3)).to.equal(9);
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(guest, "grown behind the mapping: nothing changes in it", (t) => {
    touch(t, 7, 1, 9);
    expect(t.sys.ftruncate(t.self, bytes(100))).to.equal(0);
    expect(peek(t, 7)).to.equal(9);
  });

  TEST_F(guest, "a negative size: EINVAL", (t) => {
    expect(t.sys.ftruncate(t.self, -1)).to.equal(-EINVAL);
  });
});

describe("memfd: holes", () => {
  TEST_F(guest, "punched: the pages are gone from every mapping", (t) => {
    touch(t, 0, 8, 9);
    map(t, 16, 8, { flags: MAP_SHARED, fd: t.self });
    touch(t, 16, 8, 9);
    expect(t.sys.fallocate(t.self, PUNCH, bytes(2), bytes(3))).to.equal(0);
    expect(places(t, 2, 3) + places(t, 18, 3)).to.equal("------");
    expect(peek(t, 1)).to.equal(9);
    expect(peek(t, 3)).to.equal(0);
  });

  TEST_F(guest, "filled again by a fault: pinnable", { differs }, (t) => {
    touch(t, 0, 8);
    expect(t.sys.fallocate(t.self, PUNCH, 0, bytes(8))).to.equal(0);
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(guest, "made by MADV_REMOVE, filled again: pinnable", { differs }, (t) => {
    touch(t, 0, 8);
    expect(advise(t, 2, 4, MADV_REMOVE)).to.equal(0);
    expect(places(t, 2, 4)).to.equal("----");
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(guest, "of a part of a page: it is zeroed, not freed", (t) => {
    touch(t, 0, 2, 9);
    expect(t.sys.fallocate(t.self, PUNCH, 0, 100)).to.equal(0);
    expect(places(t, 0, 1)).to.not.equal("-");
    expect(peek(t, 0)).to.equal(0);
    expect(peek(t, 1)).to.equal(9);
  });

  TEST_F(guest, "private copies of a punched page stay", (t) => {
    touch(t, 0, 8, 3);
    map(t, 16, 8, { flags: MAP_PRIVATE, fd: t.self });
    touch(t, 16, 4, 4);
    expect(t.sys.fallocate(t.self, PUNCH, 0, bytes(8))).to.equal(0);
    expect(peek(t, 16)).to.equal(4);
    expect(peek(t, 20)).to.equal(0);
  });

  const bad: readonly [string, number, number, number][] = [
    ["zero length", PUNCH, 0, 0],
    ["a negative offset", PUNCH, -4096, 4096],
  ];
  for (const [title, mode, offset, len] of bad) {
    TEST_F(guest, `${title}: EINVAL`, (t) => {
      expect(t.sys.fallocate(t.self, mode, offset, len)).to.equal(-EINVAL);
    });
  }
});

describe("memfd: seals", () => {
  const seal = (t: { sys: T["sys"] }, fd: number, seals: number): number => t.sys.fcntl(fd, F_ADD_SEALS, seals);

  TEST_F(guest, "what was added can be read back", (t) => {
    expect(seal(t, t.self, F_SEAL_SHRINK)).to.equal(0);
    expect(seal(t, t.self, F_SEAL_GROW)).to.equal(0);
    expect(t.sys.fcntl(t.self, F_GET_SEALS, 0)).to.equal(F_SEAL_SHRINK | F_SEAL_GROW);
  });

  TEST_F(guest, "a memfd made without MFD_ALLOW_SEALING: EPERM", (t) => {
    const fd = memfd(t, 4);
    expect(t.sys.fcntl(fd, F_GET_SEALS, 0)).to.equal(F_SEAL_SEAL);
    expect(seal(t, fd, F_SEAL_GROW)).to.equal(-EPERM);
  });

  TEST_F(guest, "sealed against sealing: EPERM", (t) => {
    expect(seal(t, t.self, F_SEAL_SEAL)).to.equal(0);
    expect(seal(t, t.self, F_SEAL_GROW)).to.equal(-EPERM);
  });

  TEST_F(guest, "an unknown seal: EINVAL", (t) => {
    expect(seal(t, t.self, 0x100)).to.equal(-EINVAL);
  });

  TEST_F(guest, "against shrinking: growing is still allowed", (t) => {
    seal(t, t.self, F_SEAL_SHRINK);
    expect(t.sys.ftruncate(t.self, bytes(4))).to.equal(-EPERM);
    expect(t.sys.ftruncate(t.self, bytes(12))).to.equal(0);
  });

  TEST_F(guest, "against growing: shrinking is still allowed", (t) => {
    seal(t, t.self, F_SEAL_GROW);
    expect(t.sys.ftruncate(t.self, bytes(12))).to.equal(-EPERM);
    expect(t.sys.fallocate(t.self, 0, 0, bytes(12))).to.equal(-EPERM);
    expect(t.sys.ftruncate(t.self, bytes(4))).to.equal(0);
  });

  TEST_F(guest, "against writing, while it is mapped writable: EBUSY", (t) => {
    expect(seal(t, t.self, F_SEAL_WRITE)).to.equal(-EBUSY);
    expect(t.sys.munmap(at(0), bytes(8))).to.equal(0);
    expect(seal(t, t.self, F_SEAL_WRITE)).to.equal(0);
  });

  TEST_F(guest, "against writing: neither mapped writable, nor written, nor punched", (t) => {
    t.sys.munmap(at(0), bytes(8));
    seal(t, t.self, F_SEAL_WRITE);
    expect(t.sys.mmap(at(0), bytes(8), RW, MAP_SHARED, t.self, 0)).to.equal(-EPERM);
    expect(t.sys.pwrite(t.self, 1, 0)).to.equal(-EPERM);
    expect(t.sys.fallocate(t.self, PUNCH, 0, bytes(1))).to.equal(-EPERM);
  });

  TEST_F(guest, "against writing: private copies may be written, and are pinnable once advised", { differs }, (t) => {
    t.sys.munmap(at(0), bytes(8));
    seal(t, t.self, F_SEAL_WRITE);
    map(t, 0, 8, { flags: MAP_PRIVATE, fd: t.self });
    advise(t, 0, 8, MADV_NOMOVABLE);
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(guest, "against writing, while it is pinned for DMA: EBUSY", (t) => {
    touch(t, 0, 8);
    expect(mapDma(t, openContainer(t), 0, 8)).to.equal(0);
    t.sys.munmap(at(0), bytes(8));
    expect(seal(t, t.self, F_SEAL_WRITE)).to.equal(-EBUSY);
  });

  TEST_F(guest, "against future writing: what is mapped writable stays so, nothing new is", { differs }, (t) => {
    expect(seal(t, t.self, F_SEAL_FUTURE_WRITE)).to.equal(0);
    expect(t.sys.mmap(at(16), bytes(8), RW, MAP_SHARED, t.self, 0)).to.equal(-EPERM);
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(guest, "a read-only mapping of a sealed memfd cannot be made writable", (t) => {
    t.sys.munmap(at(0), bytes(8));
    seal(t, t.self, F_SEAL_FUTURE_WRITE);
    map(t, 0, 8, { flags: MAP_SHARED, fd: t.self, prot: PROT_READ });
    expect(t.sys.mprotect(at(0), bytes(8), RW)).to.be.lessThan(0);
    expect(t.sys.store(at(0), 1)).to.deep.equal({ sig: "SIGSEGV", code: 2 });
  });
});

describe("memfd: lifetime", () => {
  TEST_F(guest, "closed, the mapping and its advice stay", { differs }, (t) => {
    expect(t.sys.close(t.self)).to.equal(0);
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(guest, "unmapped, the contents stay, the advice does not", (t) => {
    touch(t, 0, 4, 9);
    expect(t.sys.munmap(at(0), bytes(8))).to.equal(0);
    map(t, 0, 8, { flags: MAP_SHARED, fd: t.self });
    expect(peek(t, 3)).to.equal(9);
    expect(landing(t, 4, 4)).to.equal("CCCC");
  });

  TEST_F(guest, "written through the descriptor, read through the mapping", (t) => {
    expect(t.sys.pwrite(t.self, 42, bytes(6))).to.equal(1);
    expect(peek(t, 6)).to.equal(42);
    touch(t, 6, 1, 43);
    expect(t.sys.pread(t.self, bytes(6))).to.equal(43);
  });
});
