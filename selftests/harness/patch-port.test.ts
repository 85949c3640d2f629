// SPDX-License-Identifier: GPL-2.0-only
/** The diff of this tree does what the posted patch does: every added C line has its counterpart, file by file. */
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { correspond, type Correspondence } from "../../harness/patch/correspond.js";
import { readPatch, readPatchText } from "../../harness/patch/read.js";
import { linesOf, type PatchLine } from "../../harness/patch/types.js";
import { projectRoot } from "../../harness/root.js";
import { resolvePatch } from "../../harness/variants/resolve.js";
import { readTree } from "../../harness/variants/tree.js";

const root = projectRoot();
const posted = readPatch(join(root, "fixtures/patches/rfc-madv-nomovable.mbox"));
const page = readPatch(join(root, "fixtures/patches/rfc-madv-nomovable.archive.txt"));
const text = readFileSync(join(root, "patches/rfc-madv-nomovable.patch"), "utf8");
const tree = readTree(root);
const textOf = (path: string): string | undefined => tree.get(path);
const compare = (port: string): Correspondence => correspond(posted, readPatchText(port, "port.patch"), textOf);
const words = (lines: readonly { line: PatchLine }[]): string[] => lines.map((at) => at.line.text.trim());

describe("the posted patch and its port", () => {
  it("agree in every added line", () => {
    const found = compare(text);
    expect(words(found.missing), "lines without counterpart").to.deep.equal([]);
    expect(words(found.extra), "lines that the posted patch does not have").to.deep.equal([]);
    expect(found.absent.map((file) => file.path)).to.deep.equal([]);
    expect(found.ok).to.equal(true);
    expect(found.counterparts.map((one) => one.c.line.source)).to.deep.equal(
      posted.files.flatMap((file) => linesOf(file, "add").map((line) => line.source)),
    );
  });

  it("agree file by file", () => {
    const pairs = new Map<string, Set<string>>();
    for (const { c, ts } of compare(text).counterparts) {
      const paths = pairs.get(c.path) ?? new Set<string>();
      ts.forEach((at) => paths.add(at.path));
      pairs.set(c.path, paths);
    }
    expect([...pairs].map(([c, ts]) => [c, ...ts])).to.deep.equal([
      ["include/linux/mm.h", "include/linux/mm.ts"],
      ["include/uapi/asm-generic/mman-common.h", "uapi/mman-common.ts"],
      ["mm/madvise.c", "mm/madvise.ts"],
      ["mm/memory.c", "mm/memory.ts"],
    ]);
  });

  it("agree as the archive shows the patch", () => {
    expect(correspond(page, readPatchText(text, "port.patch"), textOf).ok).to.equal(true);
    const found = resolvePatch(join(root, "fixtures/patches/rfc-madv-nomovable.archive.txt"), root);
    expect(found.variant.name).to.equal("rfc-madv-nomovable");
  });

  it("are found for each other", () => {
    expect(resolvePatch(undefined, root).variant.role).to.equal("review");
    expect(resolvePatch(undefined, root).posted.file).to.equal("fixtures/patches/rfc-madv-nomovable.mbox");
    expect(resolvePatch(join(root, "patches/rfc-madv-nomovable.patch"), root).variant.role).to.equal("review");
  });
});

/** Lines of code that the port adds, imports left out, with their places in the diff's text. */
const diffLines = text.split("\n");
const codeLines = diffLines.flatMap((line, i) =>
  /^\+(?!\+\+ )\s*(?![\s}*/]|import\b)\S/.test(line) && !/^\+\s+\w+,$/.test(line) ? [i] : [],
);

/** The diff with one line changed, and the counts of its hunk with it. */
function without(index: number, by: readonly string[]): string {
  const lines = [...diffLines];
  lines.splice(index, 1, ...by);
  const header = diffLines.findLastIndex((line, i) => i < index && line.startsWith("@@"));
  const change = by.length - 1;
  lines[header] = (lines[header] ?? "").replace(
    /\+(\d+),(\d+) @@/,
    (_, at: string, n: string) => `+${at},${String(Number(n) + change)} @@`,
  );
  return lines.join("\n");
}

describe("a port that is not the posted patch", () => {
  it("has lines to break", () => expect(codeLines.length).to.be.at.least(13));

  for (const index of codeLines) {
    const line = diffLines[index] ?? "";
    it(`is found out when it lacks: ${line.slice(1).trim()}`, () => {
      const found = compare(without(index, []));
      expect(found.ok).to.equal(false);
    });
    it(`is found out when it adds a line after: ${line.slice(1).trim()}`, () => {
      const found = compare(without(index, [line, "+  count_vm_event(k, PGFAULT);"]));
      expect(found.ok).to.equal(false);
      expect(words(found.extra)).to.include("count_vm_event(k, PGFAULT);");
    });
  }

  const changes: readonly (readonly [string, RegExp, string])[] = [
    ["another bit", /0x100000000/, "0x200000000"],
    ["another number", /MADV_NOMOVABLE = 26/, "MADV_NOMOVABLE = 27"],
    ["another condition", /^\+( *)if \(vma_no_movable\(vma\)\)/m, "+$1if (!vma_no_movable(vma))"],
    ["another predicate", /^\+( *)if \(vma_no_movable\(vma\)\)/m, "+$1if (vma_is_accessible(vma))"],
    ["a flag taken off instead of put on", /^(\+.*)vm_flags_or\(/m, "$1vm_flags_andnot("],
    ["another flag", /^(\+ +new_flags.*)VM_NOMOVABLE/m, "$1VM_MERGEABLE"],
    [
      "a test for all flags",
      /^(\+ +return )vm_flags_test\(vma.vm_flags, VM_NOMOVABLE\)/m,
      "$1!vm_flags_test(vma.vm_flags, VM_NOMOVABLE)",
    ],
    ["the restore before the fault", /memalloc_pin_save\(k\);/, "memalloc_pin_restore(k, pf_flags);"],
    ["a value to begin with", /let pf_flags!: number;/, "let pf_flags = 0;"],
    ["a comment about something else", /^(\+ \*.*)MADV_NOMOVABLE/m, "$1MADV_MOVABLE"],
  ];
  for (const [what, from, to] of changes) {
    it(`is found out when it has ${what}`, () => {
      const changed = text.replace(from, to);
      expect(changed, "the line to change is there").not.to.equal(text);
      expect(compare(changed).ok).to.equal(false);
    });
  }

  it("is found out when a file is missing", () => {
    const at = text.indexOf("diff --git a/uapi/");
    const next = text.indexOf("diff --git", at + 1);
    const found = compare(text.slice(0, at) + (next < 0 ? "" : text.slice(next)));
    expect(found.absent.map((file) => file.path)).to.deep.equal(["include/uapi/asm-generic/mman-common.h"]);
    expect(found.ok).to.equal(false);
  });
});
