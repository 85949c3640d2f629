// SPDX-License-Identifier: GPL-2.0-only
/** Advice for mappings of device memory, which have no pages of their own. */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_DONTDUMP, VM_DONTEXPAND, VM_IO, VM_PFNMAP } from "../../include/linux/mm.js";
import { vm_flags_or } from "../../include/linux/vm_flags.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EINVAL, errnoNames } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { advise, at, map, ranges, vmFlags } from "./lib/memory.js";

/** Four pages of a device's registers, as remap_pfn_range() maps them. */
const device = FIXTURE("device", {
  setup(t) {
    const flags = vm_flags_or(VM_IO, VM_PFNMAP, VM_DONTEXPAND, VM_DONTDUMP);
    const file = t.kernel.open_device(t.k, "/dev/registers", FMODE_READ | FMODE_WRITE, flags);
    t.k.current.files.set(9, file);
    map(t, 0, 4, { flags: uapi.MAP_SHARED, fd: 9 });
  },
});

const answers: readonly [keyof typeof uapi, number][] = [
  ["MADV_NORMAL", 0],
  ["MADV_RANDOM", 0],
  ["MADV_SEQUENTIAL", 0],
  ["MADV_DONTNEED", EINVAL],
  ["MADV_DONTNEED_LOCKED", EINVAL],
  ["MADV_FREE", EINVAL],
  ["MADV_DONTFORK", 0],
  ["MADV_DOFORK", EINVAL],
  ["MADV_MERGEABLE", 0],
  ["MADV_UNMERGEABLE", 0],
  ["MADV_DONTDUMP", 0],
  ["MADV_DODUMP", EINVAL],
  ["MADV_WIPEONFORK", EINVAL],
  ["MADV_KEEPONFORK", 0],
  ["MADV_COLD", EINVAL],
  ["MADV_PAGEOUT", EINVAL],
  ["MADV_POPULATE_READ", EINVAL],
  ["MADV_POPULATE_WRITE", EINVAL],
];

describe("madvise: device memory", () => {
  for (const [name, expected] of answers) {
    TEST_F(device, `${name}: ${errnoNames[expected] ?? "success"}`, (t) => {
      expect(advise(t, 1, 1, uapi[name])).to.equal(expected === 0 ? 0 : -expected);
    });
  }

  TEST_F(device, "MADV_MERGEABLE is ignored", (t) => {
    advise(t, 0, 4, uapi.MADV_MERGEABLE);
    expect(vmFlags(t, 0)).to.not.include("mg");
  });

  const unknown = "EINVAL: base does not know the advice";
  TEST_F(
    device,
    "MADV_NOMOVABLE succeeds and splits, though there is nothing to keep out of CMA",
    { differs: { base: unknown } },
    (t) => {
      expect(advise(t, 1, 2, uapi.MADV_NOMOVABLE)).to.equal(0);
      expect(ranges(t)).to.equal("0-1 1-3 3-4");
    },
  );

  TEST_F(device, "touching it is SIGBUS, advised or not", (t) => {
    expect(t.sys.load(at(0))).to.deep.equal({ sig: "SIGBUS", code: 2 });
    advise(t, 0, 4, uapi.MADV_NOMOVABLE);
    expect(t.sys.load(at(0))).to.deep.equal({ sig: "SIGBUS", code: 2 });
  });
});
