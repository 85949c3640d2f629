// SPDX-License-Identifier: GPL-2.0-only
/** Files that stand for what programs map besides memfds: ordinary files, and devices that only map. */
import { address_space, file, type file_operations, inode, S_IFCHR, S_IFREG } from "../include/linux/fs.js";
import type { vm_area_struct, vm_operations_struct } from "../include/linux/mm_types.js";
import { vm_flags_or, type vm_flags_t } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { xarray } from "../lib/xarray.js";
import { filemap_fault, filemap_map_pages, filemap_page_mkwrite } from "../mm/filemap.js";
import { truncate_inode_pages } from "../mm/truncate.js";

export const generic_file_vm_ops: vm_operations_struct = {
  name: "generic_file_vm_ops",
  fault: filemap_fault,
  map_pages: filemap_map_pages,
  page_mkwrite: filemap_page_mkwrite,
};

function make_inode(k: Machine, size: number, mode = S_IFREG): inode {
  const host = new inode(k.next_ino++, size);
  host.i_mode = mode;
  host.i_mapping = new address_space(host, new xarray());
  k.mem.register(host.i_mapping);
  return host;
}

/** Forgets the page cache of a file that nobody has any more: the model keeps no cache of closed files. */
function release(k: Machine, f: file): void {
  if (--f.f_inode.i_count > 0) return;
  truncate_inode_pages(k, f.f_mapping, 0);
  k.mem.unregister(f.f_mapping);
}

const generic_file_operations: file_operations = {
  name: "generic_file_operations",
  mmap(_k: Machine, _f: file, vma: vm_area_struct): number {
    vma.vm_ops = generic_file_vm_ops;
    return 0;
  },
  release,
};

/**
 * Opens an ordinary file of `size` bytes that reads as zeroes.
 * @kernel mm/filemap.c:generic_file_mmap
 * @fidelity simplified: no file system behind it; what is written lives in the page cache
 * @param mode FMODE_READ, FMODE_WRITE or both
 */
export function open_regular(k: Machine, path: string, size: number, mode: number): file {
  return new file(path, make_inode(k, size), generic_file_operations, mode);
}

/** A device's mapping has no pages of its own: touching it is SIGBUS. */
const device_vm_ops: vm_operations_struct = { name: "device_vm_ops" };

/**
 * Opens a character device that can be mapped.
 * @kernel drivers/char/mem.c:memory_open, and what other drivers have in its place
 * @fidelity simplified: it cannot be read or written
 * @param mmap what the driver does with a VMA that maps it: 0, or -errno
 */
export function open_mappable(
  k: Machine,
  path: string,
  mode: number,
  mmap: NonNullable<file_operations["mmap"]>,
): file {
  return new file(path, make_inode(k, 0, S_IFCHR), { name: "device_file_operations", mmap, release }, mode);
}

/**
 * Opens a device or anon_inode ("/dev/kvm", "anon_inode:kvm-vcpu:0") that can be mapped but whose memory is not
 * modelled.
 * @fidelity simplified: a VMA with the flags that the driver's mmap gives it, and nothing in it
 * @param vma_flags flags that the driver's mmap adds (VM_IO, VM_PFNMAP, …), and `vm_ops` what it sets
 */
export function open_device(
  k: Machine,
  path: string,
  mode: number,
  vma_flags: vm_flags_t,
  vm_ops: vm_operations_struct = device_vm_ops,
): file {
  return open_mappable(k, path, mode, (_k, _f, vma) => {
    vma.vm_flags = vm_flags_or(vma.vm_flags, vma_flags);
    vma.vm_ops = vm_ops;
    return 0;
  });
}
