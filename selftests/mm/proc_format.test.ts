// SPDX-License-Identifier: GPL-2.0-only
/** Files of /proc against what a 6.1 kernel printed: names, order, widths, and values where the state is known. */
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { MAP_FIXED } from "../../uapi/mman-common.js";
import { ANON, RW } from "./lib/memory.js";
import { likeProc, readProc, shape } from "./lib/proc.js";

const small = readProc("p512-cma128.txt");
const large = readProc("p6g-movable1024-cma256.txt");
const SMALL_CMA: [number, number] = [97792, 130560];

const smallHost = FIXTURE("512 MiB, 128 MiB of CMA", {
  boot: { like: likeProc(small, SMALL_CMA), arch: "x86_64-pku", config: { MEMORY_FAILURE: false } },
  setup: () => undefined,
});
const largeHost = FIXTURE("6 GiB, 1 GiB of ZONE_MOVABLE", {
  boot: { like: likeProc(large, [1048576, 1114112]), config: { thp_enabled: "madvise" } },
  setup: () => undefined,
});

/** Metadata of 6 GiB takes a fifth of a second to make and to check. */
const ONCE = { kernels: ["base"] };

const bareHost = FIXTURE("512 MiB, not recorded", {
  boot: { memory: 512 << 20, cma: 128 << 20 },
  setup: () => undefined,
});

/** Lines of zoneinfo whose values follow from the sizes of zones: neither counters nor what is free or in stock. */
function derived(zoneinfo: string): string {
  return zoneinfo
    .split("\n")
    .filter((line) => !/^ +(nr_|workingset_|numa_|pages free|count:)/.test(line))
    .join("\n");
}

const names = (text: string): string[] => text.split("\n").map((line) => line.replace(/[ :].*/, ""));

