// SPDX-License-Identifier: GPL-2.0-only
/** What reclaim does for refaults, and what it makes of them: whose active list it takes from, and what it notes. */
import { page_test } from "../../include/linux/mem_map.js";
import { PG_workingset } from "../../include/linux/page-flags.js";
import { expect, FIXTURE, FIXTURE_VARIANT, TEST, TEST_F } from "../../harness/kselftest/index.js";
import { MAP_SHARED, PROT_READ } from "../../uapi/mman-common.js";
import { at, bytes, frameOf, map, memfd, touch } from "./lib/memory.js";
import { RAMDISK, swapTo } from "./lib/swap.js";
import { openFile } from "./lib/tasks.js";
import { events } from "./lib/thp.js";
import { activeFile, leave, read, refaults, vmstat } from "./lib/workingset.js";

/** A machine of 4 MiB that swaps; `missed`: pages that come back before memory runs low. */
const machine = FIXTURE<undefined, { missed: number }>("machine", {
  boot: { memory: 4 << 20 },
  setup(t) {
    swapTo(t, RAMDISK);
    t.k.config.page_cluster = 0;
    return undefined;
  },
});
FIXTURE_VARIANT(machine, "none missed", { missed: 0 });
FIXTURE_VARIANT(machine, "8 missed", { missed: 8 });

describe("workingset: reclaim", () => {
  //  active  ffff…       deactivated while anonymous memory fills the machine, and swapped out
  TEST("what was active before it left is of the working set, and restores it", { boot: { memory: 2 << 20 } }, (t) => {
    swapTo(t, RAMDISK);
    t.k.config.page_cluster = 0;
    const fd = activeFile(t, 200);
    map(t, 0, 600);
    touch(t, 0, 600);
    expect(refaults(t)).to.deep.equal([0, 0, 0]);
    for (let n = 0; n < 200; n++) expect(t.sys.pread(fd, bytes(n))).to.equal(1);
    const [refault, activate, restore] = refaults(t);
    expect(restore, "pages of the file").to.be.above(0);
    expect([refault, activate]).to.deep.equal([restore, restore]);
    map(t, 1024, 200, { flags: MAP_SHARED, fd });
    read(t, 1024, 200);
    const frames = Array.from({ length: 200 }, (_none, n) => frameOf(t, 1024 + n));
    expect(frames.filter((pfn) => page_test(t.k.mem, pfn, PG_workingset)).length).to.equal(restore);
    read(t, 0, 600);
    const all = refaults(t);
    expect(all[0]! - refault!, "anonymous ones, which never were active").to.be.above(0);
    expect(all[2]).to.equal(restore);
  });

  //  inactive  aaaaaaaaaaaaaaaa   more than are active
  //  active    ffffffff
  TEST_F(machine, "takes from the active list once pages were missed; notes ages and costs", (t) => {
    const { missed } = t.param;
    activeFile(t, 300);
    const twice = memfd(t, 4);
    for (const page of [2048, 4096]) {
      map(t, page, 4, { flags: MAP_SHARED, fd: twice });
      read(t, page, 4);
    }
    map(t, 0, 1100);
    touch(t, 0, 8);
    leave(t, 0, missed);
    read(t, 0, 8);
    expect(refaults(t)).to.deep.equal([missed, missed, 0]);
    touch(t, 0, 1100);
    const { pgdeactivate, pageoutrun } = events(t, "pgdeactivate", "pageoutrun");
    expect([pgdeactivate! > 0, pageoutrun! > 0]).to.deep.equal([missed > 0, true]);
    const { pgactivate, pgsteal_kswapd, pgsteal_direct } = events(t, "pgactivate", "pgsteal_kswapd", "pgsteal_direct");
    const { nonresident_age, anon_cost, file_cost } = t.k.nodes[0]!.__lruvec;
    const evicted = missed + pgsteal_kswapd! + pgsteal_direct!;
    expect(pgactivate, "the file's pages, and those used by two mappings").to.equal(304);
    expect(nonresident_age, "evicted and activated").to.equal(evicted + pgactivate! + refaults(t)[1]!);
    expect(anon_cost, "what was written, of late").to.be.within(1, vmstat(t, "nr_inactive_anon") / 4);
    expect(file_cost).to.equal(0);
  });

  TEST_F(machine, "takes from the active list of files where pages of files were missed", (t) => {
    const { missed } = t.param;
    expect(t.sys.swapoff("/dev/ram0")).to.equal(0);
    const o = { flags: MAP_SHARED, fd: openFile(t, 2000), prot: PROT_READ };
    for (let n = 0; n < 2; n++) {
      map(t, 0, 300, o);
      read(t, 0, 300);
      expect(t.sys.munmap(at(0), bytes(300)), "pages that were used twice are active").to.equal(0);
    }
    map(t, 0, 2000, o);
    read(t, 300, 8);
    leave(t, 300, missed);
    read(t, 300, 8);
    expect(refaults(t, "file")).to.deep.equal([missed, missed, 0]);
    read(t, 308, 1600);
    const { pgdeactivate, pageoutrun } = events(t, "pgdeactivate", "pageoutrun");
    expect([pgdeactivate! > 0, pageoutrun! > 0]).to.deep.equal([missed > 0, true]);
    read(t, 0, 300);
    expect(refaults(t, "file")[0], "those that went").to.equal(missed + pgdeactivate!);
  });
});
