// SPDX-License-Identifier: GPL-2.0-only
/** Each kind of fault as a drawing, on small pages: see lib/drawings.ts for how to read them. */
import { FIXTURE } from "../../harness/kselftest/index.js";
import { MAP_GROWSDOWN, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ } from "../../uapi/mman-common.js";
import { type Drawing, drawings, type Memory } from "./lib/drawings.js";
import { ANON, SHARED_ANON } from "./lib/memory.js";
import { RAMDISK, swapTo } from "./lib/swap.js";

const host = FIXTURE("host");
const swapping = FIXTURE("swapping", {
  setup(t) {
    swapTo(t, RAMDISK);
  },
});
const keyed = FIXTURE("keyed", { boot: { arch: "x86_64-pku" } });

const anon: Memory = { pages: 4 };
const stack: Memory = { pages: 4, flags: ANON | MAP_GROWSDOWN };
const shared: Memory = { pages: 4, flags: MAP_SHARED, file: 4 };
const copyable: Memory = { pages: 4, flags: MAP_PRIVATE, file: 4 };
/** Of which the file has two pages. */
const sharedLong: Memory = { ...shared, file: 2 };
const privateLong: Memory = { ...copyable, file: 2 };

const anonymous: readonly Drawing[] = [
  ["a read", anon, "", "----", "r1", "0", "-z--"],
  ["a write", anon, "", "----", "w1", "new", "-a--"],
  ["a read of what was written", anon, "w1", "-a--", "r1", "2", "-a--"],
  ["a write to the zero page", anon, "r0-3", "zzzz", "w1", "copied", "zazz"],
  ["MADV_DONTNEED, then a read", anon, "w0-3 MADV_DONTNEED", "----", "r1", "0", "-z--"],
  ["MADV_DONTNEED, then a write", anon, "w0-3 MADV_DONTNEED:1", "a-aa", "w1", "new", "aaaa"],
  ["MADV_FREE, then a write", anon, "w0-3 MADV_FREE", "aaaa", "w1", "kept", "aaaa"],
  ["MADV_FREE, then a read", anon, "w0-3 MADV_FREE", "aaaa", "r1", "2", "aaaa"],
  ["MADV_POPULATE_READ", anon, "MADV_POPULATE_READ", "zzzz", "w3", "copied", "zzza"],
  ["MADV_POPULATE_WRITE", anon, "MADV_POPULATE_WRITE", "aaaa", "w3", "kept", "aaaa"],
  ["MAP_POPULATE", { pages: 4, flags: ANON | MAP_POPULATE }, "", "aaaa", "w3", "kept", "aaaa"],
  ["MAP_POPULATE, read-only", { pages: 4, flags: ANON | MAP_POPULATE, prot: PROT_READ }, "", "zzzz", "r3", "0", "zzzz"],
  ["mlock", anon, "lock", "aaaa", "w1", "kept", "aaaa"],
  ["mlock of read-only memory", { pages: 4, prot: PROT_READ }, "lock", "zzzz", "r1", "0", "zzzz"],
  ["mlock, made writable later", { pages: 4, prot: PROT_READ }, "lock PROT_RW", "aaaa", "w1", "kept", "aaaa"],
  ["MLOCK_ONFAULT, a write", anon, "onfault", "----", "w1", "new", "-a--"],
  ["MLOCK_ONFAULT, a read", anon, "onfault", "----", "r1", "0", "-z--"],
  ["a stack grows", stack, "munmap:0", "----", "w0", "new", "a---"],
  ["a stack grows up to another", stack, "w0-3 munmap:1", "a-aa", "r1", "0", "azaa"],
];

const refused: readonly Drawing[] = [
  ["nothing mapped, a read", anon, "w0-3 munmap:1", "a-aa", "r1", "SIGSEGV 1", "a-aa"],
  ["nothing mapped, a write", anon, "munmap:1", "----", "w1", "SIGSEGV 1", "----"],
  ["PROT_NONE, a read", anon, "w0-3 PROT_NONE", "aaaa", "r1", "SIGSEGV 2", "aaaa"],
  ["PROT_NONE, a write", { pages: 4, prot: PROT_NONE }, "", "----", "w1", "SIGSEGV 2", "----"],
  ["PROT_NONE, given back", anon, "w0-3 PROT_NONE PROT_RW", "aaaa", "w1", "kept", "aaaa"],
  ["read-only, a write", anon, "w0-3 PROT_READ", "aaaa", "w1", "SIGSEGV 2", "aaaa"],
  ["read-only, a write where nothing is", { pages: 4, prot: PROT_READ }, "", "----", "w1", "SIGSEGV 2", "----"],
  ["read-only, made writable", anon, "w0-3 PROT_READ PROT_RW", "aaaa", "w1", "kept", "aaaa"],
  [
    "MADV_DONTFORK, in the child",
    anon,
    "w0-3 MADV_DONTFORK fork",
    "aaaa | ----",
    "child:r1",
    "SIGSEGV 1",
    "aaaa | ----",
  ],
  ["behind the end of a file, a read", sharedLong, "r0", "f---", "r2", "SIGBUS 2", "f---"],
  ["behind the end of a file, a write", sharedLong, "w0", "f---", "w3", "SIGBUS 2", "f---"],
  ["behind the end, privately, a read", privateLong, "", "----", "r2", "SIGBUS 2", "----"],
  ["behind the end, privately, a write", privateLong, "", "----", "w2", "SIGBUS 2", "----"],
  ["truncated", shared, "w0-3 truncate", "ff--", "r2", "SIGBUS 2", "ff--"],
  ["truncated, private copies too", copyable, "w0-3 truncate", "aa--", "w2", "SIGBUS 2", "aa--"],
];

