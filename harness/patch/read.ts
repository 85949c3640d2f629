// SPDX-License-Identifier: GPL-2.0-only
/** Reads a patch in any of the forms in which people have one, and says what it met. */
import { readFileSync } from "node:fs";
import { fileError, UserError } from "../errors.js";
import { parseMail, readPrologue, splitMails } from "./mail.js";
import { scanDiff, type Scan } from "./scan.js";
import { linesOf, type Patch, type PatchFile, type PatchForm, type SourceLine } from "./types.js";

const WAYS = "give the patch as mailed, as a diff, or as an archive shows it";

function load(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError(path, error, "patch");
  }
}

/** Reads the patch in the file `path`. Throws a UserError that names file and line. */
export function readPatch(path: string): Patch {
  return readPatchText(load(path), path);
}

/** The same for bytes or text that the caller has; `file` is the name for messages. */
export function readPatchText(data: Buffer | string, file: string): Patch {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  if (bytes.length === 0) throw new UserError(file, "the file is empty", WAYS);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b)
    throw new UserError(`${file}:1`, "the file is compressed", "unpack it with gunzip");
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    const line = bytes.subarray(0, nul).filter((byte) => byte === 10).length + 1;
    throw new UserError(`${file}:${String(line)}`, "a binary file, not a patch", WAYS);
  }
  return interpret(bytes.toString("utf8"), file);
}

function cleanLines(text: string, damage: string[]): SourceLine[] {
  let clean = text.replace(/^\uFEFF/, "");
  if (clean.includes("\r")) {
    clean = clean.replace(/\r+\n/g, "\n");
    damage.push("line ends were CR LF: taken as LF");
  }
  if (clean.includes("\u00a0")) {
    clean = clean.replaceAll("\u00a0", " ");
    damage.push("blanks were non-breaking ones: taken as blanks");
  }
  const lines = clean.split("\n").map((line, i) => ({ text: line, source: i + 1 }));
  if (lines.at(-1)?.text === "") lines.pop();
  return lines;
}

/** The one mail of an mbox that holds a diff. */
function pickMail(lines: SourceLine[], file: string): SourceLine[] {
  const mails = splitMails(lines);
  if (mails.length === 1) return lines;
  const withDiff = mails.filter((mail) => mail.some((line) => /^(diff --git |--- a\/|@@ -)/.test(line.text)));
  const second = withDiff[1]?.[0];
  if (second !== undefined) {
    throw new UserError(
      `${file}:${String(second.source)}`,
      "a second mail with a patch begins here",
      "give one patch a file",
    );
  }
  return withDiff[0] ?? lines;
}

function noDiff(lines: readonly SourceLine[], file: string): UserError {
  if (lines.every((line) => line.text.trim() === "")) return new UserError(`${file}:1`, "the file is empty", WAYS);
  const quoted = lines.find((line) => /^> ?(diff --git|@@ -|--- a\/)/.test(line.text));
  if (quoted !== undefined) {
    return new UserError(
      `${file}:${String(quoted.source)}`,
      "the diff is quoted with >",
      "give the mail that it was posted in",
    );
  }
  if (/^\s*<(!doctype|html)/i.test(lines[0]?.text ?? "")) {
    return new UserError(`${file}:1`, "a page in HTML", "paste its text, or download the raw mail");
  }
  return new UserError(
    `${file}:1`,
    `no diff in these ${String(lines.length)} lines: no diff --git line and no @@ hunk`,
    WAYS,
  );
}

function languageOf(files: readonly PatchFile[], file: string): "c" | "ts" {
  const ts = files.filter((one) => one.path.endsWith(".ts"));
  if (ts.length === 0) return "c";
  const other = files.find((one) => !one.path.endsWith(".ts"));
  if (other === undefined) return "ts";
  const what = `the patch changes TypeScript and ${other.path}`;
  throw new UserError(
    `${file}:${String(other.source)}`,
    what,
    "give either the kernel's patch or the diff of this tree",
  );
}

/** Are tabs and runs of blanks gone? C is indented by tabs, this tree's TypeScript by two blanks. */
function isCollapsed(files: readonly PatchFile[], language: "c" | "ts"): boolean {
  const texts = files.flatMap((one) => one.hunks.flatMap((hunk) => hunk.lines.map((line) => line.text)));
  if (language === "ts") return texts.some((text) => /^ \S/.test(text) && !/^ \*/.test(text));
  const indented = texts.some((text) => text.includes("\t") || /^ {2,}\S/.test(text));
  return !indented && texts.some((text) => /^(return|case|break|if|goto)\b|^ [^*\s]/.test(text));
}

function damageOf(scan: Scan, collapsed: boolean, above: readonly SourceLine[]): string[] {
  const damage: string[] = [];
  if (scan.unblanked > 0) {
    const n = String(scan.unblanked + scan.emptied);
    damage.push(`${n} context lines had lost the blank in front: restored by the line counts of the hunks`);
  } else if (scan.emptied > 0) {
    damage.push(`${String(scan.emptied)} empty context lines had lost their blank: restored`);
  }
  if (collapsed) damage.push("tabs and runs of blanks were collapsed: lines are compared without regard to blanks");
  if (above.some((line) => /@x{3,}/i.test(line.text)))
    damage.push("mail addresses are obscured: the author's is not known");
  return damage;
}

function interpret(text: string, file: string): Patch {
  const damage: string[] = [];
  const lines = pickMail(cleanLines(text, damage), file);
  const mail = parseMail(lines, file);
  const body = mail?.body ?? lines;
  const scan = scanDiff(body, file);
  if (scan.files.length === 0) {
    if (scan.first < 0) throw noDiff(lines, file);
    throw new UserError(
      `${file}:${String(body[scan.first]?.source ?? 1)}`,
      "the diff changes no line",
      "modes and names alone are not evaluated",
    );
  }
  const above = body.slice(0, scan.first);
  const page = readPrologue(above);
  const language = languageOf(scan.files, file);
  const whitespaceDamaged = isCollapsed(scan.files, language);
  damage.push(...damageOf(scan, whitespaceDamaged, above));
  const form: PatchForm = mail !== undefined ? "mail" : page.page || scan.unblanked > 0 ? "archive" : "diff";
  const inBody = /^From:\s*(.+)$/.exec(above.find((line) => line.text.trim() !== "")?.text ?? "")?.[1];
  const header = (name: string): string => mail?.headers.get(name) ?? "";
  const count = (kind: "add" | "remove"): number => scan.files.reduce((n, one) => n + linesOf(one, kind).length, 0);
  return {
    file,
    form,
    subject: mail === undefined ? page.subject : header("subject"),
    author: mail === undefined ? page.author : (inBody ?? header("from")),
    date: mail === undefined ? page.date : header("date"),
    messageId: mail === undefined ? page.messageId : header("message-id"),
    damage,
    whitespaceDamaged,
    language,
    files: scan.files,
    added: count("add"),
    removed: count("remove"),
  };
}
