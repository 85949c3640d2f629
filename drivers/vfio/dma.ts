// SPDX-License-Identifier: GPL-2.0-only
/** What a container has mapped: ranges by device address, and the address space that they were pinned in. */
import type { mm_struct } from "../../include/linux/mm_types.js";
import type { task_struct } from "../../include/linux/sched.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { PinFinder } from "../../mm/page_holders.js";
import { iommu_domain } from "./iommu.js";

/** Mappings that a container may have, unless the module parameter says otherwise. @kernel U16_MAX */
const DEFAULT_DMA_ENTRY_LIMIT = 65535;

const TWO64 = 2 ** 64;

/** Parameters of the module vfio_iommu_type1, found under that name in Machine.subsys. */
export class vfio_parameters {
  dma_entry_limit = DEFAULT_DMA_ENTRY_LIMIT;
  /** One page a pin. */
  disable_hugepages = false;
}

/** One range of device addresses. Addresses and sizes are bytes. */
export class vfio_dma {
  readonly iova: number;
  vaddr: number;
  /** Grows as pages are pinned. */
  size = 0;
  /** IOMMU_READ | IOMMU_WRITE */
  readonly prot: number;
  iommu_mapped = false;
  /** Had the mapper CAP_IPC_LOCK? */
  lock_cap: boolean;
  vaddr_invalid = false;
  task: task_struct;
  mm: mm_struct;
  /** Pages accounted to `mm`. */
  locked_vm = 0;
  /** The entry into the kernel that made it. */
  call = 0;
  /** Consecutive page frames that are pinned for it already, but not mapped yet. */
  pinning: { readonly base: number; readonly pinned: number; readonly rsvd: boolean } | null = null;
  constructor(iova: number, vaddr: number, prot: number, task: task_struct, mm: mm_struct, lock_cap: boolean) {
    this.iova = iova;
    this.vaddr = vaddr;
    this.prot = prot;
    this.task = task;
    this.mm = mm;
    this.lock_cap = lock_cap;
  }
}

/** One container's IOMMU: its ranges in order of device address. @kernel drivers/vfio/vfio_iommu_type1.c:vfio_iommu */
export class vfio_iommu {
  readonly dma_list: vfio_dma[] = [];
  readonly domain = new iommu_domain();
  /** Mappings that may still be made. */
  dma_avail: number;
  vaddr_invalid_count = 0;
  v2 = true;
  /** Held while mappings are made or taken away. */
  lock = false;
  /** What the container says when it is asked who pins a page. */
  readonly finder: PinFinder = (pfn, nr) =>
    this.dma_list.flatMap(({ iova, size, task, call, pinning }) => {
      let refs = this.domain.count(iova, size / PAGE_SIZE, pfn, nr);
      if (pinning?.rsvd === false) {
        const [from, to] = [Math.max(pfn, pinning.base), Math.min(pfn + nr, pinning.base + pinning.pinned)];
        refs += Math.max(0, to - from);
      }
      const detail = `VFIO mapping of task ${String(task.pid)} at iova 0x${iova.toString(16)}`;
      return refs === 0 ? [] : [{ refs, detail, call }];
    });
  constructor(dma_entry_limit: number) {
    this.dma_avail = dma_entry_limit;
  }
}

/** Sum of two unsigned 64-bit numbers that are whole pages: the end of a range that ends at 2^64 is 0, as in C. */
function u64_sum(start: number, size: number): number {
  const end = start + size;
  return end >= TWO64 ? end - TWO64 : end;
}

/** Place of the first range that does not end at or before `start`. */
function first_after(iommu: vfio_iommu, start: number): number {
  let lo = 0;
  let hi = iommu.dma_list.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    const dma = iommu.dma_list[mid]!;
    if (start >= dma.iova + dma.size) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/**
 * The range that [start, start + size) touches, if any. None is found when that ends at 2^64: the sum wraps.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_find_dma
 * @fidelity mirrored
 */
export function vfio_find_dma(iommu: vfio_iommu, start: number, size: number): vfio_dma | undefined {
  const dma = iommu.dma_list[first_after(iommu, start)];
  return dma !== undefined && u64_sum(start, size) > dma.iova ? dma : undefined;
}

/**
 * Place of the first range that ends after `start`; -1 if it begins at or after start + size, which is 0 for 2^64.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_find_dma_first_node
 * @fidelity mirrored
 */
export function vfio_find_dma_first(iommu: vfio_iommu, start: number, size: number): number {
  const n = first_after(iommu, start);
  const dma = iommu.dma_list[n];
  if (dma === undefined || (size !== 0 && dma.iova >= u64_sum(start, size))) return -1;
  return n;
}

/** Adds a range, which must touch no other. @kernel drivers/vfio/vfio_iommu_type1.c:vfio_link_dma @fidelity mirrored */
export function vfio_link_dma(iommu: vfio_iommu, dma: vfio_dma): void {
  iommu.dma_list.splice(first_after(iommu, dma.iova), 0, dma);
}

/** Takes a range out. @kernel drivers/vfio/vfio_iommu_type1.c:vfio_unlink_dma @fidelity mirrored */
export function vfio_unlink_dma(iommu: vfio_iommu, dma: vfio_dma): void {
  iommu.dma_list.splice(iommu.dma_list.indexOf(dma), 1);
}
