// SPDX-License-Identifier: GPL-2.0-only
/** The architectures that a machine can be booted as, by name. */
import type { Arch } from "../include/machine.js";
import { arm64, arm64_mte } from "./arm64/index.js";
import { powerpc64 } from "./powerpc/index.js";
import { riscv64 } from "./riscv/index.js";
import { i386, x86_64, x86_64_pku } from "./x86/index.js";

const all: readonly Arch[] = [x86_64, x86_64_pku, arm64, arm64_mte, powerpc64, riscv64, i386];

/** Names that {@link archByName} takes. */
export const archNames: readonly string[] = all.map((a) => a.name);

/** Flag layout, word size and address space of an architecture; an unknown name throws a RangeError. */
export function archByName(name: string): Arch {
  const found = all.find((a) => a.name === name);
  if (found === undefined) throw new RangeError(`unknown architecture "${name}"; there are ${archNames.join(", ")}`);
  return found;
}
