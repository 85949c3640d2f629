// SPDX-License-Identifier: GPL-2.0-only
/** From user addresses to pages that are there, and references on them (mm/gup.c: follow_page_mask, try_grab_page). */
import {
  PFN_SECTION_MASK,
  PFN_SECTION_SHIFT,
  compound_head,
  compound_pincount,
  page_zone,
  PageAnon,
  set_compound_pincount,
} from "../../include/linux/mem_map.js";
import {
  FOLL_FORCE,
  FOLL_GET,
  FOLL_MIGRATION,
  FOLL_PIN,
  FOLL_SPLIT_PMD,
  FOLL_TOUCH,
  FOLL_WRITE,
  GUP_PIN_COUNTING_BIAS,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_SHARED,
  VM_WRITE,
} from "../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_MIGRATION,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SPECIAL,
  type huge_pmd,
  type pte_table,
  type vm_area_struct,
} from "../../include/linux/mm_types.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import {
  PG_active,
  PG_anon_exclusive,
  PG_dirty,
  PG_head,
  PG_referenced,
  PG_tail,
  PG_unevictable,
} from "../../include/linux/page-flags.js";
import { vm_flags_or, vm_flags_test } from "../../include/linux/vm_flags.js";
import { NR_FOLL_PIN_ACQUIRED } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { EEXIST, EINVAL, EMLINK, ENOMEM } from "../../uapi/errno.js";
import { pmd_migration_entry_wait } from "../huge_memory/migrate.js";
import { follow_trans_huge_pmd } from "../huge_memory/pmd.js";
import { __split_huge_pmd } from "../huge_memory/split_pmd.js";
import { migration_entry_wait } from "../migrate.js";
import { set_page_dirty } from "../page-writeback.js";
import { pmd_huge, pte_alloc, pte_index, pte_offset } from "../pgtable.js";
import { mark_page_accessed } from "../swap.js";
import { __mod_node_page_state } from "../vmstat.js";

/** Where page frames are written to, as C's struct page **. */
export type page_array = Uint32Array | number[];

const VM_SHAREABLE = vm_flags_or(VM_MAYSHARE, VM_SHARED);
const COMPOUND = PG_head | PG_tail;
const SETTLED = PG_active | PG_unevictable;

/**
 * Can a protected-none entry be followed without a fault?
 * @kernel include/linux/mm.h:gup_can_follow_protnone
 * @fidelity mirrored
 */
export function gup_can_follow_protnone(flags: number): boolean {
  return (flags & FOLL_FORCE) !== 0;
}

/**
 * Must a page that is mapped read-only be copied before it is pinned for reading?
 * @kernel include/linux/mm.h:gup_must_unshare
 * @fidelity mirrored
 */
export function gup_must_unshare(k: Machine, flags: number, pfn: number): boolean {
  if ((flags & (FOLL_WRITE | FOLL_PIN)) !== FOLL_PIN) return false;
  if (!PageAnon(k.mem, pfn)) return false;
  return (k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! & PG_anon_exclusive) === 0;
}

/** The same for a part of a huge page, which counts its pins apart. */
function try_grab_large(k: Machine, pfn: number, flags: number): boolean {
  const head = compound_head(k.mem, pfn);
  const s = k.mem.section(head);
  const i = head & PFN_SECTION_MASK;
  if (s.refcount[i]! <= 0) return false;
  if (!(flags & (FOLL_GET | FOLL_PIN))) return true;
  s.addRefs(i, 1);
  if (flags & FOLL_GET) return true;
  set_compound_pincount(k.mem, head, compound_pincount(k.mem, head) + 1);
  __mod_node_page_state(k.nodes[page_zone(k.mem, head).node]!, NR_FOLL_PIN_ACQUIRED, 1);
  return true;
}

/**
 * Takes a reference (FOLL_GET) or a pin (FOLL_PIN) on a page; without either, nothing. False if it has no owner.
 * @kernel mm/gup.c:try_grab_page
 * @fidelity mirrored
 */
export function try_grab_page(k: Machine, pfn: number, flags: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  VM_BUG_ON((flags & (FOLL_GET | FOLL_PIN)) === (FOLL_GET | FOLL_PIN), "FOLL_GET together with FOLL_PIN");
  if (s.flags[i]! & COMPOUND) return try_grab_large(k, pfn, flags);
  if (s.refcount[i]! <= 0) return false;
  if (flags & FOLL_GET) s.addRefs(i, 1);
  else if (flags & FOLL_PIN) {
    s.addRefs(i, GUP_PIN_COUNTING_BIAS);
    __mod_node_page_state(k.nodes[page_zone(k.mem, pfn).node]!, NR_FOLL_PIN_ACQUIRED, 1);
  }
  return true;
}

