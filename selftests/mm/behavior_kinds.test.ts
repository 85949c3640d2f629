// SPDX-License-Identifier: GPL-2.0-only
/**
 * What each advice says to each kind of mapping. The expectations of memory, memfds and locks were put to a real 6.1
 * kernel; those of files and devices are read from its source.
 */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_DONTDUMP, VM_DONTEXPAND, VM_IO, VM_MIXEDMAP, VM_PFNMAP } from "../../include/linux/mm.js";
import { type vm_flags_t, vm_flags_or } from "../../include/linux/vm_flags.js";
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F, type TestOptions } from "../../harness/kselftest/index.js";
import { EACCES, EFAULT, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM, errnoNames } from "../../uapi/errno.js";
import { F_ADD_SEALS, F_SEAL_FUTURE_WRITE, MFD_ALLOW_SEALING } from "../../uapi/memfd.js";
import * as uapi from "../../uapi/mman-common.js";
import { advise, ANON, at, bytes, map, mapMemfd, memfd, type T, touch, peek, SHARED_ANON } from "./lib/memory.js";
import { openFile } from "./lib/tasks.js";

const { MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WIPEONFORK, MADV_COLD, MADV_PAGEOUT } = uapi;
const { MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_NOMOVABLE } = uapi;
const { MADV_DOFORK, MADV_DODUMP, MADV_DONTNEED_LOCKED } = uapi;

interface Kind {
  /** Page to advise. */
  readonly page: number;
  make(t: T): void;
  /** Positive errno by behavior; all others succeed. */
  readonly refuses: Readonly<Record<number, number>>;
  /** The answer to all behaviors. */
  readonly always?: number;
}

/** What is refused wherever pages are locked in memory. */
const LOCKED = {
  [MADV_DONTNEED]: EINVAL,
  [MADV_FREE]: EINVAL,
  [MADV_REMOVE]: EINVAL,
  [MADV_COLD]: EINVAL,
  [MADV_PAGEOUT]: EINVAL,
  [MADV_COLLAPSE]: EINVAL,
};
/** What is refused for every file. */
const FILE = { [MADV_FREE]: EINVAL, [MADV_WIPEONFORK]: EINVAL, [MADV_COLLAPSE]: EINVAL };
/** What is refused for memory of a device that has pages. */
const DEVICE = {
  ...FILE,
  [MADV_REMOVE]: ENODEV,
  [MADV_DOFORK]: EINVAL,
  [MADV_DODUMP]: EINVAL,
  [MADV_POPULATE_READ]: EINVAL,
  [MADV_POPULATE_WRITE]: EINVAL,
};

/** Opens something for reading and writing at descriptor 9, or as `mode` says, and maps 8 pages of it. */
function mapDevice(t: T, flags: vm_flags_t): void {
  t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/registers", FMODE_READ | FMODE_WRITE, flags));
  map(t, 0, 8, { flags: uapi.MAP_SHARED, fd: 9 });
}

