// SPDX-License-Identifier: GPL-2.0-only
/** Mapping user memory for DMA (drivers/vfio/vfio_iommu_type1.c). Pins are in pin.ts, the list of ranges in dma.ts. */
import { not_modelled, would_wait } from "../../include/linux/bug.js";
import { CAP_IPC_LOCK, RLIMIT_MEMLOCK } from "../../include/linux/sched.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { subsys_state } from "../../include/linux/subsys.js";
import type { Machine } from "../../include/machine.js";
import { pin_report_of } from "../../include/linux/pin_report.js";
import { pinFinders } from "../../mm/page_holders.js";
import { EACCES, EEXIST, EFAULT, EINVAL, ENODEV, ENOENT, ENOSPC, ENOTTY } from "../../uapi/errno.js";
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
  type vfio_iommu_type1_dirty_bitmap,
  type vfio_iommu_type1_dma_map,
  type vfio_iommu_type1_dma_unmap,
  type vfio_iommu_type1_info,
} from "../../uapi/vfio.js";
import {
  vfio_dma,
  vfio_find_dma,
  vfio_find_dma_first,
  vfio_iommu,
  vfio_link_dma,
  vfio_parameters,
  vfio_unlink_dma,
} from "./dma.js";
import { IOMMU_READ, IOMMU_WRITE, IOVA_RANGES } from "./iommu.js";
import {
  mm_lock_acct,
  put_pfns,
  vfio_batch_fini,
  vfio_batch_init,
  vfio_lock_acct,
  vfio_pin_pages_remote,
} from "./pin.js";

/** Bytes that the first fields of each argument take in C: less than that is refused. */
const MINSZ = { map: 32, unmap: 24, info: 16, dirty: 8 } as const;
const TWO64 = 1n << 64n;
/** U64_MAX, as near as a number comes to it from below. */
const U64_MAX = 2 ** 64 - 2 ** 11;

/** A field of 64 bits as user space wrote it. */
function u64(x: number | bigint): bigint {
  return BigInt.asUintN(64, BigInt(x));
}

function is_aligned(x: bigint): boolean {
  return x % BigInt(PAGE_SIZE) === 0n;
}

/** Parameters of the module. */
export function vfio_parameters_of(k: Machine): vfio_parameters {
  return subsys_state(k, "vfio_iommu_type1", () => new vfio_parameters());
}

/**
 * Unmaps and unpins all of a range.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_unmap_unpin
 * @fidelity simplified: a 2 MiB table at a time
 */
function vfio_unmap_unpin(k: Machine, iommu: vfio_iommu, dma: vfio_dma): void {
  const pfns = new Uint32Array(512);
  const count = { n: 0 };
  let unlocked = 0;
  const npage = dma.size / PAGE_SIZE;
  for (let done = 0; done < npage;) {
    done += iommu.domain.unmap(dma.iova + done * PAGE_SIZE, npage - done, pfns, count);
    unlocked += put_pfns(k, pfns, count.n, dma.prot);
  }
  dma.iommu_mapped = false;
  vfio_lock_acct(dma, -unlocked, true);
}

/**
 * Takes a range away, with its pins and its accounting.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_remove_dma
 * @fidelity mirrored
 */
function vfio_remove_dma(k: Machine, iommu: vfio_iommu, dma: vfio_dma): void {
  vfio_unmap_unpin(k, iommu, dma);
  vfio_unlink_dma(iommu, dma);
  if (dma.vaddr_invalid) iommu.vaddr_invalid_count--;
  iommu.dma_avail++;
}

/**
 * Pins and maps a range, run by run of consecutive page frames; after an error nothing of it is left.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_pin_map_dma
 * @fidelity mirrored
 * @param map_size bytes
 * @returns 0, or -errno of {@link vfio_pin_pages_remote}
 */
function vfio_pin_map_dma(k: Machine, iommu: vfio_iommu, dma: vfio_dma, map_size: number): number {
  const limit = Math.floor(k.current.rlim[RLIMIT_MEMLOCK]! / PAGE_SIZE);
  const batch = vfio_batch_init(k, vfio_parameters_of(k).disable_hugepages);
  const report = pin_report_of(k);
  const out = { pfn_base: 0 };
  let ret = 0;
  report.begin();
  report.whole = true;
  for (let size = map_size; size > 0;) {
    const npage = vfio_pin_pages_remote(k, dma, dma.vaddr + dma.size, size / PAGE_SIZE, out, limit, batch);
    if (npage <= 0) {
      ret = npage;
      break;
    }
    iommu.domain.map(dma.iova + dma.size, out.pfn_base, npage);
    size -= npage * PAGE_SIZE;
    dma.size += npage * PAGE_SIZE;
  }
  report.whole = false;
  vfio_batch_fini(k, batch);
  dma.iommu_mapped = true;
  if (ret !== 0) vfio_remove_dma(k, iommu, dma);
  return ret;
}

