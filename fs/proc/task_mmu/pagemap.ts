// SPDX-License-Identifier: GPL-2.0-only
/** /proc/PID/pagemap: 64 bits a page of the address space, little-endian (fs/proc/task_mmu.c). */
import { page_mapcount, PageAnon } from "../../../include/linux/mem_map.js";
import { VM_SOFTDIRTY } from "../../../include/linux/mm.js";
import {
  _PAGE_MIGRATION,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_SPECIAL,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type mm_struct,
  type vm_area_struct,
} from "../../../include/linux/mm_types.js";
import { PAGE_SIZE, PMD_SIZE } from "../../../include/linux/types.js";
import { vm_flags_test } from "../../../include/linux/vm_flags.js";
import type { Machine } from "../../../include/machine.js";
import { find_vma } from "../../../mm/mmap.js";
import { pmd_huge, pte_index, pte_offset } from "../../../mm/pgtable.js";

const PM_ENTRY_BYTES = 8;
/** Bits of the upper half: bit 55 of the record is bit 23 here. */
const PM_SOFT_DIRTY = 1 << 23;
const PM_MMAP_EXCLUSIVE = 1 << 24;
const PM_FILE = 1 << 29;
const PM_SWAP = 1 << 30;
const PM_PRESENT = 1 << 31;

const MAX_SWAPFILES_SHIFT = 5;
/** Types of entries of pages on their way, behind 27 swap devices and poisoned pages. */
const SWP_MIGRATION_READ = 28;
const SWP_MIGRATION_READ_EXCLUSIVE = 29;
const SWP_MIGRATION_WRITE = 30;

/** One record: the frame (or swap entry) as a number, and the upper half's flags. */
interface pagemap_entry {
  readonly frame: number;
  readonly flags: number;
}

function page_flags(k: Machine, pfn: number): number {
  return (PageAnon(k.mem, pfn) ? 0 : PM_FILE) | (page_mapcount(k.mem, pfn) === 1 ? PM_MMAP_EXCLUSIVE : 0);
}

function migration_type(flags: number): number {
  if (flags & SWP_WRITE) return SWP_MIGRATION_WRITE;
  return flags & SWP_EXCLUSIVE ? SWP_MIGRATION_READ_EXCLUSIVE : SWP_MIGRATION_READ;
}

/** The entry at `addr`, small or part of a huge one. `pfn` is that of the page at this address. */
function to_pagemap_entry(k: Machine, pfn: number, flags: number, huge: boolean): pagemap_entry {
  if (flags & (_PAGE_PRESENT | _PAGE_PROTNONE)) {
    // A huge entry is looked at whatever it maps, the huge zero page too.
    const normal = huge || !(flags & _PAGE_SPECIAL);
    return { frame: pfn, flags: PM_PRESENT | (normal ? page_flags(k, pfn) : 0) };
  }
  if (flags === 0) return { frame: 0, flags: 0 };
  const migration = (flags & _PAGE_MIGRATION) !== 0;
  const frame = pfn * 2 ** MAX_SWAPFILES_SHIFT + (migration ? migration_type(flags) : 0);
  return { frame, flags: PM_SWAP | (migration && !PageAnon(k.mem, pfn) ? PM_FILE : 0) };
}

function put_record(out: DataView, at: number, e: pagemap_entry): void {
  out.setUint32(at, e.frame % 2 ** 32, true);
  out.setUint32(at + 4, Math.floor(e.frame / 2 ** 32) | e.flags, true);
}

function walk_vma(
  k: Machine,
  vma: vm_area_struct,
  from: number,
  to: number,
  each: (addr: number, e: pagemap_entry) => void,
): void {
  const soft = vm_flags_test(vma.vm_flags, VM_SOFTDIRTY) ? PM_SOFT_DIRTY : 0;
  const none: pagemap_entry = { frame: 0, flags: soft };
  for (let addr = from; addr < to; addr += PAGE_SIZE) {
    const pmd = pmd_huge(vma.vm_mm, addr);
    const table = pmd === undefined ? pte_offset(vma.vm_mm, addr) : undefined;
    if (pmd !== undefined) {
      const e = to_pagemap_entry(k, pmd.pfn + (addr % PMD_SIZE) / PAGE_SIZE, pmd.flags, true);
      each(addr, { frame: e.frame, flags: e.flags | soft });
    } else if (table === undefined) each(addr, none);
    else {
      const i = pte_index(addr);
      const e = to_pagemap_entry(k, table.pfn[i]!, table.flags[i]!, false);
      each(addr, { frame: e.frame, flags: e.flags | soft });
    }
  }
}

/**
 * Records of the pages in [start, end), bytes of the address space.
 * @kernel fs/proc/task_mmu.c:pagemap_read
 * @fidelity simplified: for a reader with CAP_SYS_ADMIN; entries keep no soft-dirty bit, VMAs do; no userfaultfd bit
 */
export function pagemap_read(k: Machine, mm: mm_struct, start: number, end: number): Uint8Array {
  const out = new DataView(new ArrayBuffer(((end - start) / PAGE_SIZE) * PM_ENTRY_BYTES));
  const each = (addr: number, e: pagemap_entry): void => {
    if (e.flags !== 0) put_record(out, ((addr - start) / PAGE_SIZE) * PM_ENTRY_BYTES, e);
  };
  for (let vma = find_vma(mm, start); vma != null && vma.vm_start < end; vma = find_vma(mm, vma.vm_end)) {
    walk_vma(k, vma, Math.max(vma.vm_start, start), Math.min(vma.vm_end, end), each);
  }
  return new Uint8Array(out.buffer);
}
