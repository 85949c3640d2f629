// SPDX-License-Identifier: GPL-2.0-only
/** The symbolic constants that strace prints, as numbers. */
import * as memfd from "../../uapi/memfd.js";
import * as mempolicy from "../../uapi/mempolicy.js";
import * as mman from "../../uapi/mman-common.js";
import { BadLine } from "./strace-line.js";

/** Constants of newer kernels and of calls that the model does not make itself. */
const others: Readonly<Record<string, number>> = {
  MADV_GUARD_INSTALL: 102,
  MADV_GUARD_REMOVE: 103,
  MAP_FILE: 0,
  MAP_ANON: mman.MAP_ANONYMOUS,
  MAP_ABOVE4G: 0x80,
  MAP_DROPPABLE: 0x08,
  MFD_HUGE_2MB: 21 << 26,
  MFD_HUGE_1GB: 30 << 26,
  MFD_NOEXEC_SEAL: 8,
  MFD_EXEC: 16,
  FALLOC_FL_KEEP_SIZE: 1,
  FALLOC_FL_PUNCH_HOLE: 2,
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
};

const table = new Map<string, number>(
  [mman, memfd, mempolicy, others].flatMap((names) => Object.entries(names)).filter(isNumber),
);

function isNumber(entry: [string, unknown]): entry is [string, number] {
  return typeof entry[1] === "number";
}

const NUMBER = /^-?(?:0x[0-9a-f]+|\d+)$/i;

/** Flags of `openat` and `clone` that nothing here depends on. */
const ignored = /^(?:O|CLONE|SIG)_?[A-Z0-9_]*$/;

/** The number of a plain argument: decimal, hexadecimal, NULL; a descriptor's annotation is left aside. */
export function numberOf(arg: string): number {
  if (arg === "NULL") return 0;
  const m = /^(-?(?:0x[0-9a-f]+|\d+))(?:<.*>(?:\(deleted\))?)?(?:\s*\/\*.*\*\/)?$/i.exec(arg);
  if (m === null) throw new BadLine(`${JSON.stringify(arg)} is not a number`);
  const value = m[1]!.startsWith("-0x") ? -Number(m[1]!.slice(1)) : Number(m[1]);
  if (!Number.isSafeInteger(value) && Math.abs(value) > 2 ** 64) throw new BadLine(`${arg} is out of range`);
  return value;
}

/** Flags: symbols and numbers joined by `|`, comments left aside. */
export function flagsOf(arg: string): number {
  let value = 0;
  for (const part of arg.replace(/\/\*.*?\*\//g, "").split("|")) {
    const word = part.trim();
    const shifted = /^(\d+)<<([A-Z_0-9]+)$/.exec(word);
    if (NUMBER.test(word)) value += Number(word);
    else if (shifted !== null && shifted[2] === "MAP_HUGE_SHIFT") value += Number(shifted[1]) * 2 ** 26;
    else if (table.has(word)) value += table.get(word)!;
    else if (!ignored.test(word)) throw new BadLine(`unknown constant ${JSON.stringify(word)}`);
  }
  return value;
}

/** A bit mask: words of 64 bits, the lowest first. */
export function maskOf(arg: string): bigint {
  const words = /^\[((?:0x)?[0-9a-f]+(?:, (?:0x)?[0-9a-f]+)*)?\]$/.exec(arg);
  if (words === null) throw new BadLine(`${JSON.stringify(arg)} is not a mask`);
  const read = (word: string): bigint => BigInt(word.startsWith("0x") ? word : `0x${word}`);
  return (words[1]?.split(", ") ?? []).reduceRight((mask, word) => (mask << 64n) | read(word), 0n);
}

/** A descriptor and what `-y` says of it. */
export interface FdArg {
  readonly fd: number;
  readonly path: string | null;
  readonly deleted: boolean;
}

export function fdOf(arg: string): FdArg {
  const m = /^(-?\d+|AT_FDCWD)(?:<(.*)>(\(deleted\))?)?$/.exec(arg);
  if (m === null) throw new BadLine(`${JSON.stringify(arg)} is not a file descriptor`);
  return { fd: m[1] === "AT_FDCWD" ? -100 : Number(m[1]), path: m[2] ?? null, deleted: m[3] !== undefined };
}

/** The text of a quoted string. */
export function stringOf(arg: string): string {
  const m = /^"((?:[^"\\]|\\.)*)"(?:\.\.\.)?$/.exec(arg);
  if (m === null) throw new BadLine(`${JSON.stringify(arg)} is not a string`);
  return m[1]!.replace(/\\(.)/g, "$1");
}
