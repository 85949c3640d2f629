// SPDX-License-Identifier: GPL-2.0-only
/** Builds the address space that a program had right after exec. */
import * as mm from "../../include/linux/mm.js";
import type { mm_struct } from "../../include/linux/mm_types.js";
import { PAGE_SIZE } from "../../include/linux/types.js";
import { vm_flags, vm_flags_or, type vm_flags_t } from "../../include/linux/vm_flags.js";
import * as mman from "../../uapi/mman-common.js";
import { UserError } from "../errors.js";
import type { KernelModule, Machine, Syscalls, Task } from "../replay/kernel.js";
import { openPath } from "./files.js";
import type { SmapsVma } from "./smaps.js";

/** A page of the kernel's own at the top of every x86-64 address space: in smaps, but in no VMA tree. */
export const GATE = "[vsyscall]";

/** Descriptor under which files are held while they are mapped. */
const SCRATCH_FD = 1_000_000;

const bits: Readonly<Record<string, vm_flags_t>> = {
  rd: mm.VM_READ,
  wr: mm.VM_WRITE,
  ex: mm.VM_EXEC,
  mr: mm.VM_MAYREAD,
  mw: mm.VM_MAYWRITE,
  me: mm.VM_MAYEXEC,
  pf: mm.VM_PFNMAP,
  io: mm.VM_IO,
  dd: mm.VM_DONTDUMP,
};

function flagsOf(words: readonly string[]): vm_flags_t {
  return words.reduce((all, word) => vm_flags_or(all, bits[word] ?? vm_flags(0)), vm_flags(0));
}

function protOf(perms: string): number {
  return (
    (perms.startsWith("r") ? mman.PROT_READ : 0) |
    (perms[1] === "w" ? mman.PROT_WRITE : 0) |
    (perms[2] === "x" ? mman.PROT_EXEC : 0)
  );
}

/** The maker of one address space. */
class Builder {
  private readonly kernel: KernelModule;
  private readonly k: Machine;
  private readonly sys: Syscalls;
  private readonly mm: mm_struct;
  private readonly path: string;

  constructor(kernel: KernelModule, k: Machine, sys: Syscalls, path: string) {
    this.kernel = kernel;
    this.k = k;
    this.sys = sys;
    this.mm = k.current.mm!;
    this.path = path;
  }

  put(vma: SmapsVma): void {
    if (vma.name === GATE) return;
    if (/^\[v(dso|var)/.test(vma.name)) this.special(vma);
    else if (vma.name.startsWith("/")) this.file(vma);
    else if (vma.name === "[heap]") this.heap(vma);
    else if (vma.name === "[stack]") this.stack(vma);
    else if (vma.name === "") this.map(vma, mman.MAP_PRIVATE | mman.MAP_ANONYMOUS, -1);
    else throw this.wrong(vma, `no program has ${vma.name} right after exec`);
  }

  private wrong(vma: SmapsVma, what: string): UserError {
    return new UserError(`${this.path}:${String(vma.line)}`, what, "record the address space right after exec");
  }

  private map(vma: SmapsVma, flags: number, fd: number): void {
    const len = vma.end - vma.start;
    const prot = protOf(vma.perms);
    // Read-only memory is accounted for where it was writable once, as what a program relocates at its start.
    const once = vma.flags.includes("ac") ? prot | mman.PROT_WRITE : prot;
    const ret = this.sys.mmap(vma.start, len, once, flags | mman.MAP_FIXED, fd, vma.pgoff * PAGE_SIZE);
    if (ret !== vma.start) throw this.wrong(vma, `cannot be mapped in the model (${String(ret)})`);
    if (once !== prot) this.sys.mprotect(vma.start, len, prot);
  }

  private file(vma: SmapsVma): void {
    const task = this.k.current;
    const open = task.files.get(SCRATCH_FD);
    if (open?.path !== vma.name) {
      if (open !== undefined) this.sys.close(SCRATCH_FD);
      task.files.set(SCRATCH_FD, openPath(this.kernel, this.k, vma.name));
    }
    this.map(vma, vma.perms.endsWith("s") ? mman.MAP_SHARED : mman.MAP_PRIVATE, SCRATCH_FD);
  }

  private heap(vma: SmapsVma): void {
    this.mm.start_brk = vma.start;
    this.mm.brk = vma.start;
    if (this.sys.brk(vma.end) !== vma.end) throw this.wrong(vma, "the heap cannot be grown to its size");
  }

  private stack(vma: SmapsVma): void {
    this.map(vma, mman.MAP_PRIVATE | mman.MAP_ANONYMOUS | mman.MAP_GROWSDOWN, -1);
    this.mm.start_stack = vma.end - 16;
  }

  private special(vma: SmapsVma): void {
    const len = vma.end - vma.start;
    const spec = { name: vma.name };
    const ret = this.kernel._install_special_mapping(this.k, this.mm, vma.start, len, flagsOf(vma.flags), spec);
    if (ret !== 0) throw this.wrong(vma, `cannot be mapped in the model (${String(ret)})`);
  }
}

/** A new process of the machine with this address space; it is the current task. `brk` is where its heap will start. */
export function makeProcess(
  kernel: KernelModule,
  k: Machine,
  sys: Syscalls,
  before: readonly SmapsVma[],
  path: string,
  brk: number,
): Task {
  const pid = sys.fork();
  const task = k.tasks.get(pid);
  if (task?.mm == null) throw new Error(`fork of the first process: ${String(pid)}`);
  k.current = task;
  task.mm.start_brk = brk;
  task.mm.brk = brk;
  const builder = new Builder(kernel, k, sys, path);
  for (const vma of before) builder.put(vma);
  if (task.files.has(SCRATCH_FD)) sys.close(SCRATCH_FD);
  return task;
}