/**
 * May FOLL_FORCE write through this entry although it is not writable?
 * @kernel mm/gup.c:can_follow_write_pte
 * @fidelity simplified: no soft-dirty, no userfaultfd
 */
function can_follow_write_pte(k: Machine, pte: number, pfn: number, vma: vm_area_struct, flags: number): boolean {
  if (pte & _PAGE_RW) return true;
  if (!(flags & FOLL_FORCE)) return false;
  if (vm_flags_test(vma.vm_flags, VM_SHAREABLE)) return false;
  if (!vm_flags_test(vma.vm_flags, VM_MAYWRITE)) return false;
  if (vm_flags_test(vma.vm_flags, VM_WRITE)) return false;
  if (pfn === 0 || !PageAnon(k.mem, pfn)) return false;
  return (k.mem.section(pfn).flags[pfn & PFN_SECTION_MASK]! & PG_anon_exclusive) !== 0;
}

/** The page of a present entry; 0 for one that maps no counted page. @kernel mm/memory.c:vm_normal_page */
function normal_page(pfn: number, pte: number): number {
  return pte & _PAGE_SPECIAL ? 0 : pfn;
}

/**
 * An entry without a page of its own (a raw page frame): -EEXIST, after touching it.
 * @kernel mm/gup.c:follow_pfn_pte
 * @fidelity mirrored
 */
function follow_pfn_pte(table: pte_table, i: number, flags: number): number {
  if (flags & FOLL_TOUCH) table.flags[i]! |= flags & FOLL_WRITE ? _PAGE_DIRTY | _PAGE_ACCESSED : _PAGE_ACCESSED;
  return -EEXIST;
}

/**
 * The page that one table entry maps, with the reference or pin that `flags` ask for.
 * @kernel mm/gup.c:follow_page_pte
 * @fidelity simplified: no device memory, no core dumps
 * @returns page frame; 0 if a fault is needed; -EMLINK if unsharing is; -EEXIST for a raw page frame; -errno
 */
function follow_page_pte(k: Machine, vma: vm_area_struct, address: number, table: pte_table, flags: number): number {
  if ((flags & (FOLL_PIN | FOLL_GET)) === (FOLL_PIN | FOLL_GET)) return -EINVAL;
  const i = pte_index(address);
  let pte = table.flags[i]!;
  while (!(pte & (_PAGE_PRESENT | _PAGE_PROTNONE))) {
    if (!(flags & FOLL_MIGRATION) || !(pte & _PAGE_MIGRATION)) return 0;
    migration_entry_wait(k, vma.vm_mm, address);
    pte = table.flags[i]!;
  }
  if (pte & _PAGE_PROTNONE && !gup_can_follow_protnone(flags)) return 0;
  let page = normal_page(table.pfn[i]!, pte);
  if (flags & FOLL_WRITE && !can_follow_write_pte(k, pte, page, vma, flags)) return 0;
  if (page === 0) {
    if (table.pfn[i] !== k.zero_pfn) return follow_pfn_pte(table, i, flags);
    page = k.zero_pfn;
  }
  if (!(pte & _PAGE_RW) && gup_must_unshare(k, flags, page)) return -EMLINK;
  if (!try_grab_page(k, page, flags)) return -ENOMEM;
  if (flags & FOLL_TOUCH) {
    const head = compound_head(k.mem, page);
    const dirty = k.mem.section(head).flags[head & PFN_SECTION_MASK]! & PG_dirty;
    if (flags & FOLL_WRITE && !(pte & _PAGE_DIRTY) && !dirty) set_page_dirty(k, head);
    mark_page_accessed(k, head);
  }
  return page;
}

