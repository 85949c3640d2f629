// SPDX-License-Identifier: GPL-2.0-only
/** The scan that makes NUMA hinting faults happen (kernel/sched/fair.c). */
import { is_vm_hugetlb_page, VM_MIXEDMAP, VM_READ, VM_WRITE, vma_is_accessible } from "../../include/linux/mm.js";
import type { vm_area_struct } from "../../include/linux/mm_types.js";
import { mmap_read_lock, mmap_read_unlock } from "../../include/linux/mmap_lock.js";
import { vm_flags_test } from "../../include/linux/vm_flags.js";
import type { Machine } from "../../include/machine.js";
import { vma_policy_mof } from "../../mm/mempolicy/misplaced.js";
import { vma_migratable } from "../../mm/mempolicy/queue.js";
import { change_prot_numa } from "../../mm/mprotect/numa.js";

/** Is a mapping left alone? */
function skipped(k: Machine, vma: vm_area_struct): boolean {
  if (!vma_migratable(vma) || !vma_policy_mof(k, vma) || is_vm_hugetlb_page(vma)) return true;
  if (vm_flags_test(vma.vm_flags, VM_MIXEDMAP) || !vma_is_accessible(vma)) return true;
  const readable = vm_flags_test(vma.vm_flags, VM_READ) && !vm_flags_test(vma.vm_flags, VM_WRITE);
  return vma.vm_file !== null && readable;
}

/**
 * One scan of the running task's memory: from now on the next access to a page is a fault that may move it.
 * @kernel kernel/sched/fair.c:task_numa_work
 * @fidelity simplified: a step that a test calls, of the whole address space rather than 256 MiB of it
 * @returns pages marked; 0 without CONFIG_NUMA_BALANCING
 */
export function task_numa_work(k: Machine): number {
  const { mm } = k.current;
  if (mm === null || k.config.NUMA_BALANCING !== true) return 0;
  let pages = 0;
  mmap_read_lock(mm);
  for (const vma of mm.mm_mt) if (!skipped(k, vma)) pages += change_prot_numa(k, vma, vma.vm_start, vma.vm_end);
  mmap_read_unlock(mm);
  return pages;
}
