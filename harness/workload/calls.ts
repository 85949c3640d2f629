// SPDX-License-Identifier: GPL-2.0-only
/** The calls of a recorded program, made on a machine so that they end where they ended when recorded. */
import { PAGE_SIZE } from "../../include/linux/types.js";
import * as mman from "../../uapi/mman-common.js";
import type { KernelModule, Machine, Syscalls, Task } from "../replay/kernel.js";
import { FMODE_READ, FMODE_WRITE } from "../../include/linux/fs.js";
import { EINVAL } from "../../uapi/errno.js";
import { openPath, install, known, move } from "./files.js";
import type { StraceCall } from "./strace.js";
import { fdOf, flagsOf, maskOf, numberOf, stringOf } from "./symbols.js";
import { PR_SET_VMA } from "../../uapi/prctl.js";

/** What became of a call: made, with what the model returned; or left out, and why. */
export type Outcome = { readonly ret: number } | { readonly skipped: string };

export interface CallContext {
  readonly kernel: KernelModule;
  readonly k: Machine;
  readonly sys: Syscalls;
  /** Tasks by the pids of the recording. */
  readonly tasks: Map<number, Task>;
}

type Handler = (x: CallContext, call: StraceCall, a: readonly string[]) => Outcome;

const MADV_NEWEST = mman.MADV_COLLAPSE;
const MFD_HUGETLB = 4;
const MAP_DROPPABLE = 0x08;
const PR_SET_THP_DISABLE = 41;

const succeeded = (call: StraceCall): boolean => call.ret.errno === null && call.ret.value !== null;
const skip = (why: string): Outcome => ({ skipped: why });

