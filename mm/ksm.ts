// SPDX-License-Identifier: GPL-2.0-only
/**
 * Kernel samepage merging: advice, fork and exit, and ksmd, which a test steps (mm/ksm.c). The state is in ksm/state.ts, the
 * stable tree in ksm/stable.ts, the scan in ksm/scan.ts, merging in ksm/merge.ts and its opposite in ksm/break.ts.
 */
import {
  VM_DONTEXPAND,
  VM_HUGETLB,
  VM_IO,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
} from "../include/linux/mm.js";
import type { mm_struct, vm_area_struct } from "../include/linux/mm_types.js";
import { task_struct } from "../include/linux/sched.js";
import { MMF_VM_MERGEABLE } from "../include/linux/sched/coredump.js";
import { vm_flags_andnot, vm_flags_or, vm_flags_test, type vm_flags_t } from "../include/linux/vm_flags.js";
import type { Machine } from "../include/machine.js";
import { MADV_MERGEABLE } from "../uapi/mman-common.js";
import { unmerge_ksm_pages } from "./ksm/break.js";
import { drop_slot, ksm_do_scan } from "./ksm/scan.js";
import { KSM_RUN_MERGE, KSM_RUN_UNMERGE, ksm_mm_slot, ksm_state_of } from "./ksm/state.js";

export { folio_migrate_ksm, ksm_might_need_to_copy, rmap_walk_ksm } from "./ksm/rmap.js";
export { ksm_show, ksm_store } from "./ksm/sysfs.js";

const NOT_MERGEABLE = vm_flags_or(
  ...([VM_MERGEABLE, VM_SHARED, VM_MAYSHARE, VM_PFNMAP, VM_IO, VM_DONTEXPAND, VM_HUGETLB, VM_MIXEDMAP] as const),
);

/** Puts an address space on ksmd's list, where the scan comes to it last. @kernel mm/ksm.c:__ksm_enter @fidelity mirrored */
function __ksm_enter(k: Machine, mm: mm_struct): void {
  const st = ksm_state_of(k);
  const slot = new ksm_mm_slot(mm);
  if (st.run === KSM_RUN_UNMERGE || st.mm_slot === null) st.slots.push(slot);
  else st.slots.splice(st.slots.indexOf(st.mm_slot), 0, slot);
  mm.flags |= MMF_VM_MERGEABLE;
}

/** Puts a child on ksmd's list if its parent is. @kernel include/linux/ksm.h:ksm_fork @fidelity mirrored */
export function ksm_fork(k: Machine, mm: mm_struct, oldmm: mm_struct): void {
  if (oldmm.flags & MMF_VM_MERGEABLE) __ksm_enter(k, mm);
}

/**
 * Takes an address space that ends off the list, or leaves that to ksmd where it has rmap items.
 * @kernel mm/ksm.c:__ksm_exit
 * @fidelity mirrored
 */
export function ksm_exit(k: Machine, mm: mm_struct): void {
  if (!(mm.flags & MMF_VM_MERGEABLE)) return;
  const st = ksm_state_of(k);
  const slot = st.slots.find((one) => one.mm === mm);
  if (slot === undefined || st.mm_slot === slot) return;
  if (slot.rmap_list.length === 0) {
    drop_slot(st, slot);
    return;
  }
  st.slots.splice(st.slots.indexOf(slot), 1);
  st.slots.splice(st.mm_slot === null ? 0 : st.slots.indexOf(st.mm_slot) + 1, 0, slot);
}

/**
 * Changes the flags that a VMA gets by MADV_MERGEABLE or MADV_UNMERGEABLE of [start, end); the latter undoes merging.
 * @kernel mm/ksm.c:ksm_madvise
 * @fidelity mirrored
 * @param w the flags, read and written
 * @returns 0, -ENOMEM without memory for the pages' copies, -EINTR
 */
export function ksm_madvise(
  k: Machine,
  vma: vm_area_struct,
  start: number,
  end: number,
  advice: number,
  w: { vm_flags: vm_flags_t },
): number {
  if (advice === MADV_MERGEABLE) {
    if (vm_flags_test(w.vm_flags, NOT_MERGEABLE)) return 0;
    if (!(vma.vm_mm.flags & MMF_VM_MERGEABLE)) __ksm_enter(k, vma.vm_mm);
    w.vm_flags = vm_flags_or(w.vm_flags, VM_MERGEABLE);
    return 0;
  }
  if (!vm_flags_test(w.vm_flags, VM_MERGEABLE)) return 0;
  const err = vma.anon_vma === null ? 0 : unmerge_ksm_pages(k, vma, start, end);
  if (err === 0) w.vm_flags = vm_flags_andnot(w.vm_flags, VM_MERGEABLE);
  return err;
}

/**
 * One waking of ksmd: looks at pages_to_scan pages if it is to run, and sleeps.
 * @kernel mm/ksm.c:ksm_scan_thread
 * @fidelity simplified: one turn of its loop
 * @returns full scans so far
 */
export function ksm_scan_thread(k: Machine): number {
  const st = ksm_state_of(k);
  if (st.run !== KSM_RUN_MERGE || st.slots.length === 0) return st.seqnr;
  const running = k.current;
  k.current = st.task ??= new task_struct(k.next_pid++, 0, "ksmd", null);
  ksm_do_scan(k, st, st.pages_to_scan);
  st.now += st.sleep_millisecs;
  k.current = running;
  return st.seqnr;
}
