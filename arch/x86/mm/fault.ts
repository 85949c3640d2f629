// SPDX-License-Identifier: GPL-2.0-only
/** A user's access to memory, and what the processor and the kernel make of it (arch/x86/mm/fault.c). */
import { not_modelled } from "../../../include/linux/bug.js";
import { PFN_SECTION_MASK } from "../../../include/linux/mem_map.js";
import { VM_GROWSDOWN, VM_WRITE, vma_is_accessible } from "../../../include/linux/mm.js";
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  FAULT_FLAG_DEFAULT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  type huge_pmd,
  type mm_struct,
  type vm_area_struct,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGSEGV,
} from "../../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../../include/linux/mmap_lock.js";
import { arch_vma_access_permitted } from "../../../include/linux/mmu_context.js";
import { vm_flags_test } from "../../../include/linux/vm_flags.js";
import { offset_in_page } from "../../../include/linux/types.js";
import type { Machine } from "../../../include/machine.js";
import { PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE } from "../../../uapi/mman-common.js";
import { handle_mm_fault } from "../../../mm/memory.js";
import { expand_stack, find_vma } from "../../../mm/mmap.js";
import { pmd_huge, pte_index, pte_offset } from "../../../mm/pgtable.js";

export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const SEGV_PKUERR = 4;
export const BUS_ADRERR = 2;

/** Why the processor faulted. @kernel arch/x86/include/asm/trap_pf.h */
const X86_PF_PROT = 1;
const X86_PF_WRITE = 2;
const X86_PF_PK = 32;

export type signal = { readonly sig: "SIGSEGV" | "SIGBUS" | "SIGKILL"; readonly code: number };
export type access = { readonly val: number } | signal;

const segv = (code: number): signal => ({ sig: "SIGSEGV", code });

/** Do the task's key rights bar the access to a page mapped with this key? @kernel arch/x86/include/asm/pkru.h */
function pkey_bars(k: Machine, pkey: number, write: boolean): boolean {
  const rights = (k.current.pkru >>> (2 * pkey)) & 3;
  return (rights & PKEY_DISABLE_ACCESS) !== 0 || (write && (rights & PKEY_DISABLE_WRITE) !== 0);
}

/**
 * Would the processor allow the access? -1 where it does, else the fault's error code.
 */
function hardware_check(k: Machine, mm: mm_struct, addr: number, write: boolean): number {
  const t = pte_offset(mm, addr);
  const flags = t === undefined ? (pmd_huge(mm, addr)?.flags ?? 0) : t.flags[pte_index(addr)]!;
  const code = write ? X86_PF_WRITE : 0;
  if (!(flags & _PAGE_PRESENT) || flags & _PAGE_PROTNONE) return code;
  if (k.arch.pkeys !== null) {
    const vma = find_vma(mm, addr);
    if (vma !== undefined && pkey_bars(k, vma.vm_pkey, write)) return code | X86_PF_PROT | X86_PF_PK;
  }
  return write && !(flags & _PAGE_RW) ? code | X86_PF_PROT : -1;
}

/** Is the access against the VMA's permissions? @kernel arch/x86/mm/fault.c:access_error @fidelity mirrored */
function access_error(k: Machine, error_code: number, vma: vm_area_struct): boolean {
  if (error_code & X86_PF_PK) return true;
  const write = (error_code & X86_PF_WRITE) !== 0;
  if (!arch_vma_access_permitted(k, vma, write, false, false)) return true;
  if (write) return !vm_flags_test(vma.vm_flags, VM_WRITE);
  return (error_code & X86_PF_PROT) !== 0 || !vma_is_accessible(vma);
}

function bad_area_access_error(k: Machine, error_code: number, vma: vm_area_struct): signal {
  const write = (error_code & X86_PF_WRITE) !== 0;
  const pkey = (error_code & X86_PF_PK) !== 0 || !arch_vma_access_permitted(k, vma, write, false, false);
  return segv(k.arch.pkeys !== null && pkey ? SEGV_PKUERR : SEGV_ACCERR);
}

/**
 * The VMA at an address, a stack grown down to it, with mmap_lock held for reading; or undefined, and it is not held.
 * @kernel mm/memory.c:lock_mm_and_find_vma
 * @fidelity mirrored
 */
function lock_mm_and_find_vma(k: Machine, mm: mm_struct, address: number): vm_area_struct | undefined {
  mmap_read_lock(mm);
  const vma = find_vma(mm, address);
  if (vma !== undefined && vma.vm_start <= address) return vma;
  if (vma !== undefined && vm_flags_test(vma.vm_flags, VM_GROWSDOWN)) return expand_stack(k, mm, address);
  mmap_read_unlock(mm);
  return undefined;
}

