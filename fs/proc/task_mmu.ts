// SPDX-License-Identifier: GPL-2.0-only
/** /proc/PID/smaps and pagemap, as rows (fs/proc/task_mmu.c). */
import type { mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import {
  _PAGE_MIGRATION,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_SPECIAL,
  _PAGE_SWP,
  MM_SWAPENTS,
} from "../../include/linux/mm_types.js";
import { VM_EXEC, VM_MAYSHARE, VM_READ, VM_SHARED, VM_WRITE, vma_pages } from "../../include/linux/mm.js";
import { page_mapcount, page_test, PageAnon } from "../../include/linux/mem_map.js";
import { PG_head, PG_ksm, PG_tail } from "../../include/linux/page-flags.js";
import { PAGE_SIZE, PMD_SIZE } from "../../include/linux/types.js";
import { non_swap_entry } from "../../include/linux/swapops.js";
import { vm_flags_test, vm_flags_value } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { hugepage_vma_check } from "../../mm/huge_memory/policy.js";
import { __swap_count } from "../../mm/swapfile.js";
import { xa_is_value } from "../../lib/xarray.js";
import { pmd_huge, pte_index, pte_none, pte_offset } from "../../mm/pgtable.js";

/** What smaps shows of one VMA. */
export interface SmapsRow {
  /** Bytes. */
  readonly start: number;
  readonly end: number;
  /** As in "rw-p". */
  readonly perms: string;
  /** Offset in the file, in pages; 0 where there is none. */
  readonly pgoff: number;
  readonly name: string;
  /** Two-letter names of the flags, lowest bit first; "??" for a flag that has none. */
  readonly VmFlags: readonly string[];
  /** KiB of huge pages that huge entries map: anonymous, shmem. */
  readonly AnonHugePages: number;
  readonly ShmemPmdMapped: number;
  /** KiB that are in swap, and of those the VMA's share where others have them too. */
  readonly Swap: number;
  readonly SwapPss: number;
  /** May the VMA have huge pages? */
  readonly THPeligible: boolean;
  /** One character a page, of its first 1024: see page_char. */
  readonly pages: string;
}

/** Pages of a VMA that a row spells out. */
const MAX_PAGES = 1024;
const KIB = PAGE_SIZE / 1024;

const mnemonics: Readonly<Record<number, string>> = {
  0: "rd",
  1: "wr",
  2: "ex",
  3: "sh",
  4: "mr",
  5: "mw",
  6: "me",
  7: "ms",
  8: "gd",
  9: "um",
  10: "pf",
  12: "uw",
  13: "lo",
  14: "io",
  15: "sr",
  16: "rr",
  17: "dc",
  18: "de",
  20: "ac",
  21: "nr",
  22: "ht",
  23: "sf",
  25: "wf",
  26: "dd",
  28: "mm",
  29: "hg",
  30: "nh",
  31: "mg",
};

/**
 * The VmFlags line of a VMA, word by word.
 * @kernel fs/proc/task_mmu.c:show_smap_vma_flags
 * @fidelity mirrored
 */
export function show_smap_vma_flags(k: Machine, vma: vm_area_struct): string[] {
  const words: string[] = [];
  let rest = vm_flags_value(vma.vm_flags);
  for (let bit = 0; rest > 0; bit++) {
    if (rest % 2 === 1) {
      const word = k.arch.smapsNames[bit] ?? mnemonics[bit] ?? "??";
      if (word !== "") words.push(word);
    }
    rest = Math.floor(rest / 2);
  }
  return words;
}

/**
 * The name at the end of a VMA's line, "" for none.
 * @kernel fs/proc/task_mmu.c:show_map_vma
 * @fidelity mirrored
 */
export function vma_name(mm: mm_struct, vma: vm_area_struct): string {
  const file = vma.vm_file;
  if (file !== null) return file.path.replaceAll("\n", "\\012") + (file.f_inode.unlinked ? " (deleted)" : "");
  const named = vma.vm_ops?.vmaName?.(vma);
  if (named !== undefined) return named;
  if (vma.vm_start <= mm.brk && vma.vm_end >= mm.start_brk) return "[heap]";
  if (vma.vm_start <= mm.start_stack && vma.vm_end >= mm.start_stack) return "[stack]";
  return vma.anon_name === null ? "" : `[anon:${vma.anon_name}]`;
}

/**
 * What stands at one address: `-` nothing, `z` the zero page, `a` anonymous and mapped once, `c` anonymous and mapped
 * more often, `f` a page of a file, `T`/`F` part of a huge page (anonymous, file), `k` KSM, `w` swapped or on its way.
 * @kernel fs/proc/task_mmu.c:pte_to_pagemap_entry
 * @fidelity simplified: what /proc/self/pagemap and /proc/kpageflags say together
 */
export function page_char(k: Machine, mm: mm_struct, addr: number): string {
  const pmd = pmd_huge(mm, addr);
  if (pmd !== undefined) {
    if (pmd.flags & _PAGE_MIGRATION) return "w";
    if (pmd.flags & _PAGE_SPECIAL) return "z";
    return PageAnon(k.mem, pmd.pfn) ? "T" : "F";
  }
  const table = pte_offset(mm, addr);
  if (table === undefined) return "-";
  const i = pte_index(addr);
  const flags = table.flags[i]!;
  if ((flags & (_PAGE_PRESENT | _PAGE_PROTNONE)) === 0) return flags & (_PAGE_SWP | _PAGE_MIGRATION) ? "w" : "-";
  const pfn = table.pfn[i]!;
  if (pfn === k.zero_pfn) return "z";
  if (page_test(k.mem, pfn, PG_ksm)) return "k";
  const anon = PageAnon(k.mem, pfn);
  if (page_test(k.mem, pfn, PG_head | PG_tail)) return anon ? "T" : "F";
  if (!anon) return "f";
  return page_mapcount(k.mem, pfn) === 1 ? "a" : "c";
}

/** As in "rw-p". */
export function perms(vma: vm_area_struct): string {
  const f = vma.vm_flags;
  const r = vm_flags_test(f, VM_READ) ? "r" : "-";
  const w = vm_flags_test(f, VM_WRITE) ? "w" : "-";
  const x = vm_flags_test(f, VM_EXEC) ? "x" : "-";
  return r + w + x + (vm_flags_test(f, VM_MAYSHARE) ? "s" : "p");
}

function page_chars(k: Machine, vma: vm_area_struct): string {
  const end = Math.min(vma.vm_end, vma.vm_start + MAX_PAGES * PAGE_SIZE);
  let chars = "";
  for (let addr = vma.vm_start; addr < end; addr += PAGE_SIZE) chars += page_char(k, vma.vm_mm, addr);
  return chars;
}

/** KiB that huge entries of a VMA map, or mapped until their page began to move. @kernel fs/proc/task_mmu.c:smaps_pmd_entry @fidelity mirrored */
function pmd_mapped(k: Machine, vma: vm_area_struct): { AnonHugePages: number; ShmemPmdMapped: number } {
  const sum = { AnonHugePages: 0, ShmemPmdMapped: 0 };
  for (const [key, pmd] of vma.vm_mm.pgd.huge) {
    if (key * PMD_SIZE < vma.vm_start || key * PMD_SIZE >= vma.vm_end) continue;
    if (pmd.flags & _PAGE_SPECIAL && !(pmd.flags & _PAGE_MIGRATION)) continue;
    sum[PageAnon(k.mem, pmd.pfn) ? "AnonHugePages" : "ShmemPmdMapped"] += PMD_SIZE / 1024;
  }
  return sum;
}

/** KiB of a VMA that are in swap; of a shmem file, what lies in its range there. @kernel fs/proc/task_mmu.c:smaps_pte_entry, smap_gather_stats @fidelity mirrored */
function swapped(k: Machine, vma: vm_area_struct): { Swap: number; SwapPss: number } {
  let [pages, share] = [0, 0];
  const private_writable = vm_flags_test(vma.vm_flags, VM_WRITE) && !vm_flags_test(vma.vm_flags, VM_SHARED);
  const host = vma.vm_file?.f_inode;
  if (host?.shmem != null && host.shmem.swapped > 0) {
    host.i_mapping.i_pages.forEach(vma.vm_pgoff, vma.vm_pgoff + vma_pages(vma) - 1, (index, value) => {
      const addr = vma.vm_start + (index - vma.vm_pgoff) * PAGE_SIZE;
      const t = private_writable ? pte_offset(vma.vm_mm, addr) : undefined;
      if (xa_is_value(value) && (t === undefined || pte_none(t, pte_index(addr)))) pages++;
    });
  }
  if (vma.vm_mm.rss_stat[MM_SWAPENTS]! > 0) {
    for (let addr = vma.vm_start; addr < vma.vm_end; addr += PAGE_SIZE) {
      const t = pte_offset(vma.vm_mm, addr);
      if (t === undefined) {
        addr = (Math.floor(addr / PMD_SIZE) + 1) * PMD_SIZE - PAGE_SIZE;
        continue;
      }
      const entry = t.pfn[pte_index(addr)]!;
      if (!(t.flags[pte_index(addr)]! & _PAGE_SWP) || non_swap_entry(entry)) continue;
      pages++;
      share += 1 / Math.max(__swap_count(k, entry), 1);
    }
  }
  return { Swap: pages * KIB, SwapPss: Math.floor(share * KIB) };
}

/**
 * All VMAs of an address space, lowest first.
 * @kernel fs/proc/task_mmu.c:show_smap
 * @fidelity simplified: rows instead of text; sizes and resident counts are left to the reader of `pages`
 */
export function show_smaps(k: Machine, mm: mm_struct): SmapsRow[] {
  const rows: SmapsRow[] = [];
  mm.mm_mt.forEach((vma) => {
    rows.push({
      start: vma.vm_start,
      end: vma.vm_end,
      perms: perms(vma),
      pgoff: vma.vm_file === null ? 0 : vma.vm_pgoff,
      name: vma_name(mm, vma),
      VmFlags: show_smap_vma_flags(k, vma),
      ...pmd_mapped(k, vma),
      ...swapped(k, vma),
      THPeligible: hugepage_vma_check(k, vma, vma.vm_flags, { smaps: true, enforce_sysfs: true }),
      pages: page_chars(k, vma),
    });
  });
  return rows;
}
