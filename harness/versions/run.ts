// SPDX-License-Identifier: GPL-2.0-only
/**
 * `patchproof versions`: what a user sees of a long-term pin in v6.1 and after later changes to it. Its rows are
 * selftests that run on each of those kernels and note what they saw, so nothing stands in it that no test holds.
 */
import { basename } from "node:path";
import { UserError } from "../errors.js";
import { Progress } from "../evaluate/progress.js";
import { table, wrap } from "../evaluate/terminal.js";
import type { VersionsOptions } from "../commands/versions.js";
import type { SelftestResult } from "../runner/protocol.js";
import { runSelftests, variantTestFiles } from "../runner/selftests.js";
import { listVariants, type VariantSpec } from "../variants/spec.js";

/** The file and the suite whose tests are the rows; each observes what the call came to. */
const FILE = "pin_versions.test.js";
const SUITE = "pin: what flips from version to version";

export interface VersionsReport {
  readonly format: "patchproof-versions/1";
  readonly call: string;
  /** v6.1 first. */
  readonly versions: readonly { readonly name: string; readonly release: string; readonly title: string }[];
  readonly scenarios: readonly {
    readonly name: string;
    /** By the version's name. */
    readonly results: Readonly<Record<string, string>>;
    /** Names of the versions whose result is not v6.1's. */
    readonly flips: readonly string[];
    /** Names of the versions where the result is not the one that the test wants, and what it says. */
    readonly wrong: Readonly<Record<string, string>>;
  }[];
}

const CALL = "VFIO_IOMMU_MAP_DMA";

/** v6.1, or the release that a change came with: its title begins with that. */
function releaseOf(spec: VariantSpec): string {
  return spec.role === "base" ? "v6.1" : (/^v\d+\.\d+/.exec(spec.title)?.[0] ?? spec.name);
}

/** base, and those of the alternatives that are asked for. */
function wanted(names: readonly string[] | undefined): VariantSpec[] {
  const all = listVariants().filter((spec) => spec.role === "base" || spec.role === "alternative");
  if (names === undefined) return all;
  for (const name of names) {
    if (all.some((spec) => spec.name === name)) continue;
    const known = all.map((spec) => spec.name).join(", ");
    throw new UserError("--versions", `'${name}' is no change to the pin`, `known: ${known}`);
  }
  return all.filter((spec) => spec.role === "base" || names.includes(spec.name));
}

function titleOf(result: SelftestResult): string {
  return result.title.slice(SUITE.length + 2);
}

function reportOf(specs: readonly VariantSpec[], results: readonly SelftestResult[]): VersionsReport {
  const ran = specs.filter((spec) => results.some((result) => result.variant === spec.name));
  const scenarios = [...new Set(results.map(titleOf))].map((name) => {
    const mine = results.filter((result) => titleOf(result) === name);
    const seen = (result: SelftestResult): string => {
      const answer = result.observations[CALL];
      return typeof answer === "string" ? answer : "no answer";
    };
    const first = mine.find((result) => result.variant === "base");
    const flips = mine.filter((result) => first !== undefined && seen(result) !== seen(first));
    const failed = mine.filter((result) => result.outcome === "fail");
    return {
      name,
      results: Object.fromEntries(mine.map((result) => [result.variant, seen(result)])),
      flips: flips.map((result) => result.variant),
      wrong: Object.fromEntries(failed.map((result) => [result.variant, result.message])),
    };
  });
  const versions = ran.map((spec) => ({ name: spec.name, release: releaseOf(spec), title: spec.title }));
  return { format: "patchproof-versions/1", call: CALL, versions, scenarios };
}

/** Rows are lettered: their names would not fit beside the columns. */
function printed(r: VersionsReport): string {
  const letter = (row: number): string => String.fromCharCode("A".charCodeAt(0) + row);
  const rows = r.scenarios.map((s, row) => [
    letter(row),
    ...r.versions.map(({ name }) => `${s.results[name] ?? "-"}${s.flips.includes(name) ? " *" : ""}`),
  ]);
  const lines = [
    `${r.call} of a guest in CMA: v6.1, and v6.1 with one change (* flips)`,
    "",
    table({
      head: ["", ...r.versions.map((v) => (v.name === "base" ? v.release : `+${v.release}`))],
      rows,
      numeric: [],
    }),
    "",
    ...r.scenarios.map((s, row) => `  ${letter(row)}  ${s.name}`),
    "",
    ...r.versions
      .filter((v) => v.name !== "base")
      .map((v) => wrap(v.title.slice(v.release.length).trim(), `  ${`+${v.release}`.padEnd(7)}`, "         ")),
  ];
  for (const [row, s] of r.scenarios.entries())
    for (const [name, why] of Object.entries(s.wrong))
      lines.push("", wrap(`${letter(row)} on ${name}: ${why}`, "  wrong:", "         "));
  return `${lines.join("\n")}\n`;
}

/** Runs the scenarios on each version and prints the table. Returns the exit status. */
export async function runVersions(options: VersionsOptions): Promise<number> {
  const specs = wanted(options.versions);
  const progress = new Progress(false, process.stderr, "scenarios");
  let results: readonly SelftestResult[];
  try {
    ({ results } = await runSelftests({
      variants: specs.map((spec) => spec.name),
      files: variantTestFiles().filter((path) => basename(path) === FILE),
      grep: `^${SUITE} .*${(options.scenario ?? "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`,
      onTest: (done, total) => progress.sweep(done, total),
    }));
  } finally {
    progress.stop();
  }
  if (results.length === 0)
    throw new UserError(
      "--scenario",
      `no scenario has '${options.scenario ?? ""}' in its name`,
      "patchproof versions lists all",
    );
  const report = reportOf(specs, results);
  const idle = options.versions?.find((name) => !report.versions.some((version) => version.name === name));
  if (idle !== undefined) throw new UserError("--versions", `no scenario runs on '${idle}'`, "leave it out");
  process.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : printed(report));
  return report.scenarios.some((s) => Object.keys(s.wrong).length > 0) ? 1 : 0;
}
