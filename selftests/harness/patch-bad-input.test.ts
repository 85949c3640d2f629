// SPDX-License-Identifier: GPL-2.0-only
/** Patches that cannot be read or evaluated: one line each, with file and line and what to do. */
import { expect } from "chai";
import { tmpdir } from "node:os";
import { readPatch, readPatchText } from "../../harness/patch/read.js";
import { projectRoot } from "../../harness/root.js";
import { resolveRead } from "../../harness/variants/resolve.js";
import { mbox, misplaced, port, turned, unfitting, upstream } from "./patch-texts.js";

const root = projectRoot();
/** What is said of it; the test fails where nothing is. */
function complaint(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).to.have.property("name", "UserError");
    const { message } = error as Error;
    expect(message, "one line").not.to.match(/[\n\r]/);
    return message;
  }
  throw new Error("it was taken without complaint");
}
const reading = (data: Buffer | string): string => complaint(() => readPatchText(data, "x.mbox"));
const evaluating = (text: string): string => complaint(() => resolveRead(readPatchText(text, "x.mbox"), root));

describe("a patch that cannot be read", () => {
  it("does not exist", () =>
    expect(complaint(() => readPatch("/no/such.mbox"))).to.match(/^\/no\/such\.mbox: no such patch; /));
  it("is a directory", () => expect(complaint(() => readPatch(tmpdir()))).to.match(/is a directory/));
  it("is empty", () => expect(reading("")).to.match(/^x\.mbox: the file is empty; /));
  it("is blank", () => expect(reading("\n\n \n")).to.match(/^x\.mbox:1: the file is empty; /));
  it("is a binary file", () => expect(reading(Buffer.from("ab\n\0\x01c"))).to.match(/^x\.mbox:2: a binary file/));
  it("is compressed", () => expect(reading(Buffer.from([0x1f, 0x8b, 8, 0]))).to.match(/gunzip/));
  it("has no diff", () => expect(reading("Hello,\n\nno patch here.\n")).to.match(/^x\.mbox:1: no diff/));
  it("quotes the diff", () =>
    expect(reading("On X, Y wrote:\n> diff --git a/x b/x\n")).to.match(/^x\.mbox:2: the diff is quoted/));
  it("is a page in HTML", () => expect(reading("<!DOCTYPE html><p>x")).to.match(/HTML/));

  it("is a binary patch", () => {
    expect(reading("diff --git a/mm/x.png b/mm/x.png\nindex 1..2 100644\nGIT binary patch\nliteral 3\n")).to.match(
      /^x\.mbox:3: a binary patch/,
    );
    expect(reading("diff --git a/x b/x\nBinary files a/x and b/x differ\n")).to.match(/^x\.mbox:2: a binary patch/);
  });

  it("holds two patches", () => expect(reading(mbox + mbox)).to.match(/^x\.mbox:\d+: a second mail with a patch/));
  it("is the diff of a merge", () => expect(reading("diff --cc mm/x.c\n@@@ -1,2 -1,2 +1,3 @@@\n")).to.match(/merge/));
  it("is a hunk of no file", () =>
    expect(reading("@@ -1 +1,2 @@\n a\n+b\n")).to.match(/^x\.mbox:1: a hunk of no file/));
  it("was wrapped by a mailer", () => {
    expect(
      reading(mbox.replace("\t/* Avoid movable pages */\n \n #if", "\n/* Avoid movable pages */\n \n #if")),
    ).to.match(/do not add up/);
  });
});

