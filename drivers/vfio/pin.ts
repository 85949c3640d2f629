// SPDX-License-Identifier: GPL-2.0-only
/** Pinning what is mapped for DMA, and accounting for it (drivers/vfio/vfio_iommu_type1.c: vfio_pin_pages_remote). */
import { VM_BUG_ON, not_modelled } from "../../include/linux/bug.js";
import { GFP_KERNEL } from "../../include/linux/gfp.js";
import { page_test } from "../../include/linux/mem_map.js";
import { FOLL_LONGTERM, FOLL_WRITE, VM_PFNMAP } from "../../include/linux/mm.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from "../../include/linux/mmap_lock.js";
import { PG_reserved } from "../../include/linux/page-flags.js";
import { pin_failed } from "../../include/linux/pin_report.js";
import type { task_struct } from "../../include/linux/sched.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { ENODEV, ENOMEM, ESRCH } from "../../uapi/errno.js";
import { pin_user_pages_remote, unpin_user_page, unpin_user_pages_dirty_lock } from "../../mm/gup.js";
import { vma_lookup } from "../../mm/mmap.js";
import { __free_pages, alloc_page } from "../../mm/page_alloc.js";
import { __account_locked_vm } from "../../mm/util.js";
import type { vfio_dma } from "./dma.js";
import { IOMMU_WRITE } from "./iommu.js";

/** Pages that one call pins at most: as many pointers as fit a page. */
const VFIO_BATCH_MAX_CAPACITY = 512;

/** Pages that were pinned together and are not mapped yet. @kernel drivers/vfio/vfio_iommu_type1.c:vfio_batch */
export class vfio_batch {
  readonly pages = new Uint32Array(VFIO_BATCH_MAX_CAPACITY);
  capacity = 1;
  /** Pages left, the first of them at `offset`. */
  size = 0;
  offset = 0;
  /** One page a pin (module parameter disable_hugepages). */
  readonly one_page: boolean;
  /** Page that holds the pointers; 0 if there was none to be had. */
  page = 0;
  constructor(one_page: boolean) {
    this.one_page = one_page;
  }
}

/**
 * A batch with room for a page full of pointers; without memory for that, for one page.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_batch_init
 * @fidelity mirrored
 */
export function vfio_batch_init(k: Machine, disable_hugepages: boolean): vfio_batch {
  const batch = new vfio_batch(disable_hugepages);
  if (disable_hugepages) return batch;
  batch.page = alloc_page(k, GFP_KERNEL);
  if (batch.page !== 0) batch.capacity = VFIO_BATCH_MAX_CAPACITY;
  return batch;
}

/** @kernel drivers/vfio/vfio_iommu_type1.c:vfio_batch_fini @fidelity mirrored */
export function vfio_batch_fini(k: Machine, batch: vfio_batch): void {
  if (batch.page !== 0) __free_pages(k, batch.page, 0);
}

/** Lets go of the pages of a batch that were not mapped. @kernel drivers/vfio/vfio_iommu_type1.c:vfio_batch_unpin */
export function vfio_batch_unpin(k: Machine, batch: vfio_batch, dma: vfio_dma): void {
  while (batch.size > 0) {
    put_pfn(k, batch.pages[batch.offset]!, dma.prot);
    batch.offset++;
    batch.size--;
  }
}

/**
 * Is this a page frame that is not pinned and not accounted: no page, or a reserved one, as the zero page is?
 * @kernel drivers/vfio/vfio_iommu_type1.c:is_invalid_reserved_pfn
 * @fidelity mirrored
 */
function is_invalid_reserved_pfn(k: Machine, pfn: number): boolean {
  return pfn >= k.mem.max_pfn || pfn === k.zero_pfn || page_test(k.mem, pfn, PG_reserved);
}

/**
 * Unpins one page, dirty if the device could write to it.
 * @kernel drivers/vfio/vfio_iommu_type1.c:put_pfn
 * @fidelity mirrored
 * @returns 1, or 0 for one that was not pinned
 */
function put_pfn(k: Machine, pfn: number, prot: number): number {
  if (is_invalid_reserved_pfn(k, pfn)) return 0;
  unpin_user_pages_dirty_lock(k, [pfn], 1, (prot & IOMMU_WRITE) !== 0);
  return 1;
}

/** Unpins pages of an array. @returns how many had been pinned */
export function put_pfns(k: Machine, pfns: Uint32Array, n: number, prot: number): number {
  let kept = 0;
  for (let j = 0; j < n; j++) if (!is_invalid_reserved_pfn(k, pfns[j]!)) pfns[kept++] = pfns[j]!;
  unpin_user_pages_dirty_lock(k, pfns, kept, (prot & IOMMU_WRITE) !== 0);
  return kept;
}

/** Accounts pages to an address space, or takes them off. @kernel drivers/vfio/vfio_iommu_type1.c:mm_lock_acct */
export function mm_lock_acct(task: task_struct, mm: mm_struct, lock_cap: boolean, npage: number): number {
  mmap_write_lock(mm);
  const ret = __account_locked_vm(mm, Math.abs(npage), npage > 0, task, lock_cap);
  mmap_write_unlock(mm);
  return ret;
}

/**
 * Accounts `npage` pages more (or fewer) of a mapping.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_lock_acct
 * @fidelity mirrored
 * @param async the address space may have gone
 * @returns 0; -ENOMEM over RLIMIT_MEMLOCK; -ESRCH if the address space has gone
 */
export function vfio_lock_acct(dma: vfio_dma, npage: number, async: boolean): number {
  if (npage === 0) return 0;
  if (async && dma.mm.mm_users === 0) return -ESRCH;
  const ret = mm_lock_acct(dma.task, dma.mm, dma.lock_cap, npage);
  if (ret === 0) dma.locked_vm += npage;
  return ret;
}