/** The page of a huge entry; undefined where FOLL_SPLIT_PMD made a table of it. @kernel mm/gup.c:follow_pmd_mask */
function follow_pmd_mask(
  k: Machine,
  vma: vm_area_struct,
  address: number,
  pmd: huge_pmd,
  flags: number,
): number | undefined {
  if (pmd.flags & _PAGE_MIGRATION) {
    if (!(flags & FOLL_MIGRATION)) return 0;
    pmd_migration_entry_wait(k, vma.vm_mm, address);
    const now = pmd_huge(vma.vm_mm, address);
    return now === undefined ? undefined : follow_pmd_mask(k, vma, address, now, flags);
  }
  if (flags & FOLL_SPLIT_PMD) {
    __split_huge_pmd(k, vma, address, false, 0);
    if (pte_alloc(k, vma.vm_mm, address) === null) return -ENOMEM;
    return undefined;
  }
  return follow_trans_huge_pmd(k, vma, address, pmd, flags);
}

/**
 * The page mapped at an address of a VMA, with the reference or pin that `flags` ask for; does not fault.
 * @kernel mm/gup.c:follow_page_mask
 * @fidelity mirrored (no hugetlb, no device memory)
 * @param address bytes
 * @returns as {@link follow_page_pte}
 */
export function follow_page_mask(k: Machine, vma: vm_area_struct, address: number, flags: number): number {
  const pmd = pmd_huge(vma.vm_mm, address);
  if (pmd !== undefined) {
    const page = follow_pmd_mask(k, vma, address, pmd, flags);
    if (page !== undefined) return page;
  }
  const table = pte_offset(vma.vm_mm, address);
  if (table === undefined) return 0;
  return follow_page_pte(k, vma, address, table, flags);
}

/**
 * Looks up the page at an address; takes a reference with FOLL_GET.
 * @kernel mm/gup.c:follow_page
 * @fidelity mirrored
 * @returns page frame, 0 or -errno
 */
export function follow_page(k: Machine, vma: vm_area_struct, address: number, foll_flags: number): number {
  if (foll_flags & FOLL_PIN) return 0;
  return follow_page_mask(k, vma, address, foll_flags);
}

/**
 * Follows consecutive entries of one table while none needs more than {@link follow_page_pte} does for a page that is
 * resident and writable; does the same to each as that does: its short way.
 * @param first index of the first entry
 * @param n entries at most
 * @returns entries followed
 */
export function follow_pte_run(
  k: Machine,
  table: pte_table,
  first: number,
  n: number,
  flags: number,
  pages: page_array | null,
  off: number,
): number {
  const { sections } = k.mem;
  const grab = flags & FOLL_PIN ? GUP_PIN_COUNTING_BIAS : flags & FOLL_GET ? 1 : 0;
  const touch = (flags & FOLL_TOUCH) !== 0;
  const clean = flags & FOLL_WRITE ? _PAGE_DIRTY : 0;
  const plain = flags & (FOLL_WRITE | FOLL_PIN) ? _PAGE_PRESENT | _PAGE_RW : _PAGE_PRESENT;
  const { flags: ptes, pfn: pfns } = table;
  let done = 0;
  for (; done < n; done++) {
    const pte = ptes[first + done]!;
    if ((pte & (plain | _PAGE_PROTNONE | _PAGE_SPECIAL)) !== plain) break;
    const page = pfns[first + done]!;
    const s = sections[page >>> PFN_SECTION_SHIFT]!;
    const i = page & PFN_SECTION_MASK;
    const f = s.flags[i]!;
    const refs = s.refcount[i]!;
    if (refs <= 0 || f & COMPOUND) break;
    s.setRefs(i, refs + grab);
    if (touch) {
      if (clean & ~pte && !(f & PG_dirty)) set_page_dirty(k, page);
      if (!(f & PG_referenced)) s.flags[i]! |= PG_referenced;
      else if (!(f & SETTLED)) mark_page_accessed(k, page);
    }
    if (pages !== null) pages[off + done] = page;
  }
  if (flags & FOLL_PIN && done > 0) count_pins(k, table, first, done, NR_FOLL_PIN_ACQUIRED);
  return done;
}

/** Counts pins of consecutive entries on the nodes of their pages. */
function count_pins(k: Machine, table: pte_table, first: number, n: number, item: number): void {
  if (k.nodes.length === 1) {
    __mod_node_page_state(k.nodes[0]!, item, n);
    return;
  }
  for (let j = first; j < first + n; j++) {
    __mod_node_page_state(k.nodes[page_zone(k.mem, table.pfn[j]!).node]!, item, 1);
  }
}

/** The head of the folio that a page belongs to. @kernel include/linux/page-flags.h:page_folio */
export function page_folio(k: Machine, pfn: number): number {
  return compound_head(k.mem, pfn);
}
