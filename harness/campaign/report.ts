// SPDX-License-Identifier: GPL-2.0-only
/** The report of a campaign, and how the reports of its shards become that of the whole. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { pin_failure } from "../../include/linux/pin_report.js";
import { fileError, UserError } from "../errors.js";
import { addTallies } from "./tally.js";

export const CAMPAIGN_FORMAT = "patchproof-campaign/1";

const Outcome = z.enum(["succeeds", "fails", "loops", "sleeps"]);
const Count = z.int().min(0);
const Example = z.object({ at: Count, text: z.string() });
const TallySchema = z.object({
  runs: Count,
  outcomes: z.record(Outcome, Count),
  reasons: z.record(z.string(), Count),
  attributed: z.record(
    z.string(),
    z.object({
      runs: Count,
      at: Count,
      text: z.string(),
      failure: z.custom<pin_failure>((f) => typeof f === "object"),
    }),
  ),
  broken: Count,
  surprises: Count,
  examples: z.record(z.string(), z.array(Example).readonly()),
  causes: z.record(z.string(), z.object({ runs: Count, succeeded: Count })),
});

const Part = z.object({
  use: z.string(),
  title: z.string(),
  /** Pages of the guest. */
  pages: Count,
  /** How many of them lie in CMA. */
  inCma: Count,
  tally: TallySchema,
});

const Single = z.object({
  use: z.string(),
  /** What a pin comes to when nothing is in the way: of a guest that has only just been populated, and of one in use. */
  fresh: Outcome,
  used: Outcome,
  /** By cause, the outcome for each duration. */
  causes: z.record(z.string(), z.array(Outcome)),
});

const CampaignReport = z.object({
  format: z.literal(CAMPAIGN_FORMAT),
  kind: z.enum(["exhaustive", "random"]),
  seed: Count,
  shard: z.object({ index: Count, count: Count }),
  /** Seeds of a random campaign, pages of an exhaustive one. */
  size: Count,
  singles: z.array(Single),
  parts: z.array(Part),
});

export type CampaignReport = z.infer<typeof CampaignReport>;
export type CampaignPart = z.infer<typeof Part>;
export type SinglePages = z.infer<typeof Single>;

export function campaignJson(report: CampaignReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}

function readReport(path: string): CampaignReport {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(path, error, "report");
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UserError(path, "is not JSON", "give the campaign.json of a shard");
  }
  const parsed = CampaignReport.safeParse(json);
  if (!parsed.success) {
    const at = parsed.error.issues[0]?.path.join(".") ?? "";
    throw new UserError(path, `is not the report of a campaign (${at})`, "give the campaign.json of a shard");
  }
  return parsed.data;
}

const asked = ({ kind, seed, size, shard, singles, parts }: CampaignReport): string =>
  JSON.stringify([kind, seed, size, shard.count, singles, parts.map(({ tally: _, ...part }) => part)]);

/** Makes the report of the whole of those of all its shards. */
export function mergeReports(paths: readonly string[]): CampaignReport {
  const reports = paths.map(readReport);
  const [first] = reports;
  if (first === undefined) throw new UserError("--merge", "no report is named", "name the campaign.json of each shard");
  const seen = new Map<number, string>();
  for (const [n, report] of reports.entries()) {
    const path = paths[n]!;
    const { index, count } = report.shard;
    if (asked(report) !== asked(first))
      throw new UserError(path, `is of another campaign than ${paths[0]!}`, "merge the shards of one campaign");
    const twin = seen.get(index);
    if (twin !== undefined)
      throw new UserError(path, `is shard ${String(index)}/${String(count)}, as ${twin} is`, "name each shard once");
    seen.set(index, path);
  }
  const missing = Array.from({ length: first.shard.count }, (_, n) => n + 1).filter((index) => !seen.has(index));
  if (missing.length > 0) {
    const what = `shard ${missing.map(String).join(", ")} of ${String(first.shard.count)} is missing`;
    throw new UserError("--merge", what, "name the campaign.json of each shard");
  }
  const parts = first.parts.map((part, n) => {
    return { ...part, tally: reports.map((report) => report.parts[n]!.tally).reduce(addTallies) };
  });
  return { ...first, shard: { index: 1, count: 1 }, parts };
}
