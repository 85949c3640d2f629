// SPDX-License-Identifier: GPL-2.0-only
/** The open files of a recorded process, under the descriptors that they had. */
import { FMODE_READ, FMODE_WRITE, type file } from "../../include/linux/fs.js";
import { VM_MAYEXEC } from "../../include/linux/mm.js";
import { vm_flags, vm_flags_andnot } from "../../include/linux/vm_flags.js";
import type { KernelModule, Machine, Syscalls, Task } from "../replay/kernel.js";
import type { FdArg } from "./symbols.js";

/** Size of files that a recording names but not sizes: nothing that is mapped lies behind their end. */
const FILE_BYTES = 2 ** 40;

function isDevice(path: string): boolean {
  return path.startsWith("anon_inode:") || path.startsWith("/dev/") || !path.startsWith("/");
}

/** Anonymous inodes lie on a mount that nothing can be executed from. @kernel include/linux/fs.h:path_noexec */
function noexec(f: file): file {
  const mmap = f.f_op.mmap?.bind(f.f_op);
  if (mmap === undefined) return f;
  f.f_op.mmap = (k, self, vma) => {
    vma.vm_flags = vm_flags_andnot(vma.vm_flags, VM_MAYEXEC);
    return mmap(k, self, vma);
  };
  return f;
}

/** Makes a file that is known by its path alone. `mode`: FMODE_ bits; both where nothing says how it was opened. */
export function openPath(kernel: KernelModule, k: Machine, path: string, mode = FMODE_READ | FMODE_WRITE): file {
  const tmpfs = path.startsWith("/dev/shm/");
  if (tmpfs) kernel.add_tmpfs_file(k, path);
  if (tmpfs || path === "/dev/zero") return opened(kernel, k, path, mode);
  if (!isDevice(path)) return kernel.open_regular(k, path, FILE_BYTES, mode);
  const f = kernel.open_device(k, path, mode, vm_flags(0));
  return path.startsWith("anon_inode:") ? noexec(f) : f;
}

function opened(kernel: KernelModule, k: Machine, path: string, mode: number): file {
  const f = kernel.open_path(k, path, mode);
  if (typeof f === "number") throw new Error(`${path} cannot be opened: ${String(f)}`);
  return f;
}

/** Puts a file under a descriptor; what stood there was closed by a call that the recording left out. */
export function install(sys: Syscalls, task: Task, fd: number, f: file): void {
  if (task.files.has(fd)) sys.close(fd);
  task.files.set(fd, f);
}

/** Moves the file that a call just opened to the descriptor that the recording gave it. */
export function move(sys: Syscalls, task: Task, from: number, to: number): void {
  if (from === to) return;
  const f = task.files.get(from);
  if (f === undefined) return;
  task.files.delete(from);
  install(sys, task, to, f);
}

/** The model's descriptor for one of a call: a file that no recorded call opened is made by what `-y` says of it. */
export function known(kernel: KernelModule, k: Machine, sys: Syscalls, arg: FdArg): number {
  const task = k.current;
  const open = task.files.get(arg.fd);
  if (arg.fd < 0 || arg.path === null) return arg.fd;
  if (open?.path !== arg.path) install(sys, task, arg.fd, openPath(kernel, k, arg.path));
  if (arg.deleted) task.files.get(arg.fd)!.f_inode.unlinked = true;
  return arg.fd;
}
