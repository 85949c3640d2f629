// SPDX-License-Identifier: GPL-2.0-only
/** Splitting, merging and adjusting VMAs (the middle of mm/mmap.c). Addresses are bytes, page offsets pages. */
import { fput, get_file } from "../../fs/file_table.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { type file, mapping_allow_writable, mapping_unmap_writable } from "../../include/linux/fs.js";
import { type mempolicy, mpol_equal } from "../../include/linux/mempolicy.js";
import { VM_ACCESS_FLAGS, VM_MAYWRITE, VM_SHARED, VM_SPECIAL, vma_pages } from "../../include/linux/mm.js";
import type { anon_vma, mm_struct, vm_area_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import {
  vm_flags_all,
  vm_flags_andnot,
  vm_flags_or,
  vm_flags_test,
  vm_flags_value,
  type vm_flags_t,
} from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { ENOMEM } from "../../uapi/errno.js";
import { vma_adjust_trans_huge } from "../huge_memory/split_pmd.js";
import { khugepaged_enter_vma } from "../khugepaged.js";
import { anon_vma_clone, unlink_anon_vmas } from "../rmap.js";
import { vm_area_dup, vm_area_free } from "../vma_init.js";

const SHARED_MAYWRITE = vm_flags_or(VM_SHARED, VM_MAYWRITE);

/** Can the mapping write into what it shares? @kernel include/linux/mm.h:is_shared_maywrite @fidelity mirrored */
export function is_shared_maywrite(flags: vm_flags_t): boolean {
  return vm_flags_all(flags, SHARED_MAYWRITE);
}

export function vma_is_shared_maywrite(vma: vm_area_struct): boolean {
  return is_shared_maywrite(vma.vm_flags);
}

/**
 * Takes a VMA off its file's list of mappings.
 * @kernel mm/mmap.c:unlink_file_vma
 * @fidelity mirrored
 */
export function unlink_file_vma(_k: Machine, vma: vm_area_struct): void {
  if (vma.vm_file === null) return;
  const mapping = vma.vm_file.f_mapping;
  if (vma_is_shared_maywrite(vma)) mapping_unmap_writable(mapping);
  mapping.i_mmap.delete(vma);
}

/** Puts a VMA on its file's list of mappings. @kernel mm/mmap.c:__vma_link_file @fidelity mirrored */
export function vma_link_file(vma: vm_area_struct): void {
  if (vma.vm_file === null) return;
  const mapping = vma.vm_file.f_mapping;
  if (vma_is_shared_maywrite(vma)) mapping_allow_writable(mapping);
  mapping.i_mmap.add(vma);
}

/** Adds a VMA to its address space. @kernel mm/mmap.c:vma_link @fidelity mirrored */
export function vma_link(mm: mm_struct, vma: vm_area_struct): void {
  mm.mm_mt.insert(vma);
  vma_link_file(vma);
  mm.map_count++;
}

/** Drops a VMA whose range another one has taken over; it must be out of the tree. */
function free_merged(k: Machine, vma: vm_area_struct, into: vm_area_struct): void {
  unlink_file_vma(k, vma);
  if (vma.vm_file !== null) fput(k, vma.vm_file);
  if (vma.anon_vma !== null) {
    VM_BUG_ON(vma.anon_vma !== into.anon_vma, "anon_vma_merge: two anon_vmas");
    unlink_anon_vmas(k, vma);
  }
  into.vm_mm.map_count--;
  vm_area_free(k, vma);
}

function set_bounds(mm: mm_struct, vma: vm_area_struct, start: number, end: number, pgoff: number): void {
  const old = vma.vm_start;
  vma.vm_start = start;
  vma.vm_end = end;
  vma.vm_pgoff = pgoff;
  mm.mm_mt.update(old, vma);
}

/** Gives a VMA that is to take over pages of another the other's anon_vma, if it has none. 0 or -ENOMEM. */
function import_anon_vma(k: Machine, importer: vm_area_struct, exporter: vm_area_struct): number {
  if (exporter.anon_vma === null || importer.anon_vma !== null) return 0;
  importer.anon_vma = exporter.anon_vma;
  return anon_vma_clone(k, importer, exporter);
}

/**
 * Makes a VMA larger, over a hole and perhaps over all of the next VMA; whether it may is the caller's business.
 * @kernel mm/mmap.c:vma_expand
 * @fidelity mirrored
 * @returns 0 or -ENOMEM
 */
export function vma_expand(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
  next: vm_area_struct | undefined,
): number {
  const mm = vma.vm_mm;
  const remove_next = next !== undefined && vma !== next && end === next.vm_end;
  if (remove_next) {
    const error = import_anon_vma(k, vma, next);
    if (error) return error;
    mm.mm_mt.remove(next.vm_start);
  }
  VM_BUG_ON(next !== undefined && !remove_next && next !== vma && end > next.vm_start, "vma_expand: overwrites");
  VM_BUG_ON(vma.vm_start < start || vma.vm_end > end, "vma_expand: shrinks");
  set_bounds(mm, vma, start, end, pgoff);
  if (remove_next) free_merged(k, next, vma);
  return 0;
}

/**
 * Moves the boundaries of a VMA: grows it over all or part of the next one (and the one after), or shrinks it to make
 * room for `insert` or for an `expand` that grows instead.
 * @kernel mm/mmap.c:__vma_adjust
 * @fidelity mirrored
 * @returns 0 or -ENOMEM
 */
export function __vma_adjust(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
  insert: vm_area_struct | null,
  expand: vm_area_struct | null,
): number {
  const mm = vma.vm_mm;
  const next = insert === null ? mm.mm_mt.find(vma.vm_end) : undefined;
  const into_next = next !== undefined && end > next.vm_start && end < next.vm_end;
  vma_adjust_trans_huge(k, vma, start, end, into_next ? end - next.vm_start : 0);
  if (next !== undefined && end >= next.vm_end) return adjust_over(k, vma, next, start, end, pgoff, expand);
  if (next !== undefined && end > next.vm_start) {
    const error = import_anon_vma(k, vma, next);
    if (error) return error;
    const moved = (end - next.vm_start) / PAGE_SIZE;
    set_bounds(mm, next, end, next.vm_end, next.vm_pgoff + moved);
    set_bounds(mm, vma, start, end, pgoff);
    return 0;
  }
  if (next !== undefined && end < vma.vm_end) {
    const error = import_anon_vma(k, next, vma);
    if (error) return error;
    const moved = (vma.vm_end - end) / PAGE_SIZE;
    const from = next.vm_start - (vma.vm_end - end);
    set_bounds(mm, vma, start, end, pgoff);
    set_bounds(mm, next, from, next.vm_end, next.vm_pgoff - moved);
    return 0;
  }
  set_bounds(mm, vma, start, end, pgoff);
  if (insert !== null) vma_link(mm, insert);
  return 0;
}

/** The cases of __vma_adjust in which one or two VMAs go: 1, 6, 7, and 8, where it is the first that goes. */
function adjust_over(
  k: Machine,
  vma: vm_area_struct,
  next: vm_area_struct,
  start: number,
  end: number,
  pgoff: number,
  expand: vm_area_struct | null,
): number {
  const mm = vma.vm_mm;
  let next_next: vm_area_struct | undefined;
  if (next === expand) {
    VM_BUG_ON(end !== next.vm_end, "__vma_adjust: case 8 goes beyond the next VMA");
    next = vma;
    vma = expand;
  } else if (end > next.vm_end) {
    next_next = mm.mm_mt.find(next.vm_end);
    VM_BUG_ON(next_next === undefined || end !== next_next.vm_end, "__vma_adjust: case 6 ends inside a VMA");
  }
  const exporter = next_next !== undefined && next.anon_vma === null ? next_next : next;
  const error = import_anon_vma(k, vma, exporter);
  if (error) return error;
  mm.mm_mt.remove(next.vm_start);
  if (next_next !== undefined) mm.mm_mt.remove(next_next.vm_start);
  set_bounds(mm, vma, start, end, pgoff);
  free_merged(k, next, vma);
  if (next_next !== undefined) free_merged(k, next_next, vma);
  return 0;
}

function is_mergeable_vma(
  vma: vm_area_struct,
  f: file | null,
  flags: vm_flags_t,
  uffd_ctx: object | null,
  anon_name: string | null,
): boolean {
  return (
    vm_flags_value(vma.vm_flags) === vm_flags_value(flags) &&
    vma.vm_file === f &&
    vma.vm_ops?.close === undefined &&
    vma.vm_userfaultfd_ctx === uffd_ctx &&
    vma.anon_name === anon_name
  );
}

function is_mergeable_anon_vma(a: anon_vma | null, b: anon_vma | null, vma: vm_area_struct | null): boolean {
  if ((a === null || b === null) && (vma === null || vma.anon_vma_chain.length === 1)) return true;
  return a === b;
}

/**
 * Can what is described by the other arguments be merged in front of `vma`?
 * @kernel mm/mmap.c:can_vma_merge_before
 * @fidelity mirrored
 */
export function can_vma_merge_before(
  vma: vm_area_struct,
  flags: vm_flags_t,
  av: anon_vma | null,
  f: file | null,
  pgoff: number,
  uffd_ctx: object | null,
  anon_name: string | null,
): boolean {
  return (
    is_mergeable_vma(vma, f, flags, uffd_ctx, anon_name) &&
    is_mergeable_anon_vma(av, vma.anon_vma, vma) &&
    vma.vm_pgoff === pgoff
  );
}

/**
 * Can what is described by the other arguments be merged behind `vma`?
 * @kernel mm/mmap.c:can_vma_merge_after
 * @fidelity mirrored
 */
export function can_vma_merge_after(
  vma: vm_area_struct,
  flags: vm_flags_t,
  av: anon_vma | null,
  f: file | null,
  pgoff: number,
  uffd_ctx: object | null,
  anon_name: string | null,
): boolean {
  return (
    is_mergeable_vma(vma, f, flags, uffd_ctx, anon_name) &&
    is_mergeable_anon_vma(av, vma.anon_vma, vma) &&
    vma.vm_pgoff + vma_pages(vma) === pgoff
  );
}

/**
 * Merges [addr, end) with what is before it, behind it, or both. The range is a hole (mmap, brk, mremap), or mapped
 * and about to get `flags` (mprotect, madvise, mlock). The kernel's eight cases, P = prev, N = next, X = the one after:
 *
 *        AAAA             AAAA          a hole:   AAAA            mapped:   AAAA
 *       PPPPPPNNNNNN    PPPPPPNNNNNN          PPPP    NNNN              PPPPNNNNXXXX
 *    4: PPNNNNNNNNNN 5: PPPPPPPPPPNN       1: PPPPPPPPPPPP           6: PPPPPPPPPPPP
 *                                          2: PPPPPPPPNNNN           7: PPPPPPPPXXXX
 *                                          3: PPPPNNNNNNNN           8: PPPPXXXXXXXX
 * @kernel mm/mmap.c:vma_merge
 * @fidelity mirrored
 * @returns the VMA that now covers the range, or undefined where nothing was merged
 */
export function vma_merge(
  k: Machine,
  mm: mm_struct,
  prev: vm_area_struct | undefined,
  addr: number,
  end: number,
  flags: vm_flags_t,
  av: anon_vma | null,
  f: file | null,
  pgoff: number,
  policy: mempolicy | null,
  uffd_ctx: object | null,
  anon_name: string | null,
): vm_area_struct | undefined {
  if (vm_flags_test(flags, VM_SPECIAL)) return undefined;
  const pglen = (end - addr) / PAGE_SIZE;
  const mid = mm.mm_mt.find(prev === undefined ? 0 : prev.vm_end);
  const next = mid !== undefined && mid.vm_end === end ? mm.mm_mt.find(end) : mid;
  const merge_prev =
    prev !== undefined &&
    prev.vm_end === addr &&
    mpol_equal(prev.vm_policy, policy) &&
    can_vma_merge_after(prev, flags, av, f, pgoff, uffd_ctx, anon_name);
  const merge_next =
    next !== undefined &&
    next.vm_start === end &&
    mpol_equal(next.vm_policy, policy) &&
    can_vma_merge_before(next, flags, av, f, pgoff + pglen, uffd_ctx, anon_name);
  let err = -1;
  let res = prev;
  if (merge_prev && merge_next && is_mergeable_anon_vma(prev.anon_vma, next.anon_vma, null)) {
    err = __vma_adjust(k, prev, prev.vm_start, next.vm_end, prev.vm_pgoff, null, prev); // 1, 6
  } else if (merge_prev) {
    err = __vma_adjust(k, prev, prev.vm_start, end, prev.vm_pgoff, null, prev); // 2, 5, 7
  } else if (merge_next) {
    res = next;
    if (prev !== undefined && addr < prev.vm_end) {
      err = __vma_adjust(k, prev, prev.vm_start, addr, prev.vm_pgoff, null, next); // 4
    } else {
      err = __vma_adjust(k, mid!, addr, next.vm_end, next.vm_pgoff - pglen, null, next); // 3, 8
    }
  }
  if (err || res === undefined) return undefined;
  khugepaged_enter_vma(k, res, flags);
  return res;
}

/** May two neighbours share an anon_vma, though they differ in what mprotect can change? */
function anon_vma_compatible(a: vm_area_struct, b: vm_area_struct): boolean {
  return (
    a.vm_end === b.vm_start &&
    mpol_equal(a.vm_policy, b.vm_policy) &&
    a.vm_file === b.vm_file &&
    vm_flags_value(vm_flags_andnot(a.vm_flags, VM_ACCESS_FLAGS)) ===
      vm_flags_value(vm_flags_andnot(b.vm_flags, VM_ACCESS_FLAGS)) &&
    b.vm_pgoff === a.vm_pgoff + (b.vm_start - a.vm_start) / PAGE_SIZE
  );
}

function reusable_anon_vma(old: vm_area_struct, a: vm_area_struct, b: vm_area_struct): anon_vma | null {
  if (!anon_vma_compatible(a, b)) return null;
  return old.anon_vma_chain.length === 1 ? old.anon_vma : null;
}

/**
 * The anon_vma of a neighbour that a VMA without one can share, so that the two can merge later.
 * @kernel mm/mmap.c:find_mergeable_anon_vma
 * @fidelity mirrored
 */
export function find_mergeable_anon_vma(vma: vm_area_struct): anon_vma | null {
  const tree = vma.vm_mm.mm_mt;
  const next = tree.find(vma.vm_end);
  const av = next !== undefined && next.vm_start === vma.vm_end ? reusable_anon_vma(next, vma, next) : null;
  if (av !== null) return av;
  const prev = tree.find_before(vma.vm_start);
  return prev === undefined ? null : reusable_anon_vma(prev, prev, vma);
}

/**
 * Splits a VMA at `addr`, whatever max_map_count says; the new one is the lower part if `new_below`.
 * @kernel mm/mmap.c:__split_vma
 * @fidelity mirrored
 * @returns 0, -ENOMEM, or what vm_ops->may_split says
 */
export function __split_vma(
  k: Machine,
  _mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  new_below: number | boolean,
): number {
  const refused = vma.vm_ops?.may_split?.(k, vma, addr) ?? 0;
  if (refused) return refused;
  const below = (addr - vma.vm_start) / PAGE_SIZE;
  const fresh = vm_area_dup(k, vma);
  if (new_below) {
    fresh.vm_end = addr;
  } else {
    fresh.vm_start = addr;
    fresh.vm_pgoff += below;
  }
  const err = anon_vma_clone(k, fresh, vma);
  if (err) {
    vm_area_free(k, fresh);
    return err;
  }
  if (fresh.vm_file !== null) get_file(fresh.vm_file);
  fresh.vm_ops?.open?.(k, fresh);
  if (new_below) return __vma_adjust(k, vma, addr, vma.vm_end, vma.vm_pgoff + below, fresh, null);
  return __vma_adjust(k, vma, vma.vm_start, addr, vma.vm_pgoff, fresh, null);
}

/**
 * Splits a VMA at `addr`, unless the address space has as many VMAs as it may.
 * @kernel mm/mmap.c:split_vma
 * @fidelity mirrored
 * @returns 0, or -ENOMEM
 */
export function split_vma(
  k: Machine,
  mm: mm_struct,
  vma: vm_area_struct,
  addr: number,
  new_below: number | boolean,
): number {
  if (mm.map_count >= k.config.max_map_count) return -ENOMEM;
  return __split_vma(k, mm, vma, addr, new_below);
}
