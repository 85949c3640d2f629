// SPDX-License-Identifier: GPL-2.0-only
/**
 * A memory block goes offline: what is in it has to move, and nobody remembers why it was there. An advised guest's pages may
 * go to CMA, or to ZONE_MOVABLE, and a pin must move them again.
 */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { MIGRATE_ISOLATE } from "../../include/linux/mmzone.js";
import { PG_table } from "../../include/linux/page-flags.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EBUSY, EINTR, EINVAL } from "../../uapi/errno.js";
import { MADV_NOMOVABLE } from "../../uapi/mman-common.js";
import { errnoTable } from "./lib/errnos.js";
import { cat, echo } from "./lib/files.js";
import { advise, frameOf, landing, map, peek, places, type T, touch, UNKNOWN } from "./lib/memory.js";
import { atYield } from "./lib/tasks.js";
import { events, HUGE, mapHuge } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

const MIB = 1 << 20;
const BLOCK = 4 * MIB;
const BLOCK_PAGES = BLOCK / 4096;
const PAGES = 64;
const DIR = "/sys/devices/system/memory";
const differs = { base: UNKNOWN };
const config = { memory_block_size: BLOCK, thp_enabled: "madvise" } as const;

const state = (t: T, block: number, text: string): number => echo(t, text, `${DIR}/memory${block}/state`);
const shown = (t: T, block: number): string => {
  const said = ["state", "valid_zones"].map((name) => cat(t, `${DIR}/memory${block}/${name}`));
  return said.join(", ");
};
const blockOf = (t: T, page: number): number => Math.floor(frameOf(t, page) / BLOCK_PAGES);
/** Pages that the zones have, in all. */
const managed = (t: T): number => t.k.zones.reduce((n, z) => n + z.managed_pages, 0);
const moved = (t: T): number => events(t, "pgmigrate_success")["pgmigrate_success"]!;

/** A block that has a page of page tables. */
function unmovableBlock(t: T): number {
  for (let pfn = 0; pfn < t.k.mem.max_pfn; pfn++) {
    const s = t.k.mem.sections[pfn >>> 12];
    if (s !== undefined && s.flags[pfn & PFN_SECTION_MASK]! & PG_table) return Math.floor(pfn / BLOCK_PAGES);
  }
  throw new Error("there are no page tables");
}

/** Maps pages, and touches them with contents that can be told apart. */
function populate(t: T, page: number, pages: number): void {
  map(t, page, pages);
  for (let n = 0; n < pages; n++) touch(t, page + n, 1, (n % 255) + 1);
}

const plain = FIXTURE("plain", { boot: { memory: 64 * MIB, config } });
const cma = FIXTURE("cma", { boot: { memory: 64 * MIB, cma: 32 * MIB, config } });
const movable = FIXTURE("movable", { boot: { memory: 64 * MIB, movablecore: 16 * MIB, config } });
const ragged = FIXTURE("ragged", { boot: { memory: 62 * MIB, config } });

describe("memory offline: what cannot be", () => {
  errnoTable("write", plain, [
    ["no such state", (t) => state(t, 8, "asleep"), EINVAL],
    ["online already", (t) => state(t, 8, "online"), EINVAL],
    ["holes: the first block", (t) => state(t, 0, "offline"), EINVAL],
    ["page tables are in it", (t) => state(t, (populate(t, 0, 1), unmovableBlock(t)), "offline"), EBUSY],
    ["a signal is pending", (t) => ((t.k.current.fatal_signal = 9), state(t, 8, "offline")), EINTR],
    ["offline already", (t) => (state(t, 8, "offline"), state(t, 8, "offline")), EINVAL],
    ["an empty block", (t) => state(t, 8, "offline"), 0],
  ]);
  errnoTable("write", ragged, [["the last block is half a block", (t) => state(t, 15, "offline"), EINVAL]]);
  errnoTable("write", cma, [["CMA", (t) => state(t, 12, "offline"), EBUSY]]);

  TEST_F(plain, "nothing is left isolated by those that failed", (t) => {
    populate(t, 0, PAGES);
    expect(state(t, unmovableBlock(t), "offline")).to.equal(-EBUSY);
    expect([...t.k.mem.pageblock_flags].includes(MIGRATE_ISOLATE)).to.equal(false);
    expect(t.k.zones.map((z) => z.nr_isolate_pageblock)).to.deep.equal(t.k.zones.map(() => 0));
  });
});

