// SPDX-License-Identifier: GPL-2.0-only
/** /sys/kernel/debug/cma/NAME: allocating from an area by hand (mm/cma_debug.c), and /sys/kernel/mm/cma/NAME (mm/cma_sysfs.c). */
import type { cma } from "../include/linux/cma.js";
import { kernfs_fop_open, type opener } from "../fs/open.js";
import { file, inode, nonseekable, type file_operations } from "../include/linux/fs.js";
import { NULL_PFN } from "../include/linux/mmzone.js";
import { subsys_state } from "../include/linux/subsys.js";
import type { Machine } from "../include/machine.js";
import { kstrtoull } from "../lib/kstrtox.js";
import { EACCES, ENOMEM } from "../uapi/errno.js";
import { cma_alloc, cma_release } from "./cma.js";

/** Pages that were allocated by hand. @kernel mm/cma_debug.c:cma_mem */
interface cma_mem {
  p: number;
  n: number;
}

class cma_mem_lists {
  readonly by_area = new Map<string, cma_mem[]>();
}

/** What was allocated by hand from an area, last first. */
function mem_head(k: Machine, area: cma): cma_mem[] {
  const { by_area } = subsys_state(k, "mm/cma_debug.c", () => new cma_mem_lists());
  let list = by_area.get(area.name);
  if (list === undefined) by_area.set(area.name, (list = []));
  return list;
}

/** Frees so many pages, those first that were allocated last. @kernel mm/cma_debug.c:cma_free_mem @fidelity mirrored */
function cma_free_mem(k: Machine, area: cma, count: number): number {
  const list = mem_head(k, area);
  while (count !== 0) {
    const mem = list.shift();
    if (mem === undefined) return 0;
    if (mem.n <= count) {
      cma_release(k, area, mem.p, mem.n);
      count -= mem.n;
    } else {
      cma_release(k, area, mem.p, count);
      list.unshift({ p: mem.p + count, n: mem.n - count });
      count = 0;
    }
  }
  return 0;
}

/** Allocates so many pages. @kernel mm/cma_debug.c:cma_alloc_mem @fidelity simplified: the note of them takes no memory @returns 0, -ENOMEM whatever failed */
function cma_alloc_mem(k: Machine, area: cma, count: number): number {
  const p = cma_alloc(k, area, count < 0 ? count + 2 ** 64 : count, 0, false);
  if (p === NULL_PFN) return -ENOMEM;
  mem_head(k, area).unshift({ p, n: count });
  return 0;
}

/** Longest run of free pages. @kernel mm/cma_debug.c:cma_maxchunk_get @fidelity mirrored */
function maxchunk(area: cma): number {
  let max = 0;
  for (let end = 0; ;) {
    const start = area.bitmap.indexOf(0, end);
    if (start < 0) return max;
    const taken = area.bitmap.indexOf(1, start);
    end = taken < 0 ? area.count : taken;
    max = Math.max(max, end - start);
    if (taken < 0) return max;
  }
}

type Attribute = {
  readonly get?: (area: cma) => number;
  readonly set?: (k: Machine, area: cma, val: number) => number;
};

const debugfs: Readonly<Record<string, Attribute>> = {
  alloc: { set: cma_alloc_mem },
  free: { set: cma_free_mem },
  base_pfn: { get: (area) => area.base_pfn },
  count: { get: (area) => area.count },
  order_per_bit: { get: () => 0 },
  used: { get: (area) => area.bitmap.reduce((n, taken) => n + taken, 0) },
  maxchunk: { get: maxchunk },
};

const sysfs: Readonly<Record<string, (area: cma) => number>> = {
  alloc_pages_success: (area) => area.nr_pages_succeeded,
  alloc_pages_fail: (area) => area.nr_pages_failed,
};

/** Operations of one file. @kernel fs/libfs.c:simple_attr_read, simple_attr_write */
function operations(area: cma, name: string, { get, set }: Attribute): file_operations {
  return {
    name,
    read: () => (get === undefined ? -EACCES : `${get(area)}\n`),
    write(k, _f, text) {
      if (set === undefined) return -EACCES;
      const val = kstrtoull(text);
      if (val < 0) return val;
      return set(k, area, Number(BigInt.asIntN(32, BigInt(val)))) || text.length;
    },
  };
}

/** The files of all areas, by path. @kernel mm/cma_debug.c:cma_debugfs_init, mm/cma_sysfs.c:cma_sysfs_init */
export function cma_files(k: Machine): [string, opener][] {
  const all: [string, opener][] = [];
  for (const area of k.cmaAreas) {
    for (const [name, attribute] of Object.entries(debugfs)) {
      const ops = operations(area, name, attribute);
      const open: opener = (_k, path, mode) => nonseekable(new file(path, new inode(k.next_ino++, 0), ops, mode));
      all.push([`/sys/kernel/debug/cma/${area.name}/${name}`, open]);
    }
    for (const [name, get] of Object.entries(sysfs)) {
      all.push([`/sys/kernel/mm/cma/${area.name}/${name}`, kernfs_fop_open({ name, read: () => `${get(area)}\n` })]);
    }
  }
  return all;
}
