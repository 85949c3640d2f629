// SPDX-License-Identifier: GPL-2.0-only
/** kcompactd: who wakes it, what it does with its turn, and what it does unasked. */
import { type BootOptions, expect, TEST } from "../../harness/kselftest/index.js";
import { EINVAL } from "../../uapi/errno.js";
import { MADV_DONTNEED } from "../../uapi/mman-common.js";
import { advise, map, type T, touch } from "./lib/memory.js";
import { drawing, events, HUGE, mapHuge } from "./lib/thp.js";

const PAGES = 3400;
/** Where the huge page is wanted. */
const AT = 8 * HUGE;

function boot(config: BootOptions["config"]): BootOptions {
  return { memory: 16 << 20, config: { thp_enabled: "madvise", thp_defrag: "defer", ...config } };
}

/**
 * Fills memory and frees every second page of it, so that no block for a huge page is left. What filling it woke kcompactd
 * for is over then.
 */
function fragment(t: T): number {
  map(t, 0, PAGES);
  touch(t, 0, PAGES);
  t.kernel.kcompactd(t.k);
  for (let n = 0; n < PAGES; n += 2) expect(advise(t, n, 1, MADV_DONTNEED)).to.equal(0);
  expect(hugeBlocks(t), "blocks for a huge page").to.equal(0);
  return wakes(t);
}

function wakes(t: T): number {
  return events(t, "compact_daemon_wake")["compact_daemon_wake"]!;
}

function hugeBlocks(t: T): number {
  return t.k.zones.reduce((n, z) => n + z.free_area[9]!.nr_free + 2 * z.free_area[10]!.nr_free, 0);
}

function scanned(t: T): boolean {
  return Object.values(events(t, "compact_daemon_migrate_scanned", "compact_daemon_free_scanned")).every((n) => n > 0);
}

describe("kcompactd", () => {
  //  a-a-a-a- ──► aaaa----
  TEST("a fault that may not compact wakes it; once it had its turn, the next one gets a huge page", (t) => {
    t.boot(boot({ kcompactd_stepped: true, compaction_proactiveness: 0 }));
    const before = fragment(t);
    mapHuge(t, AT, 2 * HUGE);
    touch(t, AT, 1);
    expect(drawing(t, AT, 2)).to.equal("1a 1-");
    expect(wakes(t) - before).to.equal(0);
    expect(t.kernel.kcompactd(t.k), "nodes compacted").to.equal(1);
    expect([wakes(t) - before, scanned(t)]).to.deep.equal([1, true]);
    touch(t, AT + HUGE, 1);
    expect(drawing(t, AT + HUGE, HUGE)).to.equal("512T");
    expect(t.kernel.kcompactd(t.k), "nobody asked again").to.equal(0);
  });

  TEST("it runs before the fault goes on where it need not wait for a turn", (t) => {
    t.boot(boot({}));
    const before = fragment(t);
    mapHuge(t, AT, HUGE);
    touch(t, AT, 1);
    expect([wakes(t) - before, scanned(t)]).to.deep.equal([1, true]);
    expect(hugeBlocks(t)).to.be.above(0);
  });

  TEST("unasked it compacts what is more fragmented than compaction_proactiveness has it", (t) => {
    t.boot(boot({ kcompactd_stepped: true, compaction_proactiveness: 60 }));
    expect(t.kernel.kcompactd(t.k), "a machine that has just booted").to.equal(0);
    const before = fragment(t);
    expect(t.kernel.kcompactd(t.k)).to.equal(1);
    expect(hugeBlocks(t)).to.be.above(0);
    expect(wakes(t) - before, "nobody woke it").to.equal(0);
  });

  TEST("compaction_proactiveness is 0 to 100; to write it has every kcompactd look, and 0 none", (t) => {
    t.boot(boot({ compaction_proactiveness: 0 }));
    fragment(t);
    const write = (n: number): number => t.kernel.compaction_proactiveness_sysctl_handler(t.k, n);
    expect([write(-1), write(101), write(0)]).to.deep.equal([-EINVAL, -EINVAL, 0]);
    expect(hugeBlocks(t)).to.equal(0);
    expect(write(100)).to.equal(0);
    expect(hugeBlocks(t)).to.be.above(0);
  });

  //  a-a-a-a- ──► aaaa----
  TEST("compact_memory compacts all zones, whatever their scores and whoever is to be woken", (t) => {
    t.boot(boot({ compaction_proactiveness: 0 }));
    const before = fragment(t);
    t.kernel.sysctl_compaction_handler(t.k);
    expect(hugeBlocks(t)).to.be.above(0);
    expect(wakes(t)).to.equal(before);
  });

  TEST("with compaction_proactiveness 0 it does nothing unasked", (t) => {
    t.boot(boot({ kcompactd_stepped: true, compaction_proactiveness: 0 }));
    fragment(t);
    expect(t.kernel.kcompactd(t.k)).to.equal(0);
    expect(hugeBlocks(t)).to.equal(0);
  });
});
