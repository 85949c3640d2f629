// SPDX-License-Identifier: GPL-2.0-only
/** What the program says of bad input: one line on standard error, exit status 2, and the reports as they were. */
import { expect } from "chai";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mbox, misplaced, port, turned, unfitting } from "./patch-texts.js";
import { type Ended, patchproofHere } from "./program.js";

const WAYS = "give the patch as mailed, as a diff, or as an archive shows it";

const FILES: Readonly<Record<string, string>> = {
  "empty.patch": "",
  "binary.patch": "\x7fELF\n\0",
  "hugetlb.patch": "--- a/mm/hugetlb.c\n+++ b/mm/hugetlb.c\n@@ -1 +1,2 @@\n a\n+b\n",
  "misplaced.mbox": misplaced,
  "cut.mbox": mbox.split("\n").slice(0, 95).join("\n"),
  "turned.mbox": turned(mbox),
  "tree-unfitting.patch": unfitting,
  "tree-turned.patch": turned(port),
  "tree-broken.patch": port.replace("vm_flags(0x100000000)", "vm_flagz(0x100000000)"),
  "unknown-call.strace": "7  brk(NULL) = 0x1000\n7  frobnicate(1) = 0\n",
  "cut-line.strace": "7  brk(NULL) = 0x1000\n7  mmap(NULL, 8192, PROT_READ",
  "a-file": "",
};

/** What is wrong, the arguments after `evaluate`, and all that is said of it. */
const BAD: readonly (readonly [string, string, string])[] = [
  ["no file of that name", "none.mbox", "none.mbox: no such patch; check the path"],
  ["a folder", ".", ".: this is a directory, not a patch; name a file in it"],
  ["an empty file", "empty.patch", `empty.patch: the file is empty; ${WAYS}`],
  ["a binary file", "binary.patch", `binary.patch:2: a binary file, not a patch; ${WAYS}`],
  [
    "a file not modelled",
    "hugetlb.patch",
    "hugetlb.patch:1: mm/hugetlb.c is not modelled; docs/FIDELITY.md lists the files that are",
  ],
  [
    "a hunk of another place",
    "misplaced.mbox",
    "misplaced.mbox:87: hunk 1 of 3 for mm/madvise.c does not apply; none of its context (something_else, nothing_here, ENODEV) is near the place of its lines in mm/madvise.ts: take the patch as it was mailed",
  ],
  [
    "a cut mail",
    "cut.mbox",
    "cut.mbox:87: the diff is cut off: the hunk announces 6 old and 9 new lines, and the file ends at line 95 after 5 and 8; save the patch again, whole",
  ],
  [
    "a reversed mail",
    "turned.mbox",
    "turned.mbox:46: the diff is reversed: turned round, it is rfc-madv-nomovable; give the diff from old to new",
  ],
  [
    "a diff of the tree that does not fit",
    "tree-unfitting.patch",
    "tree-unfitting.patch:7: hunk 1 of 2 for include/linux/mm.ts does not apply to the base tree; diffs are made on base: git apply -R patches/rfc-madv-nomovable.patch turns a clone into it",
  ],
  [
    "a reversed diff of the tree",
    "tree-turned.patch",
    "tree-turned.patch:4: the diff of include/linux/mm.ts is reversed: turned round, it applies to the base tree; give the diff from old to new",
  ],
  [
    "a diff of the tree that does not compile",
    "tree-broken.patch",
    "include/linux/mm.ts:39: variant tree-broken does not compile: TS2552: Cannot find name 'vm_flagz'. Did you mean 'vm_flags'?; mend line 11 of tree-broken.patch",
  ],
  [
    "a trace with an unknown call",
    "--workload unknown-call.strace",
    'unknown-call.strace:2: unknown call "frobnicate"; record the workload again with strace -f -y',
  ],
  [
    "a trace with a cut line",
    "--workload cut-line.strace",
    "cut-line.strace:2: the line is cut: the file does not end in a newline; fetch the recording again",
  ],
  [
    "a workload that is not there",
    "--workload none.strace",
    "none.strace: no such workload; name one of fixtures/workloads or the path of a .strace",
  ],
  [
    "more CMA than memory",
    "--memory 64M --cma 128M",
    "--cma: an area of 128 MiB does not fit into 64 MiB of memory; give less CMA or more --memory",
  ],
  [
    "an unknown variant",
    "--variants base,nosuch",
    "unknown variant 'nosuch'; known: base, rfc-madv-nomovable (or patch), thp-split-retry, longterm-retry-stats, thp-split-retry-first, gup-drain-reliably, gup-nothing-isolated, gup-drain-refcount",
  ],
  [
    "a folder for reports that is a file",
    "--out a-file",
    "a-file/evaluation.json: cannot be written: what should be its folder is a file; name another folder",
  ],
  ["a report that cannot be replaced", "--out taken", "taken/evaluation.md: is a folder; move it away"],
];

describe("patchproof evaluate with bad input", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "patchproof-bad-"));
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
    mkdirSync(join(folder, "out"));
    mkdirSync(join(folder, "taken/evaluation.md"), { recursive: true });
    writeFileSync(join(folder, "out/evaluation.json"), "of an earlier run");
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function expectRefused(ended: Ended, line: string): void {
    expect(ended).to.deep.equal({ status: 2, out: "", err: `patchproof: ${line}\n` });
    expect(readdirSync(join(folder, "out"))).to.deep.equal(["evaluation.json"]);
    expect(readFileSync(join(folder, "out/evaluation.json"), "utf8")).to.equal("of an earlier run");
  }

  for (const [what, args, line] of BAD) {
    it(`refuses ${what}`, async () => {
      expectRefused(await patchproofHere(folder, "evaluate", "--out", "out", ...args.split(" ")), line);
    });
  }
});
