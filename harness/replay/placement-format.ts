// SPDX-License-Identifier: GPL-2.0-only
/** Recordings of format mm-placement/1 (fixtures/placement): schema and reader. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { fileError, UserError } from "../errors.js";

const count = z
  .int()
  .min(0)
  .max(2 ** 40);
const MigrateTypes = z.object({
  Unmovable: count,
  Movable: count,
  Reclaimable: count,
  HighAtomic: count,
  CMA: count,
  Isolate: count,
});
const orders = z.array(count).length(11);
const FreeLists = z.object({
  Unmovable: orders,
  Movable: orders,
  Reclaimable: orders,
  HighAtomic: orders,
  CMA: orders,
  Isolate: orders,
});
const Zone = z.object({
  free: count,
  min: count,
  low: count,
  high: count,
  spanned: count,
  present: count,
  managed: count,
  cma: count,
  free_cma: count,
  pcp_count: count,
  pcp_batch: count,
  start_pfn: count,
});
const Vmstat = z.object({ nr_free_pages: count, nr_free_cma: count, pgmigrate_success: count, pgmigrate_fail: count });
const Pin = z.object({ ret: z.int(), errno: count, pages_pinned: count, cma_left: count, after: Vmstat });

/** [first page, pages of this step in CMA or ZONE_MOVABLE, nr_free_pages, nr_free_cma] */
const Step = z.tuple([count, count, count, count]);

const RunFields = z.object({
  run: z
    .string()
    .regex(
      /^(run (memfd|anon) ([1-9]\d* [012]|MAP_POPULATE then advice|fallocate then advice)|inject p [\d.]+ nomovable [01] mib [1-9]\d*)$/,
      {
        error: "an unknown kind of run",
      },
    ),
  steps: z.array(Step),
  kind: z.enum(["memfd", "anon"]).optional(),
  pages: count.optional(),
  nomovable: z.int().min(0).max(2).optional(),
  populate: z.enum(["madv", "map", "fallocate"]).optional(),
  before: Vmstat.optional(),
  cma_pages: count.optional(),
  populated: Vmstat.optional(),
  pin: Pin.optional(),
  madvise: z.int().optional(),
  madvise_after: z.int().optional(),
  fallocate: z.int().optional(),
  errno: z.int().optional(),
  /** Where the OOM killer ended the run. */
  killed: z.union([z.boolean(), z.string()]).optional(),
});

const Run = RunFields.refine((run) => planOf(run).pages > 0, { path: ["pages"], error: "a run of no size" });

const Boot = z
  .object({
    cmdline: z.string(),
    cpus: z.int().min(1).max(64),
    cma_pfn: z.exactOptional(z.tuple([count, count])),
    movable_zone_start_pfn: count.optional(),
    zones: z.record(z.enum(["DMA", "DMA32", "Normal", "Movable"]).or(z.string()), Zone),
    free_lists: z.record(z.string(), FreeLists),
    pageblocks: z.record(z.string(), MigrateTypes),
    runs: z.array(Run),
  })
  .refine((b) => Object.keys(b.zones).every((zone) => zone in b.free_lists && zone in b.pageblocks), {
    error: "a zone without free_lists or pageblocks",
  });

/** A whole recording. */
export const PlacementFile = z.object({
  format: z.literal("mm-placement/1", { error: "not of format mm-placement/1" }),
  kernel: z.string(),
  boots: z.array(Boot).min(1),
});

export type PlacementRun = z.infer<typeof RunFields>;
export type PlacementBoot = z.infer<typeof Boot>;
export type PlacementRecording = z.infer<typeof PlacementFile>;

const TODO = "compare with docs/RECORDINGS.md or record it again";

/** Line of a place in a text, from 1. */
function lineAt(text: string, position: number): number {
  return text.slice(0, position).split("\n").length;
}

/** Where JSON.parse gave up, as it says itself. */
function positionOf(error: unknown, text: string): number {
  const m = /at position (\d+)/.exec(error instanceof Error ? error.message : "");
  return m === null ? text.length : Number(m[1]);
}

/** Is this the text of a placement recording? */
export function isPlacement(text: string): boolean {
  return text.slice(0, 200).includes('"mm-placement/');
}

/** Reads and checks a placement recording; bad input is a UserError that names file and line. */
export function readPlacement(path: string): PlacementRecording {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(path, error, "recording");
  }
  let json: unknown;
  try {
    json = JSON.parse(text) as unknown;
  } catch (error) {
    const where = `${path}:${String(lineAt(text, positionOf(error, text)))}`;
    throw new UserError(where, "cut or damaged: not JSON", "fetch the recording again");
  }
  const parsed = PlacementFile.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UserError(`${path}:1`, `${issue.path.map(String).join(".")}: ${issue.message}`, TODO);
}

/** What a run did, taken from its name where the recording leaves it out. */
export interface RunPlan {
  readonly kind: "memfd" | "anon";
  readonly pages: number;
  readonly populate: "madv" | "map" | "fallocate";
  /** 0 none, 1 before the memory was populated, 2 after it. */
  readonly nomovable: number;
  /** Percent of allocations that fail while pinning. */
  readonly failPercent: number;
  /** Pages that are populated at a time. */
  readonly step: number;
}

const PAGES_PER_MIB = 256;

export function planOf(run: PlacementRun): RunPlan {
  const inject = /^inject p ([\d.]+) nomovable (\d) mib (\d+)$/.exec(run.run);
  if (inject !== null) {
    const pages = Number(inject[3]) * PAGES_PER_MIB;
    return {
      kind: "memfd",
      pages,
      populate: "madv",
      nomovable: Number(inject[2]),
      failPercent: Number(inject[1]),
      step: pages,
    };
  }
  const named = /^run (memfd|anon) (\d+) (\d)$/.exec(run.run);
  const pages = run.pages ?? Number(named?.[2] ?? 0) * PAGES_PER_MIB;
  const populate =
    run.populate ?? (run.run.includes("MAP_POPULATE") ? "map" : run.run.includes("fallocate") ? "fallocate" : "madv");
  return {
    kind: run.kind ?? (run.run.startsWith("run anon") ? "anon" : "memfd"),
    pages,
    populate,
    nomovable: run.nomovable ?? Number(named?.[3] ?? 0),
    failPercent: 0,
    step: populate === "madv" ? 512 : pages,
  };
}
