// SPDX-License-Identifier: GPL-2.0-only
/** Tasks and their PF_ flags (include/linux/sched.h, uapi/asm-generic/resource.h). */
import type { file } from "./fs.js";
import type { mempolicy } from "./mempolicy.js";
import type { mm_struct } from "./mm_types.js";

export const PF_EXITING = 0x00000004;
export const PF_MEMALLOC = 0x00000800;
export const PF_KSWAPD = 0x00020000;
export const PF_MEMALLOC_NOFS = 0x00040000;
export const PF_MEMALLOC_NOIO = 0x00080000;
export const PF_KTHREAD = 0x00200000;
export const PF_MEMALLOC_PIN = 0x10000000;

export const RLIMIT_FSIZE = 1;
export const RLIMIT_DATA = 2;
export const RLIMIT_STACK = 3;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIM_NLIMITS = 16;
/** No limit. */
export const RLIM_INFINITY = Infinity;

export const CAP_IPC_LOCK = 14;
export const CAP_SYS_RAWIO = 17;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_NICE = 23;
export const CAP_SYS_RESOURCE = 24;

/** A thread with its own flags; threads of one process share mm, files and limits. */
export class task_struct {
  readonly pid: number;
  readonly tgid: number;
  readonly comm: string;
  /** PF_… bits. */
  flags = 0;
  mm: mm_struct | null;
  /** The files_struct: open files by descriptor. */
  files: Map<number, file>;
  /** Soft limits, bytes or counts by RLIMIT_…; {@link RLIM_INFINITY} for none. */
  rlim: number[];
  /** Hard limits. */
  rlim_max: number[];
  capabilities: Set<number>;
  /** /proc/self/make-it-fail: fault injection with a task filter applies to this task. */
  make_it_fail = false;
  /** /proc/self/fail-nth: the n-th injectable call from now on fails; 0 is off. */
  fail_nth = 0;
  /** A fatal signal is pending: allocations and loops that can be killed end. */
  fatal_signal = 0;
  /** Protection-key rights register (x86): two bits a key. */
  pkru = 0x55555554;
  /** Its memory policy, null for the default; and the node that interleaving took last. */
  mempolicy: mempolicy | null = null;
  il_prev = 0;
  exited = false;
  /** The OOM killer has chosen it: it may use reserves to die. @kernel signal->oom_mm */
  oom_victim = false;
  /** -1000 (never killed for memory) … 1000. */
  oom_score_adj = 0;

  constructor(pid: number, tgid: number, comm: string, mm: mm_struct | null) {
    this.pid = pid;
    this.tgid = tgid;
    this.comm = comm;
    this.mm = mm;
    this.files = new Map();
    this.rlim = new Array<number>(RLIM_NLIMITS).fill(RLIM_INFINITY);
    this.rlim_max = [...this.rlim];
    this.rlim[RLIMIT_STACK] = 8 << 20;
    this.rlim[RLIMIT_NOFILE] = 1024;
    this.rlim_max[RLIMIT_NOFILE] = 4096;
    this.capabilities = new Set([
      CAP_IPC_LOCK,
      CAP_SYS_RAWIO,
      CAP_SYS_PTRACE,
      CAP_SYS_ADMIN,
      CAP_SYS_NICE,
      CAP_SYS_RESOURCE,
    ]);
  }
}
