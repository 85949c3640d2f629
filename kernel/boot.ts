// SPDX-License-Identifier: GPL-2.0-only
/** The only maker of a machine (init/main.c:start_kernel). */
import { archByName } from "../arch/index.js";
import { mem_map } from "../include/linux/mem_map.js";
import { MAX_ORDER_NR_PAGES, pglist_data } from "../include/linux/mmzone.js";
import { PG_reserved } from "../include/linux/page-flags.js";
import { cpu_fbatches, NR_BATCHES, PAGEVEC_SIZE } from "../include/linux/pagevec.js";
import { task_struct } from "../include/linux/sched.js";
import { PAGE_SIZE } from "../include/linux/types.js";
import { NR_VM_EVENT_ITEMS, NR_VM_NODE_STAT_ITEMS } from "../include/linux/vmstat.js";
import { type Hooks, type Machine, nobody } from "../include/machine.js";
import { shortWaysOf } from "../include/short_ways.js";
import { PTE_TABLE_BYTES } from "../include/linux/mm_types.js";
import { BufferPieces, BufferPool } from "../lib/buffer_pool.js";
import { CallLog } from "../lib/call_log.js";
import { FaultAttr, MigrateFaults } from "../lib/fault-inject.js";
import { Prng } from "../lib/prng.js";
import { migrate_holders } from "../mm/fault_holders.js";
import { hugepage_flags_enabled } from "../mm/huge_memory/policy.js";
import { set_recommended_min_free_kbytes } from "../mm/khugepaged.js";
import { OOM_SUBSYS, type oom_subsys } from "../mm/oom_kill.js";
import {
  build_zonelists,
  calculate_min_free_kbytes,
  setup_per_zone_lowmem_reserve,
  setup_per_zone_wmarks,
} from "../mm/page_alloc/setup.js";
import { layOut } from "./boot/layout.js";
import { layOutLike, likeMaxPfn } from "./boot/like.js";
import { BootError, defaultConfig, type BootOptions } from "./boot/options.js";
import { do_exit } from "./exit.js";
import { mm_alloc } from "./fork.js";

export { BootError, type BootOptions, type PlacementBoot } from "./boot/options.js";

/** The zero page stands in the first page frame that there is, which the kernel keeps. */
const ZERO_PFN = 1;
/** 2^42 bytes: more than any machine's page frames fit the typed arrays of page metadata for. */
const MAX_MEMORY = 2 ** 42;

/** An argument in bytes as whole pages; complains in one line. */
function pagesOf(name: string, bytes: number): number {
  if (!Number.isFinite(bytes) || bytes < 0 || bytes > MAX_MEMORY) {
    throw new BootError(`${name} must be a number of bytes from 0 to 4 TiB, not ${bytes}`);
  }
  return Math.floor(bytes / PAGE_SIZE);
}

/** Sizes of a machine in pages. */
interface Sizes {
  readonly max_pfn: number;
  readonly cma: number;
  readonly movablecore: number;
  readonly nodes: readonly number[];
}

/** Pages of each node. */
function nodeSizes(nodes: number | readonly number[], memory: number | undefined): number[] {
  if (typeof nodes !== "number") {
    const pages = nodes.map((bytes) => pagesOf("nodes", bytes));
    if (pages.length < 1 || pages.length > 2) throw new BootError(`nodes must be 1 or 2, not ${pages.length}`);
    const bad = pages.find((n) => n === 0 || n % MAX_ORDER_NR_PAGES !== 0);
    if (bad !== undefined) throw new BootError(`a node must be a multiple of 4 MiB, not ${bad} pages`);
    const total = pages.reduce((sum, n) => sum + n, 0);
    if (memory === undefined || pagesOf("memory", memory) === total) return pages;
    throw new BootError(`nodes have ${total} pages in all, and memory says ${pagesOf("memory", memory)}`);
  }
  const max_pfn = pagesOf("memory", memory ?? 512 << 20);
  if (nodes === 1) return [max_pfn];
  if (nodes !== 2) throw new BootError(`nodes must be 1 or 2, not ${nodes}`);
  const first = Math.floor(max_pfn / 2 / MAX_ORDER_NR_PAGES) * MAX_ORDER_NR_PAGES;
  if (first === 0) throw new BootError(`memory must be at least 8 MiB for two nodes, not ${max_pfn} pages`);
  return [first, max_pfn - first];
}

function sizes(o: BootOptions): Sizes {
  if (o.like !== undefined) {
    if (o.nodes !== undefined) throw new BootError("nodes cannot be given with a recording of a machine");
    return { max_pfn: likeMaxPfn(o.like), cma: 0, movablecore: 0, nodes: [0] };
  }
  const nodes = nodeSizes(o.nodes ?? 1, o.memory);
  const max_pfn = nodes.reduce((sum, n) => sum + n, 0);
  const cma = pagesOf("cma", o.cma ?? 0);
  const movablecore = pagesOf("movablecore", o.movablecore ?? 0);
  if (max_pfn < 8) throw new BootError(`memory must be at least 8 pages, not ${max_pfn}`);
  if (cma >= max_pfn) throw new BootError(`cma of ${cma} pages is not less than the memory of ${max_pfn} pages`);
  if (movablecore >= max_pfn) {
    throw new BootError(`movablecore of ${movablecore} pages is not less than the memory of ${max_pfn} pages`);
  }
  return { max_pfn, cma, movablecore, nodes };
}

