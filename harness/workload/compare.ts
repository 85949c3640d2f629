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
  readonly start: number;
  readonly end: number;
  readonly perms: string;
  readonly pgoff: number;
  readonly name: string;
  readonly flags: string;
}

interface Recorded extends Vma {
  /** Has it anonymous pages? */
  readonly touched: boolean;
}

type Range = readonly [number, number];

const RULES = {
  gate: "[vsyscall] is shown by /proc but is no VMA of the address space (get_gate_vma)",
  stack:
    "MAP_STACK sets VM_NOHUGEPAGE since v6.7; in v6.1 it sets nothing, so such a VMA merges with an equal neighbour",
  account:
    "mprotect() takes VM_ACCOUNT from private memory that was never written and becomes read-only; v6.1 keeps it",
  lockonfault: "later kernels name VM_LOCKONFAULT in smaps (lf); v6.1 prints ??",
  unlinked: "the name of the file went by a call that is not in the recording",
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

/** The recorded address space, in the words of v6.1's smaps. */
function recordedVmas(w: Workload, rules: Rules): Recorded[] {
  const vmas: Recorded[] = [];
  for (const { start, end, perms, pgoff, name, flags, numbers } of w.after) {
    if (name === GATE) {
      rules.take("gate");
      continue;
    }
    if (flags.includes("lf")) rules.take("lockonfault");
    const shown = flags.map((f) => (f === "lf" ? "??" : f)).join(" ");
    vmas.push({ start, end, perms, pgoff, name, flags: shown, touched: numbers["Anonymous"] !== undefined });
  }
  return vmas;
}

function gotVmas(kernel: KernelModule, k: Machine, r: ReplayedProgram): Vma[] {
  return kernel.show_smaps(k, r.mm).map(({ start, end, perms, pgoff, name, VmFlags }) => {
    return { start, end, perms, pgoff, name, flags: VmFlags.join(" ") };
  });
}

const without = (flags: string, flag: string): string =>
  flags
    .split(" ")
    .filter((f) => f !== flag)
    .join(" ");

/** Which rule explains that a part of a recorded VMA has other flags than what the model has there, if one does. */
class Later {
  private readonly stacks: readonly Range[];
  private readonly unwritable: readonly Range[];

  constructor(w: Workload) {
    this.stacks = rangesOf(w, "mmap", (a) => /\bMAP_STACK\b/.test(a[3] ?? ""));
    this.unwritable = rangesOf(w, "mprotect", (a) => !/\bPROT_WRITE\b/.test(a[2] ?? ""));
  }

  rule(part: Recorded, got: Vma): "stack" | "account" | null {
    if (part.name !== "" || !part.perms.endsWith("p") || part.flags === got.flags) return null;
    if (without(part.flags, "nh") === got.flags && within(part, this.stacks)) return "stack";
    const unwritable = part.perms[1] === "-" && !part.touched && within(part, this.unwritable);
    return unwritable && without(got.flags, "ac") === part.flags ? "account" : null;
  }
}

/**
 * Cuts a VMA where VMAs of a sorted list begin and end: its parts, each with the one of the list that holds it. Those before
 * `first` end before it.
 */
function* parts(
  vma: Recorded,
  list: readonly Vma[],
  first: number,
): Generator<[part: Recorded, holder: Vma | undefined]> {
  let at = vma.start;
  for (let i = first; i < list.length && list[i]!.start < vma.end; i++) {
    const other = list[i]!;
    if (other.start > at) yield [{ ...vma, start: at, end: other.start }, undefined];
    const from = Math.max(at, other.start);
    at = Math.min(vma.end, other.end);
    yield [{ ...vma, start: from, end: at }, other];
  }
  if (at < vma.end) yield [{ ...vma, start: at }, undefined];
}

/** The recorded address space as v6.1 would have it: flags that a rule explains are the model's, and VMAs merge so. */
function expectedVmas(w: Workload, got: readonly Vma[], rules: Rules): Vma[] {
  const later = new Later(w);
  const out: Vma[] = [];
  let changedLast = false;
  let first = 0;
  for (const vma of recordedVmas(w, rules)) {
    const taken = new Set<keyof typeof RULES>();
    let inside = false;
    while (first < got.length && got[first]!.end <= vma.start) first++;
    for (const [part, holder] of parts(vma, got, first)) {
      const rule = holder === undefined ? null : later.rule(part, holder);
      if (rule !== null) taken.add(rule);
      const flags = rule === null ? part.flags : holder!.flags;
      const last = out.at(-1);
      const mayJoin = inside || changedLast || rule !== null;
      if (mayJoin && last !== undefined && joins(last, { ...part, flags }))
        out[out.length - 1] = { ...last, end: part.end };
      else out.push({ ...part, flags });
      changedLast = rule !== null;
      inside = true;
    }
    for (const rule of taken) rules.take(rule);
  }
  return out;
}

function joins(a: Vma, b: Vma): boolean {
  return a.end === b.start && a.flags === b.flags && a.perms === b.perms && a.name === b.name;
}

export function compareAfter(kernel: KernelModule, k: Machine, w: Workload, r: ReplayedProgram): WorkloadComparison {
  const rules = new Rules();
  const vmas = gotVmas(kernel, k, r);
  const expected = expectedVmas(w, vmas, rules);
  const got = new Map(vmas.map((vma) => [vma.start, vma]));
  const differences: { expected: string | null; got: string | null }[] = [];
  for (const e of expected) {
    const g = got.get(e.start);
    got.delete(e.start);
    if (g !== undefined && text(g) === text(e)) continue;
    if (g !== undefined && text({ ...g, name: `${g.name} (deleted)` }) === text(e)) rules.take("unlinked");
    else differences.push({ expected: text(e), got: g === undefined ? null : text(g) });
  }
  for (const g of got.values()) differences.push({ expected: null, got: text(g) });
  return { accepted: rules.list(), differences, vmas: expected.length };
}
