// SPDX-License-Identifier: GPL-2.0-only
/** What each advice says to each kind of mapping. The expectations were put to a real 6.1 kernel. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F, type TestOptions } from "../../harness/kselftest/index.js";
import { EACCES, EFAULT, EINVAL, ENOMEM, errnoNames } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { advise, map, mapMemfd, memfd, type T, touch, peek, SHARED_ANON } from "./lib/memory.js";

const { MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WIPEONFORK, MADV_COLD, MADV_PAGEOUT } = uapi;
const { MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_NOMOVABLE } = uapi;

interface Kind {
  /** Page to advise. */
  readonly page: number;
  make(t: T): void;
  /** Positive errno by behavior; all others succeed. */
  readonly refuses: Readonly<Record<number, number>>;
  /** The answer to all behaviors. */
  readonly always?: number;
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
      expect(t.sys.mlock(0x10000000, 0x8000), "mlock").to.equal(0);
    },
    refuses: {
      [MADV_DONTNEED]: EINVAL,
      [MADV_FREE]: EINVAL,
      [MADV_REMOVE]: EINVAL,
      [MADV_COLD]: EINVAL,
      [MADV_PAGEOUT]: EINVAL,
      [MADV_COLLAPSE]: EINVAL,
    },
  },
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
