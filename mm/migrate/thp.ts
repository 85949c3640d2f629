// SPDX-License-Identifier: GPL-2.0-only
/** Splitting a THP that cannot be migrated as a whole (mm/migrate.c: try_split_thp). */
import { not_modelled } from "../../include/linux/bug.js";
import type { page_list } from "../../include/linux/mmzone.js";
import type { Machine } from "../../include/machine.js";

/**
 * Splits a THP under its page lock; its pages go to the tail of `split_pages`.
 * @kernel mm/migrate.c:try_split_thp
 * @fidelity stub: THPs are not modelled
 * @returns 0 or -errno
 */
export function try_split_thp(_k: Machine, _page: number, _from: page_list, _split_pages: page_list): number {
  return not_modelled("mm/huge_memory.c: split_huge_page_to_list");
}
