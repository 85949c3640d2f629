// SPDX-License-Identifier: GPL-2.0-only
/** VMAs, address spaces, page tables and faults (include/linux/mm_types.h). */
import type { BufferPieces } from "../../lib/buffer_pool.js";
import type { maple_tree } from "../../lib/maple_tree.js";
import type { Machine } from "../machine.js";
import { KernelBug } from "./bug.js";
import { call_notes } from "./call_notes.js";
import type { file } from "./fs.js";
import type { page_owner } from "./mem_map.js";
import type { mempolicy } from "./mempolicy.js";
import { PTRS_PER_PTE } from "./types.js";
import { vm_flags, type vm_flags_t } from "./vm_flags.js";

/** Bits of a fault's outcome. */
export type vm_fault_t = number;

/** The root of what a group of anonymous VMAs shares; pages name one as their mapping. */
export class anon_vma implements page_owner {
  owner_id = 0;
  readonly is_anon = true;
  root: anon_vma;
  parent: anon_vma;
  /** anon_vmas below this one plus itself once: the last gone frees it. */
  refcount = 1;
  num_children = 0;
  num_active_vmas = 0;
  /** The VMAs whose pages may name this anon_vma. */
  readonly rb_root = new Set<anon_vma_chain>();
  constructor(root: anon_vma | null) {
    this.root = root ?? this;
    this.parent = this;
  }
}

/** One VMA on one anon_vma. */
export class anon_vma_chain {
  readonly vma: vm_area_struct;
  readonly anon_vma: anon_vma;
  constructor(vma: vm_area_struct, av: anon_vma) {
    this.vma = vma;
    this.anon_vma = av;
  }
}

export interface vm_operations_struct {
  readonly name: string;
  /** How smaps names a VMA of it, where not by its file. */
  vmaName?(vma: vm_area_struct): string;
  open?(k: Machine, vma: vm_area_struct): void;
  close?(k: Machine, vma: vm_area_struct): void;
  may_split?(k: Machine, vma: vm_area_struct, addr: number): number;
  mremap?(k: Machine, vma: vm_area_struct): number;
  fault?(k: Machine, vmf: vm_fault): vm_fault_t;
  page_mkwrite?(k: Machine, vmf: vm_fault): vm_fault_t;
  /** Maps pages that are in the cache around a read fault, at page offsets start_pgoff … end_pgoff. */
  map_pages?(k: Machine, vmf: vm_fault, start_pgoff: number, end_pgoff: number): vm_fault_t;
  /** Policies that belong to what is mapped rather than to the mapping. */
  set_policy?(vma: vm_area_struct, policy: mempolicy | null): void;
  get_policy?(vma: policy_vma, addr: number): mempolicy | null;
}

/** What of a VMA a memory policy looks at. */
export type policy_vma = Pick<vm_area_struct, "vm_policy" | "vm_pgoff" | "vm_start" | "vm_ops" | "vm_file">;

/** What a VMA keeps of reading swap ahead. @kernel mm/swap_state.c:SWAP_RA_VAL */
export interface swap_ra {
  readonly addr: number;
  readonly win: number;
  readonly hits: number;
}

const SWAP_RA_FIRST: swap_ra = { addr: 0, win: 0, hits: 4 };

/** One mapping of an address space: [vm_start, vm_end) in bytes. */
export class vm_area_struct {
  private _vm_start: number;
  private _vm_end: number;
  private _vm_mm: mm_struct;
  private _vm_flags: vm_flags_t;
  private _vm_pgoff: number;
  private _vm_file: file | null = null;
  private _vm_ops: vm_operations_struct | null = null;
  private _anon_vma: anon_vma | null = null;
  /** Freed, with DEBUG_VM: a look at any of the fields above throws a KernelBug. */
  freed = false;
  anon_vma_chain: anon_vma_chain[] = [];
  /** Name given with PR_SET_VMA_ANON_NAME. */
  anon_name: string | null = null;
  /** Memory policy; null for the task's. */
  vm_policy: mempolicy | null = null;
  /** Userfaultfd that watches the range. Compared by identity when VMAs merge. */
  vm_userfaultfd_ctx: object | null = null;
  vm_private_data: unknown = null;
  /** Protection key that new entries get: of the flags as they were when mm/pgtable.ts:vma_set_page_prot last looked. */
  vm_pkey = 0;
  /** The last fault that read from swap: its address, how many pages were read, and how many of those were used since. */
  swap_readahead_info: swap_ra = SWAP_RA_FIRST;

  constructor(mm: mm_struct, start: number, end: number, flags: vm_flags_t, pgoff: number) {
    this._vm_mm = mm;
    this._vm_start = start;
    this._vm_end = end;
    this._vm_flags = flags;
    this._vm_pgoff = pgoff;
  }

