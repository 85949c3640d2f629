// SPDX-License-Identifier: GPL-2.0-only
/** The ways in which a guest is run: which variant, and what its user does with the advice. */
import type { Use } from "./report.js";

/** base; the patch unused; the patch with the guest's memory advised right after its mmap; advised once populated. */
export function usesOf(variants: readonly string[]): Use[] {
  const uses: Use[] = [];
  for (const variant of variants) {
    if (variant === "base") {
      uses.push({ id: "base", variant, advice: "none", title: "base" });
      continue;
    }
    uses.push(
      { id: variant, variant, advice: "none", title: `${variant}, advice not used` },
      { id: `${variant}+advice`, variant, advice: "after-mmap", title: `${variant}, advised after mmap` },
      { id: `${variant}+late`, variant, advice: "after-populate", title: `${variant}, advised once populated` },
    );
  }
  return uses;
}
