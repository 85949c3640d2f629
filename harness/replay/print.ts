// SPDX-License-Identifier: GPL-2.0-only
/** A divergence for a person: the call in words, expected and got side by side, the window drawn before and after. */
import { diffArrays } from "diff";
import * as mman from "../../uapi/mman-common.js";
import type { Colours } from "../output.js";
import type { Divergence } from "./run-case.js";
import type { TraceStep, TraceVma } from "./trace-format.js";
import { vmaText } from "./window.js";

function namesOf(prefix: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries(mman)) if (name.startsWith(prefix)) names.set(value, name);
  return names;
}

const madvNames = namesOf("MADV_");

function bits(value: number, prefix: string, leaveOut: readonly string[] = []): string {
  const parts: string[] = [];
  let rest = value;
  for (const [bit, name] of namesOf(prefix)) {
    if (bit === 0 || leaveOut.includes(name) || (rest & bit) !== bit) continue;
    parts.push(name);
    rest &= ~bit;
  }
  if (rest !== 0 || parts.length === 0) parts.push(rest === 0 ? "0" : `0x${rest.toString(16)}`);
  return parts.join("|");
}

const prot = (value: number): string => (value === 0 ? "PROT_NONE" : bits(value, "PROT_"));

/** A call of a recording as one would write it, with page numbers of the window for addresses. */
export function callInWords(step: TraceStep): string {
  const a = step.args.map(Number);
  const range = `page ${String(a[0])}, ${String(a[1])} pages`;
  switch (step.call) {
    case "mmap": {
      const flags = bits(a[3]!, "MAP_", ["MAP_TYPE", "MAP_SHARED_VALIDATE"]);
      const from = a[4] === -1 ? "" : `, memfd ${String(a[4])} from page ${String(a[5])}`;
      return `mmap(${range}, ${prot(a[2]!)}, ${flags}${from})`;
    }
    case "mprotect":
      return `mprotect(${range}, ${prot(a[2]!)})`;
    case "madvise":
      return `madvise(${range}, ${madvNames.get(a[2]!) ?? String(a[2])})`;
    case "madvise_bytes":
      return `madvise(window + ${String(step.args[0])} bytes, ${String(step.args[1])} bytes, ${madvNames.get(a[2]!) ?? String(a[2])})`;
    case "mremap":
      return `mremap(page ${String(a[0])}, ${String(a[1])} pages to ${String(a[2])}, ${bits(a[3]!, "MREMAP_")}, page ${String(a[4])})`;
    case "name":
      return `prctl(PR_SET_VMA_ANON_NAME, ${range}, ${JSON.stringify(step.args[2] ?? null)})`;
    case "r":
      return `read of page ${String(a[0])}`;
    case "w":
      return `write of ${String(a[1])} to page ${String(a[0])}`;
    case "munmap":
    case "mlock":
    case "munlock":
    case "mincore":
      return `${step.call}(${range})`;
    case "falloc":
      return `fallocate(memfd ${String(a[0])}, mode ${String(a[1])}, page ${String(a[2])}, ${String(a[3])} pages)`;
    default:
      return `${step.call}(${step.args.map(String).join(", ")})`;
  }
}

/** One row of cells: what each page of the window's used part is. */
function drawing(window: readonly TraceVma[], pages: boolean): string[] {
  return window.length === 0 ? ["(empty)"] : window.map((vma) => vmaText(vma, pages));
}

function pad(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width);
}

/** Expected and got in two columns; rows that differ are marked. */
function sideBySide(d: Divergence, pages: boolean, c: Colours): string[] {
  const left = d.expected.map((vma) => vmaText(vma, pages));
  const right = d.got.map((vma) => vmaText(vma, pages));
  const width = Math.max(8, ...left.map((l) => l.length));
  const rows = [`    ${pad("expected", width)}   got`];
  const only: { removed: string[]; added: string[] } = { removed: [], added: [] };
  const flush = (): void => {
    const n = Math.max(only.removed.length, only.added.length);
    for (let i = 0; i < n; i++) {
      const l = pad(only.removed[i] ?? "", width);
      rows.push(`  ${c.red("!")} ${c.green(l)} ${c.red("≠")} ${c.red(only.added[i] ?? "")}`.trimEnd());
      rows.push(...marks(only.removed[i], only.added[i], width));
    }
    only.removed = [];
    only.added = [];
  };
  for (const part of diffArrays(left, right)) {
    if (part.removed) only.removed.push(...part.value);
    else if (part.added) only.added.push(...part.value);
    else {
      flush();
      for (const line of part.value) rows.push(`    ${pad(line, width)}   ${line}`.trimEnd());
    }
  }
  flush();
  return rows;
}

/** A line of carets under the characters that differ. */
function marks(l: string | undefined, r: string | undefined, width: number): string[] {
  if (l === undefined || r === undefined) return [];
  let under = "";
  for (let i = 0; i < Math.max(l.length, r.length); i++) under += l[i] === r[i] ? " " : "^";
  return [`    ${pad(under, width)}   ${under}`.trimEnd()];
}

/** The lines that tell a person of a divergence. */
export function printDivergence(d: Divergence, file: string, pages: boolean, c: Colours): string[] {
  const lines = [`${c.red("DIVERGED")} ${file}: case ${c.bold(d.caseId)}, step ${d.step}: ${callInWords(d.call)}`];
  for (const { what, expected, got } of d.differences) {
    lines.push(`  ${what}: expected ${c.green(expected)}, got ${c.red(got)}`);
  }
  if (d.thrown !== null && d.thrown.includes("\n")) lines.push(...d.thrown.split("\n").map((l) => `    ${l}`));
  lines.push("  before:", ...drawing(d.before, pages).map((l) => `    ${l}`));
  const windowDiffers = d.differences.some((x) => x.what === "window");
  lines.push("  after:");
  if (windowDiffers || d.thrown !== null) lines.push(...sideBySide(d, pages, c));
  else lines.push(...drawing(d.got, pages).map((l) => `    ${l}`));
  return lines;
}