describe("memory offline: and back", () => {
  TEST_F(plain, "the machine has the less memory; online again it has all of it, in the same zone", (t) => {
    const before = managed(t);
    expect(shown(t, 8)).to.equal("online, DMA32");
    expect(state(t, 8, "offline")).to.equal(0);
    expect([managed(t) - before, shown(t, 8)]).to.deep.equal([-BLOCK_PAGES, "offline, DMA32 Movable"]);
    expect(t.kernel.meminfo(t.k).MemTotal).to.equal(4 * managed(t));
    expect(state(t, 8, "online")).to.equal(0);
    expect([managed(t), shown(t, 8)]).to.deep.equal([before, "online, DMA32"]);
  });

  TEST_F(plain, "the last block: its zone gets shorter, and the block would be of ZONE_NORMAL now", (t) => {
    const zone = t.k.zones[1]!;
    const end = zone.zone_start_pfn + zone.spanned_pages;
    expect(state(t, 14, "offline")).to.equal(0);
    expect(state(t, 15, "offline")).to.equal(0);
    expect(zone.zone_start_pfn + zone.spanned_pages).to.equal(end - 2 * BLOCK_PAGES);
    expect(shown(t, 15)).to.equal("offline, Normal Movable");
    expect(state(t, 15, "online")).to.equal(0);
    expect(shown(t, 15)).to.equal("online, Normal");
    expect(landing(t, (map(t, 0, PAGES), 0), PAGES)).to.equal(".".repeat(PAGES));
    expect(blockOf(t, 0)).to.equal(15);
  });

  TEST_F(movable, "all of ZONE_MOVABLE goes: ordinary allocations take over", (t) => {
    populate(t, 0, PAGES);
    expect(places(t, 0, PAGES)).to.equal("M".repeat(PAGES));
    for (const block of [12, 13, 14, 15]) expect(state(t, block, "offline")).to.equal(0);
    expect(places(t, 0, PAGES)).to.equal(".".repeat(PAGES));
    expect([peek(t, 0), peek(t, PAGES - 1)]).to.deep.equal([1, PAGES]);
    expect(t.k.zones.map((z) => z.spanned_pages).at(-1)).to.equal(0);
  });

  TEST_F(plain, "huge pages go as a whole", (t) => {
    mapHuge(t, 0, HUGE);
    touch(t, 0, 1, 7);
    expect(state(t, blockOf(t, 0), "offline")).to.equal(0);
    expect([events(t, "thp_migration_success"), peek(t, 0)]).to.deep.equal([{ thp_migration_success: 1 }, 7]);
  });
});

describe("memory offline: pages that somebody holds", () => {
  TEST_F(plain, "for a while: it tries again until they have gone", (t) => {
    populate(t, 0, PAGES);
    t.k.fail_migrate.add({ pfn: frameOf(t, 3), kind: "reference", attempts: 25 }).arm(t.k);
    expect(state(t, blockOf(t, 3), "offline")).to.equal(0);
    expect(events(t, "pgmigrate_fail")).to.deep.equal({ pgmigrate_fail: 2 });
    expect(peek(t, 3)).to.equal(4);
  });

  TEST_F(plain, "for ever, as a long-term pin: only a signal ends it, and the block is as it was", (t) => {
    populate(t, 0, PAGES);
    const block = blockOf(t, 0);
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    const before = managed(t);
    let rounds = 0;
    t.k.hooks.yieldPoint = (name) => {
      if (name === "offline_pages" && ++rounds === 5) t.k.current.fatal_signal = 9;
      return undefined;
    };
    expect(state(t, block, "offline")).to.equal(-EINTR);
    t.k.current.fatal_signal = 0;
    expect([shown(t, block), managed(t), blockOf(t, 0)]).to.deep.equal(["online, DMA32", before, block]);
    expect(moved(t)).to.equal(0);
    expect([...t.k.mem.pageblock_flags].includes(MIGRATE_ISOLATE)).to.equal(false);
  });

  TEST_F(plain, "a pin that comes while they are moved finds them where they went", (t) => {
    populate(t, 0, PAGES);
    const block = blockOf(t, 0);
    const met = atYield(t, "offline_pages", () => {
      expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    });
    expect(state(t, block, "offline")).to.equal(0);
    expect(met.count).to.be.at.least(1);
    expect([blockOf(t, 0) === block, peek(t, 0)]).to.deep.equal([false, 1]);
  });
});

describe("memory offline: what it does to the advice", () => {
  TEST_F(cma, "an advised guest's pages go to CMA, and its pin has to move them", { differs }, (t) => {
    const pages = BLOCK_PAGES;
    map(t, 0, pages);
    expect(advise(t, 0, pages, MADV_NOMOVABLE)).to.equal(0);
    expect(landing(t, 0, pages)).to.equal(".".repeat(pages));
    // page tables lie in the one block, and keep it
    const block = blockOf(t, pages - 1);
    expect(block).to.not.equal(unmovableBlock(t));
    const there = Array.from({ length: pages }, (_, n) => blockOf(t, n)).filter((at) => at === block).length;
    expect(state(t, block, "offline")).to.equal(0);
    expect([places(t, pages - there, there), moved(t)]).to.deep.equal(["C".repeat(there), there]);
    expect(mapDma(t, openContainer(t), 0, pages)).to.equal(0);
    expect([places(t, 0, pages), moved(t)]).to.deep.equal([".".repeat(pages), 2 * there]);
  });

  TEST_F(plain, "memory that comes online as movable gets guests' pages, which a pin moves", (t) => {
    expect(state(t, 15, "offline")).to.equal(0);
    expect(state(t, 15, "online_movable")).to.equal(0);
    expect(shown(t, 15)).to.equal("online, Movable");
    map(t, 0, PAGES);
    expect(landing(t, 0, PAGES)).to.equal("M".repeat(PAGES));
    expect(mapDma(t, openContainer(t), 0, PAGES)).to.equal(0);
    expect([places(t, 0, PAGES), moved(t)]).to.deep.equal([".".repeat(PAGES), PAGES]);
  });

  TEST_F(plain, "but none of an advised guest's", { differs }, (t) => {
    expect(state(t, 15, "offline")).to.equal(0);
    expect(state(t, 15, "online_movable")).to.equal(0);
    map(t, 0, PAGES);
    expect(advise(t, 0, PAGES, MADV_NOMOVABLE)).to.equal(0);
    expect(landing(t, 0, PAGES)).to.equal(".".repeat(PAGES));
  });
});
