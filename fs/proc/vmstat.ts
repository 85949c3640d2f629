// SPDX-License-Identifier: GPL-2.0-only
/** /proc/vmstat (mm/vmstat.c). */
import { node_stat_names, vm_event_names, zone_stat_names } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { global_node_page_state, global_zone_page_state } from "../../mm/vmstat.js";

/**
 * The counters of zones, nodes and events that the model keeps, one on a line.
 * @kernel mm/vmstat.c:vmstat_show
 * @fidelity simplified: counters of what is not modelled are absent
 */
export function vmstat_show(k: Machine): string {
  const lines: string[] = [];
  zone_stat_names.forEach((name, item) => lines.push(`${name} ${global_zone_page_state(k, item)}`));
  node_stat_names.forEach((name, item) => lines.push(`${name} ${global_node_page_state(k, item)}`));
  vm_event_names.forEach((name, item) => lines.push(`${name} ${k.vm_events[item]!}`));
  return lines.join("\n") + "\n";
}
