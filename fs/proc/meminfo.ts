// SPDX-License-Identifier: GPL-2.0-only
/** /proc/meminfo (fs/proc/meminfo.c). */
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
} from "../../include/linux/mmzone.js";
import { get_nr_swap_pages, total_swap_pages } from "../../include/linux/swap.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import * as vmstat from "../../include/linux/vmstat.js";
import type { Machine } from "../../include/machine.js";
import { si_mem_available } from "../../mm/page_alloc/setup.js";
import { vm_commit_limit } from "../../mm/util.js";
import { global_node_page_state, global_zone_page_state } from "../../mm/vmstat.js";

const KIB = PAGE_SIZE / 1024;
/** KiB between VMALLOC_START and VMALLOC_END of x86-64 with four levels. */
const VMALLOC_TOTAL = 2 ** 35 - 1;

/** The lines about memory in use, in pages, in their order. */
function pages_of(k: Machine) {
  const node = (item: number): number => global_node_page_state(k, item);
  const zone = (item: number): number => global_zone_page_state(k, item);
  const lru = (list: number): number => node(vmstat.NR_LRU_BASE + list);
  return {
    MemTotal: k.totalram_pages,
    MemFree: zone(vmstat.NR_FREE_PAGES),
    MemAvailable: si_mem_available(k),
    Buffers: 0,
    Cached: Math.max(node(vmstat.NR_FILE_PAGES) - node(vmstat.NR_SWAPCACHE), 0),
    SwapCached: node(vmstat.NR_SWAPCACHE),
    Active: lru(LRU_ACTIVE_ANON) + lru(LRU_ACTIVE_FILE),
    Inactive: lru(LRU_INACTIVE_ANON) + lru(LRU_INACTIVE_FILE),
    "Active(anon)": lru(LRU_ACTIVE_ANON),
    "Inactive(anon)": lru(LRU_INACTIVE_ANON),
    "Active(file)": lru(LRU_ACTIVE_FILE),
    "Inactive(file)": lru(LRU_INACTIVE_FILE),
    Unevictable: lru(LRU_UNEVICTABLE),
    Mlocked: zone(vmstat.NR_MLOCK),
    SwapTotal: total_swap_pages(k),
    SwapFree: get_nr_swap_pages(k),
    Dirty: node(vmstat.NR_FILE_DIRTY),
    Writeback: node(vmstat.NR_WRITEBACK),
    AnonPages: node(vmstat.NR_ANON_MAPPED),
    Mapped: node(vmstat.NR_FILE_MAPPED),
    Shmem: node(vmstat.NR_SHMEM),
    KReclaimable: node(vmstat.NR_SLAB_RECLAIMABLE),
    Slab: node(vmstat.NR_SLAB_RECLAIMABLE),
    SReclaimable: node(vmstat.NR_SLAB_RECLAIMABLE),
    SUnreclaim: 0,
    KernelStack: 0,
    PageTables: node(vmstat.NR_PAGETABLE),
    SecPageTables: 0,
    NFS_Unstable: 0,
    Bounce: zone(vmstat.NR_BOUNCE),
    WritebackTmp: 0,
    CommitLimit: vm_commit_limit(k),
    Committed_AS: Math.max(k.vm_committed_as, 0),
    VmallocTotal: VMALLOC_TOTAL / KIB,
    VmallocUsed: 0,
    VmallocChunk: 0,
    Percpu: 0,
    AnonHugePages: node(vmstat.NR_ANON_THPS),
    ShmemHugePages: node(vmstat.NR_SHMEM_THPS),
    ShmemPmdMapped: node(vmstat.NR_SHMEM_PMDMAPPED),
    FileHugePages: 0,
    FilePmdMapped: 0,
    CmaTotal: k.cmaAreas.reduce((sum, area) => sum + area.count, 0),
    CmaFree: zone(vmstat.NR_FREE_CMA_PAGES),
  };
}

type meminfo_fields = Readonly<Record<keyof ReturnType<typeof pages_of>, number>>;

/** The same in KiB. */
export function meminfo(k: Machine): meminfo_fields {
  const kib = Object.entries(pages_of(k)).map(([name, pages]) => [name, pages * KIB]);
  return Object.fromEntries(kib) as meminfo_fields;
}

/**
 * How much memory there is and what it is used for, a line each.
 * @kernel fs/proc/meminfo.c:meminfo_proc_show
 * @fidelity simplified: without the direct map's lines; what the kernel itself takes is 0 but for page tables and the
 *   page cache's index
 */
export function meminfo_proc_show(k: Machine): string {
  let out = "";
  for (const [name, kib] of Object.entries(meminfo(k)))
    out += `${`${name}:`.padEnd(16)}${String(kib).padStart(8)} kB\n`;
  for (const name of ["HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"]) {
    out += `${`${name}:`.padEnd(16)}${"0".padStart(8)}\n`;
  }
  return `${out}Hugepagesize:       2048 kB\nHugetlb:               0 kB\n`;
}
