// SPDX-License-Identifier: GPL-2.0-only
/** Every way in which a fault gets a page: with the advice never one where no long-term pin may be. */
import { PF_MEMALLOC_PIN } from "../../include/linux/sched.js";
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F, type BootOptions } from "../../harness/kselftest/index.js";
import { EFAULT, ENOMEM } from "../../uapi/errno.js";
import {
  MADV_DONTNEED,
  MADV_NOMOVABLE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_REMOVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
} from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  map,
  mapMemfd,
  memfd,
  MOVABLE_BOOT,
  peek,
  places,
  RW,
  SHARED_ANON,
  type T,
  touch,
  UNKNOWN,
} from "./lib/memory.js";
import { failAllocations, openFile } from "./lib/tasks.js";

/** Four pages are mapped and, where `fault` needs it, made ready; then the advice; then the fault. */
interface Way {
  before(t: T): void;
  fault(t: T): void;
}

const write = (t: T): void => touch(t, 0, 4);
const read = (t: T): void => [0, 1, 2, 3].forEach((n) => peek(t, n));

const ways: Readonly<Record<string, Way>> = {
  "write to anonymous memory": { before: (t) => map(t, 0, 4), fault: write },
  "write after a read (copy of the zero page)": {
    before(t) {
      map(t, 0, 4);
      read(t);
    },
    fault: write,
  },
  "write to shared anonymous memory": { before: (t) => map(t, 0, 4, { flags: SHARED_ANON }), fault: write },
  "write to a shared memfd": { before: (t) => void mapMemfd(t, 0, 4), fault: write },
  "read from a shared memfd": { before: (t) => void mapMemfd(t, 0, 4), fault: read },
  "write to a private memfd": { before: (t) => map(t, 0, 4, { flags: MAP_PRIVATE, fd: memfd(t, 4) }), fault: write },
  "write to a private memfd that has its pages": {
    before(t) {
      const fd = mapMemfd(t, 8, 4);
      touch(t, 8, 4);
      map(t, 0, 4, { flags: MAP_PRIVATE, fd });
    },
    fault: write,
  },
  "write after a read from a private memfd": {
    before(t) {
      map(t, 0, 4, { flags: MAP_PRIVATE, fd: memfd(t, 4) });
      read(t);
    },
    fault: write,
  },
  "write to a private file": { before: (t) => map(t, 0, 4, { flags: MAP_PRIVATE, fd: openFile(t, 4) }), fault: write },
  "MADV_POPULATE_WRITE of anonymous memory": {
    before: (t) => map(t, 0, 4),
    fault: (t) => expect(advise(t, 0, 4, MADV_POPULATE_WRITE)).to.equal(0),
  },
  "MADV_POPULATE_WRITE of a memfd": {
    before: (t) => void mapMemfd(t, 0, 4),
    fault: (t) => expect(advise(t, 0, 4, MADV_POPULATE_WRITE)).to.equal(0),
  },
  "MADV_POPULATE_READ of a memfd": {
    before: (t) => void mapMemfd(t, 0, 4),
    fault: (t) => expect(advise(t, 0, 4, MADV_POPULATE_READ)).to.equal(0),
  },
  "mlock of anonymous memory": {
    before: (t) => map(t, 0, 4),
    fault: (t) => expect(t.sys.mlock(at(0), bytes(4))).to.equal(0),
  },
  "write after MADV_DONTNEED": {
    before(t) {
      map(t, 0, 4);
      write(t);
    },
    fault(t) {
      expect(advise(t, 0, 4, MADV_DONTNEED)).to.equal(0);
      write(t);
    },
  },
  "write to a memfd after MADV_REMOVE": {
    before(t) {
      mapMemfd(t, 0, 4);
      write(t);
    },
    fault(t) {
      expect(advise(t, 0, 4, MADV_REMOVE)).to.equal(0);
      write(t);
    },
  },
  "write after mprotect made it writable": {
    before(t) {
      map(t, 0, 4, { prot: PROT_READ });
      expect(t.sys.mprotect(at(0), bytes(4), RW)).to.equal(0);
    },
    fault: write,
  },
};

const machine = FIXTURE<undefined, BootOptions>("in");
FIXTURE_VARIANT(machine, "CMA", CMA_BOOT, { boot: CMA_BOOT });
FIXTURE_VARIANT(machine, "ZONE_MOVABLE", MOVABLE_BOOT, { boot: MOVABLE_BOOT });

describe("faults: where pages come from", () => {
  for (const [title, way] of Object.entries(ways)) {
    TEST_F(machine, `${title}, not advised: movable`, (t) => {
      way.before(t);
      way.fault(t);
      expect(places(t, 0, 4)).to.match(/^(CCCC|MMMM)$/);
    });

    TEST_F(machine, `${title}, advised: where a pin may be`, { differs: { base: UNKNOWN } }, (t) => {
      way.before(t);
      advise(t, 0, 4, MADV_NOMOVABLE);
      way.fault(t);
      expect(places(t, 0, 4)).to.equal("....");
    });
  }

  TEST_F(machine, "read of anonymous memory, advised: the zero page, as ever", (t) => {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
    read(t);
    expect(places(t, 0, 4)).to.equal("zzzz");
  });
});

