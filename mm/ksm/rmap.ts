// SPDX-License-Identifier: GPL-2.0-only
/** KSM pages for the reverse map and for migration (mm/ksm.c). */
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { page_stable_node, set_page_stable_node } from "./stable.js";

/**
 * Calls `one` for each VMA that can map a KSM page: first where ksmd merged it, then where forks have it since.
 * @kernel mm/ksm.c:rmap_walk_ksm
 * @fidelity simplified: VMAs come in the order in which they were linked
 */
export function rmap_walk_ksm(k: Machine, pfn: number, one: (vma: vm_area_struct, address: number) => boolean): void {
  const node = page_stable_node(k, pfn);
  if (node === null) return;
  for (const forks of [false, true]) {
    for (const { mm, address, anon_vma } of [...node.hlist]) {
      for (const { vma } of [...anon_vma!.rb_root]) {
        if (address < vma.vm_start || address >= vma.vm_end || (vma.vm_mm === mm) === forks) continue;
        if (!one(vma, address)) return;
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
