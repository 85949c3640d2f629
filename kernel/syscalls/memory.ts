// SPDX-License-Identifier: GPL-2.0-only
/** System calls on the address space: what they make of their arguments before mm/ sees them. */
import { user_access } from "../../arch/x86/mm/fault.js";
import { fput, get_file } from "../../fs/file_table.js";
import { CAP_SYS_NICE } from "../../include/linux/sched.js";
import { offset_in_page, PAGE_SIZE, toULong, type ulong } from "../../include/linux/types.js";
import type { Machine } from "../../include/machine.js";
import { do_madvise, process_madvise_behavior_valid } from "../../mm/madvise.js";
import { sys_mincore } from "../../mm/mincore.js";
import { sys_mlock, sys_mlock2, sys_mlockall, sys_munlock, sys_munlockall } from "../../mm/mlock.js";
import { is_file_hugepages, sys_brk, vm_mmap_pgoff, vm_munmap } from "../../mm/mmap.js";
import { huge_page_size, hugetlb_file_setup } from "../../mm/mmap/hugetlb.js";
import { do_mprotect_pkey, sys_pkey_alloc, sys_pkey_free } from "../../mm/mprotect.js";
import { sys_mremap } from "../../mm/mremap.js";
import { sys_msync } from "../../mm/msync.js";
import { EBADF, EINVAL, ENOSYS, EPERM, ESRCH } from "../../uapi/errno.js";
import { MAP_ANONYMOUS, MAP_HUGETLB } from "../../uapi/mman-common.js";
import { import_iovec, type user_iovec } from "../../lib/iov_iter.js";
import { pidfd_get_task } from "../pid.js";
import { type new_rlimit, sys_prctl, sys_setrlimit } from "../sys.js";

/** An argument: any integer, taken as 64 bits. */
export type Arg = number | bigint;

/** An argument that C takes as an int, or of which only the lower 32 bits count. */
export function int(x: Arg): number {
  return typeof x === "number" ? x | 0 : Number(BigInt.asIntN(32, x));
}

/** A flag that no call knows. */
const UNKNOWN_FLAG = 1 << 21;

/** Flags that C takes as an unsigned long. All that are known are among its lower 32 bits: the others count as one. */
export function long_flags(x: Arg): number {
  if (typeof x === "number" && x >= 0 && x < 2 ** 32) return x | 0;
  const bits = BigInt.asIntN(64, BigInt(x));
  const low = Number(BigInt.asIntN(32, bits));
  return bits >> 32n === 0n || BigInt(low) === bits ? low : low | UNKNOWN_FLAG;
}

/** Page offset of a byte offset, as an unsigned long shifted: exact beyond 2^53 too. */
function page_offset(off: Arg): number {
  if (typeof off === "number" && off >= 0 && off < 2 ** 53) return Math.floor(off / PAGE_SIZE);
  return Number(BigInt.asUintN(64, BigInt(off)) >> 12n);
}

function round_up(x: ulong, to: number): ulong {
  return Math.ceil(x / to) * to;
}

/**
 * mmap(2).
 * @kernel mm/mmap.c:ksys_mmap_pgoff, arch/x86/kernel/sys_x86_64.c:SYSCALL_DEFINE6(mmap)
 * @fidelity mirrored (hugetlb as without a pool of huge pages)
 */
function mmap(k: Machine, addr: ulong, len: ulong, prot: number, flags: number, fd: number, off: Arg): number {
  if (offset_in_page(toULong(off))) return -EINVAL;
  const pgoff = page_offset(off);
  if (flags & MAP_ANONYMOUS) {
    if (!(flags & MAP_HUGETLB)) return vm_mmap_pgoff(k, null, addr, len, prot, flags, pgoff);
    const size = huge_page_size(flags);
    if (size === 0) return -EINVAL;
    len = round_up(len, size);
    if (len === 0) return -EINVAL;
    return vm_mmap_pgoff(k, hugetlb_file_setup(k, len, size), addr, len, prot, flags, pgoff);
  }
  const f = k.current.files.get(fd);
  if (f === undefined) return -EBADF;
  if (flags & MAP_HUGETLB && !is_file_hugepages(f)) return -EINVAL;
  get_file(f);
  const ret = vm_mmap_pgoff(k, f, addr, len, prot, flags, pgoff);
  fput(k, f);
  return ret;
}

/**
 * process_madvise(2): advice on another process's memory, range by range until one is refused.
 * @kernel mm/madvise.c:SYSCALL_DEFINE5(process_madvise)
 * @fidelity mirrored (any task may look at any other)
 * @returns bytes advised, or -EINVAL, -EFAULT, -EBADF, -ESRCH, -EPERM, or what madvise(2) says of the first range
 */
