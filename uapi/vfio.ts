// SPDX-License-Identifier: GPL-2.0-only
/** What user space passes to VFIO containers (uapi/linux/vfio.h). */
export const VFIO_API_VERSION = 0;

export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

export const VFIO_GET_API_VERSION = 0x3b64;
export const VFIO_CHECK_EXTENSION = 0x3b65;
export const VFIO_SET_IOMMU = 0x3b66;
export const VFIO_IOMMU_GET_INFO = 0x3b70;
export const VFIO_IOMMU_MAP_DMA = 0x3b71;
export const VFIO_IOMMU_UNMAP_DMA = 0x3b72;
export const VFIO_IOMMU_DIRTY_PAGES = 0x3b75;

export const VFIO_DMA_MAP_FLAG_READ = 1 << 0;
export const VFIO_DMA_MAP_FLAG_WRITE = 1 << 1;
export const VFIO_DMA_MAP_FLAG_VADDR = 1 << 2;
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0;
export const VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2;
export const VFIO_IOMMU_INFO_PGSIZES = 1 << 0;
export const VFIO_IOMMU_INFO_CAPS = 1 << 1;

/** Argument of VFIO_IOMMU_MAP_DMA. `argsz` in bytes, as of the C structure: 32. Addresses and size in bytes. */
export interface vfio_iommu_type1_dma_map {
  argsz: number;
  flags: number;
  vaddr: number | bigint;
  iova: number | bigint;
  size: number | bigint;
}
export const VFIO_DMA_MAP_ARGSZ = 32;

/** Argument of VFIO_IOMMU_UNMAP_DMA; `size` comes back as the bytes unmapped. `argsz` of the C structure: 24. */
export interface vfio_iommu_type1_dma_unmap {
  argsz: number;
  flags: number;
  iova: number | bigint;
  size: number | bigint;
}
export const VFIO_DMA_UNMAP_ARGSZ = 24;

/** Argument of VFIO_IOMMU_GET_INFO; what comes back beyond `argsz` is what C finds in the capability chain. */
export interface vfio_iommu_type1_info {
  argsz: number;
  flags: number;
  /** Sizes of IOMMU pages as a bit mask, low 32 bits. */
  iova_pgsizes: number;
  /** VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL: mappings that may still be made. */
  dma_avail?: number;
  /** VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: valid addresses, both ends included. */
  iova_ranges?: { start: number; end: number }[];
}

/** Argument of VFIO_IOMMU_DIRTY_PAGES, without the range that VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP takes after it. */
export interface vfio_iommu_type1_dirty_bitmap {
  argsz: number;
  flags: number;
}
