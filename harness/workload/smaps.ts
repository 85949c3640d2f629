// SPDX-License-Identifier: GPL-2.0-only
/** Reads /proc/PID/smaps as a kernel printed it. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import { UserError } from "../errors.js";
import { readLines } from "../replay/lines.js";

/** One VMA of a recorded address space. */
export interface SmapsVma {
  /** Bytes. */
  readonly start: number;
  readonly end: number;
  readonly perms: string;
  /** Pages; 0 for anonymous memory. */
  readonly pgoff: number;
  readonly name: string;
  readonly flags: readonly string[];
  /** Its numbers other than 0, by name: "Rss", "Anonymous", … in KiB. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly line: number;
}

const HEAD = /^([0-9a-f]{8,16})-([0-9a-f]{8,16}) ([r-][w-][x-][ps]) ([0-9a-f]{8,}) [0-9a-f]+:[0-9a-f]+ \d+ *(.*)$/;
const FIELD = /^([A-Z][A-Za-z_]+): +(.*)$/;

function wrong(path: string, nr: number, what: string): UserError {
  return new UserError(`${path}:${String(nr)}`, what, "give it as /proc/PID/smaps shows it");
}

interface Building extends Omit<SmapsVma, "flags" | "numbers"> {
  flags: string[] | null;
  readonly numbers: Record<string, number>;
}

function head(m: RegExpExecArray, line: number): Building {
  return {
    start: parseInt(m[1]!, 16),
    end: parseInt(m[2]!, 16),
    perms: m[3]!,
    pgoff: parseInt(m[4]!, 16) / PAGE_SIZE,
    name: m[5]!,
    line,
    flags: null,
    numbers: {},
  };
}

function field(vma: Building, name: string, value: string): void {
  if (name === "VmFlags") vma.flags = value.trim() === "" ? [] : value.trim().split(" ");
  else if (parseInt(value, 10) !== 0) vma.numbers[name] = parseInt(value, 10);
}

/** Reads a recorded address space; bad input is a UserError that names file and line. */
export function readSmaps(path: string): SmapsVma[] {
  return parseSmaps(readLines(path), path);
}

/** The same, of its lines; `path` is what an error names. */
export function parseSmaps(lines: readonly string[], path: string): SmapsVma[] {
  const vmas: SmapsVma[] = [];
  let open: Building | null = null;
  const close = (nr: number): void => {
    if (open === null) return;
    if (open.flags === null) throw wrong(path, nr, "a VMA ends without its VmFlags line");
    vmas.push({ ...open, flags: open.flags });
  };
  for (const [i, line] of lines.entries()) {
    const at = HEAD.exec(line);
    if (at !== null) {
      close(i + 1);
      open = head(at, i + 1);
      if (open.start >= open.end) throw wrong(path, i + 1, "a range that ends before it starts");
      continue;
    }
    const f = FIELD.exec(line.trimEnd() === "VmFlags:" ? "VmFlags: " + " " : line);
    if (f === null || open === null) throw wrong(path, i + 1, "not a line of smaps");
    field(open, f[1]!, f[2]!);
  }
  close(lines.length);
  return vmas;
}
