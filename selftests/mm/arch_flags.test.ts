// SPDX-License-Identifier: GPL-2.0-only
/** What else a processor keeps in the VMA flag that the patch takes: protection keys, memory tags, or nothing at all. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_NOMOVABLE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_PRIVATE,
  PKEY_DISABLE_ACCESS,
  PROT_READ,
} from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  mapMemfd,
  places,
  RW,
  type T,
  touch,
  UNKNOWN,
} from "./lib/memory.js";
import { openFile } from "./lib/tasks.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const PKUERR = "memory given the advice becomes inaccessible on a CPU with protection keys: SIGSEGV, SEGV_PKUERR (D1)";

const pku = FIXTURE<undefined, (t: T) => void>("x86_64_with_protection_keys", {
  boot: { ...CMA_BOOT, arch: "x86_64-pku" },
  setup(t, make) {
    make(t);
    advise(t, 0, 4, MADV_NOMOVABLE);
    return undefined;
  },
});
FIXTURE_VARIANT(pku, "anonymous", (t: T) => map(t, 0, 4));
FIXTURE_VARIANT(pku, "memfd", (t: T) => void mapMemfd(t, 0, 4));

describe("protection keys: advised memory", () => {
  TEST_F(pku, "can be written", { differs: { patch: PKUERR } }, (t) => {
    expect(t.sys.store(at(0), 1)).to.deep.equal({ val: 1 });
  });

  TEST_F(pku, "can be read", { differs: { patch: PKUERR } }, (t) => {
    expect(t.sys.load(at(0))).to.deep.equal({ val: 0 });
  });

  const populate = "memory given the advice cannot be populated on a CPU with protection keys: madvise() fails (D1)";
  TEST_F(pku, "can be populated for writing", { differs: { patch: populate } }, (t) => {
    expect(advise(t, 0, 4, MADV_POPULATE_WRITE)).to.equal(0);
  });

  TEST_F(pku, "can be populated for reading", { differs: { patch: populate } }, (t) => {
    expect(advise(t, 0, 4, MADV_POPULATE_READ)).to.equal(0);
  });

  // the driver's faults are not the task's own, so no key of its bars them
  TEST_F(pku, "can be mapped for DMA", (t) => {
    expect(mapDma(t, openContainer(t), 0, 4)).to.equal(0);
    expect(places(t, 0, 4)).to.equal("....");
  });

  const other =
    "the advice turns protection key 0 into key 1, which another part of the program may have allocated (D1)";
  TEST_F(pku, "is not guarded by a key that the program has for other memory", { differs: { patch: other } }, (t) => {
    const key = t.sys.pkey_alloc(0, PKEY_DISABLE_ACCESS);
    expect(key).to.equal(1);
    expect(t.sys.store(at(0), 1)).to.deep.equal({ val: 1 });
  });

  TEST_F(
    pku,
    "memory with key 2 keeps it",
    {
      differs: { patch: "the advice changes the protection key of memory from 2 to 3, which is not allocated (D1)" },
    },
    (t) => {
      expect([t.sys.pkey_alloc(0, 0), t.sys.pkey_alloc(0, 0)]).to.deep.equal([1, 2]);
      map(t, 8, 4);
      expect(t.sys.pkey_mprotect(at(8), bytes(4), RW, 2)).to.equal(0);
      touch(t, 8, 1);
      advise(t, 8, 4, MADV_NOMOVABLE);
      expect(t.sys.store(at(9), 1)).to.deep.equal({ val: 1 });
    },
  );

  const barred = "memory given protection key 1 is kept out of CMA although nobody asked for that (D2)";
  TEST_F(pku, "memory with key 1 is as movable as any other", { differs: { patch: barred } }, (t) => {
    expect(t.sys.pkey_alloc(0, 0)).to.equal(1);
    map(t, 8, 4);
    expect(t.sys.pkey_mprotect(at(8), bytes(4), RW, 1)).to.equal(0);
    expect(landing(t, 8, 4)).to.equal("CCCC");
  });

  TEST_F(pku, "memory with key 1 that is not accessible: SEGV_PKUERR, as ever", (t) => {
    expect(t.sys.pkey_alloc(0, PKEY_DISABLE_ACCESS)).to.equal(1);
    map(t, 8, 4);
    expect(t.sys.pkey_mprotect(at(8), bytes(4), RW, 1)).to.equal(0);
    expect(t.sys.store(at(8), 1)).to.deep.equal({ sig: "SIGSEGV", code: 4 });
  });

  const kept =
    "mprotect() does not give access back to advised memory on a CPU with protection keys: it keeps the key (D1)";
  TEST_F(pku, "is accessible after mprotect", { differs: { patch: kept } }, (t) => {
    expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    expect(t.sys.store(at(0), 1)).to.deep.equal({ val: 1 });
  });

  TEST_F(pku, "memory that was not advised is accessible", (t) => {
    map(t, 8, 4);
    expect(landing(t, 8, 4)).to.equal("CCCC");
  });
});

const x86 = FIXTURE("x86_64", {
  boot: CMA_BOOT,
  setup(t) {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
  },
});

const DROPPED = "mprotect() silently drops the advice on x86-64: later faults give movable pages again (D2)";

describe("mprotect and the advice", () => {
  TEST_F(x86, "read-only and back: pages are pinnable", { differs: { base: UNKNOWN, patch: DROPPED } }, (t) => {
    expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    expect(landing(t, 0, 4)).to.equal("....");
  });

  TEST_F(
    x86,
    "to the permissions that it has: pages are pinnable",
    { differs: { base: UNKNOWN, patch: DROPPED } },
    (t) => {
      expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
      expect(landing(t, 0, 4)).to.equal("....");
    },
  );

  TEST_F(x86, "of a part: the rest is pinnable", { differs: { base: UNKNOWN } }, (t) => {
    expect(t.sys.mprotect(at(2), bytes(2), PROT_READ)).to.equal(0);
    expect(landing(t, 0, 2)).to.equal("..");
  });

  TEST_F(x86, "pages that were populated before stay where they are", { differs: { base: UNKNOWN } }, (t) => {
    touch(t, 0, 4);
    expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    touch(t, 0, 4);
    expect(places(t, 0, 4)).to.equal("....");
  });

  TEST_F(x86, "advised again after mprotect: pages are pinnable", { differs: { base: UNKNOWN } }, (t) => {
    expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
    expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    advise(t, 0, 4, MADV_NOMOVABLE);
    expect(landing(t, 0, 4)).to.equal("....");
  });
});

/** Machines whose processors have no use of their own for the flag. */
const free = FIXTURE<undefined, string>("on");
for (const arch of ["x86_64", "arm64", "riscv64"]) FIXTURE_VARIANT(free, arch, arch, { boot: { ...CMA_BOOT, arch } });

