// SPDX-License-Identifier: GPL-2.0-only
/**
 * The machine: everything that is a global variable in the kernel hangs off one object of this type, which
 * kernel/boot.ts alone makes. Functions that use a global in C take it as their first argument, `k`.
 */
import type { BufferPieces } from "../lib/buffer_pool.js";
import type { CallLog } from "../lib/call_log.js";
import type { FaultAttr, MigrateFaults } from "../lib/fault-inject.js";
import type { Prng } from "../lib/prng.js";
import type { cma } from "./linux/cma.js";
import type { mem_map } from "./linux/mem_map.js";
import type { vm_fault } from "./linux/mm_types.js";
import type { pglist_data, zone } from "./linux/mmzone.js";
import type { cpu_fbatches } from "./linux/pagevec.js";
import type { task_struct } from "./linux/sched.js";
import type { vm_flags_t } from "./linux/vm_flags.js";
import type { ShortWay } from "./short_ways.js";

/** Build-time choices of the kernel (CONFIG_…) and the sysctls that the model reads. */
export interface Config {
  KSM: boolean;
  TRANSPARENT_HUGEPAGE: boolean;
  /** /sys/kernel/mm/transparent_hugepage/enabled; "never" where it is left out. */
  thp_enabled?: "always" | "madvise" | "never";
  /** kcompactd does what it is woken for when a test gives it a turn, and not at once. */
  kcompactd_stepped?: boolean;
  /** /proc/sys/vm/compaction_proactiveness: 0 … 100, 20 where it is left out. */
  compaction_proactiveness?: number;
  /** …/defrag; "madvise" where it is left out. */
  thp_defrag?: "always" | "defer" | "defer+madvise" | "madvise" | "never";
  /** …/use_zero_page; true where it is left out. */
  thp_use_zero_page?: boolean;
  /** …/shmem_enabled; "never" where it is left out. */
  shmem_enabled?: "always" | "within_size" | "advise" | "never" | "deny" | "force";
  /** …/khugepaged/: entries of 512 that may be empty (511), swapped out (64) or shared (256); entries a scan looks at (4096). */
  khugepaged_max_ptes_none?: number;
  khugepaged_max_ptes_swap?: number;
  khugepaged_max_ptes_shared?: number;
  khugepaged_pages_to_scan?: number;
  /** vm.page-cluster: logarithm of the pages that one fault reads from swap at most; 3, or 2 below 16 MiB, where it is left out. */
  page_cluster?: number;
  /** /sys/kernel/mm/swap/vma_ra_enabled; true where it is left out. */
  swap_vma_ra_enabled?: boolean;
  MEMORY_FAILURE: boolean;
  ANON_VMA_NAME: boolean;
  NUMA: boolean;
  /** CONFIG_NUMA_BALANCING, switched on: hinting faults move pages. False where it is left out. */
  NUMA_BALANCING?: boolean;
  MEM_SOFT_DIRTY: boolean;
  /** vm.overcommit_memory */
  overcommit_memory: number;
  overcommit_ratio: number;
  /** vm.overcommit_kbytes: the limit in KiB, in place of a share of memory. */
  overcommit_kbytes?: number;
  /** vm.admin_reserve_kbytes, vm.user_reserve_kbytes: kept back when overcommit_memory is 2; else from the size of memory. */
  admin_reserve_kbytes?: number;
  user_reserve_kbytes?: number;
  max_map_count: number;
  /** vm.legacy_va_layout: new address spaces are filled from the bottom up. */
  legacy_va_layout?: boolean;
  /** Pages between a growing stack and its neighbour. */
  stack_guard_gap: number;
  mmap_min_addr: number;
  /** Bytes of a block of memory that goes offline as a whole; 128 MiB, a section of x86-64, where it is left out. */
  memory_block_size?: number;
  /** Do reads of anonymous memory take pages of their own, the zero page being none to map? */
  mm_forbids_zeropage?: boolean;
  /** CONFIG_DEBUG_VM: freed VMAs are poisoned, and reading one throws. */
  DEBUG_VM: boolean;
}

