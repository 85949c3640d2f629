// SPDX-License-Identifier: GPL-2.0-only
/** Memory under a name: mappings of /dev/zero and of files of a tmpfs, as a guest may be given them in place of a memfd. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EACCES, ENOENT } from "../../uapi/errno.js";
import { MADV_NOMOVABLE, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  peek,
  ranges,
  RW,
  type T,
  touch,
  UNKNOWN,
  vmFlags,
} from "./lib/memory.js";

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const GUEST = "/dev/shm/guest";

const zero = FIXTURE("dev_zero", { boot: { memory: 16 << 20 } });
const tmpfs = FIXTURE("tmpfs", {
  boot: CMA_BOOT,
  setup(t) {
    t.kernel.add_tmpfs_file(t.k, GUEST);
    t.sys.ftruncate(open(t, GUEST), bytes(64));
  },
  teardown(t) {
    t.kernel.unlink_tmpfs_file(t.k, GUEST);
  },
});

function open(t: T, path: string, flags = O_RDWR): number {
  const fd = t.sys.open(path, flags);
  expect(fd, `open ${path}`).to.be.at.least(0);
  return fd;
}

function names(t: T): string[] {
  return t
    .smaps()
    .filter((row) => row.start >= at(0) && row.start < at(256))
    .map((row) => row.name);
}

describe("/dev/zero", () => {
  TEST_F(zero, "private: anonymous memory, of which fork gives a copy", (t) => {
    map(t, 0, 4, { flags: MAP_PRIVATE, fd: open(t, "/dev/zero") });
    expect(names(t)).to.deep.equal(["/dev/zero"]);
    expect(peek(t, 0)).to.equal(0);
    touch(t, 0, 4, 7);
    const child = t.k.tasks.get(t.sys.fork())!;
    t.as(child, () => {
      touch(t, 0, 1, 9);
    });
    expect([peek(t, 0), peek(t, 3)]).to.deep.equal([7, 7]);
  });

  TEST_F(zero, "private: neighbours of one descriptor merge where their offsets follow", (t) => {
    const fd = open(t, "/dev/zero");
    map(t, 0, 4, { flags: MAP_PRIVATE, fd });
    map(t, 4, 4, { flags: MAP_PRIVATE, fd, pgoff: 4 });
    map(t, 8, 4, { flags: MAP_PRIVATE, fd });
    expect(ranges(t)).to.equal("0-8 8-12");
  });

  TEST_F(zero, "shared: memory of its own, which a child sees", (t) => {
    const fd = open(t, "/dev/zero");
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    map(t, 8, 4, { flags: MAP_SHARED, fd });
    expect(names(t)).to.deep.equal(["/dev/zero (deleted)", "/dev/zero (deleted)"]);
    const child = t.k.tasks.get(t.sys.fork())!;
    t.as(child, () => {
      touch(t, 0, 1, 9);
    });
    expect([peek(t, 0), peek(t, 8)], "each mapping is another object").to.deep.equal([9, 0]);
  });
});

describe("a file of a tmpfs", () => {
  TEST_F(tmpfs, "is the same memory for all who open it, and stays once they have closed it", (t) => {
    const fd = open(t, GUEST);
    map(t, 0, 64, { flags: MAP_SHARED, fd });
    expect(t.sys.close(fd)).to.equal(0);
    touch(t, 5, 1, 3);
    expect(names(t)).to.deep.equal([GUEST]);
    t.sys.munmap(at(0), bytes(64));
    map(t, 100, 64, { flags: MAP_SHARED, fd: open(t, GUEST) });
    expect(peek(t, 105)).to.equal(3);
  });

  TEST_F(tmpfs, "without its name shows as deleted, and goes with its last mapping", (t) => {
    const other = "/dev/shm/other";
    t.kernel.add_tmpfs_file(t.k, other);
    const fd = open(t, other);
    t.sys.ftruncate(fd, bytes(4));
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    t.sys.close(fd);
    t.kernel.unlink_tmpfs_file(t.k, other);
    touch(t, 0, 4);
    expect(names(t)).to.deep.equal([`${other} (deleted)`]);
    expect(t.sys.open(other, O_RDWR)).to.equal(-ENOENT);
    const shmem = t.kernel.meminfo(t.k).Shmem;
    t.sys.munmap(at(0), bytes(4));
    expect(t.kernel.meminfo(t.k).Shmem).to.equal(shmem - 16);
  });

  TEST_F(tmpfs, "how it was opened is what a shared mapping may do", (t) => {
    const [reader, writer] = [open(t, GUEST, O_RDONLY), open(t, GUEST, O_WRONLY)];
    const shared = (fd: number, prot: number): number =>
      t.sys.mmap(at(0), bytes(4), prot, MAP_SHARED | MAP_FIXED, fd, 0);
    expect(shared(reader, RW)).to.equal(-EACCES);
    expect(shared(writer, RW)).to.equal(-EACCES);
    expect(shared(reader, PROT_READ)).to.equal(at(0));
    expect(vmFlags(t, 0)).to.deep.equal(["rd", "mr", "me", "ms"]);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(-EACCES);
  });

  TEST_F(tmpfs, "advised, its pages stay out of CMA as a memfd's do", { differs: { base: UNKNOWN } }, (t) => {
    map(t, 0, 64, { flags: MAP_SHARED, fd: open(t, GUEST) });
    const ret = advise(t, 0, 64, MADV_NOMOVABLE);
    expect(landing(t, 0, 64)).to.equal(".".repeat(64));
    expect(ret).to.equal(0);
  });
});