/** Are all addresses from start to end ones that the IOMMU translates? @kernel vfio_iommu_iova_dma_valid */
function vfio_iommu_iova_dma_valid(start: number, end: number): boolean {
  return IOVA_RANGES.some((r) => start >= r.start && end <= r.end);
}

/**
 * Moves the accounting of a mapping to the running task's address space.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_change_dma_owner
 * @fidelity mirrored
 */
function vfio_change_dma_owner(k: Machine, dma: vfio_dma): number {
  const task = k.current;
  const mm = task.mm!;
  const npage = dma.locked_vm;
  if (mm === dma.mm) return 0;
  const lock_cap = task.capabilities.has(CAP_IPC_LOCK);
  const ret = mm_lock_acct(task, mm, lock_cap, npage);
  if (ret !== 0) return ret;
  if (dma.mm.mm_users > 0) mm_lock_acct(dma.task, dma.mm, dma.lock_cap, -npage);
  dma.task = task;
  dma.mm = mm;
  dma.lock_cap = lock_cap;
  return 0;
}

/** VFIO_DMA_MAP_FLAG_VADDR: gives a mapping whose address was invalidated a new one. */
function vfio_update_vaddr(
  k: Machine,
  iommu: vfio_iommu,
  dma: vfio_dma | undefined,
  iova: number,
  vaddr: number,
  size: number,
): number {
  if (dma === undefined) return -ENOENT;
  if (!dma.vaddr_invalid || dma.iova !== iova || dma.size !== size) return -EINVAL;
  const ret = vfio_change_dma_owner(k, dma);
  if (ret !== 0) return ret;
  dma.vaddr = vaddr;
  dma.vaddr_invalid = false;
  iommu.vaddr_invalid_count--;
  return 0;
}

/**
 * Maps user memory at device addresses: pins it for long, accounts it, and enters it in the IOMMU.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_dma_do_map
 * @fidelity mirrored
 * @returns 0; -EINVAL for no or wrong flags, no size, anything unaligned, a range that wraps, or addresses that the
 * IOMMU does not have; -EEXIST for an overlap; -ENOSPC for too many mappings; -ENOMEM, -EFAULT from pinning
 */
