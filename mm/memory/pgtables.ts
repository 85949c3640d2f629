// SPDX-License-Identifier: GPL-2.0-only
/** Freeing page tables (mm/memory.c: free_pgd_range, free_pgtables). */
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { unlink_file_vma } from "../mmap.js";
import type { mmu_gather } from "../mmu_gather.js";
import { free_table_page, PGDIR_SIZE, pmd_clear, PUD_SIZE, table_free_tlb } from "../pgtable.js";
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

/**
 * Frees the tables of [addr, end) that no VMA below `floor` or from `ceiling` on can need (0: no ceiling). Bytes.
 * @kernel mm/memory.c:free_pgd_range
 * @fidelity mirrored: entries must have been zapped
 */
function free_pgd_range(k: Machine, tlb: mmu_gather, addr: number, end: number, floor: number, ceiling: number): void {
  addr = Math.floor(addr / PMD_SIZE) * PMD_SIZE;
  if (addr < floor) addr += PMD_SIZE;
  if (ceiling !== 0) {
    ceiling = Math.floor(ceiling / PMD_SIZE) * PMD_SIZE;
    if (ceiling === 0) return;
    if (end > ceiling) end -= PMD_SIZE;
  }
  if (addr > end - 1) return;
  const { mm } = tlb;
  const { pud, pmd, pte } = mm.pgd;
  /** Keys of tables that stand for `size` bytes each and lie in the range and in [from, to). */
  const keys = (map: Map<number, unknown>, size: number, from: number, to: number): number[] =>
    keys_in(map, Math.floor(Math.max(addr, from) / size), Math.floor((Math.min(end, to) - 1) / size));
  /** Frees an upper table if it lies between floor and ceiling as a whole. */
  const free_upper = (map: Map<number, number>, key: number, size: number): void => {
    const top = ceiling === 0 ? Infinity : Math.floor(ceiling / size) * size;
    if (key * size < floor || Math.min((key + 1) * size, end) > top) return;
    table_free_tlb(k, tlb, map.get(key)!, size === PUD_SIZE);
    map.delete(key);
    mm.pgtables_bytes -= PAGE_SIZE;
  };
  for (const top of keys(pud, PGDIR_SIZE, 0, Infinity)) {
    for (const mid of keys(pmd, PUD_SIZE, top * PGDIR_SIZE, (top + 1) * PGDIR_SIZE)) {
      for (const key of keys(pte, PMD_SIZE, mid * PUD_SIZE, (mid + 1) * PUD_SIZE)) {
        table_free_tlb(k, tlb, pte.get(key)!.page, true);
        pmd_clear(mm, key);
        mm.pgtables_bytes -= PAGE_SIZE;
      }
      free_upper(pmd, mid, PUD_SIZE);
    }
    free_upper(pud, top, PGDIR_SIZE);
  }
}

/**
 * Takes VMAs that are going (ascending, unmapped already) off their anon_vmas and files, and frees their page tables.
 * @kernel mm/memory.c:free_pgtables
 * @fidelity mirrored
 */
export function free_pgtables(
  k: Machine,
  tlb: mmu_gather,
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
    free_pgd_range(k, tlb, addr, vma.vm_end, floor, n < vmas.length ? vmas[n]!.vm_start : ceiling);
  }
}

/** Frees the top-level table; the others must have gone. @kernel arch/x86/mm/pgtable.c:pgd_free @fidelity mirrored */
export function free_mm_pgd(k: Machine, mm: mm_struct): void {
  if (mm.pgd.page !== 0) free_table_page(k, mm.pgd.page, false);
  mm.pgd.page = 0;
}
