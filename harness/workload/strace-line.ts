// SPDX-License-Identifier: GPL-2.0-only
/** One line of `strace -f -y`: who, what call, its arguments as text, what it returned. */

/** What a call returned: a number or address, an errno's name, or nothing (the process was gone). */
export interface StraceReturn {
  readonly value: number | null;
  /** "ENOENT" … where the value is -1. */
  readonly errno: string | null;
  /** What `-y` says of a returned descriptor. */
  readonly path: string | null;
}

export interface CallText {
  readonly name: string;
  readonly args: readonly string[];
}

export type StraceLine =
  | { readonly kind: "call"; readonly pid: number; readonly call: CallText; readonly ret: StraceReturn }
  | { readonly kind: "unfinished"; readonly pid: number; readonly name: string; readonly text: string }
  | { readonly kind: "resumed"; readonly pid: number; readonly name: string; readonly text: string }
  | { readonly kind: "exited"; readonly pid: number; readonly status: number; readonly signal: string | null }
  | { readonly kind: "signal"; readonly pid: number };

/** Why a line is not one that strace wrote whole. */
export class BadLine extends Error {
  override name = "BadLine";
}

const CUT = "the line is cut";

/** Past the `>` of an annotation that opens at `at`: paths may hold `>` (sockets write `->`). */
function endOfAnnotation(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === ">" && (i + 1 === text.length || ",) (=]}".includes(text[i + 1]!))) return i;
  }
  throw new BadLine(CUT);
}

function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i;
  }
  throw new BadLine(CUT);
}

/** Splits arguments at commas of the top level; `end` is where the closing parenthesis stands. */
function splitArgs(text: string, from: number): { args: string[]; end: number } {
  const args: string[] = [];
  let depth = 0;
  let start = from;
  for (let i = from; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') i = endOfString(text, i);
    else if (c === "<" && /[0-9D]/.test(text[i - 1] ?? "")) i = endOfAnnotation(text, i);
    else if (c === "(" || c === "[" || c === "{") depth++;
    else if (c === ")" && depth === 0) {
      const last = text.slice(start, i).trim();
      if (last !== "" || args.length > 0) args.push(last);
      return { args, end: i };
    } else if (c === ")" || c === "]" || c === "}") depth--;
    else if (c === "," && depth === 0) {
      args.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  throw new BadLine(CUT);
}

const RETURN =
  /^\s*=\s+(?:(-?\d+|0x[0-9a-f]+|\?)(?:<(.*)>(\(deleted\))?)?)(?:\s+([A-Z][A-Z0-9_]*))?(?:\s+\(.*\))?(?:\s+<\d+\.\d+>)?\s*$/;

function parseReturn(text: string): StraceReturn {
  const m = RETURN.exec(text);
  if (m === null)
    throw new BadLine(text.trim() === "" || /^\s*=?\s*$/.test(text) ? CUT : "what the call returned cannot be read");
  const [, value, path, , errno] = m;
  if (value === "-1" && errno === undefined) throw new BadLine(CUT);
  return { value: value === "?" ? null : Number(value), errno: errno ?? null, path: path ?? null };
}

/** Parses `name(args) = ret`. */
export function parseCall(text: string): { call: CallText; ret: StraceReturn } {
  const m = /^([a-z_][a-z0-9_]*)\(/.exec(text);
  if (m === null) throw new BadLine("not a line of strace -f -y");
  const { args, end } = splitArgs(text, m[0].length);
  return { call: { name: m[1]!, args }, ret: parseReturn(text.slice(end + 1)) };
}

/** Parses a line; throws a BadLine. */
export function parseLine(line: string): StraceLine {
  const m = /^(?:(?:\[pid\s+)?(\d+)\]?\s+)?(.*)$/.exec(line)!;
  const pid = Number(m[1] ?? 0);
  const text = m[2]!;
  const resumed = /^<\.\.\. ([a-z0-9_]+) resumed>(.*)$/.exec(text);
  if (resumed !== null) return { kind: "resumed", pid, name: resumed[1]!, text: resumed[2]! };
  const unfinished = /^([a-z_][a-z0-9_]*)\((.*?)\s*<unfinished \.\.\.>$/.exec(text);
  if (unfinished !== null) return { kind: "unfinished", pid, name: unfinished[1]!, text: unfinished[2]! };
  const exited = /^\+\+\+ (?:exited with (\d+)|killed by (SIG[A-Z0-9+]+)(?: \(core dumped\))?) \+\+\+$/.exec(text);
  if (exited !== null) return { kind: "exited", pid, status: Number(exited[1] ?? 0), signal: exited[2] ?? null };
  if (/^--- (?:SIG[A-Z0-9_]+ \{.*\}|stopped by SIG[A-Z]+) ---$/.test(text)) return { kind: "signal", pid };
  if (/^(?:\+\+\+|---)/.test(text)) throw new BadLine(CUT);
  return { kind: "call", pid, ...parseCall(text) };
}