function process_madvise(k: Machine, pidfd: number, vec: user_iovec | null, advice: number, flags: number): number {
  if (flags !== 0) return -EINVAL;
  const iov = import_iovec(k, vec);
  if (typeof iov === "number") return iov;
  const task = pidfd_get_task(k, pidfd);
  if (typeof task === "number") return task;
  if (!process_madvise_behavior_valid(advice)) return -EINVAL;
  if (task.mm === null) return -ESRCH;
  if (!k.current.capabilities.has(CAP_SYS_NICE)) return -EPERM;
  const { mm } = task;
  const total = iov.reduce((sum, { len }) => sum + len, 0);
  let done = 0;
  for (const { base, len } of iov) {
    if (done === total) break;
    const ret = do_madvise(k, mm, base, len, advice);
    if (ret < 0) return done || ret;
    done += len;
  }
  return done;
}

/** pkey_ calls exist only where the architecture has protection keys at all. */
function pkey_call(k: Machine, call: () => number): number {
  return k.arch.ARCH_HAS_PKEYS === true ? call() : -ENOSYS;
}

/** The system calls on memory, run by k.current; each returns 0 or more, or -errno. */
export function memory_calls(k: Machine) {
  return {
    mmap: (addr: Arg, len: Arg, prot: Arg, flags: Arg, fd: Arg, off: Arg): number =>
      mmap(k, toULong(addr), toULong(len), long_flags(prot), long_flags(flags), int(fd), off),
    munmap: (addr: Arg, len: Arg): number => vm_munmap(k, toULong(addr), toULong(len)),
    mprotect: (addr: Arg, len: Arg, prot: Arg): number =>
      do_mprotect_pkey(k, toULong(addr), toULong(len), long_flags(prot), -1),
    pkey_mprotect: (addr: Arg, len: Arg, prot: Arg, pkey: Arg): number =>
      pkey_call(k, () => do_mprotect_pkey(k, toULong(addr), toULong(len), long_flags(prot), int(pkey))),
    pkey_alloc: (flags: Arg, rights: Arg): number =>
      pkey_call(k, () => sys_pkey_alloc(k, long_flags(flags), long_flags(rights))),
    pkey_free: (pkey: Arg): number => pkey_call(k, () => sys_pkey_free(k, int(pkey))),
    madvise: (addr: Arg, len: Arg, advice: Arg): number =>
      do_madvise(k, k.current.mm!, toULong(addr), toULong(len), int(advice)),
    /** `vec`: pairs of address and length; null is a bad address. */
    process_madvise: (pidfd: Arg, vec: user_iovec | null, advice: Arg, flags: Arg): number =>
      process_madvise(k, int(pidfd), vec, int(advice), int(flags)),
    mremap: (addr: Arg, old_len: Arg, new_len: Arg, flags: Arg, new_addr: Arg = 0): number =>
      sys_mremap(k, toULong(addr), toULong(old_len), toULong(new_len), long_flags(flags), toULong(new_addr)),
    mlock: (addr: Arg, len: Arg): number => sys_mlock(k, toULong(addr), toULong(len)),
    mlock2: (addr: Arg, len: Arg, flags: Arg): number => sys_mlock2(k, toULong(addr), toULong(len), int(flags)),
    munlock: (addr: Arg, len: Arg): number => sys_munlock(k, toULong(addr), toULong(len)),
    mlockall: (flags: Arg): number => sys_mlockall(k, int(flags)),
    munlockall: (): number => sys_munlockall(k),
    msync: (addr: Arg, len: Arg, flags: Arg): number => sys_msync(k, toULong(addr), toULong(len), int(flags)),
    mincore: (addr: Arg, len: Arg, vec?: Uint8Array | null): number => sys_mincore(k, toULong(addr), toULong(len), vec),
    brk: (addr: Arg): number => sys_brk(k, toULong(addr)),
    prctl: (option: Arg, arg2: Arg, arg3: Arg, arg4: Arg, arg5: Arg | string | null): number => {
      const last = typeof arg5 === "string" || arg5 === null ? arg5 : toULong(arg5);
      return sys_prctl(k, int(option), toULong(arg2), toULong(arg3), toULong(arg4), last);
    },
    setrlimit: (resource: Arg, limit: new_rlimit | null): number => sys_setrlimit(k, int(resource), limit),
    /** Reads a byte of user memory: { val }, or { sig, code } where the access kills. */
    load: (addr: Arg) => user_access(k, toULong(addr), false),
    /** Writes a byte of user memory. */
    store: (addr: Arg, value: number) => user_access(k, toULong(addr), true, value & 0xff),
  };
}
