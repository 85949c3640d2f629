// SPDX-License-Identifier: GPL-2.0-only
/**
 * Does a diff of this tree do what a patch of the kernel does, line by line? Both are brought to tokens without
 * types, storage and layout (see normal.ts); what is left must be the same, in the same order within each function.
 */
import { diffArrays } from "diff";
import { statement } from "./normal.js";
import { mirrors, treePathOf } from "./paths.js";
import { blocksOf, classify, staysOpen, type Block, type Token } from "./tokens.js";
import { linesOf, type Patch, type PatchFile, type PatchLine } from "./types.js";

/** A line of one of the two patches. */
export interface At {
  readonly path: string;
  readonly line: PatchLine;
}

/** What stands for one line of the C patch in the diff. */
export interface Counterpart {
  readonly c: At;
  /** Trivial: a brace, a blank line, a comment that names nothing. */
  readonly kind: "code" | "comment" | "trivial";
  readonly ts: readonly At[];
}

export interface Correspondence {
  readonly ok: boolean;
  /** Added lines of the C patch in order, each with its counterpart. */
  readonly counterparts: readonly Counterpart[];
  /** Lines of the C patch, added or removed, without one. */
  readonly missing: readonly At[];
  /** Code in the diff that the C patch does not have. */
  readonly extra: readonly At[];
  /** Kernel files of which the diff has no file at all. */
  readonly absent: readonly PatchFile[];
}

interface Stream {
  readonly tokens: Token[];
  readonly at: At[];
}

interface Side {
  readonly blocks: readonly Block[];
  readonly stream: Stream;
  readonly files: readonly PatchFile[];
}

/** Lines of a TypeScript text that belong to import statements, trimmed. */
export function importLines(text: string): Set<string> {
  const found = new Set<string>();
  for (const match of text.matchAll(/^import\b[^;]*;/gm)) {
    for (const line of match[0].split("\n")) found.add(line.trim());
  }
  return found;
}

function isImport(line: PatchLine, known: ReadonlySet<string>): boolean {
  const text = line.text.trim();
  return /^import\b|^\} from "/.test(text) || known.has(text);
}

function pathOf(line: PatchLine, files: readonly PatchFile[]): string {
  return files.find((file) => file.hunks.some((hunk) => hunk.lines.includes(line)))?.path ?? "";
}

function sideOf(files: readonly PatchFile[], kind: "add" | "remove", language: "c" | "ts", textOf: TextOf): Side {
  const blocks = files.flatMap((file) => {
    const known = language === "ts" ? importLines(textOf(file.path) ?? "") : new Set<string>();
    return blocksOf(file.hunks, kind, (line) => language === "ts" && isImport(line, known));
  });
  const tokens = blocks.flatMap((block) => block.statements.flatMap((one) => statement(one, language)));
  return { blocks, files, stream: { tokens, at: tokens.map(({ line }) => ({ path: pathOf(line, files), line })) } };
}

/** For each token of `c` the index of its partner in `ts`, or -1. */
function align(c: Side, ts: Side): number[] {
  const a = c.stream.tokens.map((token) => token.t);
  const b = ts.stream.tokens.map((token) => token.t);
  return byFunction(c, b) ?? inOrder(a, b);
}

/** Functions may stand in another order in the mirror: whole runs of one function are looked for anywhere. */
function byFunction(c: Side, b: readonly string[]): number[] | undefined {
  const groups: { section: string; tokens: string[] }[] = [];
  for (const block of c.blocks) {
    const tokens = block.statements.flatMap((one) => statement(one, "c")).map((token) => token.t);
    const last = groups.at(-1);
    if (last !== undefined && last.section === block.section) last.tokens.push(...tokens);
    else groups.push({ section: block.section, tokens });
  }
  const used = new Set<number>();
  const partners: number[] = [];
  for (const { tokens } of groups) {
    const fits = (at: number): boolean => tokens.every((t, j) => b[at + j] === t && !used.has(at + j));
    const at = b.findIndex((_, i) => fits(i));
    if (tokens.length > 0 && at < 0) return undefined;
    tokens.forEach((_, j) => {
      used.add(at + j);
      partners.push(at + j);
    });
  }
  return used.size === b.length ? partners : undefined;
}

function inOrder(a: string[], b: string[]): number[] {
  const partners: number[] = a.map(() => -1);
  let i = 0;
  let j = 0;
  for (const part of diffArrays(a, b)) {
    for (let n = 0; n < part.count; n++) {
      if (part.added) j++;
      else if (part.removed) i++;
      else partners[i++] = j++;
    }
  }
  return partners;
}

function unique(list: readonly At[]): At[] {
  return list.filter((at, i) => list.findIndex((other) => other.line === at.line) === i);
}

