// SPDX-License-Identifier: GPL-2.0-only
/**
 * Builds a variant's tree aside: sources copied, the patch put on, compiled. A build is named by the hash of all that
 * goes into it and never changes, so a second call finds it, and of two processes that build at once the first to
 * finish puts it in its place.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { oneLine, UserError } from "../errors.js";
import type { AddedLine } from "../patch/apply.js";
import { compiledRoot, projectRoot } from "../root.js";
import { changedFiles, findVariant, listVariants, reviewVariant, variantTree, type VariantSpec } from "./spec.js";
import { readTree, type PatchedTree, type Tree } from "./tree.js";

export interface BuiltVariant {
  readonly spec: VariantSpec;
  /** The compiled tree: kernel/index.js and the others lie below it. */
  readonly dir: string;
  /** Names the content: equal for equal sources and compiler options. */
  readonly hash: string;
  readonly added: readonly AddedLine[];
}

export interface BuildOptions {
  /** Build aside even where the program's own compiled tree is this variant. */
  readonly aside?: boolean;
  /** The bundle alone, its types not checked: a tenth of the time. For variants that a test of their own checks. */
  readonly unchecked?: boolean;
  /** Another project than the one that the program belongs to. */
  readonly root?: string;
}

/** Part of a build's name: another number for another layout of what is built. */
const LAYOUT = 4;
const OPTIONS = { rootDir: "src", outDir: "js", types: [], noUnusedLocals: false, noUnusedParameters: false };
const STALE_MS = 24 * 3600 * 1000;

/** The kernel of a compiled tree in one module (bundle.ts); an instrumented tree has none. */
export function bundleOf(dir: string): string {
  return join(dir, "kernel.js");
}

/** The compiler's own executable, which its package only starts, where it can be found. */
function compiler(): { command: string; args: readonly string[]; version: string } {
  try {
    const manifest = createRequire(import.meta.url).resolve("@typescript/native/package.json");
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
    const native = join(dirname(manifest), "..", `typescript-${process.platform}-${process.arch}`, "lib", "tsc");
    if (existsSync(native)) return { command: native, args: [], version };
    return { command: process.execPath, args: [join(dirname(manifest), "bin", "tsc")], version };
  } catch {
    throw new UserError("", "the compiler @typescript/native is not installed", "run npm ci");
  }
}

function hashOf(tree: Tree, root: string, changed: readonly string[]): string {
  const hash = createHash("sha256");
  const tsconfig = readFileSync(join(root, "tsconfig.json"), "utf8");
  hash.update(JSON.stringify([LAYOUT, compiler().version, OPTIONS, tsconfig, changed]));
  for (const [path, text] of tree) hash.update(`\0${path}\0${text}`);
  return hash.digest("hex").slice(0, 16);
}

/** Names the sources that the compiled tree and its bundle were made of. */
export function stampOf(compiled: string): string {
  return join(compiled, "kernel.hash");
}

/** Names the checked-out sources, which have the patch under review. */
function hashOfOwn(tree: Tree, root: string): string {
  return hashOf(tree, root, changedFiles(reviewVariant(root)));
}

/** Writes down which sources the compiled tree was made of, if these are still the checked-out ones. */
export function stampOwnTree(root: string): void {
  const compiled = compiledRoot();
  const tree = readTree(root);
  rmSync(stampOf(compiled), { force: true });
  for (const [path, text] of tree) {
    if (path.endsWith(".d.ts")) continue;
    const map = readFileSync(join(compiled, path.replace(/\.ts$/, ".js.map")), "utf8");
    if ((JSON.parse(map) as { sourcesContent: string[] }).sourcesContent[0] !== text) return;
  }
  writeFileSync(stampOf(compiled), hashOfOwn(tree, root));
}

/** Is the tree that this program was compiled and bundled from the checked-out one, as it is now? */
export function ownTreeIsFresh(root: string): boolean {
  const compiled = compiledRoot();
  if (!compiled.startsWith(root + sep)) return false;
  if (![stampOf(compiled), bundleOf(compiled)].every((file) => existsSync(file))) return false;
  return readFileSync(stampOf(compiled), "utf8") === hashOfOwn(readTree(root), root);
}

function run(command: string, args: readonly string[]): Promise<{ status: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ status: code ?? 1, output: Buffer.concat(chunks).toString("utf8") });
    });
  });
}

/** The compiler's first complaint as one line that names the place in the patched tree. */
function compileError(output: string, spec: VariantSpec, added: readonly AddedLine[]): UserError {
  const complaints = [...output.matchAll(/^(?:.*?\bsrc\/)?(\S+\.ts)\((\d+),\d+\): error (TS\d+): (.*)$/gm)];
  const first = complaints[0];
  if (first === undefined)
    return new UserError("", `variant ${spec.name} does not compile: ${oneLine(output).slice(0, 300)}`);
  const path = first[1] ?? "";
  const line = Number(first[2]);
  const more = complaints.length > 1 ? ` (and ${String(complaints.length - 1)} more errors)` : "";
  const what = `variant ${spec.name} does not compile: ${first[3] ?? ""}: ${(first[4] ?? "").replace(/\.$/, "")}${more}`;
  const brought = added.find((one) => one.path === path && one.line === line);
  const file = spec.patch?.file ?? "patches/series";
  const todo = brought === undefined ? `mend ${file}, or the tree` : `mend line ${String(brought.source)} of ${file}`;
  return new UserError(`${path}:${String(line)}`, what, todo);
}

