// SPDX-License-Identifier: GPL-2.0-only
/**
 * Compares the address space that a replay ends with to the recorded one. The recordings are of a 6.18 kernel: where
 * that differs from v6.1 by design, the difference is accepted here, one rule each, and counted.
 */
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { KernelModule, Machine } from "../replay/kernel.js";
import { GATE } from "./process.js";
import type { Workload } from "./read.js";
import type { ReplayedProgram } from "./replay.js";
import { numberOf } from "./symbols.js";

export interface AcceptedDifference {
  readonly rule: string;
  readonly reason: string;
  /** VMAs of the recording that it concerns. */
  count: number;
}

export interface WorkloadComparison {
  readonly accepted: readonly AcceptedDifference[];
  /** VMAs as text: of the recording, of the model, or of both where they start alike. */
  readonly differences: readonly { readonly expected: string | null; readonly got: string | null }[];
  readonly vmas: number;
}

interface Vma {
  start: number;
  end: number;
  readonly perms: string;
  readonly pgoff: number;
  readonly name: string;
  readonly flags: string;
  readonly anonymous: number;
  readonly stripped: boolean;
}

type Range = readonly [number, number];

const RULES = {
  gate: "[vsyscall] is shown by /proc but is no VMA of the address space (get_gate_vma)",
  stack:
    "MAP_STACK sets VM_NOHUGEPAGE since v6.7; in v6.1 it sets nothing, so such a VMA merges with an equal neighbour",
  account:
    "mprotect() takes VM_ACCOUNT from private memory that was never written and becomes read-only; v6.1 keeps it",
} as const;

function text(vma: Vma): string {
  const range = `${vma.start.toString(16)}-${vma.end.toString(16)}`;
  return `${range} ${vma.perms} ${(vma.pgoff * PAGE_SIZE).toString(16).padStart(8, "0")} ${vma.name} [${vma.flags}]`;
}

/** Ranges of the calls of this name that succeeded and whose arguments satisfy `wanted`. */
function rangesOf(w: Workload, name: string, wanted: (args: readonly string[]) => boolean): Range[] {
  const ranges: Range[] = [];
  for (const call of w.calls) {
    if (call.name !== name || call.ret.errno !== null || call.ret.value === null || !wanted(call.args)) continue;
    const start = name === "mmap" ? call.ret.value : numberOf(call.args[0]!);
    ranges.push([start, start + numberOf(call.args[1]!)]);
  }
  return ranges;
}

const within = (vma: Vma, ranges: readonly Range[]): boolean =>
  ranges.some(([from, to]) => vma.start >= from && vma.end <= to);

class Rules {
  private readonly counts = new Map<keyof typeof RULES, number>();
  take(rule: keyof typeof RULES): void {
    this.counts.set(rule, (this.counts.get(rule) ?? 0) + 1);
  }
  list(): AcceptedDifference[] {
    return [...this.counts].map(([rule, count]) => ({ rule, reason: RULES[rule], count }));
  }
}

/** The recorded address space as v6.1 would show it. */
function expectedVmas(w: Workload, rules: Rules): Vma[] {
  const stacks = rangesOf(w, "mmap", (a) => /\bMAP_STACK\b/.test(a[3] ?? ""));
  const out: Vma[] = [];
  for (const { start, end, perms, pgoff, name, flags, anonymous } of w.after) {
    if (name === GATE) {
      rules.take("gate");
      continue;
    }
    const plain: Vma = { start, end, perms, pgoff, name, flags: flags.join(" "), anonymous, stripped: false };
    const strip = flags.includes("nh") && name === "" && within(plain, stacks);
    if (strip) rules.take("stack");
    const vma = strip ? { ...plain, flags: flags.filter((f) => f !== "nh").join(" "), stripped: true } : plain;
    const last = out.at(-1);
    if (last !== undefined && joins(last, vma)) out[out.length - 1] = { ...last, end: vma.end, stripped: true };
    else out.push(vma);
  }
  return out;
}

/** Would these two be one VMA, had the flag of MAP_STACK not kept them apart? */
function joins(a: Vma, b: Vma): boolean {
  if (a.end !== b.start || !(a.stripped || b.stripped)) return false;
  return a.perms === b.perms && a.flags === b.flags && a.name === "" && b.name === "" && a.perms.endsWith("p");
}

function gotVmas(kernel: KernelModule, k: Machine, r: ReplayedProgram): Vma[] {
  return kernel.show_smaps(k, r.mm).map((row) => ({
    start: row.start,
    end: row.end,
    perms: row.perms,
    pgoff: row.pgoff,
    name: row.name,
    flags: row.VmFlags.join(" "),
    anonymous: 0,
    stripped: false,
  }));
}

/** Is VM_ACCOUNT all that differs, and was this very range made unwritable by mprotect() without having been touched? */
function accountOnly(e: Vma, g: Vma, unwritable: readonly Range[]): boolean {
  if (e.anonymous !== 0 || e.name !== "" || e.perms[1] !== "-" || !e.perms.endsWith("p")) return false;
  const flags = g.flags.split(" ");
  if (!flags.includes("ac") || flags.filter((f) => f !== "ac").join(" ") !== e.flags) return false;
  if (text({ ...g, flags: "" }) !== text({ ...e, flags: "" })) return false;
  return unwritable.some(([from, to]) => from === e.start && to === e.end);
}

export function compareAfter(kernel: KernelModule, k: Machine, w: Workload, r: ReplayedProgram): WorkloadComparison {
  const rules = new Rules();
  const expected = expectedVmas(w, rules);
  const got = new Map(gotVmas(kernel, k, r).map((vma) => [vma.start, vma]));
  const unwritable = rangesOf(w, "mprotect", (a) => !/\bPROT_WRITE\b/.test(a[2] ?? ""));
  const differences: { expected: string | null; got: string | null }[] = [];
  for (const e of expected) {
    const g = got.get(e.start);
    got.delete(e.start);
    if (g !== undefined && text(g) === text(e)) continue;
    if (g !== undefined && accountOnly(e, g, unwritable)) rules.take("account");
    else differences.push({ expected: text(e), got: g === undefined ? null : text(g) });
  }
  for (const g of got.values()) differences.push({ expected: null, got: text(g) });
  return { accepted: rules.list(), differences, vmas: expected.length };
}
