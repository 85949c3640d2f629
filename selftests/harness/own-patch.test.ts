// SPDX-License-Identifier: GPL-2.0-only
/** A patch of one's own, from the base tree to the report, as the README describes it. */
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Progress } from "../../harness/evaluate/progress.js";
import type { Report } from "../../harness/evaluate/report.js";
import { projectRoot } from "../../harness/root.js";
import { baseTree } from "../../harness/variants/spec.js";
import { patchproofHere, type Ended } from "./program.js";

/** A guest of four pages, small enough to be pinned thousands of times in a test. */
const FILE = "3</memfd:guest>(deleted)";
const STRACE = `7 memfd_create("guest", MFD_CLOEXEC) = ${FILE}
7 ftruncate(${FILE}, 16384) = 0
7 mmap(NULL, 16384, PROT_READ|PROT_WRITE, MAP_SHARED, ${FILE}, 0) = 0x7fa7c7fff000
7 madvise(0x7fa7c7fff000, 16384, MADV_POPULATE_WRITE) = 0
`;
const SMAPS = "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\nVmFlags: rd wr mr mw me gd ac \n";

describe("a patch of one's own", () => {
  let folder: string;
  const run = (...args: string[]): Promise<Ended> => patchproofHere(folder, ...args);
  const refused = (line: string): Ended => ({ status: 2, out: "", err: `patchproof: ${line}\n` });

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "patchproof-own-"));
    writeFileSync(join(folder, "guest.strace"), STRACE);
    for (const when of ["before", "after"]) writeFileSync(join(folder, `guest.${when}.smaps`), SMAPS);
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it("begins with the variants that there are", async () => {
    const { status, out, err } = await run("variant");
    expect([status, err]).to.deep.equal([0, ""]);
    expect(out).to.match(/^base +base +without the patch\nrfc-madv-nomovable +review +mm: Introduce .*\.mbox\n/);
    expect((await run("variant", "patch")).out.split(/ +/, 2)).to.deep.equal(["rfc-madv-nomovable", "review"]);
  });

  it("is a diff on the base tree, and evaluated the same from the same seed", async () => {
    const base = join(folder, "base");
    expect(await run("variant", "base", "--out", "base")).to.include({ status: 0, err: "" });
    for (const [path, text] of baseTree()) expect(readFileSync(join(base, path), "utf8") === text, path).to.equal(true);
    const git = (...args: string[]): string => execFileSync("git", args, { cwd: base, encoding: "utf8" });
    git("init", "--quiet");
    git("add", ".");
    git("apply", join(projectRoot(), "patches/rfc-madv-nomovable.patch"));
    const file = join(base, "mm/madvise.ts");
    const set = "new_flags = vm_flags_or(new_flags, VM_NOMOVABLE);";
    writeFileSync(file, readFileSync(file, "utf8").replace(set, `if (vma.vm_file !== null) ${set}`));
    writeFileSync(join(folder, "files-only.patch"), git("diff"));

    const how = "--workload guest.strace --memory 4M --cma 2M --no-selftests --variants patch --seed 7".split(" ");
    const [one, two] = [
      await run("evaluate", "files-only.patch", ...how, "--json", "--out", "one"),
      await run("evaluate", "files-only.patch", ...how, "--jobs", "1", "--out", "two"),
    ];
    expect([one.status, one.err, two.status, two.err]).to.deep.equal([0, "", 0, ""]);
    expect(readFileSync(join(folder, "one/evaluation.json"), "utf8")).to.equal(one.out);
    for (const name of ["evaluation.json", "evaluation.md"])
      expect(readFileSync(join(folder, "one", name)).equals(readFileSync(join(folder, "two", name))), name).to.equal(
        true,
      );

    const report = JSON.parse(one.out) as Report;
    expect(report.patch).to.deep.include({ file: "files-only.patch", form: "a plain diff", aside: [], damage: [] });
    expect(report.placement.map((p) => [p.use, p.inCma > 0, p.advice])).to.deep.equal([
      ["patch", true, null],
      ["patch+advice", false, "0"],
      ["patch+late", true, "0"],
    ]);
    expect(report.cells.some((cell) => cell.random)).to.equal(true);
    expect(report.verdict.sentences, "without base there is nothing to compare").to.deep.equal([]);
    expect(two.out).to.include(report.verdict.headline.slice(0, 40));
  });

  it("is not begun where something lies, or without a name", async () => {
    mkdirSync(join(folder, "taken"));
    writeFileSync(join(folder, "taken/mine"), "");
    expect(await run("variant", "base", "--out", "taken")).to.deep.equal(
      refused("taken: the folder is not empty; name a new or an empty folder"),
    );
    expect(readdirSync(join(folder, "taken"))).to.deep.equal(["mine"]);
    expect(await run("variant", "base", "--out", "guest.strace")).to.deep.equal(
      refused("guest.strace: is a file, not a folder; name a new or an empty folder"),
    );
    expect(await run("variant", "--out", "new")).to.deep.equal(
      refused("--out: no variant is named; as in: patchproof variant base --out DIR"),
    );
  });
});

describe("the progress of an evaluation", () => {
  function written(isTTY: boolean, withTests: boolean): string {
    let text = "";
    const write = (part: string): boolean => {
      text += part;
      return true;
    };
    const nothing = (): boolean => true;
    const cursor = { cursorTo: nothing, moveCursor: nothing, clearLine: nothing, clearScreenDown: nothing };
    const progress = new Progress(withTests, { isTTY, columns: 80, write, ...cursor } as unknown as NodeJS.WriteStream);
    progress.sweep(16, 16);
    progress.stop();
    return text;
  }

  it("is a line on a terminal, and nothing in a pipe", () => {
    expect(written(false, true)).to.equal("");
    expect(written(true, true)).to.match(/50 % {2}sweep 16\/16 {2}selftests -/);
    expect(written(true, false))
      .to.match(/100 % {2}sweep 16\/16/)
      .and.not.match(/selftests/);
  });
});
