// SPDX-License-Identifier: GPL-2.0-only
/** The list of known differences between v6.1 and later kernels (fixtures/host-differences.json). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { fileError, UserError } from "../errors.js";
import type { Divergence } from "../replay/run-case.js";
import type { TraceStep, TraceVma } from "../replay/trace-format.js";
import { sameWindow } from "../replay/window.js";
import { projectRoot } from "../root.js";

const Release = z.string().regex(/^\d+(\.\d+)+$/, "not a kernel release such as 6.7");
const Returned = z.strictObject({ host: z.string(), model: z.string() });

/** How two windows may differ, and no further. */
const Window = z.strictObject({
  /** In page states. */
  pages: z.literal(true).optional(),
  /** In where VMAs are split that agree in everything else: the host has fewer, or either. */
  merging: z.enum(["host", "either"]).optional(),
  /** In these words of VmFlags. */
  flags: z.array(z.string()).optional(),
  /** In anything: the call does something else. */
  any: z.literal(true).optional(),
});

const Difference = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]+$/),
  /** The first release that has it, and the first that has it no more. */
  since: Release,
  until: Release.optional(),
  /** What changed in the kernel, and how that shows. */
  change: z.string().min(10),
  reason: z.string().min(10),
  calls: z.array(z.string()).min(1),
  /** Bits that the flags of the call hold; behaviors of madvise. */
  flags: z.int().optional(),
  behaviors: z.array(z.int()).optional(),
  /** What was returned; the same on both sides where it is left out. */
  returned: z.array(Returned).optional(),
  /** Where it is left out, the windows are the same. */
  window: Window.optional(),
});
export type KnownDifference = z.infer<typeof Difference>;
type Windows = z.infer<typeof Window>;

/** Words that later kernels have for flags that 6.1 shows as "??". */
const Word = z.strictObject({ since: Release, host: z.string().length(2), model: z.string().length(2) });

const List = z.strictObject({ words: z.array(Word), differences: z.array(Difference) });
export type KnownList = z.infer<typeof List>;

export const NO_LIST: KnownList = { words: [], differences: [] };

function compareReleases(a: string, b: string): number {
  const [x, y] = [a, b].map((r) => r.split(".").map(Number));
  for (let i = 0; i < Math.max(x!.length, y!.length); i++) {
    const d = (x![i] ?? 0) - (y![i] ?? 0);
    if (d !== 0) return d;
  }
  return 0;
}

function holds(range: { since: string; until?: string | undefined }, release: string): boolean {
  if (compareReleases(release, range.since) < 0) return false;
  return range.until === undefined || compareReleases(release, range.until) < 0;
}

/** Checks a list; a bad one is a UserError that names `path`. */
export function parseKnown(text: string, path: string): KnownList {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UserError(path, "not JSON", "fetch the file again");
  }
  const parsed = List.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UserError(
    path,
    `${issue.path.map(String).join(".")}: ${issue.message}`,
    "harness/compare/known.ts has the format",
  );
}

/** The list for a release of the kernel. */
export function readKnown(release: string, path = join(projectRoot(), "fixtures", "host-differences.json")): KnownList {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(path, error, "list of known differences");
  }
  const { words, differences } = parseKnown(text, path);
  return {
    words: words.filter((w) => holds(w, release)),
    differences: differences.filter((d) => holds(d, release)),
  };
}

/** The steps as 6.1 would show them, where later kernels have a word more. */
export function asModelled(steps: readonly TraceStep[], list: KnownList): TraceStep[] {
  const words = new Map(list.words.map((w) => [w.host, w.model]));
  if (words.size === 0) return [...steps];
  const window = (vmas: readonly TraceVma[] | undefined): TraceVma[] | undefined =>
    vmas?.map(([range, perms, pgoff, name, flags, pages]) => {
      const shown = flags.split(" ").map((word) => words.get(word) ?? word);
      return [range, perms, pgoff, name, shown.join(" "), pages];
    });
  const one = (step: TraceStep): TraceStep => ({
    ...step,
    vmas: window(step.vmas),
    child_vmas: window(step.child_vmas),
    child: step.child?.map(one),
  });
  return steps.map(one);
}

/** Joins neighbours that agree in everything. */
function joined(window: readonly TraceVma[]): TraceVma[] {
  const out: TraceVma[] = [];
  for (const vma of window) {
    const last = out.at(-1);
    const [start, end] = vma[0].split("-").map(Number) as [number, number];
    const [from, to] = (last?.[0] ?? "0-0").split("-").map(Number) as [number, number];
    const follows = vma[3] === "" || last?.[2] === vma[2] - (to - from);
    if (last !== undefined && to === start && follows && [1, 3, 4].every((i) => last[i] === vma[i])) {
      out[out.length - 1] = [`${String(from)}-${String(end)}`, last[1], last[2], last[3], last[4], last[5] + vma[5]];
    } else out.push(vma);
  }
  return out;
}

function windowMatches(d: Divergence, allowed: Windows | undefined): boolean {
  if (!d.differences.some((x) => x.what === "window") || allowed?.any === true) return true;
  if (allowed === undefined) return false;
  if (allowed.merging === "host" && d.expected.length >= d.got.length) return false;
  const dropped = new Set(allowed.flags);
  const bare = (window: readonly TraceVma[]): TraceVma[] => {
    const rows = window.map(([range, perms, pgoff, name, flags, pages]): TraceVma => {
      const kept = flags.split(" ").filter((word) => !dropped.has(word));
      return [range, perms, pgoff, name, kept.join(" "), pages];
    });
    return allowed.merging === undefined ? rows : joined(rows);
  };
  return sameWindow(bare(d.expected), bare(d.got), allowed.pages !== true);
}

const FLAGS_AT: Readonly<Record<string, number>> = { mmap: 3, mremap: 3 };

function callMatches(step: TraceStep, known: KnownDifference): boolean {
  if (!known.calls.includes(step.call)) return false;
  const flags = Number(step.args[FLAGS_AT[step.call] ?? 2]);
  if (known.flags !== undefined && (flags & known.flags) !== known.flags) return false;
  return known.behaviors === undefined || known.behaviors.includes(flags);
}

/** The entry of the list that a difference is, wholly; null where there is none. */
export function knownDifference(d: Divergence, list: KnownList): KnownDifference | null {
  if (d.thrown !== null) return null;
  const rest = d.differences.filter((x) => x.what !== "window" && x.what !== "returned");
  const returned = d.differences.find((x) => x.what === "returned");
  for (const known of list.differences) {
    if (!callMatches(d.call, known) || !windowMatches(d, known.window)) continue;
    const named = known.returned ?? [];
    if (returned !== undefined && !named.some((r) => r.host === returned.expected && r.model === returned.got))
      continue;
    if (rest.some((x) => returned === undefined || x.what !== "moved to")) continue;
    return known;
  }
  return null;
}
