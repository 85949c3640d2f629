// SPDX-License-Identifier: GPL-2.0-only
/** The advice across fork(), threads and exit. */
import { expect, FIXTURE, FIXTURE_VARIANT, TEST_F } from "../../harness/kselftest/index.js";
import {
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_KEEPONFORK,
  MADV_NOMOVABLE,
  MADV_WIPEONFORK,
} from "../../uapi/mman-common.js";
import {
  advise,
  at,
  bytes,
  CMA_BOOT,
  landing,
  map,
  mapMemfd,
  peek,
  places,
  ranges,
  SHARED_ANON,
  type T,
  touch,
  UNKNOWN,
} from "./lib/memory.js";
import { newThread } from "./lib/tasks.js";
import { locked, mapDma, openContainer } from "./lib/vfio.js";

const differs = { base: UNKNOWN };

type Make = (t: T) => void;

/** Eight pages, untouched, advised. */
const advised = FIXTURE<undefined, Make>("advised", {
  boot: CMA_BOOT,
  setup(t, make) {
    make(t);
    advise(t, 0, 8, MADV_NOMOVABLE);
    return undefined;
  },
});
FIXTURE_VARIANT(advised, "private_anonymous", (t: T) => map(t, 0, 8));
FIXTURE_VARIANT(advised, "shared_anonymous", (t: T) => map(t, 0, 8, { flags: SHARED_ANON }));
FIXTURE_VARIANT(advised, "shared_memfd", (t: T) => void mapMemfd(t, 0, 8));

describe("fork: the advice is inherited", () => {
  TEST_F(advised, "a child's pages are pinnable", { differs }, (t) => {
    t.inChild((child) => {
      touch(t, 0, 8);
      expect(places(t, 0, 8, child)).to.equal("........");
    });
  });

  TEST_F(advised, "a grandchild's pages are pinnable", { differs }, (t) => {
    t.inChild(() => {
      t.inChild((grandchild) => {
        touch(t, 0, 8);
        expect(places(t, 0, 8, grandchild)).to.equal("........");
      });
    });
  });

  TEST_F(advised, "the parent's pages are pinnable after the child has gone", { differs }, (t) => {
    t.inChild(() => expect(t.sys.munmap(at(0), bytes(8))).to.equal(0));
    expect(landing(t, 0, 8)).to.equal("........");
  });

  TEST_F(advised, "advice that a child gives is its own", (t) => {
    map(t, 16, 4);
    t.inChild(() => advise(t, 16, 4, MADV_NOMOVABLE));
    expect(landing(t, 16, 4)).to.equal("CCCC");
  });

  TEST_F(advised, "a thread's pages are pinnable", { differs }, (t) => {
    const thread = newThread(t);
    t.as(thread, () => touch(t, 0, 8));
    expect(places(t, 0, 8)).to.equal("........");
  });

  TEST_F(advised, "advice that a thread gives counts for all threads", { differs }, (t) => {
    map(t, 16, 4);
    const thread = newThread(t);
    t.as(thread, () => advise(t, 16, 4, MADV_NOMOVABLE));
    expect(landing(t, 16, 4)).to.equal("....");
  });

  TEST_F(advised, "with MADV_DONTFORK the child has nothing there", (t) => {
    expect(advise(t, 0, 8, MADV_DONTFORK)).to.equal(0);
    t.inChild((child) => {
      expect(t.sys.store(at(0), 1)).to.deep.equal({ sig: "SIGSEGV", code: 1 });
      expect(ranges(t, child)).to.equal("");
    });
  });

  TEST_F(advised, "with MADV_DONTFORK undone the child has it, advised", { differs }, (t) => {
    advise(t, 0, 8, MADV_DONTFORK);
    advise(t, 0, 8, MADV_DOFORK);
    t.inChild((child) => {
      touch(t, 0, 8);
      expect(places(t, 0, 8, child)).to.equal("........");
    });
  });
});

const anon = FIXTURE("anonymous", {
  boot: CMA_BOOT,
  setup(t) {
    map(t, 0, 8);
  },
});

