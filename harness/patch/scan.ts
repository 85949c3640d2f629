// SPDX-License-Identifier: GPL-2.0-only
/** Finds the files and hunks of a diff in text, wherever they lie in it, and checks that the diff is whole. */
import { parsePatch } from "diff";
import { UserError } from "../errors.js";
import { isHunkHeader, readHunk, type ReadHunk } from "./hunks.js";
import { linesOf, type PatchFile, type SourceLine } from "./types.js";

export interface Scan {
  readonly files: PatchFile[];
  /** Index of the first line that belongs to the diff. */
  readonly first: number;
  readonly unblanked: number;
  readonly emptied: number;
}

interface OpenFile {
  source: number;
  oldName: string;
  newName: string;
  /** Was a --- and +++ pair read? */
  named: boolean;
  /** Was there something that needs no hunk (a mode, a rename)? */
  hunkless: boolean;
  hunks: ReadHunk[];
}

const TOPS =
  /^(mm|include|uapi|arch|kernel|fs|drivers|lib|tools|Documentation|ipc|net|block|security|init|harness|selftests|patches)\//;

/** The path inside the tree: without a/ and b/, without the time behind, without a top folder. */
function treePath(name: string): string {
  const path = name
    .replace(/(\t| \d{4}-\d\d-\d\d).*$/, "")
    .trim()
    .replace(/^"(.*)"$/, "$1");
  if (path === "/dev/null" || TOPS.test(path)) return path;
  const below = path.slice(path.indexOf("/") + 1);
  return /^[abciow]\//.test(path) || TOPS.test(below) ? below : path;
}

function checkDirection(open: OpenFile, file: string): void {
  const swapped = /^b\//.test(open.oldName) && /^a\//.test(open.newName);
  const orig = !/\.orig\b/.test(open.oldName) && /\.orig\b/.test(open.newName);
  if (!swapped && !orig) return;
  const what = `the diff is reversed: it goes from ${open.oldName.trim()} to ${open.newName.trim()}`;
  throw new UserError(`${file}:${String(open.source)}`, what, "turn it round (git diff without -R) and give it again");
}

function closeFile(open: OpenFile | undefined, file: string): PatchFile | undefined {
  if (open === undefined) return undefined;
  const where = `${file}:${String(open.source)}`;
  if (open.hunks.length === 0) {
    if (open.hunkless) return undefined;
    const what = `the diff is cut off: no hunk follows for ${treePath(open.newName) || "this file"}`;
    throw new UserError(where, what, "save the patch again, whole");
  }
  const oldPath = treePath(open.oldName);
  const newPath = treePath(open.newName);
  const hunks = open.hunks.map((read) => read.hunk);
  const change =
    oldPath === "/dev/null" ? "create" : newPath === "/dev/null" ? "delete" : oldPath === newPath ? "modify" : "rename";
  const path = newPath === "/dev/null" ? oldPath : newPath;
  const diff = parsePatch(cleanText(open, oldPath, newPath))[0];
  if (diff === undefined) throw new UserError(where, "the diff cannot be parsed", "take the patch as it was mailed");
  return { path, change, source: open.source, hunks, diff };
}

/** The file's part of the diff as it must have been, for the diff package's parser. */
function cleanText(open: OpenFile, oldPath: string, newPath: string): string {
  const mark = { add: "+", remove: "-", context: " " };
  const out = [`--- ${oldPath}`, `+++ ${newPath}`];
  for (const { hunk, noEndNew, noEndOld } of open.hunks) {
    const from = `${String(hunk.oldStart - (hunk.oldLines === 0 ? 1 : 0))},${String(hunk.oldLines)}`;
    const to = `${String(hunk.newStart - (hunk.newLines === 0 ? 1 : 0))},${String(hunk.newLines)}`;
    out.push(`@@ -${from} +${to} @@ ${hunk.section}`);
    hunk.lines.forEach((line) => out.push(mark[line.kind] + line.text));
    if (noEndNew || noEndOld) out.push("\\ No newline at end of file");
  }
  return `${out.join("\n")}\n`;
}

class Scanner {
  readonly files: PatchFile[] = [];
  first = -1;
  unblanked = 0;
  emptied = 0;
  private open: OpenFile | undefined;
  private readonly lines: readonly SourceLine[];
  private readonly file: string;