describe("architectures without a use of their own for the flag", () => {
  TEST_F(free, "advised memory is accessible and pinnable", { differs: { base: UNKNOWN } }, (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
    expect(landing(t, 0, 4)).to.equal("....");
  });

  TEST_F(free, "memory that is not advised is movable", (t) => {
    map(t, 0, 4);
    expect(landing(t, 0, 4)).to.equal("CCCC");
  });
});

const on = FIXTURE("on");

describe("architectures where the flag is something else, or is not there", () => {
  const lost = "the advice succeeds and does nothing on 32-bit, where a VMA has no flag 32: pages stay movable (D5)";
  TEST_F(
    on,
    "i386: advised memory is pinnable",
    { boot: { ...CMA_BOOT, arch: "i386" }, differs: { base: UNKNOWN, patch: lost } },
    (t) => {
      map(t, 0, 4);
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(landing(t, 0, 4)).to.equal("....");
    },
  );

  for (const arch of ["riscv64", "arm64"]) {
    TEST_F(
      on,
      `${arch}: mprotect keeps the advice`,
      { boot: { ...CMA_BOOT, arch }, differs: { base: UNKNOWN } },
      (t) => {
        map(t, 0, 4);
        advise(t, 0, 4, MADV_NOMOVABLE);
        expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
        expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
        expect(landing(t, 0, 4)).to.equal("....");
      },
    );
  }

  const mte =
    "memory given the advice shows as tagged (mt) in smaps on arm64 with memory tagging: the flag is VM_MTE (D1)";
  TEST_F(
    on,
    "arm64 with MTE: advised memory is not tagged",
    { boot: { ...CMA_BOOT, arch: "arm64-mte" }, differs: { patch: mte } },
    (t) => {
      map(t, 0, 4);
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(t.smaps()[0]?.VmFlags).to.not.include("mt");
    },
  );

  const mprotect = "mprotect() of an advised file mapping fails with EINVAL on arm64 with memory tagging (D1)";
  TEST_F(
    on,
    "arm64 with MTE: an advised file mapping can be made read-only",
    { boot: { ...CMA_BOOT, arch: "arm64-mte" }, differs: { patch: mprotect } },
    (t) => {
      map(t, 0, 4, { flags: MAP_PRIVATE, fd: openFile(t, 4) });
      advise(t, 0, 4, MADV_NOMOVABLE);
      expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
    },
  );
});