/** The layout that an architecture gives to the high VMA flags, and its word size. */
export interface Arch {
  readonly name: string;
  readonly BITS_PER_LONG: 32 | 64;
  /** All flags that fit vm_flags_t's unsigned long. */
  readonly vm_flags_mask: vm_flags_t;
  /** Protection keys: flag bit of pkey bit 0 and how many bits; null without. */
  readonly pkeys: { readonly shift: number; readonly bits: number } | null;
  /** Has it the pkey_ system calls, whether or not the CPU has the keys? */
  readonly ARCH_HAS_PKEYS?: boolean;
  /** Flags that mprotect takes from its caller rather than from the VMA. @kernel VM_ARCH_CLEAR */
  readonly VM_ARCH_CLEAR: vm_flags_t;
  /** Two-letter names that smaps gives to this architecture's flags, by bit number. */
  readonly smapsNames: Readonly<Record<number, string>>;
  readonly TASK_SIZE: number;
  /** May a VMA have these flags? Absent: any. @kernel arch_validate_flags */
  readonly arch_validate_flags?: (flags: vm_flags_t) => boolean;
  /** Flags that the architecture adds to a mapping, by its MAP_ flags and whether shmem backs it. @kernel arch_calc_vm_flag_bits */
  readonly arch_calc_vm_flag_bits?: (map_flags: number, shmem: boolean) => vm_flags_t;
  /** CONFIG_THP_SWAP: clusters of a swap area are as large as a huge page … */
  readonly THP_SWAP?: boolean;
  /** … which all the same does not go to one whole. @kernel arch_thp_swp_supported */
  readonly no_thp_swp?: boolean;
  /** It has huge pages but no migration entries for them: CONFIG_ARCH_ENABLE_THP_MIGRATION is not set. */
  readonly no_thp_migration?: boolean;
  /** Its CPU marks entries as accessed, so that nothing else does for a read. @kernel arch/x86/mm/pgtable.c:ptep_set_access_flags */
  readonly young_by_hardware?: boolean;
  /** Does its uapi/asm/mman.h take the numbers of asm-generic/mman-common.h? */
  readonly genericMman: boolean;
}

/**
 * Where a test or a schedule takes part. Held by the machine as an object with methods, so that a test can replace
 * one with sinon.
 */
export interface Hooks {
  /**
   * Called wherever the kernel may drop mmap_lock, sleep or be interrupted; `point` names the place, as in
   * "folio_lock_or_retry". A hook may run another task's step here. Answers "retry" where the point can end the
   * fault with VM_FAULT_RETRY, nothing otherwise.
   */
  yieldPoint(point: string, detail: Readonly<Record<string, unknown>>): "retry" | undefined;
  /** Told of what happened, in the words of the kernel's tracepoints: "mm_page_alloc", "mm_migrate_pages", … */
  trace(event: string, detail: Readonly<Record<string, unknown>>): void;
}

/** The yieldPoint of a machine in which nobody takes part. */
export function nobody(): undefined {
  return undefined;
}

export interface Machine {
  readonly config: Config;
  readonly arch: Arch;
  readonly seed: number;
  readonly prng: Prng;
  readonly hooks: Hooks;
  /** Which short ways are taken (include/short_ways.ts). */
  readonly shortWays: Readonly<Record<ShortWay, boolean>>;
  /** Is a trace hook there that wants to hear? Guards calls on hot paths. */
  tracing: boolean;

  readonly mem: mem_map;
  readonly nodes: pglist_data[];
  /** All zones, in the order of mem_map.zones. */
  readonly zones: zone[];
  /** The areas of the contiguous memory allocator, in the order in which boot made them. */
  readonly cmaAreas: cma[];
  /** How many CPUs there are, and which one runs now. */
  readonly nr_cpus: number;
  cpu: number;
  /** The node that each CPU is on. */
  readonly cpu_node: readonly number[];
  /** Global events, by vm_event_item of include/linux/vmstat.ts. */
  readonly vm_events: Float64Array;
  totalram_pages: number;
  /** sysctl vm.min_free_kbytes, and what of it the administrator wrote: -1 for nothing. */
  min_free_kbytes: number;
  user_min_free_kbytes: number;
  /** Page frame of the zero page. */
  zero_pfn: number;
  /** Has any zone a MIGRATE_CMA or ZONE_MOVABLE page? */
  page_group_by_mobility_disabled: boolean;

  /** By CPU: batches of pages on their way between LRU lists, and of mlock (mm/swap.c, mm/mlock.c). */
  readonly fbatches: cpu_fbatches[];
  readonly mlock_batch: number[][];
  /** By CPU: the entry into the kernel that filled each place of each batch, as {@link batch_call} finds it. */
  readonly batch_calls: Uint32Array[];
  /** The memory of page tables. */
  readonly pte_memory: BufferPieces;
  /** What the last fault was described with, for the next one; null while a fault uses it. */
  idle_vmf: vm_fault | null;
  /** While above 0, those batches pass pages straight on (lru_cache_disable). */
  lru_disable_count?: number;

  /** Entries into the kernel: system calls and page faults. */
  readonly calls: CallLog;
  readonly fail_page_alloc: FaultAttr;
  readonly fail_migrate: MigrateFaults;

  /** Pages promised to mappings (mm/util.c). */
  vm_committed_as: number;
  current: task_struct;
  readonly tasks: Map<number, task_struct>;
  next_pid: number;
  next_ino: number;
  /** State of whole subsystems that hang off the machine: a module keeps its own under its name. */
  readonly subsys: Map<string, object>;
}