function mmap({ kernel, k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  const len = numberOf(a[1]!);
  const prot = flagsOf(a[2]!);
  let flags = flagsOf(a[3]!);
  let addr = numberOf(a[0]!);
  const fd = known(kernel, k, sys, fdOf(a[4]!));
  const off = numberOf(a[5]!);
  if (succeeded(call)) {
    if (flags & mman.MAP_HUGETLB) return skip("huge pages of a pool are not modelled");
    if ((flags & mman.MAP_TYPE) === MAP_DROPPABLE) return skip("MAP_DROPPABLE came after v6.1");
    addr = call.ret.value!;
    if ((flags & mman.MAP_FIXED) === 0) flags |= mman.MAP_FIXED_NOREPLACE;
  }
  return { ret: sys.mmap(addr, len, prot, flags, fd, off) };
}

function mremap({ sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  const from = numberOf(a[0]!);
  const moved = succeeded(call) && call.ret.value !== from;
  const flags = flagsOf(a[3] ?? "0") | (moved ? mman.MREMAP_FIXED : 0);
  const to = moved ? call.ret.value! : numberOf(a[4] ?? "0");
  return { ret: sys.mremap(from, numberOf(a[1]!), numberOf(a[2]!), flags, to) };
}

function madvise({ sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  const advice = flagsOf(a[2]!);
  const ret = sys.madvise(numberOf(a[0]!), numberOf(a[1]!), advice);
  const unknown = advice > MADV_NEWEST && ret === -EINVAL && call.ret.errno !== "EINVAL";
  return unknown ? skip(`advice ${a[2]!} is not of this variant`) : { ret };
}

function memfd({ kernel, k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  const flags = flagsOf(a[1]!);
  const task = k.current;
  if (flags & MFD_HUGETLB && succeeded(call)) {
    install(sys, task, call.ret.value!, openPath(kernel, k, call.ret.path ?? "hugetlbfs"));
    return skip("huge pages of a pool are not modelled; the file is not mapped");
  }
  const ret = sys.memfd_create(stringOf(a[0]!), flags);
  if (ret < 0 || !succeeded(call)) return { ret };
  move(sys, task, ret, call.ret.value!);
  return { ret: call.ret.value! };
}

function open({ kernel, k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  if (!succeeded(call) || call.ret.path === null) return skip("nothing was opened");
  const flags = a[call.name === "openat" ? 2 : 1]!;
  const mode = /\bO_PATH\b/.test(flags) ? 0 : (flagsOf(flags) + 1) & (FMODE_READ | FMODE_WRITE);
  install(sys, k.current, call.ret.value!, openPath(kernel, k, call.ret.path, mode));
  return { ret: call.ret.value! };
}

function dup({ kernel, k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  if (!succeeded(call)) return skip("failed");
  const f = k.current.files.get(known(kernel, k, sys, fdOf(a[0]!)));
  if (f === undefined) return skip("a descriptor that the recording does not explain");
  f.f_count++;
  install(sys, k.current, call.ret.value!, f);
  return { ret: call.ret.value! };
}

function close({ k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  const { fd } = fdOf(a[0]!);
  if (!k.current.files.has(fd)) return skip("a descriptor that the recording does not explain");
  return succeeded(call) ? { ret: sys.close(fd) } : skip("failed");
}

function closeRange({ k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  if (!succeeded(call)) return skip("failed");
  const [first, last] = [numberOf(a[0]!), numberOf(a[1]!)];
  for (const fd of [...k.current.files.keys()]) if (fd >= first && fd <= last) sys.close(fd);
  return { ret: 0 };
}

function clone({ k, sys, tasks }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  if (!succeeded(call)) return skip("failed");
  const has = (flag: string): boolean => a.some((arg) => arg.includes(flag));
  const shared = has("CLONE_VM") && !has("CLONE_VFORK");
  const pid = shared
    ? sys.clone({ CLONE_VM: true, CLONE_FILES: has("CLONE_FILES"), CLONE_THREAD: has("CLONE_THREAD") })
    : sys.fork();
  const task = k.tasks.get(pid);
  if (task === undefined) return { ret: pid };
  tasks.set(call.ret.value!, task);
  return { ret: call.ret.value! };
}

function prctl({ sys }: CallContext, _call: StraceCall, a: readonly string[]): Outcome {
  switch (a[0]) {
    case "PR_SET_VMA": {
      const name = a[4] === undefined || a[4] === "NULL" ? null : stringOf(a[4]);
      return { ret: sys.prctl(PR_SET_VMA, 0, numberOf(a[2]!), numberOf(a[3]!), name) };
    }
    case "PR_SET_THP_DISABLE":
      return { ret: sys.prctl(PR_SET_THP_DISABLE, numberOf(a[1]!), 0, 0, 0) };
    default:
      return skip("changes nothing that the model shows");
  }
}

function exit({ sys }: CallContext): Outcome {
  sys.exit(0);
  return { ret: 0 };
}

const range = (a: readonly string[]): [number, number] => [numberOf(a[0]!), numberOf(a[1]!)];

/** Nodes of a policy; where a call that succeeded names none that this machine has, its first. */
function nodesOf(k: Machine, call: StraceCall, arg: string): bigint | null {
  if (arg === "NULL") return null;
  const nodes = maskOf(arg);
  const here = nodes & ((1n << BigInt(k.nodes.length)) - 1n);
  return succeeded(call) && nodes !== 0n && here === 0n ? 1n : nodes;
}

function mbind({ k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  const [addr, len] = range(a);
  const nodes = nodesOf(k, call, a[3]!);
  return { ret: sys.mbind(addr, len, flagsOf(a[2]!), nodes, numberOf(a[4]!), flagsOf(a[5]!)) };
}

function setMempolicy({ k, sys }: CallContext, call: StraceCall, a: readonly string[]): Outcome {
  return { ret: sys.set_mempolicy(flagsOf(a[0]!), nodesOf(k, call, a[1]!), numberOf(a[2]!)) };
}

const fdAnd = ({ kernel, k, sys }: CallContext, arg: string): number => known(kernel, k, sys, fdOf(arg));

const handlers: Readonly<Record<string, Handler>> = {
  mmap,
  mremap,
  madvise,
  memfd_create: memfd,
  open,
  openat: open,
  dup,
  dup2: dup,
  dup3: dup,
  close,
  close_range: closeRange,
  clone,
  clone3: clone,
  fork: clone,
  vfork: clone,
  prctl,
  mbind,
  set_mempolicy: setMempolicy,
  exit,
  execve: (x, call) => (call.ret.errno === null ? exit(x) : skip("failed")),
  munmap: ({ sys }, _call, a) => ({ ret: sys.munmap(...range(a)) }),
  mprotect: ({ sys }, _call, a) => ({ ret: sys.mprotect(...range(a), flagsOf(a[2]!)) }),
  pkey_mprotect: ({ sys }, _call, a) => ({ ret: sys.pkey_mprotect(...range(a), flagsOf(a[2]!), numberOf(a[3]!)) }),
  mlock: ({ sys }, _call, a) => ({ ret: sys.mlock(...range(a)) }),
  mlock2: ({ sys }, _call, a) => ({ ret: sys.mlock2(...range(a), flagsOf(a[2]!)) }),
  munlock: ({ sys }, _call, a) => ({ ret: sys.munlock(...range(a)) }),
  mlockall: ({ sys }, _call, a) => ({ ret: sys.mlockall(flagsOf(a[0]!)) }),
  munlockall: ({ sys }) => ({ ret: sys.munlockall() }),
  msync: ({ sys }, _call, a) => ({ ret: sys.msync(...range(a), flagsOf(a[2]!)) }),
  mincore: ({ sys }, _call, a) => {
    const [addr, len] = range(a);
    return { ret: sys.mincore(addr, len, new Uint8Array(Math.ceil(len / PAGE_SIZE))) };
  },
  brk: ({ sys }, _call, a) => ({ ret: sys.brk(numberOf(a[0]!)) }),
  ftruncate: (x, _call, a) => ({ ret: x.sys.ftruncate(fdAnd(x, a[0]!), numberOf(a[1]!)) }),
  fallocate: (x, _call, a) => {
    return { ret: x.sys.fallocate(fdAnd(x, a[0]!), flagsOf(a[1]!), numberOf(a[2]!), numberOf(a[3]!)) };
  },
};

/** Makes one call as the current task, if it is one that the model can make. */
export function makeRecordedCall(x: CallContext, call: StraceCall): Outcome {
  const handler = handlers[call.name];
  if (handler === undefined) return skip("changes nothing that the model shows");
  if (call.ret.value === null && call.name !== "exit" && call.name !== "execve") return skip("did not return");
  return handler(x, call, call.args);
}
