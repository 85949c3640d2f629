// SPDX-License-Identifier: GPL-2.0-only
/** Walking the page tables of a range (mm/pagewalk.c). */
import type { mm_struct } from "../include/linux/mm_types.js";

/**
 * The first table of entries at or after `key`, up to `last`: both count 2 MiB units of the address space. -1 for none.
 * @kernel mm/pagewalk.c:walk_pmd_range
 * @fidelity simplified: finds the next table, the caller walks its entries
 */
export function next_table(mm: mm_struct, key: number, last: number): number {
  const tables = mm.pgd.pte;
  if (last - key <= 2 * tables.size) {
    while (key <= last && !tables.has(key)) key++;
    return key <= last ? key : -1;
  }
  let next = Infinity;
  for (const q of tables.keys()) if (q >= key && q < next) next = q;
  return next <= last ? next : -1;
}
