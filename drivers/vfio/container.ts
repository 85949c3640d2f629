// SPDX-License-Identifier: GPL-2.0-only
/** /dev/vfio/vfio (drivers/vfio/container.c). */
import { file, inode, S_IFCHR, type file_operations } from "../../include/linux/fs.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL, ENODEV } from "../../uapi/errno.js";
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../../uapi/vfio.js";
import type { vfio_iommu } from "./dma.js";
import {
  vfio_iommu_type1_check_extension,
  vfio_iommu_type1_ioctl,
  vfio_iommu_type1_open,
  vfio_iommu_type1_release,
} from "./vfio_iommu_type1.js";

export const VFIO_CONTAINER_PATH = "/dev/vfio/vfio";

/** One open container. Its one group is attached from the start, and so is an IOMMU of type 1 version 2. */
export class vfio_container {
  iommu_data: vfio_iommu;
  /** Has VFIO_SET_IOMMU been called? */
  iommu_set = false;
  constructor(iommu: vfio_iommu) {
    this.iommu_data = iommu;
  }
}

/**
 * Chooses the IOMMU driver; once. The type is first taken for an extension: a number that is an extension but no type
 * is -EINVAL, one that is neither -ENODEV.
 * @kernel drivers/vfio/container.c:vfio_ioctl_set_iommu
 */
function vfio_ioctl_set_iommu(k: Machine, container: vfio_container, arg: unknown): number {
  if (container.iommu_set || container.iommu_data.dma_list.length > 0) return -EINVAL;
  if (typeof arg !== "number" || vfio_iommu_type1_check_extension(null, arg) <= 0) return -ENODEV;
  const iommu = vfio_iommu_type1_open(k, arg);
  if (iommu === null) return -EINVAL;
  container.iommu_data = iommu;
  container.iommu_set = true;
  return 0;
}

/** @kernel drivers/vfio/container.c:vfio_fops_unl_ioctl @fidelity simplified: groups are not modelled */
function vfio_fops_unl_ioctl(k: Machine, filep: file, cmd: number, arg: unknown): number {
  const container = filep.private_data as vfio_container;
  if (cmd === VFIO_GET_API_VERSION) return VFIO_API_VERSION;
  if (cmd === VFIO_CHECK_EXTENSION) return vfio_iommu_type1_check_extension(container.iommu_data, arg);
  if (cmd === VFIO_SET_IOMMU) return vfio_ioctl_set_iommu(k, container, arg);
  return vfio_iommu_type1_ioctl(k, container.iommu_data, cmd, arg);
}

const vfio_fops: file_operations = {
  name: "vfio",
  unlocked_ioctl: vfio_fops_unl_ioctl,
  release(k, filep) {
    vfio_iommu_type1_release(k, (filep.private_data as vfio_container).iommu_data);
  },
};

/**
 * Opens a container.
 * @kernel drivers/vfio/container.c:vfio_fops_open
 * @fidelity simplified: a group is attached and the type 1 version 2 driver chosen already
 */
export function vfio_fops_open(k: Machine, path: string, mode: number): file {
  const host = new inode(k.next_ino++, 0);
  host.i_mode = S_IFCHR;
  const f = new file(path, host, vfio_fops, mode);
  f.private_data = new vfio_container(vfio_iommu_type1_open(k, VFIO_TYPE1v2_IOMMU)!);
  return f;
}

/**
 * Pages that open containers have accounted to an address space: the part of its locked_vm that no VMA makes.
 * @kernel none: for checks
 */
export function vfio_locked_vm(k: Machine, mm: mm_struct): number {
  const containers = new Set<vfio_container>();
  for (const task of k.tasks.values()) {
    for (const f of task.files.values()) if (f.private_data instanceof vfio_container) containers.add(f.private_data);
  }
  let locked = 0;
  for (const { iommu_data } of containers) {
    for (const dma of iommu_data.dma_list) if (dma.mm === mm) locked += dma.locked_vm;
  }
  return locked;
}
