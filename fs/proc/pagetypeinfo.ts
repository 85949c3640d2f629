// SPDX-License-Identifier: GPL-2.0-only
/** /proc/pagetypeinfo (mm/vmstat.c). */
import { get_pageblock_migratetype, page_zone } from "../../include/linux/mem_map.js";
import { pfn_to_online_page } from "../../include/linux/memory_hotplug.js";
import {
  MAX_ORDER,
  MAX_ORDER_NR_PAGES,
  migratetype_names,
  pageblock_nr_pages,
  pageblock_order,
  type pglist_data,
  type zone,
} from "../../include/linux/mmzone.js";
import type { Machine } from "../../include/machine.js";
import { pristine_of } from "../../mm/page_alloc/freelist.js";

/** Free blocks of one order and type, untouched ones too. */
export function free_blocks(z: zone, order: number, mtype: number): number {
  const listed = z.free_area[order]!.free_list[mtype]!.nr;
  if (order !== MAX_ORDER - 1) return listed;
  return pristine_of(z, mtype).reduce((sum, r) => sum + (r.to - r.from) / MAX_ORDER_NR_PAGES, listed);
}

/** Pageblocks of a zone, by type. */
export function pageblock_counts(k: Machine, z: zone): number[] {
  const count = migratetype_names.map(() => 0);
  for (let pfn = z.zone_start_pfn; pfn < z.zone_start_pfn + z.spanned_pages; pfn += pageblock_nr_pages) {
    if (page_zone(k.mem, pfn) === z && pfn_to_online_page(k, pfn)) count[get_pageblock_migratetype(k.mem, pfn)]!++;
  }
  return count;
}

function showfree(z: zone): string {
  let out = "";
  migratetype_names.forEach((name, mtype) => {
    out += `Node ${String(z.node).padStart(4)}, zone ${z.name.padStart(8)}, type ${name.padStart(12)} `;
    for (let order = 0; order < MAX_ORDER; order++) {
      const n = free_blocks(z, order, mtype);
      out += `${n >= 100000 ? ">" : ""}${String(Math.min(n, 100000)).padStart(6)} `;
    }
    out += "\n";
  });
  return out;
}

function show_node(k: Machine, node: pglist_data): string {
  const zones = node.node_zones.filter((z) => z !== undefined);
  let out = `Page block order: ${pageblock_order}\nPages per block:  ${pageblock_nr_pages}\n\n`;
  out += `${"Free pages count per migrate type at order".padEnd(43)} `;
  for (let order = 0; order < MAX_ORDER; order++) out += `${String(order).padStart(6)} `;
  out += "\n" + zones.map(showfree).join("");
  out += `\n${"Number of blocks type ".padEnd(23)}${migratetype_names.map((n) => `${n.padStart(12)} `).join("")}\n`;
  for (const z of zones) {
    const counts = pageblock_counts(k, z).map((n) => `${String(n).padStart(12)} `);
    out += `Node ${z.node}, zone ${z.name.padStart(8)} ${counts.join("")}\n`;
  }
  return out;
}

/**
 * Free blocks by type and order, and pageblocks by type.
 * @kernel mm/vmstat.c:pagetypeinfo_show
 * @fidelity simplified: without the count of mixed blocks, which needs page_owner
 */
export function pagetypeinfo_show(k: Machine): string {
  return k.nodes.map((node) => show_node(k, node)).join("");
}