  get vm_start(): number {
    if (this.freed) use_after_free("vm_start");
    return this._vm_start;
  }
  set vm_start(to: number) {
    if (this.freed) use_after_free("vm_start");
    this._vm_start = to;
  }
  get vm_end(): number {
    if (this.freed) use_after_free("vm_end");
    return this._vm_end;
  }
  set vm_end(to: number) {
    if (this.freed) use_after_free("vm_end");
    this._vm_end = to;
  }
  get vm_mm(): mm_struct {
    if (this.freed) use_after_free("vm_mm");
    return this._vm_mm;
  }
  set vm_mm(to: mm_struct) {
    if (this.freed) use_after_free("vm_mm");
    this._vm_mm = to;
  }
  get vm_flags(): vm_flags_t {
    if (this.freed) use_after_free("vm_flags");
    return this._vm_flags;
  }
  set vm_flags(to: vm_flags_t) {
    if (this.freed) use_after_free("vm_flags");
    this._vm_flags = to;
  }
  /** Offset in the file, or for anonymous memory the address it was mapped at, in pages. */
  get vm_pgoff(): number {
    if (this.freed) use_after_free("vm_pgoff");
    return this._vm_pgoff;
  }
  set vm_pgoff(to: number) {
    if (this.freed) use_after_free("vm_pgoff");
    this._vm_pgoff = to;
  }
  get vm_file(): file | null {
    if (this.freed) use_after_free("vm_file");
    return this._vm_file;
  }
  set vm_file(to: file | null) {
    if (this.freed) use_after_free("vm_file");
    this._vm_file = to;
  }
  get vm_ops(): vm_operations_struct | null {
    if (this.freed) use_after_free("vm_ops");
    return this._vm_ops;
  }
  set vm_ops(to: vm_operations_struct | null) {
    if (this.freed) use_after_free("vm_ops");
    this._vm_ops = to;
  }
  get anon_vma(): anon_vma | null {
    if (this.freed) use_after_free("anon_vma");
    return this._anon_vma;
  }
  set anon_vma(to: anon_vma | null) {
    if (this.freed) use_after_free("anon_vma");
    this._anon_vma = to;
  }
}

function use_after_free(field: string): never {
  throw new KernelBug(`use after free: vm_area_struct.${field}`);
}

/** Page table entry flags. An entry is its page frame and these; both 0 is pte_none. */
export const _PAGE_PRESENT = 0x01;
export const _PAGE_RW = 0x02;
export const _PAGE_ACCESSED = 0x04;
export const _PAGE_DIRTY = 0x08;
/** Maps a page without counting it: the zero page, or a raw page frame. */
export const _PAGE_SPECIAL = 0x10;
/** Present for the kernel, but no access is allowed (PROT_NONE, NUMA hinting). */
export const _PAGE_PROTNONE = 0x20;
/** Not present: the page frame field holds a swap offset. */
export const _PAGE_SWP = 0x40;
/** Not present: the page frame field holds the page being migrated. */
export const _PAGE_MIGRATION = 0x80;
/** On a swap or migration entry, what {@link _PAGE_RW} means there: writable migration entry. */
export const SWP_WRITE = _PAGE_RW;
/** On a swap or migration entry: the page was exclusive to this mapping. */
export const SWP_EXCLUSIVE = _PAGE_SPECIAL;

/** Bytes of a table in memory. */
export const PTE_TABLE_BYTES = 5 * PTRS_PER_PTE;

/**
 * One page of page table entries: the 2 MiB at `pmd_index` × 2 MiB of an address space. Notes for each entry which call
 * took its reference of the page.
 */
export class pte_table extends call_notes {
  readonly pfn: Uint32Array;
  readonly flags: Uint8Array;
  /** Page frame that this table itself stands in. */
  readonly page: number;
  constructor(page: number, memory: BufferPieces) {
    super();
    memory.next();
    this.pfn = new Uint32Array(memory.buffer, memory.at, PTRS_PER_PTE);
    this.flags = new Uint8Array(memory.buffer, memory.at + 4 * PTRS_PER_PTE, PTRS_PER_PTE);
    this.page = page;
  }
}

/**
 * An entry that stands for a whole table: it maps 2 MiB of a huge page or the huge zero page ({@link _PAGE_SPECIAL}), or
 * holds the place of one on its way.
 */
export class huge_pmd {
  /** Head of the huge page. */
  pfn: number;
  flags: number;
  /** Page frame of the table that waits for the day when the entry is split; 0 for pages of files. */
  deposit: number;
  /** The entry into the kernel that took its reference of the page. */
  readonly call: number;
  constructor(pfn: number, flags: number, deposit: number, call: number) {
    this.pfn = pfn;
    this.flags = flags;
    this.deposit = deposit;
    this.call = call;
  }
}

export const MM_FILEPAGES = 0;
export const MM_ANONPAGES = 1;
export const MM_SWAPENTS = 2;
export const MM_SHMEMPAGES = 3;
export const NR_MM_COUNTERS = 4;

