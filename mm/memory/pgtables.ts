// SPDX-License-Identifier: GPL-2.0-only
/** Freeing page tables (mm/memory.c: free_pgd_range, free_pgtables). */
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { unlink_file_vma } from "../mmap.js";
import { free_table_page, PGDIR_SIZE, pmd_clear, pte_free, PUD_SIZE } from "../pgtable.js";
import { unlink_anon_vmas } from "../rmap.js";

/** Keys of the map in [from, to], ascending. */
function keys_in(map: Map<number, unknown>, from: number, to: number): number[] {
  const out: number[] = [];
  if (to - from < 2 * map.size) {
    for (let key = from; key <= to; key++) if (map.has(key)) out.push(key);
    return out;
  }
  for (const key of map.keys()) if (key >= from && key <= to) out.push(key);
  return out.sort((a, b) => a - b);
}

/** Frees the upper tables of one level that lie in [addr, end) and, whole, between floor and ceiling. */
function free_level(
  k: Machine,
  mm: mm_struct,
  map: Map<number, number>,
  size: number,
  range: readonly [addr: number, end: number, floor: number, ceiling: number],
): void {
  const [addr, end, floor, ceiling] = range;
  const top = ceiling === 0 ? Infinity : Math.floor(ceiling / size) * size;
  for (const key of keys_in(map, Math.floor(addr / size), Math.floor((end - 1) / size))) {
    if (key * size < floor || Math.min((key + 1) * size, end) > top) continue;
    free_table_page(k, map.get(key)!, size === PUD_SIZE);
    map.delete(key);
    mm.pgtables_bytes -= PAGE_SIZE;
  }
}

/**
 * Frees the tables of [addr, end) that no VMA below `floor` or from `ceiling` on can need (0: no ceiling). Bytes.
 * @kernel mm/memory.c:free_pgd_range
 * @fidelity mirrored: entries must have been zapped
 */
export function free_pgd_range(
  k: Machine,
  mm: mm_struct,
  addr: number,
  end: number,
  floor: number,
  ceiling: number,
): void {
  addr = Math.floor(addr / PMD_SIZE) * PMD_SIZE;
  if (addr < floor) addr += PMD_SIZE;
  if (ceiling !== 0) {
    ceiling = Math.floor(ceiling / PMD_SIZE) * PMD_SIZE;
    if (ceiling === 0) return;
    if (end > ceiling) end -= PMD_SIZE;
  }
  if (addr > end - 1) return;
  const tables = mm.pgd.pte;
  for (const key of keys_in(tables, addr / PMD_SIZE, Math.floor((end - 1) / PMD_SIZE))) {
    pte_free(k, tables.get(key)!);
    pmd_clear(mm, key);
    mm.pgtables_bytes -= PAGE_SIZE;
  }
  const range = [addr, end, floor, ceiling] as const;
  free_level(k, mm, mm.pgd.pmd, PUD_SIZE, range);
  free_level(k, mm, mm.pgd.pud, PGDIR_SIZE, range);
}

/**
 * Takes VMAs that are going (ascending, unmapped already) off their anon_vmas and files, and frees their page tables.
 * @kernel mm/memory.c:free_pgtables
 * @fidelity mirrored
 */
export function free_pgtables(
  k: Machine,
  mm: mm_struct,
  vmas: readonly vm_area_struct[],
  floor: number,
  ceiling: number,
): void {
  let n = 0;
  while (n < vmas.length) {
    let vma = vmas[n++]!;
    const addr = vma.vm_start;
    unlink_anon_vmas(k, vma);
    unlink_file_vma(k, vma);
    while (n < vmas.length && vmas[n]!.vm_start <= vma.vm_end + PMD_SIZE) {
      vma = vmas[n++]!;
      unlink_anon_vmas(k, vma);
      unlink_file_vma(k, vma);
    }
    free_pgd_range(k, mm, addr, vma.vm_end, floor, n < vmas.length ? vmas[n]!.vm_start : ceiling);
  }
}

/** Frees the top-level table; the others must have gone. @kernel arch/x86/mm/pgtable.c:pgd_free @fidelity mirrored */
export function free_mm_pgd(k: Machine, mm: mm_struct): void {
  if (mm.pgd.page !== 0) free_table_page(k, mm.pgd.page, false);
  mm.pgd.page = 0;
}
