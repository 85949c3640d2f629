// SPDX-License-Identifier: GPL-2.0-only
/** msync() and mincore(): what they refuse and in which order, and what mincore tells. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_NONE } from "../../include/linux/mm.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM } from "../../uapi/errno.js";
import { MAP_PRIVATE, MAP_SHARED, MS_ASYNC, MS_INVALIDATE, MS_SYNC, PROT_READ } from "../../uapi/mman-common.js";
import { errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { at, bytes, map, mapMemfd, memfd, SHARED_ANON, type T, touch } from "./lib/memory.js";
import { failAllocations, openFile } from "./lib/tasks.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});
const empty = FIXTURE("window");

function msync(t: T, page: number, pages: number, flags: number): number {
  return t.sys.msync(at(page), bytes(pages), flags);
}

/** A device that knows nothing of writing back, mapped shared. */
function device(t: T, page: number): void {
  t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/fb0", FMODE_READ | FMODE_WRITE, VM_NONE));
  map(t, page, 2, { flags: MAP_SHARED, fd: 9 });
}

const synced: readonly ErrnoRow[] = [
  ["an unknown flag, before misaligned", (t) => t.sys.msync(at(0) + 1, 4096, 8), EINVAL],
  ["misaligned, before no length", (t) => t.sys.msync(at(0) + 1, 0, 0), EINVAL],
  ["MS_ASYNC and MS_SYNC, before no length", (t) => msync(t, 0, 0, MS_ASYNC | MS_SYNC), EINVAL],
  ["a range that wraps", (t) => t.sys.msync(at(0), -8192, MS_SYNC), ENOMEM],
  ["a length that wraps to nothing", (t) => t.sys.msync(at(100), -1, MS_SYNC), 0],
  ["no length where nothing is mapped", (t) => msync(t, 100, 0, MS_SYNC), 0],
  ["the kernel's half", (t) => t.sys.msync(-8192, 4096, MS_SYNC), ENOMEM],
  ["nothing mapped", (t) => msync(t, 100, 1, MS_SYNC), ENOMEM],
  ["a hole", (t) => msync(t, 4, 8, MS_SYNC), ENOMEM],
  [
    "to invalidate locked memory, before the hole in front of it",
    (t) => {
      t.sys.mlock(at(0), 4096);
      return msync(t, -2, 8, MS_INVALIDATE);
    },
    EBUSY,
  ],
  [
    "MS_ASYNC at a hole goes no further",
    (t) => {
      t.sys.mlock(at(0), 4096);
      return msync(t, -2, 8, MS_ASYNC);
    },
    ENOMEM,
  ],
  [
    "a hole, before locked memory behind the range",
    (t) => {
      t.sys.mlock(at(0), 4096);
      return msync(t, -2, 2, MS_INVALIDATE);
    },
    ENOMEM,
  ],
  [
    "a device, before the hole behind it",
    (t) => {
      device(t, 10);
      return msync(t, 10, 8, MS_SYNC);
    },
    EINVAL,
  ],
  [
    "a device, not to be waited for",
    (t) => {
      device(t, 10);
      return msync(t, 10, 2, MS_ASYNC);
    },
    0,
  ],
  [
    "a shared file, behind a hole",
    (t) => {
      map(t, 12, 4, { flags: MAP_SHARED, fd: openFile(t, 4) });
      return msync(t, 8, 8, MS_SYNC);
    },
    ENOMEM,
  ],
  [
    "a shared file, private memory and shared memory",
    (t) => {
      map(t, 8, 4, { flags: MAP_SHARED, fd: openFile(t, 4) });
      map(t, 12, 4, { flags: SHARED_ANON });
      return msync(t, 0, 16, MS_SYNC | MS_INVALIDATE);
    },
    0,
  ],
];

const told: readonly ErrnoRow[] = [
  ["misaligned, before beyond the last address", (t) => t.sys.mincore(2 ** 47 + 1, 4096), EINVAL],
  ["beyond the last address, before a bad vector", (t) => t.sys.mincore(at(0), 2 ** 47, null), ENOMEM],
  ["the kernel's half", (t) => t.sys.mincore(-8192, 4096), ENOMEM],
  ["a length with the highest bit set", (t) => t.sys.mincore(at(0), -4096), ENOMEM],
  [
    "no page for the answer, before nothing mapped",
    (t) => {
      failAllocations(t.k, { probability: 100 });
      return t.sys.mincore(at(100), 4096);
    },
    EAGAIN,
  ],
  ["nothing mapped, before a bad vector", (t) => t.sys.mincore(at(100), 4096, null), ENOMEM],
  ["a bad vector, before a hole behind", (t) => t.sys.mincore(at(0), bytes(9), null), EFAULT],
  ["no length", (t) => t.sys.mincore(at(100), 0, null), 0],
  ["all of the address space", (t) => t.sys.mincore(0, 2 ** 47 - 4096), ENOMEM],
];

describe("msync: refused", () => errnoTable("msync", eight, synced));
describe("mincore: refused", () => errnoTable("mincore", eight, told));

describe("mincore: what it tells", () => {
  /** What it says of pages, and what it returns. */
  function mincore(t: T, page: number, pages: number): string {
    const vec = new Uint8Array(pages).fill(7);
    const ret = t.sys.mincore(at(page), bytes(pages), vec);
    return `${vec.join("")} ${String(ret)}`;
  }

  TEST_F(eight, "pages that were written to, the zero page, and others", (t) => {
    touch(t, 1, 2);
    t.sys.load(at(4));
    expect(mincore(t, 0, 8)).to.equal("01101000 0");
  });

  TEST_F(eight, "what comes before a hole is told", (t) => {
    map(t, 10, 2);
    touch(t, 1, 1);
    expect(mincore(t, 0, 12)).to.equal(`010000007777 ${String(-ENOMEM)}`);
  });

  TEST_F(empty, "shared pages that somebody else brought in", (t) => {
    const fd = mapMemfd(t, 0, 4);
    map(t, 8, 4, { flags: MAP_SHARED, fd });
    map(t, 16, 4, { flags: MAP_PRIVATE, fd });
    touch(t, 1, 1);
    expect([mincore(t, 8, 4), mincore(t, 16, 4)]).to.deep.equal(["0100 0", "0100 0"]);
  });

  TEST_F(empty, "a memfd's pages that were never mapped", (t) => {
    const fd = memfd(t, 4);
    t.sys.pwrite(fd, 1, bytes(2));
    map(t, 0, 4, { flags: MAP_SHARED, fd });
    expect(mincore(t, 0, 4)).to.equal("0010 0");
  });

  TEST_F(empty, "more pages than a page has bytes", (t) => {
    map(t, 0, 5000, { prot: PROT_READ });
    t.sys.load(at(4500));
    const vec = new Uint8Array(5000);
    expect(t.sys.mincore(at(0), bytes(5000), vec)).to.equal(0);
    expect(vec.indexOf(1)).to.equal(4500);
    expect(vec.lastIndexOf(1)).to.equal(4500);
  });
});