/**
 * Pins pages of an address space for the batch. Zero pages are let go at once.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vaddr_get_pfns
 * @fidelity simplified: no raw page frames (VM_PFNMAP)
 * @returns pages, or -errno
 */
function vaddr_get_pfns(
  k: Machine,
  mm: mm_struct,
  vaddr: number,
  npages: number,
  prot: number,
  pages: Uint32Array,
): number {
  const flags = prot & IOMMU_WRITE ? FOLL_WRITE | FOLL_LONGTERM : FOLL_LONGTERM;
  mmap_read_lock(mm);
  const ret = pin_user_pages_remote(k, mm, vaddr, npages, flags, pages);
  if (ret > 0) {
    for (let i = 0; i < ret; i++) if (pages[i] === k.zero_pfn) unpin_user_page(k, pages[i]!);
  } else {
    const vma = vma_lookup(mm, vaddr);
    if (vma !== undefined && vm_flags_test(vma.vm_flags, VM_PFNMAP)) {
      not_modelled("drivers/vfio/vfio_iommu_type1.c: follow_fault_pfn");
    }
  }
  mmap_read_unlock(mm);
  return ret;
}

/** A run of consecutive page frames being collected: C's pfn_base, pinned, lock_acct and rsvd. */
interface pfn_run {
  base: number;
  pinned: number;
  lock_acct: number;
  rsvd: boolean;
}

/**
 * Takes pages from the batch while they follow on from the run.
 * @returns 1: the batch is empty; 0: the next page does not follow; -ENOMEM: over the limit
 */
function take_from_batch(
  k: Machine,
  dma: vfio_dma,
  mm: mm_struct,
  limit: number,
  batch: vfio_batch,
  run: pfn_run,
): number {
  const { pages, offset, size } = batch;
  const room = dma.lock_cap || run.rsvd ? Infinity : limit - mm.locked_vm - run.lock_acct;
  let pfn = run.base + run.pinned;
  let n = 0;
  while (n < size && pages[offset + n] === pfn && run.rsvd === is_invalid_reserved_pfn(k, pfn) && n < room) {
    n++;
    pfn++;
  }
  run.pinned += n;
  if (!run.rsvd) run.lock_acct += n;
  batch.offset += n;
  batch.size -= n;
  if (n === size) return 1;
  return n >= room && pages[offset + n] === pfn && !is_invalid_reserved_pfn(k, pfn) ? -ENOMEM : 0;
}

/** Undoes what a call did that fails: the run's pins and the batch's. */
function unpin_run(k: Machine, dma: vfio_dma, run: pfn_run, batch: vfio_batch): void {
  if (!run.rsvd) {
    const pfns = new Uint32Array(VFIO_BATCH_MAX_CAPACITY);
    for (let done = 0; done < run.pinned; done += pfns.length) {
      const nr = Math.min(run.pinned - done, pfns.length);
      for (let n = 0; n < nr; n++) pfns[n] = run.base + done + n;
      put_pfns(k, pfns, nr, dma.prot);
    }
  }
  vfio_batch_unpin(k, batch, dma);
}

/**
 * Pins pages from `vaddr` on, as long as their page frames are consecutive; what was pinned beyond stays in the batch.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_pin_pages_remote
 * @fidelity simplified: no pages pinned by mediated devices
 * @param vaddr bytes
 * @param npage pages at most
 * @param limit pages that may be locked
 * @param out first page frame
 * @returns pages; -ENOMEM over RLIMIT_MEMLOCK, without memory, or if a page could not be moved; -EFAULT …
 */
export function vfio_pin_pages_remote(
  k: Machine,
  dma: vfio_dma,
  vaddr: number,
  npage: number,
  out: { pfn_base: number },
  limit: number,
  batch: vfio_batch,
): number {
  const mm = k.current.mm;
  if (mm === null) return -ENODEV;
  const run: pfn_run = { base: 0, pinned: 0, lock_acct: 0, rsvd: false };
  dma.pinning = run;
  let ret = 0;
  let follows = 1;
  if (batch.size > 0) {
    run.base = batch.pages[batch.offset]!;
    run.rsvd = is_invalid_reserved_pfn(k, run.base);
  }
  while (run.pinned < npage && follows === 1) {
    if (batch.size === 0) {
      const req_pages = Math.min(npage - run.pinned, batch.capacity);
      ret = vaddr_get_pfns(k, mm, vaddr + run.pinned * PAGE_SIZE, req_pages, dma.prot, batch.pages);
      if (ret < 0) break;
      VM_BUG_ON(ret === 0, "a long-term pin of no pages");
      batch.size = ret;
      batch.offset = 0;
      if (run.base === 0) {
        run.base = batch.pages[0]!;
        run.rsvd = is_invalid_reserved_pfn(k, run.base);
      }
    }
    follows = take_from_batch(k, dma, mm, limit, batch, run);
    if (batch.one_page) break;
  }
  if (follows < 0) {
    ret = follows;
    pin_failed(k, "RLIMIT_MEMLOCK", -follows, 0, { address: vaddr + run.pinned * PAGE_SIZE });
  } else if (ret >= 0) ret = vfio_lock_acct(dma, run.lock_acct, false);
  if (batch.size === 1 && batch.offset === 0) {
    put_pfn(k, batch.pages[0]!, dma.prot);
    batch.size = 0;
  }
  dma.pinning = null;
  out.pfn_base = run.base;
  if (ret >= 0) return run.pinned;
  unpin_run(k, dma, run, batch);
  return ret;
}
