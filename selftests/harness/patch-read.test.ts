// SPDX-License-Identifier: GPL-2.0-only
/** A patch in each form in which people have one: what is read, and what is said of the damage. */
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readPatch, readPatchText } from "../../harness/patch/read.js";
import { linesOf, type Patch } from "../../harness/patch/types.js";
import { projectRoot } from "../../harness/root.js";

const folder = join(projectRoot(), "fixtures/patches");
const MBOX = join(folder, "rfc-madv-nomovable.mbox");
const mbox = readFileSync(MBOX, "utf8");
const squeeze = (text: string): string => text.replace(/\s+/g, " ").trim();

function shape(patch: Patch): unknown {
  const lines = (kind: "add" | "remove" | "context"): string[] =>
    patch.files.flatMap((file) => linesOf(file, kind).map((line) => squeeze(line.text)));
  const hunks = patch.files.map((file) => [
    file.path,
    ...file.hunks.map((hunk) => [hunk.oldStart, hunk.oldLines, hunk.newStart]),
  ]);
  return { hunks, added: lines("add"), removed: lines("remove"), context: lines("context") };
}

describe("reading a patch", () => {
  it("reads the patch as it was mailed", () => {
    const patch = readPatch(MBOX);
    expect(patch.form).to.equal("mail");
    expect(patch.language).to.equal("c");
    expect(patch.subject).to.equal("[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior");
    expect(patch.author).to.equal("Baolin Wang <baolin.wang@linux.alibaba.com>");
    expect(patch.date).to.equal("Mon, 17 Oct 2022 15:32:01 +0800");
    expect(patch.messageId).to.match(/^<bc27af32.*@linux\.alibaba\.com>$/);
    expect(patch.damage).to.deep.equal([]);
    expect(patch.files.map((file) => [file.path, file.hunks.length])).to.deep.equal([
      ["include/linux/mm.h", 2],
      ["include/uapi/asm-generic/mman-common.h", 1],
      ["mm/madvise.c", 3],
      ["mm/memory.c", 3],
    ]);
    expect([patch.added, patch.removed]).to.deep.equal([20, 0]);
  });

  it("gives every line its number in the input", () => {
    const input = mbox.split("\n");
    for (const file of readPatch(MBOX).files) {
      for (const hunk of file.hunks) {
        expect(input[hunk.source - 1]).to.match(/^@@ /);
        for (const line of hunk.lines) expect(input[line.source - 1]?.slice(1)).to.equal(line.text);
      }
    }
  });

  it("numbers the lines of the old and of the new file", () => {
    const [first] = readPatch(MBOX).files;
    const added = first === undefined ? [] : linesOf(first, "add");
    expect(added.map((line) => [line.oldLine, line.newLine])).to.deep.equal(
      [310, 665, 666, 667, 668, 669].map((n) => [0, n]),
    );
  });

  it("reads the archive's page as the same patch, and says what was damaged", () => {
    const page = readPatch(join(folder, "rfc-madv-nomovable.archive.txt"));
    expect(page.form).to.equal("archive");
    expect(page.subject).to.equal("[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior");
    expect(page.author).to.equal("Baolin Wang");
    expect(page.date).to.equal("Mon Oct 17 2022 - 03:32:21 EST");
    expect(page.whitespaceDamaged).to.equal(true);
    expect(page.damage.join("\n"))
      .to.match(/54 context lines/)
      .and.match(/collapsed/)
      .and.match(/obscured/);
    expect(shape(page)).to.deep.equal(shape(readPatch(MBOX)));
  });

  it("reads a plain diff, with or without text above it", () => {
    const diff = mbox.slice(mbox.indexOf("diff --git"));
    for (const text of [diff, `some words\n\n${diff}`]) {
      const patch = readPatchText(text, "x.diff");
      expect(patch.form).to.equal("diff");
      expect(shape(patch)).to.deep.equal(shape(readPatch(MBOX)));
    }
  });

  it("reads what git show prints", () => {
    const head =
      "commit 0123456789abcdef\nAuthor: A B <a@b.c>\nDate:   Mon Oct 17 15:32:01 2022 +0800\n\n    mm: words\n\n";
    const patch = readPatchText(head + mbox.slice(mbox.indexOf("diff --git")), "show.txt");
    expect([patch.form, patch.author, patch.subject]).to.deep.equal(["diff", "A B <a@b.c>", "mm: words"]);
  });

  it("reads plain diff -u, without git's lines and with times", () => {
    const text =
      "--- linux.orig/mm/memory.c\t2022-10-17 10:00:00\n+++ linux/mm/memory.c\t2022-10-17 11:00:00\n@@ -1 +1,2 @@\n one\n+two\n";
    const patch = readPatchText(text, "u.diff");
    expect(patch.files.map((file) => [file.path, file.change])).to.deep.equal([["mm/memory.c", "modify"]]);
  });

  it("repairs CR LF, lost blanks of empty lines, and non-breaking blanks", () => {
    const damaged = mbox.replace(/^ $/gm, "").replaceAll("\n", "\r\n").replace("+\tif (vma", "+\u00a0if (vma");
    const patch = readPatchText(damaged, "x.mbox");
    expect(patch.damage.join("\n"))
      .to.match(/CR LF/)
      .and.match(/empty context lines/)
      .and.match(/non-breaking/);
    expect(shape(patch)).to.deep.equal(shape(readPatch(MBOX)));
  });

  it("takes a line that begins with a minus for context where the counts say so", () => {
    const text =
      "Title\n\nFrom: A\nDate: B\n\n--- a/mm/memory.c\n+++ b/mm/memory.c\n@@ -1,3 +1,4 @@\nreturn\n-EINVAL;\n+case X:\nbreak;\n";
    const [file] = readPatchText(text, "page.txt").files;
    expect(file?.hunks[0]?.lines.map((line) => line.kind)).to.deep.equal(["context", "context", "add", "context"]);
  });

  it("decodes quoted-printable mails and encoded headers", () => {
    const body = mbox
      .slice(mbox.indexOf("\n\n") + 2)
      .replaceAll("=", "=3D")
      .replaceAll("\t", "=09")
      .replace("Avoid movable pages */", "Avoid mov=\nable pages */");
    const head =
      "From: =?UTF-8?q?J=C3=B6rg?= <j@x.y>\nSubject: =?UTF-8?B?bW06IMO8?=\nDate: now\nContent-Transfer-Encoding: quoted-printable\n\n";
    const patch = readPatchText(head + body, "qp.eml");
    expect([patch.author, patch.subject]).to.deep.equal(["Jörg <j@x.y>", "mm: ü"]);
    expect(shape(patch)).to.deep.equal(shape(readPatch(MBOX)));
  });

  it("finds the mail with the patch among those of a thread", () => {
    const reply =
      "From a@b Mon Sep 17 00:00:00 2001\nFrom: R <r@x.y>\nSubject: Re: x\n\n> diff --git a/mm/x.c b/mm/x.c\nNo.\n\n";
    expect(shape(readPatchText(mbox + reply, "thread.mbox"))).to.deep.equal(shape(readPatch(MBOX)));
  });

  it("knows a diff of this tree by its files", () => {
    const text = "--- a/mm/memory.ts\n+++ b/mm/memory.ts\n@@ -1 +1,2 @@\n one\n+two\n";
    expect(readPatchText(text, "x.patch").language).to.equal("ts");
  });
});
