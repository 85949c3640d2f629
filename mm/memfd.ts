// SPDX-License-Identifier: GPL-2.0-only
/** memfd_create() and file seals (mm/memfd.c). */
import { not_modelled } from "../include/linux/bug.js";
import { type address_space, type file, FMODE_WRITE } from "../include/linux/fs.js";
import { PFN_SECTION_MASK } from "../include/linux/mem_map.js";
import { VM_NORESERVE } from "../include/linux/mm.js";
import type { Machine } from "../include/machine.js";
import { xa_is_value } from "../lib/xarray.js";
import { EBUSY, EFAULT, EINVAL, EPERM } from "../uapi/errno.js";
import {
  F_ADD_SEALS,
  type F_GET_SEALS,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_HUGETLB,
} from "../uapi/memfd.js";
import { get_unused_fd_flags } from "../fs/open.js";
import { shmem_file_setup } from "./shmem.js";
import { lru_add_drain_all } from "./swap.js";

const F_ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
const MFD_ALL_FLAGS = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB;
/** Where the flags say how large huge pages are to be. */
const MFD_HUGE_SHIFT = 26;
const MFD_HUGE_MASK = 0x3f;
/** NAME_MAX less the length of "memfd:". */
const MFD_NAME_MAX_LEN = 255 - 6;

/** Has any page of the file a reference that is neither the cache's nor a mapping's? */
function has_pins(k: Machine, mapping: address_space): boolean {
  let pinned = false;
  mapping.i_pages.forEach(0, 2 ** 32 - 1, (_index, pfn) => {
    if (xa_is_value(pfn)) return;
    const s = k.mem.section(pfn);
    const i = pfn & PFN_SECTION_MASK;
    if (s.refcount[i]! - s.mapcount[i]! !== 1) pinned = true;
  });
  return pinned;
}

/**
 * Waits for references to a file's pages to go. 0 or -EBUSY.
 * @kernel mm/memfd.c:memfd_wait_for_pins
 * @fidelity simplified: one wait, at the yield point "memfd_wait_for_pins", instead of five
 */
function memfd_wait_for_pins(k: Machine, mapping: address_space): number {
  if (!has_pins(k, mapping)) return 0;
  lru_add_drain_all(k);
  if (!has_pins(k, mapping)) return 0;
  k.hooks.yieldPoint("memfd_wait_for_pins", {});
  return has_pins(k, mapping) ? -EBUSY : 0;
}

function memfd_add_seals(k: Machine, f: file, seals: number): number {
  if (!(f.f_mode & FMODE_WRITE)) return -EPERM;
  if (seals & ~F_ALL_SEALS) return -EINVAL;
  const info = f.f_inode.shmem;
  if (info === null) return -EINVAL;
  if (info.seals & F_SEAL_SEAL) return -EPERM;
  if (seals & F_SEAL_WRITE && !(info.seals & F_SEAL_WRITE)) {
    const mapping = f.f_mapping;
    if (mapping.i_mmap_writable > 0) return -EBUSY;
    mapping.i_mmap_writable--;
    const error = memfd_wait_for_pins(k, mapping);
    if (error !== 0) {
      mapping.i_mmap_writable++;
      return error;
    }
  }
  info.seals |= seals;
  return 0;
}

/**
 * Adds seals to a file, or tells which it has.
 * @kernel mm/memfd.c:memfd_fcntl
 * @fidelity mirrored
 * @returns 0 or the seals; -EPERM: sealed against sealing, or not open for writing; -EBUSY: F_SEAL_WRITE while there
 *   are writable mappings or pinned pages; -EINVAL
 */
export function memfd_fcntl(k: Machine, f: file, cmd: typeof F_ADD_SEALS | typeof F_GET_SEALS, arg: number): number {
  if (cmd === F_ADD_SEALS) return arg < 0 || arg > 0xffffffff ? -EINVAL : memfd_add_seals(k, f, arg);
  return f.f_inode.shmem?.seals ?? -EINVAL;
}

/** Bytes of a text in UTF-8, as user space passes it. */
function strnlen_user(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/**
 * Makes an empty memfd and opens it in the running task.
 * @kernel mm/memfd.c:memfd_create
 * @fidelity mirrored; MFD_HUGETLB is not modelled
 * @param name null is a bad address
 * @param flags MFD_…
 * @returns the descriptor; -EINVAL for unknown flags or a name longer than 249 bytes; -EFAULT; -ENOMEM; -EMFILE
 */
export function memfd_create(k: Machine, name: string | null, flags: number): number {
  const known = flags & MFD_HUGETLB ? MFD_ALL_FLAGS | (MFD_HUGE_MASK << MFD_HUGE_SHIFT) : MFD_ALL_FLAGS;
  if (flags & ~known) return -EINVAL;
  if (name === null) return -EFAULT;
  if (strnlen_user(name) > MFD_NAME_MAX_LEN) return -EINVAL;
  const fd = get_unused_fd_flags(k);
  if (fd < 0) return fd;
  if (flags & MFD_HUGETLB) not_modelled("mm/hugetlb.c: hugetlb_file_setup");
  const f = shmem_file_setup(k, `/memfd:${name}`, 0, VM_NORESERVE);
  if (typeof f === "number") return f;
  if (flags & MFD_ALLOW_SEALING) f.f_inode.shmem!.seals &= ~F_SEAL_SEAL;
  k.current.files.set(fd, f);
  return fd;
}
