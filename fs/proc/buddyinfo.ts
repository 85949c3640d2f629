// SPDX-License-Identifier: GPL-2.0-only
/** /proc/buddyinfo (mm/vmstat.c). */
import type { Machine } from "../../include/machine.js";

/**
 * Free blocks by order, a line for each zone.
 * @kernel mm/vmstat.c:frag_show
 * @fidelity mirrored
 */
export function frag_show(k: Machine): string {
  let out = "";
  for (const z of k.zones) {
    const counts = z.free_area.map((area) => `${String(area.nr_free).padStart(6)} `).join("");
    out += `Node ${z.node}, zone ${z.name.padStart(8)} ${counts}\n`;
  }
  return out;
}
