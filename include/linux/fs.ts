// SPDX-License-Identifier: GPL-2.0-only
/** Files, inodes and page caches as far as mm/ needs them (include/linux/fs.h). */
import { EBUSY, EPERM } from "../../uapi/errno.js";
import { would_wait } from "./bug.js";
import type { xarray } from "../../lib/xarray.js";
import type { Machine } from "../machine.js";
import type { page_owner } from "./mem_map.js";
import type { sp_node } from "./mempolicy.js";
import type { vm_area_struct } from "./mm_types.js";
import type { vm_flags_t } from "./vm_flags.js";

export const FMODE_READ = 1;
export const FMODE_WRITE = 2;

/** What an inode is (uapi/linux/stat.h); 0 stands for none of them, as anonymous inodes are. */
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFCHR = 0o020000;

/** The page cache of one inode and the VMAs that map it. */
export class address_space implements page_owner {
  owner_id = 0;
  readonly is_anon = false;
  readonly host: inode;
  readonly i_pages: xarray;
  nrpages = 0;
  /** VMAs that map this file. */
  readonly i_mmap = new Set<vm_area_struct>();
  /** Writable shared mappings. */
  i_mmap_writable = 0;
  unevictable = false;
  constructor(host: inode, i_pages: xarray) {
    this.host = host;
    this.i_pages = i_pages;
  }
}

/** What of shmem_inode_info the model keeps; null on an inode that is not shmem. */
export interface shmem_inode_info {
  flags: vm_flags_t;
  /** Pages charged to the file. */
  alloced: number;
  swapped: number;
  /** F_SEAL_… of a memfd. */
  seals: number;
  /** Range that a hole punch is working on, as [start, end) page offsets; a fault in it waits. */
  falloc: { start: number; end: number } | null;
  /** Page offset up to which fallocate() promised pages, even behind the end. */
  fallocend: number;
  /** Memory policies of its ranges, by start. */
  policies: readonly sp_node[];
}

export class inode {
  readonly i_ino: number;
  /** Size in bytes. */
  i_size: number;
  i_mapping!: address_space;
  shmem: shmem_inode_info | null = null;
  /** S_IF… */
  i_mode = S_IFREG;
  /** How many open files and mappings hold it. */
  i_count = 1;
  /** Has its name gone (as a memfd's always has)? @kernel include/linux/dcache.h:d_unlinked */
  unlinked = false;
  /** Held by a task that changes the file, so by one at a time. */
  i_rwsem = false;
  constructor(i_ino: number, i_size: number) {
    this.i_ino = i_ino;
    this.i_size = i_size;
  }
}

/** @kernel include/linux/fs.h:inode_lock @fidelity simplified: writers only */
export function inode_lock(host: inode): void {
  if (host.i_rwsem) would_wait("i_rwsem");
  host.i_rwsem = true;
}

/** @kernel include/linux/fs.h:inode_unlock @fidelity mirrored */
export function inode_unlock(host: inode): void {
  host.i_rwsem = false;
}

export interface file_operations {
  readonly name: string;
  /** Sets vm_ops (and flags) of a VMA that will map the file; 0 or -errno. */
  mmap?(k: Machine, file: file, vma: vm_area_struct): number;
  /** `arg`: an integer, or the structure that C would pass a pointer to; written to where C writes to it. */
  unlocked_ioctl?(k: Machine, file: file, cmd: number, arg: unknown): number;
  /** What the file says, from its start; or -errno. */
  read?(k: Machine, file: file): string | number;
  /** Takes a whole text; how much of it was taken, or -errno. */
  write?(k: Machine, file: file, text: string): number;
  fallocate?(k: Machine, file: file, mode: number, offset: number, len: number): number;
  /** Called when the last reference goes. */
  release?(k: Machine, file: file): void;
}

export class file {
  /** What /proc/PID/maps shows, without "(deleted)". */
  readonly path: string;
  readonly f_inode: inode;
  readonly f_op: file_operations;
  f_mode: number;
  f_count = 1;
  /** Has it positions (FMODE_PREAD and FMODE_PWRITE)? */
  seekable = true;
  /** What the driver that opened it keeps. */
  private_data: unknown = null;
  constructor(path: string, f_inode: inode, f_op: file_operations, f_mode: number) {
    this.path = path;
    this.f_inode = f_inode;
    this.f_op = f_op;
    this.f_mode = f_mode;
  }
  get f_mapping(): address_space {
    return this.f_inode.i_mapping;
  }
}

/** A regular file: a memfd or shared memory, or one of a file system. @kernel include/uapi/linux/stat.h:S_ISREG */
export function is_regular(f: file): boolean {
  return f.f_inode.i_mode === S_IFREG;
}

/**
 * A file without positions. @kernel fs/open.c:nonseekable_open @fidelity mirrored
 */
export function nonseekable(f: file): file {
  f.seekable = false;
  return f;
}

/**
 * A file that stands for no inode of its own. @kernel fs/anon_inodes.c:anon_inode_getfile @fidelity mirrored
 * @param name as /proc/PID/maps would show it, without "anon_inode:"
 */
export function anon_inode_getfile(
  k: Machine,
  name: string,
  f_op: file_operations,
  priv: unknown,
  f_mode: number,
): file {
  const host = new inode(k.next_ino++, 0);
  host.i_mode = 0;
  const f = new file(`anon_inode:${name}`, host, f_op, f_mode);
  f.private_data = priv;
  return nonseekable(f);
}

/** One more writable shared mapping; -EPERM where writing is denied (a write seal). @kernel mapping_map_writable */
export function mapping_map_writable(mapping: address_space): number {
  if (mapping.i_mmap_writable < 0) return -EPERM;
  mapping.i_mmap_writable++;
  return 0;
}

export function mapping_unmap_writable(mapping: address_space): void {
  mapping.i_mmap_writable--;
}

export function mapping_allow_writable(mapping: address_space): void {
  mapping.i_mmap_writable++;
}

/** No writable mappings from now on; -EBUSY while there are some. @kernel mapping_deny_writable */
export function mapping_deny_writable(mapping: address_space): number {
  if (mapping.i_mmap_writable > 0) return -EBUSY;
  mapping.i_mmap_writable--;
  return 0;
}