function vfio_dma_do_map(k: Machine, iommu: vfio_iommu, map: vfio_iommu_type1_dma_map): number {
  const set_vaddr = (map.flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
  const iova64 = u64(map.iova);
  const vaddr64 = u64(map.vaddr);
  const size64 = u64(map.size);
  let prot = 0;
  if (map.flags & VFIO_DMA_MAP_FLAG_WRITE) prot |= IOMMU_WRITE;
  if (map.flags & VFIO_DMA_MAP_FLAG_READ) prot |= IOMMU_READ;
  if ((prot !== 0) === set_vaddr) return -EINVAL;
  if (size64 === 0n || !is_aligned(size64 | iova64 | vaddr64)) return -EINVAL;
  if (iova64 + size64 > TWO64 || vaddr64 + size64 > TWO64) return -EINVAL;
  const [iova, vaddr, size] = [Number(iova64), Number(vaddr64), Number(size64)];
  const found = vfio_find_dma(iommu, iova, size);
  if (set_vaddr) return vfio_update_vaddr(k, iommu, found, iova, vaddr, size);
  if (found !== undefined) return -EEXIST;
  if (iommu.dma_avail === 0) return -ENOSPC;
  if (!vfio_iommu_iova_dma_valid(iova, iova + size - 1)) return -EINVAL;
  const task = k.current;
  if (task.mm === null) return -ENODEV;
  iommu.dma_avail--;
  const dma = new vfio_dma(iova, vaddr, prot, task, task.mm, task.capabilities.has(CAP_IPC_LOCK));
  dma.call = k.calls.now;
  vfio_link_dma(iommu, dma);
  return vfio_pin_map_dma(k, iommu, dma, size);
}

/** VFIO_DMA_UNMAP_FLAG_VADDR: invalidates the user addresses of mappings from place `first` on; all or none. */
function vfio_invalidate_vaddrs(iommu: vfio_iommu, first: number, end: number, out: { unmapped: number }): number {
  for (let n = first; n < iommu.dma_list.length && iommu.dma_list[n]!.iova < end; n++) {
    const dma = iommu.dma_list[n]!;
    if (dma.vaddr_invalid) {
      for (let m = first; m < n; m++) iommu.dma_list[m]!.vaddr_invalid = false;
      iommu.vaddr_invalid_count -= n - first;
      out.unmapped = 0;
      return -EINVAL;
    }
    dma.vaddr_invalid = true;
    iommu.vaddr_invalid_count++;
    out.unmapped += dma.size;
  }
  return 0;
}

/** Does [iova, iova + size) cut a mapping in two? Only type 1 version 2 minds. */
function bisects_a_mapping(iommu: vfio_iommu, iova: number, size: number): boolean {
  const head = vfio_find_dma(iommu, iova, 1);
  if (head !== undefined && head.iova !== iova) return true;
  const tail = vfio_find_dma(iommu, iova + size - 1, 0);
  return tail !== undefined && tail.iova + tail.size !== iova + size;
}

/**
 * Unmaps and unpins the mappings in a range of device addresses. `unmap.size` becomes the bytes unmapped.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_dma_do_unmap
 * @fidelity simplified: no dirty tracking, no mediated devices
 * @returns 0; -EINVAL for anything unaligned, no size, a range that wraps, or one that cuts a mapping in two. A range
 * that ends at 2^64 finds nothing, as in C
 */
function vfio_dma_do_unmap(k: Machine, iommu: vfio_iommu, unmap: vfio_iommu_type1_dma_unmap): number {
  const iova64 = u64(unmap.iova);
  const size64 = u64(unmap.size);
  const unmap_all = (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const out = { unmapped: 0 };
  if (!is_aligned(iova64)) return -EINVAL;
  if (unmap_all) {
    if (iova64 !== 0n || size64 !== 0n) return -EINVAL;
  } else if (size64 === 0n || !is_aligned(size64) || iova64 + size64 > TWO64) return -EINVAL;
  const iova = Number(iova64);
  const size = unmap_all ? U64_MAX : Number(size64);
  if (iommu.v2 && !unmap_all && bisects_a_mapping(iommu, iova, size)) return -EINVAL;
  const end = iova + size;
  const first = vfio_find_dma_first(iommu, iova, size);
  const v1_offset = first >= 0 && !iommu.v2 && iova > iommu.dma_list[first]!.iova;
  let ret = 0;
  if (first >= 0 && !v1_offset) {
    if (unmap.flags & VFIO_DMA_UNMAP_FLAG_VADDR) ret = vfio_invalidate_vaddrs(iommu, first, end, out);
    else {
      while (first < iommu.dma_list.length && iommu.dma_list[first]!.iova < end) {
        const dma = iommu.dma_list[first]!;
        out.unmapped += dma.size;
        vfio_remove_dma(k, iommu, dma);
      }
    }
  }
  if (ret === 0) unmap.size = out.unmapped;
  return ret;
}

/**
 * A container's IOMMU of a type that VFIO_SET_IOMMU names.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_iommu_type1_open
 * @fidelity mirrored
 * @returns null (-EINVAL) for a number that names no type
 */
export function vfio_iommu_type1_open(k: Machine, type: number): vfio_iommu | null {
  if (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU && type !== VFIO_TYPE1_NESTING_IOMMU) return null;
  const iommu = new vfio_iommu(vfio_parameters_of(k).dma_entry_limit);
  iommu.v2 = type !== VFIO_TYPE1_IOMMU;
  pinFinders(k).add(iommu.finder);
  return iommu;
}

/**
 * The container is closed: everything is unmapped and unpinned.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_iommu_type1_release
 * @fidelity mirrored
 */
export function vfio_iommu_type1_release(k: Machine, iommu: vfio_iommu): void {
  while (iommu.dma_list.length > 0) vfio_remove_dma(k, iommu, iommu.dma_list[iommu.dma_list.length - 1]!);
  pinFinders(k).delete(iommu.finder);
}

/**
 * Does this driver do what a VFIO_… extension number names? `iommu` is null before it is chosen.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_iommu_type1_check_extension
 * @fidelity simplified: no domain enforces cache coherency
 * @returns 1 or 0
 */
export function vfio_iommu_type1_check_extension(iommu: vfio_iommu | null, arg: unknown): number {
  switch (arg) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_TYPE1_NESTING_IOMMU:
    case VFIO_UNMAP_ALL:
      return 1;
    case VFIO_UPDATE_VADDR:
      return iommu === null ? 0 : 1;
    default:
      return 0;
  }
}

/** Runs a step with the list of mappings locked. @kernel drivers/vfio/vfio_iommu_type1.c:vfio_iommu.lock */
function with_iommu_lock(iommu: vfio_iommu, step: () => number): number {
  if (iommu.lock) would_wait("iommu->lock");
  iommu.lock = true;
  const ret = step();
  iommu.lock = false;
  return ret;
}

function vfio_iommu_type1_get_info(iommu: vfio_iommu, info: vfio_iommu_type1_info): number {
  if (info.argsz < MINSZ.info) return -EINVAL;
  info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  info.iova_pgsizes = -PAGE_SIZE >>> 0;
  info.dma_avail = iommu.dma_avail;
  info.iova_ranges = IOVA_RANGES.map((r) => ({ ...r }));
  return 0;
}

function vfio_iommu_type1_map_dma(k: Machine, iommu: vfio_iommu, map: vfio_iommu_type1_dma_map): number {
  const mask = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;
  if (map.argsz < MINSZ.map || map.flags & ~mask) return -EINVAL;
  return with_iommu_lock(iommu, () => vfio_dma_do_map(k, iommu, map));
}

function vfio_iommu_type1_unmap_dma(k: Machine, iommu: vfio_iommu, unmap: vfio_iommu_type1_dma_unmap): number {
  const bitmap = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
  const mask = bitmap | VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL;
  if (unmap.argsz < MINSZ.unmap || unmap.flags & ~mask) return -EINVAL;
  // whatever the bitmap is like: the last thing asked for is that dirty pages are being tracked
  if (unmap.flags & bitmap) return -EINVAL;
  return with_iommu_lock(iommu, () => vfio_dma_do_unmap(k, iommu, unmap));
}

/** Dirty page tracking, which cannot be started: what is refused without it. @kernel vfio_iommu_type1_dirty_pages */
function vfio_iommu_type1_dirty_pages(iommu: vfio_iommu, arg: unknown): number {
  if (!iommu.v2) return -EACCES;
  if (typeof arg !== "object" || arg === null) return -EFAULT;
  const { argsz, flags } = arg as vfio_iommu_type1_dirty_bitmap;
  if (argsz < MINSZ.dirty) return -EINVAL;
  switch (flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
      return not_modelled("drivers/vfio/vfio_iommu_type1.c: dirty page tracking");
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
      return 0;
    default:
      return -EINVAL;
  }
}

/**
 * A system call on a container that has this driver. `arg`: the structure of uapi/vfio.ts; not an object is a bad pointer.
 * @kernel drivers/vfio/vfio_iommu_type1.c:vfio_iommu_type1_ioctl
 * @fidelity simplified: no dirty tracking
 * @returns 0 or as the call says; -EFAULT for a bad pointer; -EINVAL for a short or unknown argument; -EACCES for
 * dirty page tracking with version 1; -ENOTTY
 */
export function vfio_iommu_type1_ioctl(k: Machine, iommu: vfio_iommu, cmd: number, arg: unknown): number {
  if (cmd === VFIO_CHECK_EXTENSION) return vfio_iommu_type1_check_extension(iommu, arg);
  if (cmd === VFIO_IOMMU_DIRTY_PAGES) return vfio_iommu_type1_dirty_pages(iommu, arg);
  if (cmd !== VFIO_IOMMU_GET_INFO && cmd !== VFIO_IOMMU_MAP_DMA && cmd !== VFIO_IOMMU_UNMAP_DMA) return -ENOTTY;
  if (typeof arg !== "object" || arg === null) return -EFAULT;
  if (cmd === VFIO_IOMMU_GET_INFO) return vfio_iommu_type1_get_info(iommu, arg as vfio_iommu_type1_info);
  if (cmd === VFIO_IOMMU_MAP_DMA) return vfio_iommu_type1_map_dma(k, iommu, arg as vfio_iommu_type1_dma_map);
  return vfio_iommu_type1_unmap_dma(k, iommu, arg as vfio_iommu_type1_dma_unmap);
}
