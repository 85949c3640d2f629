// SPDX-License-Identifier: GPL-2.0-only
/** What one page allocation carries along (mm/internal.h). */
import type { zone } from "../../include/linux/mmzone.js";

export interface alloc_context {
  /** Zones to try, best first; the first is the preferred one. */
  readonly zonelist: readonly zone[];
  readonly highest_zoneidx: number;
  readonly migratetype: number;
}
