// SPDX-License-Identifier: GPL-2.0-only
/** Copying a VMA's entries at fork (mm/memory.c: copy_page_range). */
import { not_modelled } from "../../include/linux/bug.js";
import { type mem_section, PageAnon, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import {
  GUP_PIN_COUNTING_BIAS,
  VM_HUGETLB,
  VM_MAYWRITE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
} from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_RW,
  _PAGE_SPECIAL,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  MM_SWAPENTS,
  type pte_table,
  SWP_EXCLUSIVE,
  SWP_WRITE,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import type { Machine } from "../../include/machine.js";
import { PG_anon_exclusive, PG_head, PG_swapbacked, PG_tail, PG_uptodate } from "../../include/linux/page-flags.js";
import { MMF_HAS_PINNED } from "../../include/linux/sched/coredump.js";
import { PMD_SIZE, PTRS_PER_PTE } from "../../include/linux/types.js";
import { non_swap_entry } from "../../include/linux/swapops.js";
import { vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import { ENOMEM } from "../../uapi/errno.js";
import { copy_huge_pmd } from "../huge_memory/pmd.js";
import { alloc_page_vma } from "../page_alloc.js";
import { pmd_alloc, pte_alloc, pte_index, pte_offset, pte_present, set_pte, vm_page_prot } from "../pgtable.js";
import { page_add_new_anon_rmap, page_try_dup_anon_rmap } from "../rmap.js";
import { swap_duplicate } from "../swapfile.js";
import { get_page, lru_cache_add_inactive_or_unevictable, put_page } from "../swap.js";
import { mm_counter } from "./zap.js";

const VM_RAW = vm_flags_or(VM_PFNMAP, VM_MIXEDMAP);

/** Do private pages of the VMA get copied on write? @kernel include/linux/mm.h:is_cow_mapping */
export function is_cow_mapping(vma: vm_area_struct): boolean {
  return !vm_flags_test(vma.vm_flags, VM_SHARED) && vm_flags_test(vma.vm_flags, VM_MAYWRITE);
}

/** A pinned page is not shared with the child, who gets a copy now. @kernel mm/memory.c:copy_present_page */
function copy_present_page(
  k: Machine,
  dst_vma: vm_area_struct,
  dt: pte_table,
  i: number,
  addr: number,
  pfn: number,
): boolean {
  const page = alloc_page_vma(k, GFP_HIGHUSER_MOVABLE, dst_vma, addr);
  if (page === 0) return false;
  const s = k.mem.section(page);
  s.content[page & PFN_SECTION_MASK] = k.mem.section(pfn).content[pfn & PFN_SECTION_MASK]!;
  s.flags[page & PFN_SECTION_MASK]! |= PG_uptodate;
  page_add_new_anon_rmap(k, page, dst_vma, addr);
  lru_cache_add_inactive_or_unevictable(k, page, dst_vma);
  dst_vma.vm_mm.rss_stat[MM_ANONPAGES]!++;
  const write = vm_flags_test(dst_vma.vm_flags, VM_WRITE) ? _PAGE_RW : 0;
  set_pte(dt, i, page, vm_page_prot(dst_vma) | _PAGE_DIRTY | write);
  return true;
}

/** The child gets a share of a slot, which is nobody's alone then. */
function copy_swap_pte(k: Machine, dst_vma: vm_area_struct, dt: pte_table, st: pte_table, i: number): void {
  const entry = st.pfn[i]!;
  if (!non_swap_entry(entry)) {
    if (swap_duplicate(k, entry) < 0) not_modelled("mm/swapfile.c: add_swap_count_continuation");
    st.flags[i]! &= ~SWP_EXCLUSIVE;
    dst_vma.vm_mm.rss_stat[MM_SWAPENTS]!++;
  }
  set_pte(dt, i, entry, st.flags[i]!);
}

/** @kernel mm/memory.c:copy_nonpresent_pte @fidelity mirrored */
function copy_nonpresent_pte(k: Machine, dst_vma: vm_area_struct, dt: pte_table, st: pte_table, i: number): void {
  let flags = st.flags[i]!;
  if (!(flags & _PAGE_MIGRATION)) return copy_swap_pte(k, dst_vma, dt, st, i);
  dst_vma.vm_mm.rss_stat[mm_counter(k, st.pfn[i]!)]!++;
  if (flags & (SWP_WRITE | SWP_EXCLUSIVE) && is_cow_mapping(dst_vma)) {
    flags &= ~(SWP_WRITE | SWP_EXCLUSIVE);
    st.flags[i] = flags;
  }
  set_pte(dt, i, st.pfn[i]!, flags);
}

/** Maps a part of a huge page into the child's VMA too; false where it has to be copied. */
function dup_part(k: Machine, dst_vma: vm_area_struct, src_vma: vm_area_struct, pfn: number): boolean {
  const anon = PageAnon(k.mem, pfn);
  get_page(k, pfn);
  if (anon && !page_try_dup_anon_rmap(k, pfn, false, src_vma)) {
    put_page(k, pfn);
    return false;
  }
  if (!anon) k.mem.section(pfn).addMaps(pfn & PFN_SECTION_MASK, 1);
  dst_vma.vm_mm.rss_stat[mm_counter(k, pfn)]!++;
  return true;
}

/** Copies entries [from, to) of one table, whose first lies at `base`. @kernel mm/memory.c:copy_pte_range */
function copy_pte_range(
  k: Machine,
  dst_vma: vm_area_struct,
  src_vma: vm_area_struct,
  dt: pte_table,
  st: pte_table,
  base: number,
  from: number,
  to: number,
): number {
  const m = k.mem;
  const rss = dst_vma.vm_mm.rss_stat;
  const may_be_pinned = (src_vma.vm_mm.flags & MMF_HAS_PINNED) !== 0;
  let keep = ~_PAGE_ACCESSED;
  if (vm_flags_test(src_vma.vm_flags, VM_SHARED)) keep &= ~_PAGE_DIRTY;
  const protect = is_cow_mapping(src_vma) ? ~_PAGE_RW : ~0;
  const { pfn: spfn, flags: sflags } = st;
  dt.note_range(from, to, k.calls.now);
  for (let i = from; i < to; i++) {
    const pte = sflags[i]!;
    if (pte === 0) continue;
    if (!pte_present(pte)) {
      copy_nonpresent_pte(k, dst_vma, dt, st, i);
      continue;
    }
    const pfn = spfn[i]!;
    if (!(pte & _PAGE_SPECIAL)) {
      const s: mem_section = m.section(pfn);
      const p = pfn & PFN_SECTION_MASK;
      const flags = s.flags[p]!;
      if (flags & (PG_head | PG_tail)) {
        if (!dup_part(k, dst_vma, src_vma, pfn)) {
          if (!copy_present_page(k, dst_vma, dt, i, base + i * 4096, pfn)) return -ENOMEM;
          continue;
        }
        sflags[i] = pte & protect;
        dt.pfn[i] = pfn;
        dt.flags[i] = pte & protect & keep;
        continue;
      }
      if (m.owners[s.mapping[p]!]?.is_anon === true) {
        if (flags & PG_anon_exclusive) {
          if (may_be_pinned && s.refcount[p]! >= GUP_PIN_COUNTING_BIAS) {
            if (!copy_present_page(k, dst_vma, dt, i, base + i * 4096, pfn)) return -ENOMEM;
            continue;
          }
          s.flags[p] = flags & ~PG_anon_exclusive;
        }
        rss[MM_ANONPAGES]!++;
      } else {
        rss[flags & PG_swapbacked ? MM_SHMEMPAGES : MM_FILEPAGES]!++;
      }
      s.addRefs(p, 1);
      s.addMaps(p, 1);
    }
    sflags[i] = pte & protect;
    dt.pfn[i] = pfn;
    dt.flags[i] = pte & protect & keep;
  }
  return 0;
}

/** Will faults fill the child's entries as well? Then they are not copied. @kernel mm/memory.c:vma_needs_copy */
function vma_needs_copy(src_vma: vm_area_struct): boolean {
  return vm_flags_test(src_vma.vm_flags, VM_RAW) || src_vma.anon_vma !== null;
}

/**
 * Copies a VMA's entries to the child's, both sides write-protected where pages are copied on write. 0 or -ENOMEM.
 * @kernel mm/memory.c:copy_page_range
 * @fidelity mirrored
 */
export function copy_page_range(k: Machine, dst_vma: vm_area_struct, src_vma: vm_area_struct): number {
  if (!vma_needs_copy(src_vma)) return 0;
  if (vm_flags_test(src_vma.vm_flags, VM_HUGETLB)) not_modelled("mm/hugetlb.c: copy_hugetlb_page_range");
  const { vm_start: addr, vm_end: end } = src_vma;
  const dst_mm = dst_vma.vm_mm;
  const src = src_vma.vm_mm.pgd;
  const last = Math.floor((end - 1) / PMD_SIZE);
  for (let key = Math.floor(addr / PMD_SIZE); key <= last; key++) {
    const base = key * PMD_SIZE;
    const first = Math.max(base, addr);
    const huge = src.huge.size === 0 ? undefined : src.huge.get(key);
    if (huge !== undefined) {
      const err = copy_huge_pmd(k, dst_vma, src_vma, first, huge);
      if (err === 0) continue;
      if (err === -ENOMEM) return err;
    }
    const st = src.pte.get(key);
    if (st === undefined) {
      // The upper tables are made even where no entry is copied: they exist in the parent.
      if (src.pmd.has(Math.floor(first / 2 ** 30)) && !pmd_alloc(k, dst_mm, first)) return -ENOMEM;
      continue;
    }
    if (pte_offset(dst_mm, first) === undefined && pte_alloc(k, dst_mm, first) === null) return -ENOMEM;
    const dt = pte_offset(dst_mm, first)!;
    const to = key === last ? pte_index(end - 1) + 1 : PTRS_PER_PTE;
    const error = copy_pte_range(k, dst_vma, src_vma, dt, st, base, pte_index(first), to);
    if (error !== 0) return error;
  }
  return 0;
}
