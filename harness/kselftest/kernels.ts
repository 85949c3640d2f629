// SPDX-License-Identifier: GPL-2.0-only
/** The kernel variants that the tests run on. */
import type { Machine } from "../../include/machine.js";
import { optimiseLate } from "../optimiser.js";
import { loadVariant, type KernelModule } from "../variants/load.js";

export type { KernelModule };
export type BootOptions = NonNullable<Parameters<KernelModule["boot"]>[0]>;
export type Syscalls = ReturnType<KernelModule["syscalls"]>;
export type { Machine };

optimiseLate();

const DEFAULT_VARIANTS = "base,patch";
const asked = process.env["PATCHPROOF_VARIANTS"];

/** Names of the variants that each test runs on: PATCHPROOF_VARIANTS, or base and patch. */
export const testedVariants: readonly string[] = (asked ?? DEFAULT_VARIANTS)
  .split(",")
  .map((name) => name.trim())
  .filter((name) => name !== "");

/** Variants that a test runs on which names its own; where PATCHPROOF_VARIANTS asks for some, those among them. */
export function variantsFor(kernels: readonly string[] | undefined): readonly string[] {
  if (kernels === undefined) return testedVariants;
  return asked === undefined ? kernels : kernels.filter((name) => testedVariants.includes(name));
}

const kernels = new Map<string, Promise<KernelModule>>();

/** A variant's kernel; built and loaded when first asked for. */
export function kernelOf(variant: string): Promise<KernelModule> {
  let kernel = kernels.get(variant);
  if (kernel === undefined) {
    kernel = loadVariant(variant, { unchecked: !DEFAULT_VARIANTS.split(",").includes(variant) }).then(
      (loaded) => loaded.kernel,
    );
    // A build that fails is told by the tests that want it, not by a rejection that nobody handles.
    kernel.catch(() => undefined);
    kernels.set(variant, kernel);
  }
  return kernel;
}

/** Puts a kernel that is loaded already, such as an instrumented one, in a variant's place. */
export function useKernel(variant: string, kernel: KernelModule): void {
  kernels.set(variant, Promise.resolve(kernel));
}

/** Is the variant at hand, or will the first test that wants it wait for a compiler? */
export function isLoaded(variant: string): boolean {
  return kernels.has(variant);
}
