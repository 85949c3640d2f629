// SPDX-License-Identifier: GPL-2.0-only
/** What smaps says of a mapping: its name, the letters of its flags; and prctl(PR_SET_VMA). */
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { VM_DONTDUMP, VM_DONTEXPAND, VM_IO, VM_MIXEDMAP, VM_PFNMAP } from "../../include/linux/mm.js";
import { vm_flags_or } from "../../include/linux/vm_flags.js";
import { expect, FIXTURE, TEST_F } from "../../harness/kselftest/index.js";
import { EAGAIN, EBADF, EFAULT, EINVAL, ENOMEM } from "../../uapi/errno.js";
import * as uapi from "../../uapi/mman-common.js";
import { PR_GET_THP_DISABLE, PR_SET_THP_DISABLE, PR_SET_VMA } from "../../uapi/prctl.js";
import { errnoTable, type ErrnoRow } from "./lib/errnos.js";
import { advise, ANON, at, bytes, map, ranges, SHARED_ANON, type T, vmFlags } from "./lib/memory.js";

const eight = FIXTURE("eight_pages", {
  setup(t) {
    map(t, 0, 8);
  },
});

function name(t: T, page: number, pages: number, text: string | number | null): number {
  return t.sys.prctl(PR_SET_VMA, 0, at(page), bytes(pages), text);
}

function nameOf(t: T, page: number): string | undefined {
  return t.smaps().find((row) => row.start <= at(page) && at(page) < row.end)?.name;
}

/** A name of 79 characters, the longest. */
const LONG = "n".repeat(79);

const rows: readonly ErrnoRow[] = [
  ["another option, before an address that is no string", (t) => t.sys.prctl(PR_SET_VMA, 1, at(0), 4096, 1), EINVAL],
  ["an address that is no string, before misaligned", (t) => t.sys.prctl(PR_SET_VMA, 0, at(0) + 1, 4096, 1), EFAULT],
  ["80 characters, before nothing mapped", (t) => name(t, 100, 1, `${LONG}n`), EINVAL],
  ["79 characters", (t) => name(t, 0, 1, LONG), 0],
  ...["\\", "`", "$", "[", "]", "\n", "\x7f", "é"].map((ch): ErrnoRow => [
    `the character ${JSON.stringify(ch)}, before nothing mapped`,
    (t) => name(t, 100, 1, `a${ch}`),
    EINVAL,
  ]),
  ["misaligned, before nothing mapped", (t) => t.sys.prctl(PR_SET_VMA, 0, at(100) + 1, 4096, "x"), EINVAL],
  ["a length that wraps", (t) => t.sys.prctl(PR_SET_VMA, 0, at(100), -1, "x"), EINVAL],
  ["no length where nothing is mapped", (t) => name(t, 100, 0, "x"), 0],
  ["nothing mapped", (t) => name(t, 100, 1, "x"), ENOMEM],
  [
    "a file's mapping, before the hole behind it",
    (t) => {
      map(t, 8, 1, { flags: SHARED_ANON });
      return name(t, 0, 16, "x");
    },
    EBADF,
  ],
  [
    "too many mappings",
    (t) => {
      t.k.config.max_map_count = t.k.current.mm!.map_count;
      return name(t, 0, 1, "x");
    },
    EAGAIN,
  ],
];

/** Options that are not about names. */
const options: readonly ErrnoRow[] = [
  ["an unknown option", (t) => t.sys.prctl(9999, 0, 0, 0, 0), EINVAL],
  ["option 0", (t) => t.sys.prctl(0, 0, 0, 0, 0), EINVAL],
  ["PR_SET_THP_DISABLE, a third argument", (t) => t.sys.prctl(PR_SET_THP_DISABLE, 1, 1, 0, 0), EINVAL],
  ["a fourth", (t) => t.sys.prctl(PR_SET_THP_DISABLE, 1, 0, 1, 0), EINVAL],
  ["a fifth", (t) => t.sys.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL],
  ["PR_GET_THP_DISABLE, a second argument", (t) => t.sys.prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL],
  ["neither has any", (t) => t.sys.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0],
];

describe("prctl(PR_SET_VMA): refused", () => errnoTable("prctl", eight, rows));
describe("prctl: refused", () => {
  errnoTable("prctl", eight, options);

  TEST_F(eight, "an option that is not modelled says so", (t) => {
    expect(() => t.sys.prctl(15, 0, 0, 0, 0)).to.throw("prctl 15");
  });
});

