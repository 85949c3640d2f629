// SPDX-License-Identifier: GPL-2.0-only
/** The mail around a patch: mbox separation, headers, transfer encodings, and what an archive page shows of them. */
import { UserError } from "../errors.js";
import type { SourceLine } from "./types.js";

export interface Mail {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: readonly SourceLine[];
}

const SEPARATOR = /^From \S+.* \d{4}$/;
const HEADER = /^([A-Za-z][A-Za-z0-9-]*):[ \t]?(.*)$/;

/** The mails of an mbox, each from its "From " line on; one element where the file is not an mbox. */
export function splitMails(lines: readonly SourceLine[]): SourceLine[][] {
  const mails: SourceLine[][] = [[]];
  lines.forEach((line, i) => {
    const starts = SEPARATOR.test(line.text) && HEADER.test(lines[i + 1]?.text ?? "");
    if (starts && (mails.at(-1)?.length ?? 0) > 0) mails.push([]);
    mails.at(-1)?.push(line);
  });
  return mails;
}

/** Reads headers and body; undefined where the text does not begin as a mail does. */
export function parseMail(lines: readonly SourceLine[], file: string): Mail | undefined {
  let i = 0;
  while (lines[i]?.text.trim() === "") i++;
  if (SEPARATOR.test(lines[i]?.text ?? "")) i++;
  const headers = new Map<string, string>();
  let last = "";
  for (; i < lines.length && lines[i]?.text !== ""; i++) {
    const text = lines[i]?.text ?? "";
    const match = HEADER.exec(text);
    if (match !== null) {
      last = (match[1] ?? "").toLowerCase();
      if (!headers.has(last)) headers.set(last, match[2] ?? "");
    } else if (/^[ \t]/.test(text) && last !== "") {
      headers.set(last, `${headers.get(last) ?? ""} ${text.trim()}`);
    } else if (/^>From /.test(text)) {
      continue;
    } else {
      return undefined;
    }
  }
  if (["from", "subject", "date", "message-id"].filter((name) => headers.has(name)).length < 2) return undefined;
  for (const [name, value] of headers) headers.set(name, decodeWords(value));
  const body = lines.slice(i + 1).map((line) => ({ ...line, text: line.text.replace(/^>(>*From )/, "$1") }));
  return { headers, body: decodeBody(body, headers, file, lines[0]?.source ?? 1) };
}

function decodeBody(
  body: readonly SourceLine[],
  headers: ReadonlyMap<string, string>,
  file: string,
  first: number,
): readonly SourceLine[] {
  if (/^multipart\//i.test(headers.get("content-type") ?? "")) {
    throw new UserError(`${file}:${String(first)}`, "a mail of several parts", "save the patch itself as plain text");
  }
  switch ((headers.get("content-transfer-encoding") ?? "").toLowerCase()) {
    case "quoted-printable":
      return decodeQuotedPrintable(body);
    case "base64": {
      const text = Buffer.from(body.map((line) => line.text).join(""), "base64").toString("utf8");
      return text.split(/\r?\n/).map((line) => ({ text: line, source: body[0]?.source ?? first }));
    }
    default:
      return body;
  }
}

function decodeQuotedPrintable(body: readonly SourceLine[]): SourceLine[] {
  const decoded: SourceLine[] = [];
  let open: SourceLine | undefined;
  for (const line of body) {
    const soft = line.text.endsWith("=");
    const text = (open?.text ?? "") + (soft ? line.text.slice(0, -1) : line.text);
    open = { text, source: open?.source ?? line.source };
    if (soft) continue;
    decoded.push({ text: unescapeQuoted(open.text), source: open.source });
    open = undefined;
  }
  return decoded;
}

function unescapeQuoted(text: string): string {
  return text.replace(/(?:=[0-9A-F]{2})+/gi, (run) => Buffer.from(run.replaceAll("=", ""), "hex").toString("utf8"));
}

/** Encoded words of RFC 2047 in a header. */
function decodeWords(value: string): string {
  return value
    .replace(/\?=\s+=\?/g, "?==?")
    .replace(/=\?[^?]+\?([bq])\?([^?]*)\?=/gi, (_, encoding: string, word: string) =>
      encoding.toLowerCase() === "b"
        ? Buffer.from(word, "base64").toString("utf8")
        : unescapeQuoted(word.replaceAll("_", " ")),
    );
}

export interface Prologue {
  subject: string;
  author: string;
  date: string;
  messageId: string;
  /** Does the text above the diff look like an archive's page: a title, then From: and Date:? */
  page: boolean;
}

/** What the text above a diff says where there are no mail headers: an archive's page, or `git show`. */
export function readPrologue(lines: readonly SourceLine[]): Prologue {
  const field = (pattern: RegExp): string => {
    for (const line of lines) {
      const match = pattern.exec(line.text);
      if (match !== null) return (match[1] ?? "").trim();
    }
    return "";
  };
  const from = field(/^\s*From:\s*(.+)$/);
  const date = field(/^\s*Date:\s*(.+)$/);
  const commit = field(/^commit ([0-9a-f]{7,40})\b/);
  const title = lines.find(
    (line) => line.text.trim() !== "" && !/^(commit |Author:|Date:|From |Merge:)/.test(line.text),
  );
  return {
    subject: field(/^\s*Subject:\s*(.+)$/) || (title?.text.trim() ?? ""),
    author: from || field(/^Author:\s*(.+)$/),
    date,
    messageId: field(/^\s*Message-I[dD]:\s*(.+)$/),
    page: from !== "" && date !== "" && commit === "",
  };
}
