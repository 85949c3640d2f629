// SPDX-License-Identifier: GPL-2.0-only
/** `patchproof variant [NAME] [--out FOLDER]`: the variants of the tree, and the sources of one of them. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { fileError, UserError } from "../errors.js";
import type { VariantSpec } from "../variants/spec.js";

const HELP = `
Without NAME, lists the variants: name, role (base, review, alternative), title, and the kernel's patch that each ports.
NAME alone shows that one. With --out, its sources are written to FOLDER, with their paths from the top of this
project: change them there, and a diff of the folder on base is what evaluate takes.

Exit status: 0 done; 2 bad input.

Examples:
  patchproof variant
  patchproof variant base --out /tmp/base
  cd /tmp/base && git init && git add . && $EDITOR mm/madvise.ts && git diff > my.patch`;

function listing(specs: readonly VariantSpec[]): string {
  const rows = specs.map((spec) => [spec.name, spec.role, spec.title, spec.mail]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

/** Refuses a place that is taken: what lies there would end up in the diff. */
function checkEmpty(folder: string): void {
  let entries: string[];
  try {
    entries = readdirSync(folder);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENOENT") return;
    if (code === "ENOTDIR") throw new UserError(folder, "is a file, not a folder", "name a new or an empty folder");
    throw fileError(folder, error, "folder");
  }
  if (entries.length > 0) throw new UserError(folder, "the folder is not empty", "name a new or an empty folder");
}

async function variant(name: string | undefined, out: string | undefined): Promise<void> {
  const { findVariant, listVariants, variantTree } = await import("../variants/spec.js");
  if (out === undefined) {
    process.stdout.write(listing(name === undefined ? listVariants() : [findVariant(name)]));
    return;
  }
  if (name === undefined)
    throw new UserError("--out", "no variant is named", "as in: patchproof variant base --out DIR");
  const { tree } = variantTree(findVariant(name));
  checkEmpty(out);
  const { writeFiles } = await import("../output.js");
  writeFiles(new Map([...tree].map(([path, text]) => [join(out, path), text])));
  process.stdout.write(`${out}: ${String(tree.size)} files of ${name}\n`);
}

/** Adds `patchproof variant` to the program. */
export function addVariant(program: Command): void {
  program
    .command("variant")
    .summary("list the variants, or write the sources of one")
    .description("Lists the variants of the tree, or writes the sources of one to a folder.")
    .argument("[name]", "base, patch, or a name in patches/series")
    .option("--out <folder>", "write the variant's sources there; the folder is new or empty")
    .addHelpText("after", HELP)
    .action((name: string | undefined, given: { out?: string }) => variant(name, given.out));
}