const advised = FIXTURE("advised", {
  boot: CMA_BOOT,
  setup(t) {
    map(t, 0, 4);
    advise(t, 0, 4, MADV_NOMOVABLE);
  },
});

/** Was PF_MEMALLOC_PIN set at each allocation that a run makes? */
function pinBits(t: T, run: () => void): boolean[] {
  const seen: boolean[] = [];
  failAllocations(t.k, { probability: 0 });
  const spy = t.sandbox.stub(t.k.fail_page_alloc, "should_fail").callsFake((k) => {
    seen.push((k.current.flags & PF_MEMALLOC_PIN) !== 0);
    return false;
  });
  run();
  spy.restore();
  return seen;
}

const pinned = (t: T): boolean => (t.k.current.flags & PF_MEMALLOC_PIN) !== 0;

describe("faults: PF_MEMALLOC_PIN", () => {
  const differs = { base: "base does not know the advice (EINVAL), so the flag is not set" };

  TEST_F(advised, "set for the fault, and only for it", { differs }, (t) => {
    const seen = pinBits(t, () => touch(t, 0, 1));
    expect(seen).to.not.be.empty;
    expect(seen).to.not.include(false);
    expect(pinned(t), "afterwards").to.equal(false);
  });

  TEST_F(advised, "not set for other memory of the same task", (t) => {
    map(t, 8, 1, { flags: SHARED_ANON });
    const seen = pinBits(t, () => touch(t, 8, 1));
    expect(seen).to.not.be.empty;
    expect(seen).to.not.include(true);
  });

  TEST_F(advised, "not set by the advice itself", (t) => {
    advise(t, 1, 1, MADV_NOMOVABLE);
    expect(pinned(t)).to.equal(false);
  });

  TEST_F(advised, "a task that has it already keeps it", (t) => {
    t.k.current.flags |= PF_MEMALLOC_PIN;
    touch(t, 0, 4);
    expect(pinned(t)).to.equal(true);
    t.k.current.flags &= ~PF_MEMALLOC_PIN;
  });

  const failing: readonly [string, (t: T) => void][] = [
    [
      "SIGBUS behind the end of a memfd",
      (t) => {
        map(t, 0, 4, { flags: MAP_SHARED, fd: memfd(t, 1) });
        advise(t, 0, 4, MADV_NOMOVABLE);
        expect(t.sys.store(at(2), 1)).to.deep.equal({ sig: "SIGBUS", code: 2 });
      },
    ],
    [
      "EFAULT from MADV_POPULATE_READ behind the end of a memfd",
      (t) => {
        map(t, 0, 4, { flags: MAP_SHARED, fd: memfd(t, 1) });
        advise(t, 0, 4, MADV_NOMOVABLE);
        expect(advise(t, 0, 4, MADV_POPULATE_READ)).to.equal(-EFAULT);
      },
    ],
    [
      "no memory for an anonymous page",
      (t) => {
        touch(t, 0, 1);
        failAllocations(t.k, { probability: 100 });
        expect(advise(t, 1, 1, MADV_POPULATE_WRITE)).to.equal(-ENOMEM);
      },
    ],
    [
      "no memory for a page table",
      (t) => {
        failAllocations(t.k, { probability: 100 });
        expect(advise(t, 0, 1, MADV_POPULATE_READ)).to.equal(-ENOMEM);
      },
    ],
    [
      "no memory for a page of a memfd",
      (t) => {
        mapMemfd(t, 0, 4);
        touch(t, 0, 1);
        advise(t, 0, 4, MADV_NOMOVABLE);
        failAllocations(t.k, { probability: 100 });
        expect(advise(t, 1, 1, MADV_POPULATE_WRITE)).to.equal(-ENOMEM);
      },
    ],
    [
      "a write to read-only memory",
      (t) => {
        expect(t.sys.mprotect(at(0), bytes(4), PROT_READ)).to.equal(0);
        advise(t, 0, 4, MADV_NOMOVABLE);
        expect(t.sys.store(at(0), 1)).to.deep.equal({ sig: "SIGSEGV", code: 2 });
      },
    ],
  ];
  for (const [title, run] of failing) {
    TEST_F(advised, `given back after ${title}`, (t) => {
      run(t);
      t.k.fail_page_alloc.probability = 0;
      expect(pinned(t)).to.equal(false);
      map(t, 16, 4);
      touch(t, 16, 4);
      expect(places(t, 16, 4), "other memory").to.equal("CCCC");
    });
  }
});
