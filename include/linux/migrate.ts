// SPDX-License-Identifier: GPL-2.0-only
/** What callers of migrate_pages() pass to it (include/linux/migrate.h, mm/internal.h). */
import type { Machine } from "../machine.js";

export const MIGRATEPAGE_SUCCESS = 0;

/** Gives a target for a page (page frames; 0: none to be had). `priv` is what migrate_pages() was given. */
export type new_page_t<T> = (k: Machine, page: number, priv: T) => number;
/** Takes back a target that was not used. */
export type free_page_t<T> = (k: Machine, page: number, priv: T) => void;

/** What alloc_migration_target() is told. @kernel mm/internal.h:migration_target_control */
export interface migration_target_control {
  /** Node, or -1 for the page's own. */
  readonly nid: number;
  /** Nodes that it may be on, a bit each; any where it is left out. */
  readonly nmask?: number;
  readonly gfp_mask: number;
}
