// SPDX-License-Identifier: GPL-2.0-only
/** Who is to blame for a pin that fails: each cause is named, with the call at which it came, and what counted it. */
import { attributionWords, culprits } from "../../harness/attribution.js";
import { expect, FIXTURE, TEST, TEST_F } from "../../harness/kselftest/index.js";
import type { pin_failure } from "../../include/linux/pin_report.js";
import type { MigrateFaultKind } from "../../lib/fault-inject.js";
import { ENOMEM } from "../../uapi/errno.js";
import { MADV_POPULATE_WRITE, MAP_SHARED, MLOCK_ONFAULT } from "../../uapi/mman-common.js";
import { advise, at, CMA_BOOT, frameOf, map, mapMemfd, type T, touch } from "./lib/memory.js";
import { atYield, failAllocations, openFile } from "./lib/tasks.js";
import { HUGE, mapHuge, failHugeAllocations, THP_BOOT } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const PAGES = 4;
const GUEST_BOOT = { ...CMA_BOOT, cpus: 4 };
/** The call of the fixture that brings the guest's pages. */
const POPULATED = { nr: 4, name: "madvise", pid: 1 };

/** A guest of four pages of memfd in CMA that are in use, so that the pin itself puts none in a batch. */
const guest = FIXTURE("guest", {
  boot: GUEST_BOOT,
  setup(t) {
    mapMemfd(t, 0, PAGES);
    for (let n = 0; n < 2; n++) expect(advise(t, 0, PAGES, MADV_POPULATE_WRITE)).to.equal(0);
    return openContainer(t);
  },
});

/** What stopped the last pin; that it has, and its holders come to the page's references, is checked. */
function failure(t: T): pin_failure {
  const { first } = t.kernel.pin_report_of(t.k);
  if (first === null) throw new Error("the pin has not failed");
  return first;
}

/** The guest is pinned while something is in the way of its second page. */
function pinAgainst(t: T, container: number, kind: MigrateFaultKind): pin_failure {
  t.k.fail_migrate.add({ pfn: frameOf(t, 1), kind, attempts: 10 }).arm(t.k);
  expect(mapDma(t, container, 0, PAGES)).to.equal(-ENOMEM);
  return failure(t);
}

