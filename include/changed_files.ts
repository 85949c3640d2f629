// SPDX-License-Identifier: GPL-2.0-only
/**
 * Which files of the model a variant's patches change, from the top of the tree: put in when the variant is bundled
 * (harness/variants/bundle.ts). Null where nobody said.
 */
export const changedFiles: readonly string[] | null = null;