const copies: readonly Drawing[] = [
  ["the parent writes", anon, "w0-3 fork", "cccc | cccc", "w1", "copied", "cacc | cacc"],
  ["the child writes", anon, "w0-3 fork", "cccc | cccc", "child:w1", "copied", "cacc | cacc"],
  ["the child reads", anon, "w0-3 fork", "cccc | cccc", "child:r1", "2", "cccc | cccc"],
  ["both write: the last copy is its own", anon, "w0-3 fork w1", "cacc | cacc", "child:w1", "kept", "cacc | cacc"],
  ["the child has gone: the last copy", anon, "w0-3 fork child:exit", "aaaa", "w1", "kept", "aaaa"],
  ["the child has unmapped it", anon, "w0-3 fork child:munmap:1", "cacc | c-cc", "w1", "kept", "cacc | c-cc"],
  ["the child has dropped it", anon, "w0-3 fork child:MADV_DONTNEED:1", "cacc | c-cc", "w1", "kept", "cacc | c-cc"],
  [
    "after that the child reads",
    anon,
    "w0-3 fork child:MADV_DONTNEED:1",
    "cacc | c-cc",
    "child:r1",
    "0",
    "cacc | czcc",
  ],
  [
    "a grandchild writes",
    anon,
    "w0-3 fork child:fork",
    "cccc | cccc | cccc",
    "child:w1",
    "copied",
    "cccc | cccc | cacc",
  ],
  ["the parent's own page since", anon, "w0-3 fork w1", "cacc | cacc", "w1", "kept", "cacc | cacc"],
  ["what was written after fork is its own", anon, "w0 fork w1", "ca-- | c---", "child:w1", "new", "ca-- | ca--"],
  ["zero pages alone are left behind", anon, "r0-3 fork", "zzzz | ----", "child:w1", "new", "zzzz | -a--"],
  ["zero pages beside others", anon, "w0 r1-3 fork", "czzz | czzz", "child:w1", "copied", "czzz | cazz"],
  ["locked memory in the parent", anon, "lock fork", "cccc | cccc", "w1", "copied", "cacc | cacc"],
  ["MADV_WIPEONFORK, a read", anon, "w0-3 MADV_WIPEONFORK fork", "aaaa | ----", "child:r1", "0", "aaaa | -z--"],
  ["MADV_WIPEONFORK, a write", anon, "w0-3 MADV_WIPEONFORK fork", "aaaa | ----", "child:w1", "new", "aaaa | -a--"],
  [
    "read-only since, and writable again",
    anon,
    "w0-3 fork PROT_READ PROT_RW",
    "cccc | cccc",
    "w1",
    "copied",
    "cacc | cacc",
  ],
];

const shmem: readonly Drawing[] = [
  ["shared, a read of a hole", shared, "", "----", "r1", "0", "-f--"],
  ["shared, a write to a hole", shared, "", "----", "w1", "new", "-f--"],
  ["shared, a read with pages around", shared, "fill", "----", "r1", "2", "ffff"],
  ["shared, a write with pages around", shared, "fill", "----", "w1", "new", "-f--"],
  ["shared, a write to what was read", shared, "r1", "-f--", "w1", "kept", "-f--"],
  ["shared, a punched hole, a read", shared, "w0-3 hole", "f-ff", "r1", "0", "ffff"],
  ["shared, MADV_REMOVE, a write", shared, "w0-3 MADV_REMOVE", "----", "w1", "new", "-f--"],
  ["shared, MADV_DONTNEED: the file has it", shared, "w0-3 MADV_DONTNEED", "----", "r1", "2", "ffff"],
  ["shared, the child reads", shared, "w0-3 fork", "ffff | ----", "child:r1", "2", "ffff | ffff"],
  ["shared, the child writes", shared, "w0-3 fork", "ffff | ----", "child:w1", "new", "ffff | -f--"],
  [
    "shared anonymous memory",
    { pages: 4, flags: SHARED_ANON },
    "w0-3 fork",
    "ffff | ----",
    "child:r1",
    "2",
    "ffff | ffff",
  ],
  ["private, a read of a hole", copyable, "", "----", "r1", "0", "-f--"],
  ["private, a write to a hole", copyable, "", "----", "w1", "new", "-a--"],
  ["private, a read with pages around", copyable, "fill", "----", "r1", "2", "ffff"],
  ["private, a write to what was read", copyable, "fill r1", "ffff", "w1", "copied", "faff"],
  ["private, a second write", copyable, "fill r1 w1", "faff", "w1", "kept", "faff"],
  ["private, MADV_DONTNEED: the file's page again", copyable, "w0-3 MADV_DONTNEED:1", "a-aa", "r1", "0", "afaa"],
  ["private, a punched hole spares the copies", copyable, "fill r1 w2 hole", "f-af", "r1", "0", "ffaf"],
  ["private, the child writes to a copy", copyable, "w0-3 fork", "cccc | cccc", "child:w1", "copied", "cacc | cacc"],
  [
    "private, the child writes to the file's page",
    copyable,
    "fill r1 w2 fork",
    "ffcf | ffcf",
    "child:w1",
    "copied",
    "ffcf | facf",
  ],
];

