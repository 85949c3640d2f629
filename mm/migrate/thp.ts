// SPDX-License-Identifier: GPL-2.0-only
/** Splitting a THP that cannot be migrated as a whole (mm/migrate.c: try_split_thp). */
import { PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import type { page_list } from "../../include/linux/mmzone.js";
import type { Machine } from "../../include/machine.js";
import { list_move_tail } from "../../lib/pagelist.js";
import { folio_lock, folio_unlock } from "../filemap.js";
import { split_huge_page_to_list } from "../huge_memory/split.js";

/** Takes the page lock, however long that takes. */
function lock_page(k: Machine, page: number): void {
  if (k.fail_migrate.active) k.fail_migrate.wait_on(k, page, "lock");
  folio_lock(k, page);
}

/**
 * Splits a THP under its page lock; its pages go to the tail of `split_pages`.
 * @kernel mm/migrate.c:try_split_thp
 * @fidelity mirrored
 * @returns 0 or -errno, as split_huge_page_to_list()
 */
export function try_split_thp(k: Machine, page: number, from: page_list, split_pages: page_list): number {
  lock_page(k, page);
  const rc = split_huge_page_to_list(k, page, split_pages);
  folio_unlock(k, page);
  if (rc === 0) list_move_tail(k.mem, from, split_pages, page);
  if (k.tracing) {
    const refcount = k.mem.section(page).refcount[page & PFN_SECTION_MASK]!;
    k.hooks.trace("try_split_thp", { page, rc, refcount });
  }
  return rc;
}
