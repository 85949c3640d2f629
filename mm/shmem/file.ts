// SPDX-License-Identifier: GPL-2.0-only
/** fallocate, read and write of shmem files (mm/shmem.c). */
import { inode_newsize_ok } from "../../fs/attr.js";
import { type file, type inode, inode_lock, inode_unlock } from "../../include/linux/fs.js";
import { compound_head, folio_nr_pages, PFN_SECTION_MASK } from "../../include/linux/mem_map.js";
import { PG_dirty, PG_uptodate } from "../../include/linux/page-flags.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { EINTR, EOPNOTSUPP, EPERM } from "../../uapi/errno.js";
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
} from "../../uapi/memfd.js";
import { folio_unlock } from "../filemap.js";
import { unmap_mapping_range } from "../memory/zap.js";
import { SGP_FALLOC, SGP_READ, SGP_WRITE, shmem_get_folio } from "../shmem.js";
import { mark_page_accessed, put_page } from "../swap.js";
import { shmem_truncate_range, shmem_undo_range } from "./truncate.js";

/** What {@link shmem_pread} answers at the end of the file: no byte was read. */
export const SHMEM_EOF = 256;

function punch_hole(k: Machine, f: file, offset: number, len: number): number {
  const host = f.f_inode;
  const info = host.shmem!;
  if (info.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return -EPERM;
  const unmap_start = Math.ceil(offset / PAGE_SIZE) * PAGE_SIZE;
  const unmap_end = Math.floor((offset + len) / PAGE_SIZE) * PAGE_SIZE - 1;
  info.falloc = { start: unmap_start / PAGE_SIZE, end: (unmap_end + 1) / PAGE_SIZE };
  if (unmap_end > unmap_start) {
    unmap_mapping_range(k, f.f_mapping, unmap_start, 1 + unmap_end - unmap_start, false);
  }
  k.hooks.yieldPoint("shmem_fallocate", { mode: FALLOC_FL_PUNCH_HOLE, offset, len });
  shmem_truncate_range(k, host, offset, offset + len - 1);
  info.falloc = null;
  return 0;
}

/**
 * Allocates a range of a file, or punches a hole into it. `offset` and `len` in bytes, `len` > 0.
 * @kernel mm/shmem.c:shmem_fallocate
 * @fidelity simplified: does not give up when reclaim swaps out what it allocates
 * @param mode FALLOC_FL_… : 0, KEEP_SIZE, or PUNCH_HOLE with KEEP_SIZE
 * @returns 0; -EOPNOTSUPP for another mode; -EPERM where a seal forbids it; -ENOMEM, -ENOSPC; -EINTR
 */
export function shmem_fallocate(k: Machine, f: file, mode: number, offset: number, len: number): number {
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return -EOPNOTSUPP;
  inode_lock(f.f_inode);
  const allocate = mode & FALLOC_FL_PUNCH_HOLE ? punch_hole : allocate_range;
  const error = allocate(k, f, offset, len, mode);
  inode_unlock(f.f_inode);
  return error;
}

function allocate_range(k: Machine, f: file, offset: number, len: number, mode: number): number {
  const host = f.f_inode;
  const info = host.shmem!;
  const too_long = inode_newsize_ok(k, host, offset + len);
  if (too_long) return too_long;
  if (info.seals & F_SEAL_GROW && offset + len > host.i_size) return -EPERM;
  const start = Math.floor(offset / PAGE_SIZE);
  const end = Math.ceil((offset + len) / PAGE_SIZE);
  const undo_fallocend = info.fallocend;
  if (info.fallocend < end) info.fallocend = end;
  for (let index = start; index < end;) {
    const pfn = k.current.fatal_signal !== 0 ? -EINTR : shmem_get_folio(k, host, index, SGP_FALLOC);
    if (pfn < 0) {
      info.fallocend = undo_fallocend;
      if (index > start) shmem_undo_range(k, host, start * PAGE_SIZE, index * PAGE_SIZE - 1, true);
      return pfn;
    }
    const head = compound_head(k.mem, pfn);
    const s = k.mem.section(head);
    index = s.index[head & PFN_SECTION_MASK]! + folio_nr_pages(k.mem, head);
    s.flags[head & PFN_SECTION_MASK]! |= PG_dirty;
    folio_unlock(k, head);
    put_page(k, head);
  }
  if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + len > host.i_size) host.i_size = offset + len;
  return 0;
}

/**
 * Writes one byte at `pos`; the file grows to hold it. 1 or -errno (-EPERM where a seal forbids it).
 * @kernel mm/shmem.c:shmem_write_begin, shmem_write_end
 * @fidelity simplified: one byte; only a page's first is kept
 */
export function shmem_pwrite(k: Machine, f: file, pos: number, byte: number): number {
  inode_lock(f.f_inode);
  const written = write_byte(k, f.f_inode, pos, byte);
  inode_unlock(f.f_inode);
  return written;
}

function write_byte(k: Machine, host: inode, pos: number, byte: number): number {
  const seals = host.shmem!.seals;
  if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return -EPERM;
  if (seals & F_SEAL_GROW && pos + 1 > host.i_size) return -EPERM;
  const pfn = shmem_get_folio(k, host, Math.floor(pos / PAGE_SIZE), SGP_WRITE);
  if (pfn < 0) return pfn;
  const s = k.mem.section(pfn);
  const i = pfn & PFN_SECTION_MASK;
  const head = compound_head(k.mem, pfn) & PFN_SECTION_MASK;
  if (!(s.flags[head]! & PG_uptodate)) s.content.fill(0, head, head + folio_nr_pages(k.mem, compound_head(k.mem, pfn)));
  if (pos % PAGE_SIZE === 0) s.content[i] = byte;
  if (pos + 1 > host.i_size) host.i_size = pos + 1;
  s.flags[head]! |= PG_uptodate | PG_dirty;
  folio_unlock(k, pfn);
  put_page(k, pfn);
  return 1;
}

/**
 * Reads the byte at `pos`: 0 … 255, {@link SHMEM_EOF} behind the end, or -errno.
 * @kernel mm/shmem.c:shmem_file_read_iter
 * @fidelity simplified: one byte; only a page's first is kept, others read as 0
 */
export function shmem_pread(k: Machine, f: file, pos: number): number {
  const host = f.f_inode;
  if (pos >= host.i_size) return SHMEM_EOF;
  const pfn = shmem_get_folio(k, host, Math.floor(pos / PAGE_SIZE), SGP_READ);
  if (pfn <= 0) return pfn;
  folio_unlock(k, pfn);
  if (pos % PAGE_SIZE === 0) mark_page_accessed(k, compound_head(k.mem, pfn));
  const byte = pos % PAGE_SIZE === 0 ? k.mem.section(pfn).content[pfn & PFN_SECTION_MASK]! : 0;
  put_page(k, pfn);
  return byte;
}