describe("names", () => {
  TEST_F(eight, "a name splits, the same name merges, null takes it away", (t) => {
    expect(name(t, 2, 2, "x")).to.equal(0);
    expect(nameOf(t, 2)).to.equal("[anon:x]");
    expect(ranges(t)).to.equal("0-2 2-4 4-8");
    name(t, 4, 4, "x");
    expect(ranges(t)).to.equal("0-2 2-8");
    name(t, 0, 8, null);
    expect(ranges(t)).to.equal("0-8");
    expect(nameOf(t, 2)).to.equal("");
  });

  TEST_F(eight, "the empty name is a name", (t) => {
    name(t, 0, 2, "");
    expect(nameOf(t, 0)).to.equal("[anon:]");
    expect(ranges(t)).to.equal("0-2 2-8");
  });

  TEST_F(eight, "a hole: what is on both sides is named", (t) => {
    map(t, 10, 2);
    expect(name(t, 6, 6, "x")).to.equal(-ENOMEM);
    expect([nameOf(t, 6), nameOf(t, 10)]).to.deep.equal(["[anon:x]", "[anon:x]"]);
  });

  // a new mapping has no name, so it does not go with one that has
  //
  //   |nnn|       |nnn|www|
  //       ^^^  ->
  TEST_F(eight, "a new mapping beside one with a name stays by itself", (t) => {
    name(t, 0, 8, "x");
    map(t, 8, 2);
    expect(ranges(t)).to.equal("0-8 8-10");
  });

  TEST_F(eight, "fork, mremap and split keep it", (t) => {
    name(t, 0, 8, "x");
    t.sys.mremap(at(2), bytes(2), bytes(2), 3, at(20));
    t.inChild(() => expect([1, 5, 20].map((page) => nameOf(t, page))).to.deep.equal(Array(3).fill("[anon:x]")));
  });

  TEST_F(eight, "of files, of shared memory, of the heap and the stack", (t) => {
    const fd = t.sys.memfd_create("a\nb", 0);
    t.sys.ftruncate(fd, 4096);
    map(t, 16, 1, { flags: uapi.MAP_SHARED, fd });
    map(t, 18, 1, { flags: SHARED_ANON });
    expect(nameOf(t, 16), "a newline is written in octal").to.equal("/memfd:a\\012b (deleted)");
    expect(nameOf(t, 18)).to.equal("/dev/zero (deleted)");
    const heap = t.sys.brk(0);
    t.sys.brk(heap + 4096);
    t.sys.prctl(PR_SET_VMA, 0, heap, 4096, "x");
    expect(t.smaps().find((row) => row.start === heap)!.name, "[heap] goes before a name").to.equal("[heap]");
    t.k.current.mm!.start_stack = at(8);
    expect(nameOf(t, 0), "a mapping that ends at the stack's start").to.equal("[stack]");
  });

  TEST_F(eight, "a kernel's own mapping", (t) => {
    const mm = t.k.current.mm!;
    t.kernel._install_special_mapping(t.k, mm, at(16), bytes(1), VM_DONTEXPAND, { name: "[vdso]" });
    expect(nameOf(t, 16)).to.equal("[vdso]");
  });
});

describe("VmFlags", () => {
  TEST_F(eight, "every flag that advice and locks set", (t) => {
    for (const advice of [
      uapi.MADV_SEQUENTIAL,
      uapi.MADV_DONTFORK,
      uapi.MADV_WIPEONFORK,
      uapi.MADV_DONTDUMP,
      uapi.MADV_HUGEPAGE,
      uapi.MADV_MERGEABLE,
    ])
      expect(advise(t, 0, 8, advice)).to.equal(0);
    t.sys.mlock2(at(0), bytes(8), uapi.MLOCK_ONFAULT);
    const all = "rd wr mr mw me lo sr dc ?? ac wf dd hg mg";
    expect(vmFlags(t, 0)!.join(" "), "MLOCK_ONFAULT has no letters").to.equal(all);
  });

  TEST_F(eight, "the opposite advice", (t) => {
    advise(t, 0, 8, uapi.MADV_RANDOM);
    advise(t, 0, 8, uapi.MADV_NOHUGEPAGE);
    map(t, 8, 1, { flags: ANON | uapi.MAP_NORESERVE | uapi.MAP_SYNC | uapi.MAP_GROWSDOWN });
    expect(vmFlags(t, 0)!.join(" ")).to.equal("rd wr mr mw me rr ac nh");
    expect(vmFlags(t, 8)!.join(" ")).to.equal("rd wr mr mw me gd nr sf");
  });

  TEST_F(eight, "of a device", (t) => {
    const flags = vm_flags_or(VM_IO, VM_PFNMAP, VM_MIXEDMAP, VM_DONTEXPAND, VM_DONTDUMP);
    t.k.current.files.set(9, t.kernel.open_device(t.k, "/dev/fb0", FMODE_READ | FMODE_WRITE, flags));
    map(t, 16, 1, { flags: uapi.MAP_SHARED, fd: 9, prot: uapi.PROT_EXEC });
    expect(vmFlags(t, 16)!.join(" ")).to.equal("ex sh mr mw me ms pf io de dd mm");
  });
});