function writeTree(folder: string, tree: Tree): void {
  for (const [path, text] of tree) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

function writeConfig(folder: string, options: Record<string, unknown>, include: readonly string[]): void {
  const config = { extends: "../../../../tsconfig.json", compilerOptions: { ...OPTIONS, ...options }, include };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
}

/** What the compiler says of a project that {@link writeConfig} has described; "" if nothing. */
async function complaintsOf(folder: string): Promise<string> {
  const { command, args } = compiler();
  const { status, output } = await run(command, [...args, "-p", folder, "--pretty", "false", "--singleThreaded"]);
  return status === 0 ? "" : output || `exit status ${String(status)}`;
}

/** Fills a new folder by `fill` and moves it to `place`, unless somebody else was there first. */
export async function buildFolder(place: string, fill: (folder: string) => Promise<void>): Promise<void> {
  if (existsSync(place)) return;
  let folder: string;
  try {
    mkdirSync(dirname(place), { recursive: true });
    folder = mkdtempSync(join(dirname(place), ".new-"));
  } catch {
    throw new UserError(dirname(place), "cannot be written", "check the folder's mode and the room on the disk");
  }
  try {
    await fill(folder);
    try {
      renameSync(folder, place);
    } catch (error) {
      if (!existsSync(place)) throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Old builds of a variant, which nobody can be using any more. */
function sweep(folder: string, keep: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (!name.startsWith(keep) && age > STALE_MS) rmSync(path, { recursive: true, force: true });
  }
}

async function compileAside(spec: VariantSpec, sources: PatchedTree, place: string, checked: boolean): Promise<void> {
  if (existsSync(place)) return;
  await buildFolder(place, async (folder) => {
    writeTree(join(folder, "src"), sources.tree);
    if (checked) {
      writeConfig(folder, {}, ["src"]);
      const complaints = await complaintsOf(folder);
      if (complaints !== "") throw compileError(complaints, spec, sources.added);
    } else mkdirSync(join(folder, "js"));
    const { bundleKernel } = await import("./bundle.js");
    const changed = changedFiles(spec);
    await bundleKernel(join(folder, "src", "kernel", "index.ts"), bundleOf(join(folder, "js")), { changed });
  });
  sweep(dirname(place), place.slice(dirname(place).length + 1));
}

/** Builds a variant, by name or as described, or finds it built. */
export async function buildVariant(which: string | VariantSpec, options: BuildOptions = {}): Promise<BuiltVariant> {
  const root = options.root ?? projectRoot();
  const spec = typeof which === "string" ? findVariant(which, root) : which;
  const sources = variantTree(spec, root);
  const hash = hashOf(sources.tree, root, changedFiles(spec));
  if (spec.role === "review" && options.aside !== true && ownTreeIsFresh(root)) {
    return { spec, dir: compiledRoot(), hash, added: sources.added };
  }
  const place = join(root, "build", "variants", spec.name, options.unchecked === true ? `${hash}-bundle` : hash);
  await compileAside(spec, sources, place, options.unchecked !== true);
  return { spec, dir: join(place, "js"), hash, added: sources.added };
}

/**
 * Checks the types of all alternatives in one go, much faster than one by one: of each only the files that it changes,
 * against the others of base. A UserError names the first complaint.
 */
export async function checkAlternatives(root: string = projectRoot()): Promise<readonly VariantSpec[]> {
  const base = variantTree(findVariant("base", root), root).tree;
  const specs = listVariants(root).filter((spec) => spec.role === "alternative");
  const place = mkdtempSync(join(root, "build", "variants", ".check-"));
  const folder = join(place, "all");
  try {
    writeTree(join(folder, "base"), base);
    const patched = specs.map((spec) => variantTree(spec, root));
    specs.forEach((spec, n) => {
      const changed = [...patched[n]!.tree].filter(([path, text]) => base.get(path) !== text);
      writeTree(join(folder, spec.name, "src"), new Map(changed));
    });
    const rootDirs = ["base", ...specs.map((spec) => `${spec.name}/src`)];
    writeConfig(folder, { rootDir: ".", rootDirs, noEmit: true }, rootDirs);
    const complaints = await complaintsOf(folder);
    const bad = specs.findIndex((spec) => complaints.includes(`${spec.name}/src/`));
    if (complaints !== "") throw compileError(complaints, specs[bad] ?? specs[0]!, patched[bad]?.added ?? []);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
  return specs;
}
