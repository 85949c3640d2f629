// SPDX-License-Identifier: GPL-2.0-only
/** A VMA's copy at another address, for mremap (mm/mmap.c:copy_vma). */
import { get_file } from "../../fs/file_table.js";
import { VM_BUG_ON } from "../../include/linux/bug.js";
import { vma_is_anonymous } from "../../include/linux/mm.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { anon_vma_clone } from "../rmap.js";
import { vm_area_dup, vm_area_free } from "../vma_init.js";
import { vma_link, vma_merge } from "./merge.js";

/** The copy, and the VMA that now holds what was copied: merging can have made one of both. */
export interface copied_vma {
  new_vma: vm_area_struct;
  vma: vm_area_struct;
}

/**
 * Gives [addr, addr + len) a VMA like `vma`, merged with its neighbours where it can be; the range is a hole.
 * @kernel mm/mmap.c:copy_vma
 * @fidelity mirrored (rmap locks aside)
 * @param pgoff pages; `keep_source`: MREMAP_DONTUNMAP, so the copy must not merge with the source
 * @returns null where the range is mapped or there is no memory
 */
export function copy_vma(
  k: Machine,
  vma: vm_area_struct,
  addr: number,
  len: number,
  pgoff: number,
  keep_source: boolean,
): copied_vma | null {
  const mm = vma.vm_mm;
  const vma_start = vma.vm_start;
  const untouched = vma_is_anonymous(vma) && vma.anon_vma === null;
  if (untouched) pgoff = addr / PAGE_SIZE;
  const next = mm.mm_mt.find(addr);
  if (next !== undefined && next.vm_start < addr + len) return null;
  if (!(untouched && keep_source && (addr === vma.vm_end || vma_start === addr + len))) {
    const merged = vma_merge(
      k,
      mm,
      mm.mm_mt.find_before(addr),
      addr,
      addr + len,
      vma.vm_flags,
      vma.anon_vma,
      vma.vm_file,
      pgoff,
      vma.vm_policy,
      vma.vm_userfaultfd_ctx,
      vma.anon_name,
    );
    if (merged !== undefined) {
      if (vma_start < merged.vm_start || vma_start >= merged.vm_end) return { new_vma: merged, vma };
      VM_BUG_ON(!untouched, "copy_vma: merged with a source that has pages");
      return { new_vma: merged, vma: merged };
    }
  }
  const new_vma = vm_area_dup(k, vma);
  new_vma.vm_start = addr;
  new_vma.vm_end = addr + len;
  new_vma.vm_pgoff = pgoff;
  if (anon_vma_clone(k, new_vma, vma)) {
    vm_area_free(k, new_vma);
    return null;
  }
  if (new_vma.vm_file !== null) get_file(new_vma.vm_file);
  new_vma.vm_ops?.open?.(k, new_vma);
  vma_link(mm, new_vma);
  return { new_vma, vma };
}