/**
 * Handles a fault on a user address; undefined where the access can be tried again.
 * @kernel arch/x86/mm/fault.c:do_user_addr_fault
 * @fidelity mirrored (user mode, data accesses)
 */
function do_user_addr_fault(k: Machine, mm: mm_struct, error_code: number, address: number): signal | undefined {
  let flags = FAULT_FLAG_DEFAULT | FAULT_FLAG_USER;
  if (error_code & X86_PF_WRITE) flags |= FAULT_FLAG_WRITE;
  for (;;) {
    const vma = lock_mm_and_find_vma(k, mm, address);
    if (vma === undefined) return segv(SEGV_MAPERR);
    if (access_error(k, error_code, vma)) {
      const signal = bad_area_access_error(k, error_code, vma);
      mmap_read_unlock(mm);
      return signal;
    }
    const fault = handle_mm_fault(k, vma, address, flags);
    if (k.current.fatal_signal !== 0 && fault & VM_FAULT_RETRY) return { sig: "SIGKILL", code: 0 };
    if (fault & VM_FAULT_COMPLETED) return undefined;
    if (fault & VM_FAULT_RETRY) {
      flags |= FAULT_FLAG_TRIED;
      continue;
    }
    mmap_read_unlock(mm);
    if (!(fault & VM_FAULT_ERROR) || fault & VM_FAULT_OOM) return undefined;
    return fault & VM_FAULT_SIGSEGV ? segv(SEGV_MAPERR) : { sig: "SIGBUS", code: BUS_ADRERR };
  }
}

/** Faults that one access may take; the kernel would go on for ever. */
const MAX_FAULTS = 100_000;

/**
 * Reads or writes a byte at a user address as the running task does: faults until the access is allowed or a signal
 * kills. Of a page, only the first byte is kept: others read as 0 and are not written.
 * @kernel arch/x86/mm/fault.c:exc_page_fault
 * @fidelity simplified: an access is checked against the page tables at once (no TLB); VM_FAULT_OOM retries as in v6.1,
 *   up to a hundred thousand times
 * @param value byte to write
 */
export function user_access(k: Machine, addr: number, write: boolean, value = 0): access {
  const mm = k.current.mm;
  if (mm === null) return segv(SEGV_MAPERR);
  if (addr < 0 || addr >= k.arch.TASK_SIZE) return segv(SEGV_MAPERR);
  for (let n = 0; n < MAX_FAULTS; n++) {
    const error_code = hardware_check(k, mm, addr, write);
    if (error_code < 0) return touch(k, mm, addr, write, value);
    const outer = k.calls.enter("page fault", k.current.pid);
    const signal = do_user_addr_fault(k, mm, error_code, addr);
    k.calls.leave(outer);
    if (signal !== undefined) return signal;
    if (k.current.fatal_signal !== 0) return { sig: "SIGKILL", code: 0 };
  }
  return not_modelled("arch/x86/mm/fault.c: a fault that is retried for ever (no memory, or a wait that nobody ends)");
}

/** The same where a huge entry maps the address. */
function touch_huge(k: Machine, pmd: huge_pmd, addr: number, write: boolean, value: number): access {
  pmd.flags |= write ? _PAGE_ACCESSED | _PAGE_DIRTY : _PAGE_ACCESSED;
  if (offset_in_page(addr) !== 0) return { val: write ? value : 0 };
  const pfn = pmd.pfn + pte_index(addr);
  const content = k.mem.section(pfn).content;
  if (write) content[pfn & PFN_SECTION_MASK] = value;
  return { val: content[pfn & PFN_SECTION_MASK]! };
}

/** Does the access: sets the accessed and dirty bits as the processor does. */
function touch(k: Machine, mm: mm_struct, addr: number, write: boolean, value: number): access {
  const pmd = pmd_huge(mm, addr);
  if (pmd !== undefined) return touch_huge(k, pmd, addr, write, value);
  const t = pte_offset(mm, addr)!;
  const i = pte_index(addr);
  const pfn = t.pfn[i]!;
  t.flags[i]! |= write ? _PAGE_ACCESSED | _PAGE_DIRTY : _PAGE_ACCESSED;
  if (offset_in_page(addr) !== 0) return { val: write ? value : 0 };
  const content = k.mem.section(pfn).content;
  if (write) content[pfn & PFN_SECTION_MASK] = value;
  return { val: content[pfn & PFN_SECTION_MASK]! };
}
