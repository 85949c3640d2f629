// SPDX-License-Identifier: GPL-2.0-only
/** MAP_HUGETLB on a machine whose pool of huge pages is empty (fs/hugetlbfs/inode.c, mm/hugetlb.c). */
import { not_modelled } from "../../include/linux/bug.js";
import { FMODE_READ, FMODE_WRITE, file, type file_operations, inode } from "../../include/linux/fs.js";
import { VM_NORESERVE } from "../../include/linux/mm.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { EINVAL, ENOMEM } from "../../uapi/errno.js";

const HPAGE_SIZES: Readonly<Record<number, number>> = { 0: 2 ** 21, 21: 2 ** 21, 30: 2 ** 30 };

/** Size in bytes of the huge pages that MAP_HUGETLB flags ask for, or 0. @kernel include/linux/hugetlb.h:hstate_sizelog */
export function huge_page_size(map_flags: number): number {
  return HPAGE_SIZES[(map_flags >>> 26) & 0x3f] ?? 0;
}

const hugetlbfs_file_operations: file_operations = {
  name: "hugetlbfs",
  mmap(_k: Machine, f: file, vma): number {
    if (vma.vm_pgoff % (hugetlb_page_size(f) / PAGE_SIZE) !== 0) return -EINVAL;
    if (vm_flags_test(vma.vm_flags, VM_NORESERVE)) return not_modelled("mm/hugetlb.c: mappings without reservation");
    return -ENOMEM;
  },
};

/**
 * The file behind an anonymous huge mapping: mapping it finds no page to reserve.
 * @kernel fs/hugetlbfs/inode.c:hugetlb_file_setup
 * @fidelity stub
 */
export function hugetlb_file_setup(k: Machine, size: number, page_size: number): file {
  const host = new inode(k.next_ino++, size);
  host.i_mapping = { i_mmap: new Set(), i_mmap_writable: 0 } as never;
  host.unlinked = true;
  const f = new file("/anon_hugepage", host, hugetlbfs_file_operations, FMODE_READ | FMODE_WRITE);
  f.private_data = page_size;
  return f;
}

/** Size in bytes of the huge pages of such a file. */
export function hugetlb_page_size(f: file): number {
  return f.private_data as number;
}