describe("pin attribution: holders of a reference", () => {
  for (const [kind, name, where] of [
    ["reference", "get_user_pages_fast", "CPU 3"],
    ["page_cache_drop", "page cache drop", "CPU 3"],
    ["lru_batch", "LRU batch", "CPU 3, lru_deactivate"],
    ["mlock_batch", "mlock batch", "CPU 3"],
  ] as const) {
    TEST_F(guest, `${name}: page, zone, pageblock, holder, pass, counters`, (t) => {
      const pfn = frameOf(t, 1);
      const f = pinAgainst(t, t.self, kind);
      t.k.fail_migrate.clear(t.k);
      expect([f.reason, f.pfn, f.zone, f.pageblock, f.pass, f.round]).to.deep.equal([
        "unexpected reference",
        pfn,
        "DMA32",
        "CMA",
        10,
        1,
      ]);
      expect([f.refcount, f.expected]).to.deep.equal([3, 2]);
      expect(culprits(f).map((h) => [h.kind, h.refs, h.detail])).to.deep.equal([[name, 1, where]]);
      expect(f.counters).to.include({ pgmigrate_fail: 1, pgmigrate_success: PAGES - 1 });
      expect(f.call).to.include({ name: "ioctl", pid: 1 });
    });

    TEST_F(guest, `${name}: the others hold what migration reckons with`, (t) => {
      const f = pinAgainst(t, t.self, kind);
      t.k.fail_migrate.clear(t.k);
      const others = f.holders.filter((h) => h.expected).map((h) => [h.kind, h.refs]);
      expect(others).to.deep.equal([
        ["page table", 1],
        ["page cache", 1],
        ["isolated by the migration", 1],
      ]);
      expect(f.holders[0]!.detail).to.equal(`task 1 at 0x${at(1).toString(16)}`);
      expect(f.holders.slice(0, 2).map((h) => h.call)).to.deep.equal([POPULATED, POPULATED]);
    });
  }

  TEST_F(guest, "in words", (t) => {
    const pfn = frameOf(t, 1);
    t.k.fail_migrate.add({ nth: 2, kind: "reference", attempts: 10 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    const f = failure(t);
    t.k.fail_migrate.clear(t.k);
    const call = `call ${t.k.calls.made}, ioctl of task 1`;
    const populated = `call ${POPULATED.nr}, madvise of task 1`;
    expect(
      attributionWords(f, -ENOMEM)
        .replace(/; moved.*/, "")
        .replace(/inode \d+/, "inode N"),
    ).to.equal(
      `ENOMEM: unexpected reference, page ${pfn} in a CMA pageblock of zone DMA32; 3 references, 2 expected; ` +
        `by get_user_pages_fast (CPU 3) since ${call}; beside page table (task 1 at 0x10001000) since ${populated} and ` +
        `page cache (inode N) since ${populated} and isolated by the migration; ` +
        `given up in pass 10 of round 1, ${call}`,
    );
  });
});

describe("pin attribution: at which call the reference came", () => {
  // v6.1: the pin marks a page accessed that is not on its list yet; where it is, the page goes to the pin's own batch
  TEST("the pin's own: a guest that has only just been populated", { boot: GUEST_BOOT }, (t) => {
    const container = openContainer(t);
    mapMemfd(t, 0, 1);
    advise(t, 0, 1, MADV_POPULATE_WRITE);
    expect(mapDma(t, container, 0, 1)).to.equal(-ENOMEM);
    const f = failure(t);
    expect(culprits(f).map((h) => [h.kind, h.detail, h.call])).to.deep.equal([
      ["LRU batch", "CPU 0, activate", f.call],
    ]);
  });

  TEST_F(guest, "a page fault of another process on another CPU, while the pin sleeps", (t) => {
    const child = t.fork();
    const onCpu2 = (run: () => unknown): unknown => {
      t.k.cpu = 2;
      const ret = t.as(child, run);
      t.k.cpu = 0;
      return ret;
    };
    expect(onCpu2(() => t.sys.mlock2(at(1), 4096, MLOCK_ONFAULT))).to.equal(0);
    const met = atYield(t, "migrate_pages", () => onCpu2(() => t.sys.load(at(1))));
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    expect(met.count).to.be.greaterThan(0);
    const f = failure(t);
    const call = { nr: f.call!.nr + 1, name: "page fault", pid: child.pid };
    expect(culprits(f).map((h) => [h.kind, h.detail, h.call])).to.deep.equal([["mlock batch", "CPU 2", call]]);
    const tables = f.holders.filter((h) => h.kind === "page table").map((h) => [h.refs, h.detail, h.call]);
    expect(tables).to.deep.equal([
      [1, "task 1 at 0x10001000", POPULATED],
      [1, `task ${child.pid} at 0x10001000`, call],
    ]);
    t.as(child, () => t.sys.exit(0));
  });

  TEST_F(guest, "a call that sleeps: the pin of another process, which has isolated the pages", (t) => {
    const child = t.fork();
    const container = t.as(child, () => openContainer(t));
    const made: number[] = [];
    const seen: pin_failure[] = [];
    t.k.hooks.yieldPoint = (point, { round }) => {
      if (point === "migrate_pages" && made.push(t.k.calls.made) === 1) {
        t.as(child, () => mapDma(t, container, 0, PAGES));
      }
      if (point !== "__gup_longterm_locked" || round !== 5) return undefined;
      t.kernel.pinStuck(t.k, "not isolated", t.kernel.pin_report_of(t.k).not_isolated);
      seen.push(failure(t));
      throw new Error("goes round for ever");
    };
    expect(() => mapDma(t, t.self, 0, PAGES)).to.throw("goes round for ever");
    expect(seen.map(culprits)).to.deep.equal([
      [{ kind: "sleeping call", refs: 1, expected: false, detail: "", call: { nr: made[0], name: "ioctl", pid: 1 } }],
    ]);
    expect(attributionWords(seen[0]!)).to.include(
      `; by sleeping call: call ${String(made[0])}, ioctl of task 1; beside page table`,
    );
    t.drop();
  });

  TEST_F(guest, "another long-term pin: the mapping that made it", (t) => {
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
    const { made } = t.k.calls;
    touch(t, 0, 1);
    const [pin] = t.kernel.pageHolders(t.k, frameOf(t, 2)).filter((h) => h.kind === "pin");
    expect(pin).to.deep.equal({
      kind: "pin",
      refs: 1024,
      expected: false,
      detail: "VFIO mapping of task 1 at iova 0x0",
      call: { nr: made, name: "ioctl", pid: 1 },
    });
  });
});

describe("pin attribution: what holds no reference", () => {
  TEST_F(guest, "an allocation that is made to fail", (t) => {
    failAllocations(t.k, { nth: 3 });
    expect(mapDma(t, t.self, 0, PAGES)).to.equal(-ENOMEM);
    t.k.current.fail_nth = 0;
    const f = failure(t);
    expect([f.reason, f.pass, f.pageblock]).to.deep.equal(["no target page", 1, "CMA"]);
    expect(culprits(f)).to.deep.equal([
      { kind: "failing allocation", refs: 0, expected: false, detail: "injected", call: f.call },
    ]);
    expect(f.counters).to.include({ pgmigrate_success: 1, pgmigrate_fail: 1 });
  });

  TEST_F(guest, "the page lock, of a page that is slept for for ever", (t) => {
    t.k.fail_migrate.add({ pfn: frameOf(t, 1), kind: "lock", attempts: Infinity }).arm(t.k);
    expect(() => mapDma(t, t.self, 0, PAGES)).to.throw("folio_lock");
    const held = t.kernel.pageHolders(t.k, frameOf(t, 1)).filter((h) => !h.expected);
    expect(held.map((h) => [h.kind, h.refs])).to.include.deep.members([["page lock", 1]]);
    t.drop();
  });

  for (const [kind, name] of [
    ["isolate", "isolation"],
    ["cma_alloc", "CMA allocation"],
  ] as const) {
    TEST_F(guest, `${name}: a pin that goes round for ever`, (t) => {
      const pfn = frameOf(t, 1);
      t.k.fail_migrate.add({ pfn, kind, attempts: 10 }).arm(t.k);
      const seen: pin_failure[] = [];
      t.k.hooks.yieldPoint = (point, { round }) => {
        if (point !== "__gup_longterm_locked" || round !== 5) return undefined;
        t.kernel.pinStuck(t.k, "not isolated", t.kernel.pin_report_of(t.k).not_isolated);
        seen.push(failure(t));
        return undefined;
      };
      expect(mapDma(t, t.self, 0, PAGES)).to.equal(0);
      expect(seen.map((f) => [f.reason, f.pfn, culprits(f).map((h) => h.kind)])).to.deep.equal([
        ["not isolated", pfn, [name]],
      ]);
    });
  }

  TEST("writeback: named, with no reference", { boot: GUEST_BOOT }, (t) => {
    map(t, 0, 1, { flags: MAP_SHARED, fd: openFile(t, 1) });
    touch(t, 0, 1);
    const pfn = frameOf(t, 0);
    t.k.fail_migrate.add({ pfn, kind: "writeback", attempts: 1 }).arm(t.k);
    const held = t.kernel.pageHolders(t.k, pfn).filter((h) => h.kind === "writeback");
    expect(held.map((h) => h.refs)).to.deep.equal([0]);
    t.k.fail_migrate.clear(t.k);
  });

  const boot = { ...THP_BOOT, ...CMA_BOOT };
  TEST("a huge page that cannot be split: the allocation, and who holds it", { boot }, (t) => {
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1);
    const container = openContainer(t);
    t.k.fail_migrate.add({ pfn: frameOf(t, 0), kind: "reference", attempts: 20 }).arm(t.k);
    failHugeAllocations(t);
    expect(mapDma(t, container, 0, HUGE)).to.equal(-ENOMEM);
    const f = failure(t);
    t.k.fail_migrate.clear(t.k);
    expect(f.reason).to.equal("huge page not split");
    expect(culprits(f).map((h) => h.kind)).to.deep.equal(["failing allocation", "get_user_pages_fast"]);
    expect(f.counters).to.include({ thp_migration_fail: 1, thp_split_page_failed: 1 });
  });

  TEST_F(guest, "no page: the address", (t) => {
    expect(mapDma(t, t.self, 0, PAGES + 1)).to.be.below(0);
    const f = failure(t);
    expect([f.reason, f.pfn, f.address, f.holders]).to.deep.equal(["no VMA", 0, at(PAGES), []]);
    expect(attributionWords(f)).to.match(/^no VMA at address 0x10004000; /);
  });
});
