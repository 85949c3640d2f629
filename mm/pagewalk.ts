// SPDX-License-Identifier: GPL-2.0-only
/** Walking the page tables of a range (mm/pagewalk.c). */
import type { mm_struct } from "../include/linux/mm_types.js";

/**
 * The first table of entries or huge entry at or after `key`, up to `last`: both count 2 MiB units of the address
 * space. -1 for none.
 * @kernel mm/pagewalk.c:walk_pmd_range
 * @fidelity simplified: finds the next one, the caller walks its entries
 */
export function next_pmd(mm: mm_struct, key: number, last: number): number {
  const { pte, huge } = mm.pgd;
  if (last - key <= 2 * (pte.size + huge.size)) {
    while (key <= last && !pte.has(key) && !huge.has(key)) key++;
    return key <= last ? key : -1;
  }
  let next = Infinity;
  for (const q of pte.keys()) if (q >= key && q < next) next = q;
  for (const q of huge.keys()) if (q >= key && q < next) next = q;
  return next <= last ? next : -1;
}