const swapped: readonly Drawing[] = [
  ["a read", anon, "w0-3 out", "wwww", "r1", "2", "waww"],
  ["a write", anon, "w0-3 out", "wwww", "w1", "new", "waww"],
  ["a write to what was read", anon, "w0-3 out r1", "waww", "w1", "kept", "waww"],
  ["MADV_WILLNEED, a read", anon, "w0-3 out MADV_WILLNEED", "wwww", "r1", "2", "waww"],
  ["MADV_DONTNEED: it is forgotten", anon, "w0-3 out MADV_DONTNEED", "----", "r1", "0", "-z--"],
  ["MADV_FREE: it is dropped", anon, "w0-3 MADV_FREE out", "----", "r1", "0", "-z--"],
  ["PROT_NONE: it stays there", anon, "w0-3 out PROT_NONE", "wwww", "r1", "SIGSEGV 2", "wwww"],
  ["mlock brings all", anon, "w0-3 out lock", "aaaa", "w1", "kept", "aaaa"],
  ["the child reads", anon, "w0-3 out fork", "wwww | wwww", "child:r1", "2", "wwww | waww"],
  ["both read: one page", anon, "w0-3 out fork r1", "waww | wwww", "child:r1", "2", "wcww | wcww"],
  ["both read, one writes", anon, "w0-3 out fork r1 child:r1", "wcww | wcww", "w1", "copied", "waww | waww"],
  ["the child writes, the parent's stays", anon, "w0-3 out fork", "wwww | wwww", "child:w1", "new", "wwww | waww"],
  ["shared file, a read", shared, "w0-3 out", "----", "r1", "2", "-f--"],
  ["shared file, a write", shared, "w0-3 out", "----", "w1", "new", "-f--"],
  ["private copy of a file", copyable, "w0-3 out", "wwww", "r1", "2", "waww"],
];

const merged: readonly Drawing[] = [
  ["a read", anon, "MADV_POPULATE_WRITE MADV_MERGEABLE scan", "kkkk", "r1", "0", "kkkk"],
  ["a write", anon, "MADV_POPULATE_WRITE MADV_MERGEABLE scan", "kkkk", "w1", "copied", "kakk"],
  ["a second write", anon, "MADV_POPULATE_WRITE MADV_MERGEABLE scan w1", "kakk", "w1", "kept", "kakk"],
  [
    "MADV_UNMERGEABLE gives copies",
    anon,
    "MADV_POPULATE_WRITE MADV_MERGEABLE scan MADV_UNMERGEABLE",
    "aaaa",
    "w1",
    "kept",
    "aaaa",
  ],
  [
    "the child writes",
    anon,
    "MADV_POPULATE_WRITE MADV_MERGEABLE scan fork",
    "kkkk | kkkk",
    "child:w1",
    "copied",
    "kkkk | kakk",
  ],
  [
    "the child's exit leaves it KSM's",
    anon,
    "MADV_POPULATE_WRITE MADV_MERGEABLE scan fork child:exit",
    "kkkk",
    "w1",
    "copied",
    "kakk",
  ],
];

const barred: readonly Drawing[] = [
  ["a key that bars writing, a write", anon, "w0-3 key", "aaaa", "w1", "SIGSEGV 4", "aaaa"],
  ["a key that bars writing, a read", anon, "w0-3 key", "aaaa", "r1", "2", "aaaa"],
  ["a key that bars writing, where nothing is", anon, "key", "----", "w1", "SIGSEGV 4", "----"],
  ["read-only memory under the key", anon, "w0-3 key PROT_READ", "aaaa", "w1", "SIGSEGV 4", "aaaa"],
];

describe("faults: anonymous memory", () => {
  drawings(host, anonymous);
});
describe("faults: refused", () => {
  drawings(host, refused);
});
describe("faults: after fork", () => {
  drawings(host, copies);
});
describe("faults: memfd", () => {
  drawings(host, shmem);
});
describe("faults: swap", () => {
  drawings(swapping, swapped);
});
describe("faults: KSM", () => {
  drawings(host, merged);
});
describe("faults: protection keys", () => {
  drawings(keyed, barred);
});