describe("/proc: as the kernel prints it", () => {
  TEST_F(smallHost, "vmstat: every counter, in its order", (t) => {
    const printed = t.kernel.vmstat_show(t.k);
    expect(names(printed)).to.deep.equal(names(small["vmstat"]!));
    expect(printed).to.match(/^(\w+ \d+\n)+$/);
  });

  TEST_F(smallHost, "vmstat: dirty limits follow from free memory", (t) => {
    const value = (text: string, name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
    const [mine, recorded] = [t.kernel.vmstat_show(t.k), small["vmstat"]!];
    // 123081 pages are free there. Its reserves are those of an earlier moment of its boot: 5 pages fewer.
    const apart = value(recorded, "nr_free_pages") - value(mine, "nr_free_pages") + 5;
    for (const [name, share] of [
      ["nr_dirty_threshold", 819 / 4096],
      ["nr_dirty_background_threshold", 409 / 4096],
    ] as const) {
      expect(value(recorded, name) - value(mine, name), name).to.be.closeTo(apart * share, 1);
    }
  });

  TEST_F(smallHost, "zoneinfo: format, sizes, watermarks, per-CPU lists", (t) => {
    const printed = t.kernel.zoneinfo_show(t.k);
    const numbers = /(?<=\s|\()\d+/g;
    expect(printed.replace(numbers, "#")).to.equal(small["zoneinfo"]!.replace(numbers, "#"));
    // The kernel worked this out before it gave back the memory of its own initialisation.
    const later = (text: string): string => derived(text).replace(/\(0, \d+, \d+, \d+\)/, "(…)");
    expect(later(printed)).to.equal(later(small["zoneinfo"]!));
  });

  TEST_F(smallHost, "buddyinfo and pagetypeinfo: format, pageblocks by type", (t) => {
    expect(shape(t.kernel.frag_show(t.k))).to.equal(shape(small["buddyinfo"]!));
    const printed = t.kernel.pagetypeinfo_show(t.k);
    expect(shape(printed)).to.equal(shape(small["pagetypeinfo"]!));
    const blocks = (text: string): string => text.slice(text.indexOf("Number of blocks"));
    expect(blocks(printed)).to.equal(blocks(small["pagetypeinfo"]!));
  });

  TEST_F(smallHost, "meminfo: every line but those of the direct map", (t) => {
    const recorded = small["meminfo"]!.replace(/^DirectMap.*\n/gm, "");
    const printed = t.kernel.meminfo_proc_show(t.k);
    // With five levels of page tables there, VmallocTotal is wider.
    const known = (text: string): string => shape(text.replace(/^VmallocTotal.*\n/m, ""));
    expect(known(printed)).to.equal(known(recorded));
    for (const name of ["MemTotal", "CommitLimit", "CmaTotal"]) {
      const line = new RegExp(`^${name}:.*$`, "m");
      expect(line.exec(printed)?.[0]).to.equal(line.exec(recorded)?.[0]);
    }
  });

  TEST_F(smallHost, "maps and smaps: the same mapping, the same text", (t) => {
    const head = /^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 $/m.exec(small["smaps"]!)!;
    const wanted = /^7f[0-9a-f]+-[0-9a-f]+ rw-p 00000000 00:00 0 \n(?:\w+:.*\n)+/m.exec(small["smaps"]!)![0];
    const [start, end] = wanted
      .split(/[- ]/)
      .slice(0, 2)
      .map((n) => parseInt(n, 16));
    expect(head[0]).to.be.a("string");
    expect(t.sys.mmap(start!, end! - start!, RW, ANON | MAP_FIXED, -1, 0)).to.equal(start);
    expect(t.sys.store(start!, 1)).to.deep.equal({ val: 1 });
    expect(t.kernel.smaps_text(t.k, t.k.current.mm!)).to.equal(wanted);
    expect(t.kernel.show_map(t.k.current.mm!)).to.equal(wanted.slice(0, wanted.indexOf("\n") + 1));
  });

  TEST_F(smallHost, "maps: a name starts in column 73", (t) => {
    const fd = t.sys.memfd_create("guest", 0);
    t.sys.ftruncate(fd, 4096);
    t.sys.mmap(0x10000000, 4096, RW, 0x11, fd, 0);
    expect(t.kernel.show_map(t.k.current.mm!)).to.match(
      /^10000000-10001000 rw-s 00000000 00:01 \d+ +\/memfd:guest \(deleted\)\n$/,
    );
    expect(t.kernel.show_map(t.k.current.mm!).indexOf("/memfd")).to.equal(small["maps"]!.indexOf("/bin/busybox"));
  });
});

describe("/proc: what follows from the sizes of zones", () => {
  TEST_F(largeHost, "lowmem_reserve, per-CPU lists and thresholds of two CPUs", ONCE, (t) => {
    expect(derived(t.kernel.zoneinfo_show(t.k))).to.equal(derived(large["zoneinfo"]!));
  });

  TEST_F(largeHost, "vm.min_free_kbytes and watermarks without and with huge pages", ONCE, (t) => {
    for (const value of ["never", "madvise"] as const) {
      t.kernel.enabled_store(t.k, value);
      expect(t.k.min_free_kbytes, value).to.equal(Number(large[`min_free_kbytes, enabled=${value}`]));
      expect(derived(t.kernel.zoneinfo_show(t.k)), value).to.equal(derived(large[`zoneinfo, enabled=${value}`]!));
    }
  });

  TEST_F(largeHost, "watermarks of a written vm.min_free_kbytes", ONCE, (t) => {
    t.kernel.min_free_kbytes_sysctl_handler(t.k, 9000);
    expect(derived(t.kernel.zoneinfo_show(t.k))).to.equal(derived(large["zoneinfo, min_free_kbytes=9000"]!));
  });

  TEST_F(
    bareHost,
    "without a recording: the hole below 1 MiB, and the recorded machine's reserves in ZONE_DMA",
    (t) => {
      const dma = /zone +DMA\n[^]*?start_pfn: +\d+\n/;
      const sizes = (text: string): string => derived(dma.exec(text)![0]).replace(/ +protection.*\n/, "");
      expect(sizes(t.kernel.zoneinfo_show(t.k))).to.equal(sizes(small["zoneinfo"]!));
    },
  );
});
