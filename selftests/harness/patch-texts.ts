// SPDX-License-Identifier: GPL-2.0-only
/** The patch under review, as mailed and as ported, and ways to spoil a patch. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../harness/root.js";

const text = (path: string): string => readFileSync(join(projectRoot(), path), "utf8");

export const mbox = text("fixtures/patches/rfc-madv-nomovable.mbox");
export const port = text("patches/rfc-madv-nomovable.patch");
export const upstream = text("fixtures/patches/upstream-thp-split-retry.mbox");

/** The text turned round: + for -, with the counts of the hunks changed over. */
export function turned(patch: string): string {
  return patch
    .replace(/^@@ -(\S+) \+(\S+) @@/gm, "@@ -$2 +$1 @@")
    .replace(/^([+-])(?!\+\+ [ab/]|-- |- $)/gm, (sign) => (sign === "+" ? "-" : "+"))
    .replace(/ \d+ insertions\(\+\)/, " 20 deletions(-)");
}

/** The mail with a first hunk for mm/madvise.c whose context is of another place. */
export const misplaced = mbox
  .replace(/^ .*MADV_(DONTDUMP|DODUMP):\n|^ .*VM_DONTDUMP;\n/gm, " \tsomething_else();\n")
  .replace("is_vm_hugetlb_page(vma) && new_flags & VM_SPECIAL", "nothing_here()")
  .replace("return -EINVAL", "return -ENODEV");

/** The port with a hunk for include/linux/mm.ts whose context is not in base. */
export const unfitting = port.replace(/^ export const VM_MERGEABLE.*$/m, " export const VM_MERGEABLE = vm_flags(0x1);");
