// SPDX-License-Identifier: GPL-2.0-only
/** KSM pages for the reverse map and for migration (mm/ksm.c). */
import { GFP_HIGHUSER_MOVABLE } from "../../include/linux/gfp.js";
import { compound_head, page_owner_of, page_test, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { linear_page_index } from "../../include/linux/mm.js";
import type { anon_vma, vm_area_struct } from "../../include/linux/mm_types.js";
import { PG_dirty, PG_ksm, PG_locked, PG_tail, PG_uptodate } from "../../include/linux/page-flags.js";
import type { rmap_one_t } from "../../include/linux/rmap.js";
import { KSM_SWPIN_COPY } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { alloc_page_vma } from "../page_alloc.js";
import { count_vm_event } from "../vmstat.js";
import { KSM_RUN_UNMERGE, ksm_state_of } from "./state.js";
import { content_of, page_stable_node, set_page_stable_node } from "./stable.js";

/**
 * Calls `rmap_one` for each VMA that can map a KSM page: first where ksmd merged it, then where forks have it since.
 * @kernel mm/ksm.c:rmap_walk_ksm
 * @fidelity simplified: VMAs come in the order in which they were linked
 */
export function rmap_walk_ksm<A>(k: Machine, pfn: number, rmap_one: rmap_one_t<A>, arg: A): void {
  const node = page_stable_node(k, pfn);
  if (node === null) return;
  for (const forks of [false, true]) {
    for (const { mm, address, anon_vma } of [...node.hlist]) {
      for (const { vma } of [...anon_vma!.rb_root]) {
        if (address < vma.vm_start || address >= vma.vm_end || (vma.vm_mm === mm) === forks) continue;
        if (!rmap_one(k, pfn, vma, address, arg)) return;
      }
    }
  }
}

/**
 * The stable node follows its page. The new page has the owner of the old one already.
 * @kernel mm/ksm.c:folio_migrate_ksm
 * @fidelity mirrored
 */
export function folio_migrate_ksm(k: Machine, newfolio: number, folio: number): void {
  const node = page_stable_node(k, folio);
  if (node === null) return;
  node.kpfn = newfolio;
  set_page_stable_node(k, newfolio, node);
  set_page_stable_node(k, folio, null);
}

/**
 * Was a page of the swap cache merged, or of another anon_vma or offset, so that it cannot be mapped here? A tail of a huge
 * page has no offset of its own.
 */
function need_to_copy(k: Machine, pfn: number, vma: vm_area_struct, address: number): boolean {
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  if (s.flags[i]! & PG_ksm) {
    return page_stable_node(k, pfn) === null || ksm_state_of(k).run === KSM_RUN_UNMERGE;
  }
  const owner = page_owner_of(k.mem, pfn);
  if (owner?.is_anon !== true) return false;
  if (s.flags[i]! & PG_tail) return true;
  return s.index[i] !== linear_page_index(vma, address) >>> 0 || (owner as anon_vma).root !== vma.anon_vma?.root;
}

/**
 * The page to map where a page of the swap cache is wanted: itself, or a copy. KSM pages lose their stable node in swap, so
 * that the first who brings one back has it, and the others, of other anon_vmas or offsets, get copies.
 * @kernel mm/ksm.c:ksm_might_need_to_copy
 * @fidelity mirrored
 * @returns page frame, locked; 0 when there is no memory
 */
export function ksm_might_need_to_copy(k: Machine, pfn: number, vma: vm_area_struct, address: number): number {
  const uptodate = page_test(k.mem, compound_head(k.mem, pfn), PG_uptodate);
  if (!need_to_copy(k, pfn, vma, address) || !uptodate) return pfn;
  const copy = alloc_page_vma(k, GFP_HIGHUSER_MOVABLE, vma, address);
  if (copy === 0) return 0;
  const s = k.mem.section(copy);
  const i = copy & PFN_SECTION_MASK;
  s.content[i] = content_of(k, pfn);
  s.flags[i]! |= PG_dirty | PG_uptodate | PG_locked;
  count_vm_event(k, KSM_SWPIN_COPY);
  return copy;
}