  constructor(lines: readonly SourceLine[], file: string) {
    this.lines = lines;
    this.file = file;
  }

  run(): Scan {
    for (let i = 0; i < this.lines.length;) i = this.step(i);
    this.close();
    this.checkStat();
    return { files: this.files, first: this.first, unblanked: this.unblanked, emptied: this.emptied };
  }

  private close(): void {
    const done = closeFile(this.open, this.file);
    if (done !== undefined) this.files.push(done);
    this.open = undefined;
  }

  private begin(i: number, oldName: string, newName: string, named: boolean): void {
    this.close();
    if (this.first < 0) this.first = i;
    this.open = { source: this.lines[i]?.source ?? 0, oldName, newName, named, hunkless: false, hunks: [] };
    checkDirection(this.open, this.file);
  }

  /** Takes what is at line `i`; returns the index of what is next. */
  private step(i: number): number {
    const text = this.lines[i]?.text ?? "";
    const where = `${this.file}:${String(this.lines[i]?.source ?? 0)}`;
    const git = /^diff --git "?(\S+)"? "?(\S+)"?$/.exec(text);
    if (git !== null) this.begin(i, git[1] ?? "", git[2] ?? "", false);
    else if (text.startsWith("diff --git ")) this.begin(i, "", "", false);
    else if (text.startsWith("--- ") && (this.lines[i + 1]?.text ?? "").startsWith("+++ ")) return this.names(i);
    else if (isHunkHeader(text)) return this.hunk(i);
    else if (text.startsWith("@@@ "))
      throw new UserError(where, "a diff of a merge", "give the diff against one parent");
    else if (/^(GIT binary patch|Binary files .* differ)/.test(text)) {
      throw new UserError(where, "a binary patch", "the model is text: give a patch of source files");
    } else if (
      this.open?.hunks.length === 0 &&
      /^(old mode|new mode|rename |copy |similarity |new file|deleted file)/.test(text)
    ) {
      this.open.hunkless = true;
    }
    return i + 1;
  }

  private names(i: number): number {
    const oldName = (this.lines[i]?.text ?? "").slice(4);
    const newName = (this.lines[i + 1]?.text ?? "").slice(4);
    if (this.open === undefined || this.open.named) this.begin(i, oldName, newName, true);
    else {
      Object.assign(this.open, { oldName, newName, named: true, hunkless: false });
      checkDirection(this.open, this.file);
    }
    return i + 2;
  }

  private hunk(i: number): number {
    const where = `${this.file}:${String(this.lines[i]?.source ?? 0)}`;
    if (this.open?.named !== true) {
      throw new UserError(
        where,
        "a hunk of no file: no --- and +++ lines before it",
        "give the patch from its diff --git line on",
      );
    }
    const read = readHunk(this.lines, i, this.file);
    this.open.hunks.push(read);
    this.unblanked += read.unblanked;
    this.emptied += read.emptied;
    return read.next;
  }

  /** The summary that git writes above a diff knows how much there was. */
  private checkStat(): void {
    if (this.first < 0) return;
    const above = this.lines.slice(0, this.first);
    const at = above.findLast((line) => /^ ?\d+ files? changed/.test(line.text));
    if (at === undefined) return;
    const number = (pattern: RegExp): number => Number(pattern.exec(at.text)?.[1] ?? 0);
    const said = [number(/(\d+) file/), number(/(\d+) insertion/), number(/(\d+) deletion/)] as const;
    const count = (kind: "add" | "remove"): number => this.files.reduce((n, file) => n + linesOf(file, kind).length, 0);
    const found = [this.files.length, count("add"), count("remove")] as const;
    if (found[0] >= said[0] && found[1] >= said[1] && found[2] >= said[2]) return;
    const words = (n: readonly [number, number, number]): string =>
      `${String(n[0])} files, ${String(n[1])} added and ${String(n[2])} removed lines`;
    const what = `the diff is cut off: its summary says ${words(said)}, it holds ${words(found)}`;
    throw new UserError(`${this.file}:${String(at.source)}`, what, "save the patch again, whole");
  }
}

/** Reads all files and hunks; throws a UserError where the diff is damaged beyond repair. */
export function scanDiff(lines: readonly SourceLine[], file: string): Scan {
  return new Scanner(lines, file).run();
}