describe("a diff that is cut off", () => {
  it("after any line, is refused with its place", () => {
    const lines = mbox.split("\n");
    const first = lines.findIndex((line) => line.startsWith("diff --git"));
    const last = lines.findIndex((line) => line === "-- ");
    // The hunks are whole once their last line is there.
    for (let n = first + 1; n < last; n++) {
      expect(reading(`${lines.slice(0, n).join("\n")}\n`), `cut after line ${String(n)}`).to.match(
        /^x\.mbox:\d+: .*(cut off|cannot be read)/,
      );
    }
  });

  it("inside a line, is refused too", () => {
    const start = mbox.indexOf("diff --git");
    for (let n = start + 30; n < mbox.lastIndexOf("return ret"); n += 53) {
      expect(reading(mbox.slice(0, n)), `cut after ${String(n)} bytes`).to.match(/^x\.mbox:\d+: /);
    }
  });

  it("names the hunk and what it announces", () => {
    const text = "--- a/mm/memory.c\n+++ b/mm/memory.c\n@@ -1,3 +1,4 @@\n a\n+b\n";
    expect(reading(text)).to.equal(
      "x.mbox:3: the diff is cut off: the hunk announces 3 old and 4 new lines, and the file ends at line 5 after 1 and 2; save the patch again, whole",
    );
  });
});

describe("a patch that cannot be evaluated", () => {
  it("is reversed by git diff -R", () => {
    const text = turned(mbox)
      .replace(/ a\/(\S+) b\//g, " b/$1 a/")
      .replace(/^--- a\//gm, "--- b/")
      .replace(/^\+\+\+ b\//gm, "+++ a/");
    expect(evaluating(text)).to.match(/^x\.mbox:\d+: the diff is reversed/);
  });
  it("is reversed by hand", () =>
    expect(evaluating(turned(mbox))).to.match(/^x\.mbox:\d+: the diff is reversed: .* rfc-madv-nomovable; /));
  it("is the port, reversed", () =>
    expect(evaluating(turned(port))).to.match(/^x\.mbox:\d+: the diff of \S+ is reversed/));

  it("touches a file that is not modelled", () => {
    const said = evaluating(mbox.replaceAll("mm/madvise.c", "mm/slab_common.c"));
    expect(said).to.match(/^x\.mbox:\d+: mm\/slab_common\.c is not modelled; docs\/FIDELITY\.md lists/);
    expect(mbox.split("\n")[Number(/:(\d+):/.exec(said)?.[1]) - 1]).to.match(/^diff --git a\/mm\/madvise\.c/);
  });
  it("has no port", () =>
    expect(evaluating(upstream)).to.match(
      /^x\.mbox:\d+: .*(not modelled|no patch in patches\/series|has no counterpart)/,
    ));

  it("differs from the port in a line, and names both", () => {
    const said = evaluating(mbox.replace("+\t\tnew_flags |= VM_NOMOVABLE;", "+\t\tnew_flags |= VM_MERGEABLE;"));
    expect(said).to.match(
      /^x\.mbox:92: the added line 'new_flags \|= VM_MERGEABLE;' of mm\/madvise\.c has no counterpart/,
    );
  });

  it("has a hunk whose context is of another place", () => {
    expect(evaluating(misplaced)).to.match(/^x\.mbox:87: hunk 1 of 3 for mm\/madvise\.c does not apply/);
  });

  it("is a diff of this tree whose hunk does not apply", () => {
    expect(evaluating(unfitting)).to.match(
      /^x\.mbox:\d+: hunk 1 of 2 for include\/linux\/mm\.ts does not apply to the base tree; diffs are made on base/,
    );
  });
  it("is a diff of a file that is not there", () =>
    expect(evaluating("--- a/mm/none.ts\n+++ b/mm/none.ts\n@@ -1 +1,2 @@\n a\n+b\n")).to.match(
      /^x\.mbox:1: mm\/none\.ts is not in the model/,
    ));
  it("changes TypeScript and C", () => {
    const two =
      "--- a/mm/a.ts\n+++ b/mm/a.ts\n@@ -1 +1,2 @@\n a\n+b\n--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1 +1,2 @@\n a\n+b\n";
    expect(reading(two)).to.match(/^x\.mbox:6: the patch changes TypeScript and mm\/a\.c/);
  });
});