const SYMBOL = /\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\b[a-z]\w*_\w+\b|\b\w+(?=\(\))/g;

function symbols(lines: readonly PatchLine[]): string[] {
  return [...new Set(lines.flatMap((line) => line.text.match(SYMBOL) ?? []))];
}

/** Comment lines of the C side with those of the diff that name the same symbols; undefined for none. */
function alignComments(c: Side, ts: Side): Map<PatchLine, PatchLine[] | undefined> {
  const left = ts.blocks.flatMap((block) => block.comments);
  const found = new Map<PatchLine, PatchLine[] | undefined>();
  for (const comment of c.blocks.flatMap((block) => block.comments)) {
    const names = symbols(comment);
    const at = left.findIndex((other) => names.every((name) => symbols(other).includes(name)));
    const other = at < 0 ? undefined : left[at];
    if (names.length > 0 && at >= 0) left.splice(at, 1);
    comment.forEach((line, i) => {
      const partner = other?.[Math.min(i, other.length - 1)];
      found.set(line, names.length === 0 ? [] : partner && [partner]);
    });
  }
  return found;
}

interface Compared {
  counterparts: Counterpart[];
  missing: At[];
  extra: At[];
}

/** Braces, blank lines and preprocessor conditions, which are not compared. */
function trivialLines(file: PatchFile, kind: "add" | "remove"): Set<PatchLine> {
  const trivial = new Set<PatchLine>();
  let inComment = false;
  for (const line of linesOf(file, kind)) {
    if (!["code", "comment"].includes(classify(line.text, inComment))) trivial.add(line);
    inComment = staysOpen(line.text, inComment);
  }
  return trivial;
}

function compare(c: Side, ts: Side, kind: "add" | "remove"): Compared {
  const partners = align(c, ts);
  const comments = alignComments(c, ts);
  const result: Compared = { counterparts: [], missing: [], extra: [] };
  for (const file of c.files) {
    const trivial = trivialLines(file, kind);
    for (const line of linesOf(file, kind)) {
      const own = { path: file.path, line };
      const places = c.stream.tokens.flatMap((token, i) => (token.line === line ? [partners[i] ?? -1] : []));
      const comment = comments.get(line);
      if (trivial.has(line)) result.counterparts.push({ c: own, kind: "trivial", ts: [] });
      else if (comment !== undefined) {
        const at = comment.map((other) => ({ path: pathOf(other, ts.files), line: other }));
        result.counterparts.push({ c: own, kind: at.length > 0 ? "comment" : "trivial", ts: at });
      } else if (comments.has(line) || places.length === 0 || places.includes(-1)) result.missing.push(own);
      else result.counterparts.push({ c: own, kind: "code", ts: unique(places.flatMap((i) => ts.stream.at[i] ?? [])) });
    }
  }
  const used = new Set(partners);
  result.extra.push(...unique(ts.stream.at.filter((_, i) => !used.has(i))));
  // A line that has a counterpart with more on it than it should is no counterpart.
  const spoilt = new Set(result.extra.map((at) => at.line));
  const isSpoilt = (one: Counterpart): boolean => one.ts.some((at) => spoilt.has(at.line));
  result.missing.push(...result.counterparts.filter(isSpoilt).map((one) => one.c));
  return { ...result, counterparts: result.counterparts.filter((one) => !isSpoilt(one)) };
}

/** Text of a file of the patched tree, to tell imports from code. */
export type TextOf = (path: string) => string | undefined;

/** Compares a patch of the kernel with a diff of this tree, file by file. */
export function correspond(c: Patch, ts: Patch, textOf: TextOf = () => undefined): Correspondence {
  const all: Compared = { counterparts: [], missing: [], extra: [] };
  const absent: PatchFile[] = [];
  const taken = new Set<PatchFile>();
  for (const file of c.files) {
    const files = ts.files.filter((one) => mirrors(one.path, file.path));
    files.sort((a, b) => Number(b.path === treePathOf(file.path)) - Number(a.path === treePathOf(file.path)));
    files.forEach((one) => taken.add(one));
    if (files.length === 0) absent.push(file);
    for (const kind of ["add", "remove"] as const) {
      const compared = compare(sideOf([file], kind, "c", textOf), sideOf(files, kind, "ts", textOf), kind);
      if (kind === "add") all.counterparts.push(...compared.counterparts);
      all.missing.push(...compared.missing);
      all.extra.push(...compared.extra);
    }
  }
  for (const file of ts.files.filter((one) => !taken.has(one))) {
    for (const kind of ["add", "remove"] as const)
      all.extra.push(...unique(sideOf([file], kind, "ts", textOf).stream.at));
  }
  const ok = all.missing.length + all.extra.length + absent.length === 0;
  return { ok, ...all, absent };
}