/** Blocks that go offline as a whole must not cut a free block of the allocator in two. */
function checkBlockSize(bytes: number | undefined): void {
  if (bytes === undefined || (bytes >= MAX_ORDER_NR_PAGES * PAGE_SIZE && Number.isInteger(Math.log2(bytes)))) return;
  throw new BootError(`memory_block_size must be a power of two from 4 MiB, not ${bytes}`);
}

function noHooks(given: Partial<Hooks> | undefined): Hooks {
  return { yieldPoint: nobody, trace: () => undefined, ...given };
}

/** The machine's globals, before there is any memory. */
function bareMachine(o: BootOptions, { max_pfn, nodes }: Sizes, nr_cpus: number): Machine {
  const seed = o.seed ?? 1;
  const mem = new mem_map(max_pfn, o.buffers ?? new BufferPool());
  return {
    config: { ...defaultConfig, ...o.config },
    arch: archByName(o.arch ?? "x86_64"),
    seed,
    prng: new Prng(seed),
    hooks: noHooks(o.hooks),
    shortWays: shortWaysOf(o.shortWays ?? true),
    tracing: o.hooks?.trace !== undefined,
    mem,
    nodes: nodes.map((_pages, nid) => new pglist_data(nid, NR_VM_NODE_STAT_ITEMS)),
    zones: mem.zones,
    cmaAreas: [],
    nr_cpus,
    cpu: 0,
    cpu_node: Array.from({ length: nr_cpus }, (_none, cpu) => Math.floor((cpu * nodes.length) / nr_cpus)),
    vm_events: new Float64Array(NR_VM_EVENT_ITEMS),
    totalram_pages: 0,
    min_free_kbytes: 1024,
    user_min_free_kbytes: -1,
    zero_pfn: ZERO_PFN,
    page_group_by_mobility_disabled: false,
    fbatches: Array.from({ length: nr_cpus }, () => new cpu_fbatches()),
    mlock_batch: Array.from({ length: nr_cpus }, () => []),
    pte_memory: new BufferPieces(PTE_TABLE_BYTES, 64, mem.buffers),
    idle_vmf: null,
    batch_calls: Array.from({ length: nr_cpus }, () => new Uint32Array(NR_BATCHES * PAGEVEC_SIZE)),
    calls: new CallLog(),
    fail_page_alloc: new FaultAttr("fail_page_alloc"),
    fail_migrate: new MigrateFaults(migrate_holders, nr_cpus),
    vm_committed_as: 0,
    current: undefined as never,
    tasks: new Map(),
    next_pid: 1,
    next_ino: 1,
    subsys: new Map(),
  };
}

/** The first process, with an empty address space; it runs. */
function makeInit(k: Machine): void {
  const init = new task_struct(1, 1, "init", null);
  k.next_pid = 2;
  k.tasks.set(1, init);
  k.current = init;
  const mm = mm_alloc(k);
  if (mm === null) throw new BootError("memory is too small for the first process");
  init.mm = mm;
}

/**
 * Makes a machine: zones, free memory, the first process. Throws {@link BootError} for a machine that cannot be.
 * @kernel init/main.c:start_kernel
 * @fidelity simplified: the kernel itself takes no memory but the first MiB, unless a recording says what it took
 */
export function boot(options: BootOptions = {}): Machine {
  const size = sizes(options);
  const nr_cpus = options.cpus ?? options.like?.cpus ?? 1;
  if (!Number.isInteger(nr_cpus) || nr_cpus < 1 || nr_cpus > 256) {
    throw new BootError(`cpus must be a whole number from 1 to 256, not ${nr_cpus}`);
  }
  checkBlockSize(options.config?.memory_block_size);
  const k = bareMachine(options, size, nr_cpus);
  if (options.like !== undefined) layOutLike(k, options.like);
  else {
    layOut(k, size.cma, size.movablecore, size.nodes);
    calculate_min_free_kbytes(k);
    setup_per_zone_wmarks(k);
    if (hugepage_flags_enabled(k)) set_recommended_min_free_kbytes(k);
  }
  for (const node of k.nodes) setup_per_zone_lowmem_reserve(node);
  build_zonelists(k);
  for (const z of k.zones) k.totalram_pages += z.managed_pages;
  const s = k.mem.section(ZERO_PFN);
  s.flags[ZERO_PFN] = PG_reserved;
  s.setRefs(ZERO_PFN, 1);
  k.subsys.set(OOM_SUBSYS, { exit_task: do_exit } satisfies oom_subsys);
  makeInit(k);
  return k;
}