const kinds: Readonly<Record<string, Kind>> = {
  "private anonymous": {
    page: 0,
    make: (t) => map(t, 0, 8),
    refuses: { [MADV_REMOVE]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  "shared anonymous": {
    page: 0,
    make(t) {
      map(t, 0, 8, { flags: SHARED_ANON });
      touch(t, 0, 1);
    },
    refuses: { [MADV_FREE]: EINVAL, [MADV_WIPEONFORK]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  "shared memfd": {
    page: 0,
    make(t) {
      mapMemfd(t, 0, 8);
      touch(t, 0, 1);
    },
    refuses: { [MADV_FREE]: EINVAL, [MADV_WIPEONFORK]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  "private memfd": {
    page: 0,
    make(t) {
      map(t, 0, 8, { flags: uapi.MAP_PRIVATE, fd: memfd(t, 8) });
      touch(t, 0, 1);
    },
    refuses: { [MADV_FREE]: EINVAL, [MADV_REMOVE]: EACCES, [MADV_WIPEONFORK]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  "read-only shared memfd": {
    page: 0,
    make(t) {
      map(t, 0, 8, { flags: uapi.MAP_SHARED, fd: memfd(t, 8), prot: uapi.PROT_READ });
      peek(t, 0);
    },
    refuses: { [MADV_FREE]: EINVAL, [MADV_WIPEONFORK]: EINVAL, [MADV_POPULATE_WRITE]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  locked: {
    page: 0,
    make(t) {
      map(t, 0, 8);
      expect(t.sys.mlock(at(0), bytes(8)), "mlock").to.equal(0);
    },
    refuses: LOCKED,
  },
  "locked when it is touched": {
    page: 0,
    make(t) {
      map(t, 0, 8);
      expect(t.sys.mlock2(at(0), bytes(8), uapi.MLOCK_ONFAULT), "mlock2").to.equal(0);
    },
    refuses: LOCKED,
  },
  "locked shared memfd": {
    page: 0,
    make(t) {
      mapMemfd(t, 0, 8);
      expect(t.sys.mlock(at(0), bytes(8)), "mlock").to.equal(0);
    },
    refuses: { ...LOCKED, [MADV_WIPEONFORK]: EINVAL },
  },
  "locked private memfd": {
    page: 0,
    make(t) {
      map(t, 0, 8, { flags: uapi.MAP_PRIVATE, fd: memfd(t, 8) });
      expect(t.sys.mlock(at(0), bytes(8)), "mlock").to.equal(0);
    },
    refuses: { ...LOCKED, [MADV_WIPEONFORK]: EINVAL },
  },
  "growing down": {
    page: 0,
    make: (t) => map(t, 0, 8, { flags: ANON | uapi.MAP_GROWSDOWN }),
    refuses: { [MADV_REMOVE]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  "write-only anonymous": {
    page: 0,
    make: (t) => map(t, 0, 8, { prot: uapi.PROT_WRITE }),
    refuses: { [MADV_REMOVE]: EINVAL, [MADV_POPULATE_READ]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  "PROT_NONE memfd": {
    page: 0,
    make: (t) => map(t, 0, 8, { flags: uapi.MAP_SHARED, fd: memfd(t, 8), prot: uapi.PROT_NONE }),
    refuses: { ...FILE, [MADV_POPULATE_READ]: EINVAL, [MADV_POPULATE_WRITE]: EINVAL },
  },
  "memfd sealed against future writes": {
    page: 0,
    make(t) {
      const fd = memfd(t, 8, MFD_ALLOW_SEALING);
      map(t, 0, 8, { flags: uapi.MAP_SHARED, fd });
      expect(t.sys.fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), "F_ADD_SEALS").to.equal(0);
    },
    refuses: { ...FILE, [MADV_REMOVE]: EPERM },
  },
  "shared file": {
    page: 0,
    make: (t) => map(t, 0, 8, { flags: uapi.MAP_SHARED, fd: openFile(t, 8) }),
    refuses: { ...FILE, [MADV_REMOVE]: EOPNOTSUPP },
  },
  "private file": {
    page: 0,
    make: (t) => map(t, 0, 8, { flags: uapi.MAP_PRIVATE, fd: openFile(t, 8) }),
    refuses: { ...FILE, [MADV_REMOVE]: EACCES },
  },
  "shared file opened for reading only": {
    page: 0,
    make(t) {
      t.k.current.files.set(9, t.kernel.open_regular(t.k, "/root/disk.img", bytes(8), FMODE_READ));
      map(t, 0, 8, { flags: uapi.MAP_SHARED, fd: 9, prot: uapi.PROT_READ });
    },
    refuses: { ...FILE, [MADV_REMOVE]: EACCES, [MADV_POPULATE_WRITE]: EINVAL },
  },
  "page frames of a device": {
    page: 0,
    make: (t) => mapDevice(t, vm_flags_or(VM_IO, VM_PFNMAP, VM_DONTEXPAND, VM_DONTDUMP)),
    refuses: {
      ...DEVICE,
      [MADV_DONTNEED]: EINVAL,
      [MADV_DONTNEED_LOCKED]: EINVAL,
      [MADV_COLD]: EINVAL,
      [MADV_PAGEOUT]: EINVAL,
    },
  },
  "pages of a device": { page: 0, make: (t) => mapDevice(t, vm_flags_or(VM_IO, VM_MIXEDMAP)), refuses: DEVICE },
  "read-only anonymous": {
    page: 0,
    make(t) {
      map(t, 0, 8, { prot: uapi.PROT_READ });
      peek(t, 0);
    },
    refuses: { [MADV_REMOVE]: EINVAL, [MADV_POPULATE_WRITE]: EINVAL, [MADV_COLLAPSE]: EINVAL },
  },
  PROT_NONE: {
    page: 0,
    make: (t) => map(t, 0, 8, { prot: uapi.PROT_NONE }),
    refuses: {
      [MADV_REMOVE]: EINVAL,
      [MADV_POPULATE_READ]: EINVAL,
      [MADV_POPULATE_WRITE]: EINVAL,
      [MADV_COLLAPSE]: EINVAL,
    },
  },
  "behind the end of a memfd": {
    page: 1,
    make: (t) => map(t, 0, 8, { flags: uapi.MAP_SHARED, fd: memfd(t, 1) }),
    refuses: {
      [MADV_FREE]: EINVAL,
      [MADV_WIPEONFORK]: EINVAL,
      [MADV_POPULATE_READ]: EFAULT,
      [MADV_POPULATE_WRITE]: EFAULT,
      [MADV_COLLAPSE]: EINVAL,
    },
  },
  unmapped: { page: 0, make: () => undefined, refuses: {}, always: ENOMEM },
};

const mapping = FIXTURE<undefined, Kind>("mapping", {
  setup(t, kind) {
    kind.make(t);
    return undefined;
  },
});
for (const [name, kind] of Object.entries(kinds)) FIXTURE_VARIANT(mapping, name, kind);

const behaviors = Object.entries(uapi)
  .filter(([name, value]) => name.startsWith("MADV_") && value < uapi.MADV_HWPOISON)
  .sort(([, a], [, b]) => a - b);

describe("madvise: what each advice says to each kind of mapping", () => {
  for (const [name, behavior] of behaviors) {
    const options: TestOptions =
      behavior === MADV_NOMOVABLE ? { differs: { base: "EINVAL: base does not know the advice" } } : {};
    TEST_F(mapping, name, options, (t) => {
      const expected = t.param.always ?? t.param.refuses[behavior] ?? 0;
      const ret = advise(t, t.param.page, 1, behavior);
      t.observe("errno", ret === 0 ? "0" : (errnoNames[-ret] ?? String(ret)));
      expect(ret).to.equal(expected === 0 ? 0 : -expected);
    });
  }
});
