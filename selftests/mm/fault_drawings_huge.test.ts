// SPDX-License-Identifier: GPL-2.0-only
/** Each kind of fault as a drawing, on huge pages, in runs: "512T" is a huge page. See lib/drawings.ts. */
import { FIXTURE } from "../../harness/kselftest/index.js";
import { MAP_PRIVATE, MAP_SHARED } from "../../uapi/mman-common.js";
import { type Drawing, drawings, type Memory } from "./lib/drawings.js";
import { HUGE, THP_BOOT } from "./lib/thp.js";

const host = FIXTURE("thp", { boot: THP_BOOT });
const shmemHost = FIXTURE("thp_shmem", {
  boot: { ...THP_BOOT, config: { thp_enabled: "madvise", shmem_enabled: "always" } },
});

const anon: Memory = { pages: HUGE };
/** A page too short for a huge one. */
const short: Memory = { pages: HUGE - 1 };
const shared: Memory = { pages: HUGE, flags: MAP_SHARED, file: HUGE };
const copyable: Memory = { pages: HUGE, flags: MAP_PRIVATE, file: HUGE };

const ADVISED = "MADV_HUGEPAGE";

const anonymous: readonly Drawing[] = [
  ["a write", anon, ADVISED, "512-", "w1", "new", "512T"],
  ["a read: the huge zero page", anon, ADVISED, "512-", "r1", "0", "512z"],
  ["a write to the huge zero page", anon, `${ADVISED} r0`, "512z", "w1", "copied", "1z 1a 510z"],
  ["a second write", anon, `${ADVISED} w1`, "512T", "w2", "kept", "512T"],
  ["not advised", anon, "", "512-", "w1", "new", "1- 1a 510-"],
  ["advised against", anon, "MADV_NOHUGEPAGE", "512-", "w1", "new", "1- 1a 510-"],
  ["too short", short, ADVISED, "511-", "w1", "new", "1- 1a 509-"],
  ["a small page is there already", anon, `w0 ${ADVISED}`, "1a 511-", "w1", "new", "2a 510-"],
  ["no huge page to be had", anon, `${ADVISED} nohuge`, "512-", "w1", "new", "1- 1a 510-"],
  ["MADV_DONTNEED of a part", anon, `${ADVISED} w1 MADV_DONTNEED:1`, "1T 1- 510T", "r1", "0", "1T 1z 510T"],
  ["MADV_DONTNEED of all", anon, `${ADVISED} w1 MADV_DONTNEED`, "512-", "w1", "new", "512T"],
  ["PROT_NONE", anon, `${ADVISED} w1 PROT_NONE`, "512T", "r1", "SIGSEGV 2", "512T"],
  ["read-only", anon, `${ADVISED} w1 PROT_READ`, "512T", "w1", "SIGSEGV 2", "512T"],
  ["mlock", anon, `${ADVISED} lock`, "512T", "w1", "kept", "512T"],
  ["the parent writes after fork", anon, `${ADVISED} w1 fork`, "512T | 512T", "w1", "copied", "1T 1a 510T | 512T"],
  ["the child writes after fork", anon, `${ADVISED} w1 fork`, "512T | 512T", "child:w1", "copied", "512T | 1T 1a 510T"],
  ["the child has gone: the last copy", anon, `${ADVISED} w1 fork child:exit`, "512T", "w1", "kept", "512T"],
  [
    "the huge zero page in the child",
    anon,
    `${ADVISED} r1 fork`,
    "512z | 512z",
    "child:w1",
    "copied",
    "512z | 1z 1a 510z",
  ],
  ["MADV_COLLAPSE", anon, "w0-3 MADV_COLLAPSE", "512T", "w9", "kept", "512T"],
];

const shmem: readonly Drawing[] = [
  ["shared, a write", shared, "", "512-", "w1", "new", "512F"],
  ["shared, a read", shared, "", "512-", "r1", "0", "512F"],
  ["shared, the child reads", shared, "w1 fork", "512F | 512-", "child:r1", "2", "512F | 512F"],
  ["shared, no huge page to be had", shared, "nohuge", "512-", "w1", "new", "1- 1f 510-"],
  ["private, a read", copyable, "", "512-", "r1", "0", "512F"],
  ["private, a write", copyable, "", "512-", "w1", "new", "1- 1a 510-"],
  ["private, a write to what was read", copyable, "r1", "512F", "w1", "copied", "1- 1a 510-"],
];

describe("faults: huge pages", () => {
  drawings(host, anonymous);
});
describe("faults: huge pages of a memfd", () => {
  drawings(shmemHost, shmem);
});