/** The upper levels of the page tables: which tables exist, and the page frame each stands in. */
export class pgd_t {
  /** Page frame of the top level itself. */
  page = 0;
  /** Second-level tables by address / 2^39 (x86-64: the PUD page). */
  readonly pud = new Map<number, number>();
  /** Third-level tables by address / 2^30 (the PMD page). */
  readonly pmd = new Map<number, number>();
  /** Tables of entries by address / 2^21. */
  readonly pte = new Map<number, pte_table>();
  /** Huge entries by address / 2^21: where one is, there is no table. */
  readonly huge = new Map<number, huge_pmd>();
  /** The table that mm/pgtable.ts:pte_offset found last; pmd_clear there forgets it. */
  last_key = -1;
  last_table: pte_table | undefined = undefined;
}

/** How a task holds the lock over an address space; a violation throws. */
export class mmap_lock {
  readers = 0;
  writer = false;
}

export class mm_struct {
  readonly mm_mt: maple_tree<vm_area_struct>;
  readonly pgd = new pgd_t();
  readonly mmap_lock = new mmap_lock();
  /** Tasks that use this address space. */
  mm_users = 1;
  map_count = 0;
  /** Pages. */
  total_vm = 0;
  locked_vm = 0;
  pinned_vm = 0;
  data_vm = 0;
  exec_vm = 0;
  stack_vm = 0;
  /** Flags that every new VMA gets (mlockall). */
  def_flags: vm_flags_t = vm_flags(0);
  /** Bytes. */
  mmap_base = 0;
  mmap_legacy_base = 0;
  task_size = 0;
  start_code = 0;
  end_code = 0;
  start_data = 0;
  end_data = 0;
  start_brk = 0;
  brk = 0;
  start_stack = 0;
  /** Legacy (bottom-up) placement of mappings? */
  mmap_legacy = false;
  /** Pages by MM_…PAGES. */
  readonly rss_stat = [0, 0, 0, 0];
  /** Bytes of page tables. */
  pgtables_bytes = 0;
  /** MMF_… : set by mm/ksm.c and mm/khugepaged.c. */
  flags = 0;
  /** Protection keys handed out by pkey_alloc, a bit each (arch/x86). */
  pkey_allocation_map = 1;
  /** Protection key of execute-only mappings, -1 before the first one. */
  execute_only_pkey = -1;
  constructor(mt: maple_tree<vm_area_struct>) {
    this.mm_mt = mt;
  }
}

/** One fault being handled. */
export class vm_fault {
  vma: vm_area_struct;
  /** Page-aligned address. */
  address = 0;
  /** FAULT_FLAG_… */
  flags = 0;
  /** Page offset in the file. */
  pgoff = 0;
  /** Table that holds the entry, once there is one. */
  table: pte_table | null = null;
  /** The entry's place in it. */
  ptei = 0;
  /** Page frame that a vm_ops->fault gave back, 0 for none. */
  page = 0;
  /** Page frame for the copy of a copy-on-write file fault. */
  cow_page = 0;
  /** The entry as it was when the fault began. */
  orig_pfn = 0;
  orig_flags = 0;
  /** Table taken ahead, to be installed where there is none yet. */
  prealloc_pte: pte_table | null = null;
  constructor(vma: vm_area_struct) {
    this.vma = vma;
  }
}

export const VM_FAULT_OOM = 0x000001;
export const VM_FAULT_SIGBUS = 0x000002;
export const VM_FAULT_MAJOR = 0x000004;
export const VM_FAULT_WRITE = 0x000008;
export const VM_FAULT_HWPOISON = 0x000010;
export const VM_FAULT_HWPOISON_LARGE = 0x000020;
export const VM_FAULT_SIGSEGV = 0x000040;
export const VM_FAULT_NOPAGE = 0x000100;
export const VM_FAULT_LOCKED = 0x000200;
export const VM_FAULT_RETRY = 0x000400;
export const VM_FAULT_FALLBACK = 0x000800;
export const VM_FAULT_DONE_COW = 0x001000;
export const VM_FAULT_COMPLETED = 0x004000;
export const VM_FAULT_ERROR =
  VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE | VM_FAULT_FALLBACK;

export const FAULT_FLAG_WRITE = 1 << 0;
export const FAULT_FLAG_ALLOW_RETRY = 1 << 2;
export const FAULT_FLAG_RETRY_NOWAIT = 1 << 3;
export const FAULT_FLAG_KILLABLE = 1 << 4;
export const FAULT_FLAG_TRIED = 1 << 5;
export const FAULT_FLAG_USER = 1 << 6;
export const FAULT_FLAG_REMOTE = 1 << 7;
export const FAULT_FLAG_INSTRUCTION = 1 << 8;
export const FAULT_FLAG_INTERRUPTIBLE = 1 << 9;
export const FAULT_FLAG_UNSHARE = 1 << 10;
/**
 * Above this bit: how many pages of the same table, right behind the faulting one, the caller will fault in next in the same
 * way. No part of the kernel: see mm/memory/ahead.ts.
 */
export const FAULT_AHEAD_SHIFT = 16;
export const FAULT_FLAG_DEFAULT = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE | FAULT_FLAG_INTERRUPTIBLE;
