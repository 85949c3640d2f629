// SPDX-License-Identifier: GPL-2.0-only
/** Loads a variant's compiled tree as a module graph of its own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Kernel from "../../kernel/index.js";
import { buildVariant, bundleOf, type BuildOptions, type BuiltVariant } from "./build.js";
import type { VariantSpec } from "./spec.js";

/** What kernel/index.ts exports: the harness's only way into a variant. */
export type KernelModule = typeof Kernel;

/** The same by the name that fits where several variants are compared. */
export type VariantModule = KernelModule;

export interface LoadedVariant extends BuiltVariant {
  readonly name: string;
  readonly kernel: KernelModule;
}

/** Imports the kernel of the compiled tree `dir`: its bundle, or where it has none, as a module graph. */
export async function importKernel(dir: string): Promise<KernelModule> {
  const bundle = bundleOf(dir);
  const entry = existsSync(bundle) ? bundle : join(dir, "kernel", "index.js");
  return (await import(pathToFileURL(entry).href)) as KernelModule;
}

/** Builds and loads a variant, by name ("base", "patch", …) or as described. */
export async function loadVariant(which: string | VariantSpec, options: BuildOptions = {}): Promise<LoadedVariant> {
  const built = await buildVariant(which, options);
  return { ...built, name: built.spec.name, kernel: await importKernel(built.dir) };
}

/** The kernel of a variant alone. */
export async function loadKernel(which: string | VariantSpec, options: BuildOptions = {}): Promise<KernelModule> {
  return (await loadVariant(which, options)).kernel;
}
