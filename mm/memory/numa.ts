// SPDX-License-Identifier: GPL-2.0-only
/** NUMA hinting faults (mm/memory.c: do_numa_page, mm/huge_memory.c: do_huge_pmd_numa_page). */
import { page_test, page_zone } from "../../include/linux/mem_map.js";
import {
  _PAGE_ACCESSED,
  _PAGE_RW,
  _PAGE_SPECIAL,
  type huge_pmd,
  type vm_area_struct,
  type vm_fault,
} from "../../include/linux/mm_types.js";
import { PG_head, PG_tail } from "../../include/linux/page-flags.js";
import { PMD_SIZE } from "../../include/linux/types.js";
import { NUMA_HINT_FAULTS, NUMA_HINT_FAULTS_LOCAL } from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { mpol_misplaced, NUMA_NO_NODE } from "../mempolicy/misplaced.js";
import { migrate_misplaced_page } from "../migrate/misplaced.js";
import { numa_node_id } from "../page_alloc/nodes.js";
import { pmd_huge, pte_modify, vm_page_prot } from "../pgtable.js";
import { get_page, put_page } from "../swap.js";
import { count_vm_event } from "../vmstat.js";
import { pte_same } from "./cow.js";

/** Takes a reference, counts the fault, and says where the page should be. @kernel mm/memory.c:numa_migrate_prep @fidelity mirrored */
function numa_migrate_prep(k: Machine, page: number, vma: vm_area_struct, addr: number): number {
  get_page(k, page);
  count_vm_event(k, NUMA_HINT_FAULTS);
  if (page_zone(k.mem, page).node === numa_node_id(k)) count_vm_event(k, NUMA_HINT_FAULTS_LOCAL);
  return mpol_misplaced(k, page, vma, addr);
}

/** Takes a page where it should be; false where it stays, and nothing holds it any more. */
function numa_fault(k: Machine, page: number, vma: vm_area_struct, addr: number): boolean {
  const target_nid = numa_migrate_prep(k, page, vma, addr);
  if (target_nid !== NUMA_NO_NODE) return migrate_misplaced_page(k, page, vma, target_nid);
  put_page(k, page);
  return false;
}

/** The entry without the hint: as writable as it was. */
function without_hint(vma: vm_area_struct, flags: number): number {
  return pte_modify(flags, vm_page_prot(vma)) | _PAGE_ACCESSED | (flags & _PAGE_RW);
}

/**
 * A fault on an entry that was marked to learn who uses the page: the page may go to the node of this CPU.
 * @kernel mm/memory.c:do_numa_page
 * @fidelity simplified: nothing is learned of the task
 */
export function do_numa_page(k: Machine, vmf: vm_fault): 0 {
  const { vma, orig_pfn: page, orig_flags } = vmf;
  const normal = !(orig_flags & _PAGE_SPECIAL) && !page_test(k.mem, page, PG_head | PG_tail);
  if (normal && numa_fault(k, page, vma, vmf.address)) return 0;
  if (pte_same(vmf)) vmf.table!.flags[vmf.ptei] = without_hint(vma, orig_flags);
  return 0;
}

/**
 * The same on a huge entry.
 * @kernel mm/huge_memory.c:do_huge_pmd_numa_page
 * @fidelity simplified: nothing is learned of the task
 */
export function do_huge_pmd_numa_page(k: Machine, vma: vm_area_struct, address: number, pmd: huge_pmd): 0 {
  const haddr = Math.floor(address / PMD_SIZE) * PMD_SIZE;
  const { pfn, flags } = pmd;
  if (!(flags & _PAGE_SPECIAL) && numa_fault(k, pfn, vma, haddr)) return 0;
  if (pmd_huge(vma.vm_mm, haddr) === pmd && pmd.pfn === pfn && pmd.flags === flags)
    pmd.flags = without_hint(vma, flags);
  return 0;
}