describe("fork: copy on write", () => {
  TEST_F(anon, "not advised: the child's copies are movable, the parent keeps its pages", (t) => {
    touch(t, 0, 8, 3);
    t.inChild((child) => {
      touch(t, 0, 4, 4);
      expect(places(t, 0, 8, child)).to.equal("CCCCCCCC");
    });
    for (let n = 0; n < 8; n++) expect(peek(t, n)).to.equal(3);
  });

  TEST_F(
    anon,
    "advised after it was populated: the child's copies are pinnable, what it shares is not",
    { differs },
    (t) => {
      touch(t, 0, 8);
      advise(t, 0, 8, MADV_NOMOVABLE);
      t.inChild((child) => {
        touch(t, 0, 4, 4);
        expect(places(t, 0, 8, child)).to.equal("....CCCC");
      });
      expect(places(t, 0, 8)).to.equal("CCCCCCCC");
    },
  );

  TEST_F(
    anon,
    "advised after it was populated: the parent's copies are pinnable while a child lives",
    { differs },
    (t) => {
      touch(t, 0, 8);
      advise(t, 0, 8, MADV_NOMOVABLE);
      const child = t.fork();
      touch(t, 0, 8, 5);
      expect(places(t, 0, 8)).to.equal("........");
      expect(places(t, 0, 8, child)).to.equal("CCCCCCCC");
    },
  );

  TEST_F(anon, "the last owner of a page takes it over where it is", (t) => {
    touch(t, 0, 8);
    t.inChild(() => undefined);
    advise(t, 0, 8, MADV_NOMOVABLE);
    touch(t, 0, 8, 5);
    expect(places(t, 0, 8)).to.equal("CCCCCCCC");
  });

  TEST_F(anon, "a parent's write after fork does not show in the child", (t) => {
    touch(t, 0, 1, 3);
    const child = t.fork();
    touch(t, 0, 1, 4);
    expect(t.as(child, () => peek(t, 0))).to.equal(3);
  });

  TEST_F(anon, "pinned memory is copied for the child at fork, so the device sees the parent's", (t) => {
    touch(t, 0, 8, 3);
    const container = openContainer(t);
    expect(mapDma(t, container, 0, 8)).to.equal(0);
    const before = places(t, 0, 8);
    const child = t.fork();
    touch(t, 0, 8, 4);
    expect(places(t, 0, 8)).to.equal(before);
    expect(t.as(child, () => peek(t, 5))).to.equal(3);
    expect(locked(t)).to.equal(8);
  });

  // pinned pages are copied by fork() itself, not by a fault
  const early = "fork() copies pinned pages of advised memory to movable ones: it does not go through a fault (D7)";
  TEST_F(
    anon,
    "pinned and advised: the child's early copies are pinnable",
    { differs: { base: UNKNOWN, patch: early } },
    (t) => {
      touch(t, 0, 8, 3);
      const container = openContainer(t);
      expect(mapDma(t, container, 0, 8)).to.equal(0);
      advise(t, 0, 8, MADV_NOMOVABLE);
      t.inChild((child) => {
        touch(t, 0, 8, 4);
        expect(places(t, 0, 8, child)).to.equal("........");
      });
    },
  );
});

describe("fork: MADV_WIPEONFORK with the advice", () => {
  TEST_F(anon, "the child reads zeroes, and what it writes is pinnable", { differs }, (t) => {
    touch(t, 0, 8, 3);
    advise(t, 0, 8, MADV_NOMOVABLE);
    expect(advise(t, 0, 8, MADV_WIPEONFORK)).to.equal(0);
    t.inChild((child) => {
      for (let n = 0; n < 8; n++) expect(peek(t, n)).to.equal(0);
      touch(t, 0, 8, 4);
      expect(places(t, 0, 8, child)).to.equal("........");
    });
    expect(peek(t, 0)).to.equal(3);
  });

  TEST_F(anon, "undone: the child reads the parent's data", (t) => {
    touch(t, 0, 8, 3);
    advise(t, 0, 8, MADV_NOMOVABLE);
    advise(t, 0, 8, MADV_WIPEONFORK);
    advise(t, 0, 8, MADV_KEEPONFORK);
    t.inChild(() => {
      for (let n = 0; n < 8; n++) expect(peek(t, n)).to.equal(3);
    });
  });
});
