// SPDX-License-Identifier: GPL-2.0-only
/** What a digest takes from swap, KSM and VFIO: all that their calls in the table can tell states apart by. */
import type { vfio_container } from "../../drivers/vfio/container.js";
import type { swap_state } from "../../include/linux/swap.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import type { ksm_state } from "../../mm/ksm/state.js";
import { type Digest, page } from "./hash.js";

/** Slots in use, and the pages of the swap cache. */
function swap(k: Machine, d: Digest): void {
  const state = k.subsys.get("mm/swapfile.c") as swap_state | undefined;
  for (const area of state?.swap_info ?? []) {
    d.add(area.flags);
    area.swap_map.forEach((uses, slot) => {
      if (uses === 0) return;
      d.add(slot);
      d.add(uses);
    });
    for (const { i_pages } of area.spaces) {
      i_pages.forEach(0, 0xffffffff, (slot, pfn) => {
        d.add(slot);
        page(k, d, pfn);
      });
    }
  }
}

/** Where ksmd is, what it knows of each place, and which pages are shared. */
function ksm(k: Machine, d: Digest): void {
  const state = k.subsys.get("mm/ksm.c") as ksm_state | undefined;
  if (state === undefined) return;
  for (const n of [state.seqnr, state.rmap_at, state.pages_shared, state.pages_sharing, state.pages_unshared]) d.add(n);
  d.wide(state.address);
  d.add(state.mm_slot === null ? -1 : state.slots.indexOf(state.mm_slot));
  for (const { rmap_list } of state.slots) {
    d.add(rmap_list.length);
    for (const item of rmap_list) {
      d.wide(item.address);
      d.add(item.oldchecksum);
      d.add(item.unstable);
      d.add(item.head?.kpfn ?? 0);
    }
  }
}

/** Mappings of a container, and the pages that are pinned for them. */
function container(k: Machine, d: Digest, { iommu_data: iommu }: vfio_container): void {
  d.add(iommu.lock ? 1 : 0);
  for (const { iova, vaddr, size } of iommu.dma_list) {
    for (const n of [iova, vaddr, size]) d.wide(n);
    for (let at = iova; at < iova + size; at += PAGE_SIZE) page(k, d, iommu.domain.iova_to_pfn(at));
  }
}

export function subsystems(k: Machine, d: Digest): void {
  swap(k, d);
  ksm(k, d);
  const seen = new Set<object>();
  for (const { files } of k.tasks.values()) {
    if (seen.has(files)) continue;
    seen.add(files);
    for (const file of files.values()) {
      if (file.f_op.name === "vfio") container(k, d, file.private_data as vfio_container);
    }
  }
}
