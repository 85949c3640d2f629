// SPDX-License-Identifier: GPL-2.0-only
/** In which versions of the long-term pin what a user sees of VFIO_IOMMU_MAP_DMA flips: each cell of the table is a test. */
import { expect, TEST } from "../../harness/kselftest/index.js";
import { MADV_COLD, MADV_FREE } from "../../uapi/mman-common.js";
import { advise, frameOf, map, places, type T, touch } from "./lib/memory.js";
import { said } from "./lib/errnos.js";
import { MIGRATE_BOOT } from "./lib/migrate_schedule.js";
import { failHugeAllocations, HUGE, mapHuge } from "./lib/thp.js";
import { mapDma, openContainer } from "./lib/vfio.js";

/** v6.1 and, in the order of the table's columns, what came later. */
const VERSIONS = [
  "base",
  "thp-split-retry",
  "longterm-retry-stats",
  "gup-drain-reliably",
  "gup-nothing-isolated",
  "gup-drain-refcount",
];

type Cell = "moved" | "stays in CMA" | "ENOMEM";

interface Scenario {
  readonly name: string;
  /** Maps the guest's memory and makes what goes wrong; answers how many pages it has. */
  readonly setup: (t: T) => number;
  /** v6.1. */
  readonly base: Cell;
  /** Where it flips. */
  readonly flips: Readonly<Record<string, Cell>>;
}

const FEW = 4;

/** Its pages are on their LRU list: MADV_COLD drains the batches of its CPU. */
function guest(t: T): number {
  map(t, 0, FEW);
  touch(t, 0, FEW);
  expect(advise(t, 0, FEW, MADV_COLD)).to.equal(0);
  return FEW;
}

/** A guest that runs on that CPU. MADV_FREE has put its second page in a batch there; it was written to again since. */
function batched(t: T, cpu: number): number {
  const before = t.k.cpu;
  t.k.cpu = cpu;
  const pages = guest(t);
  expect(advise(t, 1, 1, MADV_FREE)).to.equal(0);
  touch(t, 1, 1, 7);
  t.k.cpu = before;
  return pages;
}

function hold(t: T, kind: "reference" | "isolate", attempts: number, ...pages: number[]): void {
  for (const page of pages) t.k.fail_migrate.add({ pfn: frameOf(t, page), kind, attempts });
  t.k.fail_migrate.arm(t.k);
}

function hugeGuest(t: T, attempts: number): number {
  mapHuge(t, 0, HUGE);
  touch(t, 0, 1);
  failHugeAllocations(t);
  hold(t, "reference", attempts, 0);
  return HUGE;
}

const DRAINS: Readonly<Record<string, Cell>> = { "gup-drain-reliably": "moved", "gup-drain-refcount": "moved" };
const SPLITS: Readonly<Record<string, Cell>> = { "thp-split-retry": "moved", "longterm-retry-stats": "moved" };

const SCENARIOS: readonly Scenario[] = [
  {
    name: "a page waits in another CPU's LRU batch",
    setup: (t) => batched(t, 1),
    base: "ENOMEM",
    flips: DRAINS,
  },
  {
    // A page that moves drains the batches of the CPU that moves it, and the next pass finds the other one free.
    name: "a page waits in an LRU batch of the CPU that pins",
    setup: (t) => batched(t, 0),
    base: "moved",
    flips: {},
  },
  {
    // It comes back through another CPU's batch, without PG_lru, so the next round drains.
    name: "one of four pages is isolated for a moment",
    setup(t) {
      const pages = guest(t);
      hold(t, "isolate", 1, 1);
      return pages;
    },
    base: "moved",
    flips: {},
  },
  {
    name: "all pages are isolated for a moment",
    setup(t) {
      const pages = guest(t);
      hold(t, "isolate", 1, 0, 1, 2, 3);
      return pages;
    },
    base: "moved",
    flips: { "gup-nothing-isolated": "stays in CMA" },
  },
  {
    name: "a huge page without a huge target is held for 3 attempts",
    setup: (t) => hugeGuest(t, 3),
    base: "ENOMEM",
    flips: SPLITS,
  },
  {
    name: "a huge page without a huge target is held for 20 attempts",
    setup: (t) => hugeGuest(t, 20),
    base: "ENOMEM",
    flips: {},
  },
];

function outcome(t: T, pages: number): string {
  const ret = mapDma(t, openContainer(t), 0, pages);
  t.k.fail_migrate.clear(t.k);
  if (ret !== 0) return said(ret);
  return places(t, 0, pages).includes("C") ? "stays in CMA" : "moved";
}

describe("pin: what flips from version to version", () => {
  for (const { name, setup, base, flips } of SCENARIOS) {
    TEST(name, { kernels: VERSIONS, boot: { ...MIGRATE_BOOT, cpus: 2 } }, (t) => {
      const pages = setup(t);
      expect(places(t, 0, pages)).to.equal("C".repeat(pages));
      const seen = outcome(t, pages);
      t.observe("VFIO_IOMMU_MAP_DMA", seen);
      expect(seen).to.equal(flips[t.variant] ?? base);
    });
  }
});
