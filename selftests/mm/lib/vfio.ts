// SPDX-License-Identifier: GPL-2.0-only
/** A VFIO container, and what its user sees of it. */
import { expect } from "../../../harness/kselftest/index.js";
import { PIN_LONGTERM_BENCHMARK } from "../../../uapi/gup_test.js";
import {
  VFIO_DMA_MAP_ARGSZ,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_ARGSZ,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  type vfio_iommu_type1_dma_map,
  type vfio_iommu_type1_dma_unmap,
  type vfio_iommu_type1_info,
} from "../../../uapi/vfio.js";
import { at, bytes, type T } from "./memory.js";

const O_RDWR = 2;
export const DMA_RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

/** Opens a container with a group and a type 1 IOMMU. */
export function openContainer(t: T): number {
  const fd = t.sys.open("/dev/vfio/vfio", O_RDWR);
  expect(fd, "open").to.be.at.least(0);
  return fd;
}

/** Maps pages of the window for DMA at device address 0, or as `over` says. */
export function mapDma(
  t: T,
  container: number,
  page: number,
  pages: number,
  over: Partial<vfio_iommu_type1_dma_map> = {},
): number {
  const arg = { argsz: VFIO_DMA_MAP_ARGSZ, flags: DMA_RW, vaddr: at(page), iova: 0, size: bytes(pages), ...over };
  return t.sys.ioctl(container, VFIO_IOMMU_MAP_DMA, arg);
}

/** Unmaps device addresses; answers the errno and the bytes that were unmapped. */
export function unmapDma(
  t: T,
  container: number,
  over: Partial<vfio_iommu_type1_dma_unmap>,
): { ret: number; size: number | bigint } {
  const arg = { argsz: VFIO_DMA_UNMAP_ARGSZ, flags: 0, iova: 0, size: bytes(1), ...over };
  const ret = t.sys.ioctl(container, VFIO_IOMMU_UNMAP_DMA, arg);
  return { ret, size: arg.size };
}

/** Mappings that a container may still make: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL. */
export function dmaAvail(t: T, container: number): number {
  const info: vfio_iommu_type1_info = { argsz: 256, flags: 0, iova_pgsizes: 0 };
  expect(t.sys.ioctl(container, VFIO_IOMMU_GET_INFO, info), "VFIO_IOMMU_GET_INFO").to.equal(0);
  return info.dma_avail ?? -1;
}

/** Pages that are locked for the task: VmLck of /proc/self/status. */
export function locked(t: T): number {
  return t.k.current.mm!.locked_vm;
}

/** Pins pages of the window with gup_test, so many a call, and lets go; answers how many it pinned. */
export function gupTest(t: T, page: number, pages: number, perCall = 512): number {
  const fd = t.sys.open("/sys/kernel/debug/gup_test", O_RDWR);
  const arg = {
    get_delta_usec: 0,
    put_delta_usec: 0,
    addr: at(page),
    size: bytes(pages),
    nr_pages_per_call: perCall,
    gup_flags: 1,
    test_flags: 0,
  };
  expect(t.sys.ioctl(fd, PIN_LONGTERM_BENCHMARK, arg), "gup_test").to.equal(0);
  expect(t.sys.close(fd)).to.equal(0);
  return arg.size / bytes(1);
}
